package inventory

import (
	"encoding/base64"
	"encoding/binary"
	"strings"

	"drover/internal/job"
)

// parseHostKeyField reads what a device record may say about host keys: a
// policy, or a key, which means strict with that key pinned.
func parseHostKeyField(s string) (job.HostKeyPolicy, string, error) {
	switch p := job.HostKeyPolicy(s); p {
	case job.HostKeyAcceptNew, job.HostKeyStrict, job.HostKeyOff:
		return p, "", nil
	}
	if !strings.Contains(s, " ") {
		return "", "", job.FieldErrorf("host_key", "%.60q is neither strict, accept-new nor off, nor a public key", s)
	}
	key, err := ParseHostKey(s)
	if err != nil {
		return "", "", err
	}
	return job.HostKeyStrict, key, nil
}

// ParseHostKey checks a public host key in authorized_keys form, "type base64
// comment", and returns it as "type base64". It refuses options, several
// lines, certificates, types that no SSH host shows, and base64 whose content
// does not fit the type. The error blames host_key.
func ParseHostKey(line string) (string, error) {
	const field = "host_key"
	line = strings.TrimSpace(line)
	if strings.ContainsAny(line, "\r\n\x00") {
		return "", job.FieldErrorf(field, "must be one key on one line")
	}
	if len(line) > 16<<10 {
		return "", job.FieldErrorf(field, "is too long for a public key")
	}
	parts := strings.Fields(line)
	if len(parts) < 2 {
		return "", job.FieldErrorf(field, "must be a key type and its base64 text")
	}
	kind, text := parts[0], parts[1]
	layout, ok := keyLayouts[kind]
	if !ok {
		return "", job.FieldErrorf(field, "%.60q is not a type of host key", kind)
	}
	wire, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil {
		return "", job.FieldErrorf(field, "the base64 text of the key cannot be decoded")
	}
	if !layout.fits(kind, wire) {
		return "", job.FieldErrorf(field, "the base64 text is not a key of type %s", kind)
	}
	return kind + " " + text, nil
}

// keyLayout describes the strings that follow the type in a key's wire form.
type keyLayout struct {
	curve string // for ECDSA: the second string
	sizes [][2]int
}

var keyLayouts = map[string]keyLayout{
	"ssh-ed25519":         {sizes: [][2]int{{32, 32}}},
	"ssh-rsa":             {sizes: [][2]int{{1, 9}, {128, 2049}}}, // exponent, modulus of 1,024 to 16,384 bits
	"ecdsa-sha2-nistp256": {curve: "nistp256", sizes: [][2]int{{65, 65}}},
	"ecdsa-sha2-nistp384": {curve: "nistp384", sizes: [][2]int{{97, 97}}},
	"ecdsa-sha2-nistp521": {curve: "nistp521", sizes: [][2]int{{133, 133}}},
}

func (l keyLayout) fits(kind string, wire []byte) bool {
	s, wire, ok := wireString(wire)
	if !ok || string(s) != kind {
		return false
	}
	if l.curve != "" {
		if s, wire, ok = wireString(wire); !ok || string(s) != l.curve {
			return false
		}
	}
	for _, size := range l.sizes {
		if s, wire, ok = wireString(wire); !ok || len(s) < size[0] || len(s) > size[1] {
			return false
		}
	}
	return len(wire) == 0
}

// wireString cuts one length-prefixed string off.
func wireString(b []byte) (s, rest []byte, ok bool) {
	if len(b) < 4 {
		return nil, nil, false
	}
	n := binary.BigEndian.Uint32(b)
	b = b[4:]
	if uint64(n) > uint64(len(b)) {
		return nil, nil, false
	}
	return b[:n], b[n:], true
}
