package console

import (
	"encoding/json"
	"errors"
	"fmt"

	"drover/internal/api"
	"drover/internal/dispatch"
	"drover/internal/fleet"
	"drover/internal/inventory"
	"drover/internal/job"
)

// wireOutcome is what became of one item.
type wireOutcome struct {
	Kind   string     `json:"kind"`
	Name   string     `json:"name"`
	Action string     `json:"action"` // created, updated, unchanged; "" after an error
	Error  *wireError `json:"error"`
}

type wireOutcomes struct {
	Outcomes []wireOutcome `json:"outcomes"`
	Failed   int           `json:"failed"`
}

func (w *wireOutcomes) add(i int, kind string, o dispatch.Outcome) {
	w.Outcomes[i] = wireOutcome{Kind: kind, Name: o.Name, Action: o.Action}
	if o.Err != nil {
		e := shown(o.Err)
		w.Outcomes[i].Action, w.Outcomes[i].Error = "", &e
		w.Failed++
	}
}

// failure is the error of an import of which some items were not saved. Where all
// of them failed for want of a part that does not answer, the whole may be
// imported again.
func (w wireOutcomes) failure() error {
	code := job.Unavailable
	for _, o := range w.Outcomes {
		if o.Error == nil {
			continue
		}
		switch o.Error.Code {
		case job.Unavailable, job.Exhausted, job.Canceled:
		default:
			code = job.Conflict
		}
	}
	return job.Errorf(code, "%d of %d items could not be saved; the outcomes say why", w.Failed, len(w.Outcomes))
}

// importFleet creates or updates what the body, a fleet file in JSON, says. All
// of it is checked before the first change. An item that fails for another
// reason stands alone: the answer lists the outcomes then, with 409, or with 503
// where a later try is all that is needed.
func (s *server) importFleet(c call) (answer, error) {
	checkOnly, err := c.flag("check")
	if err != nil {
		return answer{}, err
	}
	if !c.p.Role.Allows(job.ActChange) {
		return answer{}, job.Errorf(job.Forbidden, "the role %q does not allow this (%s)", c.p.Role, job.ActChange)
	}
	body, err := api.ReadBody(c.Request)
	if err != nil {
		return answer{}, err
	}
	var isJSON json.RawMessage
	if err := api.Decode(body, &isJSON); err != nil {
		return answer{}, err
	}
	file, err := fleet.Parse(body, fleet.Options{CheckBody: s.Dispatch.CheckBody})
	if err == nil {
		err = s.judge(c, file)
	}
	var bad *fleet.Error
	switch {
	case errors.As(err, &bad):
		first := bad.Problems[0]
		return answer{body: bad.Problems}, job.FieldErrorf(first.Field, "%s", first.Message)
	case err != nil:
		return answer{}, err
	}
	out := wireOutcomes{Outcomes: []wireOutcome{}}
	if !checkOnly {
		if out, err = s.save(c, file.Inputs()); err != nil {
			return answer{}, err
		}
	}
	if out.Failed > 0 {
		return answer{body: out}, out.failure()
	}
	return answer{body: out}, nil
}

func (s *server) judge(c call, file *fleet.File) error {
	found, err := s.find(c, file.Needs())
	if err != nil {
		return err
	}
	return file.Judge(found)
}

// save saves in the order in which things refer to each other.
func (s *server) save(c call, in fleet.Inputs) (wireOutcomes, error) {
	out := wireOutcomes{Outcomes: []wireOutcome{}}
	add := func(kind string, outcomes []dispatch.Outcome, err error) error {
		at := len(out.Outcomes)
		out.Outcomes = append(out.Outcomes, make([]wireOutcome, len(outcomes))...)
		for i, o := range outcomes {
			if o.Err != nil && statusOf(job.CodeOf(o.Err)) >= 500 {
				s.Log.ErrorContext(c.Context(), "import", "request_id", api.RequestID(c.Context()), "kind", kind, "name", o.Name, "err", o.Err)
			}
			out.add(at+i, kind, o)
		}
		return err
	}
	d, ctx, p := s.Dispatch, c.Context(), c.p
	for _, step := range []func() error{
		func() error { o, err := d.SaveCredentials(ctx, p, in.Credentials); return add("credential", o, err) },
		func() error { o, err := d.SavePools(ctx, p, in.Pools); return add("pool", o, err) },
		func() error { o, err := d.SaveDevices(ctx, p, in.Devices); return add("device", o, err) },
		func() error { o, err := d.SaveServices(ctx, p, in.Services); return add("service", o, err) },
		func() error { o, err := d.SaveUsers(ctx, p, in.Users); return add("user", o, err) },
	} {
		if err := step(); err != nil {
			return out, err
		}
	}
	return out, nil
}

// wireNeeds is what a fleet file takes for granted of the installation.
type wireNeeds struct {
	Devices      []string `json:"devices"`
	Pools        []string `json:"pools"`
	Credentials  []string `json:"credentials"`
	Users        []string `json:"users"`
	StaticPools  []string `json:"static_pools"`
	MatchedPools []string `json:"matched_pools"`
}

// MaxNeeds is how many names one question may have.
const MaxNeeds = 20_000

// wireFound are those of the names in question that do not fit.
type wireFound struct {
	Devices      []string `json:"devices"`       // there are none of these names
	Pools        []string `json:"pools"`         // there are none of these names
	Credentials  []string `json:"credentials"`   // there are none of these names
	Users        []string `json:"users"`         // there are none of these names
	StaticPools  []string `json:"static_pools"`  // their members are computed
	MatchedPools []string `json:"matched_pools"` // devices have been put into them
}

// references tells which names of a fleet file the installation cannot satisfy,
// so that a large file can be checked before its first part is imported.
func (s *server) references(c call) (answer, error) {
	var in wireNeeds
	if _, err := c.decode(&in, false); err != nil {
		return answer{}, err
	}
	n := len(in.Devices) + len(in.Pools) + len(in.Credentials) + len(in.Users) + len(in.StaticPools) + len(in.MatchedPools)
	if n > MaxNeeds {
		return answer{}, job.Errorf(job.TooLarge, "%d names are more than the %d of one call", n, MaxNeeds)
	}
	f, err := s.find(c, fleet.Needs{
		References: inventory.References{Devices: in.Devices, Pools: in.Pools, Credentials: in.Credentials}.Merge(inventory.References{}),
		Users:      in.Users, StaticPools: in.StaticPools, MatchedPools: in.MatchedPools})
	return answer{body: wireFound{Devices: list(f.Missing.Devices), Pools: list(f.Missing.Pools), Credentials: list(f.Missing.Credentials),
		Users: list(f.MissingUsers), StaticPools: list(f.ComputedPools), MatchedPools: list(f.FilledPools)}}, err
}

// list makes an empty list of none.
func list(names []string) []string {
	if names == nil {
		return []string{}
	}
	return names
}

func (s *server) find(c call, n fleet.Needs) (found fleet.Found, err error) {
	if found.Missing, err = s.Dispatch.Check(c.Context(), c.p, n.References); err != nil {
		return found, err
	}
	for _, name := range n.Users {
		_, err := s.Dispatch.User(c.Context(), c.p, name)
		if job.CodeOf(err) == job.NotFound {
			found.MissingUsers = append(found.MissingUsers, name)
		} else if err != nil {
			return found, err
		}
	}
	computed, err := s.computedPools(c, n)
	if err != nil {
		return found, err
	}
	for _, name := range n.StaticPools {
		if computed[name] {
			found.ComputedPools = append(found.ComputedPools, name)
		}
	}
	for _, name := range n.MatchedPools {
		if computed[name] {
			continue
		}
		v, err := s.Dispatch.Pool(c.Context(), c.p, name)
		if err != nil && job.CodeOf(err) != job.NotFound {
			return found, err
		}
		if len(v.Devices) > 0 {
			found.FilledPools = append(found.FilledPools, name)
		}
	}
	return found, nil
}

// computedPools are the pools of the tenant whose members are computed; none
// when nobody asks about any.
func (s *server) computedPools(c call, n fleet.Needs) (map[string]bool, error) {
	computed := map[string]bool{}
	if len(n.StaticPools)+len(n.MatchedPools) == 0 {
		return computed, nil
	}
	for after := ""; ; {
		pools, next, err := s.Dispatch.Pools(c.Context(), c.p, dispatch.Page{After: after})
		if err != nil {
			return nil, fmt.Errorf("list pools: %w", err)
		}
		for _, p := range pools {
			computed[p.Name] = p.Dynamic()
		}
		if after = next; after == "" {
			return computed, nil
		}
	}
}
