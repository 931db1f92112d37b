package store

import (
	"context"
	"fmt"
	"strings"
	"time"

	"drover/internal/job"
)

// The rows of a run. Run and job lie in one partition, so that one batch read
// gets both; results lie in shards of their own, so that a large run does not
// write to one place. The list row is unique per tenant and microsecond, which
// makes it the way from a creation time to a run as well.

func runPartition(tenant, run string) string { return tenant + "/run/" + run }

func runKey(tenant, run string) Key { return Key{runPartition(tenant, run), "run"} }

func jobKey(tenant, jobID string) Key { return Key{runPartition(tenant, jobID), "job"} }

func targetsPartition(tenant, run string) string { return runPartition(tenant, run) + "/targets" }

func listPartition(tenant string) string { return tenant + "/runs" }

func listKey(tenant string, created time.Time) Key {
	return Key{listPartition(tenant), fmt.Sprintf("%016d", created.UnixMicro())}
}

func chunkKey(tenant, run string, chunk int) Key {
	return Key{targetsPartition(tenant, run), fmt.Sprintf("%06d", chunk)}
}

func nameKey(tenant, name string) Key { return Key{tenant + "/runname", name} }

func decodeRun(row Row) (job.Run, error) {
	r, err := decode[job.Run](row)
	r.Rev = row.Rev
	return r, err
}

func noRun(id string) error { return job.Errorf(job.NotFound, "no run %q", id) }

func validID(id string) bool {
	return id != "" && len(id) <= 80 && !strings.ContainsAny(id, "/")
}

// Run returns a run.
func (s *Store) Run(ctx context.Context, tenant, id string) (job.Run, error) {
	if !validID(id) {
		return job.Run{}, noRun(id)
	}
	row, err := s.get(ctx, runKey(tenant, id))
	if job.CodeOf(err) == job.NotFound {
		return job.Run{}, noRun(id)
	}
	if err != nil {
		return job.Run{}, err
	}
	return decodeRun(row)
}

// Job returns a job.
func (s *Store) Job(ctx context.Context, tenant, id string) (job.Job, error) {
	if !validID(id) {
		return job.Job{}, job.Errorf(job.NotFound, "no job %q", id)
	}
	row, err := s.get(ctx, jobKey(tenant, id))
	if err != nil {
		return job.Job{}, err
	}
	return decodeJob(row)
}

func decodeJob(row Row) (job.Job, error) {
	j, err := decode[job.Job](row)
	j.Rev = row.Rev
	return j, err
}

// RunAndJob returns a run and its job by one batch read where the job was made
// for this run alone (their ids are equal then), by two otherwise.
func (s *Store) RunAndJob(ctx context.Context, tenant, id string) (job.Run, job.Job, error) {
	if !validID(id) {
		return job.Run{}, job.Job{}, noRun(id)
	}
	rows, err := s.getAll(ctx, []Key{runKey(tenant, id), jobKey(tenant, id)})
	if err != nil {
		return job.Run{}, job.Job{}, err
	}
	row, ok := rows[runKey(tenant, id)]
	if !ok {
		return job.Run{}, job.Job{}, noRun(id)
	}
	r, err := decodeRun(row)
	if err != nil {
		return job.Run{}, job.Job{}, err
	}
	if row, ok := rows[jobKey(tenant, id)]; ok && r.JobID == id {
		j, err := decodeJob(row)
		return r, j, err
	}
	j, err := s.Job(ctx, tenant, r.JobID)
	return r, j, err
}

// UnitRows are what an executor reads of a unit.
type UnitRows struct {
	Run     job.Run
	Devices map[int64]job.Device // those that exist
	// HostKeys are the keys pinned for the devices; "" where none is.
	HostKeys map[int64]string
}

// UnitRows returns a run, those of the devices that exist and their pinned host
// keys, by one batch read (for up to 49 devices): what an executor needs to begin a
// unit once it knows the job.
func (s *Store) UnitRows(ctx context.Context, tenant, id string, ids []int64) (UnitRows, error) {
	u := UnitRows{Devices: make(map[int64]job.Device, len(ids)), HostKeys: make(map[int64]string, len(ids))}
	keys := make([]Key, 0, 2*len(ids)+1)
	keys = append(keys, runKey(tenant, id))
	for _, d := range ids {
		keys = append(keys, devices.key(tenant, d), hostKeyKey(tenant, d))
	}
	rows, err := s.getAll(ctx, keys)
	if err != nil {
		return u, err
	}
	row, ok := rows[keys[0]]
	if !ok {
		return u, noRun(id)
	}
	if u.Run, err = decodeRun(row); err != nil {
		return u, err
	}
	for _, d := range ids {
		if row, ok := rows[devices.key(tenant, d)]; ok {
			if u.Devices[d], err = devices.decode(row); err != nil {
				return u, err
			}
		}
		u.HostKeys[d] = ""
		if row, ok := rows[hostKeyKey(tenant, d)]; ok {
			k, err := decode[job.HostKey](row)
			if err != nil {
				return u, err
			}
			u.HostKeys[d] = k.Key
		}
	}
	return u, nil
}

// RunByCreated returns the run that was created at a moment; see job.Run.Created.
func (s *Store) RunByCreated(ctx context.Context, tenant string, created time.Time) (job.Run, error) {
	row, err := s.get(ctx, listKey(tenant, created))
	if err != nil {
		return job.Run{}, err
	}
	l, err := decode[listRow](row)
	if err != nil {
		return job.Run{}, err
	}
	return s.Run(ctx, tenant, l.ID)
}

// RunQuery selects runs; empty fields select all.
type RunQuery struct {
	PageQuery
	Service string
	Status  job.Status
}

// Runs lists a tenant's runs, newest first. With a selection a page may hold
// fewer runs than asked for, even none, and still have a Next.
func (s *Store) Runs(ctx context.Context, tenant string, q RunQuery) ([]job.Run, string, error) {
	page, err := s.d.Query(ctx, Query{Partition: listPartition(tenant), Reverse: true, Limit: q.limit(), After: q.After})
	if err != nil {
		return nil, "", err
	}
	var keys []Key
	service := listed(q.Service)
	for _, row := range page.Rows {
		l, err := decode[listRow](row)
		if err != nil {
			return nil, "", err
		}
		if (service == "" || service == l.Service) && (q.Status == "" || q.Status == l.Status) {
			keys = append(keys, runKey(tenant, l.ID))
		}
	}
	rows, err := s.getAll(ctx, keys)
	if err != nil {
		return nil, "", err
	}
	runs := make([]job.Run, 0, len(keys))
	for _, k := range keys {
		if row, ok := rows[k]; ok {
			r, err := decodeRun(row)
			if err != nil {
				return nil, "", err
			}
			if q.Service == "" || q.Service == r.ServiceName {
				runs = append(runs, r)
			}
		}
	}
	return runs, page.Next, nil
}

// UpdateRun replaces prev, as it was read, by next: run, list row and open row
// in one atomic group, with an audit entry if its Action is set. Conflict when
// the run has changed meanwhile; a terminal run is never changed. When next is
// terminal the open row goes and retention begins. next's new revision is not
// known; read the run again to update it again.
func (s *Store) UpdateRun(ctx context.Context, prev, next job.Run, audit job.AuditEntry) error {
	ops, alone, err := s.updateOps(prev, next, audit.Action != "")
	if err != nil {
		return err
	}
	if alone {
		_, err := s.d.Put(ctx, ops[0].Row, ops[0].Cond)
		return err
	}
	if audit.Action != "" {
		ops = append(ops, s.auditOp(audit))
	}
	return s.d.Atomic(ctx, ops...)
}

// updateOps are the operations that replace prev by next. alone says that the
// first one is enough, unless the whole group is wanted.
func (s *Store) updateOps(prev, next job.Run, whole bool) (ops []Op, alone bool, err error) {
	if prev.Status.Terminal() {
		return nil, false, job.Errorf(job.Conflict, "run %s is over", prev.ID)
	}
	var expires time.Time
	if next.Status.Terminal() {
		next.Due = time.Time{}
		if s.keep > 0 {
			expires = s.Now().Add(s.keep)
		}
	}
	r := Row{Key: runKey(next.Tenant, next.ID), Value: encode(next), Expires: expires}
	ops = []Op{{Kind: OpPut, Row: r, Cond: IfRev(prev.Rev)}}
	if next.Status.Terminal() == prev.Status.Terminal() && next.Due.Equal(prev.Due) && next.Status == prev.Status && !whole {
		return ops, true, nil
	}
	ops = append(ops, Op{Kind: OpPut, Row: Row{Key: listKey(next.Tenant, next.Created), Value: encode(listRowOf(next)), Expires: expires}})
	was, is := openRow(prev), openRow(next)
	if next.Status.Terminal() {
		ops = append(ops, Op{Kind: OpDelete, Row: Row{Key: was.Key}})
		if s.keep > 0 {
			ops = append(ops, Op{Kind: OpPut, Row: expiredRow(expires, next)})
		}
		return ops, false, nil
	}
	if was.Key != is.Key {
		ops = append(ops, Op{Kind: OpDelete, Row: Row{Key: was.Key}})
	}
	if was.Key != is.Key || string(was.Value) != string(is.Value) {
		ops = append(ops, Op{Kind: OpPut, Row: is})
	}
	return ops, false, nil
}

// Targets returns up to n targets of a run from index from.
func (s *Store) Targets(ctx context.Context, tenant, run string, from, n int) ([]job.Target, error) {
	if from < 0 || n <= 0 {
		return nil, nil
	}
	first, last := from/job.TargetsPerChunk, (from+n-1)/job.TargetsPerChunk
	var keys []Key
	for c := first; c <= last; c++ {
		keys = append(keys, chunkKey(tenant, run, c))
	}
	rows, err := s.getAll(ctx, keys)
	if err != nil {
		return nil, err
	}
	var all []job.Target
	for _, k := range keys {
		row, ok := rows[k]
		if !ok {
			break
		}
		chunk, err := decode[[]job.Target](row)
		if err != nil {
			return nil, err
		}
		all = append(all, chunk...)
	}
	skip := from - first*job.TargetsPerChunk
	if skip >= len(all) {
		return nil, nil
	}
	return all[skip:min(len(all), skip+n)], nil
}
