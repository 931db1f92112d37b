package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/term"

	"drover/internal/job"
)

// Exit statuses. Those of the command run are documented: a run that was
// accepted and of which not every device succeeded is exitFailed.
const (
	exitOK          = 0
	exitFailed      = 1
	exitUsage       = 2 // also: a run that could not be
	exitInterrupted = 130
)

// exitError ends the program with a status of its own. A nil err says nothing
// more on standard error.
type exitError struct {
	status int
	err    error
}

// Error returns the text of the cause.
func (e *exitError) Error() string {
	if e.err == nil {
		return ""
	}
	return e.err.Error()
}

// Unwrap returns the cause.
func (e *exitError) Unwrap() error { return e.err }

// program is what the commands share: the world outside, handed in.
type program struct {
	in  io.Reader
	out io.Writer
	err io.Writer
	env func(string) (string, bool)

	advised map[string]bool // what to do about a reason is said once
}

// run is the whole program. It returns the exit status.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer, env func(string) (string, bool)) int {
	p := &program{in: stdin, out: stdout, err: stderr, env: env, advised: map[string]bool{}}
	root := p.root()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	cmd, err := root.ExecuteContextC(ctx)
	var exit *exitError
	switch {
	case err == nil:
		return exitOK
	case !errors.As(err, &exit):
		exit = &exitError{exitUsage, fmt.Errorf("%w (see %s --help)", err, cmd.CommandPath())} // cobra's own: flags, arguments
	}
	if exit.err != nil {
		_, _ = fmt.Fprintln(stderr, "drover: "+clean(firstLine(describe(exit.err))))
	}
	return exit.status
}

// describe is the error as one line for a person.
func describe(err error) string {
	var e *job.Error
	if errors.As(err, &e) && e.Code == job.Internal && e.Err != nil {
		return e.Err.Error()
	}
	return err.Error()
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}

func (p *program) root() *cobra.Command {
	root := &cobra.Command{
		Use:           "drover",
		Short:         "Run jobs on fleets of devices over SSH",
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.CompletionOptions.HiddenDefaultCmd = true
	root.AddCommand(p.serveCommand(), p.importCommand(), p.runCommand(), p.runsCommand(), p.showCommand(), p.cancelCommand(), p.rerunCommand(), p.schedulesCommand(),
		p.hostkeyCommand(), p.userCommand(), p.tokenCommand(), p.auditCommand(), p.keysCommand(), p.backupCommand(), p.restoreCommand(), p.demoCommand(),
		p.versionCommand())
	return root
}

// group is a command that only holds others.
func group(use, short string, commands ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{Use: use, Short: short, Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() }}
	cmd.AddCommand(commands...)
	return cmd
}

// oneArgument wants the argument that the second word of the command's Use
// names, and no other.
func oneArgument(cmd *cobra.Command, args []string) error {
	switch len(args) {
	case 0:
		return fmt.Errorf("%s: %s is missing", cmd.Name(), strings.Fields(cmd.Use)[1])
	case 1:
		return nil
	}
	return fmt.Errorf("%s: %q is one argument too many", cmd.Name(), args[1])
}

// failing makes a command's errors end with a status of the command's choice.
func failing(status int, f func(cmd *cobra.Command, args []string) error) func(cmd *cobra.Command, args []string) error {
	return func(cmd *cobra.Command, args []string) error {
		err := f(cmd, args)
		var exit *exitError
		if err == nil || errors.As(err, &exit) {
			return err
		}
		if errors.Is(err, context.Canceled) && cmd.Context().Err() != nil {
			return &exitError{exitInterrupted, errors.New("interrupted")}
		}
		return &exitError{status, err}
	}
}

// interruptible makes ctx end at the first signal. A second one ends the
// program as usual.
func interruptible(f func(cmd *cobra.Command, args []string) error) func(cmd *cobra.Command, args []string) error {
	return func(cmd *cobra.Command, args []string) error {
		ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
		defer stop()
		context.AfterFunc(ctx, stop)
		cmd.SetContext(ctx)
		return f(cmd, args)
	}
}

// fromEnv sets the flags that were not given from DROVER_<FLAG>.
func (p *program) fromEnv(flags *pflag.FlagSet) error {
	var first error
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Changed || f.Annotations[notFromEnv] != nil {
			return
		}
		name := "DROVER_" + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
		if v, ok := p.env(name); ok && v != "" {
			if err := flags.Set(f.Name, v); err != nil && first == nil {
				first = &exitError{exitUsage, fmt.Errorf("%s: %w", name, err)}
			}
		}
	})
	return first
}

// notFromEnv marks flags that have no environment variable.
const notFromEnv = "not-from-env"

func (p *program) getenv(name string) string {
	v, _ := p.env(name)
	return v
}

func (p *program) printf(format string, args ...any) { _, _ = fmt.Fprintf(p.out, format, args...) }

func (p *program) notef(format string, args ...any) { _, _ = fmt.Fprintf(p.err, format, args...) }

// count is a number of things in words: "1 device", "2 devices".
func count(n int, thing string) string {
	if n != 1 {
		thing += "s"
	}
	return fmt.Sprintf("%d %s", n, thing)
}

// terminal returns the file behind a stream that is a terminal.
func terminal(stream any) (*os.File, bool) {
	f, ok := stream.(*os.File)
	return f, ok && term.IsTerminal(int(f.Fd()))
}

// askPassword asks on the terminal without echo.
func (p *program) askPassword(ctx context.Context, prompt string) (job.Secret, error) {
	f, ok := terminal(p.in)
	if !ok {
		return "", errNoTerminal
	}
	before, err := term.GetState(int(f.Fd()))
	if err != nil {
		return "", err
	}
	p.notef("%s: ", prompt)
	type answer struct {
		text []byte
		err  error
	}
	read := make(chan answer, 1)
	go func() {
		b, err := term.ReadPassword(int(f.Fd()))
		read <- answer{b, err}
	}()
	select {
	case a := <-read:
		p.notef("\n")
		return job.Secret(a.text), a.err
	case <-ctx.Done():
		_ = term.Restore(int(f.Fd()), before) // the echo comes back although the read goes on
		p.notef("\n")
		return "", ctx.Err()
	}
}

var errNoTerminal = errors.New("there is no terminal to ask for the password")

// lineOf reads the first line of standard input.
func (p *program) lineOf() (job.Secret, error) {
	line, err := bufio.NewReader(io.LimitReader(p.in, 1<<16)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", err
	}
	return job.Secret(strings.TrimRight(line, "\r\n")), nil
}
