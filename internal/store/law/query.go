package law

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"

	"drover/internal/job"
	"drover/internal/store"
)

// PageBytes is how many bytes of values a page of a query holds before it
// ends early. The row that passes it is still on the page.
const PageBytes = 1 << 20

// Range is a checked query with its cursor applied: the rows of Partition with
// From <= Sort, and Sort < To unless To is "". Last is the row that the cursor
// stands on, "" on the first page.
type Range struct {
	Partition string
	From, To  string
	Last      string
	Reverse   bool
	Limit     int  // 1 to store.MaxPageRows
	Empty     bool // nothing can be in it; do not ask the medium

	bound [8]byte
}

const cursorVersion = 1

// Resolve checks a query and applies its cursor.
func Resolve(q store.Query) (Range, error) {
	if q.Partition == "" {
		return Range{}, job.FieldErrorf("partition", "a query names no partition")
	}
	for _, s := range [...]string{q.Partition, q.From, q.To} {
		if len(s) > store.MaxKeyBytes {
			return Range{}, job.Errorf(job.TooLarge, "a query's key has %d bytes; at most %d are allowed", len(s), store.MaxKeyBytes)
		}
	}
	if q.Limit < 0 {
		return Range{}, job.FieldErrorf("limit", "a page cannot hold %d rows", q.Limit)
	}
	r := Range{Partition: q.Partition, From: q.From, To: q.To, Reverse: q.Reverse, Limit: q.Limit, bound: binding(q)}
	if r.Limit == 0 || r.Limit > store.MaxPageRows {
		r.Limit = store.MaxPageRows
	}
	if q.After != "" {
		last, err := r.open(q.After)
		if err != nil {
			return Range{}, err
		}
		r.Last = last
		if r.Reverse {
			r.To = last
		} else {
			r.From = last + "\x00" // the smallest key above last
		}
	}
	r.Empty = r.To != "" && r.From >= r.To
	return r, nil
}

// Cursor returns the token that continues the query after the row with this
// Sort. It is opaque and fits no other query.
func (r Range) Cursor(last string) string {
	b := make([]byte, 0, 1+len(r.bound)+len(last))
	b = append(b, cursorVersion)
	b = append(b, r.bound[:]...)
	b = append(b, last...)
	return base64.RawURLEncoding.EncodeToString(b)
}

func (r Range) open(token string) (last string, err error) {
	b, err := base64.RawURLEncoding.DecodeString(token)
	head := 1 + len(r.bound)
	if err != nil || len(b) <= head || len(b) > head+store.MaxKeyBytes ||
		b[0] != cursorVersion || [8]byte(b[1:head]) != r.bound {
		return "", foreign()
	}
	last = string(b[head:])
	if r.Cursor(last) != token { // base64 reads several texts as the same bytes
		return "", foreign()
	}
	if last < r.From || (r.To != "" && last >= r.To) {
		return "", foreign()
	}
	return last, nil
}

func foreign() error {
	return job.FieldErrorf("after", "this cursor does not belong to this query")
}

// binding is a digest of what makes two queries the same for a cursor: all but
// the page's size.
func binding(q store.Query) [8]byte {
	h := sha256.New()
	for _, s := range [...]string{q.Partition, q.From, q.To} {
		var n [4]byte
		binary.BigEndian.PutUint32(n[:], uint32(len(s)))
		h.Write(n[:])
		h.Write([]byte(s))
	}
	if q.Reverse {
		h.Write([]byte{1})
	}
	return [8]byte(h.Sum(nil))
}
