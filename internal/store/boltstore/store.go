// Package boltstore keeps the store's rows in one file, with bbolt.
//
// A write is on the disk (fsync) before it is answered. Writes of many callers
// share a transaction without waiting for each other: see committer. Reads see
// what is committed and never wait for a write, except while the file's mapping
// grows, which it does by doubling.
//
// One process at a time may open a file. A file that cannot be read is refused
// as Corrupt, one of a later format as Unsupported; nothing is repaired
// silently.
package boltstore

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"sync/atomic"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"drover/internal/job"
	"drover/internal/store"
)

// Format is the version of the layout that this package writes and reads.
const Format = 1

// Options tell Open what it does not know by itself. The zero value is usable.
type Options struct {
	Clock func() time.Time // for expiry; default time.Now
	Log   *slog.Logger     // default: discards
	// LockWait is how long Open waits for another process to let go of the
	// file. Default 1 s: time for a predecessor that is just ending.
	LockWait time.Duration
	// Committed, when not nil, is told of each commit: how many writes went
	// into it, how long it took with the disk, and whether it failed. It must
	// not block.
	Committed func(writes int, took time.Duration, err error)
}

func (o Options) withDefaults() Options {
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Committed == nil {
		o.Committed = func(int, time.Duration, error) {}
	}
	if o.LockWait == 0 {
		o.LockWait = time.Second
	}
	return o
}

// Store is a store.Driver, store.Sweeper and store.Backuper on one file.
type Store struct {
	db        *bbolt.DB
	path      string
	clock     func() time.Time
	log       *slog.Logger
	committer *committer
	committed func(int, time.Duration, error)
	broken    atomic.Pointer[job.Error] // set once the file must not be written any more
	closed    atomic.Bool
}

var (
	_ store.Driver   = (*Store)(nil)
	_ store.Sweeper  = (*Store)(nil)
	_ store.Backuper = (*Store)(nil)
)

var (
	bucketMeta     = []byte("meta")
	bucketRows     = []byte("rows")
	bucketExpiry   = []byte("expiry")
	bucketCounters = []byte("counters")
	keyFormat      = []byte("format")
)

// Open opens the file, making it when there is none; its folder must exist.
// Errors: Unavailable when another process has it open or the folder or disk
// refuses, Corrupt when it is not a whole data file, Unsupported when a later
// version of the format wrote it.
func Open(path string, o Options) (*Store, error) {
	o = o.withDefaults()
	path = filepath.Clean(path)
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		if err := create(path, o); err != nil {
			return nil, err
		}
	}
	db, err := openFile(path, o.LockWait, false)
	if err != nil {
		return nil, err
	}
	if err := checkFormat(db, path); err != nil {
		_ = db.Close()
		return nil, err
	}
	s := &Store{db: db, path: path, clock: o.Clock, log: o.Log, committed: o.Committed}
	s.committer = startCommitter(s.commit)
	return s, nil
}

// Close ends the store after every accepted write was answered. Calls after it
// fail as Unavailable.
func (s *Store) Close() error {
	if s.closed.Swap(true) {
		return nil
	}
	s.committer.close()
	if err := s.db.Close(); err != nil {
		return job.Wrap(job.Unavailable, err, "cannot close the data file %s", s.path)
	}
	return nil
}

// create makes an empty data file beside path and links it into place, so that
// a file at path is a whole one from its first moment on.
func create(path string, o Options) error {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".new-*")
	if err != nil {
		return job.Wrap(job.Unavailable, err, "cannot create the data file %s", path)
	}
	temp := f.Name()
	defer func() { _ = os.Remove(temp) }()
	if err := f.Close(); err != nil {
		return job.Wrap(job.Unavailable, err, "cannot create the data file %s", path)
	}
	db, err := openFile(temp, o.LockWait, true)
	if err != nil {
		return err
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		for _, name := range [][]byte{bucketMeta, bucketRows, bucketExpiry, bucketCounters} {
			if _, err := tx.CreateBucket(name); err != nil {
				return err
			}
		}
		return tx.Bucket(bucketMeta).Put(keyFormat, strconv.AppendInt(nil, Format, 10))
	})
	if err := errors.Join(err, db.Close()); err != nil {
		return job.Wrap(job.Unavailable, err, "cannot create the data file %s", path)
	}
	// Another process that made the same file first has won: Open then meets its lock.
	if err := putInPlace(temp, path); err != nil && !errors.Is(err, fs.ErrExist) {
		return job.Wrap(job.Unavailable, err, "cannot create the data file %s", path)
	}
	return nil
}

// putInPlace gives a finished, synced file its name, never over another file
// (fs.ErrExist), and makes the name durable.
func putInPlace(temp, path string) error {
	if err := os.Link(temp, path); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return err
		}
		// No hard links on this file system: a rename, which would replace.
		if _, serr := os.Lstat(path); serr == nil {
			return fs.ErrExist
		}
		if err := os.Rename(temp, path); err != nil {
			return err
		}
	}
	return syncFolder(filepath.Dir(path))
}

func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// mapBytes is how much address space a file's mapping starts with: remapping
// waits for every reader, a running backup included.
const mapBytes = 1 << 30

// openFile opens a bbolt file under its exclusive lock. bbolt trusts what it
// maps, so a damaged file can make it panic or fault: both become Corrupt here.
func openFile(path string, wait time.Duration, fresh bool) (db *bbolt.DB, err error) {
	var file *os.File
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			unlock(file)
			_ = file.Close()
			db, err = nil, corrupt(path, fmt.Errorf("%v", r))
		}
	}()
	o := &bbolt.Options{
		Timeout:      wait,
		FreelistType: bbolt.FreelistMapType,
		NoStatistics: true,
		OpenFile: func(name string, flag int, mode os.FileMode) (*os.File, error) {
			f, err := os.OpenFile(name, flag&^os.O_CREATE, mode)
			if err != nil {
				return nil, err
			}
			file = f
			info, err := f.Stat()
			switch {
			case err != nil:
			case !info.Mode().IsRegular():
				err = job.Errorf(job.Invalid, "%s is not a regular file", path)
			case info.Size() == 0 && !fresh:
				err = corrupt(path, errors.New("it is empty"))
			}
			if err != nil {
				_ = f.Close()
				return nil, err
			}
			return f, nil
		},
	}
	if info, err := os.Stat(path); err == nil && strconv.IntSize == 64 {
		o.InitialMmapSize = int(max(mapBytes, 2*info.Size()))
	}
	db, err = bbolt.Open(path, 0o600, o)
	switch {
	case err == nil:
	case errors.Is(err, bolterrors.ErrTimeout):
		return nil, job.Errorf(job.Unavailable, "the data file %s is in use by another process", path)
	case errors.Is(err, bolterrors.ErrInvalid), errors.Is(err, bolterrors.ErrChecksum), errors.Is(err, bolterrors.ErrVersionMismatch):
		return nil, corrupt(path, err)
	default:
		var coded *job.Error
		var pathErr *fs.PathError
		if errors.As(err, &coded) {
			return nil, err
		}
		if !errors.As(err, &pathErr) && file != nil {
			return nil, corrupt(path, err) // e.g. too short for two meta pages
		}
		return nil, job.Wrap(job.Unavailable, err, "cannot open the data file %s", path)
	}
	if err := checkSize(db, file, path); err != nil {
		_ = db.Close()
		return nil, err
	}
	return db, nil
}

// checkSize refuses a file that ends before the last page it claims.
func checkSize(db *bbolt.DB, file *os.File, path string) error {
	info, err := file.Stat()
	if err != nil {
		return job.Wrap(job.Unavailable, err, "cannot open the data file %s", path)
	}
	return db.View(func(tx *bbolt.Tx) error {
		if tx.Size() > info.Size() {
			return corrupt(path, fmt.Errorf("it has %d bytes and should have at least %d", info.Size(), tx.Size()))
		}
		return nil
	})
}

// checkFormat refuses files of other programs and of later formats.
func checkFormat(db *bbolt.DB, path string) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer recoverCorrupt(path, &err)
	return db.View(func(tx *bbolt.Tx) error {
		meta := tx.Bucket(bucketMeta)
		if meta == nil {
			return corrupt(path, errors.New("it has no format version; another program made it"))
		}
		format, err := strconv.Atoi(string(meta.Get(keyFormat)))
		if err != nil || format < 1 {
			return corrupt(path, fmt.Errorf("its format version %q is not a number", meta.Get(keyFormat)))
		}
		if format > Format {
			return job.Errorf(job.Unsupported, "the data file %s has format %d; this version of Drover reads up to %d: use the version that wrote it, or a later one", path, format, Format)
		}
		for _, name := range [][]byte{bucketRows, bucketExpiry, bucketCounters} {
			if tx.Bucket(name) == nil {
				return corrupt(path, fmt.Errorf("its part %q is missing", name))
			}
		}
		return nil
	})
}

func corrupt(path string, cause error) *job.Error {
	return job.Wrap(job.Corrupt, cause, "the data file %s is damaged or not a data file of Drover; restore a backup", path)
}

// recoverCorrupt, deferred, turns a panic on a damaged page into Corrupt.
func recoverCorrupt(path string, err *error) {
	if r := recover(); r != nil {
		*err = corrupt(path, fmt.Errorf("%v", r))
	}
}
