package boltstore

import (
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"drover/internal/store"
)

// BenchmarkCommit compares three ways to make small writes of many callers
// durable, side by side in one run: the coalescing committer, bbolt's own
// Batch, and one transaction each. Every writer waits for its answer before it
// goes on, as an executor does.
//
//	go test -run '^$' -bench Commit ./internal/store/boltstore
func BenchmarkCommit(b *testing.B) {
	const rounds = 20 // writes of each writer per iteration
	for _, writers := range []int{1, 10, 100} {
		b.Run(fmt.Sprintf("writers=%d", writers), func(b *testing.B) {
			s := mustOpen(b, filepath.Join(b.TempDir(), "drover.db"))
			value := make([]byte, 600)
			key := func(writer, i int) store.Key {
				return store.Key{Partition: fmt.Sprint("run/", i%8), Sort: fmt.Sprintf("%06d/%03d", i, writer)}
			}
			direct := func(update func(func(*bbolt.Tx) error) error) func(int, int) error {
				return func(writer, i int) error {
					return update(func(tx *bbolt.Tx) error {
						return tx.Bucket(bucketRows).Put(rowKey(key(writer, i)), encodeRow(1, 0, value))
					})
				}
			}
			ways := []struct {
				name  string
				write func(writer, i int) error
				spent time.Duration
			}{
				{name: "committer", write: func(writer, i int) error {
					_, err := s.Put(b.Context(), store.Row{Key: key(writer, i), Value: value}, store.Always())
					return err
				}},
				{name: "batch", write: direct(s.db.Batch)},
				{name: "update", write: direct(s.db.Update)},
			}
			n := 0
			for b.Loop() {
				for w := range ways {
					start := time.Now()
					var wg sync.WaitGroup
					for writer := range writers {
						wg.Go(func() {
							for i := range rounds {
								if err := ways[w].write(writer, n+i); err != nil {
									b.Error(err)
									return
								}
							}
						})
					}
					wg.Wait()
					ways[w].spent += time.Since(start)
				}
				n += rounds
			}
			writes := float64(n * writers)
			for _, w := range ways {
				b.ReportMetric(writes/w.spent.Seconds(), w.name+"/s")
			}
			b.ReportMetric(float64(ways[1].spent)/float64(ways[0].spent), "x-batch")
			b.ReportMetric(float64(ways[2].spent)/float64(ways[0].spent), "x-update")
			b.ReportMetric(0, "ns/op")
		})
	}
}
