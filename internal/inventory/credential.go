package inventory

import (
	"encoding/pem"
	"strings"

	"drover/internal/job"
)

// The secret fields of a credential.
const (
	FieldPassword       = "password"
	FieldPrivateKey     = "private_key"
	FieldPassphrase     = "passphrase"
	FieldBecomePassword = "become_password"
)

// SecretChange is a secret in clear that is to be sealed and stored. An empty
// Value removes the stored secret.
type SecretChange struct {
	Field string
	Value job.Secret
}

// Sealed returns the place in c where the sealed form belongs.
func (s SecretChange) Sealed(c *job.Credential) *job.Sealed {
	switch s.Field {
	case FieldPassword:
		return &c.Password
	case FieldPrivateKey:
		return &c.PrivateKey
	case FieldPassphrase:
		return &c.Passphrase
	case FieldBecomePassword:
		return &c.BecomePassword
	}
	panic("inventory: no secret field " + s.Field)
}

// References returns no names: a credential mentions no other object.
func (in CredentialInput) References() References { return References{} }

// Apply returns base with the changes that are not secret, and the secrets
// that the caller seals into it through SecretChange.Sealed. What
// DeviceInput.Apply promises about the result holds here too. No error holds a
// secret.
func (in CredentialInput) Apply(base job.Credential, create bool, _ Refs) (job.Credential, []SecretChange, error) {
	c := base
	var err error
	if c.Name, err = rename("credential", base.Name, in.Name, in.NewName, create); err != nil {
		return job.Credential{}, nil, err
	}
	var changes []SecretChange
	err = firstError(
		func() error { return setDescription(in.Description, &c.Description) },
		func() error { return in.setUsername(&c, create) },
		func() error { changes, err = in.secrets(base); return err },
		func() error { return setExtra(in.Extra, &c.Extra) },
	)
	if err != nil {
		return job.Credential{}, nil, err
	}
	return c, changes, nil
}

func (in CredentialInput) setUsername(c *job.Credential, create bool) error {
	if err := setLine("username", in.Username, &c.Username); err != nil {
		return err
	}
	if c.Username == "" && (create || in.Username != nil) {
		return job.FieldErrorf("username", "a user name is required")
	}
	return nil
}

func (in CredentialInput) secrets(base job.Credential) ([]SecretChange, error) {
	var changes []SecretChange
	for _, f := range []struct {
		field string
		value *job.Secret
	}{
		{FieldPassword, in.Password}, {FieldPrivateKey, in.PrivateKey},
		{FieldPassphrase, in.Passphrase}, {FieldBecomePassword, in.BecomePassword},
	} {
		if f.value == nil {
			continue
		}
		if err := validSecret(f.field, *f.value); err != nil {
			return nil, err
		}
		changes = append(changes, SecretChange{Field: f.field, Value: *f.value})
	}
	hasKey := base.PrivateKey.Set()
	if in.PrivateKey != nil {
		hasKey = *in.PrivateKey != ""
	}
	if in.Passphrase != nil && *in.Passphrase != "" && !hasKey {
		return nil, job.FieldErrorf(FieldPassphrase, "there is no private key that the passphrase could be for")
	}
	return changes, nil
}

func validSecret(field string, s job.Secret) error {
	v := s.Reveal()
	if err := ValidText(field, v, MaxSecret); err != nil || v == "" {
		return err
	}
	if field == FieldPrivateKey {
		if block, _ := pem.Decode([]byte(v)); block == nil || !strings.HasSuffix(block.Type, "PRIVATE KEY") {
			return job.FieldErrorf(field, "is not a private key in PEM form")
		}
		return nil
	}
	// A password is typed to a prompt that ends with the line.
	if strings.ContainsAny(v, "\r\n") {
		return job.FieldErrorf(field, "holds a line break")
	}
	return nil
}
