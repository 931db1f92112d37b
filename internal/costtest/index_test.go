package costtest

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"drover/internal/api/foreman"
	"drover/internal/auth"
	"drover/internal/job"
	"drover/internal/store"
)

// TestIndex_ReadsThePageAndNoMore: the first page of the index of job
// invocations costs the same however many there are.
func TestIndex_ReadsThePageAndNoMore(t *testing.T) {
	const page = 20 // as clients get it who ask for nothing else
	l := newLab(t, 1, 1)
	began := time.Now()
	index := foreman.New(foreman.Config{Dispatch: l.front, Log: l.log(), Clock: time.Now,
		// What is remembered of a login stays so: this is about the index.
		Auth: auth.New(auth.Config{Users: l.store, Counters: l.store, Log: l.log(), Clock: func() time.Time { return began }})})
	read := func(want int) reading {
		t.Helper()
		r := httptest.NewRequest(http.MethodGet, "/api/job_invocations", nil)
		r.SetBasicAuth("admin", adminWord)
		w := httptest.NewRecorder()
		l.meter.take()
		index.ServeHTTP(w, r)
		used := l.meter.take()
		var got struct {
			Total   int
			Results []struct{ ID int64 }
		}
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || w.Code != http.StatusOK {
			t.Fatalf("%v: %d %s", err, w.Code, w.Body)
		}
		if got.Total != want || len(got.Results) != page || got.Results[0].ID != int64(want) || got.Results[page-1].ID != int64(want-page+1) {
			t.Fatalf("of %d: %+v", want, got)
		}
		return used
	}
	l.invocations(100)
	read(100) // the password is verified, which is remembered
	few := read(100)
	l.invocations(1900)
	many := read(2000)
	// A row for each number, its run and its job's, and a few of the login and of
	// the counters: so the numbers below are of the page and not of a cache.
	if few.rows < 2*page || few.rows > 4*page+10 {
		t.Errorf("%d rows are read for a page of %d", few.rows, page)
	}
	if !maps.Equal(few.requests, many.requests) || few.rows != many.rows {
		t.Errorf("of 100: %v, %d rows; of 2,000: %v, %d rows", few.requests, few.rows, many.requests, many.rows)
	}
	if few.usage[TableWrites]+many.usage[TableWrites] != 0 {
		t.Errorf("reading writes %v and %v", few.usage, many.usage)
	}
	t.Logf("a page of %d: %v, %d rows, %v units", page, many.requests, many.rows, many.usage[TableReads])
}

// invocations stores n more jobs that are over, as Foreman's API makes them.
func (l *lab) invocations(n int) {
	l.t.Helper()
	ctx := l.t.Context()
	target := []job.Target{{ID: l.devices[0], Name: "edge-router-0000"}}
	var g errgroup.Group
	g.SetLimit(16)
	for range n {
		g.Go(func() error {
			number, err := l.store.NextNumber(ctx, tenant, "foreman")
			if err != nil {
				return err
			}
			now := time.Now()
			id := fmt.Sprintf("01%024d", number)
			counts := job.Counts{Total: 1}
			counts.Add(job.ResultSucceeded, 1)
			_, _, err = l.store.CreateRun(ctx, store.NewRun{
				Job: job.Job{ID: id, Tenant: tenant, Creator: "admin", TemplateID: 1, ServiceName: "Run Command - Script Default", Select: job.Selection{Query: "name ~ edge"}},
				Run: job.Run{ID: id, Tenant: tenant, JobID: id, TemplateID: 1, ServiceName: "Run Command - Script Default", Creator: "admin", Created: now,
					Space: "foreman", Number: number, Status: job.Succeeded, Started: &now, Ended: &now, Total: 1, Shards: 1, Counts: counts},
				Targets: target,
			})
			return err
		})
	}
	l.must(g.Wait())
}
