package dispatch

import (
	"context"
	"slices"
	"time"

	"drover/internal/inventory"
	"drover/internal/job"
	"drover/internal/secret"
)

// Tokens returns the caller's tokens, without their hashes, in order of making.
func (d *Dispatcher) Tokens(ctx context.Context, p job.Principal) ([]job.Token, error) {
	u, err := d.self(ctx, p)
	if err != nil {
		return nil, err
	}
	for i := range u.Tokens {
		u.Tokens[i].Hash = ""
	}
	return u.Tokens, nil
}

// AddToken makes a token for the caller, good for lifetime (0: until it is
// removed). The token itself is told here and never again. Expired ones of the
// caller are removed on the way. A caller who came with a token gets none: one
// that was stolen would make others, and its own end would mean nothing.
//
// Errors: Forbidden to tokens; Invalid for the name or the lifetime;
// AlreadyExists; TooLarge over job.MaxTokens.
func (d *Dispatcher) AddToken(ctx context.Context, p job.Principal, name string, lifetime time.Duration) (job.Token, job.Secret, error) {
	if p.ByToken {
		return job.Token{}, "", job.Errorf(job.Forbidden, "a token makes no tokens: use the password")
	}
	if err := inventory.ValidName("name", name); err != nil {
		return job.Token{}, "", err
	}
	if lifetime < 0 {
		return job.Token{}, "", job.FieldErrorf("lifetime", "must not be negative")
	}
	token, hash := secret.NewToken()
	now := d.Store.Now()
	t := job.Token{Name: name, Hash: hash, Created: now}
	if lifetime > 0 {
		end := now.Add(lifetime)
		t.Expires = &end
	}
	err := d.editSelf(ctx, p, "token.create", name, func(u *job.User) error {
		u.Tokens = slices.DeleteFunc(slices.Clone(u.Tokens), func(o job.Token) bool { return o.Expires != nil && !now.Before(*o.Expires) })
		if slices.ContainsFunc(u.Tokens, func(o job.Token) bool { return o.Name == name }) {
			return job.Errorf(job.AlreadyExists, "there is already a token with the name %q", name)
		}
		if len(u.Tokens) >= job.MaxTokens {
			return job.Errorf(job.TooLarge, "a user may have at most %d tokens", job.MaxTokens)
		}
		u.Tokens = append(u.Tokens, t)
		return nil
	})
	if err != nil {
		return job.Token{}, "", err
	}
	t.Hash = ""
	return t, token, nil
}

// RemoveToken takes a token of the caller's out of use, from the next request on.
func (d *Dispatcher) RemoveToken(ctx context.Context, p job.Principal, name string) error {
	return d.editSelf(ctx, p, "token.delete", name, func(u *job.User) error {
		n := len(u.Tokens)
		u.Tokens = slices.DeleteFunc(slices.Clone(u.Tokens), func(o job.Token) bool { return o.Name == name })
		if len(u.Tokens) == n {
			return job.Errorf(job.NotFound, "no token %q", name)
		}
		return nil
	})
}

// self reads the caller's own account, in whichever tenant it acts.
func (d *Dispatcher) self(ctx context.Context, p job.Principal) (job.User, error) {
	if err := allow(p, job.ActRead); err != nil {
		return job.User{}, err
	}
	return d.Store.User(ctx, p.Name)
}

func (d *Dispatcher) editSelf(ctx context.Context, p job.Principal, action, object string, edit func(*job.User) error) error {
	for try := 1; ; try++ {
		u, err := d.self(ctx, p)
		if err != nil {
			return err
		}
		if err := edit(&u); err != nil {
			return err
		}
		as := p
		as.Tenant = u.Tenant
		err = d.Store.PutUserAudited(ctx, &u, d.entry(as, action, object, ""))
		if job.CodeOf(err) != job.Conflict || try == saveTries {
			return err
		}
	}
}
