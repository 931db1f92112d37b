package foreman

import (
	"regexp"
	"strings"
	"time"

	"drover/internal/job"
)

// stamp writes a moment as ordinary answers do: "2023-11-27 20:15:08 UTC".
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }

// stampOf is stamp, or nil for no moment.
func stampOf(t *time.Time) any {
	if t == nil || t.IsZero() {
		return nil
	}
	return stamp(*t)
}

// iso writes a moment as answers with raw records do: "2019-08-27T08:16:13.608Z".
func iso(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

// epoch writes a moment as seconds since 1970, as lines of output do.
func epoch(t time.Time) float64 { return float64(t.UnixMicro()) / 1e6 }

// inputTime is a date, a time of day that may be missing, and a zone that may be.
var inputTime = regexp.MustCompile(`^(\d{4}-\d\d-\d\d)(?:[Tt ](\d\d:\d\d)(?::(\d\d)(?:[.,]\d+)?)? ?(Z|z|UTC|GMT|[+-]\d\d:?\d\d)?)?$`)

// parseTime reads a moment as callers write it: with or without a time of day,
// seconds and offset. Without an offset it is UTC.
func parseTime(s string) (time.Time, error) {
	m := inputTime.FindStringSubmatch(strings.TrimSpace(s))
	if m == nil {
		return time.Time{}, job.Errorf(job.Invalid, "not a date and time")
	}
	clock, seconds, zone := m[2], m[3], strings.ReplaceAll(m[4], ":", "")
	if clock == "" {
		clock = "00:00"
	}
	if seconds == "" {
		seconds = "00"
	}
	if zone == "" || zone[0] != '+' && zone[0] != '-' {
		zone = "+0000"
	}
	t, err := time.Parse("2006-01-02 15:04:05 -0700", m[1]+" "+clock+":"+seconds+" "+zone)
	if err != nil {
		return time.Time{}, job.Errorf(job.Invalid, "not a date and time")
	}
	return t.UTC(), nil
}
