package store

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"drover/internal/job"
)

// ResultsPerShard is how many devices share one partition of results.
const ResultsPerShard = 1000

// MaxShards is the most partitions that a run's results are spread over.
const MaxShards = 16

// ShardsFor returns how many partitions the results of a run with total
// devices are spread over.
func ShardsFor(total int) int {
	return max(1, min(MaxShards, (total+ResultsPerShard-1)/ResultsPerShard))
}

func resultKey(run job.Run, index int, step string) Key {
	return Key{resultPartition(run, index%max(1, run.Shards)), resultSort(index) + step}
}

func resultPartition(run job.Run, shard int) string {
	return fmt.Sprintf("%s/results/%02d", runPartition(run.Tenant, run.ID), shard)
}

func resultSort(index int) string { return fmt.Sprintf("%06d/", index) }

func decodeResult(row Row) (job.Result, error) {
	r, err := decode[job.Result](row)
	r.Rev = row.Rev
	return r, err
}

// Result returns the stored result of a device in a run; NotFound when it was
// never claimed.
func (s *Store) Result(ctx context.Context, run job.Run, index int, step string) (job.Result, error) {
	row, err := s.get(ctx, resultKey(run, index, step))
	if err != nil {
		return job.Result{}, err
	}
	return decodeResult(row)
}

// PutResult writes a result: a new one (Rev "") or in place of the revision
// that was read or written last. It returns the new revision. Conflict means
// that somebody else wrote it meanwhile, and nothing was written.
func (s *Store) PutResult(ctx context.Context, run job.Run, r job.Result) (string, error) {
	cond := IfRev(r.Rev)
	if r.Rev == "" {
		cond = IfMissing()
	}
	return s.d.Put(ctx, Row{Key: resultKey(run, r.Index, r.Step), Value: encode(r), Expires: s.dataExpiry()}, cond)
}

// Results returns the stored results of devices with index from or higher, at
// most limit, in order of index (and step). Devices that were never claimed
// have none. Outputs are packed as they were stored. Fewer than limit does not
// mean that there are no more; none does.
func (s *Store) Results(ctx context.Context, run job.Run, from, limit int) ([]job.Result, error) {
	if limit <= 0 || limit > MaxPageRows {
		limit = MaxPageRows
	}
	shards := max(1, run.Shards)
	// Neighbours lie in different shards: each holds about its share.
	share := (limit+shards-1)/shards + 1
	var all []job.Result
	// A shard that stopped short (page size) bounds what is known to be
	// complete: nothing at or after its last index may be returned.
	bound := -1
	for shard := range shards {
		page, err := s.d.Query(ctx, Query{Partition: resultPartition(run, shard), From: resultSort(from), Limit: min(share, limit)})
		if err != nil {
			return nil, err
		}
		for _, row := range page.Rows {
			r, err := decodeResult(row)
			if err != nil {
				return nil, err
			}
			all = append(all, r)
		}
		if page.Next != "" && len(page.Rows) > 0 {
			if last := all[len(all)-1].Index; bound < 0 || last < bound {
				bound = last
			}
		}
	}
	slices.SortFunc(all, func(a, b job.Result) int {
		if a.Index != b.Index {
			return a.Index - b.Index
		}
		return strings.Compare(a.Step, b.Step)
	})
	if bound >= 0 {
		if i := slices.IndexFunc(all, func(r job.Result) bool { return r.Index > bound }); i >= 0 {
			all = all[:i]
		}
	}
	return all[:min(len(all), limit)], nil
}
