package planner

import (
	"testing"
	"time"

	"drover/internal/job"

	"pgregory.net/rapid"
)

var start = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func cloud() Deployment {
	return Deployment{Concurrency: 500, Invocation: 14 * time.Minute, HeldWait: 30 * time.Second, Throttled: true}
}

func TestPlan_Units(t *testing.T) {
	for _, c := range []struct{ devices, perUnit, units int }{
		{0, 1, 0}, {1, 1, 1}, {40, 1, 40}, {41, 1, 41}, {9_999, 1, 9_999}, {10_000, 1, 10_000},
		{10_001, 2, 5_001}, {20_000, 2, 10_000}, {20_001, 3, 6_667}, {100_000, 10, 10_000},
	} {
		got := Plan(Input{Devices: c.devices, Limits: limits(time.Minute, 0, 0), Now: start})
		if got.DevicesPerUnit != c.perUnit || got.Units != c.units {
			t.Errorf("%d devices: %d units of %d, want %d of %d", c.devices, got.Units, got.DevicesPerUnit, c.units, c.perUnit)
		}
	}
}

func limits(timeout time.Duration, retries int, wait time.Duration) job.Limits {
	return job.Limits{Timeout: timeout, Concurrency: 50, Retries: job.Retries{Count: retries, Wait: wait}, OnUnknown: job.OnUnknownReport}
}

func TestPlan_Map(t *testing.T) {
	repeat := limits(time.Minute, 9, time.Hour)
	repeat.OnUnknown = job.OnUnknownRepeat
	for _, c := range []struct {
		name    string
		devices int
		limits  job.Limits
		want    Map
	}{
		{"none", 0, limits(time.Minute, 0, 0), None},
		{"one", 1, limits(time.Minute, 0, 0), Inline},
		{"forty", 40, limits(time.Minute, 0, 0), Inline},
		{"forty-one short", 41, limits(time.Minute, 0, 0), Express},
		{"forty-one just short", 41, limits(204*time.Second, 0, 0), Express},
		{"forty-one at the limit", 41, limits(205*time.Second, 0, 0), Standard},
		{"two attempts and a wait", 41, limits(60*time.Second, 1, 49*time.Second), Express},
		{"two attempts and a longer wait", 41, limits(60*time.Second, 1, 50*time.Second), Standard},
		{"short waits are held", 40, limits(time.Minute, 100, 10*time.Second), Inline},
		{"long waits are rounds", 40, limits(time.Minute, 100, time.Minute), Standard},
		{"few units, long waits", 10, limits(time.Minute, 100, time.Minute), Inline},
		{"history at its limit", 40, limits(time.Minute, 46, time.Hour), Standard},
		{"history below its limit", 40, limits(time.Minute, 45, time.Hour), Inline},
		{"repeated unknowns poll", 40, repeat, Inline},
		{"absurd retries", 2, limits(time.Second, 1<<40, time.Hour), Standard},
		{"two devices to a unit", 10_001, limits(80*time.Second, 0, 0), Express},
		{"two devices to a unit, longer", 10_001, limits(85*time.Second, 0, 0), Standard},
	} {
		if got := Plan(Input{Devices: c.devices, Limits: c.limits, Deployment: cloud(), Now: start}); got.Map != c.want {
			t.Errorf("%s: %s, want %s", c.name, got.Map, c.want)
		}
	}
}

// A command of three hours is looked at every five minutes in the end.
func TestPlan_Detached(t *testing.T) {
	for _, c := range []struct {
		name    string
		devices int
		limits  job.Limits
		want    Map
	}{
		{"three hours on forty", 40, limits(3*time.Hour, 0, 0), Inline},
		{"three hours on a hundred", 100, limits(3*time.Hour, 0, 0), Standard},
		{"a day on forty", 40, limits(24*time.Hour, 0, 0), Standard},
		{"a day on two", 2, limits(24*time.Hour, 0, 0), Inline},
		{"a quarter of an hour", 41, limits(15*time.Minute, 0, 0), Standard},
		{"absurd retries", 2, limits(time.Hour, 1<<40, time.Hour), Standard},
	} {
		got := Plan(Input{Devices: c.devices, Limits: c.limits, Deployment: cloud(), Now: start, Detached: true})
		if got.Map != c.want {
			t.Errorf("%s: %s, want %s", c.name, got.Map, c.want)
		}
	}
	in := Input{Limits: limits(3*time.Hour, 0, 0), Deployment: cloud(), Detached: true}
	if n := rounds(in); n < 36 || n > 60 {
		t.Errorf("%d rounds for three hours", n)
	}
}

func TestPlan_Deadline(t *testing.T) {
	for _, c := range []struct {
		name string
		in   Input
		want time.Duration
	}{
		{"no device", Input{}, 2 * time.Minute},
		{"one wave", Input{Devices: 50, Limits: limits(time.Minute, 0, 0)}, 95*time.Second + 2*time.Minute},
		{"two waves", Input{Devices: 51, Limits: limits(time.Minute, 0, 0)}, 190*time.Second + 2*time.Minute},
		{"retries", Input{Devices: 1, Limits: limits(time.Minute, 2, 10*time.Second)}, 3*95*time.Second + 20*time.Second + 2*time.Minute},
		{"throttling", Input{Devices: 1, Limits: limits(time.Minute, 0, 0), Deployment: cloud()}, 95*time.Second + 12*time.Minute},
		{"run limit", Input{Devices: 10_000, Limits: limits(time.Minute, 0, 0), RunLimit: time.Hour}, time.Hour + 2*time.Minute},
		{"detached", Input{Devices: 1, Limits: limits(3*time.Hour, 0, 0), Detached: true}, 3*time.Hour + 35*time.Second + 15*time.Minute + 2*time.Minute},
		{"detached, retries", Input{Devices: 1, Limits: limits(time.Hour, 1, time.Minute), Detached: true}, 2*(time.Hour+35*time.Second+15*time.Minute) + time.Minute + 2*time.Minute},
		{"units of two", Input{Devices: 10_001, Limits: limits(time.Minute, 0, 0)}, 101*2*95*time.Second + 2*time.Minute},
		{"cap", Input{Devices: 10_000, Limits: limits(time.Hour, 100, time.Hour)}, MaxRun},
		{"overflow", Input{Devices: 100_000, Limits: limits(1<<62, 1<<40, 1<<62)}, MaxRun},
	} {
		c.in.Now = start
		if got := Plan(c.in).Deadline.Sub(start); got != c.want {
			t.Errorf("%s: deadline after %s, want %s", c.name, got, c.want)
		}
	}
}

func TestSpacing_GrowsToItsLimit(t *testing.T) {
	want := []time.Duration{20 * time.Second, 30 * time.Second, 45 * time.Second, 67500 * time.Millisecond}
	for i, w := range want {
		if got := Spacing(i); got != w {
			t.Errorf("round %d: %s, want %s", i, got, w)
		}
	}
	if got := Spacing(1 << 30); got != 300*time.Second {
		t.Errorf("late round: %s, want 300s", got)
	}
}

func TestPlan_Properties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := Input{
			Devices: rapid.IntRange(0, job.MaxTargets).Draw(t, "devices"),
			Limits: job.Limits{
				Timeout:     time.Duration(rapid.Int64Range(0, int64(24*time.Hour)).Draw(t, "timeout")),
				Concurrency: rapid.IntRange(0, 20_000).Draw(t, "concurrency"),
				Retries: job.Retries{
					Count: rapid.IntRange(0, 1000).Draw(t, "retries"),
					Wait:  time.Duration(rapid.Int64Range(0, int64(24*time.Hour)).Draw(t, "wait")),
				},
				OnUnknown: rapid.SampledFrom([]job.OnUnknown{job.OnUnknownReport, job.OnUnknownRepeat}).Draw(t, "unknown"),
			},
			RunLimit: time.Duration(rapid.Int64Range(0, int64(24*time.Hour)).Draw(t, "limit")),
			Deployment: Deployment{
				Concurrency: rapid.IntRange(0, 2000).Draw(t, "deployment"),
				Invocation:  time.Duration(rapid.Int64Range(0, int64(15*time.Minute)).Draw(t, "invocation")),
				HeldWait:    30 * time.Second,
				Throttled:   rapid.Bool().Draw(t, "throttled"),
			},
			Now: start,
		}
		out := Plan(in)
		next := 0
		for u := range out.Units {
			first, end := Range(u, out.DevicesPerUnit, in.Devices)
			if first != next || end <= first {
				t.Fatalf("unit %d holds [%d,%d), want it to start at %d and not to be empty", u, first, end, next)
			}
			next = end
		}
		if next != in.Devices {
			t.Fatalf("units end at %d of %d devices", next, in.Devices)
		}
		if out.Units > job.MaxUnits {
			t.Fatalf("%d units", out.Units)
		}
		if out.Concurrency < 1 || over(out.Concurrency, in.Limits.Concurrency) || over(out.Concurrency, in.Deployment.Concurrency) {
			t.Fatalf("concurrency %d over a limit of %d and %d", out.Concurrency, in.Limits.Concurrency, in.Deployment.Concurrency)
		}
		if !out.Deadline.After(in.Now) || out.Deadline.Sub(in.Now) > MaxRun {
			t.Fatalf("deadline %s after the start", out.Deadline.Sub(in.Now))
		}
		if in.RunLimit > 0 && out.Deadline.Sub(in.Now) > in.RunLimit+Margin {
			t.Fatalf("deadline %s after the start, limit %s", out.Deadline.Sub(in.Now), in.RunLimit)
		}
		if (out.Units == 0) != (out.Map == None) || out.Map == Inline && out.Units > MaxInline {
			t.Fatalf("map %s for %d units", out.Map, out.Units)
		}
		if again := Plan(in); again != out {
			t.Fatalf("planned twice: %+v, then %+v", out, again)
		}
	})
}

func over(n, limit int) bool { return limit > 0 && n > limit }
