package render

import (
	"bytes"
	"sync"

	"go.starlark.net/starlark"
)

// cacheBytes bounds the cache of parsed texts, cacheEntry what one may take.
const (
	cacheBytes = 8 << 20
	cacheEntry = 1 << 20
)

// cost is what a text takes in the cache: a tree is some sixty times the
// length of its expression.
func (t *template) cost(text string) int { return len(text) + 64*t.source + 1<<10 }

// parsed remembers texts under DefaultLimits: a run renders one text for each
// of its devices.
var parsed = textCache{texts: make(map[string]*template)}

type textCache struct {
	mu    sync.RWMutex
	bytes int
	texts map[string]*template
}

func (l Limits) cached(text string) (*template, error) {
	if l != DefaultLimits {
		return l.parse(text)
	}
	parsed.mu.RLock()
	t := parsed.texts[text]
	parsed.mu.RUnlock()
	if t != nil {
		return t, nil
	}
	t, err := l.parse(text)
	if err == nil && len(t.places) > 0 && t.cost(text) <= cacheEntry {
		parsed.add(text, t)
	}
	return t, err
}

// add makes room by dropping texts in no particular order: a miss costs one
// parse.
func (c *textCache) add(text string, t *template) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.texts[text]; ok {
		return
	}
	cost := t.cost(text)
	for old, o := range c.texts {
		if c.bytes+cost <= cacheBytes {
			break
		}
		c.bytes -= o.cost(old)
		delete(c.texts, old)
	}
	c.bytes += cost
	c.texts[text] = t
}

// cachePayload is the longest payload that is remembered.
const cachePayload = 256 << 10

// payloads remembers the last few payloads: a run's is the same for each of
// its devices. Expressions cannot change values, so that sharing them is safe.
var payloads payloadCache

type payloadCache struct {
	mu      sync.RWMutex
	entries [4]struct {
		raw   []byte
		value *starlark.Dict
	}
	next int
}

func (c *payloadCache) decode(raw []byte) (*starlark.Dict, error) {
	c.mu.RLock()
	for _, e := range c.entries {
		if e.value != nil && bytes.Equal(e.raw, raw) {
			c.mu.RUnlock()
			return e.value, nil
		}
	}
	c.mu.RUnlock()
	d, err := decodePayload(raw)
	if err != nil || len(raw) > cachePayload {
		return d, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	e := &c.entries[c.next]
	e.raw, e.value = bytes.Clone(raw), d
	c.next = (c.next + 1) % len(c.entries)
	return d, nil
}
