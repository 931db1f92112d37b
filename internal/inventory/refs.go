package inventory

import (
	"slices"

	"drover/internal/job"
)

// References are the names of other objects that an input mentions, so that
// a caller can look all of them up at once. Each list is sorted and without
// repetition.
type References struct {
	Devices     []string
	Pools       []string
	Credentials []string
}

// Empty reports whether nothing is named.
func (r References) Empty() bool {
	return len(r.Devices) == 0 && len(r.Pools) == 0 && len(r.Credentials) == 0
}

// Merge returns the names of both.
func (r References) Merge(o References) References {
	return References{
		Devices:     sortedNames(r.Devices, o.Devices),
		Pools:       sortedNames(r.Pools, o.Pools),
		Credentials: sortedNames(r.Credentials, o.Credentials),
	}
}

// Refs are what names stand for: the ID of each object that exists. Dynamic
// holds the IDs of those pools whose members are computed.
type Refs struct {
	Devices     map[string]int64
	Pools       map[string]int64
	Credentials map[string]int64
	Dynamic     map[int64]bool
}

// Missing returns the names that r does not know.
func (r Refs) Missing(of References) References {
	return References{
		Devices:     unknownNames(of.Devices, r.Devices),
		Pools:       unknownNames(of.Pools, r.Pools),
		Credentials: unknownNames(of.Credentials, r.Credentials),
	}
}

func sortedNames(lists ...[]string) []string {
	all := slices.Concat(lists...)
	all = slices.DeleteFunc(all, func(s string) bool { return s == "" })
	slices.Sort(all)
	return slices.Compact(all)
}

func unknownNames(names []string, known map[string]int64) []string {
	var out []string
	for _, n := range names {
		if _, ok := known[n]; !ok {
			out = append(out, n)
		}
	}
	return out
}

func lookUp(field, kind, name string, known map[string]int64) (int64, error) {
	id, ok := known[name]
	if !ok {
		return 0, job.FieldErrorf(field, "there is no %s named %q", kind, name)
	}
	return id, nil
}

// lookUpAll returns the IDs in the order given, each once.
func lookUpAll(field, kind string, names []string, known map[string]int64) ([]int64, error) {
	var ids []int64
	seen := make(map[int64]bool, len(names))
	for _, n := range names {
		id, err := lookUp(field, kind, n, known)
		if err != nil {
			return nil, err
		}
		if !seen[id] {
			seen[id] = true
			ids = append(ids, id)
		}
	}
	return ids, nil
}

// setRef stores the ID of one named object; "" is none.
func setRef(field, kind string, in *string, known map[string]int64, to *int64) error {
	if in == nil {
		return nil
	}
	if *in == "" {
		*to = 0
		return nil
	}
	id, err := lookUp(field, kind, *in, known)
	if err != nil {
		return err
	}
	*to = id
	return nil
}

// setRefs stores the IDs of named objects.
func setRefs(field, kind string, in *[]string, known map[string]int64, to *[]int64) error {
	if in == nil {
		return nil
	}
	ids, err := lookUpAll(field, kind, *in, known)
	if err != nil {
		return err
	}
	*to = ids
	return nil
}

func some(s *string) []string {
	if s == nil {
		return nil
	}
	return []string{*s}
}

func list(l *[]string) []string {
	if l == nil {
		return nil
	}
	return *l
}
