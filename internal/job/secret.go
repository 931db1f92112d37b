package job

import (
	"encoding/json"
	"fmt"
	"log/slog"
)

// Redacted is what stands in every output where a secret would have been.
const Redacted = "********"

// Secret is a secret in clear. It lives between the decoder that read it and
// the sealer or the device session that needs it, and prints, logs and encodes
// as Redacted. Reveal is the only way to its value.
type Secret string

// Reveal returns the value in clear.
func (s Secret) Reveal() string { return string(s) }

// String returns Redacted, or "" for the empty secret.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return Redacted
}

// Format makes every verb of package fmt print String.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(s.String())) }

// LogValue makes package slog log String.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalJSON encodes String.
func (s Secret) MarshalJSON() ([]byte, error) { return json.Marshal(s.String()) }

// MarshalText encodes String, for every encoder that is not JSON's.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Sealed is an encrypted secret, as package secret makes it. The empty value
// means that no secret is set.
type Sealed []byte

// Set reports whether there is a secret.
func (s Sealed) Set() bool { return len(s) > 0 }
