package task

import (
	"context"
	"testing"

	"github.com/tink-crypto/tink-go/v2/keyset"

	"drover/internal/job"
	"drover/internal/secret"
)

// keeper is where a keyset lies that another process rotates.
type keeper struct {
	h   *keyset.Handle
	err error
}

func (k *keeper) Load(context.Context) (*keyset.Handle, error) { return k.h, k.err }

func (k *keeper) Rotate(context.Context) (*keyset.Handle, error) {
	h, err := secret.AddKey(k.h)
	if err == nil {
		k.h = h
	}
	return h, err
}

// TestExecute_KeysetIsAway: a credential that a newer key has sealed refuses no
// device because the keyset cannot be read at that moment: the call is made again.
func TestExecute_KeysetIsAway(t *testing.T) {
	l := newLab(t, 1, nil)
	h, err := secret.NewKeyset()
	l.must(err)
	k := &keeper{h: h}
	older, err := secret.NewKeptBox(h, k)
	l.must(err)
	l.box, err = secret.NewKeptBox(h, k)
	l.must(err)
	l.must(l.box.Rotate(t.Context()))
	d := l.fleet.Devices[0]
	id := l.device(job.Device{Meta: job.Meta{Name: "again"}, Address: d.Address, Port: d.Port, CredentialID: l.credential("newer", "dr0ver-pw")})

	f := l.functions(func(c *Config) { c.Box = older })
	ref := l.submit(jobSpec{body: "echo", targets: []job.Target{{ID: id, Name: "again"}}})
	k.err = job.Errorf(job.Unavailable, "KMS is away")
	if err := l.run(t.Context(), f, ref); err == nil {
		t.Error("Execute succeeds without the keyset")
	}
	if run := l.stored(ref); run.Counts.Failed != 0 || l.fleet.Executions() != 0 {
		t.Errorf("%+v, %d commands", run.Counts, l.fleet.Executions())
	}
	k.err = nil
	ref = l.submit(jobSpec{body: "echo", targets: []job.Target{{ID: id, Name: "again"}}})
	l.must(l.run(t.Context(), f, ref))
	if run, _ := l.settled(ref); run.Status != job.Succeeded {
		t.Errorf("%s %q", run.Status, run.Reason)
	}
}
