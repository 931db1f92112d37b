package store

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strconv"
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

func nameKey(tenant, name string) Key { return Key{tenant + "/runname", name} }

func openKey(due time.Time, tenant, run string) Key {
	return Key{"open", fmt.Sprintf("%016d/%s/%s", due.UnixMilli(), tenant, run)}
}

// IdempotencyTTL is how long a submit is remembered under its key.
const IdempotencyTTL = 24 * time.Hour

// Idempotency binds a submit to a key of the caller's.
type Idempotency struct {
	Principal string
	Path      string
	Key       string
	BodyHash  [sha256.Size]byte
	// Note is what else the first answer said; every further one gets it
	// back. Opaque, and left out when it is longer than MaxNote.
	Note []byte
}

// MaxNote bounds Idempotency.Note.
const MaxNote = 256 << 10

func (i Idempotency) key(tenant string) Key {
	h := sha256.New()
	for _, part := range []string{i.Principal, i.Path, i.Key} {
		fmt.Fprintf(h, "%d:%s", len(part), part)
	}
	return Key{tenant + "/idempotency", base64.RawURLEncoding.EncodeToString(h.Sum(nil))}
}

type idempotencyRow struct {
	Run  string `json:"run"`
	Body []byte `json:"body"`
	Note []byte `json:"note,omitempty"`
}

// listRow is what a listing shows of a run; the names are short because a list
// row stays under 400 bytes.
type listRow struct {
	ID      string     `json:"i"`
	Service string     `json:"s"`
	Status  job.Status `json:"t"`
}

// NewRun is everything that an accepted submit writes.
type NewRun struct {
	Job         job.Job
	Run         job.Run // Created is moved on by microseconds until it is unique
	Targets     []job.Target
	Idempotency *Idempotency
	Audit       job.AuditEntry
}

// targetOps splits targets into rows.
func (s *Store) targetOps(n NewRun) []Op {
	var ops []Op
	for i := 0; i < len(n.Targets); i += job.TargetsPerChunk {
		chunk := n.Targets[i:min(i+job.TargetsPerChunk, len(n.Targets))]
		ops = append(ops, Op{Kind: OpPut, Row: Row{
			Key:     Key{targetsPartition(n.Run.Tenant, n.Run.ID), fmt.Sprintf("%06d", i/job.TargetsPerChunk)},
			Value:   encode(chunk),
			Expires: s.dataExpiry(),
		}})
	}
	return ops
}

// dataExpiry is the expiry of rows that are written while a run is not over.
// They must outlive the run's own row, whose expiry is counted from the end: no
// run lasts longer than maxRun (see planner) beyond a week of waiting to start.
func (s *Store) dataExpiry() time.Time {
	if s.keep == 0 {
		return time.Time{}
	}
	return s.Now().Add(s.keep + maxRun)
}

const maxRun = 15 * 24 * time.Hour

// How many target chunks still travel in the run's own group, and how many bytes
// of them one group takes. Names decide how large a chunk is.
const (
	inlineChunks = 16
	chunkBytes   = 2 << 20
)

// CreateRun stores an accepted submit: target chunks first when there are many,
// then all the rest in one atomic group. It returns the run as stored.
//
// When the idempotency key was used before with the same body, the run of then is
// returned with replayed true and nothing is written; with another body the
// error is KeyReused. A name that is taken is AlreadyExists.
func (s *Store) CreateRun(ctx context.Context, n NewRun) (run job.Run, replayed bool, err error) {
	if n.Idempotency != nil {
		run, found, err := s.replay(ctx, n)
		if err != nil || found {
			return run, found, err
		}
	}
	chunks := s.targetOps(n)
	if len(chunks) > inlineChunks || fitting(chunks) < len(chunks) {
		for len(chunks) > 0 {
			k := fitting(chunks)
			if err := s.d.Atomic(ctx, chunks[:k]...); err != nil {
				return job.Run{}, false, err
			}
			chunks = chunks[k:]
		}
	}
	n.Run.Created = n.Run.Created.UTC().Truncate(time.Microsecond)
	for range 1000 {
		n.Job.Created = n.Run.Created
		ops := append(s.newRunOps(n), chunks...)
		err := s.d.Atomic(ctx, ops...)
		if job.CodeOf(err) != job.Conflict {
			return n.Run, false, err
		}
		// Which condition failed? The key's and the name's owners are
		// told; a creation time that is taken is moved on.
		if n.Idempotency != nil {
			if run, found, err := s.replay(ctx, n); err != nil || found {
				return run, found, err
			}
		}
		if n.Run.Name != "" {
			if _, err := s.get(ctx, nameKey(n.Run.Tenant, n.Run.Name)); err == nil {
				return job.Run{}, false, job.Errorf(job.AlreadyExists, "there is already a run with the name %q", n.Run.Name)
			} else if job.CodeOf(err) != job.NotFound {
				return job.Run{}, false, err
			}
		}
		n.Run.Created = n.Run.Created.Add(time.Microsecond)
	}
	return job.Run{}, false, job.Errorf(job.Exhausted, "no free creation time; try again")
}

// fitting is how many of the chunks one group takes, at least one.
func fitting(chunks []Op) int {
	n, bytes := 0, 0
	for _, c := range chunks {
		if bytes += len(c.Row.Value); n == MaxAtomic || n > 0 && bytes > chunkBytes {
			break
		}
		n++
	}
	return n
}

func (s *Store) newRunOps(n NewRun) []Op {
	r := n.Run
	var jobExpires time.Time
	if n.Job.ID == r.ID { // made for this run alone, and goes with it
		jobExpires = s.dataExpiry()
	}
	ops := []Op{
		{Kind: OpPut, Row: Row{Key: jobKey(r.Tenant, n.Job.ID), Value: encode(n.Job), Expires: jobExpires}, Cond: IfMissing()},
		{Kind: OpPut, Row: Row{Key: runKey(r.Tenant, r.ID), Value: encode(r)}, Cond: IfMissing()},
		{Kind: OpPut, Row: Row{Key: listKey(r.Tenant, r.Created), Value: encode(listRowOf(r))}, Cond: IfMissing()},
	}
	if !r.Status.Terminal() {
		ops = append(ops, Op{Kind: OpPut, Row: Row{Key: openKey(r.Due, r.Tenant, r.ID), Value: []byte("1")}})
	}
	if r.Name != "" {
		ops = append(ops, Op{Kind: OpPut, Row: Row{Key: nameKey(r.Tenant, r.Name), Value: encode(r.ID), Expires: s.dataExpiry()}, Cond: IfMissing()})
	}
	if i := n.Idempotency; i != nil {
		note := i.Note
		if len(note) > MaxNote {
			note = nil
		}
		ops = append(ops, Op{Kind: OpPut, Cond: IfMissing(), Row: Row{
			Key:     i.key(r.Tenant),
			Value:   encode(idempotencyRow{Run: r.ID, Body: i.BodyHash[:], Note: note}),
			Expires: s.Now().Add(IdempotencyTTL),
		}})
	}
	if n.Audit.Action != "" {
		ops = append(ops, s.auditOp(n.Audit))
	}
	return ops
}

func listRowOf(r job.Run) listRow {
	return listRow{ID: r.ID, Service: listed(r.ServiceName), Status: r.Status}
}

// listedBytes is how much of a service's name a list row holds, as it is
// encoded there: JSON writes some characters in six bytes.
const listedBytes = 300

// listed is the beginning of a service's name that a list row holds.
func listed(name string) string {
	if len(encode(name)) <= listedBytes {
		return name
	}
	left := listedBytes
	for i, r := range name {
		if left -= len(encode(string(r))) - len(`""`); left < 0 {
			return name[:i]
		}
	}
	return name
}

// Replayed returns the run that an idempotency key made before, with the note
// that was kept then; NotFound when there is none, KeyReused when it was another
// body, Conflict when that run is not kept any more: the key still makes no
// second one.
func (s *Store) Replayed(ctx context.Context, tenant string, i Idempotency) (run job.Run, note []byte, err error) {
	row, err := s.get(ctx, i.key(tenant))
	if err != nil {
		return run, nil, err
	}
	rec, err := decode[idempotencyRow](row)
	if err != nil {
		return run, nil, err
	}
	if string(rec.Body) != string(i.BodyHash[:]) {
		return run, nil, job.Errorf(job.KeyReused, "this Idempotency-Key was used for another request")
	}
	run, err = s.Run(ctx, tenant, rec.Run)
	if job.CodeOf(err) == job.NotFound {
		return run, nil, job.Errorf(job.Conflict, "this Idempotency-Key made the run %s, which is not kept any more", rec.Run)
	}
	return run, rec.Note, err
}

func (s *Store) replay(ctx context.Context, n NewRun) (job.Run, bool, error) {
	run, _, err := s.Replayed(ctx, n.Run.Tenant, *n.Idempotency)
	if job.CodeOf(err) == job.NotFound {
		return job.Run{}, false, nil
	}
	return run, err == nil, err
}

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
	return decode[job.Job](row)
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
		j, err := decode[job.Job](row)
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
	if prev.Status.Terminal() {
		return job.Errorf(job.Conflict, "run %s is over", prev.ID)
	}
	var expires time.Time
	if next.Status.Terminal() {
		next.Due = time.Time{}
		if s.keep > 0 {
			expires = s.Now().Add(s.keep)
		}
	}
	r := Row{Key: runKey(next.Tenant, next.ID), Value: encode(next), Expires: expires}
	if next.Status.Terminal() == prev.Status.Terminal() && next.Due.Equal(prev.Due) && next.Status == prev.Status && audit.Action == "" {
		_, err := s.d.Put(ctx, r, IfRev(prev.Rev))
		return err
	}
	ops := []Op{
		{Kind: OpPut, Row: r, Cond: IfRev(prev.Rev)},
		{Kind: OpPut, Row: Row{Key: listKey(next.Tenant, next.Created), Value: encode(listRowOf(next)), Expires: expires}},
	}
	oldOpen := openKey(prev.Due, prev.Tenant, prev.ID)
	switch newOpen := openKey(next.Due, next.Tenant, next.ID); {
	case next.Status.Terminal():
		ops = append(ops, Op{Kind: OpDelete, Row: Row{Key: oldOpen}})
		if s.keep > 0 {
			ops = append(ops, Op{Kind: OpPut, Row: Row{Key: expiredKey(expires, next.Tenant, next.ID), Value: []byte("1")}})
		}
	case newOpen != oldOpen:
		ops = append(ops, Op{Kind: OpDelete, Row: Row{Key: oldOpen}}, Op{Kind: OpPut, Row: Row{Key: newOpen, Value: []byte("1")}})
	}
	if audit.Action != "" {
		ops = append(ops, s.auditOp(audit))
	}
	return s.d.Atomic(ctx, ops...)
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
			out = append(out, ExpiredRun{RunRef: ref, key: row.Key})
		}
	}
	return out, page.Next, nil
}

// ExpiredRun is a run whose retention is over.
type ExpiredRun struct {
	RunRef
	key Key
}

// ForgetExpired says that nothing is left of a run.
func (s *Store) ForgetExpired(ctx context.Context, r ExpiredRun) error {
	return s.d.Delete(ctx, r.key, Always())
}

func openRows(rows []Row) []OpenRow {
	out := make([]OpenRow, 0, len(rows))
	for _, r := range rows {
		if ref, at, ok := parseTimed(r.Key.Sort); ok {
			out = append(out, OpenRow{RunRef: ref, Due: at})
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

// Targets returns up to n targets of a run from index from.
func (s *Store) Targets(ctx context.Context, tenant, run string, from, n int) ([]job.Target, error) {
	if from < 0 || n <= 0 {
		return nil, nil
	}
	first, last := from/job.TargetsPerChunk, (from+n-1)/job.TargetsPerChunk
	var keys []Key
	for c := first; c <= last; c++ {
		keys = append(keys, Key{targetsPartition(tenant, run), fmt.Sprintf("%06d", c)})
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
