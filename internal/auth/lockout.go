package auth

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"
)

// The rule of lock-outs. Failures are counted by the minute: the minute that
// is under way and the four before it, so never in more than lockWithin.
const (
	lockAfter  = 10
	lockWithin = 5 * time.Minute
	lockFor    = 5 * time.Minute
	lockSlot   = time.Minute

	// lockFresh is how long what is known of a pair's lock-out counts before
	// the shared counter is asked again.
	lockFresh = 10 * time.Second

	maxPairs = 10_000
)

// pair names the counters of a user, who need not exist, at an address: of one
// length, whatever the caller sent.
type pair string

func pairOf(user, address string) pair {
	sum := sha256.Sum256(fmt.Appendf(nil, "%d:%s%s", len(user), user, address))
	return pair("login/" + hex.EncodeToString(sum[:16]))
}

// lockouts counts failures in counters that all processes share, and
// remembers for a moment what it read.
type lockouts struct {
	counters Counters
	clock    func() time.Time
	began    func()
	known    *cache[pair, bool] // whether locked
}

func newLockouts(c Counters, clock func() time.Time, began func()) lockouts {
	return lockouts{counters: c, clock: clock, began: began, known: newCache[pair, bool](maxPairs)}
}

// locked reports whether the pair is locked out.
func (l *lockouts) locked(ctx context.Context, p pair) (bool, error) {
	now := l.clock()
	if locked, ok := l.known.get(p, now); ok {
		return locked, nil
	}
	n, err := l.counters.Counter(ctx, string(p)+"/lock", 0, now.Add(lockFor))
	if err != nil {
		return false, err
	}
	l.known.add(p, n > 0, now, now.Add(lockFresh)) // not over a lock-out that began here meanwhile
	return n > 0, nil
}

// fail counts one failure of a pair that is not locked out, and locks it out
// when that was one too many.
func (l *lockouts) fail(ctx context.Context, p pair) (began bool, err error) {
	now := l.clock()
	slot := now.Truncate(lockSlot)
	var counts [lockWithin / lockSlot]int64
	var g errgroup.Group
	for i := range counts {
		at, delta := slot.Add(-time.Duration(i)*lockSlot), int64(0)
		if i == 0 {
			delta = 1
		}
		g.Go(func() (err error) {
			name := fmt.Sprintf("%s/%d", p, at.Unix())
			counts[i], err = l.counters.Counter(ctx, name, delta, at.Add(2*lockWithin))
			return err
		})
	}
	err = g.Wait()
	var failures int64
	for _, n := range counts {
		failures += n
	}
	if failures < lockAfter { // what could not be read counts as none
		return false, err
	}
	until := now.Add(lockFor)
	n, lockErr := l.counters.Counter(ctx, string(p)+"/lock", 1, until)
	l.known.put(p, true, until) // in this process even if the counter failed
	if n > 1 {                  // another failure at the same time was one too many as well
		return false, lockErr
	}
	l.began()
	return true, lockErr
}
