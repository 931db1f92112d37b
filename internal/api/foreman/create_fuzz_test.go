package foreman_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"drover/internal/api/apitest"
	"drover/internal/dispatch"
	"drover/internal/job"
)

// Whatever is sent to create a job, the answer is the job or a refusal, and a
// refusal leaves nothing.
func FuzzCreate(f *testing.F) {
	s := apitest.Start(f, apitest.Options{Devices: 1})
	d, p := s.App.Dispatcher(), apitest.AdminPrincipal()
	template, err := d.EditTemplate(background, p, 0, func(t *job.Template) error {
		t.Name, t.Type, t.Language, t.Category, t.Body = "Fuzzed", job.TypeScript, job.LanguageERB, "c", "echo <%= input('a') %>"
		t.Inputs = []job.Input{{Name: "a", Kind: job.InputUser, Options: []string{"x", "y"}}, {Name: "h", Kind: job.InputUser, Hidden: true},
			{Name: "r", Kind: job.InputUser, Required: true, Default: ptr("d")}}
		return nil
	})
	if err != nil {
		f.Fatal(err)
	}
	plain := `"job_template_id":` + fmt.Sprint(template.ID) + `,"targeting_type":"static_query","search_query":"name = nobody"`
	for _, more := range []string{"", `,"inputs":{"a":"x","h":"s","r":null}`, `,"inputs":{"odd":1}`, `,"scheduling":{"start_at":"2040-01-01","start_before":"2039-01-01"}`,
		`,"recurrence":{"cron_line":"*/5 1-3 L * mon#2 Europe/Berlin","max_iteration":"3x","end_time":"2040-01-01T10:00:00+00:00","purpose":"p"}`,
		`,"ssh":{"effective_user":"bob","effective_user_password":"z"},"ssh_user":"root","password":"x","key_passphrase":"y"`,
		`,"concurrency_control":{"concurrency_level":-1},"execution_timeout_interval":1e9,"time_to_pickup":9007199254740993`,
		`,"randomized_ordering":"maybe","description_format":"%{a}%{template_name}%{job_category}%{x"`,
		`,"search_query":"","host_ids":[1,"R1",{}]`, `,"search_query":null,"bookmark_id":1`, `,"feature":"run_script"`, `,"targeting_type":["x"]`} {
		f.Add(`{"job_invocation":{` + plain + more + `},"include_hosts":0}`)
	}
	f.Add(`{"job_invocation":null}`)
	f.Add(`{"job_invocation":{"job_template_id":"1"},"location_id":"2","organization_id":[]}`)
	count := func() string {
		_, runs, err := d.RunsByNumber(background, p, "foreman", 0, 1)
		if err != nil {
			f.Fatal(err)
		}
		schedules := 0
		for q := (dispatch.Page{Limit: 1000}); ; {
			page, next, err := d.Schedules(background, p, q)
			if err != nil {
				f.Fatal(err)
			}
			schedules += len(page)
			if q.After = next; next == "" {
				return fmt.Sprintf("%d jobs, %d schedules", runs, schedules)
			}
		}
	}
	f.Fuzz(func(t *testing.T, body string) {
		before := count()
		a := s.Do(post(jobsPath, body))
		switch {
		case a.Status == 201:
			var o object
			if err := json.Unmarshal([]byte(a.Body), &o); err != nil {
				t.Fatalf("%q: %v", body, err)
			}
			task := dig(o, "task", "id").(string)
			if dig(o, "mode") != nil { // what is later than the test is not waited for
				s.Do(post(jobsPath+"/"+id(o)+"/cancel", object{}))
				return
			}
			for end := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
				got := s.Do(get("/foreman_tasks/api/tasks/" + task))
				if got.Status != 200 || time.Now().After(end) {
					t.Fatalf("%q: %d %s", body, got.Status, got.Body)
				}
				if decoded(got)["state"] == "stopped" {
					return
				}
			}
		case a.Status < 400 || a.Status >= 500:
			t.Fatalf("%q: %d %s", body, a.Status, a.Body)
		}
		if after := count(); after != before {
			t.Errorf("%q was refused with %d and left something: %s, was %s", body, a.Status, after, before)
		}
	})
}
