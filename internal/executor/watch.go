package executor

import (
	"context"
	"sync"
	"time"
	"unicode/utf8"

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

	forced chan struct{} // closed when nobody waits any more

	mu       sync.Mutex // held while ticking
	timer    *time.Timer
	stopping bool // the command was told to stop
	ended    bool
	row      job.Result // the claim as stored
	marks    marks

	streams [2]follower
}

func (d *deviceCall) watch(ctx context.Context, cancel context.CancelCauseFunc) *watch {
	w := &watch{d: d, ctx: ctx, cancel: cancel, row: d.r, forced: make(chan struct{})}
	if p := d.r.Detached; p != nil {
		w.row.Detached = new(*p)
		for _, k := range d.r.Output.Marks {
			k.Stdout, k.Stderr = k.Stdout+p.Stdout, k.Stderr+p.Stderr
			w.marks = append(w.marks, k)
		}
	}
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
	case control.Canceled && control.Force:
		w.cancel(errForced)
		close(w.forced)
		return
	case control.Canceled:
		w.cancel(errCanceled)
		w.stopping = true
	case control.overdue(w.d.Clock()):
		w.cancel(errDeadline)
		w.stopping = true
	}
	if w.stopping {
		w.timer.Reset(w.d.Every) // somebody may lose patience while it is being killed
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
	o, changed := w.text()
	if !changed {
		return true
	}
	w.row.Output = o
	r := w.row
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

// text is the end of what has come so far, as much as a result's row holds, with
// a mark of this moment if there is something new.
func (w *watch) text() (o job.Output, changed bool) {
	out, err := &w.streams[0], &w.streams[1]
	var ends [2]int
	o.Stdout, o.StdoutBytes, o.StdoutCut, ends[0] = out.text(w.d.w.Redact, &changed)
	o.Stderr, o.StderrBytes, o.StderrCut, ends[1] = err.text(w.d.w.Redact, &changed)
	o = inline(o)
	if changed {
		w.marks.add(w.d.Clock(), ends)
	}
	before := [2]int{ends[0] - len(o.Stdout), ends[1] - len(o.Stderr)}
	o.Marks = w.marks.since(before[0], before[1])
	if p := w.row.Detached; p != nil {
		p.Stdout, p.Stderr = before[0], before[1]
	}
	return o, changed
}

// started notes that a detached command is known to have been started.
func (w *watch) started(now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if p := w.row.Detached; p != nil && p.Started == nil {
		p.Started = &now
	}
}

// left is what a row holds of a detached command that is left to others: its
// output so far, unless less was seen now than before.
func (w *watch) left() (job.Output, *job.Detached) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.streams[0].size()+w.streams[1].size() > 0 {
		w.row.Output, _ = w.text()
	}
	return w.row.Output, w.row.Detached
}

// shown is what has come so far of a command that nobody waits for.
func (w *watch) shown() job.Output {
	w.mu.Lock()
	defer w.mu.Unlock()
	o, _ := w.text()
	return o
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
	return s[runeAfter(s, len(s)/2):], true
}

// runeAfter is where the next character begins, from position i on.
func runeAfter[T string | []byte](s T, i int) int {
	for i < len(s) && !utf8.RuneStart(s[i]) {
		i++
	}
	return i
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
	mu     sync.Mutex
	raw    []byte // as it came, not redacted yet
	clear  []byte // of the last redaction, for its memory
	held   []byte // redacted: the beginning of a character
	broken bool   // the last that came of it was no text
	done   []byte // redacted, and text
	start  int    // how much text lies before done
	bytes  int64
	shown  int64 // bytes at the last text
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
	f.clear, used = r.Next(append(f.clear[:0], f.held...), f.raw)
	f.raw = append(f.raw[:0], f.raw[used:]...)
	whole := wholeRunes(f.clear)
	f.held = append(f.held[:0], f.clear[len(whole):]...)
	f.take(whole)
	if over := len(f.done) - followBytes; over > 0 {
		over = runeAfter(f.done, over)
		f.done = append(f.done[:0], f.done[over:]...)
		f.start += over
	}
}

// take makes text of what came, as valid does of a whole output: every run of
// bytes that is none is one replacement character, however it was cut.
func (f *follower) take(p []byte) {
	if utf8.Valid(p) {
		f.done = append(f.done, p...)
		f.broken = f.broken && len(p) == 0
		return
	}
	for len(p) > 0 {
		r, n := utf8.DecodeRune(p)
		bad := r == utf8.RuneError && n == 1
		switch {
		case !bad:
			f.done = append(f.done, p[:n]...)
		case !f.broken:
			f.done = utf8.AppendRune(f.done, utf8.RuneError)
		}
		f.broken = bad
		p = p[n:]
	}
}

func (f *follower) size() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.bytes
}

// text returns what can be shown now, how much came, whether the beginning is
// missing, and how long all of the text is; it sets changed if that is more than
// before. A beginning of a secret or of a character at the end is held back.
func (f *follower) text(r *Redactor, changed *bool) (text string, bytes int64, cut bool, end int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	*changed = *changed || f.bytes != f.shown
	f.shown = f.bytes
	f.redact(r)
	return string(f.done), f.bytes, f.start > 0, f.start + len(f.done)
}
