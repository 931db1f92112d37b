package console

import (
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"drover/internal/dispatch"
	"drover/internal/inventory"
	"drover/internal/job"
)

// wireRecurrence is when the runs of a schedule are to start. Exactly one of At,
// Cron and Every is given. Times are RFC 3339, durations like 1h30m.
type wireRecurrence struct {
	At      string `json:"at,omitempty"`
	Cron    string `json:"cron,omitempty"`
	Every   string `json:"every,omitempty"`
	Zone    string `json:"zone,omitempty"`
	Start   string `json:"start,omitempty"`
	End     string `json:"end,omitempty"`
	MaxRuns int    `json:"max_runs,omitempty"`
	Grace   string `json:"grace,omitempty"`
}

func (w *wireRecurrence) toJob() (*job.Recurrence, error) {
	if w == nil {
		return nil, nil
	}
	r := &job.Recurrence{Cron: w.Cron, Zone: w.Zone, MaxRuns: w.MaxRuns}
	for _, f := range []struct {
		field, value string
		to           **time.Time
	}{{"schedule.at", w.At, &r.At}, {"schedule.start", w.Start, &r.Start}, {"schedule.end", w.End, &r.End}} {
		var err error
		if *f.to, err = timeOf(f.field, f.value); err != nil {
			return nil, err
		}
	}
	var err error
	if r.Every, err = durationOf("schedule.every", w.Every); err == nil {
		r.Grace, err = durationOf("schedule.grace", w.Grace)
	}
	return r, err
}

func recurrenceOf(r job.Recurrence) wireRecurrence {
	w := wireRecurrence{Cron: r.Cron, Zone: r.Zone, MaxRuns: r.MaxRuns, At: stamp(r.At), Start: stamp(r.Start), End: stamp(r.End)}
	if r.Every > 0 {
		w.Every = r.Every.String()
	}
	if r.Grace > 0 {
		w.Grace = r.Grace.String()
	}
	return w
}

func stamp(t *time.Time) string {
	if t == nil {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

// timeOf reads a time; "" is none.
func timeOf(field, s string) (*time.Time, error) {
	if s == "" {
		return nil, nil
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return nil, job.FieldErrorf(field, "%q is not a time such as 2026-11-27T20:15:00Z", clip(s))
	}
	return &t, nil
}

// durationOf reads a length of time; "" is 0.
func durationOf(field, s string) (time.Duration, error) {
	if s == "" {
		return 0, nil
	}
	d, err := time.ParseDuration(s)
	if err != nil || d <= 0 {
		return 0, job.FieldErrorf(field, "%q is not a time with its unit, such as 30s, 5m or 1h30m", clip(s))
	}
	return d, nil
}

// stopAfterOf reads a number or a percentage; nothing and null are never.
func stopAfterOf(field string, raw json.RawMessage) (job.StopAfter, error) {
	var text string
	switch {
	case len(raw) == 0 || string(raw) == "null":
		return job.StopAfter{}, nil
	case raw[0] != '"':
		text = string(raw)
	default:
		if err := json.Unmarshal(raw, &text); err != nil {
			return job.StopAfter{}, job.FieldErrorf(field, "is not a text")
		}
	}
	return inventory.ParseStopAfter(field, text)
}

// wireStopAfter is a number or a percentage in answers; nil where there is none.
func wireStopAfter(s job.StopAfter) any {
	switch {
	case s.Percent > 0:
		return inventory.StopAfterText(s)
	case s.Count > 0:
		return s.Count
	}
	return nil
}

// wireSchedule is a schedule as callers see it.
type wireSchedule struct {
	ID      int64             `json:"id"`
	State   job.ScheduleState `json:"state"`
	Message string            `json:"message,omitempty"`
	Service string            `json:"service"`
	Creator string            `json:"creator"`
	Created time.Time         `json:"created"`
	When    wireRecurrence    `json:"schedule"`
	Purpose string            `json:"purpose,omitempty"`
	Runs    int               `json:"runs"` // made so far, the next one included
	Next    *time.Time        `json:"next"`
	NextRun string            `json:"next_run"`
	Last    *time.Time        `json:"last"`
	LastRun string            `json:"last_run"`
	Latest  *[]wireRun        `json:"latest,omitempty"` // when it is asked for alone
}

func scheduleOf(s job.Schedule) wireSchedule {
	return wireSchedule{ID: s.ID, State: s.State, Message: s.Message, Service: s.ServiceName, Creator: s.CreatedBy, Created: s.Created.UTC(),
		When: recurrenceOf(s.Recurrence), Purpose: s.Purpose, Runs: s.Runs, Next: utc(s.Next), NextRun: s.NextRun, Last: utc(s.Last), LastRun: s.LastRun}
}

func (s *server) schedules(c call) (answer, error) {
	return page(c, "schedules", s.Dispatch.Schedules, scheduleOf)
}

// maxLatest is how many of its runs a schedule is shown with.
const maxLatest = 20

// schedule answers with one schedule and its latest runs, newest first.
func (s *server) schedule(c call) (answer, error) {
	id, err := c.id()
	if err != nil {
		return answer{}, err
	}
	sc, err := s.Dispatch.Schedule(c.Context(), c.p, id)
	if err != nil {
		return answer{}, err
	}
	runs, err := s.Dispatch.LatestScheduleRuns(c.Context(), c.p, id, maxLatest)
	if err != nil {
		return answer{}, err
	}
	w := scheduleOf(sc)
	latest := make([]wireRun, len(runs))
	for i, run := range runs {
		latest[i] = runOf(run, counts(run))
	}
	w.Latest = &latest
	return answer{body: w}, nil
}

// id is the number that the path names.
func (c call) id() (int64, error) {
	id, err := strconv.ParseInt(c.PathValue("id"), 10, 64)
	if err != nil || id < 1 {
		return 0, job.Errorf(job.NotFound, "there is no schedule %q", clip(c.PathValue("id")))
	}
	return id, nil
}

// changeSchedule is a route that changes the schedule that the path names.
func changeSchedule(change func(*dispatch.Dispatcher, call, int64) (job.Schedule, error)) func(*server, call) (answer, error) {
	return func(s *server, c call) (answer, error) {
		id, err := c.id()
		if err != nil {
			return answer{}, err
		}
		if _, err := c.decode(&struct{}{}, true); err != nil {
			return answer{}, err
		}
		sc, err := change(s.Dispatch, c, id)
		return answer{body: scheduleOf(sc)}, err
	}
}

var (
	pauseSchedule = changeSchedule(func(d *dispatch.Dispatcher, c call, id int64) (job.Schedule, error) {
		return d.PauseSchedule(c.Context(), c.p, id)
	})
	resumeSchedule = changeSchedule(func(d *dispatch.Dispatcher, c call, id int64) (job.Schedule, error) {
		return d.ResumeSchedule(c.Context(), c.p, id)
	})
	cancelSchedule = changeSchedule(func(d *dispatch.Dispatcher, c call, id int64) (job.Schedule, error) {
		return d.CancelSchedule(c.Context(), c.p, id)
	})
)

func (s *server) deleteSchedule(c call) (answer, error) {
	id, err := c.id()
	if err != nil {
		return answer{}, err
	}
	if err := s.Dispatch.DeleteSchedule(c.Context(), c.p, id); err != nil {
		return answer{}, err
	}
	c.w.WriteHeader(http.StatusNoContent)
	return answer{}, errAnswered
}
