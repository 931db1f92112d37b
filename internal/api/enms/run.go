package enms

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"drover/internal/api"
	"drover/internal/dispatch"
	"drover/internal/inventory"
	"drover/internal/job"
)

// runRequest is the body of run_service, decoded.
type runRequest struct {
	name          string
	devices       []string
	addresses     []string
	pools         []string
	async         bool
	ignoreInvalid bool
	runName       string
	labels        string
	payload       map[string]json.RawMessage
}

// reserved are the keys that name attributes of a run in eNMS. A truthy value
// under one of them does not reach the payload.
var reserved = wordSet("id", "type", "name", "restart_run_id", "restart_run", "start_services", "creator",
	"properties", "payload", "success", "labels", "status", "runtime", "duration", "trigger", "path",
	"parameterized_run", "server_id", "server_version", "server_commit_sha", "server", "server_name",
	"service_id", "service_name", "service", "services", "placeholder_id", "placeholder",
	"start_service_id", "start_service", "task_id", "task", "task_name", "worker_id", "worker", "state",
	"progress", "server_properties", "service_properties", "worker_properties", "target_devices", "target_pools")

func wordSet(words ...string) map[string]bool {
	set := make(map[string]bool, len(words))
	for _, w := range words {
		set[w] = true
	}
	return set
}

// errNameNotText is the one wrong name that eNMS answers as if there were no
// such service.
var errNameNotText = job.Errorf(job.NotFound, "the name is a number")

// decodeRun reads the body of run_service.
func decodeRun(body []byte, asyncDefault bool) (runRequest, error) {
	var m map[string]json.RawMessage
	if err := api.Decode(body, &m); err != nil {
		return runRequest{}, err
	}
	q := runRequest{async: asyncDefault}
	var err error
	if q.name, err = serviceName(m["name"]); err != nil {
		return q, err
	}
	for _, list := range []struct {
		field string
		to    *[]string
	}{{"devices", &q.devices}, {"ip_addresses", &q.addresses}, {"pools", &q.pools}} {
		if *list.to, err = names(list.field, m[list.field]); err != nil {
			return q, err
		}
	}
	if raw, ok := m["async"]; ok {
		q.async = asked(raw)
	}
	q.ignoreInvalid = asked(m["ignore_invalid_targets"])
	if truthy(m["labels"]) {
		if err := json.Unmarshal(m["labels"], &q.labels); err != nil {
			return q, job.FieldErrorf("labels", "want a string")
		}
	}
	q.payload = map[string]json.RawMessage{}
	if err := q.form(m); err != nil {
		return q, err
	}
	for key, raw := range m {
		if key == "name" || key != "payload" && reserved[key] && truthy(raw) {
			continue
		}
		q.payload[key] = raw
	}
	q.markTargets()
	return q, nil
}

func serviceName(raw json.RawMessage) (string, error) {
	if isNull(raw) {
		return "", job.FieldErrorf("name", "is missing")
	}
	var n json.Number
	if json.Unmarshal(raw, &n) == nil && raw[0] != '"' {
		return "", errNameNotText
	}
	var name string
	if err := json.Unmarshal(raw, &name); err != nil {
		return "", job.FieldErrorf("name", "want a string")
	}
	if name == "" {
		return "", job.FieldErrorf("name", "is missing")
	}
	return name, nil
}

// form reads the form of a parameterized run. Its name counts in every run.
func (q *runRequest) form(m map[string]json.RawMessage) error {
	if isNull(m["form"]) {
		return nil
	}
	form, err := object("form", m["form"])
	if err != nil {
		return err
	}
	if truthy(form["name"]) {
		if json.Unmarshal(form["name"], &q.runName) != nil {
			return job.FieldErrorf("form.name", "want a string")
		}
		if len(q.runName) > inventory.MaxLine { // said here, under the name that the caller knows
			return job.FieldErrorf("form.name", "is longer than %d bytes", inventory.MaxLine)
		}
	}
	if !truthy(m["parameterized_run"]) {
		return nil
	}
	// What would silently change the devices, or how many at once, is
	// refused rather than passed over.
	for _, key := range []string{"target_devices", "target_pools", "device_query", "multiprocessing", "max_processes", "send_notification"} {
		if asked(form[key]) {
			return &job.Error{Code: job.Unsupported, Field: "form." + key, Message: "cannot be set for one run in this version"}
		}
	}
	if truthy(form["labels"]) {
		if json.Unmarshal(form["labels"], &q.labels) != nil {
			return job.FieldErrorf("form.labels", "want a string")
		}
	}
	if truthy(form["initial_payload"]) {
		initial, err := object("form.initial_payload", form["initial_payload"])
		if err != nil {
			return err
		}
		for key, raw := range initial {
			q.payload[key] = raw
		}
	}
	return nil
}

// markTargets adds the empty list that eNMS leaves in the payload for the kind
// of target that the request did not use.
func (q *runRequest) markTargets() {
	single, pools := len(q.devices)+len(q.addresses) > 0, len(q.pools) > 0
	switch {
	case single && !pools:
		q.payload["target_pools"] = json.RawMessage("[]")
	case pools && !single:
		q.payload["target_devices"] = json.RawMessage("[]")
	}
}

// submission is the request in the words of package dispatch.
func (q *runRequest) submission() (dispatch.Submission, error) {
	payload, err := json.Marshal(q.payload)
	if err != nil {
		return dispatch.Submission{}, job.Wrap(job.Internal, err, "encode the payload")
	}
	return dispatch.Submission{
		Service: q.name, Devices: q.devices, Addresses: q.addresses, Pools: q.pools,
		IgnoreInvalid: q.ignoreInvalid, Payload: payload, NeedsTargets: true,
		Trigger: job.TriggerAPI, Name: q.runName, Labels: q.labels,
	}, nil
}

// runService is POST /rest/run_service.
func (s *server) runService(w http.ResponseWriter, r *http.Request, c call) {
	body, err := api.ReadBody(r)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	q, err := decodeRun(body, s.AsyncDefault)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	sub, err := q.submission()
	if err != nil {
		s.fail(w, r, err)
		return
	}
	if sub.IdempotencyKey, err = api.IdempotencyKey(r); err != nil {
		s.fail(w, r, err)
		return
	}
	sub.Path, sub.Body = "/rest/run_service", body
	got, err := s.Dispatch.Submit(r.Context(), c.who, sub)
	if err != nil {
		s.refuse(w, r, got.Unknown, err)
		return
	}
	if q.async {
		s.write(w, r, http.StatusOK, map[string]any{"errors": targetErrors(got.Unknown), "runtime": runtime(got.Run.Created)})
		return
	}
	s.answerWhenOver(w, r, c, got)
}

// refuse answers a submit that made no run. Some of eNMS's refusals are 200.
func (s *server) refuse(w http.ResponseWriter, r *http.Request, unknown []inventory.Unknown, err error) {
	switch code := job.CodeOf(err); {
	case len(unknown) > 0:
		s.write(w, r, http.StatusOK, map[string]any{"errors": targetErrors(unknown)})
	case code == job.Disabled:
		s.write(w, r, http.StatusOK, map[string]any{"error": msgDisabled})
	case code == job.AlreadyExists:
		s.write(w, r, http.StatusOK, map[string]any{"error": msgNameTaken})
	default:
		s.fail(w, r, err)
	}
}

// maxTargetErrors keeps an answer that is all errors within its limit.
const maxTargetErrors = 20_000

// targetErrors says which targets do not exist, one sentence for each mention.
func targetErrors(unknown []inventory.Unknown) []string {
	n := min(len(unknown), maxTargetErrors)
	out := make([]string, n, n+1)
	for i, u := range unknown[:n] {
		out[i] = fmt.Sprintf(unknownTargets[u.Kind], u.Value)
	}
	if more := len(unknown) - n; more > 0 {
		out = append(out, fmt.Sprintf("[cut: %d more]", more))
	}
	return out
}

// answerWhenOver waits for the run and answers with its result. When that,
// reading the results included, takes longer than the deployment allows, the
// answer names the run and the run goes on.
func (s *server) answerWhenOver(w http.ResponseWriter, r *http.Request, c call, got dispatch.Submitted) {
	ctx := r.Context()
	if s.SyncTimeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, s.SyncTimeout)
		defer cancel()
	}
	run, err := s.Dispatch.Wait(ctx, c.who, got.Run.ID)
	var a *answer
	if err == nil {
		a, err = s.read(ctx, c.who, run)
	}
	switch {
	case err == nil:
		a.main["errors"] = targetErrors(got.Unknown)
		s.writeAnswer(w, r, a, a.main)
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		s.write(w, r, http.StatusGatewayTimeout, map[string]any{
			"alert":  "Error 504 - The run goes on; its result can be read later with this runtime.",
			"errors": targetErrors(got.Unknown), "runtime": runtime(got.Run.Created)})
	default:
		s.fail(w, r, err)
	}
}
