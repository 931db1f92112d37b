package task

import (
	"context"
	"strconv"
	"time"

	"drover/internal/executor"
	"drover/internal/job"
	"drover/internal/planner"
)

func ownerName(process string, n int) string { return process + "/" + strconv.Itoa(n) }

// Execute works on the devices of one unit. It answers "again" when some device
// cannot be worked on now.
func (f *Functions) Execute(ctx context.Context, in UnitRef) (Executed, error) {
	out, err := f.execute(ctx, in)
	return out, exit(err)
}

func (f *Functions) execute(ctx context.Context, in UnitRef) (Executed, error) {
	out := Executed{V: Version, Tenant: in.Tenant, Run: in.Run, Unit: in.Unit, Round: in.Round + 1}
	if err := check(in.V, in.Tenant, in.Run); err != nil {
		return out, err
	}
	if end, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, end.Add(-f.cfg.Limits.Slack))
		defer cancel()
	}
	id := runID{in.Tenant, in.Run}
	owner, leave := f.enter(id)
	defer leave()
	known, err := f.runs.get(ctx, f, id)
	if err != nil {
		return out, err
	}
	first, end := planner.Range(in.Unit, known.perUnit, known.total)
	if in.Unit < 0 || first >= end {
		return out, job.Errorf(job.Invalid, "run %s has no unit %d", in.Run, in.Unit)
	}
	targets, err := known.targets(ctx, f, first, end)
	if err != nil {
		return out, err
	}
	ids := make([]int64, len(targets))
	for i, t := range targets {
		ids[i] = t.ID
	}
	rows, err := f.cfg.Store.UnitRows(ctx, in.Tenant, in.Run, ids)
	if err != nil {
		return out, err
	}
	run := rows.Run
	w := &unitWork{f: f, known: known, first: first, targets: targets, devices: rows.Devices, pins: &pins{f, in.Tenant, rows.HostKeys}}
	done, err := f.exec.Execute(ctx, executor.Unit{
		Ledger:  &ledger{f: f, run: run, stopAfter: known.job.Limits.StopAfter.Of(known.total)},
		Owner:   owner,
		Control: f.control(run),
		First:   first,
		End:     end,
		Work:    w.work,
		Spacing: f.spacing(in.Round),

		Detaches: known.detaches,
		Log:      f.log(in.Tenant, in.Run).With("unit", in.Unit),
	})
	if err != nil {
		return out, err
	}
	if done.Again {
		out.Again, out.Wait = true, int((done.Wait+time.Second-1)/time.Second)
	}
	return out, nil
}

// spacing is the wait after a round. Where rounds cost next to nothing, nobody
// waits longer than the first: it is how soon a detached command is seen to have
// ended, and how soon a cancel reaches it.
func (f *Functions) spacing(round int) time.Duration {
	if f.cfg.SoleOwner {
		round = 0
	}
	return planner.Spacing(round)
}

// control is what an executor heeds of a run.
func (f *Functions) control(run job.Run) executor.Control {
	c := executor.Control{Canceled: run.Canceling() || run.Status.Terminal(), Force: run.CancelForce, Stopped: run.Stopped != nil, Read: f.cfg.Clock()}
	if run.Deadline != nil {
		c.Deadline = *run.Deadline
	}
	return c
}

// ledger keeps the results of a run for one call of the executor.
type ledger struct {
	f         *Functions
	run       job.Run // as read for this call; where the results lie never changes
	stopAfter int     // failed devices; 0: no number of them
}

func (l *ledger) Control(ctx context.Context) (executor.Control, error) {
	run, err := l.f.cfg.Store.Run(ctx, l.run.Tenant, l.run.ID)
	return l.f.control(run), err
}

func (l *ledger) Result(ctx context.Context, index int) (job.Result, error) {
	return l.f.cfg.Store.Result(ctx, l.run, index, "")
}

// Write packs the output and stores the result. An output that is too large for
// the row is an object, written first.
func (l *ledger) Write(ctx context.Context, r job.Result) (string, error) {
	if r.Status == job.ResultRunning && !l.f.cfg.SoleOwner {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, claimWithin)
		defer cancel()
	}
	var object []byte
	r.Output, object = r.Output.Pack()
	if object != nil {
		r.Output.Blob = job.RunBlobPrefix(l.run.Tenant, l.run.ID) + "output-" + strconv.Itoa(r.Index) + "-" + strconv.Itoa(r.Attempts)
		if err := l.f.cfg.Blobs.Put(ctx, r.Output.Blob, object); err != nil {
			return "", err
		}
	}
	return l.f.cfg.Store.PutResult(ctx, l.run, r)
}

func (l *ledger) Gone(owner string) bool { return l.f.gone(owner) }

// Failed counts in the table, for all executors of the run. All whose device was
// one too many make sure that the run is stopped before they go on: whoever was the
// first may have died.
func (l *ledger) Failed(ctx context.Context) (bool, error) {
	n, err := l.f.cfg.Store.Counter(ctx, "failed/"+l.run.Tenant+"/"+l.run.ID, 1, l.f.now().Add(2*planner.MaxRun))
	if err != nil || l.stopAfter == 0 || n < int64(l.stopAfter) {
		return false, err
	}
	for try := 0; ; try++ {
		run, err := l.f.cfg.Store.Run(ctx, l.run.Tenant, l.run.ID)
		if err != nil || run.Status.Terminal() || run.Stopped != nil {
			return true, err
		}
		next, now := run, l.f.now()
		next.Stopped = &now
		if !run.Canceling() {
			next.Reason = job.ReasonStopAfter
		}
		err = l.f.cfg.Store.UpdateRun(ctx, run, next, job.AuditEntry{})
		if err == nil {
			l.f.log(run.Tenant, run.ID).InfoContext(ctx, "run stopped: too many devices failed", "failed", n)
			return true, nil
		}
		if job.CodeOf(err) != job.Conflict || try >= conflictTries {
			return false, err
		}
	}
}
