package auth

import (
	"container/list"
	"sync"
	"time"
)

// cache remembers values until a moment each. It holds a bounded number: the
// one that was used least recently makes room.
type cache[K comparable, V any] struct {
	max int

	mu    sync.Mutex
	items map[K]*list.Element // of item[K, V]
	used  list.List           // most recently used first
}

type item[K comparable, V any] struct {
	key   K
	value V
	until time.Time
}

func newCache[K comparable, V any](limit int) *cache[K, V] {
	return &cache[K, V]{max: limit, items: make(map[K]*list.Element)}
}

// get returns a value whose moment has not come.
func (c *cache[K, V]) get(key K, now time.Time) (V, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var none V
	e, ok := c.items[key]
	if !ok {
		return none, false
	}
	it := e.Value.(item[K, V])
	if !now.Before(it.until) {
		c.drop(e)
		return none, false
	}
	c.used.MoveToFront(e)
	return it.value, true
}

// put remembers a value, in the place of any other.
func (c *cache[K, V]) put(key K, value V, until time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.set(key, value, until)
}

// add remembers a value unless there is one whose moment has not come.
func (c *cache[K, V]) add(key K, value V, now, until time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e, ok := c.items[key]; !ok || !now.Before(e.Value.(item[K, V]).until) {
		c.set(key, value, until)
	}
}

func (c *cache[K, V]) set(key K, value V, until time.Time) {
	if e, ok := c.items[key]; ok {
		c.drop(e)
	}
	c.items[key] = c.used.PushFront(item[K, V]{key, value, until})
	if len(c.items) > c.max {
		c.drop(c.used.Back())
	}
}

func (c *cache[K, V]) drop(e *list.Element) {
	delete(c.items, c.used.Remove(e).(item[K, V]).key)
}

// size returns how many values are held.
func (c *cache[K, V]) size() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.items)
}
