package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// submission is the body of a submit and of a preview.
type submission struct {
	Service string            `json:"service"`
	Devices []string          `json:"devices,omitempty"`
	Pools   []string          `json:"pools,omitempty"`
	Payload map[string]string `json:"payload,omitempty"`
	Query   string            `json:"query,omitempty"`
	Dynamic bool              `json:"dynamic,omitempty"`

	Schedule   *recurrence `json:"schedule,omitempty"`
	RunTimeout string      `json:"run_timeout,omitempty"`
	StopAfter  string      `json:"stop_after,omitempty"`
}

// retryFor is how long a call is repeated while the service does not answer.
const retryFor = 20 * time.Second

func (p *program) runCommand() *cobra.Command {
	var sub submission
	var vars []string
	var watch, dryRun bool
	var when whenFlags
	var runTimeout time.Duration
	cmd := &cobra.Command{
		Use:   "run SERVICE",
		Short: "Run a service and wait for its end",
		Long: `Run a service on its own targets, or on the devices and pools given, and wait for
its end. The exit status is 0 when every device succeeded, 1 when some did not,
2 when nothing could be run. An interrupt leaves the run going. With --at or --cron
the service is run later, and the command does not wait.`,
		Args: oneArgument,
	}
	r := p.remoteFlags(cmd)
	f := cmd.Flags()
	f.StringArrayVar(&sub.Devices, "device", nil, "device to run on; may be repeated")
	f.StringArrayVar(&sub.Pools, "pool", nil, "pool to run on; may be repeated")
	f.StringVar(&sub.Query, "query", "", "run on the devices that this query finds, such as 'params.site = lab'")
	f.StringArrayVar(&vars, "var", nil, "k=v: sets the payload's key k to the text v; may be repeated")
	f.BoolVar(&watch, "watch", false, "show each device's result as it comes")
	f.BoolVar(&dryRun, "dry-run", false, "show the devices and the rendered text, touch nothing")
	f.StringVar(&sub.StopAfter, "stop-after", "", "begin no further device once so many (3), or such a part of all (10%), did not succeed")
	f.DurationVar(&runTimeout, "run-timeout", 0, "longest time of the whole run, such as 1h")
	when.register(f)
	cmd.RunE = interruptible(failing(exitUsage, func(cmd *cobra.Command, args []string) error {
		sub.Service = args[0]
		if cmd.Flags().Changed("run-timeout") {
			sub.RunTimeout = runTimeout.String()
		}
		var err error
		if sub.Schedule, err = when.recurrence(time.Now()); err != nil {
			return err
		}
		if sub.Schedule != nil && watch {
			return errors.New("--watch: the run does not begin now; to watch it then: drover show RUN --watch")
		}
		sub.Dynamic = sub.Query != "" && sub.Schedule != nil // what is there then, not now
		for _, v := range vars {
			k, text, ok := strings.Cut(v, "=")
			if !ok || k == "" {
				return fmt.Errorf("--var: want k=v, not %q", v)
			}
			if sub.Payload == nil {
				sub.Payload = map[string]string{}
			}
			sub.Payload[k] = text
		}
		if dryRun {
			sub.Schedule, sub.Dynamic = nil, false
			return p.preview(cmd.Context(), r, sub)
		}
		return p.runService(cmd.Context(), r, sub, watch)
	}))
	return cmd
}

func (p *program) runService(ctx context.Context, r *remote, sub submission, watch bool) error {
	return p.submit(ctx, r, "runs", sub, watch)
}

// submit asks for a run, once however often the call is repeated, and follows it.
// One that begins later is only told of.
func (p *program) submit(ctx context.Context, r *remote, path string, body any, watch bool) error {
	var got struct {
		Run      runInfo       `json:"run"`
		Schedule *scheduleInfo `json:"schedule"`
	}
	key := newKey()
	err := patiently(ctx, retryFor, p.tryAgain, func() error {
		return r.call(ctx, http.MethodPost, path, body, &got, "Idempotency-Key", key)
	})
	if err != nil {
		return err
	}
	if got.Schedule != nil && got.Schedule.Next != nil {
		p.printf("schedule %d: run %s is to start at %s\n", got.Schedule.ID, got.Run.ID, moment(*got.Schedule.Next))
		return nil
	}
	return p.follow(ctx, r, got.Run, watch)
}

func (p *program) rerunCommand() *cobra.Command {
	var again struct {
		Unfinished bool     `json:"unfinished,omitempty"`
		Statuses   []string `json:"statuses,omitempty"`
	}
	var watch bool
	cmd := &cobra.Command{
		Use:   "rerun RUN",
		Short: "Run the job of a run again and wait for its end",
		Long: `Run the job of a run again, as it was: on all of its devices, or on those that did
not succeed (--failed), or on those with a result given. The exit status is that of
run.`,
		Args: oneArgument,
	}
	r := p.remoteFlags(cmd)
	f := cmd.Flags()
	f.BoolVar(&again.Unfinished, "failed", false, "only on the devices that did not succeed, those that were not begun included")
	f.StringArrayVar(&again.Statuses, "status", nil, "only on the devices with this result, such as unreachable; may be repeated")
	f.BoolVar(&watch, "watch", false, "show each device's result as it comes")
	cmd.RunE = interruptible(failing(exitUsage, func(cmd *cobra.Command, args []string) error {
		return p.submit(cmd.Context(), r, "runs/"+url.PathEscape(args[0])+"/rerun", again, watch)
	}))
	return cmd
}

// follow waits for a run's end, shows how it goes, and makes its outcome the
// exit status.
func (p *program) follow(ctx context.Context, r *remote, run runInfo, watch bool) error {
	w := &watcher{p: p, remote: r, run: run, results: watch, show: newProgress(p, run)}
	err := w.wait(ctx)
	w.show.done()
	if err != nil {
		if ctx.Err() != nil {
			return &exitError{exitInterrupted, fmt.Errorf("the run %s goes on; to watch it: drover show %s --watch; to stop it: drover cancel %s", run.ID, run.ID, run.ID)}
		}
		return fmt.Errorf("the run %s goes on, but cannot be followed: %w", run.ID, err)
	}
	return p.ended(ctx, r, w.run, !watch)
}

// ended prints what a run amounts to and returns the exit status.
func (p *program) ended(ctx context.Context, r *remote, run runInfo, failures bool) error {
	bad := run.Counts.Total - run.Counts.Succeeded
	if failures && bad > 0 {
		if err := p.printFailures(ctx, r, run); err != nil {
			return err
		}
	}
	p.printf("run %s %s\n", run.ID, run.sentence())
	switch {
	case run.Status == "succeeded":
		return nil
	case run.Counts.Total == 0:
		return &exitError{exitUsage, errors.New("there is no device to run on")}
	case run.Reason == "internal":
		return &exitError{exitUsage, fmt.Errorf("the run could not be planned: %s", run.Message)}
	}
	return &exitError{status: exitFailed}
}

// maxFailures is how many failed devices a summary shows.
const maxFailures = 20

// printFailures shows the devices that did not succeed.
func (p *program) printFailures(ctx context.Context, r *remote, run runInfo) error {
	shown := 0
	err := r.eachResult(ctx, run.ID, 0, func(_ int, d result) bool {
		if d.Status == "succeeded" {
			return true
		}
		if shown++; shown > maxFailures {
			p.printf("... more: drover show %s\n", run.ID)
			return false
		}
		p.printResult(d)
		return true
	})
	return err
}

func (p *program) preview(ctx context.Context, r *remote, sub submission) error {
	var got struct {
		Total    int `json:"total"`
		Previews []struct {
			Device  string `json:"device"`
			Address string `json:"address"`
			Text    string `json:"text"`
			Error   string `json:"error"`
		} `json:"previews"`
	}
	if err := r.call(ctx, http.MethodPost, "preview?"+url.Values{"limit": {"1000"}}.Encode(), sub, &got); err != nil {
		return err
	}
	bad := 0
	for _, v := range got.Previews {
		p.printf("%s (%s)\n", clean(v.Device), clean(v.Address))
		if v.Error != "" {
			bad++
			p.printf("  cannot be rendered: %s\n", clean(v.Error))
			continue
		}
		p.printf("%s", indent(v.Text))
	}
	if more := got.Total - len(got.Previews); more > 0 {
		p.printf("... and %s more\n", count(more, "device"))
	}
	p.printf("%s; nothing was run\n", count(got.Total, "device"))
	switch {
	case got.Total == 0:
		return &exitError{exitUsage, errors.New("there is no device to run on")}
	case bad > 0:
		return &exitError{exitFailed, fmt.Errorf("the text cannot be rendered for %s", count(bad, "device"))}
	}
	return nil
}
