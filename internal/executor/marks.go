package executor

import (
	"time"

	"drover/internal/job"
)

// marks are the marks of an output, by the length of its whole text: where a
// part of that is stored they are moved.
type marks []job.Mark

// add marks that the text is so long now. No two marks are of one moment.
func (m *marks) add(now time.Time, ends [2]int) {
	k := job.Mark{At: now.UnixMilli(), Stdout: ends[0], Stderr: ends[1]}
	if n := len(*m); n > 0 {
		last := (*m)[n-1]
		if last.Stdout == k.Stdout && last.Stderr == k.Stderr {
			return
		}
		k.At = max(k.At, last.At+1)
	} else if k.Stdout == 0 && k.Stderr == 0 {
		return
	}
	*m = append(*m, k)
	if len(*m) <= job.MaxMarks {
		return
	}
	// Every second one of the older half goes: what it marked goes with the next.
	merged, half := (*m)[:0], len(*m)/2
	for i := 1; i < half; i += 2 {
		merged = append(merged, (*m)[i])
	}
	*m = append(merged, (*m)[half:]...)
}

// since are the marks of a text of which the beginning is missing.
func (m marks) since(stdout, stderr int) []job.Mark {
	return m.each(func(k job.Mark) job.Mark {
		k.Stdout, k.Stderr = max(0, k.Stdout-stdout), max(0, k.Stderr-stderr)
		return k
	})
}

// last are the marks of an output that is complete, or of which the end is
// missing; the last one covers all of it.
func (m marks) last(o job.Output, now time.Time) []job.Mark {
	all := append(marks(nil), m...)
	for i := range all {
		all[i].Stdout, all[i].Stderr = min(all[i].Stdout, len(o.Stdout)), min(all[i].Stderr, len(o.Stderr))
	}
	all.add(now, [2]int{len(o.Stdout), len(o.Stderr)})
	return all.each(func(k job.Mark) job.Mark { return k })
}

// each returns the marks changed, without those that say nothing more then.
func (m marks) each(change func(job.Mark) job.Mark) []job.Mark {
	var out []job.Mark
	var last job.Mark
	for _, k := range m {
		k = change(k)
		if k.Stdout == last.Stdout && k.Stderr == last.Stderr {
			continue
		}
		out = append(out, k)
		last = k
	}
	return out
}
