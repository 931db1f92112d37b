package inventory

import (
	"slices"
	"time"

	"drover/internal/job"
)

// References returns the names that the input mentions.
func (in PoolInput) References() References {
	return References{Devices: sortedNames(list(in.Devices))}
}

// Apply returns base with the input's changes; what DeviceInput.Apply promises
// about the result holds here too. Static members are part of the devices:
// see MemberIDs.
func (in PoolInput) Apply(base job.Pool, create bool, refs Refs) (job.Pool, error) {
	p := base
	var err error
	if p.Name, err = rename("pool", base.Name, in.Name, in.NewName, create); err != nil {
		return job.Pool{}, err
	}
	err = firstError(
		func() error { return setDescription(in.Description, &p.Description) },
		func() error { return in.setRule(&p) },
		func() error { _, _, err := in.MemberIDs(refs); return err },
		func() error { return setExtra(in.Extra, &p.Extra) },
	)
	if err != nil {
		return job.Pool{}, err
	}
	return p, nil
}

func (in PoolInput) setRule(p *job.Pool) error {
	if in.Match != nil {
		if _, err := CompileCriteria("match", *in.Match); err != nil {
			return err
		}
		p.Match = nil
		if len(*in.Match) > 0 {
			p.Match = slices.Clone(*in.Match)
		}
	}
	if in.Query != nil {
		if *in.Query != "" {
			if _, err := compilePoolQuery(*in.Query, time.Time{}); err != nil {
				return err
			}
		}
		p.Query = *in.Query
	}
	if p.Dynamic() && in.Devices != nil && len(*in.Devices) > 0 {
		return job.FieldErrorf("devices", "the pool has criteria or a query, which decide its members; it cannot be given devices as well")
	}
	return nil
}

// MemberIDs returns the static members that the input asks for, ascending, and
// whether it says anything about them. They replace the present ones.
func (in PoolInput) MemberIDs(refs Refs) ([]int64, bool, error) {
	if in.Devices == nil {
		return nil, false, nil
	}
	ids, err := lookUpAll("devices", "device", *in.Devices, refs.Devices)
	if err != nil {
		return nil, false, err
	}
	slices.Sort(ids)
	return ids, true, nil
}
