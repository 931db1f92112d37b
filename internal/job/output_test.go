package job_test

import (
	"encoding/base64"
	"math/rand/v2"
	"strings"
	"testing"

	"drover/internal/job"

	"pgregory.net/rapid"
)

func TestOutput_PackUnpack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := job.Output{
			Stdout:      strings.Repeat(rapid.String().Draw(t, "stdout"), rapid.IntRange(1, 200).Draw(t, "n")),
			Stderr:      rapid.String().Draw(t, "stderr"),
			StdoutBytes: rapid.Int64().Draw(t, "bytes"),
			StdoutCut:   rapid.Bool().Draw(t, "cut"),
		}
		packed, object := in.Pack()
		if object != nil {
			packed.Blob = "runs/r/0"
		}
		got, err := packed.Unpack(object)
		if err != nil {
			t.Fatal(err)
		}
		if got.Stdout != in.Stdout || got.Stderr != in.Stderr || got.StdoutBytes != in.StdoutBytes || got.StdoutCut != in.StdoutCut || got.Packed != nil || got.Blob != "" {
			t.Fatalf("packed and unpacked: %+v, want %+v", got, in)
		}
	})
}

func TestOutput_PackChoosesThePlace(t *testing.T) {
	noise := make([]byte, 1<<20)
	r := rand.NewChaCha8([32]byte{1})
	_, _ = r.Read(noise)
	text := base64.StdEncoding.EncodeToString(noise)
	for _, c := range []struct {
		name   string
		stdout string
		inline bool
		plain  bool
	}{
		{"empty", "", false, true},
		{"short", text[:job.PlainOutputBytes], false, true},
		{"longer", text[:job.PlainOutputBytes+1], true, false},
		{"compressible", strings.Repeat("Linux ", 10_000), true, false},
		{"long", text[:8<<10], false, false},
	} {
		packed, object := job.Output{Stdout: c.stdout}.Pack()
		if (packed.Packed != nil) != c.inline || (packed.Stdout == c.stdout) != c.plain || (object != nil) == (c.inline || c.plain) {
			t.Errorf("%s: stdout %d, packed %d, object %d bytes", c.name, len(packed.Stdout), len(packed.Packed), len(object))
		}
		if n := base64.StdEncoding.EncodedLen(len(packed.Packed)); n > job.InlineOutputBytes {
			t.Errorf("%s: %d bytes inline", c.name, n)
		}
	}
}

func FuzzOutput_Unpack(f *testing.F) {
	packed, _ := job.Output{Stdout: strings.Repeat("x", 600), Stderr: "y"}.Pack()
	f.Add(packed.Packed)
	f.Add([]byte{})
	f.Add([]byte("\x1f\x8b\x08\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, err := (job.Output{Packed: b, Blob: "x"}).Unpack(b); err != nil && job.CodeOf(err) != job.Corrupt {
			t.Fatalf("code %s: %v", job.CodeOf(err), err)
		}
	})
}

func TestLimits_MaxAttempts(t *testing.T) {
	for _, c := range []struct {
		count int
		on    job.OnUnknown
		want  int
	}{{0, job.OnUnknownReport, 1}, {2, job.OnUnknownReport, 3}, {0, job.OnUnknownRepeat, 2}, {1, job.OnUnknownRepeat, 2}, {5, job.OnUnknownRepeat, 6}, {-1, "", 1}} {
		if got := (job.Limits{Retries: job.Retries{Count: c.count}, OnUnknown: c.on}).MaxAttempts(); got != c.want {
			t.Errorf("%d retries, %s: %d attempts, want %d", c.count, c.on, got, c.want)
		}
	}
}
