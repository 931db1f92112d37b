// Package folderblob keeps objects as files below one folder.
//
// An object's file has the object's name and an @ after it, which no name
// holds: so an object and a folder of the same name stand beside each other,
// and nothing else in the folder is taken for an object. All access goes
// through os.Root: a symbolic link cannot lead out of the folder.
package folderblob

import (
	"context"
	"crypto/rand"
	"errors"
	"io/fs"
	"os"
	"path"
	"strings"
	"syscall"
	"time"

	"drover/internal/blob"
	"drover/internal/job"
)

const (
	suffix = "@"    // of objects' files
	fresh  = "#new" // the folder of files that are being written
)

// stale is the age at which a half-written file is taken for a crash's.
const stale = time.Hour

// Bucket is a blob.Bucket in a folder.
type Bucket struct {
	root *os.Root
}

var _ blob.Bucket = (*Bucket)(nil)

// Open opens the bucket in dir, which is made (mode 0700) when it is missing.
// What crashes left half-written is removed.
func Open(dir string) (*Bucket, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, unavailable(err, "cannot make the folder %s", dir)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, unavailable(err, "cannot open the folder %s", dir)
	}
	b := &Bucket{root: root}
	if err := b.prepare(); err != nil {
		_ = root.Close()
		return nil, unavailable(err, "cannot write in the folder %s", dir)
	}
	return b, nil
}

func (b *Bucket) prepare() error {
	if err := b.root.Mkdir(fresh, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	entries, err := fs.ReadDir(b.root.FS(), fresh)
	if err != nil {
		return err
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || time.Since(info.ModTime()) < stale {
			continue // somebody may be writing it
		}
		if err := b.root.Remove(path.Join(fresh, e.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return b.sync(".")
}

// Close releases the folder.
func (b *Bucket) Close() error { return b.root.Close() }

// Put implements blob.Bucket: the bytes are synced under a name of their own,
// renamed into place, and the rename is synced.
func (b *Bucket) Put(ctx context.Context, name string, data []byte) error {
	if err := blob.CheckName(name); err != nil {
		return err
	}
	if err := blob.CheckSize(data); err != nil {
		return err
	}
	if err := ended(ctx); err != nil {
		return err
	}
	temp := path.Join(fresh, rand.Text())
	err := b.writeFile(temp, data)
	if err == nil {
		err = b.place(temp, name+suffix)
	}
	if err != nil {
		_ = b.root.Remove(temp)
		return unavailable(err, "cannot write object %s", name)
	}
	return nil
}

func (b *Bucket) writeFile(name string, data []byte) error {
	f, err := b.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// place renames a file into its folder, which it makes. A DeletePrefix at the
// same time may take that folder away again: then it is made once more.
func (b *Bucket) place(temp, name string) error {
	dir := path.Dir(name)
	for try := 0; ; try++ {
		created := false
		if _, err := b.root.Stat(dir); errors.Is(err, fs.ErrNotExist) {
			if err := b.root.MkdirAll(dir, 0o700); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
			created = true
		}
		err := b.root.Rename(temp, name)
		if err == nil {
			err = b.sync(dir)
		}
		for parent := dir; err == nil && created && parent != "."; {
			parent = path.Dir(parent)
			err = b.sync(parent)
		}
		if !errors.Is(err, fs.ErrNotExist) || try == 9 {
			return err
		}
		if _, serr := b.root.Lstat(temp); serr != nil {
			return nil // it was in place, and deleted with its folder before it was synced
		}
	}
}

func (b *Bucket) sync(dir string) error {
	d, err := b.root.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Get implements blob.Bucket.
func (b *Bucket) Get(ctx context.Context, name string) ([]byte, error) {
	if err := blob.CheckName(name); err != nil {
		return nil, err
	}
	if err := ended(ctx); err != nil {
		return nil, err
	}
	data, err := b.root.ReadFile(name + suffix)
	if missing(err) {
		return nil, job.Wrap(job.NotFound, err, "there is no object %s", name)
	}
	if err != nil {
		return nil, unavailable(err, "cannot read object %s", name)
	}
	return data, nil
}

// Delete implements blob.Bucket.
func (b *Bucket) Delete(ctx context.Context, name string) error {
	if err := blob.CheckName(name); err != nil {
		return err
	}
	if err := ended(ctx); err != nil {
		return err
	}
	err := b.root.Remove(name + suffix)
	if missing(err) {
		return nil
	}
	if err == nil {
		err = b.sync(path.Dir(name))
	}
	if err != nil && !missing(err) {
		return unavailable(err, "cannot delete object %s", name)
	}
	return nil
}

// DeletePrefix implements blob.Bucket.
func (b *Bucket) DeletePrefix(ctx context.Context, prefix string) (int, error) {
	if err := blob.CheckPrefix(prefix); err != nil {
		return 0, err
	}
	if err := ended(ctx); err != nil {
		return 0, err
	}
	dir := strings.TrimSuffix(prefix, "/")
	removed := 0
	err := fs.WalkDir(b.root.FS(), dir, func(name string, d fs.DirEntry, err error) error {
		if missing(err) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := ended(ctx); err != nil {
			return err
		}
		if d.IsDir() || !strings.HasSuffix(name, suffix) {
			return nil
		}
		err = b.root.Remove(name)
		if err == nil {
			removed++
		}
		if missing(err) {
			err = nil
		}
		return err
	})
	if err == nil {
		err = b.prune(dir)
	}
	var coded *job.Error
	if err != nil && !errors.As(err, &coded) {
		err = unavailable(err, "cannot delete the objects of %s", prefix)
	}
	return removed, err
}

// prune removes a folder and those in it that are empty. An object that was
// put meanwhile keeps its folder.
func (b *Bucket) prune(dir string) error {
	entries, err := fs.ReadDir(b.root.FS(), dir)
	if missing(err) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.IsDir() {
			if err := b.prune(path.Join(dir, e.Name())); err != nil {
				return err
			}
		}
	}
	err = b.root.Remove(dir)
	if err == nil {
		err = b.sync(path.Dir(dir))
	}
	if missing(err) || errors.Is(err, syscall.ENOTEMPTY) || errors.Is(err, fs.ErrExist) {
		return nil
	}
	return err
}

func missing(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR)
}

func ended(ctx context.Context) error {
	if err := context.Cause(ctx); err != nil {
		return job.Wrap(job.Canceled, err, "the call was given up")
	}
	return nil
}

func unavailable(err error, format string, args ...any) error {
	return job.Wrap(job.Unavailable, err, format, args...)
}
