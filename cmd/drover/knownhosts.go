package main

import (
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // the format of known_hosts, not a choice
	"crypto/subtle"
	"encoding/base64"
	"net"
	"slices"
	"strings"

	"drover/internal/inventory"
)

// knownHost is one usable line of a known_hosts file.
type knownHost struct {
	hosts []string // plain names, "[name]:port", or "|1|salt|hash"
	key   string   // type and base64
}

// parseKnownHosts reads a known_hosts file. Lines that say something which a
// pinned key cannot (markers, patterns) or that are no keys are left out and
// returned by number.
func parseKnownHosts(text string) (known []knownHost, skipped []int) {
	for i, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		names, key, ok := strings.Cut(strings.ReplaceAll(line, "\t", " "), " ")
		key, err := inventory.ParseHostKey(key)
		if !ok || err != nil || line[0] == '@' || strings.ContainsAny(names, "*?!") {
			skipped = append(skipped, i+1)
			continue
		}
		known = append(known, knownHost{strings.Split(names, ","), key})
	}
	return known, skipped
}

// is reports whether the line is about a host at a port.
func (k knownHost) is(address, port string) bool {
	name := address
	if port != "22" {
		name = net.JoinHostPort(address, port)
		if !strings.HasPrefix(name, "[") {
			name = "[" + address + "]:" + port
		}
	}
	return slices.ContainsFunc(k.hosts, func(h string) bool {
		if strings.HasPrefix(h, "|1|") {
			return hashedName(h, name)
		}
		return strings.EqualFold(h, name)
	})
}

// hashedName compares with the form of HashKnownHosts.
func hashedName(hashed, name string) bool {
	salt64, sum64, ok := strings.Cut(strings.TrimPrefix(hashed, "|1|"), "|")
	salt, err1 := base64.StdEncoding.DecodeString(salt64)
	sum, err2 := base64.StdEncoding.DecodeString(sum64)
	if !ok || err1 != nil || err2 != nil {
		return false
	}
	mac := hmac.New(sha1.New, salt)
	_, _ = mac.Write([]byte(strings.ToLower(name))) // a hash takes everything
	return subtle.ConstantTimeCompare(mac.Sum(nil), sum) == 1
}

// bestKey chooses among the keys of one host: one key is pinned, and the
// device is asked for that kind.
func bestKey(keys []string) string {
	order := []string{"ssh-ed25519 ", "ecdsa-sha2-nistp256 ", "ecdsa-sha2-nistp384 ", "ecdsa-sha2-nistp521 ", "ssh-rsa "}
	for _, kind := range order {
		for _, k := range keys {
			if strings.HasPrefix(k, kind) {
				return k
			}
		}
	}
	return ""
}
