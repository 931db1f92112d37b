package foreman

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"drover/internal/job"
)

func TestReadTrigger(t *testing.T) {
	now := time.Date(2026, 5, 5, 12, 30, 20, 0, time.UTC)
	at := func(h, m int) *time.Time { return ptr(time.Date(2026, 5, 5, h, m, 0, 0, time.UTC)) }
	for _, c := range []struct {
		name  string
		in    string
		want  trigger
		wrong []string
	}{
		{"at once", `{}`, trigger{}, nil},
		{"hammer's empty objects", `{"scheduling":{},"recurrence":{}}`, trigger{}, nil},
		{"nulls", `{"scheduling":null,"recurrence":""}`, trigger{}, nil},
		{"later", `{"scheduling":{"start_at":"2026-05-05 13:00:59 UTC"}}`, trigger{mode: "future", recurrence: &job.Recurrence{At: at(13, 0)}}, nil},
		{"zone honoured", `{"scheduling":{"start_at":"2026-05-05T13:00:00+00:30"}}`, trigger{mode: "future", recurrence: &job.Recurrence{At: at(12, 30)}}, []string{msgPast}},
		{"blank start before", `{"scheduling":{"start_at":"2026-05-05T13:00","start_before":""}}`, trigger{mode: "future", recurrence: &job.Recurrence{At: at(13, 0)}}, nil},
		{"a short window", `{"scheduling":{"start_at":"2026-05-05T13:00","start_before":"2026-05-05T13:05:30"}}`,
			trigger{mode: "future", recurrence: &job.Recurrence{At: at(13, 0), Grace: 15 * time.Minute}, startBefore: at(13, 5)}, nil},
		{"a long window", `{"scheduling":{"start_at":"2026-05-05T13:00","start_before":"2026-05-05T15:00"}}`,
			trigger{mode: "future", recurrence: &job.Recurrence{At: at(13, 0), Grace: 2 * time.Hour}, startBefore: at(15, 0)}, nil},
		{"no start", `{"scheduling":{"start_before":"2026-05-05T15:00"}}`, trigger{mode: "future"}, []string{msgNoStart}},
		{"null start", `{"scheduling":{"start_at":null}}`, trigger{mode: "future"}, []string{msgNoStart}},
		{"past", `{"scheduling":{"start_at":"2026-05-04"}}`, trigger{mode: "future"}, []string{msgPast}},
		{"this minute is past", `{"scheduling":{"start_at":"2026-05-05 12:30:59"}}`, trigger{mode: "future"}, []string{msgPast}},
		{"before too early", `{"scheduling":{"start_at":"2026-05-05T13:00","start_before":"2026-05-05T12:59:59"}}`, trigger{mode: "future"}, []string{msgTooEarly}},
		{"past and too early", `{"scheduling":{"start_at":"2026-05-05T12:00","start_before":"2026-05-05T11:59"}}`, trigger{mode: "future"}, []string{msgPast, msgTooEarly}},
		{"no time", `{"scheduling":{"start_at":"soon"}}`, trigger{mode: "future"}, []string{"Start at is not a valid date and time"}},
		{"no time as start before", `{"scheduling":{"start_at":"2026-05-05T13:00","start_before":"soon"}}`, trigger{mode: "future"}, []string{"Start before is not a valid date and time"}},
		{"cron", `{"recurrence":{"cron_line":"5 * * * *"}}`, trigger{mode: "recurring", recurrence: &job.Recurrence{Cron: "5 * * * *"}}, nil},
		{"cron of weekdays", `{"recurrence":{"cron_line":"0 22 * * mon-fri"}}`, trigger{mode: "recurring", recurrence: &job.Recurrence{Cron: "0 22 * * mon-fri"}}, nil},
		{"cron with a zone", `{"recurrence":{"cron_line":"0 22 * * * Europe/Berlin"}}`, trigger{mode: "recurring", recurrence: &job.Recurrence{Cron: "0 22 * * *", Zone: "Europe/Berlin"}}, nil},
		{"cron by name", `{"recurrence":{"cron_line":"@daily"}}`, trigger{mode: "recurring", recurrence: &job.Recurrence{Cron: "0 0 * * *"}}, nil},
		{"everything", `{"recurrence":{"cron_line":"*/5 * * * *","max_iteration":"3","end_time":"2030-01-01T00:00:00+00:00","purpose":" foo "},"scheduling":{"start_at":"2026-05-05T14:00","start_before":"2026-05-05T13:00"}}`,
			trigger{mode: "recurring", purpose: "foo", recurrence: &job.Recurrence{Cron: "*/5 * * * *", MaxRuns: 3, Start: at(14, 0), End: ptr(time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC))}}, nil},
		{"foo", `{"recurrence":{"cron_line":"foo"}}`, trigger{mode: "recurring"}, []string{"Cronline foo is not valid format of cron line"}},
		{"none", `{"recurrence":{"purpose":"x"}}`, trigger{mode: "recurring"}, []string{"Cronline  is not valid format of cron line"}},
		{"null", `{"recurrence":{"cron_line":null}}`, trigger{mode: "recurring"}, []string{"Cronline  is not valid format of cron line"}},
		{"word", `{"recurrence":{"cron_line":"* * * * abc"}}`, trigger{mode: "recurring"}, []string{"Cronline * * * * abc is not valid format of cron line"}},
		{"minute 60", `{"recurrence":{"cron_line":"60 * * * *"}}`, trigger{mode: "recurring"}, []string{"Cronline 60 * * * * is not valid format of cron line"}},
		{"a day that never comes", `{"recurrence":{"cron_line":"0 0 31 2 *"}}`, trigger{mode: "recurring"}, []string{"Cronline 0 0 31 2 * is not valid format of cron line"}},
		{"two fields", `{"recurrence":{"cron_line":"* *"}}`, trigger{mode: "recurring"}, []string{"Cronline * * is not valid format of cron line"}},
		{"unknown zone", `{"recurrence":{"cron_line":"0 22 * * * Mars/Base"}}`, trigger{mode: "recurring"}, []string{"Cronline 0 22 * * * Mars/Base is not valid format of cron line"}},
		{"0 iterations", `{"recurrence":{"cron_line":"* * * * *","max_iteration":0}}`, trigger{mode: "recurring"}, []string{msgCannotStart}},
		{"no number of iterations", `{"recurrence":{"cron_line":"* * * * *","max_iteration":"x"}}`, trigger{mode: "recurring"}, []string{msgCannotStart}},
		{"blank iterations", `{"recurrence":{"cron_line":"* * * * *","max_iteration":""}}`, trigger{mode: "recurring", recurrence: &job.Recurrence{Cron: "* * * * *"}}, nil},
		{"ended", `{"recurrence":{"cron_line":"* * * * *","end_time":"2026-05-05T12:00"}}`, trigger{mode: "recurring"}, []string{msgCannotStart}},
		{"ends before the first", `{"recurrence":{"cron_line":"0 0 * * *","end_time":"2026-05-05T23:00"}}`, trigger{mode: "recurring"}, []string{msgCannotStart}},
		{"ends when the first would be", `{"recurrence":{"cron_line":"0 13 * * *","end_time":"2026-05-05T13:00"}}`, trigger{mode: "recurring"}, []string{msgCannotStart}},
		{"past start", `{"recurrence":{"cron_line":"* * * * *"},"scheduling":{"start_at":"2026-05-05T12:00"}}`, trigger{mode: "recurring"}, []string{msgPast}},
		{"foo and 0", `{"recurrence":{"cron_line":"foo","max_iteration":0}}`, trigger{mode: "recurring"}, []string{"Cronline foo is not valid format of cron line", msgCannotStart}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var in object
			if err := json.Unmarshal([]byte(c.in), &in); err != nil {
				t.Fatal(err)
			}
			got, wrong, err := readTrigger(in, now)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(c.wrong, wrong); d != "" {
				t.Fatal(d)
			}
			if c.wrong != nil {
				return
			}
			if d := cmp.Diff(c.want, got, cmp.AllowUnexported(trigger{})); d != "" {
				t.Error(d)
			}
		})
	}
	for _, in := range []string{`{"scheduling":5}`, `{"scheduling":[1]}`, `{"recurrence":"daily"}`, `{"recurrence":{"cron_line":{}}}`, `{"recurrence":{"cron_line":"* * * * *","purpose":[1]}}`} {
		var o object
		if err := json.Unmarshal([]byte(in), &o); err != nil {
			t.Fatal(err)
		}
		if _, _, err := readTrigger(o, now); job.CodeOf(err) != job.Invalid {
			t.Errorf("%s: %v", in, err)
		}
	}
}

func TestLeadingInt(t *testing.T) {
	for in, want := range map[string]int64{"": 0, "x": 0, "3": 3, " 3x": 3, "-4": -4, "-": 0, "+2": 2, "1.9": 1, "99999999999999999999": 1<<63 - 1} {
		if got := leadingInt(in); got != want {
			t.Errorf("%q is %d, want %d", in, got, want)
		}
	}
}
