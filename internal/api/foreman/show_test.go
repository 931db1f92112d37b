package foreman_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"drover/internal/api/apitest"
	"drover/internal/device/sshsim"
	"drover/internal/inventory"
	"drover/internal/job"
)

// mixed is a template that succeeds on R1 and fails elsewhere.
func (l *lab) mixed() int64 {
	return l.template(job.Template{Meta: job.Meta{Name: "Mixed"}, Body: "<% if @host.name == 'R1' %>echo fine<% else %>echo bad\nexit 3<% end %>"})
}

func TestShow_AfterSuccess(t *testing.T) {
	l := newLab(t, apitest.Options{})
	tm := l.template(job.Template{Meta: job.Meta{Name: "Two inputs"}, Inputs: []job.Input{
		{Name: "a", Kind: job.InputUser}, {Name: "b", Kind: job.InputUser, Default: ptr("B")}, {Name: "c", Kind: job.InputUser}}})
	got := l.run(tm, "name ~ R", object{"inputs": object{"a": "A"}})
	for key, value := range (object{"status": 0.0, "status_label": "succeeded", "succeeded": 2.0, "failed": 0.0, "pending": 0.0, "cancelled": 0.0,
		"total": 2.0, "total_hosts": 2.0, "missing": 0.0, "job_category": "Tests", "template_name": "Two inputs", "template_id": float64(tm),
		"effective_user": "root", "job_organization": nil, "job_location": nil}) {
		if d := cmp.Diff(value, got[key]); d != "" {
			t.Errorf("%s: %s", key, d)
		}
	}
	if dig(got, "task", "state") != "stopped" || dig(got, "dynflow_task", "state") != "stopped" {
		t.Errorf("task %v", got["task"])
	}
	values := []any{object{"template_input_id": dig(got, "template_invocations", 0, "template_invocation_input_values", 0, "template_input_id"), "template_input_name": "a", "value": "A"},
		object{"template_input_id": dig(got, "template_invocations", 0, "template_invocation_input_values", 1, "template_input_id"), "template_input_name": "b", "value": "B"}}
	wanted := []any{}
	for _, name := range []string{"R1", "R2"} {
		wanted = append(wanted, object{"template_id": float64(tm), "template_name": "Two inputs", "host_id": float64(l.device(name)), "template_invocation_input_values": values})
	}
	if d := cmp.Diff(any(wanted), got["template_invocations"]); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(any([]any{object{"template_id": float64(tm), "template_name": "Two inputs", "host_id": nil, "template_invocation_input_values": values}}),
		got["pattern_template_invocations"]); d != "" {
		t.Error(d)
	}
	if _, ok := dig(got, "targeting", "hosts", 0).(object)["job_status"]; ok {
		t.Error("job_status without being asked for")
	}
	for _, query := range []string{"?location_id=2&organization_id=1", "?host_status=false"} {
		if again := l.show(got, query); again["id"] != got["id"] {
			t.Errorf("%s: %v", query, again)
		}
	}
	body := invocation(tm, "name = R1", nil)
	body["location_id"], body["organization_id"] = 2, "1"
	in := want(t, l.Service, 201, post(jobsPath, body))
	shown := l.show(in, "?include_permissions=true")
	if dig(shown, "job_location", "name") != "Default Location" || dig(shown, "job_organization", "id") != 1.0 || dig(shown, "permissions", "cancel_job_invocations") != true {
		t.Errorf("%v", shown)
	}
}

func TestShow_HostStatus(t *testing.T) {
	l := newLab(t, apitest.Options{Devices: 3})
	got := l.run(l.mixed(), "name ~ R", nil)
	if got["status"] != 1.0 || got["status_label"] != "failed" || got["succeeded"] != 1.0 || got["failed"] != 2.0 || got["pending"] != 0.0 {
		t.Errorf("%v", got)
	}
	var states []string
	for _, h := range dig(l.show(got, "?host_status=true"), "targeting", "hosts").([]any) {
		states = append(states, fmt.Sprint(dig(h, "name"), "=", dig(h, "job_status")))
	}
	if d := cmp.Diff("R1=success R2=error R3=error", strings.Join(states, " ")); d != "" {
		t.Error(d)
	}
}

func TestShow_Running(t *testing.T) {
	l := newLab(t, apitest.Options{})
	tm := l.template(job.Template{Body: "<% if @host.name == 'R2' %>sleep 60<% end %>"})
	got := l.create(tm, "name ~ R", nil)
	var shown object
	l.Eventually("one host is done", func() bool {
		shown = l.show(got, "?host_status=true")
		return shown["succeeded"] == 1.0
	})
	if shown["status"] != 3.0 || shown["pending"] != 1.0 || dig(shown, "task", "state") != "running" || dig(shown, "targeting", "hosts", 1, "job_status") != "running" {
		t.Errorf("%v", shown)
	}
	if rows := shown["template_invocations"].([]any); len(rows) != 2 {
		t.Errorf("%v", rows)
	}
	want(t, l.Service, 200, post(jobsPath+"/"+id(got)+"/cancel", object{"force": true}))
}

func TestShow_UnknownJobs(t *testing.T) {
	l := newLab(t, apitest.Options{})
	l.run(l.template(job.Template{}), "name = R1", nil)
	for _, bad := range []string{"999", "0", "-1", "x", "1x", "9007199254740993", "1.5"} {
		for _, q := range []apitest.Request{get(jobsPath + "/" + bad), post(jobsPath+"/"+bad+"/cancel", object{}), post(jobsPath+"/"+bad+"/rerun", object{}),
			get(jobsPath + "/" + bad + "/outputs"), get(jobsPath + "/" + bad + "/hosts"), get(jobsPath + "/" + bad + "/template_invocations")} {
			wantBody(t, l.Service, 404, `{"error":{"message":"Resource job_invocation not found by id '`+bad+`'"}}`, q)
		}
		for _, path := range []string{"/hosts/1", "/hosts/1/raw", "/hosts/1?since=&location_id=2"} {
			wantBody(t, l.Service, 404, `{"message":"Job invocation not found by id '`+bad+`'"}`, get(jobsPath+"/"+bad+path))
		}
	}
	stranger := get(jobsPath + "/1")
	stranger.User = apitest.Stranger
	if a := l.Do(stranger); a.Status != 404 {
		t.Errorf("another tenant's job: %d %s", a.Status, a.Body)
	}
}

// A host that was deleted is in no list any more, and counts as missing.
func TestShow_DeletedHost(t *testing.T) {
	l := newLab(t, apitest.Options{})
	got := l.run(l.template(job.Template{}), "name ~ R", nil)
	if _, err := l.App.Dispatcher().DeleteDevice(background, apitest.AdminPrincipal(), "R1"); err != nil {
		t.Fatal(err)
	}
	shown := l.show(got, "?host_status=true")
	if shown["missing"] != 1.0 || shown["total"] != 2.0 || hostNames(shown) != "R2" || len(shown["template_invocations"].([]any)) != 1 {
		t.Errorf("%v", shown)
	}
	row := results(want(t, l.Service, 200, get(jobsPath)))[0]
	if row["missing"] != 1.0 {
		t.Errorf("%v", row)
	}
	if rows := results(want(t, l.Service, 200, get(jobsPath+"/"+id(got)+"/hosts"))); len(rows) != 1 {
		t.Errorf("%v", rows)
	}
}

func TestIndex(t *testing.T) {
	l := newLab(t, apitest.Options{})
	wantBody(t, l.Service, 200, `{"page":1,"per_page":20,"results":[],"search":null,"sort":{"by":null,"order":null},"subtotal":0,"total":0}`, get(jobsPath))
	good, bad := l.template(job.Template{Meta: job.Meta{Name: "Good"}, Category: "Cats"}), l.mixed()
	l.run(good, "name = R1", object{"description_format": "the first"})
	l.run(bad, "name = R2", nil)
	ops := post(jobsPath, invocation(good, "name ~ R", nil))
	ops.User = apitest.Operator
	l.over(want(t, l.Service, 201, ops))
	later := l.create(good, "name = R2", object{"scheduling": object{"start_at": l.clock.now().Add(time.Hour).Format(time.RFC3339)}})
	monthly := l.create(bad, "name = R1", object{"recurrence": object{"cron_line": "0 0 1 * *", "purpose": "tidy"}})
	logic := fmt.Sprintf("%.0f", dig(monthly, "recurrence", "id"))

	all := want(t, l.Service, 200, get(jobsPath+"?page=1&per_page=1000"))
	if all["total"] != 5.0 || all["subtotal"] != 5.0 || names(all, "id") != "5,4,3,2,1" {
		t.Errorf("%v", all)
	}
	row := results(all)[4]
	for _, key := range []string{"targeting", "task", "template_invocations", "mode"} {
		if _, ok := row[key]; ok {
			t.Errorf("a row has %s", key)
		}
	}
	if row["description"] != "the first" || row["status_label"] != "succeeded" || row["succeeded"] != 1.0 || dig(row, "dynflow_task", "state") != "stopped" {
		t.Errorf("%v", row)
	}
	if page := want(t, l.Service, 200, get(jobsPath+"?page=2&per_page=2")); names(page, "id") != "3,2" || page["total"] != 5.0 || page["page"] != 2.0 || page["per_page"] != 2.0 {
		t.Errorf("%v", page)
	}
	if page := want(t, l.Service, 200, get(jobsPath+"?order=id+ASC&per_page=2&page=3")); names(page, "id") != "5" || dig(page, "sort", "by") != "id" || dig(page, "sort", "order") != "ASC" {
		t.Errorf("%v", page)
	}
	if page := want(t, l.Service, 200, get(jobsPath+"?per_page=4294967296")); names(page, "id") != "5,4,3,2,1" || page["per_page"] != 4294967296.0 {
		t.Errorf("%v", page)
	}
	if page := want(t, l.Service, 200, get(jobsPath+"?per_page=all")); page["per_page"] != 5.0 {
		t.Errorf("%v", page)
	}
	for query, ids := range map[string]string{
		"id = 2": "2", "id ^ (1, 3)": "1,3", "job_category = Cats": "1,3,4", `description = "the first"`: "1", "first": "1", "host = R2": "2,3,4", "host ~ 1": "1,3,5",
		"user = ops": "3", "owner = current_user": "1,2,4,5", "user = nobody": "",
		"status = succeeded": "1,3", "status = failed": "2", "status = queued": "4,5", "status = running": "4,5", "status = cancelled": "", "status = odd": "", "status != succeeded": "2,4,5",
		fmt.Sprintf("targeted_host_id = %d", l.device("R1")): "1,3,5", "pattern_template_name = Mixed": "2,5",
		"recurring = true": "5", "recurring = false": "1,2,3,4", "recurring_logic.id = " + logic: "5", "recurring_logic.purpose = tidy": "5",
		"started_at > yesterday": "1,2,3", "null? started_at": "4,5", "ended_at < tomorrow": "1,2,3", "start_at > \"20 days ago\"": "1,2,3,4,5",
		"status = succeeded and user = ops": "3", "": "1,2,3,4,5",
	} {
		if got := l.foundIDs(query); got != ids {
			t.Errorf("%q finds %s, want %s", query, got, ids)
		}
	}
	some := want(t, l.Service, 200, get(jobsPath+"?"+search("status = succeeded")+"&per_page=1"))
	if some["total"] != 5.0 || some["subtotal"] != 2.0 || names(some, "id") != "3" || some["search"] != "status = succeeded" {
		t.Errorf("%v", some)
	}
	for _, bad := range []string{search("odd = 1"), search("name => a"), search("id = x"), "order=odd", "order=odd+DESC"} {
		if a := l.Do(get(jobsPath + "?" + bad)); a.Status != http.StatusBadRequest || !strings.Contains(a.Body, "ScopedSearch::QueryNotSupported") {
			t.Errorf("%s: %d %s", bad, a.Status, a.Body)
		}
	}
	with := want(t, l.Service, 200, get(jobsPath+"?include_permissions=true&per_page=1"))
	if with["can_create"] != true || dig(results(with)[0], "permissions", "view_job_invocations") != true {
		t.Errorf("%v", with)
	}
	if later["mode"] != "future" {
		t.Errorf("%v", later)
	}
}

// More jobs than are read at once are each there once, on whatever page.
func TestIndex_ManyJobs(t *testing.T) {
	l := newLab(t, apitest.Options{Devices: 1})
	tm := l.template(job.Template{})
	const n = 520
	for range n {
		l.create(tm, "name = nobody", object{"execution_timeout_interval": 1})
	}
	inOrder := func(ids string, first, last int) {
		t.Helper()
		var wanted []string
		for i := first; i >= last; i-- {
			wanted = append(wanted, fmt.Sprint(i))
		}
		if ids != strings.Join(wanted, ",") {
			t.Errorf("%d to %d: %s", first, last, ids)
		}
	}
	inOrder(names(want(t, l.Service, 200, get(jobsPath+"?per_page=all")), "id"), n, 1)
	inOrder(names(want(t, l.Service, 200, get(jobsPath+"?per_page=507&page=2")), "id"), n-507, 1)
	inOrder(names(want(t, l.Service, 200, get(jobsPath+"?page=26")), "id"), 20, 1)
	inOrder(names(want(t, l.Service, 200, get(jobsPath+"?page=27")), "id"), 0, 1)
	inOrder(names(want(t, l.Service, 200, get(jobsPath+"?per_page=1000&"+search("pattern_template_name = T"))), "id"), n, 1)
	if page := want(t, l.Service, 200, get("/foreman_tasks/api/tasks?page=4&per_page=150")); page["total"] != float64(n) || len(results(page)) != n-450 {
		t.Errorf("%v tasks, %d on the page", page["total"], len(results(page)))
	}
}

func TestTargeting_OrderAndShuffle(t *testing.T) {
	l := newLab(t, apitest.Options{})
	var all []string
	for i := range 40 {
		all = append(all, fmt.Sprintf("host%02d", i))
	}
	shuffled := slices.Clone(all)
	slices.Reverse(shuffled)
	l.devices(shuffled...)
	tm := l.template(job.Template{})
	plain := l.create(tm, "name ~ host", nil)
	if got := hostNames(plain); got != strings.Join(all, " ") {
		t.Errorf("by name: %s", got)
	}
	random := l.create(tm, "name ~ host", object{"randomized_ordering": true})
	got := strings.Fields(hostNames(random))
	if slices.Equal(got, all) {
		t.Error("the order is not random")
	}
	if again := hostNames(l.show(random, "")); again != strings.Join(got, " ") {
		t.Error("the order changed")
	}
	slices.Sort(got)
	if !slices.Equal(got, all) {
		t.Errorf("not the same hosts: %v", got)
	}
	l.over(plain)
	l.over(random)
}

// A very long list of hosts is not kept as text, and shown all the same.
func TestTargeting_ManyHostIDs(t *testing.T) {
	l := newLab(t, apitest.Options{Devices: 1, Behave: func(int) sshsim.Behaviour { return sshsim.Behaviour{DropAt: sshsim.StageAccept} }})
	long := strings.Repeat("x", 200)
	var in []string
	for i := range 400 {
		in = append(in, fmt.Sprintf("%s%03d", long, i))
	}
	ids := l.devices(in...)
	got := l.create(l.template(job.Template{}), "", object{"host_ids": ids})
	wanted := "name ^ (" + strings.Join(in, ", ") + ")"
	if query := dig(got, "targeting", "search_query"); query != wanted || got["total"] != 400.0 {
		t.Errorf("%.50v, %v hosts", query, got["total"])
	}
	if query := dig(l.show(got, ""), "targeting", "search_query"); query != wanted {
		t.Errorf("%.50v", query)
	}
	later := l.create(l.template(job.Template{Meta: job.Meta{Name: "Later"}}), "", object{"host_ids": ids, "targeting_type": "dynamic_query",
		"scheduling": object{"start_at": l.clock.now().Add(time.Hour).Format(time.RFC3339)}})
	if query := dig(l.show(later, ""), "targeting", "search_query"); query != wanted {
		t.Errorf("%.50v", query)
	}
	l.Do(post(jobsPath+"/"+id(got)+"/cancel", object{"force": true}))
	again := want(t, l.Service, 201, post(jobsPath+"/"+id(l.over(got))+"/rerun", object{"failed_only": true}))
	wanted = "name ^ (" + strings.Join(in, ",") + ")"
	if query := dig(again, "targeting", "search_query"); query != wanted {
		t.Errorf("%.50v", query)
	}
	got = again
	l.Do(post(jobsPath+"/"+id(got)+"/cancel", object{"force": true}))
}

// An answer about very many hosts shows as many as it has room for.
func TestShow_MoreHostsThanAnAnswerHolds(t *testing.T) {
	l := newLab(t, apitest.Options{Devices: 1, Behave: func(int) sshsim.Behaviour { return sshsim.Behaviour{DropAt: sshsim.StageAccept} }})
	long := strings.Repeat("x", 240)
	var in []inventory.DeviceInput
	for i := range 5000 {
		in = append(in, inventory.DeviceInput{Name: fmt.Sprintf("%s%04d", long, i), Address: ptr("192.0.2.1")})
	}
	for from := 0; from < len(in); from += 1000 {
		if _, err := l.App.Dispatcher().SaveDevices(background, apitest.AdminPrincipal(), in[from:from+1000]); err != nil {
			t.Fatal(err)
		}
	}
	at := object{"start_at": l.clock.now().Add(time.Hour).Format(time.RFC3339)}
	tm := l.template(job.Template{Inputs: []job.Input{{Name: "a", Kind: job.InputUser}}})
	got := l.create(tm, "name ~ "+long+"*", object{"scheduling": at, "inputs": object{"a": strings.Repeat("v", 100)}})
	if n := len(dig(got, "targeting", "hosts").([]any)); got["total_hosts"] != 5000.0 || n < 3000 || n == 5000 {
		t.Errorf("%d of %v hosts", n, got["total_hosts"])
	}
	if shown := l.show(got, "?host_status=true"); shown["total_hosts"] != 5000.0 || shown["missing"] != 0.0 {
		t.Errorf("%v, %v", shown["total_hosts"], shown["missing"])
	}
	want(t, l.Service, 200, post(jobsPath+"/"+id(got)+"/cancel", object{}))
}

func TestHostsOfAJob(t *testing.T) {
	l := newLab(t, apitest.Options{Devices: 3})
	got := l.run(l.mixed(), "name ~ R", nil)
	path := jobsPath + "/" + id(got) + "/hosts"
	all := want(t, l.Service, 200, get(path))
	if names(all, "name") != "R1,R2,R3" || all["total"] != 3.0 || names(all, "job_status") != "success,error,error" {
		t.Errorf("%v", all)
	}
	row := results(all)[0]
	for _, key := range []string{"id", "operatingsystem_id", "operatingsystem_name", "hostgroup_id", "hostgroup_name", "smart_proxy_id", "smart_proxy_name"} {
		if _, ok := row[key]; !ok {
			t.Errorf("no %s in %v", key, row)
		}
	}
	if _, ok := row["task"]; ok {
		t.Error("a task without being asked for")
	}
	if row["hostgroup_name"] != "all" {
		t.Errorf("%v", row)
	}
	for query, hosts := range map[string]string{"per_page=2": "R1,R2", "per_page=2&page=2": "R3", "order=name+DESC": "R3,R2,R1", search("name = R2"): "R2",
		search("job_invocation.result = failed"): "R2,R3", search("job_invocation.result = success"): "R1", "awaiting=true": "", search("hostgroup = all"): "R1,R2,R3"} {
		page := want(t, l.Service, 200, get(path+"?"+query))
		if names(page, "name") != hosts || page["total"] != 3.0 {
			t.Errorf("%s: %v, want %s", query, page, hosts)
		}
	}
	with := results(want(t, l.Service, 200, get(path+"?include_permissions=1")))[1]
	task := want(t, l.Service, 200, get("/foreman_tasks/api/tasks/"+dig(with, "task", "id").(string)))
	if task["label"] != "Actions::RemoteExecution::RunHostJob" || task["result"] != "error" || !strings.Contains(fmt.Sprint(task["action"]), "R2") || with["permissions"] == nil {
		t.Errorf("%v", task)
	}
	later := l.create(l.mixed2(), "name ~ R", object{"scheduling": object{"start_at": l.clock.now().Add(time.Hour).Format(time.RFC3339)}})
	waiting := want(t, l.Service, 200, get(jobsPath+"/"+id(later)+"/hosts?awaiting=true&include_permissions=1"))
	if names(waiting, "job_status") != "N/A,N/A,N/A" || results(waiting)[0]["task"] != nil {
		t.Errorf("%v", waiting)
	}
}

func (l *lab) mixed2() int64 { return l.template(job.Template{Meta: job.Meta{Name: "Later"}}) }

func TestTemplateInvocations(t *testing.T) {
	l := newLab(t, apitest.Options{})
	tm := l.template(job.Template{Become: job.Become{User: "app"}})
	got := l.run(tm, "name ~ R", nil)
	page := want(t, l.Service, 200, get(jobsPath+"/"+id(got)+"/template_invocations"))
	rows := results(page)
	if len(rows) != 2 || page["total"] != 2.0 {
		t.Fatalf("%v", page)
	}
	task := rows[0]["run_host_job_task_id"]
	wanted := object{"id": rows[0]["id"], "template_id": float64(tm), "job_invocation_id": got["id"], "effective_user": "app", "host_id": float64(l.device("R1")),
		"host_name": "R1", "run_host_job_task_id": task}
	if d := cmp.Diff(wanted, rows[0]); d != "" {
		t.Error(d)
	}
	if rows[0]["id"] == rows[1]["id"] || task == rows[1]["run_host_job_task_id"] {
		t.Errorf("%v", rows)
	}
	if one := want(t, l.Service, 200, get(jobsPath+"/"+id(got)+"/template_invocations?per_page=1&page=2")); names(one, "host_name") != "R2" {
		t.Errorf("%v", one)
	}
}
