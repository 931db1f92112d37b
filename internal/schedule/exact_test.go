package schedule_test

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"drover/internal/job"
	"drover/internal/schedule"
)

// scheduler is EventBridge Scheduler's grammar of cron(), read strictly: the
// day of week counts from Sunday, 1, and exactly one of the day fields is "?". It
// shares no code with package schedule.
type scheduler struct {
	fields []string
}

var expression = regexp.MustCompile(`^cron\(([^()]*)\)$`)

func readExpression(s string) (scheduler, error) {
	m := expression.FindStringSubmatch(s)
	if m == nil || len(s) > 256 {
		return scheduler{}, fmt.Errorf("%q is no expression", s)
	}
	f := strings.Split(m[1], " ")
	if len(f) != 6 {
		return scheduler{}, fmt.Errorf("%q has %d fields", s, len(f))
	}
	if (f[2] == "?") == (f[4] == "?") {
		return scheduler{}, fmt.Errorf("%q: one of the day fields must be ?", s)
	}
	item := []string{`([0-9]|[1-5][0-9])`, `([0-9]|1[0-9]|2[0-3])`, `([1-9]|[12][0-9]|3[01])`, `([1-9]|1[0-2])`, `[1-7]`, `20[0-9][0-9]`}
	for i, pattern := range item {
		alone := map[int]string{2: `|L|\?`, 4: `|\?|[1-7]#[1-5]`}[i]
		if !regexp.MustCompile(`^(\*|` + pattern + `(,` + pattern + `)*` + alone + `)$`).MatchString(f[i]) {
			return scheduler{}, fmt.Errorf("%q: field %d", s, i)
		}
	}
	return scheduler{fields: f}, nil
}

func (s scheduler) in(i, v int) bool {
	return s.fields[i] == "*" || slices.Contains(strings.Split(s.fields[i], ","), strconv.Itoa(v))
}

// rings reports whether the schedule rings in a minute of a day that it rings on.
func (s scheduler) rings(t time.Time) bool { return s.in(0, t.Minute()) && s.in(1, t.Hour()) }

func (s scheduler) on(t time.Time) bool {
	if !s.in(3, int(t.Month())) {
		return false
	}
	switch dom, dow := s.fields[2], s.fields[4]; {
	case dom == "L":
		return t.AddDate(0, 0, 1).Day() == 1
	case dom != "?":
		return s.in(2, t.Day())
	case strings.Contains(dow, "#"):
		return dow == fmt.Sprintf("%d#%d", int(t.Weekday())+1, (t.Day()+6)/7)
	}
	return s.in(4, int(t.Weekday())+1)
}

func TestExact(t *testing.T) {
	start, end := at("2026-11-24 10:07:30"), at("2027-01-01 00:00")
	tests := []struct {
		r    job.Recurrence
		want string // "": none
	}{
		{job.Recurrence{At: &start}, "at(2026-11-24T10:07:30)"},
		{job.Recurrence{At: &start, MaxRuns: 1}, ""},
		{job.Recurrence{Cron: "*/15 8-10 * * *"}, "cron(0,15,30,45 8,9,10 * * ? *)"},
		{job.Recurrence{Cron: "* * * * *", Zone: "UTC"}, "cron(* * * * ? *)"},
		{job.Recurrence{Cron: "0 22 * * mon-fri"}, "cron(0 22 ? * 2,3,4,5,6 *)"},
		{job.Recurrence{Cron: "0 22 * jan,jul sun"}, "cron(0 22 ? 1,7 1 *)"},
		{job.Recurrence{Cron: "0 22 * * 0-6"}, "cron(0 22 ? * 1,2,3,4,5,6,7 *)"},
		{job.Recurrence{Cron: "0 22 1-31 * *"}, "cron(0 22 * * ? *)"},
		{job.Recurrence{Cron: "0 22 1,15 * *"}, "cron(0 22 1,15 * ? *)"},
		{job.Recurrence{Cron: "0 22 L * *"}, "cron(0 22 L * ? *)"},
		{job.Recurrence{Cron: "0 22 1,L * *"}, ""},
		{job.Recurrence{Cron: "0 22 * * mon#2"}, "cron(0 22 ? * 2#2 *)"},
		{job.Recurrence{Cron: "0 22 * * mon#2,mon#3"}, ""},
		{job.Recurrence{Cron: "0 22 * * mon#2,tue#2"}, ""},
		{job.Recurrence{Cron: "0 22 * * mon#2,fri"}, ""},
		{job.Recurrence{Cron: "0 22 13 * fri"}, ""},
		{job.Recurrence{Cron: "0 22 L * mon#2"}, ""},
		{job.Recurrence{Cron: "0 22 * * *", MaxRuns: 2}, ""},
		{job.Recurrence{Cron: "0 22 * * *", Zone: "Europe/Berlin"}, ""},
		{job.Recurrence{Cron: "1-59 1-23 2-31 * *"}, ""}, // too long
		{job.Recurrence{Cron: "foo"}, ""},
		{job.Recurrence{Every: 15 * time.Minute, Start: &start}, "cron(8,23,38,53 * * * ? *)"},
		{job.Recurrence{Every: 8 * time.Hour, Start: &start, End: &end}, "cron(8 2,10,18 * * ? *)"},
		{job.Recurrence{Every: 24 * time.Hour, Start: &start}, "cron(8 10 * * ? *)"},
		{job.Recurrence{Every: 7 * 24 * time.Hour, Start: &start}, "cron(8 10 ? * 3 *)"},
		{job.Recurrence{Every: 7 * 24 * time.Hour}, "cron(0 0 ? * 5 *)"},
		{job.Recurrence{Every: 7 * time.Minute, Start: &start}, ""},
		{job.Recurrence{Every: 90 * time.Minute, Start: &start}, ""},
		{job.Recurrence{Every: 48 * time.Hour, Start: &start}, ""},
	}
	for _, tt := range tests {
		got, _, _, ok := schedule.Exact(tt.r)
		if got != tt.want || ok != (tt.want != "") {
			t.Errorf("%+v: %q, want %q", tt.r, got, tt.want)
		}
	}
	_, from, to, _ := schedule.Exact(job.Recurrence{Every: time.Hour, Start: &start, End: &end})
	if from == nil || to == nil || !from.Equal(at("2026-11-24 10:08")) || !to.Equal(at("2026-12-31 23:59:59")) {
		t.Errorf("from %v to %v", from, to)
	}
}

func TestAlarmRepeats(t *testing.T) {
	now := at("2026-11-24 10:00")
	for want, rs := range map[bool][]job.Recurrence{
		true:  {{Cron: "0 22 * * *"}, {Every: time.Hour}},
		false: {{}, {At: &now}, {Cron: "0 22 13 * fri"}, {Cron: "0 22 * * *", MaxRuns: 3}},
	} {
		for _, r := range rs {
			if got := (schedule.Alarm{Recurrence: r}).Repeats(); got != want {
				t.Errorf("%+v: %v", r, got)
			}
		}
	}
}

// Where Exact has an expression it rings in exactly the minutes that Next names, over
// years; how often it has one is checked too, so that the test cannot become idle.
func TestExactRingsAtTheOccurrences(t *testing.T) {
	exact, all := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		var r job.Recurrence
		base := at("2026-01-01 00:00")
		if rapid.IntRange(0, 3).Draw(t, "kind") == 0 {
			unit := rapid.SampledFrom([]time.Duration{time.Minute, time.Hour, 24 * time.Hour}).Draw(t, "unit")
			r.Every = unit * time.Duration(rapid.IntRange(1, 40).Draw(t, "every"))
		} else {
			r.Cron = drawCron(t).text
		}
		if rapid.Bool().Draw(t, "starts") {
			r.Start = ptr(base.Add(time.Duration(rapid.IntRange(0, 400*24*3600).Draw(t, "start")) * time.Second))
		}
		if rapid.Bool().Draw(t, "ends") {
			r.End = ptr(base.Add(time.Duration(rapid.IntRange(401*24*3600, 5*365*24*3600).Draw(t, "end")) * time.Second))
		}
		all++
		text, start, end, ok := schedule.Exact(r)
		if !ok {
			return
		}
		exact++
		s, err := readExpression(text)
		if err != nil {
			t.Fatalf("%+v: %v", r, err)
		}
		next, more := schedule.Next(r, base)
		for day, days := 0, 0; day < 12*365 && days < 20; day++ {
			midnight := base.AddDate(0, 0, day)
			tomorrow := midnight.AddDate(0, 0, 1)
			if !s.on(midnight) {
				if more && next.Before(tomorrow) {
					t.Fatalf("%+v as %q: Next has %s", r, text, next)
				}
				continue
			}
			if start == nil || start.Before(tomorrow) {
				days++
			}
			for now := midnight; now.Before(tomorrow); now = now.Add(time.Minute) {
				want := s.rings(now) && (start == nil || !now.Before(*start)) && (end == nil || !now.After(*end))
				if got := more && next.Equal(now); got != want {
					t.Fatalf("%+v as %q at %s: rings %v, Next says %v", r, text, now, want, got)
				}
				if want {
					next, more = schedule.Next(r, now.Add(time.Second))
				}
			}
		}
	})
	if exact*5 < all {
		t.Errorf("only %d of %d recurrences have an expression", exact, all)
	}
}
