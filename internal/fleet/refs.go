package fleet

import (
	"fmt"
	"slices"

	"drover/internal/inventory"
)

// Needs are what a document takes for granted of the installation, each name
// once. What the document defines itself is not among it.
type Needs struct {
	inventory.References          // must exist
	Users                []string // must exist: they are given no password
	StaticPools          []string // devices are put into them: their members must not be computed
	MatchedPools         []string // get criteria or a query: no device may have been put into them
}

// Found is the answer of an installation to Needs.
type Found struct {
	Missing       inventory.References
	MissingUsers  []string
	ComputedPools []string // of StaticPools
	FilledPools   []string // of MatchedPools
}

// Needs returns what must hold of the installation.
func (f *File) Needs() Needs {
	var n Needs
	f.mentions(func(kind, name, _ string) {
		list := map[string]*[]string{kindDevice: &n.Devices, kindPool: &n.Pools, kindCredential: &n.Credentials,
			kindUser: &n.Users, kindStatic: &n.StaticPools, kindMatched: &n.MatchedPools}[kind]
		*list = append(*list, name)
	})
	for _, list := range []*[]string{&n.Devices, &n.Pools, &n.Credentials, &n.Users, &n.StaticPools, &n.MatchedPools} {
		slices.Sort(*list)
		*list = slices.Compact(*list)
	}
	return n
}

// Judge turns the installation's answer into an *Error, nil when all is well.
func (f *File) Judge(found Found) error {
	refused := map[string]map[string]bool{
		kindDevice: set(found.Missing.Devices), kindPool: set(found.Missing.Pools), kindCredential: set(found.Missing.Credentials),
		kindUser: set(found.MissingUsers), kindStatic: set(found.ComputedPools), kindMatched: set(found.FilledPools),
	}
	var problems []Problem
	f.mentions(func(kind, name, path string) {
		if !refused[kind][name] {
			return
		}
		switch kind {
		case kindUser:
			problems = append(problems, f.Problem(path+".password", "a new user needs a password"))
		case kindStatic:
			problems = append(problems, f.Problem(path, "the members of pool %.80q are computed; a device cannot be put into it", name))
		case kindMatched:
			problems = append(problems, f.Problem(path, "devices have been put into the pool %.80q; take them out before it gets criteria", name))
		default:
			problems = append(problems, f.Problem(path, "there is no %s named %.80q, neither in the file nor in the installation", kind, name))
		}
	})
	if len(problems) > 0 {
		return NewError(problems)
	}
	return nil
}

// Kinds of mentions. The first three are words for people too.
const (
	kindDevice     = "device"
	kindPool       = "pool"
	kindCredential = "credential"
	kindUser       = "user"
	kindStatic     = "static"
	kindMatched    = "matched"
)

// mentions calls f for everything that the installation must agree to, with
// its path in the file.
func (f *File) mentions(report func(kind, name, path string)) {
	own := f.names()
	name := func(kind string, p *string, path string) {
		if n := value(p); n != "" && !own[kind][n] {
			report(kind, n, path)
		}
	}
	names := func(kind string, list *[]string, path string) {
		for i := range value(list) {
			name(kind, &(*list)[i], fmt.Sprintf("%s[%d]", path, i))
		}
	}
	for i, p := range f.Pools {
		if p.computed() {
			field := "match"
			if len(value(p.Match)) == 0 {
				field = "query"
			}
			report(kindMatched, value(p.Name), fmt.Sprintf("pools[%d].%s", i, field))
		}
	}
	static := map[string]bool{} // the file says itself that their members are not computed
	for _, p := range f.Pools {
		if p.static() {
			static[value(p.Name)] = true
		}
	}
	for i, v := range f.Devices {
		at := fmt.Sprintf("devices[%d]", i)
		name(kindCredential, v.Credential, at+".credential")
		name(kindDevice, v.Jump, at+".jump")
		names(kindPool, v.Pools, at+".pools")
		for j, pool := range value(v.Pools) {
			if !static[pool] {
				report(kindStatic, pool, fmt.Sprintf("%s.pools[%d]", at, j))
			}
		}
	}
	for i, s := range f.Services {
		at := fmt.Sprintf("services[%d]", i)
		name(kindCredential, s.Credential, at+".credential")
		if s.Targets != nil {
			names(kindDevice, s.Targets.Devices, at+".targets.devices")
			names(kindPool, s.Targets.Pools, at+".targets.pools")
		}
	}
	for i, u := range f.Users {
		if u.Password == nil {
			report(kindUser, value(u.Name), fmt.Sprintf("users[%d]", i))
		}
	}
}

// names are the names that the file defines.
func (f *File) names() map[string]map[string]bool {
	own := map[string]map[string]bool{kindDevice: {}, kindPool: {}, kindCredential: {}}
	for _, v := range f.Devices {
		own[kindDevice][value(v.Name)] = true
	}
	for _, p := range f.Pools {
		own[kindPool][value(p.Name)] = true
	}
	for _, c := range f.Credentials {
		own[kindCredential][value(c.Name)] = true
	}
	return own
}

func set(names []string) map[string]bool {
	m := make(map[string]bool, len(names))
	for _, n := range names {
		m[n] = true
	}
	return m
}
