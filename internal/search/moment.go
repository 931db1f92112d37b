package search

import (
	"regexp"
	"strconv"
	"strings"
	"time"
)

// moment is what a value says about time: an instant, and the interval that it
// stands for at the precision in which it was given.
type moment struct {
	at, from, to time.Time
	day          bool // the precision is a day or coarser
}

// holds reports whether a comparison of a time with the moment does.
func (m moment) holds(op kind, t time.Time) bool {
	switch op {
	case eq, in:
		return !t.Before(m.from) && t.Before(m.to)
	case gt:
		if m.day {
			return !t.Before(m.to)
		}
		return t.After(m.at)
	case gte:
		return !t.Before(m.at)
	case lt:
		return t.Before(m.at)
	case lte:
		if m.day {
			return t.Before(m.to)
		}
		return !t.After(m.at)
	}
	return false
}

func testTime(f Field, op kind, values []string, at int, now time.Time) (func(string) bool, *Error) {
	moments := make([]moment, len(values))
	for i, v := range values {
		var ok bool
		if moments[i], ok = parseMoment(v, now.UTC()); !ok {
			return nil, refuse(at, "Value '%s' is not valid for field '%s'", v, f.Name)
		}
	}
	return func(has string) bool {
		t, err := time.Parse(time.RFC3339Nano, has)
		if err != nil {
			return false
		}
		for _, m := range moments {
			if m.holds(op, t) {
				return true
			}
		}
		return false
	}, nil
}

var relative = regexp.MustCompile(`(?i)^([0-9]{1,6})\s+(minute|hour|day|week|month|year)s?\s+(ago|from\s+now)$`)

func parseMoment(value string, now time.Time) (moment, bool) {
	value = strings.Trim(value, blanks)
	switch strings.ToLower(value) {
	case "today":
		return dayOf(now), true
	case "yesterday":
		return dayOf(now.AddDate(0, 0, -1)), true
	case "tomorrow":
		return dayOf(now.AddDate(0, 0, 1)), true
	}
	if m := relative.FindStringSubmatch(value); m != nil {
		n, _ := strconv.Atoi(m[1]) // six digits
		if strings.EqualFold(m[3], "ago") {
			n = -n
		}
		return shifted(now, n, strings.ToLower(m[2]))
	}
	return parseStamp(value)
}

// shifted is some units from now: minutes and hours to the minute, others to the
// day.
func shifted(now time.Time, n int, unit string) (moment, bool) {
	var t time.Time
	switch unit {
	case "minute", "hour":
		step := time.Minute
		if unit == "hour" {
			step = time.Hour
		}
		t = now.Add(time.Duration(n) * step)
		from := t.Truncate(time.Minute)
		return moment{at: t, from: from, to: from.Add(time.Minute)}, sane(t)
	case "day":
		t = now.AddDate(0, 0, n)
	case "week":
		t = now.AddDate(0, 0, 7*n)
	case "month":
		t = now.AddDate(0, n, 0)
	case "year":
		t = now.AddDate(n, 0, 0)
	}
	return dayOf(t), sane(t)
}

func sane(t time.Time) bool { return t.Year() >= 0 && t.Year() <= 9999 }

func dayOf(t time.Time) moment {
	from := time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, t.Location())
	return moment{at: from, from: from, to: from.AddDate(0, 0, 1), day: true}
}

// stamps are the absolute forms, each with how long what it names lasts; a zone
// may follow those with hours.
var stamps = []struct {
	layout string
	lasts  time.Duration
}{
	{"2006-01-02 15:04:05", time.Second},
	{"2006-01-02 15:04", time.Minute},
	{"2006-01-02 15", time.Hour},
}

var zones = []string{"", "Z07:00", " Z07:00", "-0700", " -0700", " MST"}

func parseStamp(value string) (moment, bool) {
	if t, err := time.Parse("2006-01-02", value); err == nil {
		return dayOf(t), true
	}
	if t, err := time.Parse("2006-01", value); err == nil {
		return moment{at: t, from: t, to: t.AddDate(0, 1, 0), day: true}, true
	}
	if len(value) > 10 && (value[10] == 'T' || value[10] == 't') {
		value = value[:10] + " " + value[11:]
	}
	for _, s := range stamps {
		for _, z := range zones {
			t, err := time.Parse(s.layout+z, value)
			if err != nil || (z == " MST" && !strings.HasSuffix(value, " UTC")) {
				continue // Go would take any abbreviation, as UTC
			}
			lasts := s.lasts
			if t.Nanosecond() != 0 {
				lasts = time.Millisecond // fractions are given to it
			}
			return moment{at: t, from: t, to: t.Add(lasts)}, true
		}
	}
	return moment{}, false
}
