package inventory

import (
	"strings"

	"drover/internal/job"
)

// References returns no names: a user mentions no other object.
func (in UserInput) References() References { return References{} }

// Apply returns base with the input's changes, without the password: the
// caller hashes in.Password when it is not nil, which a create demands. What
// DeviceInput.Apply promises about the result holds here too. base.Tenant is
// the caller's own tenant when creating, and a user that is given no role is a
// viewer.
func (in UserInput) Apply(base job.User, create bool, _ Refs) (job.User, error) {
	u := base
	var err error
	if u.Name, err = rename("user", base.Name, in.Name, nil, create); err != nil {
		return job.User{}, err
	}
	if create {
		u.Role = job.Viewer
		if strings.Contains(u.Name, ":") {
			return job.User{}, job.FieldErrorf("name", "the name of a user cannot contain a colon")
		}
		if in.Password == nil {
			return job.User{}, job.FieldErrorf("password", "a password is required")
		}
	}
	err = firstError(
		func() error { return in.setTenant(&u, create) },
		func() error { return in.setRole(&u) },
		in.checkPassword,
		func() error { return setExtra(in.Extra, &u.Extra) },
	)
	if err != nil {
		return job.User{}, err
	}
	return u, nil
}

func (in UserInput) setTenant(u *job.User, create bool) error {
	if in.Tenant == "" || in.Tenant == u.Tenant {
		return nil
	}
	if !create {
		return job.FieldErrorf("tenant", "the tenant of a user is fixed when the user is created")
	}
	if err := ValidTenant("tenant", in.Tenant); err != nil {
		return err
	}
	u.Tenant = in.Tenant
	return nil
}

// ValidTenant checks the name of a tenant: up to 63 letters, digits, "_", "-"
// and ".", the first of them a letter, a digit or "_".
func ValidTenant(field, name string) error {
	if err := ValidLabelKey(field, name); err != nil {
		return job.FieldErrorf(field, "%.63q is not the name of a tenant: up to 63 letters, digits, _, - and .", name)
	}
	return nil
}

func (in UserInput) setRole(u *job.User) error {
	if in.Role == nil {
		return nil
	}
	switch r := job.Role(*in.Role); r {
	case job.Viewer, job.Operator, job.Admin:
		u.Role = r
		return nil
	}
	return job.FieldErrorf("role", "%.60q is not one of %s, %s and %s", *in.Role, job.Viewer, job.Operator, job.Admin)
}

// MaxPassword is the longest password of a user, in bytes.
const MaxPassword = 1 << 10

func (in UserInput) checkPassword() error {
	if in.Password == nil {
		return nil
	}
	if *in.Password == "" {
		return job.FieldErrorf("password", "a password is required")
	}
	return ValidText("password", in.Password.Reveal(), MaxPassword)
}
