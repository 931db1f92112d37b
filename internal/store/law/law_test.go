package law

import (
	"testing"
	"time"

	"drover/internal/job"
	"drover/internal/store"

	"pgregory.net/rapid"
)

func FuzzResolve(f *testing.F) {
	own, err := Resolve(store.Query{Partition: "p", From: "a", To: "z"})
	if err != nil {
		f.Fatal(err)
	}
	f.Add("p", "a", "z", false, own.Cursor("m"))
	f.Add("p", "a", "z", true, own.Cursor("m"))
	f.Add("p", "", "", false, "")
	f.Add("", "z", "a", true, "garbage")
	f.Add("p", "b", "c", false, own.Cursor("a"))
	f.Add("p", "\xff", "", true, "AQ")
	f.Add("p", "a", "z", false, own.Cursor("m")+"\n")
	f.Add("0", "", "", false, "AUptDE0ANVsgY0")
	f.Fuzz(func(t *testing.T, partition, from, to string, reverse bool, after string) {
		q := store.Query{Partition: partition, From: from, To: to, Reverse: reverse, After: after}
		r, err := Resolve(q)
		if err != nil {
			if c := job.CodeOf(err); c != job.Invalid && c != job.TooLarge {
				t.Fatalf("%v has code %s", err, c)
			}
			return
		}
		if r.From < from || (to != "" && r.To > to) || (to != "" && r.To == "") {
			t.Fatalf("%+v leads out of %+v", r, q)
		}
		if after != "" && r.Cursor(r.Last) != after {
			t.Fatalf("the cursor %q is not the one that is made for %q", after, r.Last)
		}
	})
}

func TestCursor_ContinuesItsOwnQueryOnly(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		query := rapid.Custom(func(t *rapid.T) store.Query {
			s := rapid.SampledFrom([]string{"", "a", "b", "ab", "\x00"})
			return store.Query{Partition: "p" + s.Draw(t, "partition"), From: s.Draw(t, "from"), To: s.Draw(t, "to"), Reverse: rapid.Bool().Draw(t, "reverse")}
		})
		q, other := query.Draw(t, "query"), query.Draw(t, "other")
		r, err := Resolve(q)
		if err != nil {
			t.Fatal(err)
		}
		last := q.From + "m"
		other.After = r.Cursor(last)
		got, err := Resolve(other)
		other.After = ""
		belongs := other == q && (q.To == "" || last < q.To)
		if belongs != (err == nil) {
			t.Fatalf("the cursor of %+v at %q, given to %+v: %v", q, last, other, err)
		}
		if err == nil && ((q.Reverse && got.To != last) || (!q.Reverse && got.From != last+"\x00")) {
			t.Fatalf("after %q comes %+v", last, got)
		}
	})
}

func TestSeconds(t *testing.T) {
	at := time.Date(2030, 1, 2, 3, 4, 5, 999, time.FixedZone("x", 3600))
	for _, c := range []struct {
		in   time.Time
		want int64
	}{{time.Time{}, 0}, {at, at.Unix()}, {time.Unix(0, 0), 1}, {time.Unix(-1, 0), 1}, {time.Unix(1, 5), 1}} {
		if got := Seconds(c.in); got != c.want {
			t.Errorf("Seconds(%v) = %d; want %d", c.in, got, c.want)
		}
	}
	if !Time(0).IsZero() || !Time(at.Unix()).Equal(at.Truncate(time.Second)) {
		t.Error("Time is not the inverse of Seconds")
	}
	if Expired(0, at) || Expired(at.Unix()+1, at) || !Expired(at.Unix(), at) {
		t.Error("a row expires with its second, and never at 0")
	}
}
