package foreman_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"drover/internal/api/apitest"
	"drover/internal/job"
)

const logicsPath = "/foreman_tasks/api/recurring_logics"

func clockText(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }

func TestSchedule_Future(t *testing.T) {
	l := newLab(t, apitest.Options{})
	tm := l.template(job.Template{})
	at := l.clock.now().Add(time.Hour).Truncate(time.Minute)
	got := l.create(tm, "name ~ R", object{"scheduling": object{"start_at": at.Add(20 * time.Second).UTC().Format("2006-01-02T15:04:05-07:00")}})
	for key, value := range (object{"mode": "future", "status": 2.0, "status_label": "queued", "start_at": clockText(at), "succeeded": "N/A", "failed": "N/A",
		"pending": "N/A", "total": "N/A", "total_hosts": 2.0, "missing": 0.0, "scheduling": object{"start_at": clockText(at), "start_before": nil}}) {
		if d := cmp.Diff(value, got[key]); d != "" {
			t.Errorf("%s: %s", key, d)
		}
	}
	if dig(got, "task", "state") != "scheduled" || hostNames(got) != "R1 R2" {
		t.Errorf("%v", got)
	}
	taskPath := "/foreman_tasks/api/tasks/" + dig(got, "task", "id").(string)
	task := want(t, l.Service, 200, get(taskPath))
	if task["state"] != "scheduled" || task["result"] != "pending" || task["started_at"] != nil || task["start_at"] != clockText(at) || task["pending"] != true {
		t.Errorf("%v", task)
	}
	shown := l.show(got, "?host_status=true")
	if dig(shown, "targeting", "hosts", 0, "job_status") != "N/A" || len(shown["template_invocations"].([]any)) != 0 {
		t.Errorf("%v", shown)
	}
	l.devices("R3") // static: the host is no part of the job
	l.fire(l.scheduleOf(got))
	done := l.over(got)
	if done["status"] != 0.0 || done["total"] != 2.0 || done["mode"] != "future" || done["start_at"] != clockText(at) || dig(done, "scheduling", "start_at") != clockText(at) {
		t.Errorf("%v", done)
	}
	if task := want(t, l.Service, 200, get(taskPath)); task["state"] != "stopped" || task["result"] != "success" || task["progress"] != 1.0 ||
		dig(task, "humanized", "output") != "2 task(s), 2 success, 0 fail" || len(dig(task, "humanized", "errors").([]any)) != 0 {
		t.Errorf("%v", task)
	}
}

func TestSchedule_DynamicIsResolvedAtTheStart(t *testing.T) {
	l := newLab(t, apitest.Options{})
	tm := l.template(job.Template{})
	mark := l.bookmark("all of them", "name ~ R")
	start := object{"start_at": l.clock.now().Add(time.Hour).Format(time.RFC3339)}
	byQuery := l.create(tm, "name ~ R", object{"targeting_type": "dynamic_query", "scheduling": start})
	byMark := l.create(tm, "", object{"targeting_type": "dynamic_query", "bookmark_id": mark, "scheduling": start})
	staticMark := l.create(tm, "", object{"bookmark_id": mark, "scheduling": start})
	if byQuery["total_hosts"] != "N/A" || byQuery["missing"] != 0.0 || hostNames(byQuery) != "" || dig(byQuery, "targeting", "search_query") != "name ~ R" {
		t.Errorf("%v", byQuery)
	}
	if dig(byMark, "targeting", "search_query") != nil || dig(byMark, "targeting", "bookmark_id") != float64(mark) || dig(byMark, "targeting", "bookmark_name") != "all of them" {
		t.Errorf("%v", byMark["targeting"])
	}
	if dig(staticMark, "targeting", "search_query") != "name ~ R" {
		t.Errorf("%v", staticMark["targeting"])
	}
	l.devices("R3")
	if _, err := l.App.Dispatcher().EditSavedQuery(background, apitest.AdminPrincipal(), mark, func(q *job.SavedQuery) error {
		q.Query = "name = R3"
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		of           object
		hosts, query string
	}{{byQuery, "R1 R2 R3", "name ~ R"}, {byMark, "R3", "name = R3"}, {staticMark, "R1 R2", "name ~ R"}} {
		l.fire(l.scheduleOf(c.of))
		done := l.over(c.of)
		if hostNames(done) != c.hosts || dig(done, "targeting", "search_query") != c.query || done["total_hosts"] != float64(len(strings.Fields(c.hosts))) {
			t.Errorf("job %s: %v", id(c.of), done)
		}
	}
}

// A repeated request gets the answer of the first one, also when the job has begun
// since.
func TestSchedule_Idempotency(t *testing.T) {
	l := newLab(t, apitest.Options{})
	tm := l.template(job.Template{})
	later := post(jobsPath, invocation(tm, "", object{"targeting_type": "dynamic_query", "host_ids": []any{"R2", "R1"},
		"scheduling": object{"start_at": l.clock.now().Add(time.Hour).Format(time.RFC3339)}}))
	later.Header["Idempotency-Key"] = "later"
	first := l.Do(later)
	if dig(decoded(first), "targeting", "search_query") != "name ^ (R2, R1)" || decoded(first)["total_hosts"] != "N/A" {
		t.Errorf("%s", first.Body)
	}
	l.fire(l.scheduleOf(decoded(first)))
	if done := l.over(decoded(first)); hostNames(done) != "R1 R2" {
		t.Errorf("%v", done)
	}
	if again := l.Do(later); again.Status != 201 || again.Body != first.Body {
		t.Errorf("%d %s\nwas %s", again.Status, again.Body, first.Body)
	}
	rerun := post(jobsPath+"/1/rerun", object{"succeeded_only": true})
	rerun.Header["Idempotency-Key"] = "again"
	one := l.Do(rerun)
	l.over(decoded(one))
	if two := l.Do(rerun); two.Status != 201 || two.Body != one.Body {
		t.Errorf("%d %s\nwas %s", two.Status, two.Body, one.Body)
	}
	if n := l.Fleet.Executions(); n != 4 {
		t.Errorf("%d executions", n)
	}
}

// A job that comes too late touches no host.
func TestSchedule_StartBefore(t *testing.T) {
	l := newLab(t, apitest.Options{})
	tm := l.template(job.Template{})
	at := l.clock.now().Add(time.Hour).Truncate(time.Minute)
	before := at.Add(5 * time.Minute)
	got := l.create(tm, "name ~ R", object{"scheduling": object{"start_at": at.Format(time.RFC3339), "start_before": before.Format(time.RFC3339)}})
	if dig(got, "scheduling", "start_before") != clockText(before) {
		t.Errorf("%v", got["scheduling"])
	}
	open := l.create(tm, "name ~ R", object{"scheduling": object{"start_at": at.Format(time.RFC3339), "start_before": at.Add(3 * time.Hour).Format(time.RFC3339)}})
	l.clock.forward(before.Add(time.Second))
	for _, o := range []object{got, open} {
		if err := l.App.Dispatcher().Fire(background, job.DefaultTenant, l.scheduleOf(o), at); err != nil {
			t.Fatal(err)
		}
	}
	done := l.over(got)
	if done["status"] != 4.0 || done["status_label"] != "cancelled" {
		t.Errorf("%v", done)
	}
	task := want(t, l.Service, 200, get("/foreman_tasks/api/tasks/"+dig(done, "task", "id").(string)))
	if d := cmp.Diff([]any{"Execution plan could not be started before set time (" + clockText(before) + ")"}, dig(task, "humanized", "errors")); d != "" || task["result"] != "error" {
		t.Errorf("%v %s", task, d)
	}
	if l.foundIDs("status = cancelled") != id(got) {
		t.Error("not found as cancelled")
	}
	if again := l.over(open); again["status"] != 0.0 {
		t.Errorf("within its window: %v", again)
	}
	if n := l.Fleet.Executions(); n != 2 {
		t.Errorf("%d executions", n)
	}
}

// One minute for both is that minute.
func TestSchedule_StartBeforeIsTheSameMinute(t *testing.T) {
	l := newLab(t, apitest.Options{Devices: 1})
	at := l.clock.now().Add(time.Hour).Truncate(time.Minute)
	when := object{"scheduling": object{"start_at": at.Format(time.RFC3339), "start_before": at.Add(30 * time.Second).Format(time.RFC3339)}}
	tm := l.template(job.Template{})
	inTime, late := l.create(tm, "name = R1", when), l.create(tm, "name = R1", when)
	if dig(inTime, "scheduling", "start_before") != clockText(at) {
		t.Errorf("%v", inTime["scheduling"])
	}
	for _, c := range []struct {
		job    object
		moment time.Time
		want   string
	}{{inTime, at.Add(59 * time.Second), "succeeded"}, {late, at.Add(61 * time.Second), "cancelled"}} {
		l.clock.forward(c.moment)
		if err := l.App.Dispatcher().Fire(background, job.DefaultTenant, l.scheduleOf(c.job), at); err != nil {
			t.Fatal(err)
		}
		if done := l.over(c.job); done["status_label"] != c.want {
			t.Errorf("at %s: %v", c.moment, done["status_label"])
		}
	}
}

// Over the grace period a job is too late too, and the next one comes in its turn.
func TestSchedule_TooLate(t *testing.T) {
	l := newLab(t, apitest.Options{Devices: 1})
	got := l.create(l.template(job.Template{}), "name = R1", object{"recurrence": object{"cron_line": "0 3 * * *"}})
	planned, err := time.Parse("2006-01-02 15:04:05 MST", got["start_at"].(string))
	if err != nil {
		t.Fatal(err)
	}
	l.clock.forward(planned.Add(16 * time.Minute))
	if err := l.App.Dispatcher().Fire(background, job.DefaultTenant, l.scheduleOf(got), planned); err != nil {
		t.Fatal(err)
	}
	done := l.over(got)
	task := want(t, l.Service, 200, get("/foreman_tasks/api/tasks/"+dig(done, "task", "id").(string)))
	if d := cmp.Diff([]any{"Execution plan could not be started in time (it was due at " + clockText(planned) + ")"}, dig(task, "humanized", "errors")); d != "" ||
		done["status"] != 4.0 || task["result"] != "error" || task["state"] != "stopped" {
		t.Errorf("%v %v %s", done, task, d)
	}
	if logic := done["recurrence"].(object); logic["state"] != "active" || logic["iteration"] != 2.0 || logic["next_occurence"] != clockText(planned.AddDate(0, 0, 1)) ||
		logic["last_occurence"] != clockText(planned) {
		t.Errorf("%v", logic)
	}
	if n := l.Fleet.Executions(); n != 0 {
		t.Errorf("%d executions", n)
	}
}

func TestSchedule_Recurring(t *testing.T) {
	l := newLab(t, apitest.Options{Devices: 1})
	tm := l.template(job.Template{})
	start := l.clock.now().Add(24 * time.Hour).UTC().Truncate(time.Hour)
	got := l.create(tm, "name = R1", object{"recurrence": object{"cron_line": "30 2 * * *", "max_iteration": 3, "purpose": "nightly"},
		"scheduling": object{"start_at": start.Format(time.RFC3339)}, "password": "drover", "ssh_user": "drover"})
	first := time.Date(start.Year(), start.Month(), start.Day(), 2, 30, 0, 0, time.UTC)
	if first.Before(start) {
		first = first.AddDate(0, 0, 1)
	}
	logic := fmt.Sprintf("%.0f", dig(got, "recurrence", "id"))
	wanted := object{"id": dig(got, "recurrence", "id"), "cron_line": "30 2 * * *", "end_time": nil, "iteration": 1.0, "task_group_id": dig(got, "recurrence", "id"),
		"state": "active", "max_iteration": 3.0, "purpose": "nightly", "task_count": 1.0, "action": "Run hosts job:", "last_occurence": nil, "next_occurence": clockText(first)}
	if d := cmp.Diff(any(wanted), got["recurrence"]); d != "" {
		t.Error(d)
	}
	if got["mode"] != "recurring" || got["start_at"] != clockText(first) || got["status"] != 2.0 || dig(got, "task", "state") != "scheduled" {
		t.Errorf("%v", got)
	}
	if msg := l.refused(422, invocation(tm, "name = R1", object{"recurrence": object{"cron_line": "* * * * *", "purpose": "nightly"}})); msg !=
		"Validation failed: Triggering: Purpose Active or disabled recurring logic with purpose nightly already exists" {
		t.Error(msg)
	}
	for n := 1; n <= 3; n++ {
		jobs := results(want(t, l.Service, 200, get(jobsPath+"?"+search("recurring_logic.id = "+logic))))
		l.fire(l.scheduleOf(got))
		run := l.over(jobs[0])
		if run["status"] != 0.0 || run["mode"] != "recurring" || run["ssh_user"] != "drover" || run["description"] != got["description"] || dig(run, "targeting", "search_query") != "name = R1" {
			t.Errorf("run %d: %v", n, run)
		}
	}
	all := want(t, l.Service, 200, get(jobsPath+"?"+search("recurring_logic.id = "+logic)))
	if len(results(all)) != 3 || results(all)[2]["id"] != got["id"] {
		t.Errorf("%v", all)
	}
	shown := want(t, l.Service, 200, get(logicsPath+"/"+logic))
	if shown["state"] != "finished" || shown["iteration"] != 3.0 || shown["next_occurence"] != nil || shown["last_occurence"] != clockText(first.AddDate(0, 0, 2)) || len(shown["tasks"].([]any)) != 3 {
		t.Errorf("%v", shown)
	}
	l.create(tm, "name = R1", object{"recurrence": object{"cron_line": "* * * * *", "purpose": "nightly"}}) // finished: free again
}

func TestSchedule_EndTime(t *testing.T) {
	l := newLab(t, apitest.Options{Devices: 1})
	next := l.clock.now().UTC().Truncate(time.Hour).Add(2 * time.Hour)
	end := next.Add(61 * time.Minute)
	got := l.create(l.template(job.Template{}), "name = R1", object{"recurrence": object{"cron_line": "0 * * * *", "end_time": end.Format(time.RFC3339)},
		"scheduling": object{"start_at": next.Format(time.RFC3339)}})
	if dig(got, "recurrence", "end_time") != clockText(end) || dig(got, "recurrence", "next_occurence") != clockText(next) {
		t.Errorf("%v", got["recurrence"])
	}
	logic := l.scheduleOf(got)
	l.fire(logic)
	l.over(got)
	// Its number need not be the next one: whoever else hears the alarm takes one too.
	second := results(want(t, l.Service, 200, get(jobsPath+"?"+search(fmt.Sprintf("recurring_logic.id = %d", logic)))))[0]
	l.fire(logic)
	l.over(second)
	if shown := want(t, l.Service, 200, get(fmt.Sprintf("%s/%d", logicsPath, logic))); shown["state"] != "finished" || shown["iteration"] != 2.0 {
		t.Errorf("%v", shown)
	}
}

func TestRecurringLogics(t *testing.T) {
	l := newLab(t, apitest.Options{Devices: 1})
	tm := l.template(job.Template{})
	var jobs []object
	for i, purpose := range []string{"one", "two", "three"} {
		jobs = append(jobs, l.create(tm, "name = R1", object{"recurrence": object{"cron_line": fmt.Sprintf("%d 3 * * *", i), "purpose": purpose}}))
	}
	future := l.create(tm, "name = R1", object{"scheduling": object{"start_at": l.clock.now().Add(time.Hour).Format(time.RFC3339)}})
	if page := want(t, l.Service, 200, get(logicsPath)); names(page, "purpose") != "one,two,three" || page["total"] != 3.0 {
		t.Errorf("%v", page)
	}
	if page := want(t, l.Service, 200, get(logicsPath+"?"+search("state = active and purpose = two"))); names(page, "purpose") != "two" || page["subtotal"] != 1.0 {
		t.Errorf("%v", page)
	}
	path := func(o object) string { return fmt.Sprintf("%s/%d", logicsPath, l.scheduleOf(o)) }
	for _, bad := range []string{logicsPath + "/999", logicsPath + "/x", path(future)} {
		for _, q := range []apitest.Request{get(bad), put(bad, object{"enabled": true}), post(bad+"/cancel", object{})} {
			if a := l.Do(q); a.Status != 404 || !strings.Contains(a.Body, "Resource recurring_logic not found by id") {
				t.Errorf("%s %s: %d %s", q.Method, q.Path, a.Status, a.Body)
			}
		}
	}

	off := want(t, l.Service, 200, put(path(jobs[0]), object{"recurring_logic": object{"enabled": false}}))
	if off["state"] != "disabled" || off["next_occurence"] != nil {
		t.Errorf("%v", off)
	}
	sched, err := l.App.Dispatcher().Schedule(background, apitest.AdminPrincipal(), l.scheduleOf(jobs[0]))
	if err != nil {
		t.Fatal(err)
	}
	l.clock.forward(sched.Next.Add(time.Second))
	if err := l.App.Dispatcher().Fire(background, job.DefaultTenant, sched.ID, *sched.Next); err != nil {
		t.Fatal(err)
	}
	if shown := l.show(jobs[0], ""); shown["status"] != 2.0 {
		t.Errorf("a frozen run started: %v", shown)
	}
	on := want(t, l.Service, 200, put(path(jobs[0]), object{"recurring_logic": object{"enabled": "true"}}))
	if on["state"] != "active" || on["next_occurence"] != clockText(sched.Next.AddDate(0, 0, 1)) {
		t.Errorf("%v, was due at %v", on, sched.Next)
	}
	if same := want(t, l.Service, 200, put(path(jobs[0]), object{"enabled": true})); same["state"] != "active" {
		t.Errorf("%v", same)
	}

	ended := want(t, l.Service, 201, post(path(jobs[1])+"/cancel", object{}))
	if ended["state"] != "cancelled" {
		t.Errorf("%v", ended)
	}
	if shown := l.over(jobs[1]); shown["status"] != 4.0 || dig(shown, "recurrence", "state") != "cancelled" {
		t.Errorf("%v", shown)
	}
	if a := l.Do(put(path(jobs[1]), object{"recurring_logic": object{"enabled": true}})); a.Status != 422 || !strings.Contains(a.Body, "cancelled") {
		t.Errorf("%d %s", a.Status, a.Body)
	}
	// Canceling the job that waits ends its logic too.
	want(t, l.Service, 200, post(jobsPath+"/"+id(jobs[2])+"/cancel", object{}))
	if shown := want(t, l.Service, 200, get(path(jobs[2]))); shown["state"] != "cancelled" || shown["next_occurence"] != nil {
		t.Errorf("%v", shown)
	}

	for body, status := range map[string]int{`{}`: 400, `{"search":""}`: 400, `{"search":"odd = 1"}`: 400, `{"search":"purpose = nobody"}`: 200} {
		if a := l.Do(post(logicsPath+"/bulk_destroy", body)); a.Status != status {
			t.Errorf("%s: %d %s", body, a.Status, a.Body)
		}
	}
	want(t, l.Service, 200, post(logicsPath+"/bulk_destroy", object{"search": "state = cancelled"}))
	if page := want(t, l.Service, 200, get(logicsPath)); names(page, "purpose") != "one" {
		t.Errorf("%v", page)
	}
	if shown := l.show(jobs[1], ""); shown["mode"] != "recurring" || shown["recurrence"] != nil {
		t.Errorf("a job whose logic is gone: %v", shown)
	}
}

func TestTasks(t *testing.T) {
	l := newLab(t, apitest.Options{Devices: 3})
	good := l.run(l.template(job.Template{}), "name ~ R", object{"description_format": "good one"})
	bad := l.run(l.mixed(), "name ~ R", nil)
	const path = "/foreman_tasks/api/tasks"
	task := want(t, l.Service, 200, get(path+"/"+dig(bad, "task", "id").(string)))
	for key, value := range (object{"label": "Actions::RemoteExecution::RunHostsJob", "pending": false, "username": "admin", "state": "stopped", "result": "warning",
		"progress": 1.0, "cli_example": nil, "input": object{}, "output": object{}, "action": "Run hosts job: " + bad["description"].(string)}) {
		if d := cmp.Diff(value, task[key]); d != "" {
			t.Errorf("%s: %s", key, d)
		}
	}
	if d := cmp.Diff([]any{"2 of 3 host(s) did not succeed", "R2: Exit status: 3", "R3: Exit status: 3"}, dig(task, "humanized", "errors")); d != "" {
		t.Error(d)
	}
	for _, key := range []string{"started_at", "ended_at", "start_at"} {
		if !stamps.MatchString(fmt.Sprint(task[key])) {
			t.Errorf("%s is %v", key, task[key])
		}
	}
	if _, ok := task["duration"].(string); !ok {
		t.Errorf("duration %v", task["duration"])
	}
	subs := want(t, l.Service, 200, get(path+"/"+task["id"].(string)+"/sub_tasks?order=id"))
	if subs["total"] != 3.0 || !strings.Contains(names(subs, "result"), "success") || results(subs)[0]["parent_task_id"] != task["id"] {
		t.Errorf("%v", subs)
	}
	for _, row := range results(subs) {
		one := want(t, l.Service, 200, get(path+"/"+row["id"].(string)))
		if one["action"] != row["action"] || one["result"] == "error" && len(dig(one, "humanized", "errors").([]any)) == 0 {
			t.Errorf("%v", one)
		}
	}
	bySearch := want(t, l.Service, 200, get(path+"?"+search("parent_task_id = "+task["id"].(string)+" and result = error")))
	if bySearch["subtotal"] != 2.0 {
		t.Errorf("%v", bySearch)
	}
	all := want(t, l.Service, 200, get(path))
	if all["total"] != 2.0 || results(all)[0]["id"] != task["id"] {
		t.Errorf("%v", all)
	}
	if some := want(t, l.Service, 200, get(path+"?"+search("result = success and user = current_user and label ~ RunHostsJob"))); names(some, "id") != dig(good, "task", "id") {
		t.Errorf("%v", some)
	}
	if sorted := want(t, l.Service, 200, get(path+"?order=started_at+ASC")); results(sorted)[0]["id"] != dig(good, "task", "id") {
		t.Errorf("%v", sorted)
	}
	for _, bad := range []string{"x", "57b07eed-db92-44a5-a98b-dcfb071bcff9", "999"} {
		wantBody(t, l.Service, 404, `{"error":{"message":"Resource task not found by id '`+bad+`'"}}`, get(path+"/"+bad))
	}
	if a := l.Do(get(path + "/x/sub_tasks")); a.Status != 404 {
		t.Errorf("%d %s", a.Status, a.Body)
	}

	waiting := l.create(l.template(job.Template{Meta: job.Meta{Name: "W"}}), "name = R1", object{"scheduling": object{"start_at": l.clock.now().Add(time.Hour).Format(time.RFC3339)}})
	done := want(t, l.Service, 200, post(path+"/bulk_cancel", object{"task_ids": []any{dig(waiting, "task", "id"), task["id"], "x"}}))
	if d := cmp.Diff(object{"total": 3.0, "cancelled": []any{dig(waiting, "task", "id")}, "skipped": []any{task["id"], "x"}}, done); d != "" {
		t.Error(d)
	}
	for body, status := range map[string]int{`{}`: 422, `{"search":"odd = 1"}`: 400, `{"search":"state = running"}`: 200, `{"task_ids":{}}`: 422} {
		if a := l.Do(post(path+"/bulk_cancel", body)); a.Status != status {
			t.Errorf("%s: %d %s", body, a.Status, a.Body)
		}
	}
}
