package store_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"drover/internal/job"
	"drover/internal/store"
)

// TestAlarms: an alarm is one of its tenant and id, whatever stands in the tenant's name.
func TestAlarms(t *testing.T) {
	s, c := open(t, 0)
	want := map[string]store.Alarm{}
	for _, tenant := range []string{"a", "a/1", "b"} {
		for id := int64(1); id <= 3; id++ {
			a := store.Alarm{Tenant: tenant, ID: id, Next: c.Now().Add(time.Duration(id) * time.Hour), Recurrence: job.Recurrence{Cron: "0 * * * *"}}
			if err := s.PutAlarm(t.Context(), a); err != nil {
				t.Fatal(err)
			}
			want[fmt.Sprint(tenant, id)] = a
		}
	}
	again := store.Alarm{Tenant: "a", ID: 2, Next: c.Now()}
	want["a2"] = again
	if err := s.PutAlarm(t.Context(), again); err != nil {
		t.Fatal(err)
	}
	for range 2 { // one that is not there is deleted too
		if err := s.DeleteAlarm(t.Context(), "b", 3); err != nil {
			t.Fatal(err)
		}
	}
	delete(want, "b3")
	got := map[string]store.Alarm{}
	for q := (store.PageQuery{Limit: 3}); ; {
		page, next, err := s.Alarms(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range page {
			got[fmt.Sprint(a.Tenant, a.ID)] = a
		}
		if q.After = next; next == "" {
			break
		}
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}
