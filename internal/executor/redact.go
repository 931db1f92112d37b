package executor

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"net/url"
	"slices"
	"strings"

	"drover/internal/job"
)

// Bounds on what counts as a secret in an output. Shorter values are not
// looked for: they are in too many words.
const (
	minSecret   = 3 // bytes of a secret, or of a line of one
	minKeyLine  = 8 // bytes of a line of a PEM block
	minFragment = 8 // characters of base64 that only surround a secret
)

// Redactor replaces secrets by job.Redacted: each value itself, its lines, and
// its base64, shell-quoted, JSON and URL forms. It is immutable and made once
// for many outputs.
type Redactor struct {
	byFirst [256][]string // longest first
	any     bool
}

// NewRedactor returns a redactor of secrets; empty and very short ones are
// left out.
func NewRedactor(secrets ...job.Secret) *Redactor {
	seen := map[string]bool{}
	r := &Redactor{}
	add := func(p string, least int) {
		if len(p) < least || seen[p] {
			return
		}
		seen[p] = true
		r.any = true
		r.byFirst[p[0]] = append(r.byFirst[p[0]], p)
	}
	for _, s := range secrets {
		v := s.Reveal()
		for _, f := range forms(v) {
			add(f, minSecret)
		}
		for _, f := range fragments(v) {
			add(f, minFragment)
		}
		if !strings.Contains(strings.TrimSpace(v), "\n") {
			continue
		}
		least := minSecret
		if strings.HasPrefix(strings.TrimSpace(v), "-----BEGIN ") {
			least = minKeyLine
		}
		for line := range strings.Lines(v) {
			if line = strings.TrimSpace(line); len(line) < least {
				continue
			}
			for _, f := range forms(line) {
				add(f, least)
			}
		}
	}
	for i := range r.byFirst {
		slices.SortFunc(r.byFirst[i], func(a, b string) int { return cmp.Compare(len(b), len(a)) })
	}
	return r
}

// forms are the ways in which a value is commonly printed whole.
func forms(v string) []string {
	if len(v) < minSecret {
		return nil
	}
	quoted, _ := json.Marshal(v)
	return []string{
		v,
		strings.TrimSpace(v),
		base64.StdEncoding.EncodeToString([]byte(v)),
		base64.URLEncoding.EncodeToString([]byte(v)),
		base64.RawStdEncoding.EncodeToString([]byte(v)),
		base64.RawURLEncoding.EncodeToString([]byte(v)),
		strings.ReplaceAll(v, "'", `'\''`),
		strings.ReplaceAll(v, "'", `'"'"'`),
		shellEscape.Replace(v),
		doubleQuoted.Replace(v),
		string(quoted[1 : len(quoted)-1]),
		url.QueryEscape(v),
		url.PathEscape(v),
	}
}

// fragments are the parts of base64 text that depend on v alone, wherever v
// stands in the bytes that were encoded.
func fragments(v string) []string {
	if len(v) < minSecret {
		return nil
	}
	var out []string
	for before := range 3 {
		n := before + len(v)
		enc := base64.RawStdEncoding.EncodeToString(append(make([]byte, before), v...))
		// The first characters also hold bits of what is before, the last ones of what follows.
		out = append(out, enc[(before*8+5)/6:n*8/6])
	}
	return out
}

var (
	doubleQuoted = strings.NewReplacer(`\`, `\\`, `"`, `\"`, `$`, `\$`, "`", "\\`")
	shellEscape  = func() *strings.Replacer {
		var pairs []string
		for _, c := range " !\"#$&'()*,;<>?[\\]^`{|}~" {
			pairs = append(pairs, string(c), `\`+string(c))
		}
		return strings.NewReplacer(pairs...)
	}()
)

// String redacts a whole text.
func (r *Redactor) String(s string) string {
	if r == nil || !r.any || s == "" {
		return s
	}
	out, _ := r.scan(nil, []byte(s), true, false)
	return string(out)
}

// Bytes redacts a whole output. With cut, the output ends before what was
// printed did: the beginning of a secret at its end is redacted too.
func (r *Redactor) Bytes(p []byte, cut bool) []byte {
	if r == nil || !r.any {
		return p
	}
	out, _ := r.scan(make([]byte, 0, len(p)), p, true, cut)
	return out
}

// Next redacts a part of an output. It appends to dst what can be said already
// and returns how many bytes of p that covers: the rest, at most the length of
// the longest secret, belongs before the next part.
func (r *Redactor) Next(dst, p []byte) (out []byte, used int) {
	if r == nil || !r.any {
		return append(dst, p...), len(p)
	}
	return r.scan(dst, p, false, false)
}

func (r *Redactor) scan(dst, p []byte, final, cut bool) ([]byte, int) {
	plain := 0 // start of what is copied as it is
	for i := 0; i < len(p); {
		patterns := r.byFirst[p[i]]
		if len(patterns) == 0 {
			i++
			continue
		}
		n, partial := match(patterns, p[i:])
		switch {
		case partial && !final:
			return append(dst, p[plain:i]...), i
		case partial && cut && len(p)-i >= minSecret:
			dst = append(append(dst, p[plain:i]...), job.Redacted...)
			return dst, len(p)
		case n > 0:
			dst = append(append(dst, p[plain:i]...), job.Redacted...)
			i += n
			plain = i
		default:
			i++
		}
	}
	return append(dst, p[plain:]...), len(p)
}

// match returns the length of the longest pattern that p starts with, and
// whether all of p is the beginning of a longer one.
func match(patterns []string, p []byte) (n int, partial bool) {
	for _, s := range patterns {
		if len(p) < len(s) {
			partial = partial || s[:len(p)] == string(p)
			continue
		}
		if string(p[:len(s)]) == s {
			return len(s), partial
		}
	}
	return 0, partial
}
