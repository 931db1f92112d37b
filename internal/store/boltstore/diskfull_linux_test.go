package boltstore

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"testing"

	"drover/internal/job"
	"drover/internal/store"
)

// smallDisk returns a folder on a file system of 4 MiB, or skips.
func smallDisk(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=4m"); err != nil {
		t.Skipf("a small file system cannot be mounted here (%v); TestFileLimit covers the case with a limit on file size", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
	return dir
}

func TestDiskFull_LeavesNothingAndRecovers(t *testing.T) {
	dir := smallDisk(t)
	path, filler := filepath.Join(dir, "drover.db"), filepath.Join(dir, "filler")
	s := mustOpen(t, path)
	if _, err := s.Put(t.Context(), rowOf(0, 1000), store.Always()); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filler, bytes.Repeat([]byte("x"), 8<<20), 0o600); err == nil {
		t.Fatal("the small disk is not small")
	}

	var wg sync.WaitGroup
	for i := 1; i <= 40; i++ { // together: some share a transaction
		wg.Go(func() {
			_, err := s.Put(context.Background(), rowOf(i, 200_000), store.IfMissing())
			if job.CodeOf(err) != job.Unavailable {
				t.Errorf("Put on a full disk: %v; want Unavailable", err)
			}
		})
	}
	wg.Wait()
	err := s.Atomic(t.Context(), store.Op{Row: rowOf(0, 300_000)}, store.Op{Row: rowOf(1, 300_000)})
	wantRefusal(t, err, job.Unavailable, "cannot write", "no space left on device")
	only(t, s, 1)

	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Put(t.Context(), rowOf(1, 200_000), store.IfMissing()); err != nil {
		t.Fatalf("with space again: %v", err)
	}
	only(t, s, 2)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	only(t, mustOpen(t, path), 2)
	if err := Restore(path, filepath.Join(t.TempDir(), "copy.db")); err != nil {
		t.Fatalf("after all that the file is not sound: %v", err)
	}
}

func TestDiskFull_NothingIsCreated(t *testing.T) {
	dir := smallDisk(t)
	filler := filepath.Join(dir, "filler")
	if err := os.WriteFile(filler, bytes.Repeat([]byte("x"), 8<<20), 0o600); err == nil {
		t.Fatal("the small disk is not small")
	}
	path := filepath.Join(dir, "drover.db")
	_, err := Open(path, Options{})
	wantRefusal(t, err, job.Unavailable, path)
	backup := filepath.Join(t.TempDir(), "backup")
	fill(t, backup, 10)
	wantRefusal(t, Restore(backup, path), job.Unavailable, path)
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Fatalf("left on the full disk: %v, %v", left, err)
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	mustOpen(t, path)
}

func TestOpen_UnwritableFolder(t *testing.T) {
	dir := t.TempDir()
	if os.Geteuid() == 0 { // whom permissions do not stop
		dir = smallDisk(t)
		if err := syscall.Mount("", dir, "", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
			t.Fatal(err)
		}
	} else if err := os.Chmod(dir, 0o500); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "drover.db")
	_, err := Open(path, Options{})
	wantRefusal(t, err, job.Unavailable, path, "cannot create")
}

func only(t *testing.T, s *Store, n int) {
	t.Helper()
	page, err := s.Query(t.Context(), store.Query{Partition: "p"})
	if err != nil || len(page.Rows) != n {
		t.Fatalf("the store holds %d rows, %v; want %d", len(page.Rows), err, n)
	}
	for i, r := range page.Rows {
		if r.Key.Sort != rowOf(i, 0).Key.Sort || len(r.Value) != map[int]int{0: 1000, 1: 200_000}[i] {
			t.Fatalf("row %d is %s with %d bytes", i, r.Key.Sort, len(r.Value))
		}
	}
}

// limitVariable makes this test binary a process whose files cannot grow.
const limitVariable = "DROVER_TEST_LIMIT"

func init() { roles[limitVariable] = runLimited }

func TestFileLimit_IsUnavailable(t *testing.T) {
	path := filepath.Join(t.TempDir(), "drover.db")
	fill(t, path, 1)
	c := exec.Command(os.Args[0])
	c.Env = append(os.Environ(), limitVariable+"="+path)
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	s := mustOpen(t, path)
	if page, err := s.Query(t.Context(), store.Query{Partition: "p", From: "000001"}); err != nil || len(page.Rows) != 1 {
		t.Fatalf("after the limited process: %d rows, %v; want the one written when the limit was lifted", len(page.Rows), err)
	}
}

func runLimited(path string) {
	signal.Ignore(syscall.SIGXFSZ)
	check := func(what string, ok bool, err error) {
		if !ok {
			fmt.Println(what, err)
			os.Exit(1)
		}
	}
	s, err := Open(path, Options{})
	check("Open", err == nil, err)
	info, err := os.Stat(path)
	check("Stat", err == nil, err)
	var old syscall.Rlimit
	err = syscall.Getrlimit(syscall.RLIMIT_FSIZE, &old)
	check("Getrlimit", err == nil, err)
	now := old
	now.Cur = uint64(info.Size())
	err = syscall.Setrlimit(syscall.RLIMIT_FSIZE, &now)
	check("Setrlimit", err == nil, err)
	failures := 0
	for i := 0; failures == 0 && i < 200; i++ { // until the file would have to grow
		if err = put(s, i, 300_000); err != nil {
			failures++
			check("Put", job.CodeOf(err) == job.Unavailable, err)
		}
	}
	check("the limit was not met", failures > 0, nil)
	err = syscall.Setrlimit(syscall.RLIMIT_FSIZE, &old)
	check("Setrlimit", err == nil, err)
	for i := range 200 {
		err = s.Delete(context.Background(), rowOf(i, 0).Key, store.Always())
		check("Delete", err == nil, err)
	}
	err = put(s, 1, 100)
	check("Put without the limit", err == nil, err)
	check("Close", s.Close() == nil, nil)
	os.Exit(0)
}

func put(s *Store, i, bytes int) error {
	_, err := s.Put(context.Background(), rowOf(i, bytes), store.Always())
	return err
}
