package dispatch_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"drover/internal/dispatch"
	"drover/internal/job"
)

func fieldOf(err error) string {
	var e *job.Error
	if errors.As(err, &e) {
		return e.Field
	}
	return ""
}

// template creates one and returns it.
func (b *bench) template(t testing.TB, name string, f func(*job.Template)) dispatch.TemplateView {
	t.Helper()
	v, err := b.EditTemplate(context.Background(), admin, 0, func(tpl *job.Template) error {
		tpl.Name, tpl.Body = name, "echo hi"
		if f != nil {
			f(tpl)
		}
		return nil
	})
	must(t, err)
	return v
}

func inputNames(inputs []job.Input) string {
	var names []string
	for _, in := range inputs {
		names = append(names, in.Name)
	}
	return strings.Join(names, " ")
}

func TestEditTemplate_CreatesChangesAndNumbersParts(t *testing.T) {
	ctx := context.Background()
	b := newBench(t)
	v := b.template(t, "Run it", func(tpl *job.Template) {
		tpl.Inputs = []job.Input{{Name: "command", Required: true}, {Name: "why"}}
	})
	if v.ID == 0 || v.CreatedBy != "admin" || v.Type != job.TypeScript || v.Inputs[0].ID == 0 || v.Inputs[1].ID != v.Inputs[0].ID+1 ||
		v.Inputs[0].Kind != job.InputUser || v.Inputs[0].Created.IsZero() {
		t.Fatalf("created %+v", v)
	}
	b.advance(time.Hour)
	next, err := b.EditTemplate(ctx, admin, v.ID, func(tpl *job.Template) error {
		tpl.Name = "Run that"
		tpl.Inputs[1].Name = "reason"
		tpl.Inputs = append(tpl.Inputs, job.Input{Name: "more"})
		return nil
	})
	must(t, err)
	if next.ID != v.ID || next.Inputs[0].Updated != v.Inputs[0].Updated || !next.Inputs[1].Updated.After(v.Inputs[1].Updated) ||
		next.Inputs[1].ID != v.Inputs[1].ID || next.Inputs[2].ID <= v.Inputs[1].ID || !next.Updated.After(v.Updated) || !next.Created.Equal(v.Created) {
		t.Fatalf("changed %+v", next)
	}
	if _, err := b.TemplateByName(ctx, viewer, "Run it"); job.CodeOf(err) != job.NotFound {
		t.Fatalf("the old name: %v", err)
	}
	same, err := b.EditTemplate(ctx, admin, v.ID, func(*job.Template) error { return nil })
	must(t, err)
	if same.Rev != next.Rev {
		t.Error("an edit that changes nothing wrote something")
	}
	audit, _, err := b.Audit(ctx, admin, dispatch.Page{})
	must(t, err)
	if len(audit) != 2 || audit[0].Action != "template.update" || audit[1].Action != "template.create" {
		t.Errorf("audit %+v", audit)
	}
}

func TestEditTemplate_Refusals(t *testing.T) {
	ctx := context.Background()
	b := newBench(t)
	inner := b.template(t, "inner", nil)
	outer := b.template(t, "outer", func(tpl *job.Template) { tpl.Includes = []job.Include{{TemplateID: inner.ID, All: true}} })
	for _, c := range []struct {
		name  string
		field string
		f     func(*job.Template)
	}{
		{"no name", "name", func(tpl *job.Template) { tpl.Name = " " }},
		{"two lines", "name", func(tpl *job.Template) { tpl.Name = "a\nb" }},
		{"no body", "body", func(tpl *job.Template) { tpl.Body = "\n" }},
		{"a body that cannot be rendered", "body", func(tpl *job.Template) { tpl.Body = "{{ 1 + }}" }},
		{"not UTF-8", "body", func(tpl *job.Template) { tpl.Body = "\xff" }},
		{"another language", "language", func(tpl *job.Template) { tpl.Language = "perl" }},
		{"another type", "type", func(tpl *job.Template) { tpl.Type = "backup" }},
		{"an input twice", "inputs", func(tpl *job.Template) { tpl.Inputs = []job.Input{{Name: "a"}, {Name: "a"}} }},
		{"an input without a name", "inputs[0].name", func(tpl *job.Template) { tpl.Inputs = []job.Input{{}} }},
		{"a fact without a source", "inputs[0].source", func(tpl *job.Template) { tpl.Inputs = []job.Input{{Name: "a", Kind: job.InputFact}} }},
		{"a kind that is none", "inputs[0].kind", func(tpl *job.Template) { tpl.Inputs = []job.Input{{Name: "a", Kind: "x"}} }},
		{"a default that is no option", "inputs[0].default", func(tpl *job.Template) {
			tpl.Inputs = []job.Input{{Name: "a", Options: []string{"x"}, Default: ptr("y")}}
		}},
		{"an include of nothing", "includes", func(tpl *job.Template) { tpl.Includes = []job.Include{{TemplateID: 99}} }},
		{"a limit over a week", "timeout", func(tpl *job.Template) { tpl.Limits.Timeout = 8 * 24 * time.Hour }},
		{"a percentage over 100", "stop_after", func(tpl *job.Template) { tpl.Limits.StopAfter.Percent = 101 }},
		{"no user name", "become_user", func(tpl *job.Template) { tpl.Become.User = "-s" }},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := b.EditTemplate(ctx, admin, 0, func(tpl *job.Template) error {
				tpl.Name, tpl.Body = "x", "echo"
				c.f(tpl)
				return nil
			})
			if code := job.CodeOf(err); code != job.Invalid && code != job.Unsupported || fieldOf(err) != c.field {
				t.Errorf("error %v, field %q, want %q", err, fieldOf(err), c.field)
			}
		})
	}
	_, err := b.EditTemplate(ctx, admin, inner.ID, func(tpl *job.Template) error {
		tpl.Includes = []job.Include{{TemplateID: outer.ID, All: true}}
		return nil
	})
	if job.CodeOf(err) != job.Invalid || fieldOf(err) != "includes" {
		t.Errorf("a circle: %v", err)
	}
	_, err = b.EditTemplate(ctx, admin, inner.ID, func(tpl *job.Template) error { tpl.Name = "outer"; return nil })
	wantCode(t, err, job.AlreadyExists)
	_, err = b.EditTemplate(ctx, admin, 99, func(*job.Template) error { return nil })
	wantCode(t, err, job.NotFound)
	_, err = b.EditTemplate(ctx, operator, inner.ID, func(*job.Template) error { return nil })
	wantCode(t, err, job.Forbidden)
	_, err = b.Template(ctx, other, inner.ID)
	wantCode(t, err, job.NotFound)
	stop := job.Errorf(job.Conflict, "locked")
	calls := 0
	_, err = b.EditTemplate(ctx, admin, inner.ID, func(*job.Template) error { calls++; return stop })
	if !errors.Is(err, stop) || calls != 1 {
		t.Errorf("the caller's own refusal: %v after %d calls", err, calls)
	}
	n := 0
	must(t, b.AllTemplates(ctx, viewer, func(job.Template) error { n++; return nil }))
	if n != 2 {
		t.Errorf("%d templates are stored", n)
	}
}

func TestEditTemplate_NobodysChangeIsLost(t *testing.T) {
	ctx := context.Background()
	b := newBench(t)
	v := b.template(t, "x", nil)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			_, err := b.EditTemplate(ctx, admin, v.ID, func(tpl *job.Template) error {
				tpl.Inputs = append(tpl.Inputs, job.Input{Name: string(rune('a' + i))})
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		}()
	}
	wg.Wait()
	got, err := b.Template(ctx, viewer, v.ID)
	must(t, err)
	ids := map[int64]bool{}
	for _, in := range got.Inputs {
		ids[in.ID] = true
	}
	if len(got.Inputs) != 8 || len(ids) != 8 {
		t.Errorf("inputs %+v", got.Inputs)
	}
}

func TestTemplate_EffectiveInputs(t *testing.T) {
	ctx := context.Background()
	b := newBench(t)
	in := func(names ...string) (out []job.Input) {
		for _, n := range names {
			out = append(out, job.Input{Name: n})
		}
		return out
	}
	deep := b.template(t, "deep", func(tpl *job.Template) { tpl.Inputs = in("d1", "d2", "a") })
	mid := b.template(t, "mid", func(tpl *job.Template) {
		tpl.Inputs = in("m1", "m2")
		tpl.Includes = []job.Include{{TemplateID: deep.ID, All: true, Except: []string{"d2"}}}
	})
	top := b.template(t, "top", func(tpl *job.Template) {
		tpl.Inputs = in("a", "b")
		tpl.Includes = []job.Include{{TemplateID: mid.ID, Only: []string{"m2", "d1", "a", "d2"}}, {TemplateID: deep.ID, All: true}}
	})
	got, err := b.Template(ctx, viewer, top.ID)
	must(t, err)
	if s := inputNames(got.Effective); s != "a b m2 d1 d2" {
		t.Errorf("effective %q", s)
	}
	if got.IncludeNames[mid.ID] != "mid" || got.IncludeNames[deep.ID] != "deep" {
		t.Errorf("names %v", got.IncludeNames)
	}
	_, err = b.DeleteTemplate(ctx, admin, mid.ID, nil)
	must(t, err)
	got, err = b.Template(ctx, viewer, top.ID)
	must(t, err)
	if s := inputNames(got.Effective); s != "a b d1 d2" {
		t.Errorf("without what is gone: %q", s)
	}
}

// withDefaults gives the bench's dispatcher defaults.
func withDefaults(b *bench) *dispatch.Dispatcher {
	c := b.Config
	c.Defaults = &dispatch.Defaults{
		Templates: []job.Template{{Meta: job.Meta{Name: "Run Command"}, Body: "<%= input('command') %>", Language: job.LanguageERB,
			Inputs: []job.Input{{Name: "command", Kind: job.InputUser, Required: true}}}},
		Features: []dispatch.FeatureDefault{{Label: "run_script", Title: "Run Script", Template: "Run Command"}, {Label: "other", Title: "Other", Button: true}},
	}
	return dispatch.New(c)
}

func TestDefaults_AreGivenOnceAndStayDeleted(t *testing.T) {
	ctx := context.Background()
	b := newBench(t)
	var wg sync.WaitGroup
	for range 8 {
		wg.Add(1)
		go func() { // each a process of its own
			defer wg.Done()
			d := withDefaults(b)
			defer d.Close()
			if _, err := d.Features(ctx, viewer); err != nil {
				t.Error(err)
			}
		}()
	}
	wg.Wait()
	d := withDefaults(b)
	defer d.Close()
	fs, err := d.Features(ctx, viewer)
	must(t, err)
	if len(fs) != 2 || fs[0].Name != "run_script" || fs[0].Title != "Run Script" || fs[1].TemplateID != 0 || !fs[1].Button {
		t.Fatalf("features %+v", fs)
	}
	v, err := d.Template(ctx, viewer, fs[0].TemplateID)
	must(t, err)
	if v.Name != "Run Command" || v.Type != job.TypeScript || v.Inputs[0].ID == 0 {
		t.Fatalf("template %+v", v)
	}
	_, err = d.DeleteTemplate(ctx, admin, v.ID, nil)
	must(t, err)
	again := withDefaults(b)
	defer again.Close()
	_, err = again.TemplateByName(ctx, viewer, "Run Command")
	wantCode(t, err, job.NotFound)
	f, err := again.Feature(ctx, viewer, "run_script")
	must(t, err)
	if f.TemplateID != 0 {
		t.Errorf("the feature is still done by %d", f.TemplateID)
	}
	if fs, err := again.Features(ctx, other); err != nil || len(fs) != 2 || fs[0].Tenant != other.Tenant || fs[0].TemplateID == 0 {
		t.Errorf("another tenant has %+v, %v", fs, err)
	}
}

func TestMapFeature(t *testing.T) {
	ctx := context.Background()
	b := newBench(t)
	d := withDefaults(b)
	defer d.Close()
	_, err := d.Features(ctx, viewer)
	must(t, err)
	mine := b.template(t, "mine", nil)
	snippet := b.template(t, "part", func(tpl *job.Template) { tpl.Snippet = true })
	f, err := d.MapFeature(ctx, admin, "other", mine.ID)
	must(t, err)
	if f.TemplateID != mine.ID {
		t.Fatalf("feature %+v", f)
	}
	for _, id := range []int64{99, snippet.ID} {
		_, err = d.MapFeature(ctx, admin, "other", id)
		wantCode(t, err, job.Invalid)
	}
	_, err = d.MapFeature(ctx, admin, "none", mine.ID)
	wantCode(t, err, job.NotFound)
	_, err = d.MapFeature(ctx, operator, "other", 0)
	wantCode(t, err, job.Forbidden)
	_, err = d.DeleteTemplate(ctx, admin, mine.ID, func(job.Template) error { return job.Errorf(job.Conflict, "locked") })
	wantCode(t, err, job.Conflict)
	_, err = d.DeleteTemplate(ctx, admin, mine.ID, nil)
	must(t, err)
	f, err = d.Feature(ctx, viewer, "other")
	must(t, err)
	if f.TemplateID != 0 {
		t.Error("a deleted template still does a feature")
	}
}

// Whoever maps a feature to a template that is being deleted finds it gone, or
// the feature loses it: none is done by a template that is not there.
func TestDeleteTemplate_RacesWithMapFeature(t *testing.T) {
	ctx := context.Background()
	b := newBench(t)
	d := withDefaults(b)
	defer d.Close()
	_, err := d.Features(ctx, viewer)
	must(t, err)
	for range 20 {
		v := b.template(t, "x", nil)
		var wg sync.WaitGroup
		wg.Add(2)
		go func() { defer wg.Done(); _, _ = d.MapFeature(ctx, admin, "other", v.ID) }()
		go func() {
			defer wg.Done()
			if _, err := d.DeleteTemplate(ctx, admin, v.ID, nil); err != nil {
				t.Error(err)
			}
		}()
		wg.Wait()
		if f, err := d.Feature(ctx, viewer, "other"); err != nil || f.TemplateID != 0 {
			t.Fatalf("feature %+v, %v", f, err)
		}
	}
}

func TestSavedQueries_AreSeenByTheirOwnersAndWhenPublic(t *testing.T) {
	ctx := context.Background()
	b := newBench(t)
	mate := job.Principal{Tenant: operator.Tenant, Name: "mate", Role: job.Operator}
	add := func(p job.Principal, title string, public bool) job.SavedQuery {
		q, err := b.EditSavedQuery(ctx, p, 0, func(q *job.SavedQuery) error {
			q.Title, q.Subject, q.Query, q.Public = title, job.SubjectDevices, "name = R1", public
			return nil
		})
		must(t, err)
		return q
	}
	mine, open := add(operator, "same", false), add(operator, "open", true)
	theirs := add(mate, "same", false)
	_, err := b.EditSavedQuery(ctx, operator, open.ID, func(q *job.SavedQuery) error { q.Title = "same"; return nil })
	wantCode(t, err, job.AlreadyExists)
	titles := func(p job.Principal) (ids []int64) {
		qs, err := b.SavedQueries(ctx, p)
		must(t, err)
		for _, q := range qs {
			ids = append(ids, q.ID)
		}
		return ids
	}
	if got := titles(operator); !slices.Equal(got, []int64{mine.ID, open.ID}) {
		t.Errorf("the owner sees %v", got)
	}
	if got := titles(mate); !slices.Equal(got, []int64{open.ID, theirs.ID}) {
		t.Errorf("another sees %v", got)
	}
	if got := titles(other); got != nil {
		t.Errorf("another tenant sees %v", got)
	}
	_, err = b.SavedQuery(ctx, mate, mine.ID)
	wantCode(t, err, job.NotFound)
	rename := func(q *job.SavedQuery) error { q.Title = "new"; return nil }
	_, err = b.EditSavedQuery(ctx, mate, mine.ID, rename)
	wantCode(t, err, job.NotFound)
	_, err = b.EditSavedQuery(ctx, mate, open.ID, rename)
	wantCode(t, err, job.Forbidden)
	_, err = b.DeleteSavedQuery(ctx, mate, open.ID)
	wantCode(t, err, job.Forbidden)
	got, err := b.EditSavedQuery(ctx, admin, open.ID, rename)
	must(t, err)
	if got.Title != "new" || got.CreatedBy != "ops" || got.UpdatedBy != "admin" {
		t.Errorf("changed %+v", got)
	}
	_, err = b.EditSavedQuery(ctx, viewer, 0, rename)
	wantCode(t, err, job.Forbidden)
	for field, f := range map[string]func(*job.SavedQuery){
		"name": func(q *job.SavedQuery) { q.Title = "" }, "query": func(q *job.SavedQuery) { q.Query = " " }, "subject": func(q *job.SavedQuery) { q.Subject = "" },
	} {
		_, err := b.EditSavedQuery(ctx, operator, mine.ID, func(q *job.SavedQuery) error { f(q); return nil })
		if job.CodeOf(err) != job.Invalid || fieldOf(err) != field {
			t.Errorf("%s: %v", field, err)
		}
	}
	_, err = b.DeleteSavedQuery(ctx, operator, mine.ID)
	must(t, err)
	_, err = b.SavedQuery(ctx, operator, mine.ID)
	wantCode(t, err, job.NotFound)
}

func TestTargetsAndResult_OfOneDevice(t *testing.T) {
	ctx := context.Background()
	b := newBench(t)
	b.fleet(t, admin)
	got, err := b.Submit(ctx, operator, dispatch.Submission{Service: "hello", Devices: []string{"R3", "R1", "R2"}})
	must(t, err)
	ts, err := b.Targets(ctx, viewer, got.Run, 1, 10)
	must(t, err)
	if len(ts) != 2 || ts[0].Name != "R1" {
		t.Fatalf("targets %+v", ts)
	}
	out, _ := job.Output{Stdout: strings.Repeat("long ", 200), StdoutBytes: 1000}.Pack()
	_, err = b.store.PutResult(ctx, got.Run, job.Result{Index: 1, Device: "R1", DeviceID: ts[0].ID, Status: job.ResultSucceeded, Output: out})
	must(t, err)
	r, err := b.Result(ctx, viewer, got.Run, ts[0].ID)
	must(t, err)
	if r.Status != job.ResultSucceeded || len(r.Output.Stdout) != 1000 {
		t.Errorf("result %+v", r)
	}
	r, err = b.Result(ctx, viewer, got.Run, ts[1].ID)
	must(t, err)
	if r.Status != job.ResultPending || r.Device != "R2" {
		t.Errorf("result %+v", r)
	}
	_, err = b.Result(ctx, viewer, got.Run, 999)
	wantCode(t, err, job.NotFound)
	_, err = b.Result(ctx, other, got.Run, ts[0].ID)
	wantCode(t, err, job.NotFound)
	dev, err := b.DeviceByID(ctx, viewer, ts[0].ID)
	must(t, err)
	if dev.Name != "R1" || dev.Credential != "lab" {
		t.Errorf("device %+v", dev)
	}
	_, err = b.DeviceByID(ctx, other, ts[0].ID)
	wantCode(t, err, job.NotFound)
}
