package store

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"drover/internal/job"
)

// The rows that say when somebody looks at a run again: at one that is not over
// (open), and at what an ended one leaves behind (expired).

func openKey(due time.Time, tenant, run string) Key {
	return Key{"open", fmt.Sprintf("%016d/%s/%s", due.UnixMilli(), tenant, run)}
}

// openScheduled is the value of the open row of a run that waits for its time.
const openScheduled = "s"

func openRow(r job.Run) Row {
	value := "1"
	if r.Status == job.Scheduled {
		value = openScheduled
	}
	return Row{Key: openKey(r.Due, r.Tenant, r.ID), Value: []byte(value)}
}

// leftover is what an ended run leaves behind that does not expire by itself.
type leftover struct {
	Space    string `json:"s,omitempty"`
	Number   int64  `json:"n,omitempty"`
	Schedule int64  `json:"c,omitempty"`
	Chunks   int    `json:"t,omitempty"`
}

func leftoverOf(r job.Run) leftover {
	l := leftover{Space: r.Space, Number: r.Number, Schedule: r.ScheduleID}
	if r.ScheduleID != 0 {
		l.Chunks = (r.Total + job.TargetsPerChunk - 1) / job.TargetsPerChunk
	}
	return l
}

func expiredRow(at time.Time, r job.Run) Row {
	row := Row{Key: expiredKey(at, r.Tenant, r.ID), Value: []byte("1")}
	if l := leftoverOf(r); l != (leftover{}) {
		row.Value = encode(l)
	}
	return row
}

func expiredKey(at time.Time, tenant, run string) Key {
	return Key{"expired", fmt.Sprintf("%016d/%s/%s", at.UnixMilli(), tenant, run)}
}

// RunRef names a run.
type RunRef struct{ Tenant, Run string }

// OpenRow says when the sweeper looks at a run that is not over.
type OpenRow struct {
	RunRef
	Due time.Time
	// Scheduled says that the run waits for its time.
	Scheduled bool
}

// Due returns open rows whose moment has come by now, longest due first, a page
// at a time; the pages of one listing name the same now.
func (s *Store) Due(ctx context.Context, now time.Time, q PageQuery) ([]OpenRow, string, error) {
	page, err := s.d.Query(ctx, Query{Partition: "open", To: fmt.Sprintf("%016d", now.UnixMilli()+1), Limit: q.limit(), After: q.After})
	if err != nil {
		return nil, "", err
	}
	return openRows(page.Rows), page.Next, nil
}

// OpenRuns returns runs that are not over, in order of Due, a page at a time.
func (s *Store) OpenRuns(ctx context.Context, q PageQuery) ([]OpenRow, string, error) {
	page, err := s.d.Query(ctx, Query{Partition: "open", Limit: q.limit(), After: q.After})
	if err != nil {
		return nil, "", err
	}
	return openRows(page.Rows), page.Next, nil
}

// Expired returns ended runs whose retention is over by now and of which something
// outside the store may be left (see ForgetExpired), a page at a time; the
// pages of one listing name the same now.
func (s *Store) Expired(ctx context.Context, now time.Time, q PageQuery) ([]ExpiredRun, string, error) {
	page, err := s.d.Query(ctx, Query{Partition: "expired", To: fmt.Sprintf("%016d", now.UnixMilli()), Limit: q.limit(), After: q.After})
	if err != nil {
		return nil, "", err
	}
	out := make([]ExpiredRun, 0, len(page.Rows))
	for _, row := range page.Rows {
		if ref, _, ok := parseTimed(row.Key.Sort); ok {
			r := ExpiredRun{RunRef: ref, key: row.Key}
			_ = json.Unmarshal(row.Value, &r.left) // "1": nothing is left
			out = append(out, r)
		}
	}
	return out, page.Next, nil
}

// ExpiredRun is a run whose retention is over.
type ExpiredRun struct {
	RunRef
	key  Key
	left leftover
}

// ForgetExpired says that nothing is left of a run outside the store, and removes
// what is left of it here. Its number is gone from then on.
func (s *Store) ForgetExpired(ctx context.Context, r ExpiredRun) error {
	if r.left == (leftover{}) {
		return s.d.Delete(ctx, r.key, Always())
	}
	for first := 0; first < r.left.Chunks; first += MaxAtomic {
		var ops []Op
		for c := first; c < min(first+MaxAtomic, r.left.Chunks); c++ {
			ops = append(ops, Op{Kind: OpDelete, Row: Row{Key: chunkKey(r.Tenant, r.Run, c)}})
		}
		if err := s.d.Atomic(ctx, ops...); err != nil {
			return err
		}
	}
	var ops []Op
	if r.left.Schedule != 0 {
		ops = append(ops, Op{Kind: OpDelete, Row: Row{Key: madeKey(r.Tenant, r.left.Schedule, r.Run)}})
	}
	ops = append(ops, Op{Kind: OpDelete, Row: Row{Key: r.key}, Cond: IfExists()})
	if r.left.Number == 0 {
		err := s.d.Atomic(ctx, ops...)
		if job.CodeOf(err) == job.Conflict { // somebody else was here
			return nil
		}
		return err
	}
	ops = append(ops, Op{Kind: OpDelete, Row: Row{Key: numberKey(r.Tenant, r.left.Space, r.left.Number)}})
	return s.loseNumber(ctx, r.Tenant, r.left.Space, &r.key, ops)
}

func openRows(rows []Row) []OpenRow {
	out := make([]OpenRow, 0, len(rows))
	for _, r := range rows {
		if ref, at, ok := parseTimed(r.Key.Sort); ok {
			out = append(out, OpenRow{RunRef: ref, Due: at, Scheduled: string(r.Value) == openScheduled})
		}
	}
	return out
}

// parseTimed takes the sort key of an open or expired row apart.
func parseTimed(sort string) (RunRef, time.Time, bool) {
	parts := strings.SplitN(sort, "/", 3)
	if len(parts) != 3 {
		return RunRef{}, time.Time{}, false
	}
	ms, err := strconv.ParseInt(parts[0], 10, 64)
	return RunRef{Tenant: parts[1], Run: parts[2]}, time.UnixMilli(ms).UTC(), err == nil
}

// DropOpen removes the open row of a run that is over or gone. It serves a
// sweeper that meets a row whose run has no use for it.
func (s *Store) DropOpen(ctx context.Context, o OpenRow) error {
	return s.d.Delete(ctx, openKey(o.Due, o.Tenant, o.Run), Always())
}
