package enms

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"drover/internal/api"
	"drover/internal/dispatch"
	"drover/internal/job"
)

// answer is the result of a run in eNMS's shape, before it is encoded.
type answer struct {
	main    map[string]any
	devices map[string]any // main["devices"]
	texts   api.Texts
}

// resultsPage is how many results are held at once besides those already cut.
const resultsPage = 200

// read makes the main result of a run that is over. It is the same whenever it
// is read: nothing in it comes from what may have changed since, except the
// service's descriptive properties.
func (s *server) read(ctx context.Context, p job.Principal, run job.Run) (*answer, error) {
	j, err := s.Dispatch.Job(ctx, p, run)
	if err != nil {
		return nil, err
	}
	properties, err := s.properties(ctx, p, run, j)
	if err != nil {
		return nil, err
	}
	a := &answer{devices: map[string]any{}}
	payload, err := a.payload(j.Payload)
	if err != nil {
		return nil, err
	}
	a.main = map[string]any{
		"runtime": runtime(run.Created), "success": run.Status == job.Succeeded,
		"duration": duration(between(&run.Created, run.Ended)), "trigger": s.trigger(run),
		"properties": properties, "payload": payload, "devices": a.devices,
	}
	success, failure := []string{}, []string{}
	err = s.eachResult(ctx, p, run, func(r job.Result) {
		if r.Status == job.ResultSucceeded {
			success = append(success, r.Device)
		} else {
			failure = append(failure, r.Device)
		}
		if !neverStarted(r) {
			a.devices[r.Device] = a.device(r, run.Ended)
		}
	}, func() { a.texts.Cut(2 * s.MaxAnswer) })
	if err != nil {
		return nil, err
	}
	switch run.Reason {
	case job.ReasonNoTargets:
		a.main["result"] = msgNoTargets
	case job.ReasonInternal:
		a.main["result"] = strings.TrimSpace(reasons[job.ReasonInternal] + "\n" + run.Message)
	default:
		a.main["summary"] = map[string]any{"success": success, "failure": failure, "discard": []string{}}
	}
	return a, nil
}

// eachResult calls one for every device of a run, in order, and paged after
// each page.
func (s *server) eachResult(ctx context.Context, p job.Principal, run job.Run, one func(job.Result), paged func()) error {
	for from := 0; from >= 0; {
		if err := ctx.Err(); err != nil { // a large run takes minutes to read
			return job.Wrap(job.Canceled, err, "reading the results")
		}
		page, err := s.Dispatch.Results(ctx, p, run.ID, from, resultsPage)
		if err != nil {
			return err
		}
		for _, r := range page.Results {
			one(r)
		}
		paged()
		from = page.Next
	}
	return nil
}

// neverStarted reports whether a stop came before the device's turn: it counts
// as a failure and has no entry of its own.
func neverStarted(r job.Result) bool {
	return r.Status == job.ResultPending || r.Status == job.ResultCanceled && r.Started == nil
}

// device is the entry of one device. One that was never reached is dated by
// the end of the run.
func (a *answer) device(r job.Result, ended *time.Time) map[string]any {
	entry := map[string]any{
		"device_target": r.Device, "success": r.Status == job.ResultSucceeded,
		"duration": duration(between(r.Started, r.Ended)),
	}
	if at := firstTime(r.Ended, r.Started, ended); at != nil {
		entry["runtime"] = runtime(*at)
	}
	if r.Exit != nil {
		entry["return_code"] = strconv.Itoa(*r.Exit)
	}
	if ranToItsEnd(r) {
		entry["result"] = a.texts.Add(r.Output.Stdout)
	} else {
		entry["result"] = a.texts.Add(failureText(r))
		if r.Output.Stdout != "" {
			entry["stdout"] = a.texts.Add(r.Output.Stdout)
		}
	}
	if r.Output.Stderr != "" {
		entry["stderr"] = a.texts.Add(r.Output.Stderr)
	}
	return entry
}

// ranToItsEnd reports whether what the command printed is the device's answer.
func ranToItsEnd(r job.Result) bool {
	return r.Status == job.ResultSucceeded || r.Status == job.ResultFailed && r.Reason == job.ReasonExitStatus
}

func firstTime(times ...*time.Time) *time.Time {
	for _, t := range times {
		if t != nil {
			return t
		}
	}
	return nil
}

// payload decodes a run's payload, so that its keys are sorted and its long texts
// can be cut.
func (a *answer) payload(raw json.RawMessage) (any, error) {
	if len(raw) == 0 {
		return map[string]any{}, nil
	}
	var v any
	if err := api.Decode(raw, &v); err != nil {
		return nil, job.Wrap(job.Corrupt, err, "the run's payload")
	}
	return a.texts.Tree(python(v)), nil
}

// properties are those of the service as it ran.
func (s *server) properties(ctx context.Context, p job.Principal, run job.Run, j job.Job) (map[string]any, error) {
	sv, err := s.Dispatch.Service(ctx, p, run.ServiceName)
	switch {
	case job.CodeOf(err) == job.NotFound || err == nil && sv.ID != run.ServiceID:
		sv = dispatch.ServiceView{Service: job.Service{Meta: job.Meta{ID: run.ServiceID, Name: run.ServiceName}}}
	case err != nil:
		return nil, err
	}
	sv.Body, sv.Limits, sv.Become, sv.Type = j.Body, j.Limits, j.Become, j.Type
	out := s.services.properties(sv)
	if run.Started != nil {
		out["last_run"] = runtime(*run.Started)
	}
	return out, nil
}

// sparedForCut is what the note about a cut takes.
const sparedForCut = 256

// writeAnswer writes whole, of which a is a part, within the limit of an
// answer: long texts are cut first, then entries of devices that succeeded are
// left out, then those of all. The key "cut" counts what is missing.
func (s *server) writeAnswer(w http.ResponseWriter, r *http.Request, a *answer, whole map[string]any) {
	leftOut := 0
	enc := func() ([]byte, error) { return encode(whole) }
	body, texts, err := a.texts.Fit(s.MaxAnswer-sparedForCut, enc)
	for _, all := range []bool{false, true} {
		if job.CodeOf(err) != job.TooLarge {
			break
		}
		leftOut += a.leaveOut(all)
		body, texts, err = a.texts.Fit(s.MaxAnswer-sparedForCut, enc)
	}
	if err == nil && texts+leftOut > 0 {
		whole["cut"] = map[string]any{"texts": texts, "devices": leftOut}
		body, err = enc()
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	writeBody(w, http.StatusOK, body)
}

// leaveOut removes entries of devices and returns how many.
func (a *answer) leaveOut(all bool) int {
	n := 0
	for name, e := range a.devices {
		if entry, ok := e.(map[string]any); all || ok && entry["success"] == true {
			delete(a.devices, name)
			n++
		}
	}
	return n
}

// run looks up a run by its runtime.
func (s *server) run(ctx context.Context, p job.Principal, at string) (job.Run, error) {
	t, ok := parseRuntime(at)
	if !ok {
		return job.Run{}, job.Errorf(job.NotFound, "no run at this time")
	}
	return s.Dispatch.RunByCreated(ctx, p, t)
}

// result is GET /rest/result/<service>/<runtime>.
func (s *server) result(w http.ResponseWriter, r *http.Request, c call) {
	run, err := s.run(r.Context(), c.who, c.args[1])
	if err == nil && c.args[0] != run.ServiceName && c.args[0] != scopedName(run.ServiceName) {
		err = job.Errorf(job.NotFound, "the run is another service's")
	}
	switch {
	case job.CodeOf(err) == job.NotFound:
		s.write(w, r, http.StatusNotFound, map[string]any{"error": msgNoResult})
		return
	case err != nil:
		s.fail(w, r, err)
		return
	}
	status := runStatuses[run.Status]
	if !run.Status.Terminal() {
		s.write(w, r, http.StatusOK, map[string]any{"status": status, "result": msgNotYet})
		return
	}
	a, err := s.read(r.Context(), c.who, run)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	s.writeAnswer(w, r, a, map[string]any{"status": status, "result": a.main})
}

// scopedName is a service's name without the "[Workflow] " or "[Shared] " that
// its full name begins with.
func scopedName(full string) string {
	if strings.HasPrefix(full, "[") {
		if _, scoped, ok := strings.Cut(full, "] "); ok {
			return scoped
		}
	}
	return full
}

// stopRun is POST /rest/stop_run/<runtime>: true for a run that was running,
// null when there is none.
func (s *server) stopRun(w http.ResponseWriter, r *http.Request, c call) {
	run, err := s.run(r.Context(), c.who, c.args[0])
	if err == nil && !run.Status.Terminal() {
		if _, err = s.Dispatch.Cancel(r.Context(), c.who, run.ID); err == nil {
			s.write(w, r, http.StatusOK, true)
			return
		}
	}
	if err != nil && job.CodeOf(err) != job.NotFound {
		s.fail(w, r, err)
		return
	}
	s.write(w, r, http.StatusOK, nil)
}

// runLog is GET /rest/run_log/<runtime>: what happened so far, one line each,
// and whether more will come. The lines hold no output.
func (s *server) runLog(w http.ResponseWriter, r *http.Request, c call) {
	run, err := s.run(r.Context(), c.who, c.args[0])
	switch {
	case job.CodeOf(err) == job.NotFound:
		s.write(w, r, http.StatusNotFound, map[string]any{"error": msgNoResult})
		return
	case err != nil:
		s.fail(w, r, err)
		return
	}
	lines := []string{logLine(run.Created, run, "info", "run of "+strconv.Itoa(run.Total)+" devices accepted")}
	if run.Started != nil {
		lines = append(lines, logLine(*run.Started, run, "info", "started"))
	}
	err = s.eachResult(r.Context(), c.who, run, func(d job.Result) {
		if at := firstTime(d.Ended, d.Started); at != nil {
			lines = append(lines, logLine(*at, run, level(d.Status), deviceLine(d)))
		}
	}, func() {})
	if err != nil {
		s.fail(w, r, err)
		return
	}
	if run.CancelAsked != nil {
		lines = append(lines, logLine(*run.CancelAsked, run, "warning", "stop asked by "+run.CanceledBy))
	}
	if run.Ended != nil {
		lines = append(lines, logLine(*run.Ended, run, "info", strings.TrimSpace("ended: "+string(run.Status)+" "+run.Reason)))
	}
	a := &answer{}
	s.writeAnswer(w, r, a, map[string]any{"logs": a.texts.Add(strings.Join(lines, "\n")), "refresh": !run.Status.Terminal()})
}

func logLine(at time.Time, run job.Run, severity, what string) string {
	return fmt.Sprintf("%s - %s - USER %s - SERVICE %s - %s", runtime(at), severity, run.Creator, scopedName(run.ServiceName), what)
}

func level(s job.ResultStatus) string {
	if s == job.ResultSucceeded || !s.Terminal() {
		return "info"
	}
	return "error"
}

func deviceLine(d job.Result) string {
	what := fmt.Sprintf("DEVICE %s - %s, attempt %d", d.Device, d.Status, d.Attempts)
	if d.Reason != "" {
		what += ", " + d.Reason
	}
	if d.Exit != nil {
		what += ", exit status " + strconv.Itoa(*d.Exit)
	}
	return what
}
