package executor

import (
	"bytes"
	"fmt"
	"strings"
	"unicode/utf8"

	"drover/internal/device"
	"drover/internal/job"
)

// output makes of a command's raw streams what may be kept: secrets redacted,
// invalid UTF-8 replaced, a marker where the end is missing.
func (d *deviceCall) output(e device.Exit) job.Output {
	o := job.Output{
		StdoutBytes: max(e.StdoutBytes, int64(len(e.Stdout))),
		StderrBytes: max(e.StderrBytes, int64(len(e.Stderr))),
	}
	o.StdoutCut, o.StderrCut = o.StdoutBytes > int64(len(e.Stdout)), o.StderrBytes > int64(len(e.Stderr))
	o.Stdout = clean(d.w.Redact, e.Stdout, o.StdoutCut, o.StdoutBytes)
	o.Stderr = clean(d.w.Redact, e.Stderr, o.StderrCut, o.StderrBytes)
	return o
}

func clean(r *Redactor, p []byte, cut bool, received int64) string {
	if len(p) == 0 && !cut {
		return ""
	}
	kept := len(p)
	if cut {
		p = wholeRunes(p)
	}
	s := valid(r.Bytes(p, cut))
	if !cut {
		return s
	}
	if s != "" && !strings.HasSuffix(s, "\n") {
		s += "\n"
	}
	return s + fmt.Sprintf("[output cut: %d of %d bytes kept]\n", kept, received)
}

// maxMessage is how much of a message a result keeps: templates and devices put
// into theirs what they like.
const maxMessage = 1000

// message makes of a text what a result may say to a person.
func (d *deviceCall) message(s string) string {
	s = d.w.Redact.String(s)
	if len(s) <= maxMessage {
		return s
	}
	return string(wholeRunes([]byte(s[:maxMessage]))) + " [...]"
}

// valid replaces every run of bytes that is not UTF-8.
func valid(p []byte) string {
	if utf8.Valid(p) {
		return string(p)
	}
	return string(bytes.ToValidUTF8(p, []byte("\uFFFD")))
}

// wholeRunes leaves out a character at the end that the cut went through.
func wholeRunes(p []byte) []byte {
	for i := 1; i <= min(utf8.UTFMax, len(p)); i++ {
		if b := p[len(p)-i]; utf8.RuneStart(b) {
			if b >= utf8.RuneSelf && !utf8.FullRune(p[len(p)-i:]) {
				return p[:len(p)-i]
			}
			break
		}
	}
	return p
}
