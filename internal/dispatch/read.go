package dispatch

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"drover/internal/job"
	"drover/internal/store"
)

// Run returns a run.
func (d *Dispatcher) Run(ctx context.Context, p job.Principal, id string) (job.Run, error) {
	if err := allow(p, job.ActRead); err != nil {
		return job.Run{}, err
	}
	return d.Store.Run(ctx, p.Tenant, id)
}

// RunByCreated returns the run that was created at a moment, which is unique in
// the tenant to the microsecond.
func (d *Dispatcher) RunByCreated(ctx context.Context, p job.Principal, created time.Time) (job.Run, error) {
	if err := allow(p, job.ActRead); err != nil {
		return job.Run{}, err
	}
	return d.Store.RunByCreated(ctx, p.Tenant, created)
}

// RunQuery selects runs; see store.RunQuery.
type RunQuery struct {
	Limit   int
	After   string
	Service string
	Status  job.Status
}

// Runs lists runs, newest first. A page may hold fewer than Limit and still
// have a next one.
func (d *Dispatcher) Runs(ctx context.Context, p job.Principal, q RunQuery) (runs []job.Run, next string, err error) {
	if err := allow(p, job.ActRead); err != nil {
		return nil, "", err
	}
	return d.Store.Runs(ctx, p.Tenant, store.RunQuery{
		PageQuery: store.PageQuery{Limit: q.Limit, After: q.After}, Service: q.Service, Status: q.Status})
}

// Job returns the job of a run, with body and payload in place.
func (d *Dispatcher) Job(ctx context.Context, p job.Principal, run job.Run) (job.Job, error) {
	if err := allow(p, job.ActRead); err != nil {
		return job.Job{}, err
	}
	j, err := d.Store.Job(ctx, p.Tenant, run.JobID)
	if err != nil || j.SpecBlob == "" {
		return j, err
	}
	data, err := d.Blobs.Get(ctx, j.SpecBlob)
	if job.CodeOf(err) == job.NotFound { // the job is there
		return j, job.Wrap(job.Corrupt, err, "the specification of job %s", j.ID)
	}
	if err != nil {
		return j, err
	}
	var spec job.Spec
	if err := json.Unmarshal(data, &spec); err != nil {
		return j, job.Wrap(job.Corrupt, err, "the specification of job %s", j.ID)
	}
	j.Body, j.Payload, j.Inputs = spec.Body, spec.Payload, spec.Inputs
	return j, nil
}

// ResultPage is part of a run's results. Next is the index to go on from, -1
// on the last page.
type ResultPage struct {
	Results []job.Result
	Next    int
}

// maxPageOutput is how much output one page of results holds at most; a page
// ends early rather than exceed it.
const maxPageOutput = 8 << 20

// Results returns one result for each device in target order, from index from
// on, with outputs unpacked. Devices that were never claimed have a result too:
// pending while the run goes on, and what the run's end made of them after.
func (d *Dispatcher) Results(ctx context.Context, p job.Principal, runID string, from, limit int) (ResultPage, error) {
	run, err := d.Run(ctx, p, runID)
	if err != nil {
		return ResultPage{}, err
	}
	return d.results(ctx, run, from, limit)
}

func (d *Dispatcher) results(ctx context.Context, run job.Run, from, limit int) (ResultPage, error) {
	if limit <= 0 || limit > store.MaxPageRows {
		limit = store.MaxPageRows
	}
	from = max(from, 0)
	targets, err := d.Store.Targets(ctx, run.Tenant, run.ID, from, min(limit, run.Total-from))
	if err != nil {
		return ResultPage{}, err
	}
	rows, err := d.storedResults(ctx, run, from, from+len(targets))
	if err != nil {
		return ResultPage{}, err
	}
	page := ResultPage{Results: make([]job.Result, len(targets)), Next: -1}
	size := int64(0)
	for i, t := range targets {
		index := from + i
		r, ok := rows[index]
		if !ok {
			r = unclaimed(run, index, t)
		}
		page.Results[i] = r
		size += outputSize(r.Output)
		if size > maxPageOutput && i > 0 {
			page.Results, page.Next = page.Results[:i], index
			break
		}
	}
	if page.Next < 0 && from+len(page.Results) < run.Total {
		page.Next = from + len(page.Results)
	}
	if len(page.Results) == 0 {
		page.Next = -1
	}
	return page, d.unpack(ctx, page.Results)
}

// storedResults returns the stored results with from <= index < to.
func (d *Dispatcher) storedResults(ctx context.Context, run job.Run, from, to int) (map[int]job.Result, error) {
	rows := make(map[int]job.Result, to-from)
	for next := from; next < to; {
		batch, err := d.Store.Results(ctx, run, next, to-next)
		if err != nil {
			return nil, err
		}
		if len(batch) == 0 {
			break
		}
		for _, r := range batch {
			if r.Index < to {
				rows[r.Index] = r
			}
		}
		next = batch[len(batch)-1].Index + 1
	}
	return rows, nil
}

// unclaimed is the result of a device that no executor has claimed.
func unclaimed(run job.Run, index int, t job.Target) job.Result {
	r := job.Result{Index: index, DeviceID: t.ID, Device: t.Name, Status: job.ResultPending}
	if run.Status.Terminal() {
		r.Status, r.Reason = run.Unreached()
	}
	return r
}

// unpack fills the streams of results from their packed form or their blob.
func (d *Dispatcher) unpack(ctx context.Context, rs []job.Result) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(8)
	for i := range rs {
		r := &rs[i]
		if r.Output.Blob == "" {
			var err error
			if r.Output, err = r.Output.Unpack(nil); err != nil {
				_ = g.Wait() // they write into rs
				return err
			}
			continue
		}
		g.Go(func() error {
			data, err := d.Blobs.Get(ctx, r.Output.Blob)
			if job.CodeOf(err) == job.NotFound {
				r.Output.Stdout, r.Output.Blob = outputGone, ""
				return nil
			}
			if err == nil {
				r.Output, err = r.Output.Unpack(data)
			}
			return err
		})
	}
	return g.Wait()
}

// outputGone stands for an output whose object was removed from outside.
const outputGone = "[the output is no longer kept]"

// outputSize estimates what unpacking a result costs, without doing it.
func outputSize(o job.Output) int64 {
	return max(o.StdoutBytes+o.StderrBytes, int64(len(o.Packed)))
}

// progressAt is what Progress answered a moment ago.
type progressAt struct {
	at     time.Time
	counts job.Counts
}

// progressFresh is how long an answer of Progress serves others too.
const progressFresh = time.Second

// Progress returns the counts of a run as they are now. While a run goes on it
// reads every stored result, at most once a second for all callers together.
func (d *Dispatcher) Progress(ctx context.Context, p job.Principal, runID string) (job.Run, job.Counts, error) {
	run, err := d.Run(ctx, p, runID)
	if err != nil {
		return run, job.Counts{}, err
	}
	if run.Status.Terminal() {
		return run, run.Counts, nil
	}
	ref := store.RunRef{Tenant: run.Tenant, Run: run.ID}
	now := d.Store.Now()
	d.mu.Lock()
	had, ok := d.progress[ref]
	d.mu.Unlock()
	if ok && now.Sub(had.at) < progressFresh {
		return run, had.counts, nil
	}
	c := job.Counts{Total: run.Total}
	stored := 0
	for next := 0; ; {
		rows, err := d.Store.Results(ctx, run, next, store.MaxPageRows)
		if err != nil {
			return run, c, err
		}
		if len(rows) == 0 {
			break
		}
		for _, r := range rows {
			c.Add(r.Status, 1)
		}
		stored += len(rows)
		next = rows[len(rows)-1].Index + 1
	}
	c.Add(job.ResultPending, run.Total-stored)
	d.mu.Lock()
	defer d.mu.Unlock()
	for r, at := range d.progress {
		if now.Sub(at.at) > progressFresh {
			delete(d.progress, r)
		}
	}
	d.progress[ref] = progressAt{now, c}
	return run, c, nil
}

// Notify wakes those who wait for a run: it may be over.
func (d *Dispatcher) Notify(tenant, run string) {
	ref := store.RunRef{Tenant: tenant, Run: run}
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, c := range d.waiting[ref] {
		close(c)
	}
	delete(d.waiting, ref)
}

// Wait returns a run when it is over. When ctx ends before, the error is
// Canceled and the run as it was last seen is returned with it; the run goes on.
func (d *Dispatcher) Wait(ctx context.Context, p job.Principal, runID string) (job.Run, error) {
	pause := 50 * time.Millisecond
	if d.Local {
		pause = 2 * time.Second // Notify is what wakes; this is the safety net
	}
	var run job.Run
	for {
		woken, forget := d.waiter(store.RunRef{Tenant: p.Tenant, Run: runID})
		now, err := d.Run(ctx, p, runID)
		if err == nil {
			run = now
		}
		if err != nil || run.Status.Terminal() {
			forget()
			return run, err
		}
		t := time.NewTimer(pause)
		select {
		case <-woken:
		case <-t.C:
			pause = min(pause*3/2, 2*time.Second)
		case <-ctx.Done():
		}
		t.Stop()
		forget()
		if ctx.Err() != nil {
			return run, job.Wrap(job.Canceled, ctx.Err(), "run %s goes on", runID)
		}
	}
}

// waiter registers for Notify before the run is read, so that no wake-up is
// lost between reading and waiting.
func (d *Dispatcher) waiter(ref store.RunRef) (woken <-chan struct{}, forget func()) {
	if !d.Local {
		return nil, func() {}
	}
	c := make(chan struct{})
	d.mu.Lock()
	defer d.mu.Unlock()
	d.waiting[ref] = append(d.waiting[ref], c)
	return c, func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		left := slices.DeleteFunc(d.waiting[ref], func(o chan struct{}) bool { return o == c })
		if len(left) == 0 {
			delete(d.waiting, ref)
		} else {
			d.waiting[ref] = left
		}
	}
}
