package folderblob

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"drover/internal/blob"
	"drover/internal/blob/blobtest"
	"drover/internal/job"
)

func TestBucket_Conforms(t *testing.T) {
	blobtest.Run(t, func(t testing.TB) blobtest.Open {
		dir := filepath.Join(t.TempDir(), "made", "by", "open")
		return func(t testing.TB) blob.Bucket { return open(t, dir) }
	})
}

func open(t testing.TB, dir string) *Bucket {
	t.Helper()
	b, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	return b
}

func TestBucket_SymbolicLinksLeadNowhereElse(t *testing.T) {
	outside, dir := t.TempDir(), t.TempDir()
	if err := os.WriteFile(filepath.Join(outside, "secret@"), []byte("s"), 0o600); err != nil {
		t.Fatal(err)
	}
	for link, to := range map[string]string{"folder": outside, "file@": filepath.Join(outside, "secret@"), "up": ".."} {
		if err := os.Symlink(to, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	b := open(t, dir)
	for _, name := range []string{"folder/secret", "file", "up/x"} {
		if data, err := b.Get(t.Context(), name); err == nil {
			t.Errorf("Get %s followed a link: %q", name, data)
		}
	}
	for _, name := range []string{"folder/new", "up/new"} {
		if err := b.Put(t.Context(), name, []byte("x")); job.CodeOf(err) != job.Unavailable {
			t.Errorf("Put %s: %v; want Unavailable", name, err)
		}
	}
	_, _ = b.DeletePrefix(t.Context(), "folder/")
	_ = b.Delete(t.Context(), "folder/secret")
	left, err := os.ReadDir(outside)
	if err != nil || len(left) != 1 {
		t.Fatalf("outside the folder there is now %v, %v", left, err)
	}
	if err := b.Put(t.Context(), "file", []byte("x")); err != nil { // replaces the link, not what it names
		t.Fatal(err)
	}
	if got, _ := os.ReadFile(filepath.Join(outside, "secret@")); string(got) != "s" {
		t.Fatalf("a file outside the folder was written: %q", got)
	}
}

func TestPut_LeavesNothingHalfWritten(t *testing.T) {
	dir := t.TempDir()
	b := open(t, dir)
	if err := os.Mkdir(filepath.Join(dir, "a@"), 0o700); err != nil { // what no rename replaces
		t.Fatal(err)
	}
	if err := b.Put(t.Context(), "a", []byte("x")); job.CodeOf(err) != job.Unavailable {
		t.Fatalf("got %v; want Unavailable", err)
	}
	if left, err := os.ReadDir(filepath.Join(dir, fresh)); err != nil || len(left) != 0 {
		t.Fatalf("left behind: %v, %v", left, err)
	}
}

func TestOpen_RemovesWhatACrashLeft(t *testing.T) {
	dir := t.TempDir()
	open(t, dir)
	old, young := filepath.Join(dir, fresh, "OLD"), filepath.Join(dir, fresh, "YOUNG")
	for _, name := range []string{old, young} {
		if err := os.WriteFile(name, []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	past := time.Now().Add(-2 * stale)
	if err := os.Chtimes(old, past, past); err != nil {
		t.Fatal(err)
	}
	open(t, dir)
	if _, err := os.Stat(old); !os.IsNotExist(err) {
		t.Errorf("the old file is still there: %v", err)
	}
	if _, err := os.Stat(young); err != nil {
		t.Errorf("a file that may be in use is gone: %v", err)
	}
}

func TestOpen_RefusesWhatIsNoFolder(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{file, filepath.Join(file, "below")} {
		if _, err := Open(dir); job.CodeOf(err) != job.Unavailable {
			t.Errorf("%s: %v; want Unavailable", dir, err)
		}
	}
}

func TestDeletePrefix_RemovesFolders(t *testing.T) {
	dir := t.TempDir()
	b := open(t, dir)
	if err := b.Put(t.Context(), "runs/1/2/3", []byte("x")); err != nil {
		t.Fatal(err)
	}
	if n, err := b.DeletePrefix(t.Context(), "runs/1/"); err != nil || n != 1 {
		t.Fatalf("%d, %v", n, err)
	}
	if left, err := os.ReadDir(filepath.Join(dir, "runs")); err != nil || len(left) != 0 {
		t.Fatalf("left: %v, %v", left, err)
	}
}
