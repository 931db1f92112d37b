package main

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// recurrence is when runs are to start, as the API says it.
type recurrence struct {
	At      string `json:"at,omitempty"`
	Cron    string `json:"cron,omitempty"`
	Every   string `json:"every,omitempty"`
	Zone    string `json:"zone,omitempty"`
	Start   string `json:"start,omitempty"`
	End     string `json:"end,omitempty"`
	MaxRuns int    `json:"max_runs,omitempty"`
	Grace   string `json:"grace,omitempty"`
}

// String says when in words.
func (r recurrence) String() string {
	s := "at " + r.At
	switch {
	case r.Cron != "":
		s = "cron " + r.Cron
		if r.Zone != "" {
			s += " " + r.Zone
		}
	case r.Every != "":
		s = "every " + r.Every
	}
	return s
}

// scheduleInfo is a schedule, as the API says it and --json prints it.
type scheduleInfo struct {
	ID      int64      `json:"id"`
	State   string     `json:"state"`
	Message string     `json:"message,omitempty"`
	Service string     `json:"service"`
	Creator string     `json:"creator"`
	Created time.Time  `json:"created"`
	When    recurrence `json:"schedule"`
	Purpose string     `json:"purpose,omitempty"`
	Runs    int        `json:"runs"`
	Next    *time.Time `json:"next"`
	NextRun string     `json:"next_run"`
	Last    *time.Time `json:"last"`
	LastRun string     `json:"last_run"`
	Latest  []runInfo  `json:"latest,omitempty"`
}

// sentence says how a schedule stands: "active: next at …".
func (s scheduleInfo) sentence() string {
	text := s.State
	if s.Next != nil {
		text += ": next run at " + moment(*s.Next)
	}
	if s.Message != "" {
		text += ": " + clean(s.Message)
	}
	return text
}

// whenFlags are the flags that say when a service is run.
type whenFlags struct {
	at, cron, zone string
}

func (w *whenFlags) register(f *pflag.FlagSet) {
	f.StringVar(&w.at, "at", "", "run once, later: 2026-11-27T20:15:00Z, '2026-11-27 20:15' in --zone, or +2h")
	f.StringVar(&w.cron, "cron", "", "run again and again: five fields, such as '0 3 * * sun'")
	f.StringVar(&w.zone, "zone", "", "time zone of --at and --cron, such as Europe/Berlin; UTC if not given")
}

// recurrence is what the flags ask for; nil: now.
func (w *whenFlags) recurrence(now time.Time) (*recurrence, error) {
	switch {
	case w.at != "" && w.cron != "":
		return nil, errors.New("--at and --cron: only one of them can be given")
	case w.cron != "":
		return &recurrence{Cron: w.cron, Zone: w.zone}, nil
	case w.at != "":
		at, err := parseAt(w.at, w.zone, now)
		if err != nil {
			return nil, err
		}
		return &recurrence{At: at.UTC().Format(time.RFC3339)}, nil
	case w.zone != "":
		return nil, errors.New("--zone: is for --at and --cron")
	}
	return nil, nil
}

// parseAt reads the time of --at.
func parseAt(s, zone string, now time.Time) (time.Time, error) {
	if s[0] == '+' {
		if d, err := time.ParseDuration(s[1:]); err == nil && d > 0 {
			return now.Add(d), nil
		}
	}
	loc, err := time.LoadLocation(zone)
	if err != nil {
		return time.Time{}, fmt.Errorf("--zone: there is no time zone %q", zone)
	}
	if t, err := time.Parse(time.RFC3339, s); err == nil {
		return t, nil
	}
	for _, layout := range []string{"2006-01-02 15:04:05", "2006-01-02 15:04", "2006-01-02T15:04:05", "2006-01-02T15:04"} {
		if t, err := time.ParseInLocation(layout, s, loc); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("--at: %q is not a time such as 2026-11-27T20:15:00Z, '2026-11-27 20:15' or +2h", s)
}

func (p *program) schedulesCommand() *cobra.Command {
	var asJSON bool
	cmd := group("schedules", "List and change schedules",
		p.showScheduleCommand(),
		p.changeScheduleCommand("pause", "Keep the next run of a schedule from starting"),
		p.changeScheduleCommand("resume", "Let a paused schedule start again"),
		p.changeScheduleCommand("cancel", "End a schedule; runs that have begun go on"),
		p.deleteScheduleCommand())
	r := p.remoteFlags(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON array")
	cmd.RunE = interruptible(failing(exitFailed, func(cmd *cobra.Command, _ []string) error {
		list := []scheduleInfo{}
		err := all(cmd.Context(), r, "schedules", url.Values{}, "schedules", func(page []scheduleInfo) bool {
			list = append(list, page...)
			return true
		})
		if err != nil {
			return err
		}
		if asJSON {
			return p.indented(list)
		}
		return p.printSchedules(list)
	}))
	return cmd
}

func (p *program) printSchedules(list []scheduleInfo) error {
	if len(list) == 0 {
		p.printf("there are no schedules\n")
		return nil
	}
	w := tabwriter.NewWriter(p.out, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "SCHEDULE\tSTATE\tSERVICE\tBY\tWHEN\tRUNS\tNEXT")
	for _, s := range list {
		next := "-"
		if s.Next != nil {
			next = moment(*s.Next)
		}
		_, _ = fmt.Fprintf(w, "%d\t%s\t%s\t%s\t%s\t%d\t%s\n", s.ID, s.State, clean(s.Service), clean(s.Creator), clean(s.When.String()), s.Runs, next)
	}
	return w.Flush()
}

// schedulePath is the path of a schedule that the command line names.
func schedulePath(id string) (string, error) {
	if n, err := strconv.ParseInt(id, 10, 64); err != nil || n < 1 {
		return "", fmt.Errorf("%q is not the number of a schedule; drover schedules lists them", id)
	}
	return "schedules/" + url.PathEscape(id), nil
}

func (p *program) showScheduleCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{Use: "show ID", Short: "Show a schedule and its latest runs", Args: oneArgument}
	r := p.remoteFlags(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.RunE = interruptible(failing(exitFailed, func(cmd *cobra.Command, args []string) error {
		path, err := schedulePath(args[0])
		if err != nil {
			return err
		}
		var s scheduleInfo
		if err := r.call(cmd.Context(), http.MethodGet, path, nil, &s); err != nil {
			return err
		}
		if asJSON {
			return p.indented(s)
		}
		p.printf("schedule %d of %s by %s, %s\n%s\n", s.ID, clean(s.Service), clean(s.Creator), clean(s.When.String()), s.sentence())
		return p.printRuns(s.Latest)
	}))
	return cmd
}

func (p *program) changeScheduleCommand(verb, short string) *cobra.Command {
	cmd := &cobra.Command{Use: verb + " ID", Short: short, Args: oneArgument}
	r := p.remoteFlags(cmd)
	cmd.RunE = interruptible(failing(exitFailed, func(cmd *cobra.Command, args []string) error {
		path, err := schedulePath(args[0])
		if err != nil {
			return err
		}
		var s scheduleInfo
		if err := r.call(cmd.Context(), http.MethodPost, path+"/"+verb, nil, &s); err != nil {
			return err
		}
		p.printf("schedule %d %s\n", s.ID, s.sentence())
		return nil
	}))
	return cmd
}

func (p *program) deleteScheduleCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "delete ID", Short: "End a schedule and forget it; its runs stay", Args: oneArgument}
	r := p.remoteFlags(cmd)
	cmd.RunE = interruptible(failing(exitFailed, func(cmd *cobra.Command, args []string) error {
		path, err := schedulePath(args[0])
		if err != nil {
			return err
		}
		if err := r.call(cmd.Context(), http.MethodDelete, path, nil, nil); err != nil {
			return err
		}
		p.printf("schedule %s is gone\n", args[0])
		return nil
	}))
	return cmd
}
