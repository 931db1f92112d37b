package render

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"go.starlark.net/starlark"
)

// payloadOf is a payload of about size bytes that is dear to decode.
func payloadOf(size int) []byte {
	const one = `{"":0},`
	return []byte(`{"x":[` + strings.Repeat(one, size/len(one)) + `0]}`)
}

func TestPayloadCache_DecodesOnceForAllDevicesOfARun(t *testing.T) {
	for _, size := range []int{100, 300 << 10, 1 << 20} {
		var c payloadCache
		raw := payloadOf(size)
		var wg sync.WaitGroup
		got := make([]*starlark.Dict, 8)
		for i := range got {
			wg.Go(func() { got[i], _ = c.decode(raw) })
		}
		wg.Wait()
		for _, d := range got {
			if d == nil || d != got[0] {
				t.Fatalf("a payload of %d bytes was decoded more than once", len(raw))
			}
		}
	}
}

func TestPayloadCache_IsBounded(t *testing.T) {
	var c payloadCache
	for i := range 20 {
		raw := fmt.Appendf(nil, `{"i":%d,"x":%q}`, i, strings.Repeat("x", i%7*300<<10))
		d, err := c.decode(raw)
		if err != nil {
			t.Fatal(err)
		}
		total := 0
		for _, e := range c.entries {
			total += len(e.raw)
		}
		if total > cachePayloads || len(c.entries) > maxPayloads {
			t.Fatalf("%d payloads of %d bytes are remembered", len(c.entries), total)
		}
		if len(raw) <= cachePayloads && c.find(raw) != d {
			t.Errorf("the payload that was decoded last is not remembered")
		}
	}
}

func TestDecodePayload_EmptyObjectsCostNothing(t *testing.T) {
	raw := []byte(`{"x":[` + strings.Repeat("{},", 1000) + `{}]}`)
	dicts := testing.AllocsPerRun(3, func() {
		if _, err := decodePayload(raw); err != nil {
			t.Fatal(err)
		}
	})
	if dicts > 500 {
		t.Errorf("%.0f allocations for 1001 empty objects", dicts)
	}
}
