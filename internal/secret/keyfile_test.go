package secret_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"drover/internal/job"
	"drover/internal/secret"
)

func open(t *testing.T, path string) *secret.Box {
	t.Helper()
	b, err := secret.OpenKeyFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func seal(t *testing.T, b *secret.Box, s job.Secret) job.Sealed {
	t.Helper()
	sealed, err := b.Seal(s, "place")
	if err != nil {
		t.Fatal(err)
	}
	return sealed
}

func opens(t *testing.T, b *secret.Box, s job.Sealed, want job.Secret) {
	t.Helper()
	if got, err := b.Open(s, "place"); err != nil || got.Reveal() != want.Reveal() {
		t.Errorf("does not open: %v", err)
	}
}

func TestOpenKeyFile_MakesAFileThatOnlyTheOwnerReads(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "keys")
	sealed := seal(t, open(t, path), "s3cret")
	opens(t, open(t, path), sealed, "s3cret")

	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if runtime.GOOS != "windows" && info.Mode() != 0o600 {
		t.Errorf("mode is %v, want 0600", info.Mode())
	}
	if names, _ := os.ReadDir(dir); len(names) != 1 {
		t.Errorf("left behind in the folder: %v", names)
	}
}

func TestOpenKeyFile_OneOfManyMakesItAndAllUseIt(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys")
	boxes := make([]*secret.Box, 8)
	var wg sync.WaitGroup
	for i := range boxes {
		wg.Go(func() {
			var err error
			if boxes[i], err = secret.OpenKeyFile(path); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if t.Failed() {
		return
	}
	sealed := seal(t, boxes[0], "s3cret")
	for _, b := range boxes {
		opens(t, b, sealed, "s3cret")
	}
}

func TestOpenKeyFile_Refuses(t *testing.T) {
	whole := filepath.Join(t.TempDir(), "keys")
	open(t, whole)
	good, err := os.ReadFile(whole)
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name string
		make func(path string) error
		code job.Code
		says string // what helps the person
	}{
		{"group may read", put(good, 0o640), job.Forbidden, "chmod 600 "},
		{"others may read", put(good, 0o604), job.Forbidden, "mode 0604"},
		{"others may write", put(good, 0o602), job.Forbidden, "chmod 600 "},
		{"empty", put(nil, 0o600), job.Corrupt, "restore it from a backup"},
		{"cut short", put(good[:len(good)/2], 0o600), job.Corrupt, "restore it from a backup"},
		{"other JSON", put([]byte(`{"key":"c2VjcmV0"}`), 0o600), job.Corrupt, "does not hold a keyset"},
		{"a bad key in it", put([]byte(strings.Replace(string(good), "SYMMETRIC", "ASYMMETRIC_PUBLIC", 1)), 0o600), job.Corrupt, ""},
		{"huge", put(make([]byte, 2<<20), 0o600), job.Corrupt, "does not hold a keyset"},
		{"a folder", func(p string) error { return os.Mkdir(p, 0o700) }, job.Invalid, "not a regular file"},
		{"no folder to make it in", nil, job.Unavailable, "no such file or directory"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if runtime.GOOS == "windows" && tt.code == job.Forbidden {
				t.Skip("Windows has no permission bits")
			}
			path := filepath.Join(t.TempDir(), "sub", "keys")
			if tt.make != nil {
				if err := errors.Join(os.Mkdir(filepath.Dir(path), 0o700), tt.make(path)); err != nil {
					t.Fatal(err)
				}
			}
			before, _ := os.ReadFile(path)
			_, err := secret.OpenKeyFile(path)
			if job.CodeOf(err) != tt.code {
				t.Fatalf("code %q, want %q: %v", job.CodeOf(err), tt.code, err)
			}
			if !strings.Contains(err.Error(), tt.says) || !strings.Contains(err.Error(), path) {
				t.Errorf("message %q names neither file nor remedy %q", err, tt.says)
			}
			if key := keyValue(good); strings.Contains(err.Error(), key) || strings.Contains(err.Error(), "c2VjcmV0") {
				t.Error("the error holds key material")
			}
			if after, _ := os.ReadFile(path); string(after) != string(before) {
				t.Error("the file was changed")
			}
		})
	}
}

func put(data []byte, mode fs.FileMode) func(string) error {
	return func(path string) error {
		return errors.Join(os.WriteFile(path, data, 0o600), os.Chmod(path, mode))
	}
}

// keyValue finds the key material in a key file.
func keyValue(file []byte) string {
	_, after, _ := strings.Cut(string(file), `"value"`)
	return strings.Split(after, `"`)[1]
}

func TestRotate_OldSealsStillOpen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys")
	b := open(t, path)
	old := seal(t, b, "old")
	if err := b.Rotate(t.Context()); err != nil {
		t.Fatal(err)
	}
	fresh := seal(t, b, "new")
	if string(fresh[:5]) == string(old[:5]) { // Tink leads with the id of the key
		t.Error("sealed with the old key after the rotation")
	}
	for _, b := range []*secret.Box{b, open(t, path)} {
		opens(t, b, old, "old")
		opens(t, b, fresh, "new")
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm()&0o077 != 0 && runtime.GOOS != "windows" {
		t.Errorf("after the rotation: %v, %v", info.Mode(), err)
	}
}

func TestRotate_WhileSealing(t *testing.T) {
	b := open(t, filepath.Join(t.TempDir(), "keys"))
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 50 {
				sealed, err := b.Seal("s3cret", "place")
				if err != nil {
					t.Error(err)
					return
				}
				opens(t, b, sealed, "s3cret")
			}
		})
	}
	for range 2 {
		wg.Go(func() {
			for range 3 {
				if err := b.Rotate(t.Context()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

func TestRotate_FailureChangesNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys")
	b := open(t, path)
	sealed := seal(t, b, "s3cret")
	if err := os.WriteFile(path, []byte("spoilt"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := b.Rotate(t.Context()); job.CodeOf(err) != job.Corrupt {
		t.Errorf("code %q, want corrupt", job.CodeOf(err))
	}
	opens(t, b, sealed, "s3cret")
	opens(t, b, seal(t, b, "again"), "again")

	if err := newBox(t).Rotate(t.Context()); job.CodeOf(err) != job.Unsupported {
		t.Errorf("a box without file: code %q, want unsupported", job.CodeOf(err))
	}
}
