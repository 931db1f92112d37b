package foreman

import (
	"strconv"
	"strings"
	"time"

	"drover/internal/job"
	"drover/internal/schedule"
)

// trigger is when a job runs.
type trigger struct {
	mode        string // "": at once
	recurrence  *job.Recurrence
	purpose     string
	startBefore *time.Time
}

// Messages about a trigger, as upstream's validations write them.
const (
	msgCannotStart = "Input type No task could be started"
	msgTooEarly    = "Start before raw The task could not be started"
	msgNoStart     = "Start at must be set"
	msgPast        = "Start at is in the past"
)

// readTrigger reads "scheduling" and "recurrence". What is wrong comes as
// messages; the error is for what is not even of the right type.
func readTrigger(in object, now time.Time) (t trigger, wrong []string, err error) {
	scheduling, err := in.get("scheduling").object()
	if err != nil {
		return t, nil, err
	}
	recurrence, err := in.get("recurrence").object()
	if err != nil {
		return t, nil, err
	}
	start, startGiven := minute(scheduling.get("start_at"), "Start at", &wrong)
	before, beforeGiven := minute(scheduling.get("start_before"), "Start before", &wrong)
	past := startGiven && start.Before(now)
	switch {
	case !recurrence.empty():
		t.mode = modeRecurring
		if past {
			wrong = append(wrong, msgPast)
		}
		from := now
		if startGiven {
			from = start
		}
		w, err := t.recur(recurrence, from)
		if startGiven && t.recurrence != nil {
			t.recurrence.Start = &start
		}
		return t, append(wrong, w...), err
	case !scheduling.empty():
		t.mode = modeFuture
		switch {
		case len(wrong) > 0:
		case !startGiven:
			wrong = append(wrong, msgNoStart)
		case past:
			wrong = append(wrong, msgPast)
		}
		if startGiven && beforeGiven && before.Before(start) {
			wrong = append(wrong, msgTooEarly)
		}
		t.recurrence = &job.Recurrence{At: &start}
		if beforeGiven {
			t.startBefore = &before
			// Whoever says until when a job may start says how late it may be.
			t.recurrence.Grace = max(before.Sub(start), job.DefaultGrace)
		}
	}
	return t, wrong, nil
}

// tooLate is the moment from which on a job is too late; nil where there is none.
// Who says one minute for start and end means that minute: to the second, which
// both have lost, such a job could never start.
func (t trigger) tooLate() *time.Time {
	if t.startBefore == nil || !t.startBefore.Equal(*t.recurrence.At) {
		return t.startBefore
	}
	end := t.startBefore.Add(time.Minute)
	return &end
}

// minute reads a moment to the minute.
func minute(v value, name string, wrong *[]string) (time.Time, bool) {
	t, given, err := v.time()
	if err != nil {
		*wrong = append(*wrong, name+" is not a valid date and time")
		return t, false
	}
	return t.Truncate(time.Minute), given
}

// recur reads a recurrence whose first run is at from or later.
func (t *trigger) recur(in object, from time.Time) (wrong []string, err error) {
	line, err := in.get("cron_line").text()
	if err != nil {
		return nil, err
	}
	r := cronLine(line)
	if r.Cron == "" || schedule.Check(r) != nil {
		wrong = append(wrong, "Cronline "+clipRunes(line, maxDescription)+" is not valid format of cron line")
	}
	cannot := false
	if v := in.get("max_iteration"); !v.blank() {
		s, err := v.text()
		if err != nil {
			return nil, err
		}
		n := leadingInt(s)
		cannot = n < 1
		r.MaxRuns = int(min(n, maxIterations))
	}
	if end, given := minute(in.get("end_time"), "End time", &wrong); given {
		r.End = &end
		if len(wrong) == 0 {
			_, some := schedule.Next(r, from)
			cannot = cannot || !some
		}
	}
	if cannot {
		wrong = append(wrong, msgCannotStart)
	}
	purpose, err := in.get("purpose").text()
	if err != nil {
		return nil, err
	}
	t.purpose = strings.TrimSpace(purpose)
	t.recurrence = &r
	return wrong, nil
}

// maxIterations is what more runs than a job will ever have are taken for.
const maxIterations = 1 << 31

// shorthands are the names of cron lines.
var shorthands = map[string]string{
	"@hourly": "0 * * * *", "@daily": "0 0 * * *", "@midnight": "0 0 * * *", "@weekly": "0 0 * * 0",
	"@monthly": "0 0 1 * *", "@yearly": "0 0 1 1 *", "@annually": "0 0 1 1 *",
}

// cronLine reads a cron line with the time zone that may stand at its end.
func cronLine(line string) job.Recurrence {
	words := strings.Fields(line)
	r := job.Recurrence{Cron: strings.Join(words, " ")}
	if n := len(words) - 1; n > 0 && strings.Contains(words[n], "/") && !strings.ContainsAny(words[n][:1], "*0123456789") {
		r.Cron, r.Zone = strings.Join(words[:n], " "), words[n]
	}
	if full, ok := shorthands[r.Cron]; ok {
		r.Cron = full
	}
	return r
}

// cronText is a recurrence as a cron line.
func cronText(r job.Recurrence) string { return strings.TrimSpace(r.Cron + " " + r.Zone) }

// leadingInt is the number that a text begins with, 0 when there is none.
func leadingInt(s string) int64 {
	s = strings.TrimSpace(s)
	end := 0
	for end < len(s) && (s[end] >= '0' && s[end] <= '9' || end == 0 && (s[0] == '-' || s[0] == '+')) {
		end++
	}
	n, err := strconv.ParseInt(s[:end], 10, 64)
	if err != nil && end > 1 && s[0] != '-' { // too long to be read
		return 1<<63 - 1
	}
	return n
}
