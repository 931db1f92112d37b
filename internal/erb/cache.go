package erb

import (
	"sync"

	"drover/internal/erb/ruby"
)

// cacheBytes bounds the cache of parsed templates, cacheEntry what one may take.
const (
	cacheBytes = 8 << 20
	cacheEntry = 2 << 20
)

// parsed remembers templates: a run renders one for each of its devices.
var parsed = programs{byBody: map[string]*ruby.Program{}}

type programs struct {
	mu     sync.RWMutex
	bytes  int
	byBody map[string]*ruby.Program
}

// cost is about what a template takes in the cache, its text once more in the
// tree included.
func cost(body string, p *ruby.Program) int { return 2*len(body) + 200*p.Nodes + 1<<10 }

func (c *programs) get(body string) (*ruby.Program, error) {
	c.mu.RLock()
	p := c.byBody[body]
	c.mu.RUnlock()
	if p != nil {
		return p, nil
	}
	p, err := parse(body)
	if err == nil && cost(body, p) <= cacheEntry {
		c.add(body, p)
	}
	return p, err
}

// add makes room by dropping templates in no particular order: a miss costs one
// parse.
func (c *programs) add(body string, p *ruby.Program) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.byBody[body]; ok {
		return
	}
	for old, o := range c.byBody {
		if c.bytes+cost(body, p) <= cacheBytes {
			break
		}
		c.bytes -= cost(old, o)
		delete(c.byBody, old)
	}
	c.bytes += cost(body, p)
	c.byBody[body] = p
}
