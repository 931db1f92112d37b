package erb

import (
	"maps"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"drover/internal/erb/ruby"
	"drover/internal/job"
)

// object is a value with attributes: the device, or a thing about it.
type object struct {
	class string
	text  string
	attrs map[string]ruby.Value
	scope *scope // of the device itself, whose host_param is a method
}

func (o *object) Class() string { return o.class }
func (o *object) Text() string  { return o.text }

// Responds reports whether the object has an attribute.
func (o *object) Responds(name string) bool {
	_, ok := o.attrs[name]
	return ok || o.scope != nil && name == "host_param"
}

// Call returns an attribute.
func (o *object) Call(m *ruby.Machine, name string, args []ruby.Value) (ruby.Value, bool, error) {
	if o.scope != nil && name == "host_param" {
		if len(args) == 0 || len(args) > 2 {
			return nil, true, m.Fail("host_param does not take %d argument(s)", len(args))
		}
		v, err := o.scope.hostParam(m, args)
		return v, true, err
	}
	v, ok := o.attrs[name]
	switch {
	case ok && len(args) > 0:
		return nil, true, m.Fail("%s takes no arguments", name)
	case o.scope != nil && name == "hostgroup":
		v, err := o.scope.hostgroup(m)
		return v, true, err
	}
	return v, ok, nil
}

// hostgroup is the first pool of the device.
func (s *scope) hostgroup(m *ruby.Machine) (ruby.Value, error) {
	r := s.r
	if r.groups == nil && r.env.Groups != nil {
		names, err := r.env.Groups(m.Context())
		if err != nil {
			return nil, err
		}
		if len(names) == 0 {
			names = []string{""}
		}
		r.groups = names
	}
	if err := m.Alloc(1 << 10); err != nil || r.groups == nil {
		return nil, err
	}
	return named("Hostgroup", r.groups[0]), nil
}

// Attributes by the kind of object. What a device does not tell is nil.
var (
	hostAttrs = strings.Fields(`id name shortname fqdn ip ip6 mac certname comment operatingsystem os architecture domain hostgroup location organization
		model owner facts facts_hash params primary_interface provision_interface execution_interface interfaces`)
	osAttrs        = strings.Fields("name major minor family release release_name title")
	namedAttrs     = strings.Fields("name title")
	interfaceAttrs = strings.Fields("ip ip6 mac identifier fqdn")
)

func attributeNames() map[string]bool {
	names := map[string]bool{"login": true, "host_param": true}
	for _, list := range [][]string{hostAttrs, osAttrs, namedAttrs, interfaceAttrs} {
		for _, n := range list {
			names[n] = true
		}
	}
	return names
}

func newObject(class, text string, names []string) *object {
	o := &object{class: class, text: text, attrs: make(map[string]ruby.Value, len(names))}
	for _, n := range names {
		o.attrs[n] = nil
	}
	return o
}

// str is a string that is nil when it is empty.
func str(s string) ruby.Value {
	if s == "" {
		return nil
	}
	return ruby.NewString(s)
}

// named is an object that is known by its name only.
func named(class, name string) ruby.Value {
	if name == "" {
		return nil
	}
	o := newObject(class, name, namedAttrs)
	o.attrs["name"], o.attrs["title"] = str(name), str(name)
	return o
}

// host makes the device's object.
func (s *scope) host(m *ruby.Machine) (ruby.Value, error) {
	d := s.r.env.Device
	switch {
	case d == nil:
		return nil, nil
	case s.r.host != nil:
		return s.r.host, nil
	}
	size := int64(8 << 10)
	for _, table := range []map[string]string{s.r.env.Params, s.r.env.Facts} {
		size += 300 * int64(len(table))
	}
	if err := m.Alloc(size); err != nil {
		return nil, err
	}
	short, domain, _ := strings.Cut(d.Name, ".")
	if _, err := netip.ParseAddr(d.Name); err == nil {
		short, domain = d.Name, ""
	}
	o := newObject("Host", d.Name, hostAttrs)
	o.scope = s
	o.attrs["id"] = d.ID
	o.attrs["name"], o.attrs["fqdn"], o.attrs["certname"] = str(d.Name), str(d.Name), str(d.Name)
	o.attrs["shortname"] = str(short)
	o.attrs["comment"] = str(d.Description)
	o.attrs["domain"] = named("Domain", domain)
	o.attrs["location"] = named("Location", d.Location)
	o.attrs["model"] = named("Model", d.Model)
	if d.CreatedBy != "" {
		owner := newObject("User", d.CreatedBy, []string{"login"})
		owner.attrs["login"] = str(d.CreatedBy)
		o.attrs["owner"] = owner
	}
	o.attrs["architecture"] = named("Architecture", s.r.env.Facts["architecture"])
	system := operatingSystem(d)
	o.attrs["operatingsystem"], o.attrs["os"] = system, system
	facts, params := table(s.r.env.Facts), table(s.r.env.Params)
	o.attrs["facts"], o.attrs["facts_hash"], o.attrs["params"] = facts, facts, params

	nic := newObject("Interface", "", interfaceAttrs)
	if ip, err := netip.ParseAddr(d.Address); err == nil {
		attr := "ip"
		if ip.Is6() && !ip.Is4In6() {
			attr = "ip6"
		}
		o.attrs[attr], nic.attrs[attr] = str(d.Address), str(d.Address)
	}
	nic.attrs["fqdn"] = str(d.Name)
	o.attrs["primary_interface"], o.attrs["provision_interface"], o.attrs["execution_interface"] = nic, nic, nic
	o.attrs["interfaces"] = ruby.NewArray(nic)
	s.r.host = o
	return o, nil
}

func table(values map[string]string) *ruby.Hash {
	h := ruby.NewHash()
	for _, k := range slices.Sorted(maps.Keys(values)) {
		h.Set(ruby.NewString(k), ruby.NewString(values[k]))
	}
	return h
}

// families are the families of operating systems, by how their names begin.
var families = []struct{ prefix, family string }{
	{"debian", "Debian"}, {"ubuntu", "Debian"}, {"raspbian", "Debian"}, {"linux mint", "Debian"},
	{"redhat", "Redhat"}, {"red hat", "Redhat"}, {"rhel", "Redhat"}, {"centos", "Redhat"}, {"fedora", "Redhat"}, {"rocky", "Redhat"},
	{"alma", "Redhat"}, {"oracle", "Redhat"}, {"amazon", "Redhat"}, {"scientific", "Redhat"},
	{"sles", "Suse"}, {"suse", "Suse"}, {"opensuse", "Suse"},
	{"arch", "Archlinux"}, {"gentoo", "Gentoo"}, {"alpine", "Alpine"}, {"freebsd", "Freebsd"}, {"solaris", "Solaris"}, {"windows", "Windows"},
	{"microsoft windows", "Windows"}, {"junos", "Junos"}, {"coreos", "Coreos"}, {"aix", "AIX"}, {"eos", "AristaEOS"},
}

// osVersion finds the first number of a version and the one after its dot.
var osVersion = regexp.MustCompile(`([0-9]+)(?:\.([0-9]+))?`)

func operatingSystem(d *job.Device) ruby.Value {
	if d.OperatingSystem == "" {
		return nil
	}
	title := strings.TrimSpace(d.OperatingSystem + " " + d.OSVersion)
	o := newObject("Operatingsystem", title, osAttrs)
	o.attrs["name"], o.attrs["title"] = str(d.OperatingSystem), str(title)
	o.attrs["release"] = str(d.OSVersion)
	if v := osVersion.FindStringSubmatch(d.OSVersion); v != nil {
		o.attrs["major"], o.attrs["minor"] = str(v[1]), str(v[2])
	}
	name := strings.ToLower(d.OperatingSystem)
	for _, f := range families {
		if strings.HasPrefix(name, f.prefix) {
			o.attrs["family"] = str(f.family)
			return o
		}
	}
	if d.Platform == job.PlatformWindows {
		o.attrs["family"] = str("Windows")
	}
	return o
}
