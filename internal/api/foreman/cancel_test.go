package foreman_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"drover/internal/api/apitest"
	"drover/internal/device/sshsim"
	"drover/internal/job"
)

func TestCancel_Running(t *testing.T) {
	l := newLab(t, apitest.Options{Devices: 3})
	tm := l.template(job.Template{Body: "<% if @host.name != 'R1' %>sleep 60<% end %>"})
	got := l.create(tm, "name ~ R", object{"concurrency_control": object{"concurrency_level": 2}})
	l.Eventually("R1 is done and another runs", func() bool {
		return l.show(got, "")["succeeded"] == 1.0 && l.Fleet.Devices[1].Running()+l.Fleet.Devices[2].Running() > 0
	})
	path := jobsPath + "/" + id(got) + "/cancel"
	wantBody(t, l.Service, 200, `{"cancelled":true,"id":`+id(got)+`}`, post(path, object{}))
	done := l.over(got)
	if done["status"] != 4.0 || done["status_label"] != "cancelled" || done["succeeded"] != 1.0 || done["cancelled"] != 2.0 || done["pending"] != 0.0 {
		t.Errorf("%v", done)
	}
	task := want(t, l.Service, 200, get("/foreman_tasks/api/tasks/"+dig(done, "task", "id").(string)))
	if task["result"] != "warning" || task["pending"] != false || len(dig(task, "humanized", "errors").([]any)) == 0 || dig(task, "available_actions", "cancellable") != false {
		t.Errorf("%v", task)
	}
	if got := l.foundIDs("status = cancelled"); got != id(done) {
		t.Errorf("status = cancelled finds %q", got)
	}
	wantBody(t, l.Service, 422, `{"message":"The job could not be cancelled."}`, post(path, object{}))
	wantBody(t, l.Service, 422, `{"message":"The job could not be cancelled."}`, post(path, object{"force": true}))
}

// By force nobody waits for the host; asking twice is force too.
func TestCancel_Force(t *testing.T) {
	for _, twice := range []bool{false, true} {
		l := newLab(t, apitest.Options{Devices: 1, Behave: func(int) sshsim.Behaviour { return sshsim.Behaviour{Immortal: true, IgnoreSignals: true} }})
		got := l.create(l.template(job.Template{Body: "sleep 60"}), "name = R1", nil)
		l.Eventually("it runs", func() bool { return l.Fleet.Devices[0].Running() == 1 })
		path := jobsPath + "/" + id(got) + "/cancel"
		if twice {
			want(t, l.Service, 200, post(path, object{}))
			want(t, l.Service, 200, post(path, object{"force": "false"}))
		} else {
			want(t, l.Service, 200, post(path, object{"force": "true"}))
		}
		done := l.over(got)
		if done["status"] != 4.0 || done["cancelled"] != 1.0 {
			t.Errorf("twice %v: %v", twice, done)
		}
		if out := strings.Join(lines(l.output(got, "R1", "")), "|"); !strings.Contains(out, "Task aborted: the task might be still running on the proxy") || strings.Contains(out, job.MessageAborted) {
			t.Errorf("twice %v: %s", twice, out)
		}
	}
}

func TestCancel_BeforeTheStart(t *testing.T) {
	l := newLab(t, apitest.Options{})
	got := l.create(l.template(job.Template{}), "name ~ R", object{"scheduling": object{"start_at": l.clock.now().Add(time.Hour).Format(time.RFC3339)}})
	want(t, l.Service, 200, post(jobsPath+"/"+id(got)+"/cancel", object{}))
	done := l.show(got, "?host_status=true")
	if done["status"] != 4.0 || dig(done, "targeting", "hosts", 0, "job_status") != "cancelled" || done["cancelled"] != 2.0 || done["succeeded"] != 0.0 {
		t.Errorf("%v", done)
	}
	task := want(t, l.Service, 200, get("/foreman_tasks/api/tasks/"+dig(done, "task", "id").(string)))
	if task["result"] != "cancelled" {
		t.Errorf("%v", task)
	}
	if n := l.Fleet.Executions(); n != 0 {
		t.Errorf("%d executions", n)
	}
}

func TestCancel_ByHosts(t *testing.T) {
	l := newLab(t, apitest.Options{})
	got := l.create(l.template(job.Template{Body: "<% if @host.name != 'R1' %>sleep 60<% end %>"}), "name ~ R", nil)
	l.Eventually("R1 is done", func() bool { return l.show(got, "")["succeeded"] == 1.0 })
	path := jobsPath + "/" + id(got) + "/cancel"
	for query, status := range map[string]int{"name =": 400, "odd = 1": 400} {
		if a := l.Do(post(path, object{"search": query})); a.Status != status {
			t.Errorf("%s: %d %s", query, a.Status, a.Body)
		}
	}
	wantBody(t, l.Service, 200, `{"cancelled":[],"skipped":[],"total":0}`, post(path, object{"search": "name = nobody"}))
	first := want(t, l.Service, 200, post(path, object{"search": "name = R1"}))
	if first["total"] != 1.0 || len(first["skipped"].([]any)) != 1 {
		t.Errorf("%v", first)
	}
	if l.show(got, "")["status"] != 3.0 {
		t.Error("a host that was done ended the job")
	}
	both := want(t, l.Service, 200, post(path, object{"search": "name ~ R"}))
	if both["total"] != 2.0 || len(both["cancelled"].([]any)) != 1 || both["cancelled"].([]any)[0] == first["skipped"].([]any)[0] {
		t.Errorf("%v", both)
	}
	l.over(got)
	partly := l.create(l.template(job.Template{Meta: job.Meta{Name: "S"}, Body: "sleep 60"}), "name ~ R", nil)
	l.Eventually("both run", func() bool { return l.Fleet.Devices[0].Running()+l.Fleet.Devices[1].Running() == 2 })
	if a := l.Do(post(jobsPath+"/"+id(partly)+"/cancel", object{"search": "name = R1"})); a.Status != 422 {
		t.Errorf("%d %s", a.Status, a.Body)
	}
	want(t, l.Service, 200, post(jobsPath+"/"+id(partly)+"/cancel", object{}))
	l.over(partly)
}

func TestRerun(t *testing.T) {
	l := newLab(t, apitest.Options{Devices: 3})
	tm := l.template(job.Template{Meta: job.Meta{Name: "Again"}, DescriptionFormat: "again %{a}", Become: job.Become{User: "app"},
		Inputs: []job.Input{{Name: "a", Kind: job.InputUser}}, Body: "<% if @host.name == 'R1' %>echo <%= input('a') %><% else %>exit 1<% end %>"})
	first := l.run(tm, "name ~ R", object{"inputs": object{"a": "x"}, "ssh_user": "drover", "password": "drover", "description_format": "mine",
		"concurrency_control": object{"concurrency_level": 2}, "randomized_ordering": false, "execution_timeout_interval": 60, "time_to_pickup": 9, "remote_execution_feature_id": 7})
	path := jobsPath + "/" + id(first) + "/rerun"
	ops := post(path, object{})
	ops.User = apitest.Operator
	all := want(t, l.Service, 201, ops)
	for key, value := range (object{"description": "again x", "job_category": "Tests", "concurrency_level": 2.0, "execution_timeout_interval": 60.0, "time_to_pickup": 9.0,
		"ssh_user": "drover", "effective_user": "app", "status": 3.0, "total": 3.0, "remote_execution_feature_id": 7.0, "mode": nil}) {
		if d := cmp.Diff(value, all[key]); d != "" {
			t.Errorf("%s: %s", key, d)
		}
	}
	for _, key := range []string{"id", "targeting_id", "task_id", "task_group_id", "triggering_id"} {
		if all[key] == nil || all[key] == first[key] {
			t.Errorf("%s is %v", key, all[key])
		}
	}
	if dig(all, "targeting", "search_query") != "name ~ R" || dig(all, "targeting", "randomized_ordering") != false || hostNames(all) != "R1 R2 R3" ||
		dig(all, "targeting", "user_id") == dig(first, "targeting", "user_id") {
		t.Errorf("%v", all["targeting"])
	}
	again := l.over(all)
	if dig(again, "template_invocations", 0, "template_invocation_input_values", 0, "value") != "x" || again["succeeded"] != 1.0 {
		t.Errorf("%v", again)
	}
	for body, wanted := range map[string][2]string{
		`{"failed_only":true}`:                           {"R2 R3", "name ^ (R2,R3)"},
		`{"failed_only":"false"}`:                        {"R1 R2 R3", "name ~ R"},
		`{"succeeded_only":true}`:                        {"R1", "name ^ (R1)"},
		fmt.Sprintf(`{"host_ids":[%d]}`, l.device("R2")): {"R2", "name ^ (R2)"},
		fmt.Sprintf(`{"host_ids":["R3",%d],"failed_only":true}`, l.device("R1")): {"R1 R3", "name ^ (R1,R3)"},
		`{"failed_only":true,"host_ids":[]}`:                                     {"R2 R3", "name ^ (R2,R3)"},
		`{"failed_only":null,"host_ids":null}`:                                   {"R1 R2 R3", "name ~ R"},
	} {
		got := want(t, l.Service, 201, post(path, body))
		if hostNames(got) != wanted[0] || dig(got, "targeting", "search_query") != wanted[1] {
			t.Errorf("%s: %s, %v", body, hostNames(got), dig(got, "targeting", "search_query"))
		}
		if shown := l.over(got); dig(shown, "targeting", "search_query") != wanted[1] || hostNames(shown) != wanted[0] {
			t.Errorf("%s: %v", body, shown["targeting"])
		}
	}
	for body, status := range map[string]int{`{"failed_only":"maybe"}`: 422, `{"host_ids":[999]}`: 422, `{"host_ids":{"a":1}}`: 422, `[]`: 400,
		`{"host_ids":[]}`: 422, `{"host_ids":{}}`: 422, `{"host_ids":[],"failed_only":false}`: 422} {
		if a := l.Do(post(path, body)); a.Status != status {
			t.Errorf("%s: %d %s", body, a.Status, a.Body)
		}
	}
}

func TestRerun_NothingFailed(t *testing.T) {
	l := newLab(t, apitest.Options{})
	first := l.run(l.template(job.Template{}), "name ~ R", nil)
	none := want(t, l.Service, 201, post(jobsPath+"/"+id(first)+"/rerun", object{"failed_only": true}))
	if dig(none, "targeting", "search_query") != "name ^ ()" || none["total"] != 0.0 {
		t.Errorf("%v", none)
	}
	if done := l.over(none); done["status"] != 0.0 || done["total_hosts"] != 0.0 {
		t.Errorf("%v", done)
	}
}

// While a job runs only hosts that have failed by now are failed; when it was
// canceled, those that never started too.
func TestRerun_FailedOnly(t *testing.T) {
	l := newLab(t, apitest.Options{Devices: 3})
	tm := l.template(job.Template{Body: "<% if @host.name == 'R1' %>exit 1<% else %>sleep 60<% end %>"})
	first := l.create(tm, "name ~ R", object{"concurrency_control": object{"concurrency_level": 1}})
	l.Eventually("R1 has failed", func() bool { return l.show(first, "")["failed"] == 1.0 })
	path := jobsPath + "/" + id(first) + "/rerun"
	if got := want(t, l.Service, 201, post(path, object{"failed_only": true})); hostNames(got) != "R1" {
		t.Errorf("while it runs: %s", hostNames(got))
	}
	want(t, l.Service, 200, post(jobsPath+"/"+id(first)+"/cancel", object{}))
	l.over(first)
	last := want(t, l.Service, 201, post(path, object{"failed_only": true}))
	if hostNames(last) != "R1 R2 R3" {
		t.Errorf("after its end: %s", hostNames(last))
	}
	want(t, l.Service, 200, post(jobsPath+"/"+id(last)+"/cancel", object{"force": true}))
}

// A static job runs on its own hosts again, a dynamic one on those that its query
// finds now.
func TestRerun_StaticAndDynamic(t *testing.T) {
	l := newLab(t, apitest.Options{})
	tm := l.template(job.Template{})
	static := l.run(tm, "name ~ R", nil)
	dynamic := l.run(tm, "name ~ R", object{"targeting_type": "dynamic_query"})
	mark := l.bookmark("marked", "name = R1")
	marked := l.run(tm, "", object{"targeting_type": "dynamic_query", "bookmark_id": mark})
	l.devices("R3")
	if _, err := l.App.Dispatcher().EditSavedQuery(background, apitest.AdminPrincipal(), mark, func(q *job.SavedQuery) error {
		q.Query = "name = R2"
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		of    object
		hosts string
	}{{static, "R1 R2"}, {dynamic, "R1 R2 R3"}, {marked, "R2"}} {
		got := want(t, l.Service, 201, post(jobsPath+"/"+id(c.of)+"/rerun", object{}))
		if hostNames(got) != c.hosts {
			t.Errorf("job %s again: %s, want %s", id(c.of), hostNames(got), c.hosts)
		}
		l.over(got)
	}
}

func TestRerun_TemplateGone(t *testing.T) {
	l := newLab(t, apitest.Options{})
	tm := l.template(job.Template{})
	got := l.run(tm, "name = R1", nil)
	if _, err := l.App.Dispatcher().DeleteTemplate(background, apitest.AdminPrincipal(), tm, nil); err != nil {
		t.Fatal(err)
	}
	wantBody(t, l.Service, 404, `{"error":"Could not rerun job `+id(got)+` because its template could not be found"}`, post(jobsPath+"/"+id(got)+"/rerun", object{}))
	if shown := l.show(got, ""); shown["template_name"] != "T" {
		t.Errorf("%v", shown)
	}
}
