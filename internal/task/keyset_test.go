package task

import (
	"os"
	"path/filepath"
	"testing"

	"drover/internal/job"
	"drover/internal/secret"
)

// TestExecute_KeysetIsAway: a credential that a newer key has sealed refuses no
// device because the keyset cannot be read at that moment: the call is made again.
func TestExecute_KeysetIsAway(t *testing.T) {
	l := newLab(t, 1, nil)
	keys := filepath.Join(t.TempDir(), "keys")
	newer, err := secret.OpenKeyFile(keys)
	l.must(err)
	older, err := secret.OpenKeyFile(keys) // another process's
	l.must(err)
	l.must(newer.Rotate(t.Context()))
	l.box = newer
	d := l.fleet.Devices[0]
	id := l.device(job.Device{Meta: job.Meta{Name: "again"}, Address: d.Address, Port: d.Port, CredentialID: l.credential("newer", "dr0ver-pw")})

	f := l.functions(func(c *Config) { c.Box = older })
	ref := l.submit(jobSpec{body: "echo", targets: []job.Target{{ID: id, Name: "again"}}})
	l.must(os.Rename(keys, keys+".away"))
	if err := l.run(t.Context(), f, ref); err == nil {
		t.Error("Execute succeeds without the keyset")
	}
	if run := l.stored(ref); run.Counts.Failed != 0 || l.fleet.Executions() != 0 {
		t.Errorf("%+v, %d commands", run.Counts, l.fleet.Executions())
	}
	l.must(os.Rename(keys+".away", keys))
	ref = l.submit(jobSpec{body: "echo", targets: []job.Target{{ID: id, Name: "again"}}})
	l.must(l.run(t.Context(), f, ref))
	if run, _ := l.settled(ref); run.Status != job.Succeeded {
		t.Errorf("%s %q", run.Status, run.Reason)
	}
}
