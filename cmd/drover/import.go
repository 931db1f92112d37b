package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"drover/internal/fleet"
	"drover/internal/inventory"
	"drover/internal/job"
	"drover/internal/render"
)

func (p *program) importCommand() *cobra.Command {
	var check bool
	cmd := &cobra.Command{
		Use:   "import FILE",
		Short: "Create or update what a fleet file says",
		Long: `Create or update the credentials, devices, pools, services and users of a fleet
file (YAML or JSON; "-" reads standard input). The whole file is checked first:
when anything is wrong, nothing is changed. What is not in the file stays as it
is. Paths in ..._file are relative to the fleet file.`,
		Args: oneArgument,
	}
	r := p.remoteFlags(cmd)
	cmd.Flags().BoolVar(&check, "check", false, "only check the file, change nothing")
	cmd.RunE = interruptible(failing(exitFailed, func(cmd *cobra.Command, args []string) error {
		return p.importFile(cmd.Context(), r, args[0], check)
	}))
	return cmd
}

// outcome is what became of one item.
type outcome struct {
	Kind   string `json:"kind"`
	Name   string `json:"name"`
	Action string `json:"action"`
	Error  *struct {
		Code    job.Code `json:"code"`
		Message string   `json:"message"`
		Field   string   `json:"field"`
	} `json:"error"`
}

func (p *program) importFile(ctx context.Context, r *remote, name string, check bool) error {
	data, err := p.readFleet(name)
	if err != nil {
		return err
	}
	file, err := fleet.Parse(data, fleet.Options{
		Env:       p.env,
		ReadFile:  func(secret string) ([]byte, error) { return readSecret(filepath.Dir(name), secret) },
		CheckBody: checkBody,
	})
	if err == nil {
		err = r.judge(ctx, file)
	}
	var bad *fleet.Error
	if errors.As(err, &bad) {
		return p.refuse(name, bad.Problems, bad.More)
	}
	if err != nil {
		return err
	}
	if check {
		p.printf("%s: nothing is wrong\n", name)
		return nil
	}
	parts, err := file.Parts()
	if err != nil {
		return err
	}
	if len(parts) == 0 {
		p.printf("%s: there is nothing in it to import\n", name)
	}
	sum := tally{}
	for _, part := range parts {
		var got struct {
			Outcomes []outcome `json:"outcomes"`
		}
		err := patiently(ctx, retryFor, p.tryAgain, func() error { return r.send(ctx, http.MethodPost, "import", part, &got) })
		var failed *apiError
		if errors.As(err, &failed) {
			sum.add(p, failed.Outcomes)
			if len(failed.Problems) > 0 {
				return p.refuse(name, failed.Problems, 0)
			}
		}
		if err != nil {
			sum.print(p)
			return err
		}
		sum.add(p, got.Outcomes)
	}
	sum.print(p)
	return nil
}

// checkBody is what the service checks when it saves, so that a bad template is
// found before anything is sent.
func checkBody(body string) error {
	if err := render.Check(body); err != nil {
		return job.FieldErrorf("body", "%s", job.MessageOf(err))
	}
	return nil
}

func (p *program) readFleet(name string) ([]byte, error) {
	in := p.in
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, fmt.Errorf("cannot read the fleet file: %w", err)
		}
		defer func() { _ = f.Close() }()
		in = f
	}
	data, err := io.ReadAll(io.LimitReader(in, fleet.MaxFile+1))
	if err != nil {
		return nil, fmt.Errorf("cannot read the fleet file: %w", err)
	}
	return data, nil
}

// maxSecretFile is more than any secret may have.
const maxSecretFile = inventory.MaxSecret + 2

func readSecret(dir, name string) ([]byte, error) {
	if !filepath.IsAbs(name) {
		name = filepath.Join(dir, name)
	}
	f, err := os.Open(name)
	if err != nil {
		var at *fs.PathError
		if errors.As(err, &at) {
			return nil, at.Err // the name is in the file already
		}
		return nil, err
	}
	defer func() { _ = f.Close() }()
	return io.ReadAll(io.LimitReader(f, maxSecretFile))
}

// refuse lists what is wrong with a fleet file.
func (p *program) refuse(name string, problems []fleet.Problem, more int) error {
	for _, problem := range problems {
		p.notef("%s: %s\n", name, problem)
	}
	if more > 0 {
		p.notef("%s: and %d more\n", name, more)
	}
	return &exitError{exitFailed, fmt.Errorf("%s is refused; nothing was changed", name)}
}

// askAtOnce is how many names one question about references has.
const askAtOnce = 5000

// judge asks the installation what only it can know.
func (r *remote) judge(ctx context.Context, file *fleet.File) error {
	n := file.Needs()
	var found fleet.Found
	for _, ask := range []struct {
		field string
		names []string
		to    *[]string
	}{
		{"devices", n.Devices, &found.Missing.Devices},
		{"pools", n.Pools, &found.Missing.Pools},
		{"credentials", n.Credentials, &found.Missing.Credentials},
		{"users", n.Users, &found.MissingUsers},
		{"static_pools", n.StaticPools, &found.ComputedPools},
		{"matched_pools", n.MatchedPools, &found.FilledPools},
	} {
		for names := range slices.Chunk(ask.names, askAtOnce) {
			var got map[string][]string
			err := patiently(ctx, retryFor, r.p.tryAgain, func() error {
				return r.call(ctx, http.MethodPost, "import/references", map[string][]string{ask.field: names}, &got)
			})
			if err != nil {
				return err
			}
			*ask.to = append(*ask.to, got[ask.field]...)
		}
	}
	if len(n.Devices)+len(n.Pools)+len(n.Credentials)+len(n.Users)+len(n.StaticPools)+len(n.MatchedPools) == 0 {
		// Nothing to ask; but a wrong password must show before the first part.
		if err := r.call(ctx, http.MethodGet, "me", nil, nil); err != nil {
			return err
		}
	}
	return file.Judge(found)
}

// tally counts outcomes by kind and action.
type tally map[string]map[string]int

// kinds in the order of the summary.
var kinds = []string{"credential", "pool", "device", "service", "user"}

// maxShown is how many changes of a kind are shown one by one.
const maxShown = 50

func (t tally) add(p *program, outcomes []outcome) {
	for _, o := range outcomes {
		n := t[o.Kind]
		if n == nil {
			n = map[string]int{}
			t[o.Kind] = n
		}
		action := o.Action
		if o.Error != nil {
			action = "failed"
			why := o.Error.Message
			if o.Error.Field != "" {
				why = o.Error.Field + ": " + why
			}
			p.notef("%s %s: %s\n", o.Kind, clean(o.Name), clean(why))
		}
		n[action]++
		if shown := n["created"] + n["updated"]; (action == "created" || action == "updated") && shown <= maxShown {
			p.printf("%s %s %s\n", action, o.Kind, clean(o.Name))
		} else if shown == maxShown+1 && action != "unchanged" {
			p.printf("... and further %ss\n", o.Kind)
		}
	}
}

func (t tally) print(p *program) {
	for _, kind := range kinds {
		n, ok := t[kind]
		if !ok {
			continue
		}
		p.printf("%ss: %d created, %d updated, %d unchanged", kind, n["created"], n["updated"], n["unchanged"])
		if n["failed"] > 0 {
			p.printf(", %d failed", n["failed"])
		}
		p.printf("\n")
	}
}

// indented writes v as JSON for people and programs.
func (p *program) indented(v any) error {
	e := json.NewEncoder(p.out)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
}
