package boltstore

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"

	"drover/internal/job"
)

// disk is a commit function that takes as long as the test wants.
type disk struct {
	groups [][]*change
	turn   chan error // one commit ends for each value: all its changes get it
}

func (d *disk) commit(group []*change) {
	d.groups = append(d.groups, append([]*change(nil), group...))
	err := <-d.turn
	for _, ch := range group {
		ch.done <- err
	}
}

// background calls do and collects its answers.
type background struct {
	mu   sync.Mutex
	errs []error
}

func (b *background) do(ctx context.Context, c *committer, bytes int) {
	go func() {
		err := c.do(ctx, bytes, nil)
		b.mu.Lock()
		defer b.mu.Unlock()
		b.errs = append(b.errs, err)
	}()
	synctest.Wait()
}

func (b *background) answers() []error {
	synctest.Wait()
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]error(nil), b.errs...)
}

func TestCommitter_CommitsAtOnceAndCoalescesMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &disk{turn: make(chan error)}
		c := startCommitter(d.commit)
		var b background
		b.do(t.Context(), c, 1)
		if len(d.groups) != 1 || len(d.groups[0]) != 1 {
			t.Fatalf("an idle committer has begun %d commits; want one, of one change", len(d.groups))
		}
		for range 20 {
			b.do(t.Context(), c, 1)
		}
		if len(d.groups) != 1 || len(b.answers()) != 0 {
			t.Fatalf("%d commits and %d answers while the first commit runs", len(d.groups), len(b.answers()))
		}
		d.turn <- nil
		if got := b.answers(); len(got) != 1 || got[0] != nil {
			t.Fatalf("after the first commit: %v", got)
		}
		if len(d.groups) != 2 || len(d.groups[1]) != 20 {
			t.Fatalf("what came meanwhile was not committed together: %d commits", len(d.groups))
		}
		broken := errors.New("disk")
		d.turn <- broken
		failed := 0
		for _, err := range b.answers() {
			if errors.Is(err, broken) {
				failed++
			}
		}
		if failed != 20 {
			t.Fatalf("%d changes failed with their commit; want all 20", failed)
		}
		c.close()
	})
}

func TestCommitter_BoundsAGroup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &disk{turn: make(chan error)}
		c := startCommitter(d.commit)
		var b background
		for range 5 { // the first alone, then two by two
			b.do(t.Context(), c, maxGroupBytes/2)
		}
		b.do(t.Context(), c, maxGroupBytes+1) // larger than a group: alone
		for range 4 {
			d.turn <- nil
			synctest.Wait()
		}
		var sizes []int
		for _, g := range d.groups {
			sizes = append(sizes, len(g))
		}
		if len(b.answers()) != 6 || len(sizes) != 4 || sizes[0] != 1 || sizes[1] != 2 || sizes[2] != 2 || sizes[3] != 1 {
			t.Fatalf("groups of %v, %d answers", sizes, len(b.answers()))
		}
		c.close()
	})
}

func TestCommitter_WithdrawsWhatIsNotBegun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &disk{turn: make(chan error)}
		c := startCommitter(d.commit)
		ctx, stop := context.WithCancel(t.Context())
		var begun, queued background
		begun.do(ctx, c, 1)
		queued.do(ctx, c, 1)
		stop()
		if got := queued.answers(); len(got) != 1 || job.CodeOf(got[0]) != job.Canceled {
			t.Fatalf("a waiting change: %v; want Canceled at once", got)
		}
		if got := begun.answers(); len(got) != 0 {
			t.Fatalf("a change that is being committed was answered %v before it is known", got)
		}
		d.turn <- nil
		if got := begun.answers(); len(got) != 1 || got[0] != nil {
			t.Fatalf("the committed change: %v; want the truth", got)
		}
		if len(d.groups) != 1 {
			t.Fatalf("the withdrawn change was committed: %d commits", len(d.groups))
		}
		c.close()
	})
}

func TestCommitter_CloseAnswersWhatWasAccepted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &disk{turn: make(chan error)}
		c := startCommitter(d.commit)
		var b background
		for range 3 {
			b.do(t.Context(), c, 1)
		}
		closed := make(chan struct{})
		go func() {
			c.close()
			close(closed)
		}()
		synctest.Wait()
		if err := c.do(t.Context(), 1, nil); job.CodeOf(err) != job.Unavailable {
			t.Fatalf("after close: %v; want Unavailable", err)
		}
		d.turn <- nil
		d.turn <- nil
		<-closed
		if got := b.answers(); len(got) != 3 || errors.Join(got...) != nil {
			t.Fatalf("accepted before close: %v", got)
		}
	})
}
