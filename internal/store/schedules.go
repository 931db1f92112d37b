package store

import (
	"context"
	"time"

	"drover/internal/job"
)

var schedules = kind[job.Schedule]{"schedule", func(v *job.Schedule) *job.Meta { return &v.Meta }}

func purposeKey(tenant, purpose string) Key { return Key{tenant + "/schedule/purpose", purpose} }

// madeKey is the row by which a schedule knows a run that it made. Ids of runs
// are in the order in which they were made.
func madeKey(tenant string, id int64, run string) Key {
	return Key{tenant + "/schedule/" + idSort(id) + "/runs", run}
}

func newScheduleOps(sc job.Schedule) []Op {
	ops := []Op{{Kind: OpPut, Row: Row{Key: schedules.key(sc.Tenant, sc.ID), Value: encode(sc)}, Cond: IfMissing()}}
	if sc.Purpose != "" {
		ops = append(ops, Op{Kind: OpPut, Row: Row{Key: purposeKey(sc.Tenant, sc.Purpose), Value: encode(sc.ID)}, Cond: IfMissing()})
	}
	return ops
}

// purposeFree is AlreadyExists when a schedule that is not final has a purpose.
func (s *Store) purposeFree(ctx context.Context, tenant, purpose string) error {
	switch _, err := s.get(ctx, purposeKey(tenant, purpose)); job.CodeOf(err) {
	case "":
		return &job.Error{Code: job.AlreadyExists, Field: "purpose", Message: "there is already a schedule with the purpose " + purpose}
	case job.NotFound:
		return nil
	default:
		return err
	}
}

// Schedule returns a schedule by id.
func (s *Store) Schedule(ctx context.Context, tenant string, id int64) (job.Schedule, error) {
	return schedules.byID(ctx, s, tenant, id)
}

// Schedules lists schedules in order of id.
func (s *Store) Schedules(ctx context.Context, tenant string, q PageQuery) ([]job.Schedule, string, error) {
	return schedules.list(ctx, s, tenant, q)
}

// ScheduleRuns returns the runs that a schedule has made and that are kept,
// oldest first.
func (s *Store) ScheduleRuns(ctx context.Context, tenant string, id int64) ([]job.Run, error) {
	var all []job.Run
	for q := (Query{Partition: madeKey(tenant, id, "").Partition, Limit: MaxPageRows}); ; {
		runs, next, err := s.made(ctx, tenant, q)
		if err != nil {
			return nil, err
		}
		all = append(all, runs...)
		if next == "" {
			return all, nil
		}
		q.After = next
	}
}

// LatestScheduleRuns returns the n latest of the runs that a schedule has made and
// that are kept, newest first.
func (s *Store) LatestScheduleRuns(ctx context.Context, tenant string, id int64, n int) ([]job.Run, error) {
	var all []job.Run
	for q := (Query{Partition: madeKey(tenant, id, "").Partition, Reverse: true}); len(all) < n; {
		q.Limit = min(MaxPageRows, n-len(all))
		runs, next, err := s.made(ctx, tenant, q)
		if err != nil {
			return nil, err
		}
		all = append(all, runs...)
		if next == "" {
			break
		}
		q.After = next
	}
	return all, nil
}

func (s *Store) made(ctx context.Context, tenant string, q Query) ([]job.Run, string, error) {
	page, err := s.d.Query(ctx, q)
	if err != nil {
		return nil, "", err
	}
	ids := make([]string, len(page.Rows))
	for i, row := range page.Rows {
		ids[i] = row.Key.Sort
	}
	runs, err := s.runsByID(ctx, tenant, ids)
	return runs, page.Next, err
}

// Turn is one step in the life of a schedule: the schedule, the run that was
// scheduled and the one that is scheduled next change together or not at all.
type Turn struct {
	Prev, Next job.Schedule
	// Was is the run that is scheduled, as it was read, and Is what becomes of
	// it. Targets, when not nil, are its devices, found just now.
	Was, Is job.Run
	Targets []job.Target
	// New, when not nil, is the next run, and NewTargets its devices. Its Created
	// must be unique: Conflict otherwise.
	New        *job.Run
	NewTargets []job.Target
	// Job is that of the runs. It begins to expire when Next is final.
	Job   job.Job
	Audit job.AuditEntry
}

// TurnSchedule stores a step. Conflict when the schedule or the run has changed
// since it was read: nothing was written then.
func (s *Store) TurnSchedule(ctx context.Context, t Turn) error {
	was, is := t.Was, t.Is
	var pre []Op
	if chunks := s.targetOps(is, t.Targets); len(chunks) > 0 {
		if len(chunks) > inlineChunks || fitting(chunks) < len(chunks) {
			// Somebody else may be doing the same, and have found others:
			// only who changed the run last may write.
			rev, err := s.d.Put(ctx, Row{Key: runKey(was.Tenant, was.ID), Value: encode(was)}, IfRev(was.Rev))
			if err != nil {
				return err
			}
			was.Rev = rev
			mine := Op{Kind: OpCheck, Row: Row{Key: runKey(was.Tenant, was.ID)}, Cond: IfRev(rev)}
			if chunks, err = s.putFirst(ctx, chunks, mine); err != nil {
				return err
			}
		}
		pre = append(pre, chunks...)
	}
	if t.New != nil {
		t.New.Created = t.New.Created.UTC().Truncate(time.Microsecond)
		chunks, err := s.putFirst(ctx, s.targetOps(*t.New, t.NewTargets))
		if err != nil {
			return err
		}
		pre = append(append(pre, chunks...), s.runOps(*t.New)...)
	}
	ops, _, err := s.updateOps(was, is, true)
	if err != nil {
		return err
	}
	ops = append(append(ops, pre...), s.scheduleOps(t)...)
	if t.Audit.Action != "" {
		ops = append(ops, s.auditOp(t.Audit))
	}
	err = s.d.Atomic(ctx, ops...)
	if job.CodeOf(err) == job.Conflict && t.New != nil {
		s.dropTargets(ctx, *t.New)
	}
	return err
}

// scheduleOps replace the schedule. A final one goes as its runs do, and so does
// its job.
func (s *Store) scheduleOps(t Turn) []Op {
	row := Row{Key: schedules.key(t.Next.Tenant, t.Next.ID), Value: encode(t.Next)}
	ended := t.Next.State.Final() && !t.Prev.State.Final()
	if ended {
		row.Expires = s.dataExpiry()
	}
	ops := []Op{{Kind: OpPut, Row: row, Cond: IfRev(t.Prev.Rev)}}
	if !ended {
		return ops
	}
	if t.Job.ID != "" {
		ops = append(ops, Op{Kind: OpPut, Cond: IfRev(t.Job.Rev),
			Row: Row{Key: jobKey(t.Job.Tenant, t.Job.ID), Value: encode(t.Job), Expires: s.dataExpiry()}})
	}
	if t.Next.Purpose != "" {
		ops = append(ops, Op{Kind: OpDelete, Row: Row{Key: purposeKey(t.Next.Tenant, t.Next.Purpose)}})
	}
	return ops
}

// dropTargets removes what was written for a run of a schedule that was not stored.
// What stays is named by nothing, and does not expire.
func (s *Store) dropTargets(ctx context.Context, r job.Run) {
	chunks := leftoverOf(r).Chunks
	if chunks <= inlineChunks {
		return
	}
	if _, err := s.Run(ctx, r.Tenant, r.ID); job.CodeOf(err) == job.NotFound {
		for c := range chunks {
			_ = s.d.Delete(ctx, chunkKey(r.Tenant, r.ID, c), Always())
		}
	}
}

// DeleteSchedule removes a final schedule. Its runs stay.
func (s *Store) DeleteSchedule(ctx context.Context, sc job.Schedule, audit ...job.AuditEntry) error {
	return schedules.delete(ctx, s, sc, audit)
}

// eraseLook is how many runs of a schedule EraseLogin reads at once.
const eraseLook = 100

// EraseLogin removes the secrets of a job's login when they are of no use any
// more: when its only run is over, or its schedule is final and none of its runs
// goes on. It is called whenever a run ends whose job has such secrets
// (Run.HasLogin).
func (s *Store) EraseLogin(ctx context.Context, tenant, jobID string) error {
	for try := 0; ; try++ {
		row, err := s.get(ctx, jobKey(tenant, jobID))
		if job.CodeOf(err) == job.NotFound {
			return nil
		}
		if err != nil {
			return err
		}
		j, err := decode[job.Job](row)
		if err != nil || !j.Login.Secret() {
			return err
		}
		if used, err := s.loginUsed(ctx, j); err != nil || used {
			return err
		}
		j.Login = job.Login{Username: j.Login.Username}
		_, err = s.d.Put(ctx, Row{Key: row.Key, Value: encode(j), Expires: row.Expires}, IfRev(row.Rev))
		if job.CodeOf(err) != job.Conflict || try == 9 {
			return err
		}
	}
}

func (s *Store) loginUsed(ctx context.Context, j job.Job) (bool, error) {
	if j.ScheduleID == 0 {
		return false, nil
	}
	sc, err := s.Schedule(ctx, j.Tenant, j.ScheduleID)
	if err == nil && !sc.State.Final() {
		return true, nil
	}
	if err != nil && job.CodeOf(err) != job.NotFound {
		return false, err
	}
	for q := (Query{Partition: madeKey(j.Tenant, j.ScheduleID, "").Partition, Reverse: true, Limit: eraseLook}); ; {
		runs, next, err := s.made(ctx, j.Tenant, q)
		if err != nil {
			return false, err
		}
		for _, r := range runs {
			if !r.Status.Terminal() {
				return true, nil
			}
			if s.Now().Sub(r.Created) > maxRun { // when the one before it began: that has ended, and so have all others
				return false, nil
			}
		}
		if next == "" {
			return false, nil
		}
		q.After = next
	}
}
