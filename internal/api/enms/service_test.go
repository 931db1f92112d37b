package enms

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"drover/internal/job"
)

func service() serviceView {
	return serviceView{Service: job.Service{
		Meta: job.Meta{ID: 5, Name: "hello"}, Type: job.TypeScript, Description: "d", Body: "echo", Payload: json.RawMessage(`{"a":1.50}`),
		Limits: job.Limits{Timeout: 30 * time.Second, Concurrency: 15, Retries: job.Retries{Count: 2, Wait: 3 * time.Second}, OnUnknown: job.OnUnknownReport},
		Become: job.Become{User: "root", Method: job.BecomeSudo}, CredentialID: 9,
	}, Devices: []string{"R1"}, Pools: []string{"P1"}, Credential: "lab"}
}

func TestService_BothWays(t *testing.T) {
	got := shown(t, serviceModel(nil).show(service(), true))
	wantAll(t, got, map[string]any{
		"id": 5.0, "name": "hello", "scoped_name": "hello", "type": "unix_shell_script_service", "description": "d", "source_code": "echo",
		"initial_payload": map[string]any{"a": 1.5}, "read_timeout": 30.0, "multiprocessing": true, "max_processes": 15.0,
		"number_of_retries": 2.0, "time_between_retries": 3.0, "enable_mode": true, "become_user": "root", "become_method": "sudo",
		"credentials": "object", "named_credential": "lab", "named_credential_id": 9.0, "target_devices": []any{"R1"}, "target_pools": []any{"P1"},
		"run_method": "per_device", "disabled": false, "disabled_info": "", "on_unknown": "report", "status": "Idle",
		"validation_condition": "none", "restrict_to_owners": []any{}, "admin_only": false, "skip_value": "success", "waiting_time": 0.0,
	})
	for name := range got {
		if secretName(name) && name != "expect_password_prompt" { // what the device asks, not what is answered
			t.Errorf("%s in an answer", name)
		}
	}
	in, err := try(with(shellScriptModel(nil), nil), string(mustEncode(got)))
	if err != nil {
		t.Fatal(err)
	}
	in.Extra = nil
	want := `{"name":"hello","type":"script","description":"d","body":"echo","devices":["R1"],"pools":["P1"],"timeout":30000000000,"concurrency":15,` +
		`"retry_count":2,"retry_wait":3000000000,"on_unknown":"report","become_user":"root","become_method":"sudo","payload":{"a":1.5},"credential":"lab","disabled":false}`
	if diff := cmp.Diff(want, input(t, in)); diff != "" {
		t.Error(diff)
	}
}

// Every key of the captured properties that belongs to all services is there,
// except what an installation adds of its own.
func TestService_PropertiesAreThoseOfTheCapture(t *testing.T) {
	got := serviceModel(nil).properties(service())
	for _, key := range strings.Fields(`admin_only auth_timeout auto_find_prompt banner_timeout close_connection config_mode config_mode_command
		conn_timeout connection_name content_match content_match_regex conversion_method creator credential_type credentials custom_username
		delete_spaces_before_matching description device_query device_query_property dict_match disable_result_creation disabled disabled_info
		display_only_failed_nodes display_report driver email_report enable_mode exit_command expect_password_prompt expect_prompt expect_string
		expect_username_prompt fast_cli global_delay_factor id include_device_results include_link_in_summary initial_payload iteration_devices
		iteration_devices_property iteration_values iteration_variable_name jump_command jump_on_connect jump_username last_modified last_modified_by
		last_run log_level mail_recipient mandatory_parametrization max_number_of_retries max_processes maximum_runs multiprocessing name
		named_credential_id negative_logic notification_header number_of_retries operating_system parameterized_form parameterized_form_template path
		postprocessing postprocessing_mode preprocessing priority read_timeout reply_to report report_format report_jinja2_template
		restrict_to_owners run_method scoped_name send_notification send_notification_method shared skip skip_query skip_value start_new_connection
		status strip_command strip_prompt time_between_retries type update_pools_after_running update_target_pools use_genie use_textfsm
		validation_condition validation_method validation_section vendor waiting_time source_code`) {
		if _, ok := got[key]; !ok {
			t.Errorf("%s is missing", key)
		}
	}
	for _, relation := range []string{"target_devices", "target_pools", "named_credential"} {
		if _, ok := got[relation]; ok {
			t.Errorf("%s is a relation", relation)
		}
	}
}

// 65: how many at once.
func TestService_Processes(t *testing.T) {
	extra := func(s string) map[string]json.RawMessage {
		return map[string]json.RawMessage{"enms": json.RawMessage(s)}
	}
	for _, c := range []struct {
		now  int    // concurrency before; 0: a new service
		kept string // what the family kept
		body string
		want int // concurrency; 0: not touched
	}{
		{0, ``, `{"name": "s"}`, 1},
		{0, ``, `{"name": "s", "max_processes": 50}`, 1},
		{0, ``, `{"name": "s", "multiprocessing": true}`, 5},
		{0, ``, `{"name": "s", "multiprocessing": true, "max_processes": 50}`, 50},
		{0, ``, `{"name": "s", "multiprocessing": "false", "max_processes": 50}`, 1},
		{50, ``, `{"name": "s", "description": "d"}`, 0},
		{50, ``, `{"name": "s", "multiprocessing": false}`, 1},
		{50, ``, `{"name": "s", "max_processes": 20}`, 20},
		{1, `{"multiprocessing": false, "max_processes": 50}`, `{"name": "s", "multiprocessing": true}`, 50},
		{1, ``, `{"name": "s", "multiprocessing": true}`, 5},
	} {
		var old *serviceView
		if c.now > 0 {
			old = &serviceView{Service: job.Service{Meta: job.Meta{Name: "s"}, Type: job.TypeScript, Limits: job.Limits{Concurrency: c.now}}}
			if c.kept != "" {
				old.Extra = extra(c.kept)
			}
		}
		in, err := try(with(shellScriptModel(nil), old), c.body)
		got := 0
		if in.Concurrency != nil {
			got = *in.Concurrency
		}
		if err != nil || got != c.want {
			t.Errorf("%+v: got %d, %v", c, got, err)
		}
	}
}

func TestService_CredentialsDisabledAndNames(t *testing.T) {
	old := service()
	in, err := try(with(serviceModel(nil), &old), `{"name": "hello", "credentials": "device"}`)
	if err != nil || in.Credential == nil || *in.Credential != "" {
		t.Errorf("device: %s %v", input(t, in), err)
	}
	in, err = try(with(serviceModel(nil), &old), `{"name": "hello", "named_credential": "other"}`)
	if err != nil || in.Credential == nil || *in.Credential != "other" {
		t.Errorf("named: %s %v", input(t, in), err)
	}
	in, err = try(with(serviceModel(nil), &old), `{"name": "hello", "disabled": true, "scoped_name": "hi"}`)
	if err != nil || in.NewName == nil || *in.NewName != "hi" || !strings.Contains(string(in.Extra["enms"]), "Disabled at 2026-11-21 20:43:28.318589 by ops") {
		t.Errorf("disabled: %s %v", input(t, in), err)
	}
	in, err = try(with(serviceModel(nil), &old), `{"name": "hello", "enable_mode": false}`)
	if err != nil || in.BecomeUser == nil || *in.BecomeUser != "" {
		t.Errorf("enable_mode: %s %v", input(t, in), err)
	}
}

// Ours: when a run stops early.
func TestService_StopAfter(t *testing.T) {
	for given, want := range map[string]job.StopAfter{`3`: {Count: 3}, `"3"`: {Count: 3}, `"10%"`: {Percent: 10}, `0`: {}, `null`: {}, `""`: {}} {
		in, err := try(with(shellScriptModel(nil), nil), `{"name": "s", "stop_after": `+given+`}`)
		if err != nil || in.StopAfter == nil || *in.StopAfter != want {
			t.Errorf("%s: %+v %v", given, in.StopAfter, err)
		}
	}
	v := service()
	if _, ok := serviceModel(nil).properties(v)["stop_after"]; ok {
		t.Error("shown although no run stops early")
	}
	v.Limits.StopAfter.Count = 3
	if got := serviceModel(nil).properties(v)["stop_after"]; got != 3 {
		t.Errorf("%v", got)
	}
	v.Limits.StopAfter = job.StopAfter{Percent: 10}
	if got := serviceModel(nil).properties(v)["stop_after"]; got != "10%" {
		t.Errorf("%v", got)
	}
	if in, err := try(with(shellScriptModel(nil), &v), `{"name": "hello", "description": "x"}`); err != nil || in.StopAfter != nil {
		t.Errorf("changed although it was not given: %v %v", in.StopAfter, err)
	}
}

// 80: what is not done is refused by name.
func TestService_Refuses(t *testing.T) {
	for body, field := range map[string]string{
		`{"name": "s", "run_method": "once"}`:               "run_method",
		`{"name": "s", "validation_condition": "success"}`:  "validation_condition",
		`{"name": "s", "content_match": "x"}`:               "content_match",
		`{"name": "s", "negative_logic": true}`:             "negative_logic",
		`{"name": "s", "skip_query": "True"}`:               "skip_query",
		`{"name": "s", "skip": {"w": true}}`:                "skip",
		`{"name": "s", "iteration_values": "[1]"}`:          "iteration_values",
		`{"name": "s", "iteration_devices": "x"}`:           "iteration_devices",
		`{"name": "s", "preprocessing": "x"}`:               "preprocessing",
		`{"name": "s", "postprocessing": "x"}`:              "postprocessing",
		`{"name": "s", "conversion_method": "json"}`:        "conversion_method",
		`{"name": "s", "device_query": "x"}`:                "device_query",
		`{"name": "s", "waiting_time": 5}`:                  "waiting_time",
		`{"name": "s", "maximum_runs": 2}`:                  "maximum_runs",
		`{"name": "s", "disable_result_creation": true}`:    "disable_result_creation",
		`{"name": "s", "credential_type": "read-only"}`:     "credential_type",
		`{"name": "s", "credentials": "custom"}`:            "credentials",
		`{"name": "s", "credentials": "x"}`:                 "credentials",
		`{"name": "s", "credentials": "object"}`:            "named_credential",
		`{"name": "s", "custom_password": "x"}`:             "custom_password",
		`{"name": "s", "send_notification": true}`:          "send_notification",
		`{"name": "s", "config_mode": true}`:                "config_mode",
		`{"name": "s", "use_textfsm": true}`:                "use_textfsm",
		`{"name": "s", "shared": true}`:                     "shared",
		`{"name": "s", "type": "netmiko_commands_service"}`: "type",
		`{"name": "s", "max_processes": 0}`:                 "max_processes",
		`{"name": "s", "max_processes": "x"}`:               "max_processes",
		`{"name": "s", "read_timeout": -1}`:                 "read_timeout",
		`{"name": "s", "read_timeout": "soon"}`:             "read_timeout",
		`{"name": "s", "number_of_retries": []}`:            "number_of_retries",
		`{"name": "s", "time_between_retries": 1e300}`:      "time_between_retries",
		`{"name": "s", "initial_payload": [1]}`:             "initial_payload",
		`{"name": "s", "target_devices": {}}`:               "target_devices",
		`{"name": "s", "stop_after": "many"}`:               "stop_after",
		`{"name": "s", "stop_after": -1}`:                   "stop_after",
		`{"name": "s", "stop_after": 2.5}`:                  "stop_after",
		`{"name": "s", "stop_after": "101%"}`:               "stop_after",
		`{"name": "s", "stop_after": [3]}`:                  "stop_after",
		`{"name": "s", "source_code": []}`:                  "source_code",
	} {
		_, err := try(with(shellScriptModel(nil), nil), body)
		if e, ok := err.(*job.Error); !ok || e.Field != field || statuses[e.Code] != 400 {
			t.Errorf("%s: %v", body, err)
		}
	}
	if _, err := try(with(serviceModel(nil), nil), `{"name": "s"}`); err == nil {
		t.Error("a service without a type was accepted")
	}
}

// Every property that has one value takes that value.
func TestService_TakesTheDefaultsOfWhatComesLater(t *testing.T) {
	for _, p := range laterProperties() {
		if p.get == nil || p.put == nil {
			continue
		}
		raw, err := encode(p.get(stored[serviceView]{}))
		if err != nil {
			t.Fatal(err)
		}
		e := &serviceEdit{extra: map[string]json.RawMessage{}}
		if err := p.put(e, raw); err != nil {
			t.Errorf("%s: %v", p.name, err)
		}
	}
}
