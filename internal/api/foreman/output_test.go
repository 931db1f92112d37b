package foreman_test

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"drover/internal/api/apitest"
	"drover/internal/job"
)

// lines are the line sets of an output as "type:text".
func lines(o object) []string {
	all := []string{}
	sets, _ := o["output"].([]any)
	for _, l := range sets {
		all = append(all, fmt.Sprintf("%v:%v", dig(l, "output_type"), dig(l, "output")))
	}
	return all
}

func (l *lab) output(o object, host, query string) object {
	l.t.Helper()
	return want(l.t, l.Service, 200, get(fmt.Sprintf("%s/%s/hosts/%d%s", jobsPath, id(o), l.device(host), query)))
}

func TestOutput(t *testing.T) {
	l := newLab(t, apitest.Options{Devices: 3})
	ok := l.run(l.template(job.Template{Body: "echo 1\necho 2\necho 3\necho 4\necho 5"}), "name = R1 or name = R2", nil)
	got := l.output(ok, "R1", "?since")
	if d := cmp.Diff([]string{"stdout:1\n2\n3\n4\n5\n", "stdout:Exit status: 0"}, lines(got)); d != "" || got["complete"] != true || got["refresh"] != false {
		t.Errorf("%v %s", got, d)
	}
	first, last := dig(got, "output", 0, "timestamp").(float64), dig(got, "output", 1, "timestamp").(float64)
	if last <= first || first < float64(time.Now().Add(-time.Minute).Unix()) || first > float64(time.Now().Add(time.Minute).Unix()) {
		t.Errorf("timestamps %f, %f", first, last)
	}
	for since, wanted := range map[string][]string{
		fmt.Sprintf("%f", first): {"stdout:Exit status: 0"}, fmt.Sprintf("%f", last): {}, fmt.Sprintf("%f", first-1): {"stdout:1\n2\n3\n4\n5\n", "stdout:Exit status: 0"}, "x": {"stdout:1\n2\n3\n4\n5\n", "stdout:Exit status: 0"},
	} {
		if d := cmp.Diff(wanted, lines(l.output(ok, "R1", "?since="+since+"&location_id=2&organization_id="))); d != "" {
			t.Errorf("since %s: %s", since, d)
		}
	}
	raw := want(t, l.Service, 200, get(fmt.Sprintf("%s/%s/hosts/%d/raw", jobsPath, id(ok), l.device("R1"))))
	if raw["output"] != "1\n2\n3\n4\n5\nExit status: 0" || raw["complete"] != true {
		t.Errorf("%v", raw)
	}
	byName := want(t, l.Service, 200, get(jobsPath+"/"+id(ok)+"/hosts/R1"))
	if len(lines(byName)) != 2 {
		t.Errorf("%v", byName)
	}
	r3 := l.device("R3")
	for _, host := range []string{fmt.Sprint(r3), "999", "R9", "R3"} {
		for _, suffix := range []string{"", "/raw"} {
			wantBody(t, l.Service, 404, `{"error":{"message":"Host with id '`+host+`' was not found"}}`, get(jobsPath+"/"+id(ok)+"/hosts/"+host+suffix))
		}
	}
}

func TestOutput_Failures(t *testing.T) {
	l := newLab(t, apitest.Options{Devices: 1})
	failing := l.run(l.template(job.Template{Meta: job.Meta{Name: "F"}, Body: "echo out\necho err >&2\nexit 3"}), "name = R1", nil)
	got := strings.Join(lines(l.output(failing, "R1", "")), "|")
	if !strings.Contains(got, "stdout:out\n") || !strings.Contains(got, "stderr:err\n") || !strings.HasSuffix(got, "stdout:Exit status: 3") {
		t.Errorf("%s", got)
	}
	broken := l.run(l.template(job.Template{Meta: job.Meta{Name: "B"}, Body: `<% render_error("no such thing") %>`}), "name = R1", nil)
	got = strings.Join(lines(l.output(broken, "R1", "")), "|")
	if !strings.HasPrefix(got, "debug:") || !strings.Contains(got, "no such thing") || !strings.HasSuffix(got, "stdout:Exit status: EXCEPTION") {
		t.Errorf("%s", got)
	}
	if n := l.Fleet.Executions(); n != 1 {
		t.Errorf("%d executions", n)
	}
	late := l.run(l.template(job.Template{Meta: job.Meta{Name: "L"}, Body: "echo begun\nsleep 60"}), "name = R1", object{"execution_timeout_interval": 1})
	got = strings.Join(lines(l.output(late, "R1", "")), "|")
	if !strings.Contains(got, "debug:Timeout for execution passed, trying to stop the job\n") || late["status"] != 1.0 {
		t.Errorf("%s, %v", got, late["status"])
	}
}

func TestOutput_BeforeAndWhileRunning(t *testing.T) {
	l := newLab(t, apitest.Options{})
	tm := l.template(job.Template{Body: "echo begun\nsleep 60"})
	at := l.clock.now().Add(2 * time.Hour).Truncate(time.Minute)
	waiting := l.create(tm, "name ~ R", object{"scheduling": object{"start_at": at.Format(time.RFC3339)}})
	iso := at.UTC().Format("2006-01-02T15:04:05.000Z")
	host := fmt.Sprintf("%s/%s/hosts/%d", jobsPath, id(waiting), l.device("R1"))
	wantBody(t, l.Service, 200, `{"complete":false,"delayed":true,"output":[],"refresh":true,"start_at":"`+iso+`"}`, get(host))
	wantBody(t, l.Service, 200, `{"complete":false,"delayed":true,"output":null,"refresh":true,"start_at":"`+iso+`"}`, get(host+"/raw"))
	one := want(t, l.Service, 200, get(jobsPath+"/"+id(waiting)+"/outputs"))
	if d := cmp.Diff(object{"host_id": float64(l.device("R1")), "complete": false, "refresh": true, "output": []any{}}, dig(one, "outputs", 0)); d != "" {
		t.Error(d)
	}
	raws := want(t, l.Service, 200, get(jobsPath+"/"+id(waiting)+"/outputs?raw=true"))
	if dig(raws, "outputs", 0, "output") != "" {
		t.Errorf("%v", raws)
	}
	want(t, l.Service, 200, post(jobsPath+"/"+id(waiting)+"/cancel", object{}))
	wantBody(t, l.Service, 200, `{"complete":true,"output":[],"refresh":false}`, get(host))
	wantBody(t, l.Service, 200, `{"complete":true,"output":null,"refresh":false}`, get(host+"/raw"))

	running := l.create(tm, "name = R1", nil)
	var got object
	l.Eventually("output is there while the command runs", func() bool {
		got = l.output(running, "R1", "")
		return len(lines(got)) > 0
	})
	if d := cmp.Diff([]string{"stdout:begun\n"}, lines(got)); d != "" || got["refresh"] != true || got["complete"] != false {
		t.Errorf("%v %s", got, d)
	}
	last := fmt.Sprintf("%f", dig(got, "output", 0, "timestamp"))
	if again := l.output(running, "R1", "?since="+last); len(lines(again)) != 0 {
		t.Errorf("%v", again)
	}
	want(t, l.Service, 200, post(jobsPath+"/"+id(running)+"/cancel", object{}))
	l.over(running)
	rest := l.output(running, "R1", "?since="+last)
	if d := strings.Join(lines(rest), "|"); !strings.HasSuffix(d, "stdout:Exit status: EXCEPTION") || strings.Contains(d, "begun") || rest["complete"] != true {
		t.Errorf("%s", d)
	}
}

func TestOutputs(t *testing.T) {
	l := newLab(t, apitest.Options{Devices: 3})
	got := l.run(l.mixed(), "name ~ R", nil)
	path := jobsPath + "/" + id(got) + "/outputs"
	ids := func(o object) string {
		var all []string
		for _, row := range o["outputs"].([]any) {
			all = append(all, fmt.Sprint(dig(row, "host_id")))
		}
		return strings.Join(all, ",")
	}
	all := want(t, l.Service, 200, get(path))
	everyone := fmt.Sprintf("%d,%d,%d", l.device("R1"), l.device("R2"), l.device("R3"))
	if ids(all) != everyone || dig(all, "outputs", 1, "output", 0, "output") != "bad\n" || dig(all, "outputs", 0, "complete") != true {
		t.Errorf("%v", all)
	}
	two := fmt.Sprint(l.device("R2"))
	for _, q := range []apitest.Request{get(path + "?search_query=" + url.QueryEscape("name = R2")), post(path, object{"search_query": "name = R2"})} {
		if o := want(t, l.Service, 200, q); ids(o) != two {
			t.Errorf("%s: %v", q.Method, o)
		}
	}
	for _, q := range []apitest.Request{get(path + "?search_query=" + url.QueryEscape("name = nobody")), post(path, object{"search_query": "name = nobody"})} {
		wantBody(t, l.Service, 200, `{"outputs":[]}`, q)
	}
	raw := want(t, l.Service, 200, post(path, object{"search_query": "name = R2", "raw": "true"}))
	if dig(raw, "outputs", 0, "output") != "bad\nExit status: 3" {
		t.Errorf("%v", raw)
	}
	last := fmt.Sprintf("%f", dig(all, "outputs", 1, "output", 1, "timestamp"))
	if o := want(t, l.Service, 200, get(path+"?since="+last+"&search_query="+url.QueryEscape("name = R2"))); len(dig(o, "outputs", 0, "output").([]any)) != 0 {
		t.Errorf("%v", o)
	}
	if a := l.Do(get(path + "?search_query=odd+%3D+1")); a.Status != 400 {
		t.Errorf("%d %s", a.Status, a.Body)
	}
}
