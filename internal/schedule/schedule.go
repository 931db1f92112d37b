// Package schedule computes when the runs of a recurrence are to start, and is
// the port to what calls at those times: EventBridge Scheduler in the cloud, a
// loop on one machine. The suite in package scheduletest states the port's laws.
//
// # Cron lines
//
// A line has five fields: minute, hour, day of month, month, day of week. Each
// is a list of numbers, ranges and steps (*/5, 10-50/20, 7/10 for 7-59/10);
// months and days have names (jan, mon); 0 and 7 are Sunday; a range may run past
// the end of its field (fri-mon, 22-2). L in the third field is the last day of
// the month, mon#2 in the fifth the second Monday. Where both day fields are
// restricted (are not *) a day matches when either does. @hourly, @daily,
// @weekly, @monthly and @yearly stand for their lines. Hour 24 is midnight where
// every day matches, so that it cannot be asked which day is meant, and refused
// elsewhere. A line that matches no day ever (0 0 31 2 *) is refused.
//
// # Daylight saving
//
// A line whose hour field is * follows the clock hand: it matches every minute
// that shows a matching time, in both of two hours that show the same times.
// All others name times of a day: a time that the zone skips that day is made up
// for in the first minute after the gap, once for all times of the gap; a time
// that comes twice counts the first time. So a nightly run neither falls out nor
// comes twice.
//
// # Why own code
//
// Libraries that were tried, each of the state of November 2026: robfig/cron (last
// release 2020) has neither L nor #; adhocore/gronx takes */2 in a day field for no
// restriction and drops a time in a gap; hashicorp/cronexpr takes ranges that run
// past the end and then never matches; netresearch/go-cron (a successor of robfig's)
// takes an empty list and then searches for a second. All but gronx ring a
// repeated hour twice, and none tells which minutes, hours and days a line
// names, which Exact has to know.
package schedule

import (
	"context"
	"time"

	"drover/internal/job"
)

// The times that a recurrence may name. Next finds none outside.
var (
	earliest = time.Unix(0, 0).UTC()
	latest   = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)
)

// Check reports what is wrong with a recurrence: job.Invalid with the field (cron,
// at, every, zone, start, end, max_runs, grace) and a message. It does not know the time: that
// a recurrence is all in the past is Next's to say.
func Check(r job.Recurrence) error {
	if err := checkKind(r); err != nil {
		return err
	}
	loc, err := zone(r.Zone)
	if err != nil {
		return err
	}
	if r.Zone != "" && r.Cron == "" {
		return job.FieldErrorf("zone", "goes only with a cron line")
	}
	for field, t := range map[string]*time.Time{"at": r.At, "start": r.Start, "end": r.End} {
		if t != nil && (t.Before(earliest) || t.After(latest)) {
			return job.FieldErrorf(field, "is not between the years 1970 and 9999")
		}
	}
	if r.Start != nil && r.End != nil && !r.Start.Before(*r.End) {
		return job.FieldErrorf("end", "is not after the start")
	}
	if r.MaxRuns < 0 {
		return job.FieldErrorf("max_runs", "must not be negative")
	}
	if r.Grace < 0 {
		return job.FieldErrorf("grace", "must not be negative")
	}
	if r.Cron != "" {
		line, err := parseCron(r.Cron)
		if err != nil {
			return err
		}
		if _, ok := line.next(earliest, loc); !ok {
			return job.FieldErrorf("cron", "%q never matches", r.Cron)
		}
	}
	if _, ok := Next(r, earliest); !ok {
		return job.FieldErrorf("end", "leaves no time to run at")
	}
	return nil
}

func checkKind(r job.Recurrence) error {
	kinds := 0
	for _, set := range []bool{r.At != nil, r.Cron != "", r.Every != 0} {
		if set {
			kinds++
		}
	}
	switch {
	case kinds == 0:
		return job.FieldErrorf("cron", "is missing; so are at and every")
	case kinds > 1:
		return job.FieldErrorf("cron", "only one of cron, at and every may be given")
	case r.Every < 0 || r.Every%time.Minute != 0:
		return job.FieldErrorf("every", "must be whole minutes")
	}
	return nil
}

// zone returns the location of a zone's name.
func zone(name string) (*time.Location, error) {
	if name == "" {
		return time.UTC, nil
	}
	loc, err := time.LoadLocation(name)
	if err != nil || name == "Local" {
		return nil, job.FieldErrorf("zone", "there is no time zone %q", name)
	}
	return loc, nil
}

// Next returns the first occurrence of a recurrence at or after a moment; ok is
// false when there is none, or Check refuses the recurrence. It knows nothing of
// MaxRuns. Occurrences of Cron and Every are whole minutes, At is taken to the
// second. Every counts from Start (the next whole minute), and without one from
// the beginning of 1970: every 30 minutes is then at :00 and :30.
func Next(r job.Recurrence, from time.Time) (next time.Time, ok bool) {
	if r.Start != nil && from.Before(*r.Start) {
		from = *r.Start
	}
	if from.Before(earliest) {
		from = earliest
	}
	if from.After(latest) || checkKind(r) != nil {
		return time.Time{}, false
	}
	switch {
	case r.At != nil:
		next = r.At.UTC().Truncate(time.Second)
		ok = !next.Before(from.Truncate(time.Second))
	case r.Every != 0:
		next, ok = nextEvery(r, from), true
	default:
		line, err := parseCron(r.Cron)
		if err != nil {
			return time.Time{}, false
		}
		loc, err := zone(r.Zone)
		if err != nil {
			return time.Time{}, false
		}
		next, ok = line.next(from, loc)
	}
	if !ok || next.After(latest) || r.End != nil && !next.Before(*r.End) {
		return time.Time{}, false
	}
	return next.UTC(), true
}

func nextEvery(r job.Recurrence, from time.Time) time.Time {
	anchor := earliest.Unix()
	if r.Start != nil {
		anchor = wholeMinute(*r.Start).Unix()
	}
	t, step := wholeMinute(from).Unix(), int64(r.Every/time.Second)
	if late := t - anchor; late > 0 {
		anchor += (late + step - 1) / step * step
	}
	return time.Unix(anchor, 0).UTC()
}

// wholeMinute rounds up to a whole minute.
func wholeMinute(t time.Time) time.Time {
	t = t.UTC()
	if down := t.Truncate(time.Minute); down.Before(t) {
		return down.Add(time.Minute)
	}
	return t
}

// Alarm is a call that is to be made at a time, again and again where
// Recurrence says so: Fire(Tenant, ID, time).
type Alarm struct {
	Tenant string
	ID     int64 // of the schedule
	// Next is the next time. Where Exact takes Recurrence the alarm rings at Next and
	// at all occurrences after it; otherwise, and where Recurrence is empty, it rings
	// once, at Next, and is set again by who was called.
	Next       time.Time
	Recurrence job.Recurrence
}

// Repeats reports whether the alarm rings again after Next without being set again.
func (a Alarm) Repeats() bool {
	_, _, _, ok := Exact(a.Recurrence)
	return ok && a.Recurrence.At == nil
}

// Fire is called when an alarm rings; planned is the time that it was set for.
// Where it returns an error it is called again, a number of times.
type Fire func(ctx context.Context, tenant string, id int64, planned time.Time) error

// Alarms is the port. Errors are *job.Error. An alarm rings at its time or soon after, never before;
// it may ring more than once for one time.
type Alarms interface {
	// Set sets an alarm, in place of one with the same tenant and id. A time
	// that is past rings at once.
	Set(ctx context.Context, a Alarm) error
	// Delete removes an alarm; deleting one that is not set succeeds. After it
	// returns Fire may still be called once, for a time before.
	Delete(ctx context.Context, tenant string, id int64) error
}
