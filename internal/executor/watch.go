package executor

import (
	"context"
	"sync"
	"time"

	"drover/internal/job"
)

// watch looks after a command while it runs: every Config.Every it reads
// Control, which is how a cancel and the run's deadline reach the command, and
// stores the output that has come since. For a command that ends sooner it
// costs one timer.
type watch struct {
	d      *deviceCall
	ctx    context.Context
	cancel context.CancelCauseFunc

	mu    sync.Mutex // held while ticking
	timer *time.Timer
	ended bool
	row   job.Result // the claim as stored

	streams [2]follower
}

func (d *deviceCall) watch(ctx context.Context, cancel context.CancelCauseFunc) *watch {
	w := &watch{d: d, ctx: ctx, cancel: cancel, row: d.r}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.timer = time.AfterFunc(w.next(d.Control), w.tick)
	return w
}

// next is the time to the next tick: the run's deadline is met on time.
func (w *watch) next(c Control) time.Duration {
	every := w.d.Every
	if !c.Deadline.IsZero() {
		every = min(every, max(time.Millisecond, c.Deadline.Sub(w.d.Clock())))
	}
	return every
}

func (w *watch) tick() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ended {
		return
	}
	ctx, cancel := w.d.recording(w.ctx)
	defer cancel()
	control, err := w.d.Ledger.Control(ctx)
	switch {
	case err != nil:
		w.d.Log.WarnContext(ctx, "run not read; the command goes on", "device", w.d.w.Device, "err", err)
	case control.Canceled:
		w.cancel(errCanceled)
		return
	case control.overdue(w.d.Clock()):
		w.cancel(errDeadline)
		return
	}
	if !w.flush(ctx) {
		w.cancel(errClaimLost)
		return
	}
	w.timer.Reset(w.next(control))
}

// flush stores what has come since the last time. It reports false when the
// claim is somebody else's. A row that changed although it is still ours was
// changed by a write of this watch whose answer got lost.
func (w *watch) flush(ctx context.Context) bool {
	var o job.Output
	out, err := &w.streams[0], &w.streams[1]
	changed := false
	o.Stdout, o.StdoutBytes, o.StdoutCut = out.text(w.d.w.Redact, &changed)
	o.Stderr, o.StderrBytes, o.StderrCut = err.text(w.d.w.Redact, &changed)
	if !changed {
		return true
	}
	r := w.row
	r.Output = inline(o)
	rev, e := w.d.Ledger.Write(ctx, r)
	if job.CodeOf(e) == job.Conflict {
		var mine bool
		if r.Rev, mine, e = w.stored(ctx); e == nil && !mine {
			return false
		}
		if e == nil {
			rev, e = w.d.Ledger.Write(ctx, r)
		}
	}
	if e != nil {
		w.d.Log.WarnContext(ctx, "output not followed", "device", w.d.w.Device, "err", e)
		return true
	}
	w.row.Rev = rev
	return true
}

// stored returns the revision of the claim as it is stored, and whether it is
// still the claim of this attempt.
func (w *watch) stored(ctx context.Context) (rev string, mine bool, err error) {
	r, err := w.d.Ledger.Result(ctx, w.row.Index)
	if job.CodeOf(err) == job.NotFound {
		return "", false, nil
	}
	mine = r.Status == job.ResultRunning && r.Claim != nil && r.Claim.Owner == w.d.Owner && r.Attempts == w.row.Attempts
	return r.Rev, mine, err
}

// inline keeps the end of each stream, as much as a result's row holds.
func inline(o job.Output) job.Output {
	for {
		if _, object := o.Pack(); object == nil {
			return o
		}
		o.Stdout, o.StdoutCut = tail(o.Stdout, o.StdoutCut)
		o.Stderr, o.StderrCut = tail(o.Stderr, o.StderrCut)
	}
}

func tail(s string, cut bool) (string, bool) {
	if len(s) < 1024 {
		return s, cut
	}
	return valid([]byte(s[len(s)/2:])), true
}

// end stops the watch, waits for a tick under way, and returns the revision of
// the claim.
func (w *watch) end() string {
	w.timer.Stop()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ended = true
	return w.row.Rev
}

// follow takes output as it arrives.
func (w *watch) follow(stream int, p []byte) {
	if stream == 1 || stream == 2 {
		w.streams[stream-1].add(w.d.w.Redact, p)
	}
}

// followBytes is how much of a stream is kept for following.
const followBytes = 32 << 10

// follower keeps the end of a stream for those who follow it. Redaction is put
// off until it is needed; what is dropped has been redacted first, so that no
// part of a secret is left at the beginning.
type follower struct {
	mu    sync.Mutex
	raw   []byte // as it came, not redacted yet
	done  []byte // redacted
	cut   bool   // the beginning of done was dropped
	bytes int64
	shown int64 // bytes at the last text
}

func (f *follower) add(r *Redactor, p []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.bytes += int64(len(p))
	f.raw = append(f.raw, p...)
	if len(f.raw) >= followBytes {
		f.redact(r)
	}
}

func (f *follower) redact(r *Redactor) {
	var used int
	f.done, used = r.Next(f.done, f.raw)
	f.raw = append(f.raw[:0], f.raw[used:]...)
	if over := len(f.done) - followBytes; over > 0 {
		f.done = append(f.done[:0], f.done[over:]...)
		f.cut = true
	}
}

// text returns what can be shown now and sets changed if that is more than
// before. A beginning of a secret at the end is held back.
func (f *follower) text(r *Redactor, changed *bool) (string, int64, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	*changed = *changed || f.bytes != f.shown
	f.shown = f.bytes
	f.redact(r)
	return valid(wholeRunes(f.done)), f.bytes, f.cut
}
