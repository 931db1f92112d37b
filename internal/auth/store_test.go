package auth_test

import (
	"fmt"
	"log/slog"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"drover/internal/auth"
	"drover/internal/job"
	"drover/internal/store"
	"drover/internal/store/boltstore"
)

// The rules of the package over the store that it will meet: counters that
// expire, users that are rows.
func TestAuthenticator_OverTheStore(t *testing.T) {
	var seconds atomic.Int64
	start := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	clock := func() time.Time { return start.Add(time.Duration(seconds.Load()) * time.Second) }
	driver, err := boltstore.Open(filepath.Join(t.TempDir(), "data"), boltstore.Options{Clock: clock})
	if err != nil {
		t.Fatal(err)
	}
	s := store.New(driver, store.Options{Clock: clock})
	defer func() { _ = s.Close() }()

	created, password, err := auth.BootstrapAdmin(t.Context(), s, "")
	if err != nil || !created {
		t.Fatalf("BootstrapAdmin = %v, %v", created, err)
	}
	if created, _, err := auth.BootstrapAdmin(t.Context(), s, ""); created || err != nil {
		t.Fatalf("the second start: %v, %v", created, err)
	}
	open := func() *auth.Authenticator {
		return auth.New(auth.Config{Users: s, Counters: s, Clock: clock, Log: slog.New(slog.DiscardHandler)})
	}
	a, b := open(), open()
	login := func(a *auth.Authenticator, pw job.Secret, want job.Code) {
		t.Helper()
		who, err := a.Password(t.Context(), "admin", pw, "10.0.0.1")
		if job.CodeOf(err) != want {
			t.Fatalf("code %q, want %q: %v", job.CodeOf(err), want, err)
		}
		if err == nil && (who.Role != job.Admin || who.Tenant != job.DefaultTenant) {
			t.Errorf("principal %+v", who)
		}
	}
	login(a, password, "")
	for i := range 10 {
		login(a, job.Secret(fmt.Sprint("guess ", i)), job.Unauthenticated)
	}
	login(a, password, job.Unauthenticated)
	// Being asked all the time does not prolong the lock-out.
	for range 29 {
		seconds.Add(10)
		login(a, password, job.Unauthenticated)
		login(b, password, job.Unauthenticated)
	}
	seconds.Add(10)
	login(a, password, "")
	seconds.Add(10)
	login(b, password, "")
}
