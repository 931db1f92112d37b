package store_test

import (
	"fmt"
	"sync"
	"testing"

	"drover/internal/job"
)

// TestSettingAt: of several who replace the same value one does; nothing is
// stored where nothing was.
func TestSettingAt(t *testing.T) {
	s, _ := open(t, 0)
	at := s.SettingAt("keyset")
	if _, err := at.Load(t.Context()); job.CodeOf(err) != job.NotFound {
		t.Errorf("%v", err)
	}
	wantCode(t, at.Replace(t.Context(), nil, []byte("new")), job.NotFound)
	for _, v := range []string{"one", "two"} {
		if got, err := at.StoreIfMissing(t.Context(), []byte(v)); err != nil || string(got) != "one" {
			t.Fatalf("%s %v", got, err)
		}
	}
	var mu sync.Mutex
	var won []string
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			next := fmt.Sprint("next ", i)
			err := at.Replace(t.Context(), []byte("one"), []byte(next))
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				won = append(won, next)
			} else if job.CodeOf(err) != job.Conflict {
				t.Error(err)
			}
		})
	}
	all.Wait()
	got, err := s.SettingAt("keyset").Load(t.Context())
	if err != nil || len(won) != 1 || string(got) != won[0] {
		t.Errorf("%s is stored, %v won, %v", got, won, err)
	}
}
