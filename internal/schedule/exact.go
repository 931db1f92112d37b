package schedule

import (
	"fmt"
	"math/bits"
	"strconv"
	"strings"
	"time"

	"drover/internal/job"
)

// maxExpression is the longest expression that EventBridge Scheduler takes.
const maxExpression = 256

// Exact returns the expression with which EventBridge Scheduler, in UTC, rings at
// exactly the occurrences of a recurrence, and the first and last moment (both
// included, nil for none) that belong to it. ok is false where there is none:
//
//   - where the number of runs is bounded: Scheduler does not count;
//   - in a time zone other than UTC: what Scheduler does about times that come
//     twice or not at all is its own rule, not this package's;
//   - where both day fields of a cron line are restricted: Scheduler has no "or";
//   - where L, or one #, does not stand alone in its field;
//   - where Every does not divide the hour or the day, or is not a week: rate()
//     counts from when it was set last, which is not Start, and cron() cannot say it;
//   - where the expression would be longer than 256 characters.
//
// Lists, ranges and steps are written out, number by number.
func Exact(r job.Recurrence) (expression string, start, end *time.Time, ok bool) {
	if Check(r) != nil || r.MaxRuns != 0 || r.Zone != "" && r.Zone != "UTC" && r.Zone != "Etc/UTC" {
		return "", nil, nil, false
	}
	switch {
	case r.At != nil:
		return At(*r.At), nil, nil, true
	case r.Every != 0:
		expression, ok = everyExpression(r)
	default:
		expression, ok = cronExpression(r.Cron)
	}
	if !ok || len(expression) > maxExpression {
		return "", nil, nil, false
	}
	if r.Start != nil {
		t := wholeMinute(*r.Start)
		start = &t
	}
	if r.End != nil {
		t := wholeMinute(*r.End).Add(-time.Second)
		end = &t
	}
	return expression, start, end, true
}

// At is the expression that rings once.
func At(t time.Time) string {
	return "at(" + t.UTC().Format("2006-01-02T15:04:05") + ")"
}

func cronExpression(text string) (string, bool) {
	c, err := parseCron(text)
	if err != nil {
		return "", false
	}
	dom, dow := "?", "?"
	switch {
	case !c.anyDOM && !c.anyDOW:
		return "", false
	case !c.anyDOW:
		var ok bool
		if dow, ok = exactDOW(c); !ok {
			return "", false
		}
	case c.last:
		if dom = "L"; c.dom != 0 {
			return "", false
		}
	default:
		dom = list(c.dom, 1, 31, 0)
	}
	return fmt.Sprintf("cron(%s %s %s %s %s *)",
		list(c.minute, 0, 59, 0), list(c.hour, 0, 23, 0), dom, list(c.month, 1, 12, 0), dow), true
}

// exactDOW is the day of week; Scheduler counts days from Sunday, 1.
func exactDOW(c cronLine) (string, bool) {
	only := ""
	for wd, nth := range c.nth {
		if nth == 0 {
			continue
		}
		if only != "" || bits.OnesCount64(nth) != 1 || c.dow != 0 {
			return "", false
		}
		only = strconv.Itoa(wd+1) + "#" + strconv.Itoa(bits.TrailingZeros64(nth))
	}
	if only != "" {
		return only, true
	}
	if days := list(c.dow, 0, 6, 1); days != "*" {
		return days, true
	}
	return "1,2,3,4,5,6,7", true // both day fields may not be open
}

// list writes out the values of a field, each with shift added.
func list(values uint64, first, last, shift int) string {
	if bits.OnesCount64(values) == last-first+1 {
		return "*"
	}
	var parts []string
	for v := first; v <= last; v++ {
		if values>>v&1 == 1 {
			parts = append(parts, strconv.Itoa(v+shift))
		}
	}
	return strings.Join(parts, ",")
}

// everyExpression says an interval as times of the day, or a day of the week.
func everyExpression(r job.Recurrence) (string, bool) {
	const day = 24 * time.Hour
	anchor := earliest
	if r.Start != nil {
		anchor = wholeMinute(*r.Start)
	}
	switch {
	case r.Every == 7*day:
		return fmt.Sprintf("cron(%d %d ? * %d *)", anchor.Minute(), anchor.Hour(), anchor.Weekday()+1), true
	case time.Hour%r.Every != 0 && (r.Every%time.Hour != 0 || day%r.Every != 0):
		return "", false
	}
	var minutes, hours uint64
	for t := anchor; t.Before(anchor.Add(day)); t = t.Add(r.Every) {
		minutes |= 1 << t.Minute()
		hours |= 1 << t.Hour()
	}
	return fmt.Sprintf("cron(%s %s * * ? *)", list(minutes, 0, 59, 0), list(hours, 0, 23, 0)), true
}
