package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"drover/internal/fleet"
	"drover/internal/job"
	"drover/internal/secret"
	"drover/internal/standalone"
)

func (p *program) versionCommand() *cobra.Command {
	return &cobra.Command{Use: "version", Short: "Print the version", Args: cobra.NoArgs, RunE: func(*cobra.Command, []string) error {
		p.printf("drover %s %s %s/%s\n", version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
		return nil
	}}
}

func (p *program) userCommand() *cobra.Command {
	return group("user", "Add users", p.userAddCommand(), p.userHashCommand())
}

// newPassword finds the password of a user that is being made.
func (p *program) newPassword(ctx context.Context, stdin bool) (job.Secret, error) {
	if stdin {
		return p.lineOf()
	}
	if v, ok := p.env("DROVER_NEW_PASSWORD"); ok && v != "" {
		return job.Secret(v), nil
	}
	first, err := p.askPassword(ctx, "new password")
	if errors.Is(err, errNoTerminal) {
		return "", errors.New("no new password: set DROVER_NEW_PASSWORD or use --password-stdin")
	}
	if err != nil {
		return "", err
	}
	again, err := p.askPassword(ctx, "once more")
	if err == nil && again != first {
		err = errors.New("the two passwords differ")
	}
	return first, err
}

func (p *program) userAddCommand() *cobra.Command {
	var role string
	var stdin bool
	cmd := &cobra.Command{
		Use:   "add NAME --role ROLE",
		Short: "Add a user, or change the role and password of one",
		Long: `Add a user, or change the role and password of one. The new user's password comes
from DROVER_NEW_PASSWORD, from the first line of standard input with
--password-stdin, or from a prompt. With --tenant the user belongs to that
tenant.`,
		Args: oneArgument,
	}
	r := p.remoteFlags(cmd)
	cmd.Flags().StringVar(&role, "role", "", "viewer, operator or admin")
	cmd.Flags().BoolVar(&stdin, "password-stdin", false, "read the new user's password from standard input")
	_ = cmd.MarkFlagRequired("role") // the flag is there
	cmd.RunE = interruptible(failing(exitFailed, func(cmd *cobra.Command, args []string) error {
		ctx := cmd.Context()
		if err := r.login(ctx); err != nil {
			return err
		}
		pw, err := p.newPassword(ctx, stdin)
		if err != nil {
			return err
		}
		body, err := fleet.Document{Users: []fleet.User{{Name: &args[0], Role: &role, Password: &pw}}}.Encode()
		if err != nil {
			return err
		}
		var got struct {
			Outcomes []outcome `json:"outcomes"`
		}
		err = r.send(ctx, http.MethodPost, "import", body, &got)
		var failed *apiError
		if errors.As(err, &failed) && len(failed.Outcomes) == 1 && failed.Outcomes[0].Error != nil {
			return errors.New(failed.Outcomes[0].Error.Message)
		}
		if failed != nil {
			failed.Field = strings.TrimPrefix(failed.Field, "users[0].")
		}
		if err != nil {
			return err
		}
		for _, o := range got.Outcomes {
			p.printf("user %s %s\n", clean(o.Name), o.Action)
		}
		return nil
	}))
	return cmd
}

func (p *program) userHashCommand() *cobra.Command {
	var stdin bool
	cmd := &cobra.Command{
		Use:   "hash",
		Short: "Print the hash of a password, for DROVER_ADMIN_PASSWORD_HASH in the cloud",
		Args:  cobra.NoArgs,
	}
	cmd.Flags().BoolVar(&stdin, "password-stdin", false, "read the password from standard input")
	cmd.RunE = interruptible(failing(exitFailed, func(cmd *cobra.Command, _ []string) error {
		pw, err := p.newPassword(cmd.Context(), stdin)
		if err != nil {
			return err
		}
		if pw == "" {
			return errors.New("the password is empty")
		}
		hash, err := secret.HashPassword(pw)
		if err != nil {
			return err
		}
		p.printf("%s\n", hash)
		return nil
	}))
	return cmd
}

func (p *program) auditCommand() *cobra.Command {
	var asJSON bool
	var limit int
	cmd := &cobra.Command{Use: "audit", Short: "List who changed or ran what, newest first", Args: cobra.NoArgs}
	r := p.remoteFlags(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON array")
	cmd.Flags().IntVar(&limit, "limit", 50, "how many at most; 0: all")
	cmd.RunE = interruptible(failing(exitFailed, func(cmd *cobra.Command, _ []string) error {
		type entry struct {
			Time    time.Time `json:"time"`
			User    string    `json:"user"`
			Address string    `json:"address"`
			Action  string    `json:"action"`
			Object  string    `json:"object"`
			Detail  string    `json:"detail"`
		}
		entries := []entry{}
		err := all(cmd.Context(), r, "audit", url.Values{}, "audit", func(page []entry) bool {
			entries = append(entries, page...)
			return limit <= 0 || len(entries) < limit
		})
		if err != nil {
			return err
		}
		if limit > 0 && len(entries) > limit {
			entries = entries[:limit]
		}
		if asJSON {
			return p.indented(entries)
		}
		w := tabwriter.NewWriter(p.out, 0, 0, 2, ' ', 0)
		_, _ = fmt.Fprintln(w, "TIME\tUSER\tADDRESS\tACTION\tOBJECT\tDETAIL")
		for _, e := range entries {
			_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", e.Time.UTC().Format("2006-01-02 15:04:05Z"), clean(e.User), e.Address, e.Action, clean(e.Object), clean(e.Detail))
		}
		return w.Flush()
	}))
	return cmd
}

func (p *program) backupCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "backup FILE",
		Short: "Write a backup while the service runs (one machine only)",
		Long: `Write a consistent backup of the data folder while the service runs. The file
appears whole or not at all, and only its owner can read it. The key file is not
in it: keep a copy of drover.key elsewhere, or no stored secret can be read.`,
		Args: oneArgument,
	}
	r := p.remoteFlags(cmd)
	cmd.RunE = interruptible(failing(exitFailed, func(cmd *cobra.Command, args []string) error {
		n, err := r.backup(cmd.Context(), args[0])
		if err != nil {
			return err
		}
		p.printf("%s: %d bytes\n", args[0], n)
		return nil
	}))
	return cmd
}

func (r *remote) backup(ctx context.Context, name string) (n int64, err error) {
	if info, err := os.Stat(name); err == nil && !info.Mode().IsRegular() {
		return 0, fmt.Errorf("%s is not a file", name)
	}
	f, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+"-*") // mode 0600
	if err != nil {
		return 0, fmt.Errorf("cannot write the backup: %w", err)
	}
	defer func() {
		_ = f.Close()
		_ = os.Remove(f.Name()) // gone already when all went well
	}()
	resp, err := r.request(ctx, http.MethodGet, "backup", nil)
	if err != nil {
		return 0, err
	}
	defer func() { _ = resp.Body.Close() }()
	if n, err = io.Copy(f, resp.Body); err != nil {
		return n, fmt.Errorf("the backup broke off, nothing was kept: %w", err)
	}
	if err := f.Sync(); err != nil {
		return n, fmt.Errorf("cannot write the backup: %w", err)
	}
	if err := f.Close(); err != nil {
		return n, fmt.Errorf("cannot write the backup: %w", err)
	}
	if err := os.Rename(f.Name(), name); err != nil {
		return n, fmt.Errorf("cannot write the backup: %w", err)
	}
	dir, err := os.Open(filepath.Dir(name))
	if err != nil {
		return n, err
	}
	defer func() { _ = dir.Close() }()
	return n, dir.Sync()
}

func (p *program) restoreCommand() *cobra.Command {
	var data string
	cmd := &cobra.Command{
		Use:   "restore FILE --data DIR",
		Short: "Put a backup into a data folder that has no data yet",
		Args:  oneArgument,
	}
	cmd.Flags().StringVar(&data, "data", "", "folder for the data (DROVER_DATA); made when there is none")
	cmd.RunE = failing(exitFailed, func(cmd *cobra.Command, args []string) error {
		if err := p.fromEnv(cmd.Flags()); err != nil {
			return err
		}
		if data == "" {
			return &exitError{exitUsage, errors.New("--data (or DROVER_DATA): the folder for the data is required")}
		}
		f, err := os.Open(args[0])
		if err != nil {
			return fmt.Errorf("cannot read the backup: %w", err)
		}
		defer func() { _ = f.Close() }()
		got, err := standalone.Restore(f, data)
		if err != nil {
			return err
		}
		p.printf("restored into %s, with %s\n", data, count(got.Blobs, "large output"))
		if !got.HasKey {
			p.printf("now put the key file where it belongs, or no stored secret can be read: %s\n", got.KeyFile)
		}
		return nil
	})
	return cmd
}
