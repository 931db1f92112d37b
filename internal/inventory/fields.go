package inventory

import (
	"regexp"
	"slices"
	"strconv"
	"time"

	"drover/internal/job"
	"drover/internal/search"
)

// Candidate is a device that a query is asked about, with the names of the static
// pools that it is in.
type Candidate struct {
	Device job.Device
	Pools  []string
}

// DeviceFields are what a query can ask about a device; things to match are
// Candidates. Bare words are searched for in name, address, description, model,
// pools and operating system.
func DeviceFields() search.Schema { return slices.Concat(ownFields, poolFields) }

// ownFields ask about the device alone.
var ownFields = search.Schema{
	line("name", true, func(d *job.Device) string { return d.Name }),
	{Name: "id", Type: search.Integer, ID: true, Get: func(thing any, _ string) []string {
		return []string{strconv.FormatInt(thing.(Candidate).Device.ID, 10)}
	}},
	line("ip", true, func(d *job.Device) string { return d.Address }),
	line("comment", true, func(d *job.Device) string { return d.Description }),
	line("model", true, func(d *job.Device) string { return d.Model }),
	line("vendor", false, func(d *job.Device) string { return d.Vendor }),
	line("os", true, func(d *job.Device) string { return d.OperatingSystem }),
	line("os_name", false, func(d *job.Device) string { return d.OperatingSystem }),
	line("os_title", true, func(d *job.Device) string { return OSTitle(*d) }),
	line("os_description", false, func(d *job.Device) string { return OSTitle(*d) }),
	osNumber("os_major", 1),
	osNumber("os_minor", 2),
	line("location", false, func(d *job.Device) string { return d.Location }),
	line("platform", false, func(d *job.Device) string { return d.Platform }),
	userField("owner"),
	userField("user.login"),
	{Name: "created_at", Type: search.Time, Get: func(thing any, _ string) []string {
		return []string{thing.(Candidate).Device.Created.UTC().Format(time.RFC3339Nano)}
	}},
	{Name: "last_report", Type: search.Time, Get: func(any, string) []string { return nil }}, // devices report nothing
	{Name: "managed", Type: search.Bool, Get: func(any, string) []string { return []string{"true"} }},
	{Name: "params", Keyed: true, Get: label},
	{Name: "labels", Keyed: true, Get: label},
	{Name: "params_name", Get: func(thing any, _ string) []string {
		d := thing.(Candidate).Device
		return sortedKeys(d.Labels)
	}},
	{Name: "facts", Keyed: true, Get: func(thing any, key string) []string {
		if v, ok := Facts(thing.(Candidate).Device)[key]; ok {
			return []string{v}
		}
		return nil
	}},
}

// poolFields ask about the pools of the device.
var poolFields = search.Schema{
	{Name: "hostgroup", Default: true, Get: pools},
	{Name: "hostgroup_name", Get: pools},
	{Name: "hostgroup_title", Get: pools},
	{Name: "hostgroup_fullname", Get: pools},
	{Name: "hostgroup_id", Type: search.Integer, ID: true, Get: func(thing any, _ string) []string {
		var ids []string
		for _, id := range thing.(Candidate).Device.PoolIDs {
			ids = append(ids, strconv.FormatInt(id, 10))
		}
		return ids
	}},
}

// line is a text field; empty means null.
func line(name string, byDefault bool, get func(*job.Device) string) search.Field {
	return search.Field{Name: name, Default: byDefault, Get: func(thing any, _ string) []string {
		d := thing.(Candidate).Device
		return oneOrNone(get(&d))
	}}
}

func userField(name string) search.Field {
	f := line(name, false, func(d *job.Device) string { return d.CreatedBy })
	f.User = true
	return f
}

func label(thing any, key string) []string {
	if v, ok := thing.(Candidate).Device.Labels[key]; ok {
		return []string{v}
	}
	return nil
}

func pools(thing any, _ string) []string { return thing.(Candidate).Pools }

// osVersion finds the first number of a version and the one after its dot.
var osVersion = regexp.MustCompile(`([0-9]+)(?:\.([0-9]+))?`)

func osPart(d *job.Device, part int) string {
	if m := osVersion.FindStringSubmatch(d.OSVersion); m != nil {
		return m[part]
	}
	return ""
}

func osNumber(name string, part int) search.Field {
	f := line(name, false, func(d *job.Device) string { return osPart(d, part) })
	f.Type = search.Integer
	return f
}

func oneOrNone(s string) []string {
	if s == "" {
		return nil
	}
	return []string{s}
}
