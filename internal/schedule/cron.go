package schedule

import (
	"math/bits"
	"strconv"
	"strings"
	"time"

	"drover/internal/job"
)

// maxCron is the longest cron line, in bytes.
const maxCron = 256

// cronLine is a parsed line: which values match, as bits.
type cronLine struct {
	minute, hour, dom, month, dow uint64

	last bool      // dom has L
	nth  [7]uint64 // dow has #: by weekday, bit n for the nth

	anyHour, anyDOM, anyDOW bool // the field is *
}

// cronField describes one field of a line.
type cronField struct {
	name     string
	min, max int
	size     int // of the cycle, for ranges that run past its end
	names    []string
	first    int // the value of names[0]
}

var cronFields = [5]cronField{
	{name: "minute", max: 59, size: 60},
	{name: "hour", max: 23, size: 24},
	{name: "day of month", min: 1, max: 31, size: 31},
	{name: "month", min: 1, max: 12, size: 12, first: 1,
		names: []string{"jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"}},
	{name: "day of week", max: 7, size: 7, names: []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}},
}

var cronNames = map[string]string{
	"@hourly":   "0 * * * *",
	"@daily":    "0 0 * * *",
	"@midnight": "0 0 * * *",
	"@weekly":   "0 0 * * 0",
	"@monthly":  "0 0 1 * *",
	"@yearly":   "0 0 1 1 *",
	"@annually": "0 0 1 1 *",
}

// parseCron reads a line. Errors are job.Invalid, field "cron".
func parseCron(text string) (cronLine, error) {
	var c cronLine
	if len(text) > maxCron {
		return c, job.FieldErrorf("cron", "is longer than %d bytes", maxCron)
	}
	line := strings.ToLower(strings.TrimSpace(text))
	if strings.HasPrefix(line, "@") {
		full, ok := cronNames[line]
		if !ok {
			return c, job.FieldErrorf("cron", "there is no %q; there are @hourly, @daily, @weekly, @monthly and @yearly", text)
		}
		line = full
	}
	fields := strings.Fields(line)
	if len(fields) != len(cronFields) {
		return c, job.FieldErrorf("cron", "%q has %d fields instead of 5 (minute, hour, day of month, month, day of week)", text, len(fields))
	}
	c.anyHour, c.anyDOM, c.anyDOW = isStar(fields[1]), isStar(fields[2]), isStar(fields[4])
	if fields[1] == "24" && c.anyDOM && isStar(fields[3]) && c.anyDOW {
		fields[1] = "0"
	}
	for i, to := range []*uint64{&c.minute, &c.hour, &c.dom, &c.month, &c.dow} {
		for _, item := range strings.Split(fields[i], ",") {
			b, problem := c.item(i, item)
			if problem != "" {
				return c, job.FieldErrorf("cron", "%s: %q %s", cronFields[i].name, item, problem)
			}
			*to |= b
		}
	}
	return c, nil
}

func isStar(field string) bool { return field == "*" || field == "*/1" }

// item reads one item of a list. L and # are noted in the line itself.
func (c *cronLine) item(i int, item string) (values uint64, problem string) {
	f := cronFields[i]
	if f.name == "day of month" && item == "l" {
		c.last = true
		return 0, ""
	}
	if day, n, ok := strings.Cut(item, "#"); ok && f.name == "day of week" {
		wd, problem := f.value(day)
		if problem != "" {
			return 0, problem
		}
		if len(n) != 1 || n < "1" || n > "5" {
			return 0, "is not the 1st to 5th such day of a month"
		}
		c.nth[wd%7] |= 1 << (n[0] - '0')
		return 0, ""
	}
	return f.item(item)
}

// item reads a number, a range, a star, each with or without a step.
func (f cronField) item(item string) (values uint64, problem string) {
	span, stepText, stepped := strings.Cut(item, "/")
	low, high, ranged := strings.Cut(span, "-")
	var from, to int
	switch {
	case span == "*":
		from, to = f.min, f.min+f.size-1
	default:
		if from, problem = f.value(low); problem != "" {
			return 0, problem
		}
		to = from
		switch {
		case ranged:
			if to, problem = f.value(high); problem != "" {
				return 0, problem
			}
		case stepped:
			to = f.min + f.size - 1
		}
	}
	if to < from {
		to += f.size
	}
	step := 1
	if stepped {
		if step, problem = number(stepText); problem != "" {
			return 0, problem
		}
		if step < 1 || step > f.max {
			return 0, "has a step that is not between 1 and " + strconv.Itoa(f.max)
		}
	}
	for v := from; v <= to; v += step {
		values |= 1 << f.wrap(v)
	}
	return values, ""
}

// wrap brings a value back into the cycle: a 61st minute is the 1st, a 7th day Sunday.
func (f cronField) wrap(v int) int { return (v-f.min)%f.size + f.min }

func (f cronField) value(s string) (v int, problem string) {
	for i, name := range f.names {
		if s == name {
			return f.first + i, ""
		}
	}
	if v, problem = number(s); problem != "" {
		return 0, problem
	}
	if v < f.min || v > f.max {
		if f.name == "hour" && v == 24 {
			return 0, "is no hour; midnight is hour 0 of the next day"
		}
		return 0, "is not between " + strconv.Itoa(f.min) + " and " + strconv.Itoa(f.max)
	}
	return v, ""
}

func number(s string) (n int, problem string) {
	if s == "" || len(s) > 4 || strings.Trim(s, "0123456789") != "" {
		return 0, "is not understood"
	}
	n, err := strconv.Atoi(s)
	if err != nil {
		return 0, "is not understood"
	}
	return n, ""
}

// onDay reports whether the line matches on a day.
func (c *cronLine) onDay(year int, month time.Month, day int) bool {
	wd := time.Date(year, month, day, 0, 0, 0, 0, time.UTC).Weekday()
	dom := c.dom>>day&1 == 1 || c.last && day == daysIn(year, month)
	dow := c.dow>>wd&1 == 1 || c.nth[wd]>>((day-1)/7+1)&1 == 1
	switch {
	case c.anyDOM && c.anyDOW:
		return true
	case c.anyDOM:
		return dow
	case c.anyDOW:
		return dom
	}
	return dom || dow
}

func daysIn(year int, month time.Month) int {
	return time.Date(year, month+1, 0, 0, 0, 0, 0, time.UTC).Day()
}

// horizon is how many years two matches can be apart: 29 February is the fifth
// Monday every 28 years, and after 40 where the year 2100 lies between.
const horizon = 41

// nextShown returns the first time that the line matches at or after w. Both are
// what a clock on the wall shows, written as if it were UTC; w is a whole minute.
func (c *cronLine) nextShown(w time.Time) (time.Time, bool) {
	year, month, day := w.Date()
	hour, minute := w.Hour(), w.Minute()
	for end := year + horizon; year <= end; {
		if c.month>>month&1 == 1 {
			for last := daysIn(year, month); day <= last; day++ {
				if c.onDay(year, month, day) {
					if h, m, ok := c.inDay(hour, minute); ok {
						return time.Date(year, month, day, h, m, 0, 0, time.UTC), true
					}
				}
				hour, minute = 0, 0
			}
		}
		hour, minute, day = 0, 0, 1
		if month++; month > time.December {
			year, month = year+1, time.January
		}
	}
	return time.Time{}, false
}

// inDay returns the first matching time of a day at or after hour:minute.
func (c *cronLine) inDay(hour, minute int) (int, int, bool) {
	if c.hour>>hour&1 == 1 {
		if rest := c.minute >> minute; rest != 0 {
			return hour, minute + bits.TrailingZeros64(rest), true
		}
	}
	rest := c.hour >> (hour + 1)
	if rest == 0 {
		return 0, 0, false
	}
	return hour + 1 + bits.TrailingZeros64(rest), bits.TrailingZeros64(c.minute), true
}

// next returns the first occurrence at or after from, by the clocks of loc. It goes
// from one change of the clocks to the next: between two of them shown time and
// time run alike.
func (c *cronLine) next(from time.Time, loc *time.Location) (time.Time, bool) {
	for t := wholeMinute(from); !t.After(latest); {
		local := t.In(loc)
		_, offset := local.Zone()
		ahead := time.Duration(offset) * time.Second
		since, until := local.ZoneBounds()
		shown := t.Add(ahead)
		if !since.IsZero() && !c.anyHour {
			_, offset := since.Add(-time.Second).In(loc).Zone()
			old := since.UTC().Add(time.Duration(offset) * time.Second)
			switch first := wholeMinute(since); {
			case old.After(shown):
				shown = old // these times were shown before the change
			case t.Equal(first):
				missed, ok := c.nextShown(wholeMinute(old))
				if ok && missed.Before(since.UTC().Add(ahead)) {
					return first, true
				}
			}
		}
		found, ok := c.nextShown(wholeMinute(shown))
		if !ok {
			return time.Time{}, false
		}
		t = found.Add(-ahead)
		if until.IsZero() || t.Before(until) {
			return t, true
		}
		// No time before found matches, so that nothing is missed by going on
		// from shortly before it: clocks never jump by more than a day.
		t = t.Add(-48 * time.Hour)
		if t = wholeMinute(t); t.Before(until) {
			t = wholeMinute(until)
		}
	}
	return time.Time{}, false
}
