package schedule_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"drover/internal/job"
	"drover/internal/schedule"
)

func at(s string) time.Time {
	for _, layout := range []string{"2006-01-02 15:04", "2006-01-02 15:04:05", time.RFC3339} {
		if t, err := time.Parse(layout, s); err == nil {
			return t.UTC()
		}
	}
	panic(s)
}

func ptr(t time.Time) *time.Time { return &t }

// follow returns the first n occurrences from a moment.
func follow(r job.Recurrence, from time.Time, n int) []string {
	var got []string
	for len(got) < n {
		t, ok := schedule.Next(r, from)
		if !ok {
			return append(got, "none")
		}
		got = append(got, t.Format("2006-01-02 15:04:05"))
		from = t.Add(time.Second)
	}
	return got
}

func TestCron(t *testing.T) {
	tests := []struct {
		cron, from string
		want       []string
	}{
		{"* * * * *", "2026-11-22 10:00", []string{"2026-11-22 10:00:00", "2026-11-22 10:01:00"}},
		{"* * * * *", "2026-11-22 10:00:01", []string{"2026-11-22 10:01:00"}},
		{"*/2 18,19 10 * *", "2026-11-22 10:00", []string{"2026-12-10 18:00:00", "2026-12-10 18:02:00"}},
		{"* * * * 1", "2026-11-22 10:00", []string{"2026-11-23 00:00:00"}},
		{"0 22 * * mon-fri", "2026-11-20 22:01", []string{"2026-11-23 22:00:00"}},
		{"0 0 * * 5-7", "2026-11-26 00:01", []string{"2026-11-27 00:00:00", "2026-11-28 00:00:00", "2026-11-29 00:00:00", "2026-12-04 00:00:00"}},
		{"0 0 * * 7", "2026-11-23 00:00", []string{"2026-11-29 00:00:00", "2026-12-06 00:00:00"}},
		{"0 0 * * 7-1", "2026-11-23 00:01", []string{"2026-11-29 00:00:00", "2026-11-30 00:00:00", "2026-12-06 00:00:00"}},
		{"0 0 * * fri-mon", "2026-11-24 00:00", []string{"2026-11-27 00:00:00", "2026-11-28 00:00:00", "2026-11-29 00:00:00", "2026-11-30 00:00:00"}},
		{"30 22-1 * * *", "2026-11-24 00:00", []string{"2026-11-24 00:30:00", "2026-11-24 01:30:00", "2026-11-24 22:30:00"}},
		{"50/5 3 1 JAN *", "2026-11-24 00:00", []string{"2027-01-01 03:50:00", "2027-01-01 03:55:00", "2028-01-01 03:50:00"}},
		{"0 0 13 * fri", "2026-11-01 00:00", []string{"2026-11-06 00:00:00", "2026-11-13 00:00:00", "2026-11-20 00:00:00", "2026-11-27 00:00:00", "2026-12-04 00:00:00", "2026-12-11 00:00:00", "2026-12-13 00:00:00"}},
		{"0 0 L * *", "2026-11-24 00:00", []string{"2026-11-30 00:00:00", "2026-12-31 00:00:00", "2027-01-31 00:00:00", "2027-02-28 00:00:00"}},
		{"0 0 15,L 2 *", "2028-02-01 00:00", []string{"2028-02-15 00:00:00", "2028-02-29 00:00:00"}},
		{"0 0 * * mon#2", "2026-11-24 00:00", []string{"2026-12-14 00:00:00", "2027-01-11 00:00:00"}},
		{"0 0 * 2 mon#5", "2050-01-01 00:00", []string{"2072-02-29 00:00:00", "2112-02-29 00:00:00"}},
		{"0 0 29 2 *", "2096-03-01 00:00", []string{"2104-02-29 00:00:00"}},
		{"0 24 * * *", "2026-11-24 00:01", []string{"2026-11-25 00:00:00"}},
		{"  @Weekly ", "2026-11-24 00:00", []string{"2026-11-29 00:00:00"}},
		{"@hourly", "2026-11-24 00:01", []string{"2026-11-24 01:00:00"}},
		{"@daily", "2026-11-24 00:01", []string{"2026-11-25 00:00:00"}},
		{"@monthly", "2026-11-24 00:01", []string{"2026-12-01 00:00:00"}},
		{"@yearly", "2026-11-24 00:01", []string{"2027-01-01 00:00:00"}},
	}
	for _, tt := range tests {
		r := job.Recurrence{Cron: tt.cron}
		if err := schedule.Check(r); err != nil {
			t.Errorf("%q: %v", tt.cron, err)
		}
		if got := follow(r, at(tt.from), len(tt.want)); !slices.Equal(got, tt.want) {
			t.Errorf("%q from %s:\n got %v\nwant %v", tt.cron, tt.from, got, tt.want)
		}
	}
}

func TestClocksThatChange(t *testing.T) {
	tests := []struct {
		why, zone, cron, from string
		want                  []string // in UTC
	}{
		{"02:30 is skipped: 03:00 EDT", "America/New_York", "30 2 * * *", "2027-03-13T12:00:00Z",
			[]string{"2027-03-14 07:00:00", "2027-03-15 06:30:00"}},
		{"all times of the gap are made up for once", "America/New_York", "*/10 2 * * *", "2027-03-14T05:00:00Z",
			[]string{"2027-03-14 07:00:00", "2027-03-15 06:00:00"}},
		{"made up for, and due there itself: once", "America/New_York", "30 2,3 * * *", "2027-03-14T05:00:00Z",
			[]string{"2027-03-14 07:00:00", "2027-03-14 07:30:00"}},
		{"01:30 comes twice and counts the first time", "America/New_York", "30 1 * * *", "2026-10-31T12:00:00Z",
			[]string{"2026-11-01 05:30:00", "2026-11-02 06:30:00"}},
		{"asked between the two", "America/New_York", "30 1 * * *", "2026-11-01T05:31:00Z",
			[]string{"2026-11-02 06:30:00"}},
		{"every hour follows the hand: both 01:30", "America/New_York", "30 * * * *", "2026-11-01T05:00:00Z",
			[]string{"2026-11-01 05:30:00", "2026-11-01 06:30:00", "2026-11-01 07:30:00"}},
		{"every hour has no gap", "America/New_York", "30 * * * *", "2027-03-14T06:00:00Z",
			[]string{"2027-03-14 06:30:00", "2027-03-14 07:30:00"}},
		{"half an hour, Lord Howe", "Australia/Lord_Howe", "15 2 * * *", "2026-10-03T00:00:00Z",
			[]string{"2026-10-03 15:30:00", "2026-10-04 15:15:00"}},
		{"midnight is skipped", "America/Sao_Paulo", "0 0 * * *", "2017-10-14T12:00:00Z",
			[]string{"2017-10-15 03:00:00", "2017-10-16 02:00:00"}},
		{"a day is skipped", "Pacific/Apia", "0 10 30 12 *", "2011-12-01T00:00:00Z",
			[]string{"2011-12-30 10:00:00", "2012-12-29 20:00:00"}},
		{"no change", "Asia/Kolkata", "0 0 * * *", "2026-11-01T00:00:00Z", []string{"2026-11-01 18:30:00"}},
	}
	for _, tt := range tests {
		r := job.Recurrence{Cron: tt.cron, Zone: tt.zone}
		if err := schedule.Check(r); err != nil {
			t.Errorf("%s: %v", tt.why, err)
		}
		if got := follow(r, at(tt.from), len(tt.want)); !slices.Equal(got, tt.want) {
			t.Errorf("%s:\n got %v\nwant %v", tt.why, got, tt.want)
		}
	}
}

func TestOtherRecurrences(t *testing.T) {
	tests := []struct {
		why  string
		r    job.Recurrence
		from string
		want []string
	}{
		{"once", job.Recurrence{At: ptr(at("2026-11-24 10:00:07"))}, "2026-11-24 10:00", []string{"2026-11-24 10:00:07", "none"}},
		{"once, at the moment", job.Recurrence{At: ptr(at("2026-11-24 10:00"))}, "2026-11-24 10:00", []string{"2026-11-24 10:00:00"}},
		{"once, past", job.Recurrence{At: ptr(at("2026-11-24 10:00"))}, "2026-11-24 10:01", []string{"none"}},
		{"every, from the start on", job.Recurrence{Every: 7 * time.Minute, Start: ptr(at("2026-11-24 10:00:30"))}, "2026-11-24 00:00",
			[]string{"2026-11-24 10:01:00", "2026-11-24 10:08:00"}},
		{"every, later", job.Recurrence{Every: 7 * time.Minute, Start: ptr(at("2026-11-24 10:00"))}, "2026-11-24 10:08",
			[]string{"2026-11-24 10:14:00"}},
		{"every, without a start", job.Recurrence{Every: 30 * time.Minute}, "2026-11-24 10:08", []string{"2026-11-24 10:30:00", "2026-11-24 11:00:00"}},
		{"the end is not included", job.Recurrence{Cron: "0 * * * *", End: ptr(at("2026-11-24 12:00"))}, "2026-11-24 10:08",
			[]string{"2026-11-24 11:00:00", "none"}},
		{"the start is included", job.Recurrence{Cron: "0 * * * *", Start: ptr(at("2026-11-24 12:00"))}, "2026-11-24 10:08",
			[]string{"2026-11-24 12:00:00"}},
		{"before all time", job.Recurrence{Every: time.Hour}, "0001-01-01 00:00", []string{"1970-01-01 00:00:00"}},
		{"after all time", job.Recurrence{Cron: "* * * * *"}, "9999-12-31 23:59", []string{"9999-12-31 23:59:00", "none"}},
		{"nothing", job.Recurrence{}, "2026-11-24 10:08", []string{"none"}},
	}
	for _, tt := range tests {
		if got := follow(tt.r, at(tt.from), len(tt.want)); !slices.Equal(got, tt.want) {
			t.Errorf("%s:\n got %v\nwant %v", tt.why, got, tt.want)
		}
	}
}

func TestCheckRefuses(t *testing.T) {
	soon, later := ptr(at("2026-11-24 10:00")), ptr(at("2026-11-24 11:00"))
	tests := []struct {
		r           job.Recurrence
		field, says string
	}{
		{job.Recurrence{}, "cron", "is missing"},
		{job.Recurrence{At: soon, Cron: "* * * * *"}, "cron", "only one"},
		{job.Recurrence{Every: time.Hour, At: soon}, "cron", "only one"},
		{job.Recurrence{Every: -time.Minute}, "every", "whole minutes"},
		{job.Recurrence{Every: 90 * time.Second}, "every", "whole minutes"},
		{job.Recurrence{Every: time.Hour, Zone: "UTC"}, "zone", "cron"},
		{job.Recurrence{Cron: "* * * * *", Zone: "Mars/Olympus"}, "zone", "Mars/Olympus"},
		{job.Recurrence{Cron: "* * * * *", Zone: "Local"}, "zone", "Local"},
		{job.Recurrence{Cron: "* * * * *", Zone: "../../etc/passwd"}, "zone", "no time zone"},
		{job.Recurrence{Cron: "* * * * *", MaxRuns: -1}, "max_runs", "negative"},
		{job.Recurrence{Cron: "* * * * *", Grace: -1}, "grace", "negative"},
		{job.Recurrence{Cron: "* * * * *", Start: later, End: soon}, "end", "after the start"},
		{job.Recurrence{Cron: "* * * * *", Start: soon, End: soon}, "end", "after the start"},
		{job.Recurrence{At: later, End: soon}, "end", "leaves no time"},
		{job.Recurrence{Cron: "0 0 1 1 *", Start: soon, End: later}, "end", "leaves no time"},
		{job.Recurrence{At: ptr(at("1969-12-31 10:00"))}, "at", "1970"},
		{job.Recurrence{Cron: "* * * * *", End: ptr(latestPlus())}, "end", "9999"},
	}
	for _, line := range []string{"foo", "* *", "* * * * * *", "* * * * * UTC", "60 * * * *", "0 0 31 2 *", "0 0 31 4,6,9,11 *",
		"0 0 30 2 *", "* * * * abc", "* 25 * * *", "* * 0 * *", "* * 32 * *", "* * * 0 *", "* * * 13 *", "* * * * 8", "0 24 1 * *",
		"0 23,24 * * *", ", * * * *", "1,,2 * * * *", "1, * * * *", "-5 * * * *", "5- * * * *", "+5 * * * *", "*/0 * * * *", "*/60 * * * *",
		"*/ * * * *", "*-5 * * * *", "1-2-3 * * * *", "1/2/3 * * * *", "? * * * *", "0 0 15w * *", "0 0 lw * *", "0 0 L-3 * *", "L * * * *",
		"0 0 * * 5L", "0 0 * * mon#0", "0 0 * * mon#6", "0 0 * * mon#", "0 0 * * #2", "0 0 mon#1 * *", "0 0 * * mon#1-2", "H * * * *",
		"@every 5m", "@reboot", "@", "CRON_TZ=UTC * * * * *", "1.5 * * * *", "0x1 * * * *", "٣ * * * *", "99999999999999999999 * * * *",
		strings.Repeat("1,", 200) + "1 * * * *"} {
		tests = append(tests, struct {
			r           job.Recurrence
			field, says string
		}{job.Recurrence{Cron: line}, "cron", ""})
	}
	for _, tt := range tests {
		err := schedule.Check(tt.r)
		if job.CodeOf(err) != job.Invalid || fieldOf(err) != tt.field || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%+v: %v (field %q), want field %q, %q", tt.r, err, fieldOf(err), tt.field, tt.says)
		}
	}
}

func fieldOf(err error) string {
	var e *job.Error
	if errors.As(err, &e) {
		return e.Field
	}
	return ""
}

func latestPlus() time.Time { return time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) }

// The sequences of the naive walk and of Next are the same: in UTC over twenty
// years, in zones around the changes of their clocks.
func TestNextIsWhatAWalkFinds(t *testing.T) {
	base := at("2021-01-01 00:00")
	rapid.Check(t, func(t *rapid.T) {
		n := drawCron(t)
		r := job.Recurrence{Cron: n.text}
		from := base.Add(time.Duration(rapid.IntRange(0, 6*365*24*3600).Draw(t, "from")) * time.Second)
		to := from.AddDate(20, 0, 0)
		end := to
		count := 0
		n.utcWalk(from, to, func(want time.Time) bool {
			got, ok := schedule.Next(r, from)
			if !ok || !got.Equal(want) {
				t.Fatalf("%q from %s: %v %v, want %s", n.text, from, got, ok, want)
			}
			from = want.Add(time.Second)
			if count++; count == 100 {
				end = from
			}
			return count < 100
		})
		if got, ok := schedule.Next(r, from); count < 100 && ok && got.Before(end) {
			t.Fatalf("%q from %s: %s, want none before %s", n.text, from, got, end)
		}
	})
}

func TestNextInZonesIsWhatAWalkFinds(t *testing.T) {
	zones := []string{"Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/St_Johns", "Asia/Tehran", "Africa/Casablanca",
		"Pacific/Apia", "America/Sao_Paulo", "Asia/Gaza", "Antarctica/Troll", "Asia/Kathmandu"}
	rapid.Check(t, func(t *rapid.T) {
		n := drawCron(t)
		name := rapid.SampledFrom(zones).Draw(t, "zone")
		var err error
		if n.loc, err = time.LoadLocation(name); err != nil {
			t.Fatal(err)
		}
		r := job.Recurrence{Cron: n.text, Zone: name}
		// A moment within two days before a change of the clocks, if there is one.
		from := at("2005-01-01 00:00").Add(time.Duration(rapid.IntRange(0, 20*365*24).Draw(t, "hour")) * time.Hour)
		if _, change := from.In(n.loc).ZoneBounds(); !change.IsZero() {
			from = change.UTC().Add(-time.Duration(rapid.IntRange(-6*3600, 48*3600).Draw(t, "before")) * time.Second)
		}
		to := from.Add(72 * time.Hour)
		n.walk(from, to, func(want time.Time) bool {
			got, ok := schedule.Next(r, from)
			if !ok || !got.Equal(want) {
				t.Fatalf("%q in %s from %s: %v %v, want %s", n.text, name, from, got, ok, want)
			}
			from = want.Add(time.Second)
			return true
		})
		if got, ok := schedule.Next(r, from); ok && got.Before(to) {
			t.Fatalf("%q in %s from %s: %s, want none before %s", n.text, name, from, got, to)
		}
	})
}

// Whatever text comes: no panic, and what Check takes has a next occurrence that is
// not before the start, and is its own next.
func FuzzCron(f *testing.F) {
	for _, line := range []string{"* * * * *", "*/2 18,19 10 * *", "0 22 * * mon-fri", "0 0 L * *", "0 0 * * mon#2", "@daily", "0 24 * * *", "7-1/3 22-2 * dec-jan 5-7"} {
		f.Add(line, "UTC", int64(1<<31))
	}
	f.Add("30 2 * * *", "America/New_York", int64(1_800_000_000))
	f.Fuzz(func(t *testing.T, line, zone string, from int64) {
		r := job.Recurrence{Cron: line, Zone: zone}
		start := time.Unix(from%250_000_000_000, 0)
		next, ok := schedule.Next(r, start)
		if err := schedule.Check(r); err != nil {
			if job.CodeOf(err) != job.Invalid || fieldOf(err) == "" {
				t.Fatalf("%q %q: %v", line, zone, err)
			}
			return
		}
		if !ok {
			if start.Year() < 9950 {
				t.Fatalf("%q %q from %s: no next", line, zone, start)
			}
			return
		}
		if next.Before(start) {
			t.Fatalf("%q from %s: %s", line, start, next)
		}
		if again, ok := schedule.Next(r, next); !ok || !again.Equal(next) {
			t.Fatalf("%q from %s: %s, whose next is %s", line, start, next, again)
		}
		schedule.Exact(r)
	})
}
