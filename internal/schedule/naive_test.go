package schedule_test

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"pgregory.net/rapid"
)

// A naive cron line: the values of each field as they were drawn, and a question
// to ask of every minute. It shares no code with what it judges.
type naive struct {
	text  string
	field [5]map[int]bool // nil: *
	last  bool
	nth   map[[2]int]bool // weekday, which
	loc   *time.Location
}

func (n naive) day(year int, month time.Month, day int) bool {
	if n.field[3] != nil && !n.field[3][int(month)] {
		return false
	}
	date := time.Date(year, month, day, 12, 0, 0, 0, time.UTC)
	dom := n.field[2][day] || n.last && date.AddDate(0, 0, 1).Day() == 1
	dow := n.field[4][int(date.Weekday())] || n.nth[[2]int{int(date.Weekday()), (day + 6) / 7}]
	anyDOM, anyDOW := n.field[2] == nil && !n.last, n.field[4] == nil && n.nth == nil
	if anyDOM || anyDOW {
		return (anyDOM || dom) && (anyDOW || dow)
	}
	return dom || dow
}

// shows reports whether the line names what a clock shows; shown is written as UTC.
func (n naive) shows(shown time.Time) bool {
	return (n.field[0] == nil || n.field[0][shown.Minute()]) && (n.field[1] == nil || n.field[1][shown.Hour()]) &&
		n.day(shown.Date())
}

func shown(t time.Time, loc *time.Location) time.Time {
	l := t.In(loc)
	return time.Date(l.Year(), l.Month(), l.Day(), l.Hour(), l.Minute(), 0, 0, time.UTC)
}

// walk calls yield with every occurrence in [from, to), minute by minute. It begins
// two days early, so that it knows what was shown before.
func (n naive) walk(from, to time.Time, yield func(time.Time) bool) {
	t := from.Add(-48 * time.Hour).Truncate(time.Minute)
	seen := shown(t, n.loc).Add(-time.Minute)
	for ; t.Before(to); t = t.Add(time.Minute) {
		now := shown(t, n.loc)
		hit := false
		if n.field[1] == nil {
			hit = n.shows(now)
		} else {
			for s := seen.Add(time.Minute); !s.After(now) && !hit; s = s.Add(time.Minute) {
				hit = n.shows(s)
			}
		}
		if now.After(seen) {
			seen = now
		}
		if hit && !t.Before(from) && !yield(t) {
			return
		}
	}
}

// utcWalk is walk for UTC, skipping days that do not match: for many years.
func (n naive) utcWalk(from, to time.Time, yield func(time.Time) bool) {
	for day := from.Truncate(24 * time.Hour); day.Before(to); day = day.AddDate(0, 0, 1) {
		if !n.day(day.Date()) {
			continue
		}
		for m := range 24 * 60 {
			t := day.Add(time.Duration(m) * time.Minute)
			if n.shows(t) && !t.Before(from) && t.Before(to) && !yield(t) {
				return
			}
		}
	}
}

var (
	spans = [5][2]int{{0, 59}, {0, 23}, {1, 31}, {1, 12}, {0, 6}}
	names = [5][]string{3: strings.Fields("_ jan Feb MAR apr may jun jul aug sep oct nov dec"), 4: strings.Fields("Sun mon tue WED thu fri sat")}
)

// drawCron draws a line, of all forms that the package doc names.
func drawCron(t *rapid.T) naive {
	n := naive{loc: time.UTC}
	var text []string
	for i := range n.field {
		if rapid.IntRange(0, 9).Draw(t, "restricted") < 5 {
			text = append(text, "*")
			continue
		}
		n.field[i] = map[int]bool{}
		var items []string
		for range rapid.IntRange(1, 3).Draw(t, "items") {
			items = append(items, n.drawItem(t, i))
		}
		text = append(text, strings.Join(items, ","))
	}
	n.text = strings.Join(text, " ")
	return n
}

func (n *naive) drawItem(t *rapid.T, i int) string {
	lo, hi := spans[i][0], spans[i][1]
	value := func(label string) (int, string) {
		v := rapid.IntRange(lo, hi).Draw(t, label)
		switch {
		case names[i] != nil && rapid.Bool().Draw(t, "named"):
			return v, names[i][v]
		case i == 4 && v == 0 && rapid.Bool().Draw(t, "seven"):
			return v, "7"
		}
		return v, strconv.Itoa(v)
	}
	switch kind := rapid.IntRange(0, 6).Draw(t, "kind"); {
	case kind == 0 && i == 2:
		n.last = true
		return "L"
	case kind == 0 && i == 4:
		wd, s := value("weekday")
		which := rapid.IntRange(1, 5).Draw(t, "which")
		if n.nth == nil {
			n.nth = map[[2]int]bool{}
		}
		n.nth[[2]int{wd, which}] = true
		return fmt.Sprintf("%s#%d", s, which)
	case kind <= 2:
		v, s := value("value")
		n.field[i][v] = true
		return s
	case kind == 3: // a star with a step
		step := rapid.IntRange(2, hi).Draw(t, "step")
		for v := lo; v <= hi; v += step {
			n.field[i][v] = true
		}
		return "*/" + strconv.Itoa(step)
	}
	// A range: seven is left to the table of lines, see TestCron.
	from, to := rapid.IntRange(lo, hi).Draw(t, "from"), rapid.IntRange(lo, hi).Draw(t, "to")
	step := rapid.IntRange(1, 4).Draw(t, "step")
	for v, k := from, 0; ; v, k = v+1, k+1 {
		if v > hi {
			v = lo
		}
		if k%step == 0 {
			n.field[i][v] = true
		}
		if v == to {
			break
		}
	}
	if step == 1 {
		return fmt.Sprintf("%d-%d", from, to)
	}
	return fmt.Sprintf("%d-%d/%d", from, to, step)
}
