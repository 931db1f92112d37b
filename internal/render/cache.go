package render

import (
	"bytes"
	"slices"
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

// cachePayloads bounds the payloads that are remembered, as text. Decoded, one
// can take a hundred times its length.
const cachePayloads = 2 << 20

// payloads remembers the last few payloads: a run's is the same for each of
// its devices. Expressions cannot change values, so that sharing them is safe.
var payloads payloadCache

type payloadCache struct {
	decoding sync.Mutex // one at a time: the devices of a run all ask at once

	mu      sync.RWMutex
	entries []decodedPayload // oldest first
}

type decodedPayload struct {
	raw   []byte
	value *starlark.Dict
}

// maxPayloads is how many payloads are remembered at most.
const maxPayloads = 4

func (c *payloadCache) decode(raw []byte) (*starlark.Dict, error) {
	if d := c.find(raw); d != nil {
		return d, nil
	}
	c.decoding.Lock()
	defer c.decoding.Unlock()
	if d := c.find(raw); d != nil {
		return d, nil
	}
	d, err := decodePayload(raw)
	if err == nil && len(raw) <= cachePayloads {
		c.add(raw, d)
	}
	return d, err
}

func (c *payloadCache) find(raw []byte) *starlark.Dict {
	c.mu.RLock()
	defer c.mu.RUnlock()
	for _, e := range c.entries {
		if bytes.Equal(e.raw, raw) {
			return e.value
		}
	}
	return nil
}

func (c *payloadCache) add(raw []byte, d *starlark.Dict) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.entries = append(c.entries, decodedPayload{bytes.Clone(raw), d})
	total := 0
	for i := len(c.entries) - 1; i >= 0; i-- {
		if total += len(c.entries[i].raw); total > cachePayloads || len(c.entries)-i > maxPayloads {
			c.entries = slices.Delete(c.entries, 0, i+1)
			return
		}
	}
}
