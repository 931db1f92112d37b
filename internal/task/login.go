package task

import (
	"context"
	"encoding/json"
	"maps"
	"slices"

	"drover/internal/device"
	"drover/internal/executor"
	"drover/internal/job"
	"drover/internal/secret"
)

// login is an opened credential.
type login struct {
	auth    device.Auth
	become  job.Secret // "": the login's own password
	secrets []job.Secret
	redact  *executor.Redactor
	refused *executor.Refusal
	missing bool // refused because there is no credential
}

// becomePassword is what is answered where a password for another user is asked.
func (l *login) becomePassword() job.Secret {
	if l.become != "" {
		return l.become
	}
	return l.auth.Password
}

// deviceLogin returns how the run logs in to devices that have a credential:
// with that, and with what the job brings itself.
func (k *knownRun) deviceLogin(ctx context.Context, f *Functions, id int64) (*login, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if l := k.overs[id]; l != nil {
		return l, nil
	}
	base, err := k.loginLocked(ctx, f, id)
	if err != nil {
		return nil, err
	}
	l := base
	if !k.own.empty() {
		l = k.own.over(base)
	}
	k.overs[id] = l
	return l, nil
}

// loginLocked opens a credential, once per run and process.
func (k *knownRun) loginLocked(ctx context.Context, f *Functions, id int64) (*login, error) {
	if l := k.logins[id]; l != nil {
		return l, nil
	}
	l := &login{}
	switch c, err := f.credential(ctx, k.id.tenant, id); {
	case err == nil:
		if l, err = openLogin(f.cfg.Box, c); err != nil {
			return nil, err
		}
	case job.CodeOf(err) == job.NotFound:
		l.refused = &executor.Refusal{Status: job.ResultFailed, Reason: job.ReasonNoCredential, Message: "the device has no credential"}
		l.missing = true
	default:
		return nil, err
	}
	k.logins[id] = l
	return l, nil
}

func (f *Functions) credential(ctx context.Context, tenant string, id int64) (job.Credential, error) {
	if id == 0 {
		return job.Credential{}, job.Errorf(job.NotFound, "no credential")
	}
	return f.cfg.Store.Credential(ctx, tenant, id)
}

// openLogin opens a credential. What does not open refuses the devices that have
// it; an error says that it may open at another time.
func openLogin(box *secret.Box, c job.Credential) (*login, error) {
	l := &login{auth: device.Auth{Username: c.Username}}
	for _, s := range []struct {
		field  string
		sealed job.Sealed
		into   *job.Secret
	}{
		{"password", c.Password, &l.auth.Password},
		{"private_key", c.PrivateKey, &l.auth.PrivateKey},
		{"passphrase", c.Passphrase, &l.auth.Passphrase},
		{"become_password", c.BecomePassword, &l.become},
	} {
		v, err := box.Open(s.sealed, secret.AAD(c.Tenant, "credential", c.ID, s.field))
		switch {
		case err == nil:
		case job.CodeOf(err) != job.Corrupt:
			return nil, err
		default:
			return &login{refused: &executor.Refusal{Status: job.ResultFailed, Reason: job.ReasonNoCredential,
				Message: "the " + s.field + " of credential " + c.Name + " cannot be opened: " + job.MessageOf(err)}}, nil
		}
		*s.into = v
		l.secrets = append(l.secrets, v)
	}
	l.redact = executor.NewRedactor(l.secrets...)
	return l, nil
}

// own is what a job brings itself: the values of its inputs, hidden ones in
// clear, and what replaces parts of the devices' credentials.
type own struct {
	values   map[string]string
	username string
	auth     device.Auth
	become   job.Secret
	secrets  []job.Secret
	refused  *executor.Refusal
}

// openOwn opens what a job brings. What does not open refuses every device of
// the run; an error says that it may open at another time.
func openOwn(box *secret.Box, j job.Job) (*own, error) {
	o := &own{username: j.Login.Username, values: map[string]string{}}
	if j.TemplateID != 0 && len(j.Payload) > 0 {
		if err := json.Unmarshal(j.Payload, &o.values); err != nil {
			return refuseAll(job.ReasonRendering, "the values of the inputs cannot be read"), nil
		}
	}
	for _, name := range slices.Sorted(maps.Keys(j.Hidden)) {
		v, err := box.Open(j.Hidden[name], secret.AAD(j.Tenant, j.SecretKind(), 0, "input."+name))
		switch {
		case err == nil:
		case job.CodeOf(err) != job.Corrupt:
			return nil, err
		default:
			return refuseAll(job.ReasonRendering, "the value of the input "+name+" cannot be opened: "+job.MessageOf(err)), nil
		}
		o.values[name] = v.Reveal()
		o.secrets = append(o.secrets, v)
	}
	for _, s := range []struct {
		field  string
		sealed job.Sealed
		into   *job.Secret
	}{
		{"password", j.Login.Password, &o.auth.Password},
		{"passphrase", j.Login.Passphrase, &o.auth.Passphrase},
		{"become_password", j.Login.BecomePassword, &o.become},
	} {
		v, err := box.Open(s.sealed, secret.AAD(j.Tenant, j.SecretKind(), 0, "login."+s.field))
		switch {
		case err == nil:
		case job.CodeOf(err) != job.Corrupt:
			return nil, err
		default:
			return refuseAll(job.ReasonNoCredential, "the "+s.field+" that came with the job cannot be opened: "+job.MessageOf(err)), nil
		}
		*s.into = v
		if v != "" {
			o.secrets = append(o.secrets, v)
		}
	}
	return o, nil
}

func refuseAll(reason, message string) *own {
	return &own{refused: &executor.Refusal{Status: job.ResultFailed, Reason: reason, Message: message}}
}

// payload is the job's payload with the values of its hidden inputs.
func (o *own) payload(j job.Job) json.RawMessage {
	if len(j.Hidden) == 0 {
		return j.Payload
	}
	b, err := json.Marshal(o.values)
	if err != nil { // strings encode
		return j.Payload
	}
	return b
}

// empty reports whether logins are as they would be without the job.
func (o *own) empty() bool { return o.username == "" && len(o.secrets) == 0 && o.refused == nil }

// over lays the job's own login over a credential's. A user and a password are
// enough where there is no credential at all.
func (o *own) over(base *login) *login {
	if o.refused != nil {
		return &login{refused: o.refused}
	}
	if base.refused != nil && !(base.missing && o.username != "" && o.auth.Password != "") {
		return base
	}
	l := &login{auth: base.auth, become: base.become, secrets: slices.Concat(base.secrets, o.secrets)}
	if o.username != "" {
		l.auth.Username = o.username
	}
	if o.auth.Password != "" {
		l.auth.Password = o.auth.Password
	}
	if o.auth.Passphrase != "" {
		l.auth.Passphrase = o.auth.Passphrase
	}
	if o.become != "" {
		l.become = o.become
	}
	l.redact = executor.NewRedactor(l.secrets...)
	return l
}
