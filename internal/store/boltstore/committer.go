package boltstore

import (
	"context"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"

	"drover/internal/job"
	"drover/internal/store/law"
)

// How much one transaction takes of what is queued.
const (
	maxGroup      = 2048
	maxGroupBytes = 16 << 20
)

// change is one write waiting for its commit. It is applied within a
// transaction shared with others: apply first checks everything that may
// refuse it and only then writes, so that a refused change leaves no trace
// while its neighbours go on.
type change struct {
	apply func(*txn) error
	bytes int
	state atomic.Int32
	done  chan error
}

const (
	waiting int32 = iota
	taken
	withdrawn
)

// committer turns many small changes into few transactions. One goroutine
// commits a change at once when it is idle; what arrives while the disk is
// busy is committed together next. The more callers, the larger the groups:
// nobody waits for a timer.
type committer struct {
	commit func([]*change)

	mu     sync.Mutex
	queue  []*change
	closed bool
	wake   chan struct{}
	idle   chan struct{} // closed when the goroutine has ended
}

func startCommitter(commit func([]*change)) *committer {
	c := &committer{commit: commit, wake: make(chan struct{}, 1), idle: make(chan struct{})}
	go c.loop()
	return c
}

// do queues a change and returns when it is durable or refused. A change that
// is still waiting when ctx ends is withdrawn; one that is being committed is
// waited for, so that every answer is true.
func (c *committer) do(ctx context.Context, bytes int, apply func(*txn) error) error {
	if err := law.Context(ctx); err != nil {
		return err
	}
	ch := &change{apply: apply, bytes: bytes, done: make(chan error, 1)}
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return errClosed()
	}
	c.queue = append(c.queue, ch)
	c.mu.Unlock()
	c.signal()

	select {
	case err := <-ch.done:
		return err
	case <-ctx.Done():
		if ch.state.CompareAndSwap(waiting, withdrawn) {
			return law.Context(ctx)
		}
		return <-ch.done
	}
}

func (c *committer) signal() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

func (c *committer) loop() {
	defer close(c.idle)
	debug.SetPanicOnFault(true) // for this goroutine: a damaged page becomes a panic that commit recovers
	var spare []*change
	for range c.wake {
		for {
			// Whoever is ready to write may join this group: that costs
			// nothing where the processors are idle, and saves commits
			// where they are not.
			runtime.Gosched()
			group, rest, closed := c.take(spare)
			if len(group) > 0 {
				c.commit(group)
			}
			clear(group)
			spare = group[:0]
			if rest > 0 {
				continue
			}
			if closed {
				return
			}
			break
		}
	}
}

// take moves the next group off the queue.
func (c *committer) take(group []*change) (_ []*change, rest int, closed bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	bytes, n := 0, 0
	for _, ch := range c.queue {
		if len(group) == maxGroup || (len(group) > 0 && bytes+ch.bytes > maxGroupBytes) {
			break
		}
		n++
		if ch.state.CompareAndSwap(waiting, taken) {
			group = append(group, ch)
			bytes += ch.bytes
		}
	}
	rest = copy(c.queue, c.queue[n:])
	clear(c.queue[rest:])
	c.queue = c.queue[:rest]
	return group, rest, c.closed
}

// close refuses further changes and returns when all that were accepted are
// answered.
func (c *committer) close() {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.signal()
	<-c.idle
}

func errClosed() error { return job.Errorf(job.Unavailable, "the data file is closed") }
