package fleet

import (
	"cmp"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"drover/internal/inventory"
	"drover/internal/job"
)

// Options say what a file may use.
type Options struct {
	// Env and ReadFile look up the secrets that the file names instead of
	// holding them. Where they are nil the fields ..._env and ..._file are
	// refused: a service must not read its own environment for a caller.
	Env      func(name string) (string, bool)
	ReadFile func(name string) ([]byte, error)

	// CheckBody, when not nil, refuses the body of a service.
	CheckBody func(body string) error
}

// File is a document and where in its file everything stands.
type File struct {
	Document
	places map[string][2]int // by field path: line and column
}

// Parse reads and checks a file. The error is an *Error. No message holds a
// secret.
func Parse(data []byte, o Options) (*File, error) {
	root, p := read(data)
	if p != nil {
		return nil, &Error{Problems: []Problem{*p}}
	}
	f := &File{places: map[string][2]int{}}
	d := &decoder{places: f.places, nodes: len(data) + maxRepeated}
	if !isNull(root) { // a file of comments only is an empty one
		d.decode(root, "", reflect.ValueOf(&f.Document).Elem(), 0)
	}
	if !d.tooMany {
		d.check(&f.Document, o)
	}
	if len(d.problems) > 0 {
		return nil, NewError(d.problems)
	}
	return f, nil
}

// NewError returns the error that reports problems, which are at least one.
func NewError(problems []Problem) *Error {
	slices.SortStableFunc(problems, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	if len(problems) > MaxProblems {
		return &Error{Problems: problems[:MaxProblems], More: len(problems) - MaxProblems}
	}
	return &Error{Problems: problems}
}

// Problem returns a problem with the field at path, placed at the nearest thing
// around it that was written.
func (f *File) Problem(path, format string, args ...any) Problem {
	return placed(f.places, path, fmt.Sprintf(format, args...))
}

func placed(places map[string][2]int, path, message string) Problem {
	p := Problem{Field: path, Message: message}
	for near := path; ; {
		if place, ok := places[near]; ok {
			p.Line, p.Column = place[0], place[1]
			return p
		}
		i := strings.LastIndexAny(near, ".[")
		if i < 0 {
			return p
		}
		near = near[:i]
	}
}

// check looks for what is wrong with values that could be read.
func (d *decoder) check(doc *Document, o Options) {
	bad := d.blamed()
	checkAll(d, "credentials", doc.Credentials, bad, func(at string, c *Credential) {
		d.secrets(at, reflect.ValueOf(c).Elem(), o)
		d.required(at, "username", c.Username == nil)
		_, _, err := c.Input().Apply(job.Credential{}, false, inventory.Refs{})
		d.blame(at, err)
	})
	checkAll(d, "pools", doc.Pools, bad, func(at string, p *Pool) {
		_, err := p.Input().Apply(job.Pool{}, false, inventory.Refs{})
		d.blame(at, err)
	})
	checkAll(d, "devices", doc.Devices, bad, func(at string, v *Device) {
		d.required(at, "address", v.Address == nil)
		if a := v.SSHAlgorithms; a != nil && *a != AlgorithmsDefault && *a != AlgorithmsLegacy {
			d.at(at+".ssh_algorithms", "is neither %s nor %s", AlgorithmsDefault, AlgorithmsLegacy)
		}
		in := v.Input()
		_, err := in.Apply(job.Device{}, false, anything(in.References()))
		d.blame(at, err)
	})
	checkAll(d, "services", doc.Services, bad, func(at string, s *Service) {
		d.required(at, "body", s.Body == nil)
		in := s.Input()
		_, err := in.Apply(job.Service{Body: "-"}, false, anything(in.References()))
		d.blame(at, err)
		if err == nil && o.CheckBody != nil && s.Body != nil {
			d.blame(at, o.CheckBody(*s.Body))
		}
	})
	checkAll(d, "users", doc.Users, bad, func(at string, u *User) {
		d.secrets(at, reflect.ValueOf(u).Elem(), o)
		d.required(at, "role", u.Role == nil)
		if strings.Contains(value(u.Name), ":") {
			d.at(at+".name", "the name of a user cannot contain a colon")
		}
		_, err := u.Input().Apply(job.User{}, false, inventory.Refs{})
		d.blame(at, err)
	})
	d.computed(doc)
	d.jumps(doc)
}

// blamed returns the items that could not be read whole.
func (d *decoder) blamed() map[string]bool {
	bad := map[string]bool{}
	for _, p := range d.problems {
		if item, _, ok := strings.Cut(p.Field, "]"); ok {
			bad[item+"]"] = true
		}
	}
	return bad
}

// named is what every item is.
type named interface {
	Credential | Device | Pool | Service | User
}

// checkAll checks each item that could be read, and that no name comes twice.
func checkAll[T named](d *decoder, section string, items []T, bad map[string]bool, check func(at string, item *T)) {
	first := make(map[string]int, len(items))
	for i := range items {
		at := fmt.Sprintf("%s[%d]", section, i)
		if bad[at] {
			continue
		}
		name := reflect.ValueOf(&items[i]).Elem().FieldByName("Name").Interface().(*string)
		if name == nil {
			d.at(at+".name", "is required")
			continue
		}
		if j, twice := first[*name]; twice {
			d.at(at+".name", "%.80q is the name of %s[%d] already", *name, section, j)
			continue
		}
		first[*name] = i
		check(at, &items[i])
	}
}

func (d *decoder) required(at, field string, missing bool) {
	if missing {
		d.at(at+"."+field, "is required")
	}
}

// blame turns an error of the inventory's rules into a problem.
func (d *decoder) blame(at string, err error) {
	if err == nil {
		return
	}
	var e *job.Error
	if !errors.As(err, &e) {
		d.at(at, "%v", err)
		return
	}
	if field := fileField(e.Field); field != "" {
		at += "." + field
	}
	d.at(at, "%s", e.Message)
}

// fileField maps the inventory's name of a field to the file's.
func fileField(field string) string {
	switch field {
	case "retry_count":
		return "retries.count"
	case "retry_wait":
		return "retries.wait"
	case "become_user":
		return "become.user"
	case "become_method":
		return "become.method"
	case "legacy_algorithms":
		return "ssh_algorithms"
	}
	return field
}

// secrets fills the secrets of an item from where it says that they are.
func (d *decoder) secrets(at string, item reflect.Value, o Options) {
	for i := range item.NumField() {
		if item.Field(i).Type() != reflect.PointerTo(secretType) {
			continue
		}
		name := item.Type().Field(i).Tag.Get("json")
		env, _ := fieldNamed(item, name+"_env")
		file, _ := fieldNamed(item, name+"_file")
		given := 0
		for _, f := range []reflect.Value{item.Field(i), env, file} {
			if !f.IsNil() {
				given++
			}
		}
		if given > 1 {
			d.at(at+"."+name, "only one of %s, %s_env and %s_file can be given", name, name, name)
			continue
		}
		switch {
		case !env.IsNil():
			d.fromEnv(at+"."+name+"_env", env.Elem().String(), item.Field(i), o)
			env.SetZero()
		case !file.IsNil():
			d.fromFile(at+"."+name+"_file", file.Elem().String(), item.Field(i), o)
			file.SetZero()
		}
	}
}

func (d *decoder) fromEnv(at, name string, to reflect.Value, o Options) {
	if o.Env == nil {
		d.at(at, "is for files that the command line reads; send the secret itself")
		return
	}
	v, ok := o.Env(name)
	if !ok || v == "" {
		d.at(at, "the environment variable %.80q is not set", name)
		return
	}
	s := job.Secret(v)
	to.Set(reflect.ValueOf(&s))
}

// fromFile reads a secret. The line break at the end that editors leave is not
// part of it, except in a private key, where it does no harm.
func (d *decoder) fromFile(at, name string, to reflect.Value, o Options) {
	if o.ReadFile == nil {
		d.at(at, "is for files that the command line reads; send the secret itself")
		return
	}
	data, err := o.ReadFile(name)
	if err != nil {
		d.at(at, "cannot be read: %v", err)
		return
	}
	s := job.Secret(strings.TrimSuffix(strings.TrimSuffix(string(data), "\n"), "\r"))
	if s == "" {
		d.at(at, "the file %.200q is empty", name)
		return
	}
	to.Set(reflect.ValueOf(&s))
}

// anything is a lookup in which every name stands for something: which names
// exist is not a matter of one item.
func anything(names inventory.References) inventory.Refs {
	ids := func(names []string) map[string]int64 {
		m := make(map[string]int64, len(names))
		for i, n := range names {
			m[n] = int64(i) + 1
		}
		return m
	}
	return inventory.Refs{Devices: ids(names.Devices), Pools: ids(names.Pools), Credentials: ids(names.Credentials)}
}

// computed refuses devices that are put into a pool of this file whose members
// are computed.
func (d *decoder) computed(doc *Document) {
	pools := map[string]bool{}
	for _, p := range doc.Pools {
		pools[value(p.Name)] = p.computed()
	}
	for i, v := range doc.Devices {
		for j, name := range value(v.Pools) {
			if pools[name] {
				d.at(fmt.Sprintf("devices[%d].pools[%d]", i, j), "the members of pool %.80q are computed; a device cannot be put into it", name)
			}
		}
	}
}

// jumps refuses devices of this file that are reached through each other.
func (d *decoder) jumps(doc *Document) {
	index := map[string]int{}
	for i, v := range doc.Devices {
		index[value(v.Name)] = i
	}
	state := make([]int, len(doc.Devices)) // 0: not looked at; 1: on this way; 2: fine
	for i := range doc.Devices {
		var way []int
		for j := i; state[j] == 0; {
			state[j] = 1
			way = append(way, j)
			next, ok := index[value(doc.Devices[j].Jump)]
			if !ok || value(doc.Devices[j].Jump) == "" {
				break
			}
			if state[next] == 1 && next != j { // itself: the inventory's rules say so
				d.at(fmt.Sprintf("devices[%d].jump", j), "the way through %.80q leads back to this device", value(doc.Devices[j].Jump))
			}
			j = next
		}
		for _, j := range way {
			state[j] = 2
		}
	}
}
