package erb

import (
	"fmt"
	"strings"
	"testing"

	"drover/internal/erb/ruby"
)

func TestPrograms_AreBounded(t *testing.T) {
	c := programs{byBody: map[string]*ruby.Program{}}
	for i := range 60 {
		body := fmt.Sprintf("<%%= %d %%>", i) + strings.Repeat("x", i%7*50<<10)
		p, err := c.get(body)
		if err != nil {
			t.Fatal(err)
		}
		if again, _ := c.get(body); again != p {
			t.Error("the template that was parsed last is not remembered")
		}
		total := 0
		for body, p := range c.byBody {
			total += cost(body, p)
		}
		if total != c.bytes || total > cacheBytes {
			t.Fatalf("%d bytes are remembered, counted as %d", total, c.bytes)
		}
	}
	if len(c.byBody) == 60 {
		t.Error("nothing was dropped: the test does not reach the bound")
	}
	big := strings.Repeat("x", cacheEntry/2)
	if _, err := c.get(big); err != nil || c.byBody[big] != nil {
		t.Errorf("a template that takes more than one may is remembered, %v", err)
	}
	if _, err := c.get("<% end %>"); err == nil {
		t.Error("what cannot be parsed is returned")
	}
}
