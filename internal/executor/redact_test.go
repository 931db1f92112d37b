package executor

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"drover/internal/job"

	"pgregory.net/rapid"
)

const pem = "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQ\nQyNTUxOQAAACB\nAA==\n-----END OPENSSH PRIVATE KEY-----\n"

func TestRedactor_String(t *testing.T) {
	r := NewRedactor("pa'ss word", "ab", "", "s3cret", "s3cret-longer", pem)
	b64 := base64.StdEncoding.EncodeToString
	for _, c := range []struct{ in, want string }{
		{"nothing", "nothing"},
		{"", ""},
		{"ab is too short", "ab is too short"},
		{"x s3cret y", "x ******** y"},
		{"s3crets3cret", "****************"},
		{"s3cret-longer", "********"},
		{"s3cret-long", "********-long"},
		{"s3cre", "s3cre"},
		{"ss3cret", "s********"},
		{b64([]byte("s3cret")), "********"},
		{"pa'ss word", "********"},
		{`'pa'\''ss word'`, `'********'`},
		{`pa\'ss\ word`, "********"},
		{"pa%27ss+word", "********"},
		{"key: QyNTUxOQAAACB.", "key: ********."},
		{"AA== is common", "AA== is common"},
	} {
		if got := r.String(c.in); got != c.want {
			t.Errorf("%q: %q, want %q", c.in, got, c.want)
		}
	}
	for before := range 4 {
		text := b64([]byte(strings.Repeat("u", before) + ":s3cret-longer\n"))
		if got := r.String(text); !strings.Contains(got, job.Redacted) {
			t.Errorf("in base64 after %d bytes: %q became %q", before+1, text, got)
		}
	}
	if got := (*Redactor)(nil).String("s3cret"); got != "s3cret" {
		t.Errorf("no redactor: %q", got)
	}
}

func TestRedactor_CutOutput(t *testing.T) {
	r := NewRedactor("s3cret")
	for in, want := range map[string]string{"x s3cre": "x ********", "x s3": "x s3", "x s3cret": "x ********", "x s3cx": "x s3cx"} {
		if got := string(r.Bytes([]byte(in), true)); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func TestRedactor_SecretsAcrossChunks(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		alphabet := []rune("ab'c")
		word := rapid.StringOfN(rapid.RuneFrom(alphabet), 0, 6, -1)
		var secrets []job.Secret
		for _, s := range rapid.SliceOfN(word, 1, 4).Draw(t, "secrets") {
			secrets = append(secrets, job.Secret(s))
		}
		text := rapid.StringOfN(rapid.RuneFrom(alphabet), 0, 60, -1).Draw(t, "text")
		r := NewRedactor(secrets...)
		whole := r.String(text)
		for _, s := range secrets {
			if v := s.Reveal(); len(v) >= minSecret && strings.Contains(strings.ReplaceAll(whole, job.Redacted, "\x00"), v) {
				t.Fatalf("%q in %q", v, whole)
			}
		}
		var out, held []byte
		for rest := text; rest != ""; {
			n := rapid.IntRange(1, len(rest)).Draw(t, "chunk")
			held = append(held, rest[:n]...)
			rest = rest[n:]
			var used int
			out, used = r.Next(out, held)
			held = held[used:]
		}
		out = append(out, r.Bytes(held, false)...)
		if string(out) != whole {
			t.Fatalf("in chunks %q, whole %q", out, whole)
		}
	})
}

func BenchmarkRedactor(b *testing.B) {
	r := NewRedactor("hunter22", pem)
	for _, size := range []int{100, 1 << 20} {
		text := []byte(strings.Repeat("eth0: flags=4163<UP,BROADCAST> mtu 1500\n", size/40))
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				r.Bytes(text, false)
			}
		})
	}
}
