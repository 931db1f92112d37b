package foreman_test

import (
	"context"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"drover/internal/api/apitest"
	"drover/internal/dispatch"
	"drover/internal/inventory"
	"drover/internal/job"
	"drover/internal/standalone"
)

// clock is a clock that tests put forward; it runs on by itself.
type clock struct {
	mu    sync.Mutex
	ahead time.Duration
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.ahead)
}

// forward puts the clock forward to a moment.
func (c *clock) forward(to time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ahead = time.Until(to)
}

// lab is a service with its own clock and, for each test, templates of its own.
type lab struct {
	*apitest.Service
	t     *testing.T
	clock *clock
}

func newLab(t *testing.T, o apitest.Options) *lab {
	t.Helper()
	c := &clock{}
	o.Adjust = func(cfg *standalone.Config) { cfg.Clock = c.now }
	return &lab{apitest.Start(t, o), t, c}
}

// background is what the dispatcher is called with directly.
var background = context.Background()

// template makes a template and returns its id. Unless it says otherwise it
// runs as whoever logs in, so that pretend devices need no sudo.
func (l *lab) template(tm job.Template) int64 {
	l.t.Helper()
	if tm.Name == "" {
		tm.Name = "T"
	}
	if tm.Body == "" {
		tm.Body = "echo hello"
	}
	if tm.Category == "" {
		tm.Category = "Tests"
	}
	tm.Type, tm.Language = job.TypeScript, job.LanguageERB
	v, err := l.App.Dispatcher().EditTemplate(background, apitest.AdminPrincipal(), 0, func(to *job.Template) error {
		meta := to.Meta
		meta.Name = tm.Name
		*to = tm
		to.Meta = meta
		return nil
	})
	if err != nil {
		l.t.Fatal(err)
	}
	return v.ID
}

// stock is the id of the template that an installation begins with.
func (l *lab) stock() int64 {
	l.t.Helper()
	v, err := l.App.Dispatcher().TemplateByName(background, apitest.AdminPrincipal(), "Run Command - Script Default")
	if err != nil {
		l.t.Fatal(err)
	}
	return v.ID
}

// devices makes devices of these names out of the fleet's and returns their ids.
func (l *lab) devices(names ...string) []int64 {
	l.t.Helper()
	var ids []int64
	lab := "lab"
	for i, name := range names {
		d := l.Fleet.Devices[i%len(l.Fleet.Devices)]
		out, err := l.App.Dispatcher().SaveDevices(background, apitest.AdminPrincipal(),
			[]inventory.DeviceInput{{Name: name, Address: &d.Address, Port: &d.Port, Credential: &lab}})
		if err != nil || out[0].Err != nil {
			l.t.Fatal(err, out)
		}
		v, err := l.App.Dispatcher().Device(background, apitest.AdminPrincipal(), name)
		if err != nil {
			l.t.Fatal(err)
		}
		ids = append(ids, v.ID)
	}
	return ids
}

// device is the id of a device.
func (l *lab) device(name string) int64 {
	l.t.Helper()
	v, err := l.App.Dispatcher().Device(background, apitest.AdminPrincipal(), name)
	if err != nil {
		l.t.Fatal(err)
	}
	return v.ID
}

// bookmark saves a query and returns its id.
func (l *lab) bookmark(title, query string) int64 {
	l.t.Helper()
	q, err := l.App.Dispatcher().EditSavedQuery(background, apitest.AdminPrincipal(), 0, func(q *job.SavedQuery) error {
		q.Title, q.Subject, q.Query, q.Public = title, job.SubjectDevices, query, true
		return nil
	})
	if err != nil {
		l.t.Fatal(err)
	}
	return q.ID
}

// invocation is the body of a create: of a template on a query, statically,
// with changes.
func invocation(template int64, query string, change object) object {
	o := object{"job_template_id": template, "targeting_type": "static_query", "search_query": query}
	for k, v := range change {
		if v == absent {
			delete(o, k)
		} else {
			o[k] = v
		}
	}
	return object{"job_invocation": o}
}

// absent as a change takes a key out.
const absent = "\x00absent"

const jobsPath = "/api/job_invocations"

// create makes a job, which must be accepted.
func (l *lab) create(template int64, query string, change object) object {
	l.t.Helper()
	return want(l.t, l.Service, 201, post(jobsPath, invocation(template, query, change)))
}

// over waits until a job is over and returns it.
func (l *lab) over(o object) object {
	l.t.Helper()
	var shown object
	l.Eventually("job "+id(o)+" is over", func() bool {
		shown = decoded(l.Do(get(jobsPath + "/" + id(o))))
		task, _ := shown["task"].(object)
		return task["state"] == "stopped"
	})
	return shown
}

// run makes a job and waits until it is over.
func (l *lab) run(template int64, query string, change object) object {
	l.t.Helper()
	return l.over(l.create(template, query, change))
}

// show is a job as it is now.
func (l *lab) show(o object, query string) object {
	l.t.Helper()
	return want(l.t, l.Service, 200, get(jobsPath+"/"+id(o)+query))
}

// refused makes a job that must be refused, stores nothing, and returns the message.
func (l *lab) refused(status int, body any) string {
	l.t.Helper()
	before := l.stored()
	a := l.Do(post(jobsPath, body))
	if a.Status != status {
		l.t.Fatalf("%v: %d, want %d: %s", body, a.Status, status, a.Body)
	}
	if after := l.stored(); after != before {
		l.t.Errorf("%v was refused and left something: %s, was %s", body, after, before)
	}
	o := decoded(a)
	e, _ := o["error"].(object)
	if e == nil {
		e = o
	}
	return fmt.Sprint(e["message"])
}

// stored tells what there is of jobs and schedules.
func (l *lab) stored() string {
	l.t.Helper()
	_, runs, err := l.App.Dispatcher().RunsByNumber(background, apitest.AdminPrincipal(), "foreman", 0, 1)
	if err != nil {
		l.t.Fatal(err)
	}
	schedules, _, err := l.App.Dispatcher().Schedules(background, apitest.AdminPrincipal(), dispatch.Page{Limit: 1000})
	if err != nil {
		l.t.Fatal(err)
	}
	return fmt.Sprintf("%d jobs, %d schedules", runs, len(schedules))
}

// dig returns what lies under keys and indexes in a decoded answer.
func dig(v any, path ...any) any {
	for _, p := range path {
		switch p := p.(type) {
		case string:
			o, _ := v.(object)
			v = o[p]
		case int:
			l, _ := v.([]any)
			if p >= len(l) {
				return nil
			}
			v = l[p]
		}
	}
	return v
}

// hostNames are the names of a job's hosts, in their order.
func hostNames(o object) string {
	var all []string
	hosts, _ := dig(o, "targeting", "hosts").([]any)
	for _, h := range hosts {
		all = append(all, dig(h, "name").(string))
	}
	return strings.Join(all, " ")
}

// search is a query as a parameter.
func search(query string) string { return "search=" + url.QueryEscape(query) }

// foundIDs are the ids of the jobs that a search finds.
func (l *lab) foundIDs(query string) string {
	l.t.Helper()
	return names(want(l.t, l.Service, 200, get(jobsPath+"?order=id&"+search(query))), "id")
}

// fire rings the alarm of a schedule at its next time, to which the clock is
// put forward.
func (l *lab) fire(schedule int64) {
	l.t.Helper()
	sched, err := l.App.Dispatcher().Schedule(background, apitest.AdminPrincipal(), schedule)
	if err != nil {
		l.t.Fatal(err)
	}
	if sched.Next == nil {
		l.t.Fatalf("schedule %d has no next time: %+v", schedule, sched)
	}
	l.clock.forward(*sched.Next)
	if err := l.App.Dispatcher().Fire(background, job.DefaultTenant, schedule, *sched.Next); err != nil {
		l.t.Fatal(err)
	}
}

// scheduleOf is the id of the schedule of a job.
func (l *lab) scheduleOf(o object) int64 {
	l.t.Helper()
	n, err := strconv.ParseInt(id(o), 10, 64)
	if err != nil {
		l.t.Fatal(err)
	}
	run, err := l.App.Dispatcher().RunByNumber(background, apitest.AdminPrincipal(), "foreman", n)
	if err != nil {
		l.t.Fatal(err)
	}
	return run.ScheduleID
}

// ptr is a pointer to a value.
func ptr[T any](v T) *T { return &v }
