package boltstore

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"drover/internal/job"
	"drover/internal/store"
)

// writingWriter writes rows to the store that is being backed up.
type writingWriter struct {
	bytes.Buffer
	write func()
}

func (w *writingWriter) Write(p []byte) (int, error) {
	w.write()
	return w.Buffer.Write(p)
}

func TestBackup_IsConsistentWhileServing(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, filepath.Join(dir, "drover.db"))
	a, b := rowOf(1, 8), rowOf(2, 8)
	n := 0
	both := func() { // both rows always hold the same
		n++
		a.Value, b.Value = []byte{byte(n)}, []byte{byte(n)}
		big := rowOf(100+n, 200_000)
		if err := s.Atomic(t.Context(), store.Op{Row: a}, store.Op{Row: b}, store.Op{Row: big}); err != nil {
			t.Fatal(err)
		}
	}
	both()
	w := &writingWriter{write: both}
	size, err := s.Backup(t.Context(), w)
	if err != nil || size != int64(w.Len()) {
		t.Fatalf("Backup: %d of %d bytes, %v", size, w.Len(), err)
	}
	if n < 3 {
		t.Fatalf("only %d writes took place during the backup", n-1)
	}
	file, restored := filepath.Join(dir, "backup"), filepath.Join(dir, "restored.db")
	if err := os.WriteFile(file, w.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Restore(file, restored); err != nil {
		t.Fatal(err)
	}
	rows, err := mustOpen(t, restored).Query(t.Context(), store.Query{Partition: "p"})
	if err != nil || len(rows.Rows) != 3 {
		t.Fatalf("the restored file holds %d rows, %v; want those of the first group", len(rows.Rows), err)
	}
	for _, r := range rows.Rows[:2] {
		if !bytes.Equal(r.Value, []byte{1}) {
			t.Fatalf("%s holds %v; want what was there when the backup began", r.Key.Sort, r.Value)
		}
	}
}

func TestRestore_ReplacesNothing(t *testing.T) {
	dir := t.TempDir()
	src, dst := filepath.Join(dir, "a.db"), filepath.Join(dir, "b.db")
	fill(t, src, 10)
	fill(t, dst, 20)
	wantRefusal(t, Restore(src, dst), job.AlreadyExists, dst)
	wantRefusal(t, Restore(src, src), job.AlreadyExists)
	if page, err := mustOpen(t, dst).Query(t.Context(), store.Query{Partition: "p", From: "000001"}); err != nil || len(page.Rows) != 19 {
		t.Fatalf("the file in the way holds %d rows, %v", len(page.Rows), err)
	}
}

func TestRestore_PutsOnlyWholeFilesInPlace(t *testing.T) {
	dir := t.TempDir()
	src := filepath.Join(dir, "backup")
	fill(t, src, 300)
	good, err := os.ReadFile(src)
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{"empty": nil, "text": []byte("hello"), "cut": good[:5*4096], "one page": good[:4096]} {
		cut := filepath.Join(dir, "damaged")
		if err := os.WriteFile(cut, content, 0o600); err != nil {
			t.Fatal(err)
		}
		target := t.TempDir()
		wantRefusal(t, Restore(cut, filepath.Join(target, "drover.db")), job.Corrupt, cut)
		if left, err := os.ReadDir(target); err != nil || len(left) != 0 {
			t.Fatalf("%s: left behind: %v, %v", name, left, err)
		}
	}
	wantRefusal(t, Restore(filepath.Join(dir, "nowhere"), filepath.Join(dir, "x.db")), job.Unavailable, "nowhere")
	wantRefusal(t, Restore(src, filepath.Join(dir, "no", "folder", "x.db")), job.Unavailable)
}
