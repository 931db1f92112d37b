package foreman_test

import (
	"bufio"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"drover/internal/api/apitest"
	"drover/internal/device/sshsim"
	"drover/internal/job"
)

// hammer plays what hammer sends for a command, byte for byte as it was seen
// on the wire but for the credentials and the ids, and returns the answers that
// the command works with (the first, about the checksum, left out).
func (l *lab) hammer(command string, vars map[string]string) []object {
	l.t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "hammer", command+".http"))
	if err != nil {
		l.t.Fatal(err)
	}
	var answers []object
	for i, block := range strings.Split(string(text), "###\n") {
		for name, value := range vars {
			block = strings.ReplaceAll(block, "$"+name, value)
		}
		again := strings.Contains(block, "# again")
		var a apitest.Answer
		for range 200 {
			a = l.send(block)
			state := decoded(a)["state"]
			if !again || state == "stopped" || state == "paused" {
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
		if a.Status >= 300 {
			l.t.Fatalf("%s, request %d: %d %s", command, i, a.Status, a.Body)
		}
		if a.Header.Get("Apipie-Checksum") == "" {
			l.t.Errorf("%s, request %d: no checksum", command, i)
		}
		o := decoded(a)
		if i > 0 {
			answers = append(answers, o)
		}
		learn(vars, o)
	}
	return answers
}

// learn takes from an answer what later requests name.
func learn(vars map[string]string, o object) {
	if task := dig(o, "dynflow_task", "id"); task != nil {
		vars["TASK"] = task.(string)
	}
	if rows := results(o); len(rows) == 1 && rows[0]["job_category"] != nil && rows[0]["provider_type"] != nil {
		vars["TEMPLATE"] = id(rows[0])
	}
	if sets, ok := o["output"].([]any); ok && len(sets) > 0 {
		vars["SINCE"] = fmt.Sprintf("%f", dig(sets[len(sets)-1], "timestamp"))
	}
}

// send sends one request of a file.
func (l *lab) send(block string) apitest.Answer {
	l.t.Helper()
	lines := bufio.NewReader(strings.NewReader(block))
	line := "#"
	for strings.HasPrefix(line, "#") {
		line, _ = lines.ReadString('\n')
	}
	method, path, _ := strings.Cut(strings.TrimSpace(line), " ")
	header := http.Header{}
	for {
		line, err := lines.ReadString('\n')
		name, value, ok := strings.Cut(strings.TrimSpace(line), ": ")
		if !ok || err != nil {
			break
		}
		header.Add(name, value)
	}
	body := new(strings.Builder)
	_, _ = lines.WriteTo(body)
	r := httptest.NewRequest(method, path, strings.NewReader(strings.TrimSuffix(body.String(), "\n")))
	if header.Get("Authorization") != "" {
		header.Del("Authorization")
		r.SetBasicAuth(apitest.Admin, apitest.Password)
	}
	for name, values := range header {
		if r.Header.Get(name) == "" {
			r.Header[name] = values
		}
	}
	w := httptest.NewRecorder()
	l.App.Handler().ServeHTTP(w, r)
	return apitest.Answer{Status: w.Code, Header: w.Header(), Body: w.Body.String()}
}

// reads fails unless an answer has each of the fields that hammer reads.
func reads(t *testing.T, o object, paths ...string) {
	t.Helper()
	if len(o) < 2 {
		t.Errorf("hammer unwraps an object with one key: %v", o)
	}
	for _, p := range paths {
		v, found := any(o), true
		for _, key := range strings.Split(p, ".") {
			if name, isList := strings.CutSuffix(key, "[]"); isList {
				rows, ok := v.(object)[name].([]any)
				if found = ok && len(rows) > 0; found {
					v = rows[0]
				}
			} else if m, ok := v.(object); ok {
				v, found = m[key]
			} else {
				found = false
			}
			if !found {
				t.Errorf("no %s in %v", p, o)
				break
			}
		}
	}
}

var jobRead = []string{"id", "description", "status_label", "succeeded", "failed", "pending", "total", "missing", "start_at", "job_category", "time_to_pickup"}

func collectionRead(row ...string) []string {
	all := []string{"total", "subtotal", "page", "per_page", "search", "sort.by", "sort.order"}
	for _, r := range row {
		all = append(all, "results[]."+r)
	}
	return all
}

func TestHammer(t *testing.T) {
	l := newLab(t, apitest.Options{Behave: func(int) sshsim.Behaviour {
		return sshsim.Behaviour{Respond: func(sshsim.Invocation) sshsim.Reply { return sshsim.Reply{Stdout: []byte("a file\n")} }} // there is no ls
	}})
	vars := map[string]string{}
	infoRead := append([]string{"targeting.randomized_ordering", "targeting.hosts[].name", "targeting.hosts[].id", "template_invocations[].host_id",
		"template_invocations[].template_invocation_input_values[].template_input_name", "template_invocations[].template_invocation_input_values[].value"}, jobRead...)

	done := l.hammer("create", vars)
	reads(t, done[0], collectionRead("id", "name")...)
	reads(t, done[1], "id", "dynflow_task.id")
	reads(t, done[2], "state", "result", "progress", "humanized.output", "humanized.errors")
	if done[2]["state"] != "stopped" || done[2]["result"] != "success" || done[2]["progress"] != 1.0 {
		t.Errorf("%v", done[2])
	}
	vars["JOB"], vars["HOST"] = id(done[1]), fmt.Sprint(l.device("R1"))
	for _, command := range []string{"create-async", "create-by-id"} {
		got := l.hammer(command, vars)
		made := got[len(got)-1]
		reads(t, made, "id", "dynflow_task.id")
		l.over(made)
	}
	reads(t, l.hammer("list", vars)[0], collectionRead(jobRead...)...)
	cold := l.hammer("cold", vars)
	reads(t, cold[1], collectionRead(jobRead...)...)
	running := l.hammer("list-search", vars)[0]
	reads(t, running, collectionRead()...)
	if running["subtotal"] != 0.0 || running["search"] != "status = running" || running["per_page"] != 5.0 {
		t.Errorf("%v", running)
	}
	reads(t, l.hammer("info", vars)[0], infoRead...)
	reads(t, l.hammer("info-hosts", vars)[0], append(infoRead, "targeting.hosts[].job_status")...)

	out := l.hammer("output", vars)
	reads(t, out[0], collectionRead("id", "name")...)
	reads(t, out[1], "refresh", "output[].output", "output[].timestamp")
	if rest := out[2]["output"].([]any); len(rest) != 0 || out[2]["refresh"] != false {
		t.Errorf("%v", out[2])
	}
	reads(t, l.hammer("output-async", vars)[0], "refresh", "output[].output", "output[].timestamp")

	again := l.hammer("rerun", vars)[0]
	reads(t, again, "id")
	l.over(again)
	for _, command := range []string{"cancel", "cancel-force"} {
		later := l.hammer("create-later", vars)[0]
		reads(t, later, append(jobRead, "mode")...)
		if later["mode"] != "future" || later["start_at"] != "2040-01-01 10:00:00 UTC" {
			t.Errorf("%v", later)
		}
		vars["WAITING"] = id(later)
		waits := map[string]string{"JOB": id(later), "HOST": vars["HOST"], "SINCE": ""}
		reads(t, l.hammer("output-async", waits)[0], "delayed", "start_at", "refresh")
		reads(t, l.hammer(command, vars)[0], "id")
		if shown := l.over(later); shown["status_label"] != "cancelled" {
			t.Errorf("%s: %v", command, shown)
		}
	}
	vars["BOOKMARK"] = fmt.Sprint(l.bookmark("all", "name ~ R"))
	everything := l.hammer("create-everything", vars)[0]
	reads(t, everything, append(jobRead, "mode", "recurrence.cron_line", "recurrence.id")...)
	for key, value := range (object{"mode": "recurring", "description": "d ls", "ssh_user": "root", "effective_user": "bob", "time_to_pickup": 5.0,
		"execution_timeout_interval": 60.0, "concurrency_level": 2.0}) {
		if everything[key] != value {
			t.Errorf("%s is %v, want %v", key, everything[key], value)
		}
	}
	if dig(everything, "targeting", "targeting_type") != "static_query" || dig(everything, "targeting", "randomized_ordering") != true || dig(everything, "targeting", "search_query") != "name ~ R" {
		t.Errorf("%v", everything["targeting"])
	}
	reads(t, object{"ping": l.hammer("ping", vars)[0], "": nil}, "ping.results.foreman.database.active")
}

// hammer's exit status is made of the task's result.
func TestHammer_Failure(t *testing.T) {
	l := newLab(t, apitest.Options{})
	if _, err := l.App.Dispatcher().EditTemplate(background, apitest.AdminPrincipal(), l.stock(), func(tm *job.Template) error {
		tm.Body = "echo no\nexit 4"
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	done := l.hammer("create", map[string]string{})
	if task := done[2]; task["result"] != "warning" || len(dig(task, "humanized", "errors").([]any)) == 0 {
		t.Errorf("%v", task)
	}
}
