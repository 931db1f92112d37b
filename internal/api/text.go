package api

import (
	"encoding/json"
	"fmt"
	"slices"
	"unicode/utf8"

	"drover/internal/job"
)

// Text is a text of an answer that may be cut to make the answer fit. It
// encodes as a JSON string; a cut one ends in a marker with the count of bytes
// that are missing.
type Text struct {
	kept string
	size int // of the whole text
}

// String returns what is left of the text, with the marker if it was cut.
func (t *Text) String() string {
	if len(t.kept) == t.size {
		return t.kept
	}
	return fmt.Sprintf("%s\n[cut: %d of %d bytes are left out]", t.kept, t.size-len(t.kept), t.size)
}

// MarshalJSON encodes String.
func (t *Text) MarshalJSON() ([]byte, error) { return json.Marshal(t.String()) }

// markerBytes is about what a marker takes.
const markerBytes = 64

// Texts are the texts of one answer. The zero value is empty.
type Texts struct {
	all  []*Text
	kept int
}

// Add registers a text. Texts too short to be worth cutting need not be added.
func (ts *Texts) Add(s string) *Text {
	t := &Text{kept: s, size: len(s)}
	ts.all = append(ts.all, t)
	ts.kept += len(s)
	return t
}

// Tree returns v, a decoded JSON value, with its longer strings replaced by
// texts of ts. Maps and slices are changed in place.
func (ts *Texts) Tree(v any) any {
	switch v := v.(type) {
	case string:
		if len(v) > 4*markerBytes {
			return ts.Add(v)
		}
	case map[string]any:
		for k, e := range v {
			v[k] = ts.Tree(e)
		}
	case []any:
		for i, e := range v {
			v[i] = ts.Tree(e)
		}
	}
	return v
}

// Cut shortens the longest texts, all to the same length, until all together
// hold at most limit bytes, and returns how many texts of ts are cut now,
// earlier calls included. A text is never cut inside a character.
func (ts *Texts) Cut(limit int) int {
	if ts.kept > limit {
		ts.cutTo(ts.level(max(limit, 0)))
	}
	n := 0
	for _, t := range ts.all {
		if len(t.kept) < t.size {
			n++
		}
	}
	return n
}

// level returns the greatest length to which all longer texts can be cut so
// that the sum is at most limit.
func (ts *Texts) level(limit int) int {
	sizes := make([]int, len(ts.all))
	for i, t := range ts.all {
		sizes[i] = len(t.kept)
	}
	slices.Sort(sizes)
	for i, s := range sizes {
		if rest := len(sizes) - i; s*rest >= limit {
			return limit / rest
		}
		limit -= s
	}
	return limit
}

func (ts *Texts) cutTo(level int) {
	ts.kept = 0
	for _, t := range ts.all {
		if len(t.kept) > level {
			n := level
			for n > 0 && !utf8.RuneStart(t.kept[n]) {
				n--
			}
			t.kept = string([]byte(t.kept[:n])) // lets go of the rest
		}
		ts.kept += len(t.kept)
	}
}

// Fit encodes an answer and cuts texts until it has at most limit bytes. It
// returns how many texts were cut, and TooLarge when the answer does not fit even
// without them. The encoder is the family's own and is called again after each cut.
func (ts *Texts) Fit(limit int, encode func() ([]byte, error)) (body []byte, cut int, err error) {
	for {
		body, err = encode()
		if err != nil {
			return nil, 0, err
		}
		if len(body) <= limit {
			return body, ts.Cut(ts.kept), nil
		}
		if ts.kept == 0 {
			return nil, 0, job.Errorf(job.TooLarge, "The answer is larger than %d bytes.", limit)
		}
		// What is too much, markers included, goes; escapes make a text
		// longer on the wire than it is here, so the share that texts have in
		// the answer is estimated and the loop decides.
		over := len(body) - limit + markerBytes*len(ts.all)/8
		keep := ts.kept - over
		if scaled := int(float64(ts.kept) * float64(limit) / float64(len(body))); keep < 0 || scaled < keep {
			keep = min(scaled, ts.kept-1)
		}
		if keep < markerBytes {
			keep = 0
		}
		ts.Cut(keep)
	}
}
