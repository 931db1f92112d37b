package inventory

import (
	"maps"
	"net/netip"
	"slices"
	"strings"

	"drover/internal/job"
)

// Facts are what is known of a device, under the names that inventories of hosts
// commonly use. A fact that is not known is left out.
func Facts(d job.Device) map[string]string {
	facts := map[string]string{
		"fqdn":                      d.Name,
		"hostname":                  d.Name,
		"ipaddress":                 d.Address,
		"kernel":                    kernel(d.Platform),
		"operatingsystem":           d.OperatingSystem,
		"operatingsystemrelease":    d.OSVersion,
		"operatingsystemmajrelease": osPart(&d, 1),
		"model":                     d.Model,
		"productname":               d.Model,
		"vendor":                    d.Vendor,
		"manufacturer":              d.Vendor,
	}
	if host, domain, ok := strings.Cut(d.Name, "."); ok {
		if _, err := netip.ParseAddr(d.Name); err != nil {
			facts["hostname"], facts["domain"] = host, domain
		}
	}
	maps.DeleteFunc(facts, func(_, v string) bool { return v == "" })
	return facts
}

func kernel(platform string) string {
	if platform == job.PlatformLinux {
		return "Linux"
	}
	return platform
}

// Params are the parameters of a device by name: its labels. The map is the
// caller's.
func Params(d job.Device) map[string]string {
	params := maps.Clone(d.Labels)
	if params == nil {
		params = map[string]string{}
	}
	return params
}

// OSTitle is the operating system with its version, as people write it.
func OSTitle(d job.Device) string {
	return strings.TrimSpace(d.OperatingSystem + " " + d.OSVersion)
}

func sortedKeys(m map[string]string) []string { return slices.Sorted(maps.Keys(m)) }
