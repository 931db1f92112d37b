package inventory

import (
	"encoding/json"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"drover/internal/job"
)

// Sizes that an input may not pass, in bytes unless said otherwise.
const (
	MaxName        = 255
	MaxLine        = 255     // a one-line property such as the vendor, or a label's value
	MaxDescription = 4 << 10 // free text
	MaxBody        = 256 << 10
	MaxPayload     = 256 << 10
	MaxExtra       = 64 << 10 // all of Extra together
	MaxSecret      = 64 << 10
	MaxLabels      = 64 // per device
	MaxLabelKey    = 63
	MaxCriteria    = 50 // per pool
	MaxPattern     = 1 << 10
	MaxPoolQuery   = 4 << 10
)

// Ranges of the limits of a service.
const (
	MaxTimeout     = 24 * time.Hour
	MaxConcurrency = 10_000
	MaxRetries     = 100
	MaxRetryWait   = 24 * time.Hour
	MaxOutputLimit = 16 << 20
	MaxRunTimeout  = 7 * 24 * time.Hour
)

// DefaultPort is a device's port when none is given.
const DefaultPort = 22

// ValidName checks the name of any object of the inventory. The error blames
// field.
func ValidName(field, name string) error {
	switch {
	case strings.TrimSpace(name) == "":
		return job.FieldErrorf(field, "a name is required")
	case strings.ContainsAny(name, `/\'"`):
		// The sentence is a published one; callers compare it.
		return job.FieldErrorf(field, "Names cannot contain a slash or a quote.")
	case name == "." || name == "..":
		return job.FieldErrorf(field, "%q cannot be a name, since it could not be used in a URL", name)
	}
	return ValidLine(field, name, MaxName)
}

// rename settles the name that the object has afterwards.
func rename(kind, base, name string, newName *string, create bool) (string, error) {
	if err := ValidName("name", name); err != nil {
		return "", err
	}
	if newName == nil {
		if create {
			return name, nil
		}
		return base, nil
	}
	if create {
		return "", job.FieldErrorf("new_name", "there is no %s named %q to rename", kind, name)
	}
	if err := ValidName("new_name", *newName); err != nil {
		return "", err
	}
	return *newName, nil
}

// ValidLine checks text that stands on one line. The error blames field.
func ValidLine(field, s string, most int) error {
	if err := ValidText(field, s, most); err != nil {
		return err
	}
	if strings.IndexFunc(s, unicode.IsControl) >= 0 {
		return job.FieldErrorf(field, "holds a control character")
	}
	return nil
}

// ValidText checks text that may have several lines. The error blames field.
func ValidText(field, s string, most int) error {
	switch {
	case len(s) > most:
		return job.FieldErrorf(field, "is %d bytes long; at most %d are allowed", len(s), most)
	case !utf8.ValidString(s):
		return job.FieldErrorf(field, "is not valid UTF-8")
	case strings.ContainsRune(s, 0):
		return job.FieldErrorf(field, "holds a NUL character")
	}
	return nil
}

// setLine stores a given one-line text.
func setLine(field string, in *string, to *string) error {
	if in == nil {
		return nil
	}
	*to = *in
	return ValidLine(field, *in, MaxLine)
}

// setDescription stores a given description.
func setDescription(in *string, to *string) error {
	if in == nil {
		return nil
	}
	*to = *in
	return ValidText("description", *in, MaxDescription)
}

// validAddress accepts an IP address or a host name, without port, scheme,
// user or brackets.
func validAddress(s string) error {
	const field = "address"
	if s == "" {
		return job.FieldErrorf(field, "an address is required")
	}
	if _, err := netip.ParseAddr(s); err == nil {
		return ValidLine(field, s, MaxLine)
	}
	if strings.ContainsAny(s, ":[]/@") {
		return job.FieldErrorf(field, "must be a host name or an IP address only; the port has its own field")
	}
	host := strings.TrimSuffix(s, ".")
	if len(host) > 253 {
		return job.FieldErrorf(field, "is longer than the 253 bytes of a host name")
	}
	labels := strings.Split(host, ".")
	for _, l := range labels {
		if l == "" || len(l) > 63 || l[0] == '-' || l[len(l)-1] == '-' || strings.IndexFunc(l, notHostRune) >= 0 {
			return job.FieldErrorf(field, "is neither a host name nor an IP address")
		}
	}
	if last := labels[len(labels)-1]; strings.Trim(last, "0123456789") == "" {
		return job.FieldErrorf(field, "is neither a host name nor an IP address")
	}
	return nil
}

func notHostRune(r rune) bool { return !isWordRune(r) && r != '-' }

func isWordRune(r rune) bool {
	return r == '_' || '0' <= r && r <= '9' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z'
}

// ValidLabelKey checks the key of a label: letters, digits, "_", "-" and ".",
// the first of them a letter, a digit or "_".
func ValidLabelKey(field, key string) error {
	if key == "" {
		return job.FieldErrorf(field, "a label needs a key")
	}
	if len(key) > MaxLabelKey {
		return job.FieldErrorf(field, "the label key %.63q... is longer than %d bytes", key, MaxLabelKey)
	}
	for i, r := range key {
		if !isWordRune(r) && (i == 0 || r != '-' && r != '.') {
			return job.FieldErrorf(field, "the label key %q may hold letters, digits, _, - and ., and must not begin with - or .", key)
		}
	}
	return nil
}

func setLabels(in *map[string]string, to *map[string]string) error {
	if in == nil {
		return nil
	}
	if len(*in) > MaxLabels {
		return job.FieldErrorf("labels", "has %d labels; at most %d are allowed", len(*in), MaxLabels)
	}
	for _, k := range slices.Sorted(maps.Keys(*in)) {
		if err := ValidLabelKey("labels", k); err != nil {
			return err
		}
		if err := ValidLine("labels."+k, (*in)[k], MaxLine); err != nil {
			return err
		}
	}
	*to = nil
	if len(*in) > 0 {
		*to = maps.Clone(*in)
	}
	return nil
}

// setExtra overlays in on *to without touching the map that *to was. A null
// removes its key.
func setExtra(in map[string]json.RawMessage, to *map[string]json.RawMessage) error {
	if len(in) == 0 {
		return nil
	}
	merged := maps.Clone(*to)
	if merged == nil {
		merged = make(map[string]json.RawMessage, len(in))
	}
	for _, k := range slices.Sorted(maps.Keys(in)) {
		if err := ValidLine("extra", k, MaxLine); err != nil {
			return err
		}
		v, err := normalJSON(in[k])
		if err != nil {
			return job.FieldErrorf("extra", "the value of %q is not JSON", k)
		}
		if string(v) == "null" {
			delete(merged, k)
			continue
		}
		merged[k] = v
	}
	size := 0
	for k, v := range merged {
		size += len(k) + len(v)
	}
	if size > MaxExtra {
		return job.FieldErrorf("extra", "is %d bytes long; at most %d are allowed", size, MaxExtra)
	}
	*to = nil
	if len(merged) > 0 {
		*to = merged
	}
	return nil
}

// normalJSON returns raw as it looks after being stored and read again, so
// that an unchanged value compares equal.
func normalJSON(raw json.RawMessage) (json.RawMessage, error) { return json.Marshal(raw) }

func inRange[T int | int64](field string, in *T, least, most T, to *T) error {
	if in == nil {
		return nil
	}
	if *in < least || *in > most {
		return job.FieldErrorf(field, "%d is not between %d and %d", *in, least, most)
	}
	*to = *in
	return nil
}

// unsupported refuses a value that is understood and not offered.
func unsupported(field, format string, args ...any) error {
	e := job.Errorf(job.Unsupported, format, args...)
	e.Field = field
	return e
}

// firstError runs checks in order and returns the first failure.
func firstError(checks ...func() error) error {
	for _, c := range checks {
		if err := c(); err != nil {
			return err
		}
	}
	return nil
}
