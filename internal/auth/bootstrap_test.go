package auth

import (
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"drover/internal/job"
	"drover/internal/secret"
)

func TestBootstrapAdmin_FirstStart(t *testing.T) {
	s := newShared()
	created, generated, err := BootstrapAdmin(t.Context(), s, "")
	if err != nil || !created || len(generated) < 20 {
		t.Fatalf("BootstrapAdmin = %v, %d letters, %v", created, len(generated), err)
	}
	u := s.users["admin"]
	if u.Role != job.Admin || u.Tenant != job.DefaultTenant || !u.Created.Equal(s.now) || !secret.VerifyPassword(u.PasswordHash, generated) {
		t.Errorf("made %+v", u)
	}

	// Later starts change nothing, not even with another password or when admin
	// was deleted.
	for range 2 {
		if created, generated, err = BootstrapAdmin(t.Context(), s, "another"); created || generated != "" || err != nil {
			t.Errorf("second start: %v, %v, %v", created, generated, err)
		}
		if created, err := BootstrapAdminHash(t.Context(), s, hashes()["new"]); created || err != nil {
			t.Errorf("second start: %v, %v", created, err)
		}
		delete(s.users, "admin")
	}
	if len(s.users) != 0 {
		t.Error("a later start made admin again")
	}
}

func TestBootstrapAdmin_GivenPassword(t *testing.T) {
	s := newShared()
	created, generated, err := BootstrapAdmin(t.Context(), s, "chosen")
	if !created || generated != "" || err != nil || !secret.VerifyPassword(s.users["admin"].PasswordHash, "chosen") {
		t.Errorf("BootstrapAdmin = %v, %v, %v", created, generated, err)
	}
	if _, _, err := BootstrapAdmin(t.Context(), newShared(), job.Secret(strings.Repeat("x", MaxCredential+1))); job.CodeOf(err) != job.Invalid {
		t.Errorf("an overlong password: %v", err)
	}
}

func TestBootstrapAdmin_GivenHash(t *testing.T) {
	s := newShared()
	if _, err := BootstrapAdminHash(t.Context(), s, "chosen"); job.CodeOf(err) != job.Invalid || len(s.users) != 0 {
		t.Errorf("a password in the place of its hash: %v", err)
	}
	if created, err := BootstrapAdminHash(t.Context(), s, hashes()["right"]); !created || err != nil {
		t.Fatalf("BootstrapAdminHash = %v, %v", created, err)
	}
	newProcess(t, s).accepts("admin", "right", "a")
}

func TestBootstrapAdmin_InterruptedBeforeItsEnd(t *testing.T) {
	s := newShared()
	s.add("admin", "right", job.Admin) // and no setting yet
	if created, _, err := BootstrapAdmin(t.Context(), s, "another"); created || err != nil {
		t.Errorf("BootstrapAdmin = %v, %v", created, err)
	}
	if s.users["admin"].PasswordHash != hashes()["right"] || len(s.settings) != 1 {
		t.Error("the repeated first start changed the user, or did not end")
	}

	s = newShared()
	s.down = job.Errorf(job.Unavailable, "the disk is full") // from the setting on
	created, generated, err := BootstrapAdmin(t.Context(), s, "")
	if !created || generated == "" || err != nil {
		t.Errorf("the password is lost: %v, %v", created, err)
	}
}

func TestBootstrapAdmin_OneOfManyMakesIt(t *testing.T) {
	s := newShared()
	var made atomic.Int32
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			created, generated, err := BootstrapAdmin(t.Context(), s, "")
			if err != nil || created != (generated != "") {
				t.Errorf("BootstrapAdmin: %v, %v", created, err)
			}
			if created {
				made.Add(1)
			}
		})
	}
	wg.Wait()
	if made.Load() != 1 {
		t.Errorf("made %d times", made.Load())
	}
}
