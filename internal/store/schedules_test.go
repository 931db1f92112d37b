package store_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"drover/internal/job"
	"drover/internal/store"
)

// scheduled is a new run that a schedule is to make.
func scheduled(c *clock, id string, targets int) store.NewRun {
	n := newRun(c, id, targets)
	n.Job.ID, n.Job.ScheduleID, n.Run.JobID, n.Run.ScheduleID = "j1", 1, "j1", 1
	n.Run.Status = job.Scheduled
	return n
}

// A refused schedule for many devices leaves none of them behind: their rows, which
// are written first, would stay for ever.
func TestCreateRun_RefusedScheduleLeavesNoTargets(t *testing.T) {
	ctx := context.Background()
	s, d, c := watch(t, 0)
	first := scheduled(c, "r1", 1)
	first.Schedule = &job.Schedule{Meta: job.Meta{ID: 1, Tenant: "a", Name: "1"}, State: job.ScheduleActive, Purpose: "patches"}
	_, _, err := s.CreateRun(ctx, first)
	must(t, err)
	for i, name := range []string{"purpose", "key"} {
		n := scheduled(c, "again-"+name, 40*job.TargetsPerChunk)
		n.Job.ID, n.Run.JobID = "j-"+name, "j-"+name
		if name == "purpose" {
			n.Schedule = &job.Schedule{Meta: job.Meta{ID: 2, Tenant: "a", Name: "2"}, State: job.ScheduleActive, Purpose: "patches"}
		} else {
			n.Run.Name = "taken"
			taken := newRun(c, "r2", 1)
			taken.Run.Name = "taken"
			_, _, err := s.CreateRun(ctx, taken)
			must(t, err)
		}
		d.puts = nil
		_, _, err = s.CreateRun(ctx, n)
		wantCode(t, err, job.AlreadyExists)
		var keys []store.Key
		for _, row := range d.puts {
			keys = append(keys, row.Key)
		}
		if len(keys) < 40 {
			t.Fatalf("%d: nothing was written first", i)
		}
		for len(keys) > 0 {
			k := min(len(keys), store.MaxBatch)
			rows, err := s.Driver().Get(ctx, keys[:k]...)
			must(t, err)
			for _, r := range rows {
				if r.Key.Partition == "a/run/"+n.Run.ID+"/targets" {
					t.Fatalf("%s: still there: %s | %s", name, r.Key.Partition, r.Key.Sort)
				}
			}
			keys = keys[k:]
		}
	}
}

// many makes n runs of a schedule, all but the first of them over.
func many(t *testing.T, s *store.Store, c *clock, n int) {
	t.Helper()
	ctx := context.Background()
	for i := range n {
		nr := scheduled(c, fmt.Sprintf("r%04d", i), 1)
		nr.Run.HasLogin = true
		nr.Job.Login = job.Login{Username: "root", Password: job.Sealed("sealed")}
		if i > 0 { // as a step of the schedule does it, which shares the job
			nr.Job.ID = nr.Run.ID
		}
		_, _, err := s.CreateRun(ctx, nr)
		must(t, err)
		if i > 0 {
			end(t, s, nr.Run.ID)
		}
		c.Add(time.Minute)
	}
}

func end(t *testing.T, s *store.Store, id string) {
	t.Helper()
	run, err := s.Run(context.Background(), "a", id)
	must(t, err)
	over := run
	over.Status = job.Succeeded
	must(t, s.UpdateRun(context.Background(), run, over, job.AuditEntry{}))
}

// A run that goes on keeps its login, however many of the schedule have begun and
// ended since.
func TestEraseLogin_OfAnOldRunThatGoesOn(t *testing.T) {
	ctx := context.Background()
	s, _, c := watch(t, 90*24*time.Hour)
	many(t, s, c, 250)
	has := func() bool {
		must(t, s.EraseLogin(ctx, "a", "j1"))
		j, err := s.Job(ctx, "a", "j1")
		must(t, err)
		return j.Login.Secret()
	}
	if !has() {
		t.Error("the first run goes on")
	}
	end(t, s, "r0000")
	if has() {
		t.Error("all runs are over")
	}
}

func TestLatestScheduleRuns_ReadsNoOthers(t *testing.T) {
	ctx := context.Background()
	s, d, c := watch(t, 90*24*time.Hour)
	many(t, s, c, 60)
	for _, n := range []int{1, 20, 60, 100} {
		d.rows.Store(0)
		runs, err := s.LatestScheduleRuns(ctx, "a", 1, n)
		must(t, err)
		if len(runs) != min(n, 60) || runs[0].ID != "r0059" || runs[len(runs)-1].ID != fmt.Sprintf("r%04d", 60-len(runs)) {
			t.Errorf("%d: %d runs", n, len(runs))
		}
		if got := d.rows.Load(); got > int64(n) {
			t.Errorf("%d: %d rows are read", n, got)
		}
	}
	if runs, err := s.LatestScheduleRuns(ctx, "a", 2, 5); err != nil || len(runs) != 0 {
		t.Errorf("of another one: %v, %v", runs, err)
	}
}

// Reading all runs of a space reads each once, also when numbers are gone, and while
// runs are made.
func TestRunsBelow_ReadsEachRunOnce(t *testing.T) {
	ctx := context.Background()
	s, d, c := watch(t, time.Hour)
	add := func() {
		n, err := s.NextNumber(ctx, "a", "s")
		must(t, err)
		nr := newRun(c, fmt.Sprintf("r%04d", n), 1)
		nr.Run.Space, nr.Run.Number = "s", n
		_, _, err = s.CreateRun(ctx, nr)
		must(t, err)
	}
	for i := range 57 {
		if i%7 == 3 {
			_, err := s.NextNumber(ctx, "a", "s")
			must(t, err)
			must(t, s.LoseNumber(ctx, "a", "s"))
		}
		add()
	}
	end(t, s, "r0001")
	c.Add(2 * time.Hour)
	expired, _, err := s.Expired(ctx, c.Now(), store.PageQuery{})
	must(t, err)
	if len(expired) != 1 {
		t.Fatalf("%d expired", len(expired))
	}
	must(t, s.ForgetExpired(ctx, expired[0]))
	d.rows.Store(0)
	last, got := int64(1<<62), 0
	for below := int64(0); ; {
		runs, next, err := s.RunsBelow(ctx, "a", "s", below, 10)
		must(t, err)
		for _, r := range runs {
			if r.Number >= last {
				t.Errorf("run %d after %d", r.Number, last)
			}
			last, got = r.Number, got+1
		}
		if next == 0 {
			break
		}
		add() // does not move what is to come
		below = next
	}
	if got != 56 || d.rows.Load() != 56 {
		t.Errorf("%d runs, %d rows are read", got, d.rows.Load())
	}
	if runs, next, err := s.RunsBelow(ctx, "a", "t", 0, 10); err != nil || len(runs) != 0 || next != 0 {
		t.Errorf("of another space: %v, %d, %v", runs, next, err)
	}
}
