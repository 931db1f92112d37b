package dispatch_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"drover/internal/dispatch"
	"drover/internal/inventory"
	"drover/internal/job"
	"drover/internal/secret"
)

// deploy is a template with inputs of all sorts.
func (b *bench) deploy(t testing.TB) dispatch.TemplateView {
	return b.template(t, "Deploy", func(tpl *job.Template) {
		tpl.Body = "echo {{ payload.what }}"
		tpl.Inputs = []job.Input{
			{Name: "what", Required: true}, {Name: "how", Default: ptr("fast"), Options: []string{"fast", "slow"}}, {Name: "key", Hidden: true},
		}
	})
}

func byQuery(q string) *job.Selection { return &job.Selection{Query: q} }

func TestSubmit_Template(t *testing.T) {
	ctx := context.Background()
	b := newBench(t)
	b.fleet(t, admin)
	tpl := b.deploy(t)
	got, err := b.Submit(ctx, operator, dispatch.Submission{
		TemplateID: tpl.ID, Inputs: map[string]*string{"what": ptr("<it>"), "key": ptr("canary-key")}, Select: byQuery("name = R2 or name = R1"),
		Description: "Deploys", Space: "s", Login: &dispatch.Login{Username: "root", Password: "canary-login", BecomePassword: "canary-become"},
		Become: &job.Become{User: "web"}, Timeout: time.Hour, RunTimeout: 2 * time.Hour, Concurrency: 7, StopAfter: job.StopAfter{Percent: 10},
	})
	must(t, err)
	r := got.Run
	if r.TemplateID != tpl.ID || r.ServiceID != 0 || r.ServiceName != "Deploy" || r.Number != 1 || r.Space != "s" || r.Description != "Deploys" || !r.HasLogin ||
		r.Status != job.Queued || b.targetNames(t, r) != "R1 R2" || len(b.started) != 1 {
		t.Fatalf("run %+v with %q", r, b.targetNames(t, r))
	}
	j, err := b.Job(ctx, viewer, r)
	must(t, err)
	if string(j.Payload) != `{"how":"fast","what":"\u003cit\u003e"}` || inputNames(j.Inputs) != "what how key" || j.Become != (job.Become{User: "web", Method: job.BecomeSudo}) ||
		j.Select.Query != "name = R2 or name = R1" || j.Login.Username != "root" {
		t.Errorf("job %+v", j)
	}
	if l := j.Limits; l.Timeout != time.Hour || l.RunTimeout != 2*time.Hour || l.Concurrency != 7 || l.StopAfter.Percent != 10 || l.DefaultTimeout || l.OnUnknown != job.OnUnknownReport {
		t.Errorf("limits %+v", l)
	}
	box, err := secret.OpenKeyFile(b.key)
	must(t, err)
	for field, sealed := range map[string]job.Sealed{"input.key": j.Hidden["key"], "login.password": j.Login.Password, "login.become_password": j.Login.BecomePassword} {
		plain, err := box.Open(sealed, secret.AAD(j.Tenant, j.SecretKind(), 0, field))
		if err != nil || !strings.HasPrefix(plain.Reveal(), "canary-") {
			t.Errorf("%s does not open: %v", field, err)
		}
	}
	if strings.Contains(fmt.Sprintf("%+v", j), "canary") {
		t.Error("the job holds a secret in clear")
	}
}

// The default of a hidden input is a secret too.
func TestSubmit_HiddenDefault(t *testing.T) {
	ctx := context.Background()
	b := newBench(t)
	b.fleet(t, admin)
	tpl := b.template(t, "x", func(tpl *job.Template) {
		tpl.Inputs = []job.Input{{Name: "key", Hidden: true, Required: true, Default: ptr("canary-key"), Options: []string{"canary-key", "other"}}}
	})
	if *tpl.Effective[0].Default != job.Redacted {
		t.Errorf("shown: %q", *tpl.Effective[0].Default)
	}
	same, err := b.EditTemplate(ctx, admin, tpl.ID, func(tpl *job.Template) error { tpl.Inputs[0].Default = ptr("canary-key"); return nil })
	must(t, err)
	if same.Rev != tpl.Rev {
		t.Error("the same default was written again")
	}
	got, err := b.Submit(ctx, operator, dispatch.Submission{TemplateID: tpl.ID, Select: byQuery("name = R1")})
	must(t, err)
	j, err := b.Job(ctx, viewer, got.Run)
	must(t, err)
	box, err := secret.OpenKeyFile(b.key)
	must(t, err)
	if v, err := box.Open(j.Hidden["key"], secret.AAD(j.Tenant, j.SecretKind(), 0, "input.key")); err != nil || v.Reveal() != "canary-key" {
		t.Errorf("the value: %v", err)
	}
	if j.Inputs[0].Default != nil || string(j.Payload) != "{}" {
		t.Errorf("job %+v", j)
	}
}

func TestSubmit_TemplateRefusals(t *testing.T) {
	ctx := context.Background()
	b := newBench(t)
	b.fleet(t, admin)
	tpl := b.deploy(t)
	part := b.template(t, "part", func(tpl *job.Template) { tpl.Snippet = true })
	fixed := b.template(t, "fixed", func(tpl *job.Template) { tpl.BecomeFixed, tpl.Become.User = true, "db" })
	in := func(what string) map[string]*string { return map[string]*string{"what": ptr(what)} }
	good := func() dispatch.Submission {
		return dispatch.Submission{TemplateID: tpl.ID, Inputs: in("x"), Select: byQuery("name = R1"), Space: "s"}
	}
	_, err := b.Submit(ctx, operator, good())
	must(t, err)
	for _, c := range []struct {
		name  string
		code  job.Code
		field string
		f     func(*dispatch.Submission)
	}{
		{"no such template", job.NotFound, "", func(s *dispatch.Submission) { s.TemplateID = 99 }},
		{"a snippet", job.Invalid, "template", func(s *dispatch.Submission) { s.TemplateID, s.Inputs = part.ID, nil }},
		{"no value", job.Invalid, "inputs.what", func(s *dispatch.Submission) { s.Inputs = nil }},
		{"a blank value", job.Invalid, "inputs.what", func(s *dispatch.Submission) { s.Inputs = in(" ") }},
		{"no option", job.Invalid, "inputs.how", func(s *dispatch.Submission) { s.Inputs["how"] = ptr("sideways") }},
		{"an unknown input", job.Invalid, "inputs.who", func(s *dispatch.Submission) { s.Inputs["who"] = ptr("x") }},
		{"hidden inputs too large", job.TooLarge, "", func(s *dispatch.Submission) { s.Inputs["key"] = ptr(strings.Repeat("k", dispatch.MaxHidden+1)) }},
		{"nothing selected", job.Invalid, "select", func(s *dispatch.Submission) { s.Select = nil }},
		{"an empty selection", job.Invalid, "select", func(s *dispatch.Submission) { s.Select = &job.Selection{} }},
		{"a query that does not parse", job.Invalid, "search", func(s *dispatch.Submission) { s.Select = byQuery("name = ") }},
		{"an unknown field", job.Invalid, "search", func(s *dispatch.Submission) { s.Select = byQuery("colour = red") }},
		{"no such saved query", job.Invalid, "saved_query", func(s *dispatch.Submission) { s.Select = &job.Selection{SavedQueryID: 9} }},
		{"another user than the template's", job.Unsupported, "become", func(s *dispatch.Submission) {
			s.TemplateID, s.Inputs, s.Become = fixed.ID, nil, &job.Become{User: "web"}
		}},
		{"no user name", job.Invalid, "become_user", func(s *dispatch.Submission) { s.Become = &job.Become{User: "-u"} }},
		{"no login name", job.Invalid, "login.username", func(s *dispatch.Submission) { s.Login = &dispatch.Login{Username: "a b"} }},
		{"a limit over a week", job.Invalid, "timeout", func(s *dispatch.Submission) { s.Timeout = 8 * 24 * time.Hour }},
		{"a negative limit", job.Invalid, "concurrency", func(s *dispatch.Submission) { s.Concurrency = -1 }},
		{"too late already", job.Invalid, "start_before", func(s *dispatch.Submission) { s.StartBefore = ptr(b.clock().Add(-time.Second)) }},
		{"a purpose without a schedule", job.Invalid, "purpose", func(s *dispatch.Submission) { s.Purpose = "p" }},
		{"a payload", job.Invalid, "payload", func(s *dispatch.Submission) { s.Payload = []byte(`{}`) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			sub := good()
			c.f(&sub)
			_, err := b.Submit(ctx, operator, sub)
			if job.CodeOf(err) != c.code || fieldOf(err) != c.field {
				t.Errorf("error %v (%s), field %q; want %s, %q", err, job.CodeOf(err), fieldOf(err), c.code, c.field)
			}
		})
	}
	_, total, err := b.RunsByNumber(ctx, viewer, "s", 0, 10)
	must(t, err)
	if total != 1 || len(b.started) != 1 {
		t.Errorf("refused submits left %d runs, %d starts", total, len(b.started))
	}
	// What the template names itself may be said again.
	_, err = b.Submit(ctx, operator, dispatch.Submission{TemplateID: fixed.ID, Select: byQuery("name = R1"), Become: &job.Become{User: "db"}})
	must(t, err)
}

func TestSubmit_TimeLimits(t *testing.T) {
	ctx := context.Background()
	b := newBench(t)
	b.fleet(t, admin)
	none := b.template(t, "none", nil)
	own := b.template(t, "own", func(tpl *job.Template) { tpl.Limits.Timeout = 5 * time.Minute })
	for _, c := range []struct {
		name      string
		id        int64
		given     time.Duration
		byDefault time.Duration
		want      time.Duration
		flag      bool
	}{
		{"nobody says anything", none.ID, 0, 0, job.DefaultTimeout, false},
		{"the family's default", none.ID, 0, time.Hour, time.Hour, true},
		{"the template's own", own.ID, 0, time.Hour, 5 * time.Minute, false},
		{"the caller's", own.ID, time.Minute, time.Hour, time.Minute, false},
	} {
		got, err := b.Submit(ctx, operator, dispatch.Submission{TemplateID: c.id, Select: byQuery("name = R1"), Timeout: c.given, DefaultTimeout: c.byDefault})
		must(t, err)
		j, err := b.Job(ctx, viewer, got.Run)
		must(t, err)
		if j.Limits.Timeout != c.want || j.Limits.DefaultTimeout != c.flag {
			t.Errorf("%s: %+v", c.name, j.Limits)
		}
	}
}

// Where a command cannot be followed for long, only a linux host can run one
// apart from the connection.
func TestSubmit_LongCommandsNeedLinux(t *testing.T) {
	ctx := context.Background()
	b := newBench(t)
	b.fleet(t, admin)
	b.saved(t)(b.SaveDevices(ctx, admin, []inventory.DeviceInput{{Name: "W", Address: ptr("127.1.0.9"), Platform: ptr(job.PlatformWindows)}}))
	c := b.Config
	c.LongestAttempt = 14 * time.Minute
	d := dispatch.New(c)
	defer d.Close()
	tpl := b.template(t, "x", nil)
	submit := func(query string, given, byDefault time.Duration) (job.Limits, error) {
		got, err := d.Submit(ctx, operator, dispatch.Submission{TemplateID: tpl.ID, Select: byQuery(query), Timeout: given, DefaultTimeout: byDefault})
		if err != nil {
			return job.Limits{}, err
		}
		j, err := d.Job(ctx, viewer, got.Run)
		return j.Limits, err
	}
	if l, err := submit("name = R1", 3*time.Hour, 0); err != nil || l.Timeout != 3*time.Hour {
		t.Errorf("linux: %+v, %v", l, err)
	}
	_, err := submit("name = R1 or name = W", 3*time.Hour, 0)
	wantCode(t, err, job.Unsupported)
	if l, err := submit("name = W", 10*time.Minute, 0); err != nil || l.Timeout != 10*time.Minute {
		t.Errorf("short: %+v, %v", l, err)
	}
	if l, err := submit("name = W", 0, time.Hour); err != nil || l.Timeout != 14*time.Minute {
		t.Errorf("by default: %+v, %v", l, err)
	}
}

func TestSubmit_Selections(t *testing.T) {
	ctx := context.Background()
	b := newBench(t)
	b.fleet(t, admin)
	tpl := b.template(t, "x", nil)
	q, err := b.EditSavedQuery(ctx, operator, 0, func(q *job.SavedQuery) error {
		q.Title, q.Subject, q.Query = "mine", job.SubjectDevices, "params.site = lab"
		return nil
	})
	must(t, err)
	ids := map[string]int64{}
	for _, n := range []string{"R1", "R2", "R3"} {
		dev, err := b.Device(ctx, viewer, n)
		must(t, err)
		ids[n] = dev.ID
	}
	pool, err := b.Pool(ctx, viewer, "Static")
	must(t, err)
	for _, c := range []struct {
		name  string
		sel   job.Selection
		want  string
		query string // kept
		saved int64
	}{
		{"a query, by name", job.Selection{Query: " name ~ R "}, "R1 R2 R3", "name ~ R", 0},
		{"one that finds nothing", job.Selection{Query: "name = R9"}, "", "name = R9", 0},
		{"a pool's name in a query", job.Selection{Query: "hostgroup = Static"}, "R1 R2", "hostgroup = Static", 0},
		{"a saved query", job.Selection{SavedQueryID: q.ID}, "R3", "params.site = lab", q.ID},
		{"a saved query, found at the start", job.Selection{SavedQueryID: q.ID, Dynamic: true}, "R3", "params.site = lab", q.ID},
		{"ids, in their order, with words that are not resolved", job.Selection{Targets: job.Targets{DeviceIDs: []int64{ids["R3"], ids["R1"]}}, Query: "name ^ ()"}, "R3 R1", "name ^ ()", 0},
		{"no ids", job.Selection{Targets: job.Targets{DeviceIDs: []int64{}}}, "", "", 0},
		{"a pool", job.Selection{Targets: job.Targets{PoolIDs: []int64{pool.ID}}}, "R2 R1", "", 0},
	} {
		got, err := b.Submit(ctx, operator, dispatch.Submission{TemplateID: tpl.ID, Select: &c.sel})
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		j, err := b.Job(ctx, viewer, got.Run)
		must(t, err)
		if s := b.targetNames(t, got.Run); s != c.want || got.Run.Unresolved || j.Select.Query != c.query || j.Select.SavedQueryID != c.saved {
			t.Errorf("%s: %q, want %q; kept %+v", c.name, s, c.want, j.Select)
		}
	}
	mate := job.Principal{Tenant: operator.Tenant, Name: "mate", Role: job.Operator}
	_, err = b.Submit(ctx, mate, dispatch.Submission{TemplateID: tpl.ID, Select: &job.Selection{SavedQueryID: q.ID}})
	wantCode(t, err, job.Invalid)
}

func TestSubmit_ShuffleKeepsAllAndChangesTheOrder(t *testing.T) {
	ctx := context.Background()
	b := newBench(t)
	var devs []inventory.DeviceInput
	for i := range 40 {
		devs = append(devs, inventory.DeviceInput{Name: fmt.Sprintf("D%02d", i), Address: ptr("127.0.0.1")})
	}
	b.saved(t)(b.SaveDevices(ctx, admin, devs))
	tpl := b.template(t, "x", nil)
	order := func(shuffle bool) []string {
		got, err := b.Submit(ctx, operator, dispatch.Submission{TemplateID: tpl.ID, Select: &job.Selection{Query: "name ~ D", Shuffle: shuffle}})
		must(t, err)
		return strings.Fields(b.targetNames(t, got.Run))
	}
	plain, one, two := order(false), order(true), order(true)
	if !slices.IsSorted(plain) || slices.Equal(plain, one) || slices.Equal(one, two) {
		t.Errorf("orders %v, %v, %v", plain, one, two)
	}
	slices.Sort(one)
	if !slices.Equal(plain, one) {
		t.Errorf("shuffled %v", one)
	}
}

func TestSubmit_ALongTemplateIsOneBlob(t *testing.T) {
	ctx := context.Background()
	b := newBench(t)
	b.fleet(t, admin)
	tpl := b.deploy(t)
	long := strings.Repeat("v", 2<<20) // more than a payload may be
	got, err := b.Submit(ctx, operator, dispatch.Submission{TemplateID: tpl.ID, Inputs: map[string]*string{"what": &long}, Select: byQuery("name = R1")})
	must(t, err)
	raw, err := b.store.Job(ctx, got.Run.Tenant, got.Run.JobID)
	must(t, err)
	if raw.SpecBlob == "" || raw.Body != "" || raw.Inputs != nil {
		t.Errorf("the row holds %d bytes of body and %d inputs", len(raw.Body), len(raw.Inputs))
	}
	j, err := b.Job(ctx, viewer, got.Run)
	must(t, err)
	if j.Body != tpl.Body || inputNames(j.Inputs) != "what how key" || len(j.Payload) < len(long) {
		t.Errorf("job has body %q, %d bytes of payload", j.Body, len(j.Payload))
	}
}

func TestPreview_OfATemplateShowsNoSecret(t *testing.T) {
	b := newBench(t)
	b.fleet(t, admin)
	tpl := b.template(t, "x", func(tpl *job.Template) {
		tpl.Language = job.LanguageERB
		tpl.Body = "run <%= input('what') %> with <%= input('key') %> on <%= @host.name %>"
		tpl.Inputs = []job.Input{{Name: "what"}, {Name: "key", Hidden: true}}
	})
	rows, total, _, err := b.Preview(context.Background(), operator, dispatch.Submission{
		TemplateID: tpl.ID, Inputs: map[string]*string{"what": ptr("this"), "key": ptr("canary")}, Select: byQuery("name = R1")}, 10)
	must(t, err)
	if total != 1 || rows[0].Text != "run this with "+job.Redacted+" on R1" || rows[0].Err != "" {
		t.Errorf("rows %+v", rows)
	}
}

func TestRunsByNumber(t *testing.T) {
	ctx := context.Background()
	b := newBench(t)
	b.fleet(t, admin)
	submit := func(space, name string) (job.Run, error) {
		got, err := b.Submit(ctx, operator, dispatch.Submission{Service: "hello", Space: space, Name: name})
		return got.Run, err
	}
	var runs []job.Run
	for range 7 {
		r, err := submit("s", "")
		must(t, err)
		runs = append(runs, r)
	}
	numbers := func(skip, limit, wantTotal int, want ...int64) {
		t.Helper()
		got, total, err := b.RunsByNumber(ctx, viewer, "s", skip, limit)
		must(t, err)
		var ns []int64
		for _, r := range got {
			ns = append(ns, r.Number)
		}
		if total != wantTotal || !slices.Equal(ns, want) {
			t.Errorf("skip %d, limit %d: %v of %d, want %v of %d", skip, limit, ns, total, want, wantTotal)
		}
	}
	numbers(0, 3, 7, 7, 6, 5)
	numbers(5, 3, 7, 2, 1)
	numbers(7, 3, 7)
	numbers(0, 0, 7)
	if r, err := submit("other", ""); err != nil || r.Number != 1 {
		t.Errorf("another space begins at %d, %v", r.Number, err)
	}
	// A submit that is refused after it took a number leaves a hole that is not
	// counted.
	_, err := submit("s", "taken")
	must(t, err)
	_, err = submit("s", "taken")
	wantCode(t, err, job.AlreadyExists)
	numbers(0, 2, 8, 8, 7)
	_, err = submit("s", "")
	must(t, err)
	numbers(0, 3, 9, 10, 8, 7)
	numbers(1, 1, 9, 8)
	// Retention takes them from the list and from the total.
	for _, r := range runs[:3] {
		_, err := b.end(ctx, r.Tenant, r.ID, job.Succeeded)
		must(t, err)
	}
	b.advance(2 * time.Hour)
	for range 2 { // the second one finds nothing to do
		_, err = b.Sweep(ctx)
		must(t, err)
	}
	got, total, err := b.RunsByNumber(ctx, viewer, "s", 4, 10)
	must(t, err)
	if total != 6 || len(got) != 2 || got[1].Number != 4 {
		t.Errorf("after retention: %d, %d runs", total, len(got))
	}
	r, err := b.RunByNumber(ctx, viewer, "s", 4)
	must(t, err)
	if r.ID != runs[3].ID {
		t.Errorf("number 4 is %s", r.ID)
	}
	for _, n := range []int64{1, 9, 0, -1, 99} {
		_, err = b.RunByNumber(ctx, viewer, "s", n)
		wantCode(t, err, job.NotFound)
	}
	_, err = b.RunByNumber(ctx, other, "s", 4)
	wantCode(t, err, job.NotFound)
}
