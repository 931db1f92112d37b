package standalone

import (
	"archive/tar"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"drover/internal/job"
	"drover/internal/store/boltstore"
)

// A backup is a tar archive: first the data file, then the blobs. A blob is
// written before the row that names it, so a blob that the copied data file
// names is among those that are read after it. The key file is not in it: who
// finds a backup cannot read a secret. Keep the key file elsewhere.

// Backup writes a consistent backup while the service runs.
func (a *App) Backup(ctx context.Context, w io.Writer) (err error) {
	tmp, err := os.CreateTemp(a.cfg.Data, ".backup-*")
	if err != nil {
		return job.Wrap(job.Unavailable, err, "no room for the copy of the data file")
	}
	defer func() {
		_ = tmp.Close()
		_ = os.Remove(tmp.Name())
	}()
	if _, err := a.bolt.Backup(ctx, tmp); err != nil {
		return err
	}
	archive := tar.NewWriter(w)
	if err := addFile(archive, DataFile, tmp.Name()); err != nil {
		return job.Wrap(job.Unavailable, err, "backup")
	}
	blobs := filepath.Join(a.cfg.Data, BlobDir)
	err = filepath.WalkDir(blobs, func(path string, e fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // removed by retention meanwhile
		}
		if err != nil || !e.Type().IsRegular() || strings.HasPrefix(e.Name(), ".") {
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		rel, err := filepath.Rel(a.cfg.Data, path)
		if err != nil {
			return err
		}
		err = addFile(archive, filepath.ToSlash(rel), path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	})
	if err == nil {
		err = archive.Close()
	}
	if err != nil {
		return job.Wrap(job.Unavailable, err, "backup")
	}
	return nil
}

func addFile(archive *tar.Writer, name, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if err := archive.WriteHeader(&tar.Header{Name: name, Mode: 0o600, Size: info.Size(), ModTime: info.ModTime(), Typeflag: tar.TypeReg}); err != nil {
		return err
	}
	_, err = io.Copy(archive, f)
	return err
}

// Restored says what a restore found.
type Restored struct {
	Blobs   int
	HasKey  bool   // the folder has a key file already
	KeyFile string // where the key file belongs
}

// Restore puts a backup into a data folder that has no data file yet. The data
// file is checked before it is put in place; a backup that is damaged or of a
// newer version changes nothing there but may leave blobs, which nothing names.
func Restore(r io.Reader, dir string) (Restored, error) {
	out := Restored{KeyFile: filepath.Join(dir, KeyFile)}
	data := filepath.Join(dir, DataFile)
	if _, err := os.Stat(data); err == nil {
		return out, job.Errorf(job.AlreadyExists, "there is a data file already: %s", data)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return out, job.Wrap(job.Unavailable, err, "cannot make the data folder")
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return out, job.Wrap(job.Unavailable, err, "cannot open the data folder")
	}
	defer func() { _ = root.Close() }()
	const tmp = ".restore-" + DataFile
	defer func() { _ = root.Remove(tmp) }()
	archive := tar.NewReader(r)
	seen := false
	for {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return out, job.Wrap(job.Corrupt, err, "this is not a whole backup")
		}
		switch {
		case h.Name == DataFile && h.Typeflag == tar.TypeReg && !seen:
			seen = true
			err = extract(root, tmp, archive)
		case strings.HasPrefix(h.Name, BlobDir+"/") && h.Typeflag == tar.TypeReg && filepath.IsLocal(h.Name):
			out.Blobs++
			err = extract(root, h.Name, archive)
		default:
			err = job.Errorf(job.Corrupt, "this is not a backup of ours: it holds %q", h.Name)
		}
		if err != nil {
			return out, err
		}
	}
	if !seen {
		return out, job.Errorf(job.Corrupt, "the backup holds no data file")
	}
	if err := boltstore.Restore(filepath.Join(dir, tmp), data); err != nil {
		return out, err
	}
	_, err = os.Stat(out.KeyFile)
	out.HasKey = err == nil
	return out, nil
}

func extract(root *os.Root, name string, r io.Reader) error {
	if dir := filepath.Dir(name); dir != "." {
		if err := root.MkdirAll(dir, 0o700); err != nil {
			return job.Wrap(job.Unavailable, err, "cannot make %s", dir)
		}
	}
	f, err := root.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return job.Wrap(job.Unavailable, err, "cannot write %s", name)
	}
	_, err = io.Copy(f, r)
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return job.Wrap(job.Corrupt, err, "this is not a whole backup")
	}
	if err != nil {
		return job.Wrap(job.Unavailable, err, "cannot write %s", name)
	}
	return nil
}
