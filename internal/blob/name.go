package blob

import (
	"strings"

	"drover/internal/job"
)

// Limits of names, which every driver can keep on its medium.
const (
	MaxNameBytes    = 800
	MaxSegmentBytes = 200
)

// CheckName returns an Invalid error when name cannot name an object.
func CheckName(name string) error { return check("name", name) }

// CheckPrefix returns an Invalid error when prefix cannot be given to
// DeletePrefix: it is one or more whole segments, each ended by a slash.
func CheckPrefix(prefix string) error {
	name, ok := strings.CutSuffix(prefix, "/")
	if !ok {
		return job.FieldErrorf("prefix", "%.100q does not end in a slash", prefix)
	}
	return check("prefix", name)
}

// CheckSize returns a TooLarge error for an object over MaxBytes.
func CheckSize(data []byte) error {
	if len(data) > MaxBytes {
		return job.Errorf(job.TooLarge, "an object has %d bytes; at most %d are allowed", len(data), MaxBytes)
	}
	return nil
}

func check(field, name string) error {
	if len(name) > MaxNameBytes {
		return job.FieldErrorf(field, "the name of an object has %d bytes; at most %d are allowed", len(name), MaxNameBytes)
	}
	for segment := range strings.SplitSeq(name, "/") {
		if segment == "" || segment == "." || segment == ".." || len(segment) > MaxSegmentBytes {
			return job.FieldErrorf(field, "%.100q has a segment that is empty, a dot, two dots, or longer than %d bytes", name, MaxSegmentBytes)
		}
		for _, c := range []byte(segment) {
			if !allowed(c) {
				return job.FieldErrorf(field, "%.100q holds %q; allowed are letters, digits, and . _ = -", name, c)
			}
		}
	}
	return nil
}

func allowed(c byte) bool {
	return 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || strings.IndexByte("._=-", c) >= 0
}
