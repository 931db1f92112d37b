package auth

import (
	"context"
	"crypto/rand"
	"time"

	"drover/internal/job"
	"drover/internal/secret"
)

// AdminName is the user that the first start makes.
const AdminName = "admin"

// bootstrapped is the setting that says that the first start is over.
const bootstrapped = "admin-created"

// Installation is what the first start needs of the store.
type Installation interface {
	UserReader
	PutUser(ctx context.Context, u *job.User) error // AlreadyExists when the name is taken
	Setting(ctx context.Context, name string) ([]byte, error)
	PutSettingIfMissing(ctx context.Context, name string, value []byte) (stored []byte, err error)
	Now() time.Time
}

// BootstrapAdmin makes the user admin (role admin, tenant default) on the first
// start of an installation, with the given password or, when that is empty, with
// a random one, which it returns and which cannot be learned again. Later starts
// do nothing, even if admin was deleted meanwhile. Of several processes that
// start at once one makes the user.
func BootstrapAdmin(ctx context.Context, in Installation, password job.Secret) (created bool, generated job.Secret, err error) {
	if over, err := firstStartOver(ctx, in); over || err != nil {
		return false, "", err // without hashing for nothing
	}
	if password == "" {
		generated = job.Secret(rand.Text()) // 26 letters, 130 bits
		password = generated
	}
	hash, err := secret.HashPassword(password)
	if err != nil {
		return false, "", err
	}
	created, err = BootstrapAdminHash(ctx, in, hash)
	if !created {
		generated = ""
	}
	return created, generated, err
}

// BootstrapAdminHash is BootstrapAdmin with a password of which only the hash is
// known here. A hash that no password could match is refused.
func BootstrapAdminHash(ctx context.Context, in Installation, hash string) (created bool, err error) {
	if over, err := firstStartOver(ctx, in); over || err != nil {
		return false, err
	}
	if err := secret.CheckHash(hash); err != nil {
		return false, err
	}
	now := in.Now()
	err = in.PutUser(ctx, &job.User{
		Meta:         job.Meta{Tenant: job.DefaultTenant, Name: AdminName, Created: now, Updated: now},
		Role:         job.Admin,
		PasswordHash: hash,
	})
	if err != nil && job.CodeOf(err) != job.AlreadyExists {
		return false, err
	}
	created = err == nil
	// After the user: a crash between the two repeats the first start, which then
	// finds the user. For the same reason a failure is none for who made it: the
	// password must reach its owner.
	_, err = in.PutSettingIfMissing(ctx, bootstrapped, []byte(now.UTC().Format(time.RFC3339)))
	if created {
		return true, nil
	}
	return false, err
}

func firstStartOver(ctx context.Context, in Installation) (bool, error) {
	_, err := in.Setting(ctx, bootstrapped)
	if job.CodeOf(err) == job.NotFound {
		return false, nil
	}
	return err == nil, err
}
