// Package localschedule keeps alarms in the store and rings them from a loop in
// this process. An alarm that came due while no process was running rings when the next
// one starts; an alarm whose call was cut off rings again.
//
// Of the occurrences of a repeating alarm that passed meanwhile the one that it was
// set for rings, and then the next that is still to come.
package localschedule

import (
	"container/heap"
	"context"
	"hash/maphash"
	"log/slog"
	"sync"
	"time"

	"drover/internal/job"
	"drover/internal/schedule"
	"drover/internal/store"
)

// Config is what Alarms need. Store, whose clock counts, Fire and Log are required.
type Config struct {
	Store *store.Store
	Fire  schedule.Fire
	Log   *slog.Logger
	// Concurrency is how many calls there are at once; 0: DefaultConcurrency.
	Concurrency int
}

// DefaultConcurrency is how many alarms ring at once.
const DefaultConcurrency = 16

const (
	// calls is how often Fire is called for one time. The sweeper starts what
	// it did not.
	calls = 8
	// firstPause is before the second call; each pause is twice the one before.
	firstPause = time.Second
	// nap is the longest wait by the timer: the machine's clock may be set, and
	// timers do not run while it sleeps.
	nap = time.Minute
)

// Alarms is safe for use by many goroutines at once. It implements schedule.Alarms.
type Alarms struct {
	Config
	seed  maphash.Seed
	locks [64]sync.Mutex // by key: what is written and what is remembered stay the same
	wake  chan struct{}

	mu     sync.Mutex
	alarms map[key]*alarm
	due    queue
}

type key struct {
	tenant string
	id     int64
}

// alarm is what is set for a key. A later Set makes another.
type alarm struct {
	store.Alarm
	at    time.Time // when to call: Next, or the time of the next try
	tries int
	index int // in the queue; -1: not there, because it rings
}

// Open reads what was set. Nothing rings before Run.
func Open(ctx context.Context, c Config) (*Alarms, error) {
	if c.Concurrency <= 0 {
		c.Concurrency = DefaultConcurrency
	}
	a := &Alarms{Config: c, seed: maphash.MakeSeed(), wake: make(chan struct{}, 1), alarms: map[key]*alarm{}}
	for q := (store.PageQuery{Limit: store.MaxPageRows}); ; {
		page, next, err := c.Store.Alarms(ctx, q)
		if err != nil {
			return nil, err
		}
		for _, row := range page {
			a.put(row)
		}
		if next == "" {
			return a, nil
		}
		q.After = next
	}
}

func (a *Alarms) lock(k key) *sync.Mutex {
	return &a.locks[maphash.Comparable(a.seed, k)%uint64(len(a.locks))]
}

// Set implements schedule.Alarms.
func (a *Alarms) Set(ctx context.Context, set schedule.Alarm) error {
	row := store.Alarm{Tenant: set.Tenant, ID: set.ID, Next: set.Next.UTC()}
	if set.Repeats() {
		row.Recurrence = set.Recurrence
	}
	k := key{set.Tenant, set.ID}
	l := a.lock(k)
	l.Lock()
	defer l.Unlock()
	if err := a.Store.PutAlarm(ctx, row); err != nil {
		return err
	}
	a.put(row)
	return nil
}

// Delete implements schedule.Alarms.
func (a *Alarms) Delete(ctx context.Context, tenant string, id int64) error {
	k := key{tenant, id}
	l := a.lock(k)
	l.Lock()
	defer l.Unlock()
	if err := a.Store.DeleteAlarm(ctx, tenant, id); err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.drop(k)
	return nil
}

// put remembers an alarm in place of the one with its key.
func (a *Alarms) put(row store.Alarm) {
	k := key{row.Tenant, row.ID}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.drop(k)
	al := &alarm{Alarm: row, at: row.Next}
	a.alarms[k] = al
	a.enqueue(al)
}

// drop forgets an alarm. Call it with mu held.
func (a *Alarms) drop(k key) {
	if old := a.alarms[k]; old != nil && old.index >= 0 {
		heap.Remove(&a.due, old.index)
	}
	delete(a.alarms, k)
}

// enqueue lets the loop look at an alarm. Call it with mu held.
func (a *Alarms) enqueue(al *alarm) {
	heap.Push(&a.due, al)
	if a.due[0] == al {
		select {
		case a.wake <- struct{}{}:
		default:
		}
	}
}

// Run rings what is due until ctx ends, and returns when no call is under way any
// more.
func (a *Alarms) Run(ctx context.Context) {
	var calling sync.WaitGroup
	defer calling.Wait()
	slots := make(chan struct{}, a.Concurrency)
	for {
		al, wait := a.next()
		if al != nil {
			select {
			case slots <- struct{}{}:
			case <-ctx.Done():
				return
			}
			calling.Go(func() {
				defer func() { <-slots }()
				a.ring(ctx, al)
			})
			continue
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-a.wake:
			timer.Stop()
		case <-ctx.Done():
			timer.Stop()
			return
		}
	}
}

// next takes the alarm that is due out of the queue, or says how long to wait.
func (a *Alarms) next() (*alarm, time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.due) == 0 {
		return nil, nap
	}
	if wait := a.due[0].at.Sub(a.Store.Now()); wait > 0 {
		return nil, min(wait, nap)
	}
	return heap.Pop(&a.due).(*alarm), 0
}

// ring calls Fire. What is set for the key meanwhile stays as it was set.
func (a *Alarms) ring(ctx context.Context, al *alarm) {
	err := a.Fire(ctx, al.Tenant, al.ID, al.Next)
	if ctx.Err() != nil {
		return // it rings again after the next start
	}
	if err != nil {
		if al.tries++; al.tries < calls {
			a.Log.WarnContext(ctx, "an alarm was not answered; it rings again", "tenant", al.Tenant, "schedule", al.ID, "time", al.Next, "err", err)
			a.again(al, firstPause<<(al.tries-1))
			return
		}
		a.Log.ErrorContext(ctx, "an alarm was not answered; the sweeper will look after the run", "tenant", al.Tenant, "schedule", al.ID, "time", al.Next, "err", err)
	}
	k := key{al.Tenant, al.ID}
	l := a.lock(k)
	l.Lock()
	defer l.Unlock()
	a.mu.Lock()
	current := a.alarms[k] == al
	a.mu.Unlock()
	if !current {
		return
	}
	if err := a.rang(ctx, al); err != nil && job.CodeOf(err) != job.Canceled {
		// After the next start it rings for the old time, which does no harm.
		a.Log.ErrorContext(ctx, "what an alarm is set for next is not stored", "tenant", al.Tenant, "schedule", al.ID, "err", err)
	}
}

// rang sets a repeating alarm to its next time, and removes others. Call it with the
// key's lock held.
func (a *Alarms) rang(ctx context.Context, al *alarm) error {
	after := al.Next.Add(time.Second)
	if now := a.Store.Now(); now.After(after) {
		after = now
	}
	if al.Recurrence != (job.Recurrence{}) {
		if next, ok := schedule.Next(al.Recurrence, after); ok {
			row := al.Alarm
			row.Next = next
			a.put(row)
			return a.Store.PutAlarm(ctx, row)
		}
	}
	a.mu.Lock()
	a.drop(key{al.Tenant, al.ID})
	a.mu.Unlock()
	return a.Store.DeleteAlarm(ctx, al.Tenant, al.ID)
}

// again rings an alarm after a while, unless another was set for its key.
func (a *Alarms) again(al *alarm, pause time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.alarms[key{al.Tenant, al.ID}] == al {
		al.at = a.Store.Now().Add(pause)
		a.enqueue(al)
	}
}

// queue is a heap of alarms by the time to call.
type queue []*alarm

func (q queue) Len() int           { return len(q) }
func (q queue) Less(i, j int) bool { return q[i].at.Before(q[j].at) }
func (q queue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].index, q[j].index = i, j
}

// Push implements heap.Interface.
func (q *queue) Push(x any) {
	al := x.(*alarm)
	al.index = len(*q)
	*q = append(*q, al)
}

// Pop implements heap.Interface.
func (q *queue) Pop() any {
	last := len(*q) - 1
	al := (*q)[last]
	(*q)[last], al.index = nil, -1
	*q = (*q)[:last]
	return al
}
