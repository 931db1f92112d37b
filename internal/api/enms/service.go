package enms

import (
	"encoding/json"
	"fmt"
	"time"

	"drover/internal/api"
	"drover/internal/dispatch"
	"drover/internal/inventory"
	"drover/internal/job"
)

type (
	serviceView = dispatch.ServiceView
	serviceIn   = inventory.ServiceInput
	serviceEdit = edit[serviceView, serviceIn]
	serviceProp = property[serviceView, serviceIn]
)

// serviceTypes is the table of service types.
var serviceTypes = map[string]job.TemplateType{"unix_shell_script_service": job.TypeScript}

// typeName is serviceTypes backwards.
func typeName(t job.TemplateType) string {
	for theirs, ours := range serviceTypes {
		if ours == t {
			return theirs
		}
	}
	return string(t)
}

// defaultProcesses is max_processes of a service for which it was not given.
const defaultProcesses = 5

// serviceModel is eNMS's service under the name that all types share. It
// creates nothing unless "type" says what.
func serviceModel(d *dispatch.Dispatcher) *model[serviceView, serviceIn] {
	return newServiceModel(d, "")
}

// shellScriptModel is eNMS's unix_shell_script_service.
func shellScriptModel(d *dispatch.Dispatcher) *model[serviceView, serviceIn] {
	return newServiceModel(d, "unix_shell_script_service")
}

func newServiceModel(d *dispatch.Dispatcher, typ string) *model[serviceView, serviceIn] {
	props := metaProperties[serviceView, serviceIn]("")
	props = props[:len(props)-1] // the type is below
	props = append(props,
		serviceProp{name: "type", get: func(o stored[serviceView]) any { return typeName(o.view.Type) }, put: putType},
		readOnly[serviceView, serviceIn]("scoped_name", func(o stored[serviceView]) any { return scopedName(o.meta.Name) }),
	)
	props = append(props, workProperties()...)
	props = append(props, laterProperties()...)
	return newModel(model[serviceView, serviceIn]{
		props:   props,
		meta:    func(v serviceView) job.Meta { return v.Meta },
		renames: true, alias: "scoped_name",
		identify: func(in *serviceIn, name string, newName *string, extra map[string]json.RawMessage) {
			in.Name, in.NewName, in.Extra = name, newName, extra
		},
		finish: func(e *serviceEdit) error { return finishService(e, typ) },
		more:   moreOfService,
		load:   d.Service, save: d.SaveServices, remove: d.DeleteService,
	})
}

func putType(e *serviceEdit, raw json.RawMessage) error {
	s, err := text("type", raw)
	if err != nil {
		return err
	}
	t, ok := serviceTypes[s]
	if !ok {
		return &job.Error{Code: job.Unsupported, Field: "type", Message: fmt.Sprintf("the service type %.60q is not available in this version", s)}
	}
	ours := string(t)
	e.in.Type = &ours
	return nil
}

// workProperties are those that say what a service does, where and how.
func workProperties() []serviceProp {
	return []serviceProp{
		mapped("description", "", func(v serviceView) string { return v.Description }, func(in *serviceIn) **string { return &in.Description }),
		mapped("source_code", "body", func(v serviceView) string { return v.Body }, func(in *serviceIn) **string { return &in.Body }),
		related("target_devices", "devices", func(v serviceView) []string { return v.Devices }, func(in *serviceIn) **[]string { return &in.Devices }),
		related("target_pools", "pools", func(v serviceView) []string { return v.Pools }, func(in *serviceIn) **[]string { return &in.Pools }),
		{
			name: "run_method", get: func(stored[serviceView]) any { return "per_device" },
			put: func(_ *serviceEdit, raw json.RawMessage) error {
				if same(raw, "per_device") {
					return nil
				}
				return &job.Error{Code: job.Unsupported, Field: "run_method", Message: "this type of service runs on a device; want per_device"}
			},
		},
		// What runs at once: two properties of theirs, one number of ours.
		kept[serviceView, serviceIn]("multiprocessing", nil).shown(func(o stored[serviceView]) any { mp, _ := processes(o); return mp }),
		kept[serviceView, serviceIn]("max_processes", nil).shown(func(o stored[serviceView]) any { _, n := processes(o); return n }),
		{
			name: "number_of_retries", ours: "retry_count",
			get: func(o stored[serviceView]) any { return o.view.Limits.Retries.Count },
			put: func(e *serviceEdit, raw json.RawMessage) error {
				n, err := integer("number_of_retries", raw)
				e.in.RetryCount = &n
				return err
			},
		},
		{
			name: "time_between_retries", ours: "retry_wait",
			get: func(o stored[serviceView]) any { return secondsOf(o.view.Limits.Retries.Wait) },
			put: func(e *serviceEdit, raw json.RawMessage) error {
				d, err := seconds("time_between_retries", raw)
				e.in.RetryWait = &d
				return err
			},
		},
		{
			name: "read_timeout", ours: "timeout",
			get: func(o stored[serviceView]) any { return float(o.view.Limits.Timeout.Seconds()) },
			put: func(e *serviceEdit, raw json.RawMessage) error {
				d, err := seconds("read_timeout", raw)
				e.in.Timeout = &d
				return err
			},
		},
		{
			name: "initial_payload", ours: "payload",
			get: func(o stored[serviceView]) any { return payloadOf(o.view) },
			put: func(e *serviceEdit, raw json.RawMessage) error {
				if !truthy(raw) {
					raw = json.RawMessage("{}")
				}
				if _, err := object("initial_payload", raw); err != nil {
					return err
				}
				e.in.Payload = &raw
				return nil
			},
		},
		{
			name: "disabled", get: func(o stored[serviceView]) any { return o.view.Disabled },
			put: func(e *serviceEdit, raw json.RawMessage) error {
				off := boolean(raw)
				e.in.Disabled = &off
				return nil
			},
		},
		readOnly[serviceView, serviceIn]("disabled_info", func(o stored[serviceView]) any {
			var info string
			if o.view.Disabled {
				_ = json.Unmarshal(o.extra["disabled_info"], &info)
			}
			return info
		}),
		{
			name: "credentials", get: func(o stored[serviceView]) any {
				if o.view.CredentialID != 0 {
					return "object"
				}
				return "device"
			},
			put: putCredentials,
		},
		{
			name: "named_credential", ours: "credential", relation: true,
			get: func(o stored[serviceView]) any { return o.view.Credential },
			put: func(e *serviceEdit, raw json.RawMessage) error {
				if isNull(raw) {
					raw = json.RawMessage(`""`)
				}
				_, err := text("named_credential", raw)
				return err
			},
		},
		readOnly[serviceView, serviceIn]("named_credential_id", func(o stored[serviceView]) any {
			if o.view.CredentialID == 0 {
				return nil
			}
			return o.view.CredentialID
		}),
		{
			// On a host, netmiko's enable mode is sudo.
			name: "enable_mode", ours: "become_user",
			get: func(o stored[serviceView]) any { return o.view.Become.User != "" },
			put: func(e *serviceEdit, raw json.RawMessage) error {
				if e.set("become_user") {
					return nil
				}
				user := ""
				if boolean(raw) {
					if user = e.was.view.Become.User; user == "" {
						user = "root"
					}
				}
				e.in.BecomeUser = &user
				return nil
			},
		},
		// Ours: eNMS's sudo has no other user and no other way.
		mapped("become_user", "", func(v serviceView) string { return v.Become.User }, func(in *serviceIn) **string { return &in.BecomeUser }),
		mapped("become_method", "", func(v serviceView) string { return string(v.Become.Method) }, func(in *serviceIn) **string { return &in.BecomeMethod }),
		mapped("on_unknown", "", func(v serviceView) string { return string(v.Limits.OnUnknown) }, func(in *serviceIn) **string { return &in.OnUnknown }),
		{
			// Ours: a number of devices, or "10%". Shown where it is set.
			name: "stop_after",
			put: func(e *serviceEdit, raw json.RawMessage) error {
				stop, err := stopAfter(raw)
				e.in.StopAfter = &stop
				return err
			},
		},
		readOnly[serviceView, serviceIn]("status", func(stored[serviceView]) any { return "Idle" }),
		readOnly[serviceView, serviceIn]("last_run", func(stored[serviceView]) any { return "Never" }),
		readOnly[serviceView, serviceIn]("path", func(stored[serviceView]) any { return "" }),
		readOnly[serviceView, serviceIn]("custom_username", func(stored[serviceView]) any { return "" }),
	}
}

// stopAfter reads a number or a percentage; null is never.
func stopAfter(raw json.RawMessage) (job.StopAfter, error) {
	if isNull(raw) {
		return job.StopAfter{}, nil
	}
	s, err := text("stop_after", raw)
	if err != nil {
		return job.StopAfter{}, err
	}
	return inventory.ParseStopAfter("stop_after", s)
}

// moreOfService are the properties that are shown only where they are set.
func moreOfService(o stored[serviceView]) map[string]any {
	switch s := o.view.Limits.StopAfter; {
	case s.Percent > 0:
		return map[string]any{"stop_after": inventory.StopAfterText(s)}
	case s.Count > 0:
		return map[string]any{"stop_after": s.Count}
	}
	return nil
}

// shown replaces how a property is given.
func (p property[V, In]) shown(get func(stored[V]) any) property[V, In] {
	p.get = get
	return p
}

// secondsOf prints whole seconds as an integer, as eNMS has them.
func secondsOf(d time.Duration) any {
	if d%time.Second == 0 {
		return int64(d / time.Second)
	}
	return float(d.Seconds())
}

func payloadOf(v serviceView) any {
	var p any
	if len(v.Payload) == 0 || api.Decode(v.Payload, &p) != nil {
		return map[string]any{}
	}
	return python(p)
}

// processes are eNMS's two words for the number of devices at once.
func processes(o stored[serviceView]) (multi bool, most int) {
	n := o.view.Limits.Concurrency
	if n > 1 {
		return true, n
	}
	multi = o.extra["multiprocessing"] != nil && boolean(o.extra["multiprocessing"])
	most = defaultProcesses
	if raw, ok := o.extra["max_processes"]; ok {
		if m, err := integer("max_processes", raw); err == nil {
			most = m
		}
	}
	if multi {
		most = 1
	}
	return multi, most
}

func putCredentials(_ *serviceEdit, raw json.RawMessage) error {
	switch s, err := text("credentials", raw); {
	case err != nil:
		return err
	case s == "device", s == "object":
		return nil
	case s == "custom":
		return &job.Error{Code: job.Unsupported, Field: "credentials",
			Message: "custom is not available in this version; create a credential and name it (credentials object, named_credential)"}
	}
	return job.FieldErrorf("credentials", "want device or object")
}

// finishService applies what several properties say together.
func finishService(e *serviceEdit, typ string) error {
	if !e.exists {
		if e.in.Type == nil {
			if typ == "" {
				return job.FieldErrorf("type", "a new service needs its type; POST to /rest/instance/unix_shell_script_service, say")
			}
			ours := string(serviceTypes[typ])
			e.in.Type = &ours
		}
	} else if typ != "" && typeName(e.was.view.Type) != typ {
		return job.FieldErrorf("type", "the service is a %s", typeName(e.was.view.Type))
	}
	if err := finishProcesses(e); err != nil {
		return err
	}
	if e.in.Disabled != nil && *e.in.Disabled && !e.was.view.Disabled {
		e.extra["disabled_info"] = mustEncode(fmt.Sprintf("Disabled at %s by %s", runtime(e.now), e.by.Name))
	}
	return finishCredential(e)
}

// finishProcesses makes one number of multiprocessing and max_processes.
func finishProcesses(e *serviceEdit) error {
	multi, most := false, defaultProcesses
	if e.exists {
		multi, most = processes(e.was)
	}
	if e.set("multiprocessing") {
		multi = boolean(e.given["multiprocessing"])
	}
	if e.set("max_processes") {
		n, err := integer("max_processes", e.given["max_processes"])
		if err != nil {
			return err
		}
		if n < 1 || n > inventory.MaxConcurrency {
			return job.FieldErrorf("max_processes", "%d is not between 1 and %d", n, inventory.MaxConcurrency)
		}
		most = n
	}
	if e.exists && !e.set("multiprocessing") && !e.set("max_processes") {
		return nil
	}
	n := 1
	if multi {
		n = most
	}
	e.in.Concurrency = &n
	e.extra["multiprocessing"] = mustEncode(multi)
	e.extra["max_processes"] = mustEncode(most)
	return nil
}

// finishCredential makes one reference of credentials and named_credential.
func finishCredential(e *serviceEdit) error {
	if !e.set("credentials") && e.given["named_credential"] == nil {
		return nil
	}
	named := e.was.view.Credential
	if raw, ok := e.given["named_credential"]; ok {
		named = ""
		if !isNull(raw) {
			var err error
			if named, err = text("named_credential", raw); err != nil {
				return err
			}
		}
	}
	how, _ := text("credentials", e.given["credentials"])
	switch {
	case how == "object" && named == "":
		return job.FieldErrorf("named_credential", "is required with credentials object")
	case how == "device":
		named = ""
	}
	e.in.Credential = &named
	return nil
}

// laterProperties are those of eNMS that have one value in this version, and
// those that mean nothing here and are given back as they came.
func laterProperties() []serviceProp {
	var all []serviceProp
	for _, p := range []struct {
		name string
		def  any
		also []any
	}{
		{name: "config_mode", def: false},
		{name: "content_match", def: ""},
		{name: "content_match_regex", def: false},
		{name: "conversion_method", def: "none"},
		{name: "credential_type", def: "any"},
		{name: "custom_password", def: ""},
		{name: "delete_spaces_before_matching", def: false},
		{name: "device_query", def: ""},
		{name: "device_query_property", def: "ip_address", also: []any{"name"}},
		{name: "dict_match", def: map[string]any{}},
		{name: "disable_result_creation", def: false},
		{name: "email_report", def: false},
		{name: "display_report", def: false},
		{name: "expect_string", def: ""},
		{name: "iteration_devices", def: ""},
		{name: "iteration_devices_property", def: "ip_address", also: []any{"name"}},
		{name: "iteration_values", def: ""},
		{name: "iteration_variable_name", def: "iteration_value"},
		{name: "jump_on_connect", def: false},
		{name: "jump_command", def: ""},
		{name: "jump_username", def: ""},
		{name: "jump_password", def: ""},
		{name: "mandatory_parametrization", def: false},
		{name: "max_number_of_retries", def: 100},
		{name: "maximum_runs", def: 1},
		{name: "negative_logic", def: false},
		{name: "parameterized_form", def: ""},
		{name: "postprocessing", def: ""},
		{name: "postprocessing_mode", def: "success", also: []any{"always", "failure"}},
		{name: "preprocessing", def: ""},
		{name: "report", def: ""},
		{name: "send_notification", def: false},
		{name: "shared", def: false},
		{name: "skip", def: map[string]any{}},
		{name: "skip_query", def: ""},
		{name: "skip_value", def: "success", also: []any{"failure", "discard", "True"}},
		{name: "use_genie", def: false},
		{name: "use_textfsm", def: false},
		{name: "validation_condition", def: "none"},
		{name: "validation_method", def: "text", also: []any{"dict_included", "dict_equal"}},
		{name: "validation_section", def: "results['result']"},
		{name: "waiting_time", def: 0},
	} {
		f := fixed[serviceView, serviceIn](p.name, p.def, p.also...)
		if secretName(p.name) {
			f.get = nil
		}
		all = append(all, f)
	}
	for name, def := range map[string]any{
		"auth_timeout": float(0), "auto_find_prompt": true, "banner_timeout": float(15), "close_connection": false,
		"config_mode_command": "", "conn_timeout": float(10), "connection_name": "default",
		"display_only_failed_nodes": true, "driver": "device", "exit_command": "", "expect_password_prompt": "",
		"expect_prompt": "", "expect_username_prompt": "", "fast_cli": false, "global_delay_factor": float(1),
		"include_device_results": true, "include_link_in_summary": true, "log_level": 1, "mail_recipient": "",
		"notification_header": "", "operating_system": "", "parameterized_form_template": "", "priority": 10,
		"reply_to": "", "report_format": "text", "report_jinja2_template": false,
		"send_notification_method": "mail", "start_new_connection": false, "strip_command": true, "strip_prompt": true,
		"update_pools_after_running": false, "update_target_pools": false, "vendor": "",
	} {
		all = append(all, kept[serviceView, serviceIn](name, def))
	}
	for name, def := range map[string]any{"admin_only": false, "restrict_to_owners": []string{}} {
		all = append(all, readOnly[serviceView, serviceIn](name, func(stored[serviceView]) any { return def }))
	}
	return all
}
