package inventory

import "drover/internal/job"

// Kinds of a target that was asked for.
const (
	KindDevice  = "device"
	KindAddress = "address"
	KindPool    = "pool"
)

// Wanted are the targets of a request, by name and address, in its order.
type Wanted struct {
	Devices   []string
	Addresses []string
	Pools     []string
}

// Empty reports whether nothing is asked for.
func (w Wanted) Empty() bool {
	return len(w.Devices) == 0 && len(w.Addresses) == 0 && len(w.Pools) == 0
}

// Found is what the names and addresses of a request stand for. A pool that
// exists has an entry even when it has no members.
type Found struct {
	Devices   map[string]job.Target
	Addresses map[string]job.Target
	Pools     map[string][]job.Target
}

// Unknown is a target that does not exist.
type Unknown struct {
	Kind  string
	Value string
}

// Targets resolves a request: the devices, then those behind the addresses,
// then the members of each pool, each device once, at its first place.
// Unknown entries are reported in the same order, one for each mention.
func Targets(w Wanted, f Found) ([]job.Target, []Unknown) {
	var lists [][]job.Target
	var unknown []Unknown
	single := func(kind string, names []string, known map[string]job.Target) {
		for _, n := range names {
			if t, ok := known[n]; ok {
				lists = append(lists, []job.Target{t})
			} else {
				unknown = append(unknown, Unknown{Kind: kind, Value: n})
			}
		}
	}
	single(KindDevice, w.Devices, f.Devices)
	single(KindAddress, w.Addresses, f.Addresses)
	for _, n := range w.Pools {
		if members, ok := f.Pools[n]; ok {
			lists = append(lists, members)
		} else {
			unknown = append(unknown, Unknown{Kind: KindPool, Value: n})
		}
	}
	return Union(lists...), unknown
}

// Union joins lists in order and keeps the first mention of each device.
func Union(lists ...[]job.Target) []job.Target {
	n := 0
	for _, l := range lists {
		n += len(l)
	}
	if n == 0 {
		return nil
	}
	out := make([]job.Target, 0, n)
	seen := make(map[int64]struct{}, n)
	for _, l := range lists {
		for _, t := range l {
			if _, ok := seen[t.ID]; ok {
				continue
			}
			seen[t.ID] = struct{}{}
			out = append(out, t)
		}
	}
	return out
}
