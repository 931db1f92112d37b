package boltstore

import (
	"path/filepath"
	"testing"
	"time"

	"drover/internal/store"
	"drover/internal/store/storetest"
)

func TestStore_Conforms(t *testing.T) {
	storetest.Run(t, func(t testing.TB) storetest.Harness {
		path := filepath.Join(t.TempDir(), "drover.db")
		return storetest.Harness{Open: func(t testing.TB, clock func() time.Time) store.Driver {
			s, err := Open(path, Options{Clock: clock})
			if err != nil {
				t.Fatalf("Open: %v", err)
			}
			return s
		}}
	})
}
