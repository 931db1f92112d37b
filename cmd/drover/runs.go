package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"drover/internal/job"
)

// runInfo is a run, as the API says it and --json prints it.
type runInfo struct {
	ID      string     `json:"id"`
	Status  job.Status `json:"status"`
	Reason  string     `json:"reason"`
	Message string     `json:"message,omitempty"`
	Service string     `json:"service"`
	Creator string     `json:"creator"`
	Counts  job.Counts `json:"counts"`
	Created time.Time  `json:"created"`
	Started *time.Time `json:"started"`
	Ended   *time.Time `json:"ended"`

	// Only where there is something to say.
	Planned     *time.Time `json:"planned,omitempty"`
	ScheduleID  int64      `json:"schedule_id,omitempty"`
	RerunOf     string     `json:"rerun_of,omitempty"`
	Description string     `json:"description,omitempty"`
}

// result is one device's result, as the API says it and --json prints it.
type result struct {
	Device     string           `json:"device"`
	Step       string           `json:"step"`
	Status     job.ResultStatus `json:"status"`
	Reason     string           `json:"reason"`
	Message    string           `json:"message"`
	ExitStatus *int             `json:"exit_status"`
	Stdout     string           `json:"stdout"`
	Stderr     string           `json:"stderr"`
	Attempts   int              `json:"attempts"`
	Started    *time.Time       `json:"started"`
	Ended      *time.Time       `json:"ended"`
}

func (p *program) runsCommand() *cobra.Command {
	var asJSON bool
	var limit int
	var service, status string
	cmd := &cobra.Command{Use: "runs", Short: "List runs, newest first", Args: cobra.NoArgs}
	r := p.remoteFlags(cmd)
	f := cmd.Flags()
	f.BoolVar(&asJSON, "json", false, "print a JSON array")
	f.IntVar(&limit, "limit", 50, "how many at most; 0: all")
	f.StringVar(&service, "service", "", "only runs of this service")
	f.StringVar(&status, "status", "", "only runs in this status")
	cmd.RunE = interruptible(failing(exitFailed, func(cmd *cobra.Command, _ []string) error {
		q := url.Values{}
		for name, v := range map[string]string{"service": service, "status": status} {
			if v != "" {
				q.Set(name, v)
			}
		}
		runs := []runInfo{}
		err := all(cmd.Context(), r, "runs", q, "runs", func(page []runInfo) bool {
			runs = append(runs, page...)
			return limit <= 0 || len(runs) < limit
		})
		if err != nil {
			return err
		}
		if limit > 0 && len(runs) > limit {
			runs = runs[:limit]
		}
		if asJSON {
			return p.indented(runs)
		}
		return p.printRuns(runs)
	}))
	return cmd
}

func (p *program) printRuns(runs []runInfo) error {
	if len(runs) == 0 {
		p.printf("there are no runs\n")
		return nil
	}
	w := tabwriter.NewWriter(p.out, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "RUN\tSTATUS\tSERVICE\tBY\tDEVICES\tOK\tCREATED")
	for _, r := range runs {
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d\t%d\t%s\n", r.ID, r.state(), clean(r.Service), clean(r.Creator),
			r.Counts.Total, r.Counts.Succeeded, moment(r.Created))
	}
	return w.Flush()
}

// state is the status with its reason.
func (r runInfo) state() string {
	if r.Reason == "" || r.Reason == string(r.Status) {
		return string(r.Status)
	}
	return string(r.Status) + " (" + r.Reason + ")"
}

// more is what else there is to say of a run, a line each.
func (r runInfo) more() string {
	s := ""
	if r.Description != "" {
		s += clean(r.Description) + "\n"
	}
	if r.Planned != nil {
		s += fmt.Sprintf("planned for %s by schedule %d\n", moment(*r.Planned), r.ScheduleID)
	}
	if r.RerunOf != "" {
		s += "repeats run " + r.RerunOf + "\n"
	}
	return s
}

// sentence says how a run stands: "succeeded: 25 succeeded, 0.9s".
func (r runInfo) sentence() string {
	s := r.state() + ":"
	any := false
	for _, status := range job.ResultStatuses() {
		if n := r.Counts.Of(status); n > 0 {
			s += fmt.Sprintf(" %d %s,", n, status)
			any = true
		}
	}
	if !any {
		s += " no devices,"
	}
	if r.Started != nil && r.Ended != nil {
		return s + " " + seconds(r.Ended.Sub(*r.Started))
	}
	return s[:len(s)-1]
}

func moment(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05Z") }

func seconds(d time.Duration) string { return strconv.FormatFloat(d.Seconds(), 'f', 1, 64) + "s" }

func (p *program) showCommand() *cobra.Command {
	var asJSON, watch bool
	cmd := &cobra.Command{Use: "show RUN", Short: "Show a run and its results", Args: oneArgument}
	r := p.remoteFlags(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.Flags().BoolVar(&watch, "watch", false, "wait for the run's end and show results as they come")
	cmd.RunE = interruptible(failing(exitFailed, func(cmd *cobra.Command, args []string) error {
		ctx := cmd.Context()
		var run runInfo
		if err := r.call(ctx, http.MethodGet, "runs/"+url.PathEscape(args[0]), nil, &run); err != nil {
			return err
		}
		if watch && !asJSON {
			return p.follow(ctx, r, run, true)
		}
		if watch {
			w := &watcher{p: p, remote: r, run: run, show: silent{}}
			if err := w.wait(ctx); err != nil {
				return err
			}
			run = w.run
		}
		if !asJSON {
			err := r.eachResult(ctx, run.ID, 0, func(_ int, d result) bool { p.printResult(d); return true })
			p.printf("run %s of %s by %s, %s\n", run.ID, clean(run.Service), clean(run.Creator), run.sentence())
			p.printf("%s", run.more())
			if run.Message != "" {
				p.printf("%s\n", clean(run.Message))
			}
			return err
		}
		out := struct {
			runInfo
			Results []result `json:"results"`
		}{run, []result{}}
		err := r.eachResult(ctx, run.ID, 0, func(_ int, d result) bool { out.Results = append(out.Results, d); return true })
		if err != nil {
			return err
		}
		return p.indented(out)
	}))
	return cmd
}

func (p *program) cancelCommand() *cobra.Command {
	var force bool
	cmd := &cobra.Command{Use: "cancel RUN", Short: "Stop a run", Args: oneArgument}
	r := p.remoteFlags(cmd)
	cmd.Flags().BoolVar(&force, "force", false, "do not wait for devices to let go: what becomes of their commands is not known then")
	cmd.RunE = interruptible(failing(exitFailed, func(cmd *cobra.Command, args []string) error {
		var run runInfo
		if err := r.call(cmd.Context(), http.MethodPost, "runs/"+url.PathEscape(args[0])+"/cancel", map[string]bool{"force": force}, &run); err != nil {
			return err
		}
		p.printf("run %s %s\n", run.ID, run.sentence())
		return nil
	}))
	return cmd
}

// eachResult calls f for the results of a run from index on, until f says no.
func (r *remote) eachResult(ctx context.Context, run string, index int, f func(index int, d result) bool) error {
	for {
		var page struct {
			Results []result `json:"results"`
			Next    *int     `json:"next"`
		}
		path := fmt.Sprintf("runs/%s/results?from=%d&limit=500", url.PathEscape(run), index)
		if err := r.call(ctx, http.MethodGet, path, nil, &page); err != nil {
			return err
		}
		for i, d := range page.Results {
			if !f(index+i, d) {
				return nil
			}
		}
		if page.Next == nil {
			return nil
		}
		index = *page.Next
	}
}

// printResult shows one device's result.
func (p *program) printResult(d result) {
	p.printf("%s: %s", clean(d.Device), d.Status)
	if d.Reason != "" {
		p.printf(" (%s)", d.Reason)
	}
	exit := ""
	if d.ExitStatus != nil && *d.ExitStatus != 0 {
		exit = fmt.Sprintf("exit status %d", *d.ExitStatus)
		p.printf(", %s", exit)
	}
	if d.Attempts > 1 {
		p.printf(", %d attempts", d.Attempts)
	}
	if d.Message != "" && d.Message != exit {
		p.printf(": %s", clean(d.Message))
	}
	p.printf("\n%s%s", indent(d.Stdout), indent(d.Stderr))
	p.advise(d.Reason)
}

// advise says, once, what to do about a host key that was refused.
func (p *program) advise(reason string) {
	advice := map[string]string{
		job.ReasonHostKeyChanged: "if the key that a device shows now is its own (compare the fingerprints): drover hostkey accept DEVICE",
		job.ReasonHostKeyUnknown: "to pin a device's key: drover hostkey accept DEVICE --key KEY, or drover hostkey import with a known_hosts file",
	}[reason]
	if advice != "" && !p.advised[reason] {
		p.advised[reason] = true
		p.notef("%s\n", advice)
	}
}
