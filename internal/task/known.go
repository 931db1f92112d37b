package task

import (
	"context"
	"encoding/json"
	"slices"
	"sync"

	"drover/internal/erb"
	"drover/internal/executor"
	"drover/internal/job"
	"drover/internal/store"
)

// knownRun is what a process remembers of a run while it executes its units:
// what never changes (the job, the targets, the plan), and the credentials and
// jump hosts as they were when the run first needed them here.
type knownRun struct {
	id             runID
	job            job.Job // body, payload and inputs in place
	own            *own
	total, perUnit int
	detaches       bool // by its plan

	mu        sync.Mutex // below: filled when needed
	chunks    map[int][]job.Target
	logins    map[int64]*login
	overs     map[int64]*login // logins with the job's own laid over
	jumps     map[int64]*jumpHost
	redactors map[[2]int64]*executor.Redactor
	parts     map[string]erb.Included // other templates, by name
	all       []job.Device
	allOnce   bool
}

// runCache remembers runs, the last ones used.
type runCache struct {
	mu   sync.Mutex
	runs map[runID]*cachedRun
	used []runID // oldest first
}

type cachedRun struct {
	mu  sync.Mutex // held while loading
	run *knownRun
}

// maxKnownRuns bounds what a process remembers.
const maxKnownRuns = 64

func (c *runCache) get(ctx context.Context, f *Functions, id runID) (*knownRun, error) {
	slot := c.slot(id)
	slot.mu.Lock()
	defer slot.mu.Unlock()
	if slot.run == nil {
		k, err := f.load(ctx, id)
		if err != nil {
			c.drop(id)
			return nil, err
		}
		slot.run = k
	}
	return slot.run, nil
}

func (c *runCache) slot(id runID) *cachedRun {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := c.runs[id]; s != nil {
		if last := len(c.used) - 1; c.used[last] != id {
			i := slices.Index(c.used, id)
			c.used = append(slices.Delete(c.used, i, i+1), id)
		}
		return s
	}
	if c.runs == nil {
		c.runs = map[runID]*cachedRun{}
	}
	if len(c.used) == maxKnownRuns {
		delete(c.runs, c.used[0])
		c.used = slices.Delete(c.used, 0, 1)
	}
	s := &cachedRun{}
	c.runs[id] = s
	c.used = append(c.used, id)
	return s
}

func (c *runCache) drop(id runID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.runs[id]; ok {
		delete(c.runs, id)
		c.used = slices.DeleteFunc(c.used, func(o runID) bool { return o == id })
	}
}

// load reads what never changes of a planned run.
func (f *Functions) load(ctx context.Context, id runID) (*knownRun, error) {
	run, j, err := f.cfg.Store.RunAndJob(ctx, id.tenant, id.run)
	if err != nil {
		return nil, err
	}
	if run.Started == nil {
		return nil, job.Errorf(job.Invalid, "run %s has no plan", id.run)
	}
	if j.SpecBlob != "" {
		data, err := f.cfg.Blobs.Get(ctx, j.SpecBlob)
		if err != nil {
			return nil, job.Wrap(codeForSpec(err), err, "the specification of job %s", j.ID)
		}
		var spec job.Spec
		if err := json.Unmarshal(data, &spec); err != nil {
			return nil, job.Wrap(job.Corrupt, err, "the specification of job %s", j.ID)
		}
		j.Body, j.Payload, j.Inputs = spec.Body, spec.Payload, spec.Inputs
	}
	j.Limits = bounded(j.Limits)
	own, err := openOwn(f.cfg.Box, j)
	if err != nil {
		return nil, err
	}
	return &knownRun{
		id: id, job: j, own: own, total: run.Total, perUnit: max(1, run.DevicesPerUnit), detaches: run.Detaches,
		chunks: map[int][]job.Target{}, logins: map[int64]*login{}, overs: map[int64]*login{}, jumps: map[int64]*jumpHost{}, redactors: map[[2]int64]*executor.Redactor{},
	}, nil
}

// bounded gives an attempt the default time limit where there is none: claims
// and deadlines are computed from it.
func bounded(l job.Limits) job.Limits {
	if l.Timeout <= 0 {
		l.Timeout = job.DefaultTimeout
	}
	return l
}

// codeForSpec keeps a missing object from looking like a missing run.
func codeForSpec(err error) job.Code {
	if c := job.CodeOf(err); c != job.NotFound {
		return c
	}
	return job.Corrupt
}

// targets returns the targets with first <= index < end. Chunks are read once.
func (k *knownRun) targets(ctx context.Context, f *Functions, first, end int) ([]job.Target, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	var out []job.Target
	for i := first; i < end; {
		c := i / job.TargetsPerChunk
		chunk, ok := k.chunks[c]
		if !ok {
			var err error
			chunk, err = f.cfg.Store.Targets(ctx, k.id.tenant, k.id.run, c*job.TargetsPerChunk, job.TargetsPerChunk)
			if err != nil {
				return nil, err
			}
			k.chunks[c] = chunk
		}
		from, to := i-c*job.TargetsPerChunk, min(end-c*job.TargetsPerChunk, len(chunk))
		if from >= to {
			return nil, job.Errorf(job.Corrupt, "run %s has no target %d", k.id.run, i)
		}
		out = append(out, chunk[from:to]...)
		i += to - from
	}
	return out, nil
}

// allDevices returns all devices of the run that exist, for templates that ask
// for them; it reads them once.
func (k *knownRun) allDevices(ctx context.Context, f *Functions) ([]job.Device, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.allOnce {
		return k.all, nil
	}
	var all []job.Device
	for from := 0; from < k.total; from += store.MaxPageRows {
		targets, err := f.cfg.Store.Targets(ctx, k.id.tenant, k.id.run, from, min(store.MaxPageRows, k.total-from))
		if err != nil {
			return nil, err
		}
		ids := make([]int64, len(targets))
		for i, t := range targets {
			ids[i] = t.ID
		}
		devices, err := f.cfg.Store.DevicesByID(ctx, k.id.tenant, ids)
		if err != nil {
			return nil, err
		}
		all = append(all, devices...)
	}
	k.all, k.allOnce = all, true
	return all, nil
}

// redactor returns the redactor for a credential and a chain of jump hosts.
func (k *knownRun) redactor(credential, jump int64, secrets []job.Secret) *executor.Redactor {
	k.mu.Lock()
	defer k.mu.Unlock()
	key := [2]int64{credential, jump}
	r := k.redactors[key]
	if r == nil {
		r = executor.NewRedactor(secrets...)
		k.redactors[key] = r
	}
	return r
}
