package dispatch

import (
	"context"
	"encoding/json"
	"slices"

	"drover/internal/inventory"
	"drover/internal/job"
	"drover/internal/secret"
	"drover/internal/store"
)

// Again says what to run again.
type Again struct {
	Run string
	// Statuses selects the devices with these results: nil all of them. A device
	// that was never begun has the result that the run's end made of it. While the
	// run goes on, only devices with a final result are selected.
	Statuses []job.ResultStatus
	// Unfinished adds every device without a succeeded result (once the run is
	// over); it is what "failed only" means.
	Unfinished bool
	// DeviceIDs, when not nil, are the devices, whatever became of them.
	DeviceIDs []int64
	// Query, when not nil, makes the text that the new job keeps as its query
	// from the names of the devices; it is not resolved again.
	Query       func(names []string) string
	Description string // "": that of the run
	// Extra as in Submission; nil: that of the run.
	Extra map[string]json.RawMessage

	IdempotencyKey string
	Path           string
	Body           []byte
}

func (a Again) all() bool { return a.Statuses == nil && !a.Unfinished && a.DeviceIDs == nil }

// Rerun submits the job of a run again, now: same work, values, limits and
// order. Secrets of the login are not copied, nor is a schedule. Without a
// selection (Statuses, Unfinished, DeviceIDs) a job whose devices were found at
// submit runs on the same ones, and one whose devices are found at the start finds
// them again. The new run has the space of the old one. Devices that were deleted
// since, or that DeviceIDs names and that were not among the run's, are left out.
func (d *Dispatcher) Rerun(ctx context.Context, p job.Principal, a Again) (Submitted, error) {
	if err := allow(p, job.ActRun); err != nil {
		return Submitted{}, err
	}
	idem, err := idempotency(p, Submission{IdempotencyKey: a.IdempotencyKey, Path: a.Path, Body: a.Body})
	if err != nil {
		return Submitted{}, err
	}
	if idem != nil {
		again, err := d.replayed(ctx, p, *idem)
		if job.CodeOf(err) != job.NotFound {
			return again, err
		}
	}
	run, err := d.Store.Run(ctx, p.Tenant, a.Run)
	if err != nil {
		return Submitted{}, err
	}
	j, err := d.Job(ctx, p, run)
	if err != nil {
		return Submitted{}, err
	}
	if err := boundExtra(a.Extra); err != nil {
		return Submitted{}, err
	}
	hidden, err := d.openHidden(j)
	if err != nil {
		return Submitted{}, err
	}
	o := order{job: j, hidden: hidden}
	o.job.ScheduleID, o.job.StartBefore, o.job.SpecBlob, o.job.Rev = 0, nil, "", ""
	o.job.Hidden, o.job.Login, o.job.Creator = nil, job.Login{Username: j.Login.Username}, p.Name
	if err := d.againOn(ctx, p, a, run, &o); err != nil {
		return Submitted{}, err
	}
	if err := d.checkFollowed(ctx, &o); err != nil {
		return Submitted{}, err
	}
	sub := Submission{Trigger: job.TriggerAPI, Labels: run.Labels, Description: run.Description, Space: run.Space,
		NeedsTargets: run.NeedsTargets, Extra: run.Extra, rerunOf: run.ID}
	if a.Description != "" {
		sub.Description = a.Description
	}
	if a.Extra != nil {
		sub.Extra = a.Extra
	}
	o.job.Description = sub.Description
	n, err := d.newRun(ctx, p, sub, &o)
	if err != nil {
		return Submitted{}, err
	}
	n.Idempotency = idem
	n.Audit.Action, n.Audit.Detail = "run.rerun", "run "+run.ID
	return d.create(ctx, p, n, nil)
}

// openHidden opens the hidden inputs of a job, to be sealed to another one.
func (d *Dispatcher) openHidden(j job.Job) (map[string]job.Secret, error) {
	hidden := make(map[string]job.Secret, len(j.Hidden))
	for name, sealed := range j.Hidden {
		v, err := d.Box.Open(sealed, secret.AAD(j.Tenant, j.SecretKind(), 0, "input."+name))
		if err != nil {
			return nil, err
		}
		hidden[name] = v
	}
	return hidden, nil
}

// againOn finds the devices of a rerun.
func (d *Dispatcher) againOn(ctx context.Context, p job.Principal, a Again, run job.Run, o *order) error {
	if a.all() && o.job.Select.Dynamic {
		o.job.Creator = p.Name
		targets, err := d.foundAgain(ctx, o.job)
		o.targets = targets
		return err
	}
	if run.Unresolved {
		return job.Errorf(job.Conflict, "the devices of run %s are not known yet", run.ID)
	}
	picked, err := d.picked(ctx, run, a)
	if err != nil {
		return err
	}
	// Names may have changed, and devices may be gone.
	ids := make([]int64, len(picked))
	for i, t := range picked {
		ids[i] = t.ID
	}
	if o.targets, err = d.named(ctx, p.Tenant, ids); err != nil {
		return err
	}
	sel := &o.job.Select
	if !a.all() {
		*sel = job.Selection{Query: sel.Query, Shuffle: sel.Shuffle}
	}
	if a.Query != nil {
		names := make([]string, len(o.targets))
		for i, t := range o.targets {
			names[i] = t.Name
		}
		sel.Query, sel.SavedQueryID = a.Query(names), 0
	}
	return inventory.ValidText("search", sel.Query, MaxQuery)
}

// picked are the devices of a run that a rerun is for, in the run's order.
func (d *Dispatcher) picked(ctx context.Context, run job.Run, a Again) ([]job.Target, error) {
	var out []job.Target
	named := make(map[int64]bool, len(a.DeviceIDs))
	for _, id := range a.DeviceIDs {
		named[id] = true
	}
	for from := 0; from < run.Total; from += store.MaxPageRows {
		to := min(run.Total, from+store.MaxPageRows)
		targets, err := d.Store.Targets(ctx, run.Tenant, run.ID, from, to-from)
		if err != nil {
			return nil, err
		}
		var rows map[int]job.Result
		if a.Statuses != nil || a.Unfinished {
			if rows, err = d.storedResults(ctx, run, from, to); err != nil {
				return nil, err
			}
		}
		for i, t := range targets {
			r, ok := rows[from+i]
			if !ok {
				r = unclaimed(run, from+i, t)
			}
			if a.takes(named[t.ID], r.Status) {
				out = append(out, t)
			}
		}
	}
	return out, nil
}

func (a Again) takes(named bool, s job.ResultStatus) bool {
	switch {
	case a.DeviceIDs != nil:
		return named
	case a.all():
		return true
	case !s.Terminal():
		return false
	case slices.Contains(a.Statuses, s):
		return true
	}
	return a.Unfinished && s != job.ResultSucceeded
}
