package boltstore

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"drover/internal/job"
	"drover/internal/store"
)

// holdVariable makes this test binary a process that holds the named file.
const holdVariable = "DROVER_TEST_HOLD"

// roles are what this test binary does instead of testing, with the file that
// the environment variable names.
var roles = map[string]func(path string){holdVariable: hold}

func TestMain(m *testing.M) {
	for variable, play := range roles {
		if path := os.Getenv(variable); path != "" {
			play(path)
		}
	}
	os.Exit(m.Run())
}

func hold(path string) {
	s, err := Open(path, Options{})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println("held")
	_, _ = os.Stdin.Read(make([]byte, 1)) // until the test lets go
	_ = s.Close()
	os.Exit(0)
}

func mustOpen(t testing.TB, path string) *Store {
	t.Helper()
	s, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func rowOf(i int, bytes int) store.Row {
	return store.Row{Key: store.Key{Partition: "p", Sort: fmt.Sprintf("%06d", i)}, Value: []byte(strings.Repeat("v", bytes))}
}

// fill writes n rows and closes the store.
func fill(t testing.TB, path string, n int) {
	t.Helper()
	s := mustOpen(t, path)
	for i := range n {
		r := rowOf(i, 100)
		r.Expires = time.Now().Add(time.Duration(i) * time.Hour)
		if _, err := s.Put(t.Context(), r, store.Always()); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Add(t.Context(), r.Key, 1, time.Time{}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func wantRefusal(t *testing.T, err error, code job.Code, words ...string) {
	t.Helper()
	if job.CodeOf(err) != code {
		t.Fatalf("got %v (%s); want %s", err, job.CodeOf(err), code)
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Fatalf("the message %q does not say %q", err, w)
		}
	}
}

func TestOpen_RefusesASecondProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "drover.db")
	other := exec.Command(os.Args[0])
	other.Env = append(os.Environ(), holdVariable+"="+path)
	in, err := other.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := other.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	said := make([]byte, 64)
	if n, err := out.Read(said); err != nil || !strings.HasPrefix(string(said[:n]), "held") {
		t.Fatalf("the other process says %q, %v", said[:n], err)
	}
	_, err = Open(path, Options{LockWait: 60 * time.Millisecond})
	wantRefusal(t, err, job.Unavailable, path, "in use by another process")
	if err := errors.Join(in.Close(), other.Wait()); err != nil {
		t.Fatal(err)
	}
	mustOpen(t, path)
}

func TestOpen_RefusesDamagedFiles(t *testing.T) {
	whole := filepath.Join(t.TempDir(), "whole.db")
	fill(t, whole, 300)
	good, err := os.ReadFile(whole)
	if err != nil {
		t.Fatal(err)
	}
	noise := make([]byte, 100_000)
	for i := range noise {
		noise[i] = byte(rand.IntN(256))
	}
	for name, content := range map[string][]byte{
		"empty":             nil,
		"one byte":          {0},
		"text":              []byte("this is not a data file\n"),
		"noise":             noise,
		"zeroes":            make([]byte, 100_000),
		"half a page":       good[:2048],
		"one page":          good[:4096],
		"two pages":         good[:8192],
		"three pages":       good[:3*4096],
		"five pages":        good[:5*4096],
		"both heads broken": append(append([]byte{}, noise[:2*4096]...), good[2*4096:]...),
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "drover.db")
			if err := os.WriteFile(path, content, 0o600); err != nil {
				t.Fatal(err)
			}
			for range 2 { // the first refusal does not lock the second out
				_, err := Open(path, Options{LockWait: 60 * time.Millisecond})
				wantRefusal(t, err, job.Corrupt, path, "damaged")
			}
			if left, err := os.ReadFile(path); err != nil || !bytes.Equal(left, content) {
				t.Fatal("a refused file was changed")
			}
		})
	}
}

// Whatever page is damaged, in whatever way: no crash, no wrong row, and no
// error but Corrupt.
func TestDamagedPages_AreCorruptAndNeverACrash(t *testing.T) {
	whole := filepath.Join(t.TempDir(), "whole.db")
	fill(t, whole, 80)
	good, err := os.ReadFile(whole)
	if err != nil {
		t.Fatal(err)
	}
	used := usedBytes(t, whole)
	dir, refused := t.TempDir(), 0
	for page := 2; page < used/4096; page++ {
		for kind, damage := range map[string]func(int) byte{
			"zero": func(int) byte { return 0 }, "ones": func(int) byte { return 0xff },
			"pattern": func(i int) byte { return byte(i*131 + page) },
		} {
			data := append([]byte{}, good...)
			for i := range 4096 {
				data[page*4096+i] = damage(i)
			}
			path := filepath.Join(dir, fmt.Sprintf("%d-%s.db", page, kind))
			if err := os.WriteFile(path, data, 0o600); err != nil {
				t.Fatal(err)
			}
			if useEverything(t, path) != nil {
				refused++
			}
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
		}
	}
	if refused == 0 {
		t.Fatal("no damage was noticed")
	}
}

func usedBytes(t *testing.T, path string) int {
	s := mustOpen(t, path)
	var b bytes.Buffer
	if _, err := s.Backup(t.Context(), &b); err != nil {
		t.Fatal(err)
	}
	return b.Len()
}

// useEverything opens a file, reads, writes and restores it. It fails the test
// on any error that is not Corrupt, and returns the first that is.
func useEverything(t *testing.T, path string) error {
	t.Helper()
	restored := path + ".restored"
	first := Restore(path, restored)
	note := func(what string, err error) {
		if err != nil && job.CodeOf(err) != job.Corrupt {
			t.Fatalf("%s: %s: %v; want Corrupt or none", path, what, err)
		}
		if first == nil {
			first = err
		}
	}
	note("Restore", first)
	if first == nil {
		if err := os.Remove(restored); err != nil {
			t.Fatal(err)
		}
	}
	s, err := Open(path, Options{})
	note("Open", err)
	if err != nil {
		return first
	}
	defer func() { _ = s.Close() }()
	page, err := s.Query(t.Context(), store.Query{Partition: "p"})
	note("Query", err)
	for _, r := range page.Rows {
		if len(r.Value) != 100 {
			t.Fatalf("%s: a row of %d bytes was made up", path, len(r.Value))
		}
	}
	for i := 0; i < 80; i += 20 {
		_, err = s.Get(t.Context(), rowOf(i, 0).Key)
		note("Get", err)
		_, err = s.Put(t.Context(), rowOf(i, 50), store.Always())
		note("Put", err)
		_, err = s.Add(t.Context(), rowOf(i, 0).Key, 1, time.Time{})
		note("Add", err)
	}
	_, err = s.Sweep(t.Context(), time.Now().Add(100*time.Hour), 1000)
	note("Sweep", err)
	return first
}

func TestOpen_RefusesOtherFormats(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*bbolt.Tx) error
		code   job.Code
		words  string
	}{
		"newer":        {func(tx *bbolt.Tx) error { return tx.Bucket(bucketMeta).Put(keyFormat, []byte("2")) }, job.Unsupported, "has format 2; this version of Drover reads up to 1"},
		"not a number": {func(tx *bbolt.Tx) error { return tx.Bucket(bucketMeta).Put(keyFormat, []byte("x")) }, job.Corrupt, `"x"`},
		"no version":   {func(tx *bbolt.Tx) error { return tx.Bucket(bucketMeta).Delete(keyFormat) }, job.Corrupt, "format version"},
		"another's":    {func(tx *bbolt.Tx) error { return tx.DeleteBucket(bucketMeta) }, job.Corrupt, "another program"},
		"a part less":  {func(tx *bbolt.Tx) error { return tx.DeleteBucket(bucketExpiry) }, job.Corrupt, `"expiry" is missing`},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "drover.db")
			fill(t, path, 1)
			db, err := bbolt.Open(path, 0o600, nil)
			if err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(db.Update(c.change), db.Close()); err != nil {
				t.Fatal(err)
			}
			_, err = Open(path, Options{})
			wantRefusal(t, err, c.code, path, c.words)
			wantRefusal(t, Restore(path, path+".restored"), c.code, c.words)
		})
	}
}

func TestOpen_RefusesWhatIsNoFile(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Open(dir, Options{})
	wantRefusal(t, err, job.Unavailable, dir, "is a directory")
	for _, path := range []string{filepath.Join(dir, "no", "folder.db"), filepath.Join(file, "below.db")} {
		_, err := Open(path, Options{})
		wantRefusal(t, err, job.Unavailable, path)
	}
}

func TestOpen_LeavesOneFile(t *testing.T) {
	dir := t.TempDir()
	mustOpen(t, filepath.Join(dir, "drover.db"))
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Fatalf("the folder holds %v, %v", entries, err)
	}
	info, err := entries[0].Info()
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("mode %v, %v; want 0600", info.Mode(), err)
	}
}

func TestCommitFailed_StopsOnlyWhenTheOutcomeIsUnknown(t *testing.T) {
	s := mustOpen(t, filepath.Join(t.TempDir(), "drover.db"))
	if _, err := s.Put(t.Context(), rowOf(1, 1), store.Always()); err != nil {
		t.Fatal(err)
	}
	visible := 0
	if err := s.db.View(func(tx *bbolt.Tx) error { visible = tx.ID(); return nil }); err != nil {
		t.Fatal(err)
	}
	cause := errors.New("no space")
	wantRefusal(t, s.commitFailed(visible+1, cause), job.Unavailable, "cannot write", "no space")
	if _, err := s.Put(t.Context(), rowOf(2, 1), store.Always()); err != nil {
		t.Fatalf("after a commit that left nothing: %v", err)
	}
	wantRefusal(t, s.commitFailed(visible, cause), job.Unavailable, "restart")
	_, err := s.Put(t.Context(), rowOf(3, 1), store.Always())
	wantRefusal(t, err, job.Unavailable, "restart")
	if rows, err := s.Get(t.Context(), rowOf(1, 0).Key); err != nil || len(rows) != 1 {
		t.Fatalf("reads go on: %v, %v", rows, err)
	}
}
