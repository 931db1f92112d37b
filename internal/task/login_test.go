package task

import (
	"fmt"
	"strings"
	"testing"

	"drover/internal/device"
	"drover/internal/device/sshsim"
	"drover/internal/executor"
	"drover/internal/job"
	"drover/internal/secret"
)

// sealed seals a secret of a job.
func (l *lab) sealed(j *job.Job, field string, v job.Secret) job.Sealed {
	l.t.Helper()
	s, err := l.box.Seal(v, secret.AAD(tenant, j.SecretKind(), 0, field))
	l.must(err)
	return s
}

func TestRun_LoginOfTheJob(t *testing.T) {
	l := newLab(t, 1, func(int) sshsim.Behaviour { return sshsim.Behaviour{BecomePassword: "b3come-pw"} })
	d := l.fleet.Devices[0]
	targets := []job.Target{
		{ID: l.device(job.Device{Meta: job.Meta{Name: "wrong"}, Address: d.Address, Port: d.Port, CredentialID: l.credential("wrong", "wr0ng-pw")}), Name: "wrong"},
		{ID: l.device(job.Device{Meta: job.Meta{Name: "none"}, Address: d.Address, Port: d.Port}), Name: "none"},
	}
	ref := l.submit(jobSpec{body: "whoami; echo dr0ver-pw b3come-pw", targets: targets, change: func(r *job.Run, j *job.Job) {
		r.HasLogin = true
		j.Become = job.Become{User: "root", Method: job.BecomeSudo}
		j.Login = job.Login{Username: "drover", Password: l.sealed(j, "login.password", "dr0ver-pw"), BecomePassword: l.sealed(j, "login.become_password", "b3come-pw")}
	}})
	l.must(l.run(t.Context(), l.functions(nil), ref))
	run, rows := l.settled(ref)
	for i, r := range rows {
		if want := "root\n" + job.Redacted + " " + job.Redacted + "\n"; r.Output.Stdout != want {
			t.Errorf("device %d: %s %q, output %q, want %q", i, r.Status, r.Message, r.Output.Stdout, want)
		}
	}
	if run.Status != job.Succeeded {
		t.Errorf("%s %q", run.Status, run.Reason)
	}
	// It is over: nobody logs in with this any more.
	if j, err := l.store.Job(t.Context(), tenant, run.JobID); err != nil || j.Login.Secret() || j.Login.Username != "drover" {
		t.Errorf("the login is kept: %+v, %v", j.Login, err)
	}
}

func TestRun_WithoutALogin(t *testing.T) {
	l := newLab(t, 1, nil)
	d := l.fleet.Devices[0]
	none := []job.Target{{ID: l.device(job.Device{Meta: job.Meta{Name: "none"}, Address: d.Address, Port: d.Port}), Name: "none"}}
	for name, change := range map[string]func(*job.Run, *job.Job){
		"a user alone":     func(_ *job.Run, j *job.Job) { j.Login.Username = "drover" },
		"a password alone": func(_ *job.Run, j *job.Job) { j.Login.Password = l.sealed(j, "login.password", "dr0ver-pw") },
		"of another job": func(_ *job.Run, j *job.Job) {
			j.Login.Password = l.sealed(&job.Job{ID: "other"}, "login.password", "dr0ver-pw")
		},
		"of another purpose": func(_ *job.Run, j *job.Job) { j.Login.Password = l.sealed(j, "login.passphrase", "dr0ver-pw") },
	} {
		ref := l.submit(jobSpec{body: "echo", targets: none, change: change})
		l.must(l.run(t.Context(), l.functions(nil), ref))
		if _, rows := l.settled(ref); rows[0].Status != job.ResultFailed || rows[0].Reason != job.ReasonNoCredential || l.fleet.Executions() != 0 {
			t.Errorf("%s: %+v", name, rows[0])
		}
	}
}

func TestRun_HiddenInputs(t *testing.T) {
	l := newLab(t, 1, nil)
	submit := func(field string) RunRef {
		return l.submit(jobSpec{body: `echo {{ payload["shown"] }} {{ payload["token"] }}`, payload: `{"shown":"to all"}`, change: func(_ *job.Run, j *job.Job) {
			j.TemplateID = 1
			j.Hidden = map[string]job.Sealed{"token": l.sealed(j, field, "hunter22")}
		}})
	}
	ref := submit("input.token")
	l.must(l.run(t.Context(), l.functions(nil), ref))
	if _, rows := l.settled(ref); rows[0].Output.Stdout != "to all "+job.Redacted+"\n" {
		t.Errorf("%+v", rows[0])
	}
	if got := l.fleet.Devices[0].Executions(); len(got) != 1 || !strings.Contains(got[0].Script, "hunter22") {
		t.Errorf("the device saw %+v", got)
	}
	ref = submit("input.other")
	l.must(l.run(t.Context(), l.functions(nil), ref))
	if _, rows := l.settled(ref); rows[0].Status != job.ResultFailed || rows[0].Reason != job.ReasonRendering || l.fleet.Executions() != 1 {
		t.Errorf("%+v", rows[0])
	}
}

// Who is logged in already needs nobody's leave to become.
func TestRun_EffectiveUserIsTheLoginUser(t *testing.T) {
	l := newLab(t, 1, func(int) sshsim.Behaviour { return sshsim.Behaviour{BecomeDenied: true} })
	for user, want := range map[string]job.ResultStatus{"drover": job.ResultSucceeded, "root": job.ResultFailed, "": job.ResultFailed} {
		ref := l.submit(jobSpec{body: "whoami", change: func(_ *job.Run, j *job.Job) { j.Become = job.Become{User: user, Method: job.BecomeSudo} }})
		l.must(l.run(t.Context(), l.functions(nil), ref))
		if _, rows := l.settled(ref); rows[0].Status != want {
			t.Errorf("as %q: %+v", user, rows[0])
		}
	}
	if !becomesItself(job.Become{Method: job.BecomeSu}, "root") || becomesItself(job.Become{}, "root") {
		t.Error("nobody named is root, and no switch is none")
	}
}

func TestOwn_Over(t *testing.T) {
	refused := &login{refused: &executor.Refusal{Reason: job.ReasonNoCredential}}
	missing := &login{refused: refused.refused, missing: true}
	base := func() *login {
		return &login{auth: device.Auth{Username: "u", Password: "p-1", PrivateKey: "key", Passphrase: "ph-1"}, secrets: []job.Secret{"p-1", "key", "ph-1"}}
	}
	for _, c := range []struct {
		name string
		own  own
		base *login
		want string // user, password, key, passphrase, become
	}{
		{"user", own{username: "x"}, base(), "x p-1 key ph-1 p-1"},
		{"password", own{auth: device.Auth{Password: "p-2"}}, base(), "u p-2 key ph-1 p-2"},
		{"passphrase", own{auth: device.Auth{Passphrase: "ph-2"}}, base(), "u p-1 key ph-2 p-1"},
		{"become", own{become: "b"}, base(), "u p-1 key ph-1 b"},
		{"no credential", own{username: "x", auth: device.Auth{Password: "p-2"}}, missing, "x p-2   p-2"},
		{"no credential, no user", own{auth: device.Auth{Password: "p-2"}}, missing, "refused"},
		{"a credential that does not open", own{username: "x", auth: device.Auth{Password: "p-2"}}, refused, "refused"},
	} {
		l := c.own.over(c.base)
		got := "refused"
		if l.refused == nil {
			got = fmt.Sprint(l.auth.Username, " ", l.auth.Password.Reveal(), " ", l.auth.PrivateKey.Reveal(), " ", l.auth.Passphrase.Reveal(), " ", l.becomePassword().Reveal())
		}
		if got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}
