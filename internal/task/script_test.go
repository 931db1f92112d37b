package task

import (
	"strings"
	"testing"

	"drover/internal/job"
)

// template stores a template that others include.
func (l *lab) template(t job.Template) job.Template {
	l.t.Helper()
	t.Tenant = tenant
	l.must(l.store.PutTemplate(l.t.Context(), nil, &t, nil))
	return t
}

func TestRun_ERB(t *testing.T) {
	l := newLab(t, 1, nil)
	d, err := l.store.Device(t.Context(), tenant, l.ids[0])
	l.must(err)
	next := d
	next.Labels = map[string]string{"site": "lab"}
	l.must(l.store.PutDevice(t.Context(), &d, &next))
	tail := "now"
	deep := l.template(job.Template{Meta: job.Meta{Name: "deep"}, Language: job.LanguageERB, Body: "echo deep", Inputs: []job.Input{{ID: 7, Name: "when", Kind: job.InputUser, Default: &tail}}})
	l.template(job.Template{Meta: job.Meta{Name: "greet"}, Language: job.LanguageERB, Body: "echo greet <%= input('who') %> <%= input('when') %>",
		Inputs: []job.Input{{ID: 8, Name: "who", Kind: job.InputUser}}, Includes: []job.Include{{ID: 9, TemplateID: deep.ID, All: true}}})
	for _, blob := range []bool{false, true} {
		ref := l.submit(jobSpec{specBlob: blob, payload: `{"command":"echo hi"}`, body: "<%= input('command') %> <%= input('token') %> <%= host_param('site') %> <%= @host.name %>\n<%= render_template('greet', :who => 'you') %>",
			change: func(_ *job.Run, j *job.Job) {
				j.Language, j.TemplateID = job.LanguageERB, 3
				j.Inputs = []job.Input{{ID: 1, Name: "command", Kind: job.InputUser}, {ID: 2, Name: "token", Kind: job.InputUser, Hidden: true}}
				j.Hidden = map[string]job.Sealed{"token": l.sealed(j, "input.token", "hunter22")}
				if blob {
					l.putSpec(j)
				}
			}})
		l.must(l.run(t.Context(), l.functions(nil), ref))
		_, rows := l.settled(ref)
		if want := "hi " + job.Redacted + " lab R1\ngreet you now\n"; rows[0].Output.Stdout != want {
			t.Errorf("%q %q, output %q, want %q", rows[0].Reason, rows[0].Message, rows[0].Output.Stdout, want)
		}
	}
	ref := l.submit(jobSpec{body: "<%= input('nonesuch') %>", change: func(_ *job.Run, j *job.Job) { j.Language, j.TemplateID = job.LanguageERB, 3 }})
	l.must(l.run(t.Context(), l.functions(nil), ref))
	if _, rows := l.settled(ref); rows[0].Status != job.ResultFailed || rows[0].Reason != job.ReasonRendering || !strings.Contains(rows[0].Message, "nonesuch") {
		t.Errorf("%+v", rows[0])
	}
	if n := l.fleet.Executions(); n != 2 {
		t.Errorf("%d commands", n)
	}
}
