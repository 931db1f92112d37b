package store

import (
	"context"
	"strconv"
	"time"

	"drover/internal/job"
)

// Runs of a space are numbered by a counter, and found under their number by a
// row that holds the id. Numbers that name no run (any more) are counted, so that
// the number of runs is known without reading them.

func numberCounter(tenant, space string) Key { return Key{tenant + "/number", space} }

func goneKey(tenant, space string) Key { return Key{tenant + "/number/gone", space} }

func numberPartition(tenant, space string) string { return tenant + "/number/" + space + "/runs" }

func numberKey(tenant, space string, number int64) Key {
	return Key{numberPartition(tenant, space), idSort(number)}
}

// NextNumber takes a number of a space out of use: for a run that is about to be
// stored with it.
func (s *Store) NextNumber(ctx context.Context, tenant, space string) (int64, error) {
	return s.d.Add(ctx, numberCounter(tenant, space), 1, time.Time{})
}

// LoseNumber says that a number of NextNumber names no run.
func (s *Store) LoseNumber(ctx context.Context, tenant, space string) error {
	return s.loseNumber(ctx, tenant, space, nil, nil)
}

// loseNumber counts a number as gone together with further operations. If once is
// not nil, it is a row that one of them deletes: when it is not there any more,
// somebody else has done the same, and nothing is left to do.
func (s *Store) loseNumber(ctx context.Context, tenant, space string, once *Key, with []Op) error {
	for try := 0; ; try++ {
		gone, rev, err := s.gone(ctx, tenant, space)
		if err != nil {
			return err
		}
		cond := IfMissing()
		if rev != "" {
			cond = IfRev(rev)
		}
		err = s.d.Atomic(ctx, append([]Op{{Kind: OpPut, Row: Row{Key: goneKey(tenant, space), Value: encode(gone + 1)}, Cond: cond}}, with...)...)
		if job.CodeOf(err) != job.Conflict || try == 99 {
			return err
		}
		if once == nil {
			continue
		}
		if _, err := s.get(ctx, *once); job.CodeOf(err) == job.NotFound {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// gone is how many numbers of a space name no run, with the row's revision; "":
// there is none.
func (s *Store) gone(ctx context.Context, tenant, space string) (n int64, rev string, err error) {
	row, err := s.get(ctx, goneKey(tenant, space))
	if job.CodeOf(err) == job.NotFound {
		return 0, "", nil
	}
	if err != nil {
		return 0, "", err
	}
	n, err = decode[int64](row)
	return n, row.Rev, err
}

// RunByNumber returns the run with a number in a space.
func (s *Store) RunByNumber(ctx context.Context, tenant, space string, number int64) (job.Run, error) {
	none := job.Errorf(job.NotFound, "no run with the number %d", number)
	if number <= 0 {
		return job.Run{}, none
	}
	row, err := s.get(ctx, numberKey(tenant, space, number))
	if err == nil {
		var id string
		if id, err = decode[string](row); err == nil {
			var run job.Run
			if run, err = s.Run(ctx, tenant, id); err == nil {
				return run, nil
			}
		}
	}
	if job.CodeOf(err) == job.NotFound {
		return job.Run{}, none
	}
	return job.Run{}, err
}

// RunsByNumber lists the runs of a space, the highest number first: skip of them
// are left out, at most limit are returned. total is how many there are. A run
// whose retention ended a moment ago may be counted and not be there.
func (s *Store) RunsByNumber(ctx context.Context, tenant, space string, skip, limit int) (runs []job.Run, total int, err error) {
	last, err := s.d.Add(ctx, numberCounter(tenant, space), 0, time.Time{})
	if err != nil {
		return nil, 0, err
	}
	gone, _, err := s.gone(ctx, tenant, space)
	if err != nil {
		return nil, 0, err
	}
	total, skip = int(max(0, last-gone)), max(0, skip)
	if limit <= 0 || skip >= total {
		return nil, total, nil
	}
	q := Query{Partition: numberPartition(tenant, space), Reverse: true}
	if gone == 0 { // every number names a run: those to skip need not be counted
		q.To, skip = idSort(last-int64(skip)+1), 0
	}
	for len(runs) < limit {
		q.Limit = min(MaxPageRows, skip+limit-len(runs))
		page, err := s.d.Query(ctx, q)
		if err != nil {
			return nil, 0, err
		}
		rows := page.Rows[min(skip, len(page.Rows)):]
		skip -= len(page.Rows) - len(rows)
		got, err := s.runsOf(ctx, tenant, rows)
		if err != nil {
			return nil, 0, err
		}
		runs = append(runs, got...)
		if page.Next == "" {
			break
		}
		q.After = page.Next
	}
	return runs, total, nil
}

// RunsBelow lists the runs of a space whose numbers are below one (0: all), the
// highest number first, at most limit. next is what to go on below; 0: there are no
// more. It is how to read all of them: a page costs the same wherever it lies, and
// runs that are made or forgotten meanwhile neither repeat nor hide others.
func (s *Store) RunsBelow(ctx context.Context, tenant, space string, below int64, limit int) (runs []job.Run, next int64, err error) {
	q := Query{Partition: numberPartition(tenant, space), Reverse: true, Limit: max(1, min(MaxPageRows, limit))}
	if below > 0 {
		q.To = idSort(below)
	}
	page, err := s.d.Query(ctx, q)
	if err != nil {
		return nil, 0, err
	}
	if page.Next != "" {
		last := page.Rows[len(page.Rows)-1].Key
		if next, err = strconv.ParseInt(last.Sort, 10, 64); err != nil {
			return nil, 0, job.Errorf(job.Corrupt, "row %s | %s cannot be read", last.Partition, last.Sort)
		}
	}
	runs, err = s.runsOf(ctx, tenant, page.Rows)
	return runs, next, err
}

// runsOf returns those of the runs that exist whose ids rows hold.
func (s *Store) runsOf(ctx context.Context, tenant string, rows []Row) ([]job.Run, error) {
	ids := make([]string, len(rows))
	for i, row := range rows {
		var err error
		if ids[i], err = decode[string](row); err != nil {
			return nil, err
		}
	}
	return s.runsByID(ctx, tenant, ids)
}

// runsByID returns those of the runs that exist, in the order asked for.
func (s *Store) runsByID(ctx context.Context, tenant string, ids []string) ([]job.Run, error) {
	keys := make([]Key, len(ids))
	for i, id := range ids {
		keys[i] = runKey(tenant, id)
	}
	found, err := s.getAll(ctx, keys)
	if err != nil {
		return nil, err
	}
	runs := make([]job.Run, 0, len(keys))
	for _, k := range keys {
		if row, ok := found[k]; ok {
			r, err := decodeRun(row)
			if err != nil {
				return nil, err
			}
			runs = append(runs, r)
		}
	}
	return runs, nil
}
