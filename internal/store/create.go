package store

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"time"

	"drover/internal/job"
)

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
	Schedule    *job.Schedule // a new one, whose first run this is; may be nil
	Idempotency *Idempotency
	Audit       job.AuditEntry
}

// targetOps splits the targets of a run into rows.
func (s *Store) targetOps(r job.Run, targets []job.Target) []Op {
	var ops []Op
	expires := s.dataExpiry()
	if r.ScheduleID != 0 { // it may be paused for as long as one likes; see ForgetExpired
		expires = time.Time{}
	}
	for i := 0; i < len(targets); i += job.TargetsPerChunk {
		chunk := targets[i:min(i+job.TargetsPerChunk, len(targets))]
		ops = append(ops, Op{Kind: OpPut, Row: Row{
			Key:     chunkKey(r.Tenant, r.ID, i/job.TargetsPerChunk),
			Value:   encode(chunk),
			Expires: expires,
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
	run, replayed, err = s.createRun(ctx, n)
	switch code := job.CodeOf(err); {
	case replayed, code == job.AlreadyExists, code == job.KeyReused, code == job.Conflict, code == job.TooLarge:
		s.dropTargets(ctx, n.Run) // it was surely not stored
	}
	return run, replayed, err
}

func (s *Store) createRun(ctx context.Context, n NewRun) (run job.Run, replayed bool, err error) {
	if n.Idempotency != nil {
		run, found, err := s.replay(ctx, n)
		if err != nil || found {
			return run, found, err
		}
	}
	chunks, err := s.putFirst(ctx, s.targetOps(n.Run, n.Targets))
	if err != nil {
		return job.Run{}, false, err
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
		if n.Schedule != nil && n.Schedule.Purpose != "" {
			if err := s.purposeFree(ctx, n.Run.Tenant, n.Schedule.Purpose); err != nil {
				return job.Run{}, false, err
			}
		}
		n.Run.Created = n.Run.Created.Add(time.Microsecond)
	}
	return job.Run{}, false, job.Errorf(job.Exhausted, "no free creation time; try again")
}

// putFirst stores target chunks that are too many for the run's own group, and
// returns those that go with it.
func (s *Store) putFirst(ctx context.Context, chunks []Op, also ...Op) ([]Op, error) {
	if len(chunks) <= inlineChunks && fitting(chunks) == len(chunks) {
		return chunks, nil
	}
	for len(chunks) > 0 {
		k := min(fitting(chunks), MaxAtomic-len(also))
		if err := s.d.Atomic(ctx, append(chunks[:k:k], also...)...); err != nil {
			return nil, err
		}
		chunks = chunks[k:]
	}
	return nil, nil
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
	ops := append(s.runOps(r),
		Op{Kind: OpPut, Row: Row{Key: jobKey(r.Tenant, n.Job.ID), Value: encode(n.Job), Expires: jobExpires}, Cond: IfMissing()})
	if n.Schedule != nil {
		ops = append(ops, newScheduleOps(*n.Schedule)...)
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

// runOps are the rows of a new run itself.
func (s *Store) runOps(r job.Run) []Op {
	ops := []Op{
		{Kind: OpPut, Row: Row{Key: runKey(r.Tenant, r.ID), Value: encode(r)}, Cond: IfMissing()},
		{Kind: OpPut, Row: Row{Key: listKey(r.Tenant, r.Created), Value: encode(listRowOf(r))}, Cond: IfMissing()},
	}
	if !r.Status.Terminal() {
		ops = append(ops, Op{Kind: OpPut, Row: openRow(r)})
	}
	if r.Name != "" {
		ops = append(ops, Op{Kind: OpPut, Row: Row{Key: nameKey(r.Tenant, r.Name), Value: encode(r.ID), Expires: s.dataExpiry()}, Cond: IfMissing()})
	}
	if r.Number != 0 {
		ops = append(ops, Op{Kind: OpPut, Row: Row{Key: numberKey(r.Tenant, r.Space, r.Number), Value: encode(r.ID)}, Cond: IfMissing()})
	}
	if r.ScheduleID != 0 {
		ops = append(ops, Op{Kind: OpPut, Row: Row{Key: madeKey(r.Tenant, r.ScheduleID, r.ID), Value: []byte("1")}})
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
