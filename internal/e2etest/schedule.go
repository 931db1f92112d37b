package e2etest

import (
	"fmt"
	"net/http"
	"time"
)

// scheduled submits for a moment, and for every minute until it is canceled.
func scheduled(c client) {
	f, file := fleet(c, "later", 1, "echo later")
	c.load(file)
	type run struct {
		ID         string    `json:"id"`
		Status     string    `json:"status"`
		Started    time.Time `json:"started"`
		Planned    time.Time `json:"planned"`
		ScheduleID int64     `json:"schedule_id"`
	}
	submit := func(schedule object) run {
		c.t.Helper()
		a := c.call(http.MethodPost, "/drover/v1/runs", object{"service": "e2e-later", "schedule": schedule})
		if a.status/100 != 2 {
			c.t.Fatalf("%d %s", a.status, a.body)
		}
		var out struct {
			Run run `json:"run"`
		}
		a.into(c.t, &out)
		if out.Run.Status != "scheduled" {
			c.t.Fatalf("%+v", out.Run)
		}
		return out.Run
	}
	read := func(id string) (r run) {
		c.t.Helper()
		c.call(http.MethodGet, "/drover/v1/runs/"+id, nil).into(c.t, &r)
		return r
	}
	over := func(id string) {
		c.t.Helper()
		r := read(id)
		if !c.eventually(time.Until(r.Planned)+c.target.Settle, func() bool { r = read(id); return r.Status == "succeeded" }) {
			c.t.Fatalf("%+v", r)
		}
		if r.Started.Before(r.Planned) {
			c.t.Errorf("planned for %s, started at %s", r.Planned, r.Started)
		}
	}
	once := submit(object{"at": time.Now().Add(3 * time.Second).UTC().Format(time.RFC3339)})
	minutely := submit(object{"cron": "* * * * *"})
	over(once.ID)
	over(minutely.ID)
	var s struct {
		State   string `json:"state"`
		NextRun string `json:"next_run"`
		LastRun string `json:"last_run"`
	}
	path := fmt.Sprintf("/drover/v1/schedules/%d", minutely.ScheduleID)
	c.call(http.MethodGet, path, nil).into(c.t, &s)
	if s.State != "active" || s.LastRun == "" || s.NextRun == "" || read(s.NextRun).Status != "scheduled" {
		c.t.Errorf("%+v", s)
	}
	next := s.NextRun
	if a := c.call(http.MethodPost, path+"/cancel", object{}); a.status != http.StatusOK {
		c.t.Errorf("cancel: %d %s", a.status, a.body)
	}
	c.call(http.MethodGet, path, nil).into(c.t, &s)
	if got := read(next); s.State != "canceled" || got.Status != "canceled" {
		c.t.Errorf("canceled: %+v, its next run %+v", s, got)
	}
	// A third where the emulator was so late that the next minute had come too.
	if n := f.Devices[0].Count(); n < 2 || n > 3 {
		c.t.Errorf("the device ran %d commands, want 2", n)
	}
}
