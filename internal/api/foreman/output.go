package foreman

import (
	"math"
	"net/http"
	"strconv"
	"strings"

	"drover/internal/api"
	"drover/internal/job"
)

// parseSince reads a moment in seconds; what is no number is 0.
func parseSince(v value) float64 {
	s, err := v.text()
	if err != nil {
		return 0
	}
	f, err := strconv.ParseFloat(strings.TrimSpace(s), 64)
	if err != nil || math.IsNaN(f) {
		return 0
	}
	return f
}

// outputCall finds what the paths about one host's output name. Not finding the
// job has a body of its own here (E6).
func (s *server) outputCall(c *call) (job.Run, error) {
	n, ok := c.number("id")
	missing := refuse(http.StatusNotFound, fields{"message": "Job invocation not found by id '" + c.path("id") + "'"})
	if !ok {
		return job.Run{}, missing
	}
	run, err := s.Dispatch.RunByNumber(c.ctx(), c.who, space, n)
	if job.CodeOf(err) == job.NotFound {
		return run, missing
	}
	return run, err
}

// hostResult returns what one host of a run returned.
func (s *server) hostResult(c *call, run job.Run) (job.Result, error) {
	missing := refuse(http.StatusNotFound, withMessage("Host with id '"+c.path("host_id")+"' was not found"))
	id, ok := c.number("host_id")
	if !ok {
		ids, err := s.Dispatch.DeviceIDs(c.ctx(), c.who, []string{c.path("host_id")})
		if err != nil {
			return job.Result{}, err
		}
		if id, ok = ids[c.path("host_id")]; !ok {
			return job.Result{}, missing
		}
	}
	r, err := s.Dispatch.Result(c.ctx(), c.who, run, id)
	if job.CodeOf(err) == job.NotFound {
		return r, missing
	}
	return r, err
}

// refreshing reports whether more is to come of a host.
func refreshing(run job.Run, r job.Result) bool {
	return !run.Status.Terminal() && !r.Status.Terminal()
}

// delayed is the answer about a job that waits for its time.
func delayed(run job.Run, output any) (answer, bool) {
	if codes[run.Status] != codeQueued {
		return answer{}, false
	}
	start := run.Created
	if run.Planned != nil {
		start = *run.Planned
	}
	return ok(fields{"complete": false, "refresh": true, "output": output, "delayed": true, "start_at": iso(start)}), true
}

// hostOutput is GET /api/job_invocations/:id/hosts/:host_id.
func (s *server) hostOutput(c *call) (answer, error) {
	run, err := s.outputCall(c)
	if err != nil {
		return answer{}, err
	}
	if a, ok := delayed(run, []any{}); ok {
		return a, nil
	}
	r, err := s.hostResult(c, run)
	if err != nil {
		return answer{}, err
	}
	refresh := refreshing(run, r)
	lines, more := upTo(since(outputLines(run, r), parseSince(c.param("since"))), s.MaxAnswer/2)
	a := answer{status: http.StatusOK, texts: &api.Texts{}}
	a.body = outputOf(refresh || more, shownLines(a.texts, lines))
	return a, nil
}

// outputOf is the output of a host as it is answered.
func outputOf(refresh bool, output any) fields {
	return fields{"complete": !refresh, "refresh": refresh, "output": output}
}

// shownLines are line sets as they are answered; never null.
func shownLines(texts *api.Texts, lines []lineSet) []lineSet {
	out := make([]lineSet, len(lines))
	for i, l := range lines {
		l.Text = texts.Add(l.text)
		out[i] = l
	}
	return out
}

// rawOutput is GET /api/job_invocations/:id/hosts/:host_id/raw.
func (s *server) rawOutput(c *call) (answer, error) {
	run, err := s.outputCall(c)
	if err != nil {
		return answer{}, err
	}
	if a, ok := delayed(run, nil); ok {
		return a, nil
	}
	r, err := s.hostResult(c, run)
	if err != nil {
		return answer{}, err
	}
	a := answer{status: http.StatusOK, texts: &api.Texts{}}
	var output any
	if hasHostTasks(run) {
		output = a.texts.Add(concatenated(outputLines(run, r)))
	}
	a.body = outputOf(refreshing(run, r), output)
	return a, nil
}

// outputs is GET and POST /api/job_invocations/:id/outputs.
func (s *server) outputs(c *call) (answer, error) {
	run, err := s.invocation(c, "id")
	if err != nil {
		return answer{}, err
	}
	raw, err := c.flag("raw", false)
	if err != nil {
		return answer{}, err
	}
	query, err := c.param("search_query").text()
	if err != nil {
		return answer{}, err
	}
	there, err := s.matchingHosts(c, run, query)
	if err != nil {
		return answer{}, err
	}
	a := answer{status: http.StatusOK, texts: &api.Texts{}}
	moment := parseSince(c.param("since"))
	rows := []fields{}
	add := func(r job.Result) {
		lines := since(outputLines(run, r), moment)
		var output any
		if raw {
			output = a.texts.Add(concatenated(lines))
		} else {
			output = shownLines(a.texts, lines)
		}
		row := outputOf(refreshing(run, r), output)
		row["host_id"] = r.DeviceID
		rows = append(rows, row)
	}
	for from := 0; from >= 0 && len(there) > 0; {
		page, err := s.Dispatch.Results(c.ctx(), c.who, run.ID, from, resultsAtOnce)
		if err != nil {
			return answer{}, err
		}
		for _, r := range page.Results {
			if there[r.DeviceID] {
				add(r)
			}
		}
		a.texts.Cut(2 * s.MaxAnswer)
		from = page.Next
	}
	a.body = fields{"outputs": rows}
	return a, nil
}

// resultsAtOnce is how many results are held at once besides those already cut.
const resultsAtOnce = 200

// matchingHosts returns which hosts of a run exist and meet a query; "" is all.
func (s *server) matchingHosts(c *call, run job.Run, query string) (map[int64]bool, error) {
	hosts, err := s.hosts(c, run)
	if err != nil {
		return nil, err
	}
	there := make(map[int64]bool, len(hosts))
	for _, h := range hosts {
		there[h.ID] = true
	}
	if strings.TrimSpace(query) == "" {
		return there, nil
	}
	views, err := s.Dispatch.FindDevices(c.ctx(), c.who, query, false)
	if err != nil {
		return nil, err
	}
	matching := map[int64]bool{}
	for _, v := range views {
		if there[v.ID] {
			matching[v.ID] = true
		}
	}
	return matching, nil
}
