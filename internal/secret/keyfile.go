package secret

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"

	"drover/internal/job"
)

// maxKeyFile is far above what any number of rotations makes.
const maxKeyFile = 1 << 20

// OpenKeyFile returns a box over the keyset in a file, which it makes (mode
// 0600, durable before OpenKeyFile returns) when there is none. Of several
// processes that start at once one makes it and all use the same.
//
// A file that its group or others may read, that is no regular file, or that
// holds no keyset is refused and left as it is: the message says what to do.
func OpenKeyFile(path string) (*Box, error) {
	h, err := readKeyFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		if h, err = NewKeyset(); err != nil {
			return nil, err
		}
		if err = writeKeyFile(path, h, os.Link); errors.Is(err, fs.ErrExist) {
			err = nil // another process was faster: its keyset counts
		}
		if err == nil {
			h, err = readKeyFile(path)
		}
	}
	if err != nil {
		return nil, fileError(err, path)
	}
	b, err := NewKeptBox(h, keyFile(path))
	if err != nil {
		return nil, job.Wrap(job.CodeOf(err), err, "key file %s", path)
	}
	return b, nil
}

// keyFile keeps a keyset in the file of that name. Only one process at a time may
// rotate it.
type keyFile string

func (f keyFile) Load(context.Context) (*keyset.Handle, error) {
	h, err := readKeyFile(string(f))
	if err != nil {
		return nil, fileError(err, string(f))
	}
	return h, nil
}

func (f keyFile) Rotate(ctx context.Context) (*keyset.Handle, error) {
	h, err := f.Load(ctx)
	if err == nil {
		h, err = AddKey(h)
	}
	if err != nil {
		return nil, err
	}
	if err := writeKeyFile(string(f), h, os.Rename); err != nil {
		return nil, fileError(err, string(f))
	}
	return h, nil
}

// readKeyFile reads a keyset after checking that nobody else can. The error
// wraps fs.ErrNotExist when there is no file.
func readKeyFile(path string) (*keyset.Handle, error) {
	// Before opening: opening a pipe would wait for its writer.
	if info, err := os.Stat(path); err != nil {
		return nil, err
	} else if err := checkKeyFile(path, info); err != nil {
		return nil, err
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat() // of what was opened, should the name have changed hands
	if err != nil {
		return nil, err
	}
	if err := checkKeyFile(path, info); err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(f, maxKeyFile+1))
	if err != nil {
		return nil, err
	}
	var h *keyset.Handle
	if len(data) <= maxKeyFile {
		// The reader's own error may quote what it read: it is not passed on.
		h, err = insecurecleartextkeyset.Read(keyset.NewJSONReader(bytes.NewReader(data)))
	}
	if h == nil || err != nil {
		return nil, job.Errorf(job.Corrupt, "key file %s does not hold a keyset; restore it from a backup "+
			"(without it the stored credentials cannot be opened)", path)
	}
	return h, nil
}

func checkKeyFile(path string, info fs.FileInfo) error {
	if !info.Mode().IsRegular() {
		return job.Errorf(job.Invalid, "key file %s is not a regular file (%s)", path, info.Mode().Type())
	}
	// Windows has no such bits: there a file is as private as its folder.
	if perm := info.Mode().Perm(); perm&0o077 != 0 && runtime.GOOS != "windows" {
		return job.Errorf(job.Forbidden, "key file %s may be read or changed by others (mode %04o); make it yours alone with: chmod 600 %s",
			path, perm, path)
	}
	return nil
}

// writeKeyFile puts a keyset in place, whole and durable or not at all. The
// last step is place: os.Link to create (fs.ErrExist when another process did),
// os.Rename to replace.
func writeKeyFile(path string, h *keyset.Handle, place func(from, to string) error) (err error) {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, ".keyset-*") // mode 0600
	if err != nil {
		return err
	}
	defer func() {
		_ = f.Close()
		_ = os.Remove(f.Name()) // gone already after a rename
	}()
	if err := insecurecleartextkeyset.Write(h, keyset.NewJSONWriter(f)); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	if err := place(f.Name(), path); err != nil {
		return err
	}
	return syncDir(dir)
}

// syncDir makes the names in a folder durable.
func syncDir(dir string) error {
	if runtime.GOOS == "windows" { // folders cannot be synced there
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer func() { _ = d.Close() }()
	return d.Sync()
}

// fileError gives an error of the file system a code; one that has a code
// keeps it.
func fileError(err error, path string) error {
	var e *job.Error
	switch {
	case errors.As(err, &e):
		return err
	case errors.Is(err, fs.ErrPermission):
		return job.Wrap(job.Forbidden, err, "key file %s", path)
	}
	return job.Wrap(job.Unavailable, err, "key file %s", path)
}
