package store

import (
	"bytes"
	"context"

	"drover/internal/job"
)

// Place is one setting, as a thing that is read and written by several processes.
type Place struct {
	s    *Store
	name string
}

// SettingAt returns the place of a setting, which need not be there.
func (s *Store) SettingAt(name string) Place { return Place{s, name} }

// Load returns the value, or job.NotFound.
func (p Place) Load(ctx context.Context) ([]byte, error) { return p.s.Setting(ctx, p.name) }

// StoreIfMissing stores a value unless there is one, and returns the one that is
// stored now.
func (p Place) StoreIfMissing(ctx context.Context, value []byte) ([]byte, error) {
	return p.s.PutSettingIfMissing(ctx, p.name, value)
}

// Replace stores next where old is stored; another value is a job.Conflict, and
// none job.NotFound.
func (p Place) Replace(ctx context.Context, old, next []byte) error {
	r, err := p.s.get(ctx, Key{"setting", p.name})
	if err != nil {
		return err
	}
	if !bytes.Equal(r.Value, old) {
		return job.Errorf(job.Conflict, "the setting %s has changed", p.name)
	}
	_, err = p.s.d.Put(ctx, Row{Key: r.Key, Value: next}, IfRev(r.Rev))
	return err
}
