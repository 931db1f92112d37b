package boltstore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"

	"go.etcd.io/bbolt"

	"drover/internal/job"
	"drover/internal/store/law"
)

// Backup implements store.Backuper: it writes a data file that holds everything
// committed when it began, and returns its size. Reads and writes go on
// meanwhile; the file grows by what they replace until the backup ends.
func (s *Store) Backup(ctx context.Context, w interface{ Write([]byte) (int, error) }) (n int64, err error) {
	err = s.view(ctx, func(tx *bbolt.Tx) error {
		out := &contextWriter{ctx: ctx, w: w}
		n, err = tx.WriteTo(out)
		switch {
		case err == nil:
			return nil
		case out.ctxErr != nil:
			return out.ctxErr
		case out.err != nil:
			return job.Wrap(job.Unavailable, out.err, "cannot write the backup")
		}
		return job.Wrap(job.Unavailable, err, "cannot read the data file for the backup")
	})
	return n, err
}

// contextWriter stops a long copy when its context ends, and remembers which
// side failed.
type contextWriter struct {
	ctx         context.Context
	w           interface{ Write([]byte) (int, error) }
	ctxErr, err error
}

func (c *contextWriter) Write(p []byte) (int, error) {
	if c.ctxErr = law.Context(c.ctx); c.ctxErr != nil {
		return 0, c.ctxErr
	}
	n, err := c.w.Write(p)
	if err != nil {
		c.err = err
	}
	return n, err
}

// Restore makes the data file dst from the backup src. It copies, checks every
// page and the format of the copy, and only then gives it its name. It
// refuses, as AlreadyExists, to replace a file; when it fails, nothing is at
// dst.
func Restore(src, dst string) error {
	if _, err := os.Lstat(dst); err == nil {
		return inTheWay(dst)
	}
	temp, err := copyBeside(src, dst)
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(temp) }()
	if err := verify(temp, src); err != nil {
		return err
	}
	err = putInPlace(temp, dst)
	if errors.Is(err, fs.ErrExist) {
		return inTheWay(dst)
	}
	if err != nil {
		return job.Wrap(job.Unavailable, err, "cannot create the data file %s", dst)
	}
	return nil
}

func inTheWay(dst string) error {
	return job.Errorf(job.AlreadyExists, "%s exists; a restore never replaces a data file: move it away first", dst)
}

// copyBeside copies src, synced, to a temporary file in the folder of dst.
func copyBeside(src, dst string) (temp string, err error) {
	in, err := os.Open(src)
	if err != nil {
		return "", job.Wrap(job.Unavailable, err, "cannot read the backup %s", src)
	}
	defer func() { _ = in.Close() }()
	out, err := os.CreateTemp(filepath.Dir(dst), filepath.Base(dst)+".new-*") // mode 0600
	if err != nil {
		return "", job.Wrap(job.Unavailable, err, "cannot create the data file %s", dst)
	}
	_, err = out.ReadFrom(in)
	if err := errors.Join(err, out.Sync(), out.Close()); err != nil {
		_ = os.Remove(out.Name())
		return "", job.Wrap(job.Unavailable, err, "cannot copy the backup to %s", dst)
	}
	return out.Name(), nil
}

// verify checks a whole data file, page by page. Errors name src, which the
// caller knows.
func verify(path, src string) error {
	db, err := openFile(path, time.Second, false)
	if err == nil {
		err = errors.Join(checkFormat(db, path), checkPages(db, path), db.Close())
	}
	var coded *job.Error
	if errors.As(err, &coded) {
		return job.Wrap(coded.Code, err, "the backup %s cannot be restored", src)
	}
	return err
}

func checkPages(db *bbolt.DB, path string) error {
	if err := walkPages(db, path); err != nil {
		return err // a fault in here is recovered; in bbolt's own check, on its own goroutine, it would not be
	}
	return db.View(func(tx *bbolt.Tx) error {
		var first error
		for err := range tx.Check() { // drained: its sender would wait for ever
			if first == nil {
				first = corrupt(path, err)
			}
		}
		return first
	})
}

// walkPages looks at the head of every page and at every row.
func walkPages(db *bbolt.DB, path string) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer recoverCorrupt(path, &err)
	return db.View(func(tx *bbolt.Tx) error {
		pages := int(tx.Size() / int64(db.Info().PageSize))
		for id := 0; id < pages; id++ {
			p, err := tx.Page(id)
			if err != nil {
				return corrupt(path, err)
			}
			if p == nil || p.Type == "free" {
				continue
			}
			if p.OverflowCount < 0 || p.OverflowCount >= pages-id { // which bbolt's check would follow into the billions
				return corrupt(path, fmt.Errorf("page %d claims %d more", id, p.OverflowCount))
			}
			id += p.OverflowCount
		}
		for k, v := range pairs(tx.Bucket(bucketRows)) {
			if _, _, _, err := decodeRow(v); err != nil || len(k) < 4 {
				return corrupt(path, errors.Join(err, fmt.Errorf("row %q", k)))
			}
		}
		for k, v := range pairs(tx.Bucket(bucketCounters)) {
			if _, _, err := decodeCounter(v); err != nil || len(k) < 4 {
				return corrupt(path, errors.Join(err, fmt.Errorf("counter %q", k)))
			}
		}
		for k := range pairs(tx.Bucket(bucketExpiry)) {
			if len(k) <= indexHead {
				return corrupt(path, fmt.Errorf("entry %q of the expiry index", k))
			}
		}
		return nil
	})
}

func pairs(b *bbolt.Bucket) iter.Seq2[[]byte, []byte] {
	return func(yield func(k, v []byte) bool) {
		c := b.Cursor()
		for k, v := c.First(); k != nil && yield(k, v); k, v = c.Next() {
		}
	}
}
