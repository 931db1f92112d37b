package main

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
)

// hostKey is a device's pinned key, and the other one that it showed last.
type hostKey struct {
	Device    string     `json:"device"`
	Key       string     `json:"key"`
	Pinned    *time.Time `json:"pinned"`
	PinnedBy  string     `json:"pinned_by"`
	Offered   string     `json:"offered"`
	OfferedAt *time.Time `json:"offered_at"`
}

func (p *program) hostkeyCommand() *cobra.Command {
	return group("hostkey", "List, accept, import and forget the devices' host keys",
		p.hostkeyListCommand(), p.hostkeyAcceptCommand(), p.hostkeyImportCommand(), p.hostkeyForgetCommand())
}

func (p *program) hostkeyListCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{Use: "list", Short: "List pinned host keys, and keys that were refused", Args: cobra.NoArgs}
	r := p.remoteFlags(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON array")
	cmd.RunE = interruptible(failing(exitFailed, func(cmd *cobra.Command, _ []string) error {
		keys := []hostKey{}
		err := all(cmd.Context(), r, "hostkeys", url.Values{}, "hostkeys", func(page []hostKey) bool {
			keys = append(keys, page...)
			return true
		})
		if err != nil {
			return err
		}
		if asJSON {
			return p.indented(keys)
		}
		w := tabwriter.NewWriter(p.out, 0, 0, 2, ' ', 0)
		_, _ = fmt.Fprintln(w, "DEVICE\tPINNED\tBY\tREFUSED")
		for _, k := range keys {
			by := k.PinnedBy
			if by == "" && k.Key != "" {
				by = "(first use)"
			}
			_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", clean(k.Device), fingerprint(k.Key), clean(by), fingerprint(k.Offered))
		}
		return w.Flush()
	}))
	return cmd
}

// fingerprint is what ssh-keygen -l shows of a key.
func fingerprint(key string) string {
	kind, text, ok := strings.Cut(key, " ")
	raw, err := base64.StdEncoding.DecodeString(text)
	if !ok || err != nil {
		return "-"
	}
	sum := sha256.Sum256(raw)
	return kind + " SHA256:" + base64.RawStdEncoding.EncodeToString(sum[:])
}

func (p *program) hostkeyAcceptCommand() *cobra.Command {
	var key string
	cmd := &cobra.Command{
		Use:   "accept DEVICE",
		Short: "Pin the key that a device showed and was refused for",
		Long: `Pin the key that a device showed and was refused for, or with --key that one.
Compare the fingerprint with the device's own first.`,
		Args: oneArgument,
	}
	r := p.remoteFlags(cmd)
	cmd.Flags().StringVar(&key, "key", "", `key to pin, as in known_hosts: "ssh-ed25519 AAAA..."`)
	cmd.RunE = interruptible(failing(exitFailed, func(cmd *cobra.Command, args []string) error {
		var got hostKey
		body := map[string]string{}
		if key != "" {
			body["key"] = key
		}
		if err := r.call(cmd.Context(), http.MethodPost, "hostkeys/"+url.PathEscape(args[0])+"/accept", body, &got); err != nil {
			return err
		}
		p.printf("%s: pinned %s\n", clean(got.Device), fingerprint(got.Key))
		return nil
	}))
	return cmd
}

func (p *program) hostkeyForgetCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "forget DEVICE", Short: "Remove a pinned host key", Args: oneArgument}
	r := p.remoteFlags(cmd)
	cmd.RunE = interruptible(failing(exitFailed, func(cmd *cobra.Command, args []string) error {
		if err := r.call(cmd.Context(), http.MethodDelete, "hostkeys/"+url.PathEscape(args[0]), nil, nil); err != nil {
			return err
		}
		p.printf("%s: forgotten\n", clean(args[0]))
		return nil
	}))
	return cmd
}

func (p *program) hostkeyImportCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "import FILE",
		Short: "Pin the keys of a known_hosts file for the devices with those addresses",
		Args:  oneArgument,
	}
	r := p.remoteFlags(cmd)
	cmd.RunE = interruptible(failing(exitFailed, func(cmd *cobra.Command, args []string) error {
		return p.importHostKeys(cmd.Context(), r, args[0])
	}))
	return cmd
}

// keyPin asks to pin a key.
type keyPin struct {
	Device string `json:"device"`
	Key    string `json:"key"`
}

// pinsAtOnce is how many keys one call imports.
const pinsAtOnce = 200

func (p *program) importHostKeys(ctx context.Context, r *remote, name string) error {
	f, err := os.Open(name)
	if err != nil {
		return fmt.Errorf("cannot read the file: %w", err)
	}
	defer func() { _ = f.Close() }()
	text, err := io.ReadAll(io.LimitReader(f, 64<<20))
	if err != nil {
		return fmt.Errorf("cannot read the file: %w", err)
	}
	known, skipped := parseKnownHosts(string(text))
	for _, line := range skipped {
		p.notef("%s: line %d: left out: it is no plain host key\n", name, line)
	}
	if len(known) == 0 {
		return errors.New("the file holds no host keys")
	}
	pins, strangers, err := r.pins(ctx, known)
	if err != nil {
		return err
	}
	if len(pins) == 0 {
		return fmt.Errorf("nothing was pinned: no device has an address and port of the file's %s", count(len(known), "host key"))
	}
	failed := 0
	for part := range slices.Chunk(pins, pinsAtOnce) {
		var got struct {
			Outcomes []outcome `json:"outcomes"`
		}
		if err := r.call(ctx, http.MethodPost, "hostkeys", map[string][]keyPin{"keys": part}, &got); err != nil {
			return err
		}
		for _, o := range got.Outcomes {
			if o.Error != nil {
				failed++
				p.notef("%s: %s\n", clean(o.Name), clean(o.Error.Message))
			}
		}
	}
	p.printf("%s pinned, %s of the file left out, %s of no device here\n",
		count(len(pins)-failed, "host key"), count(len(skipped), "line"), count(strangers, "line"))
	if failed > 0 {
		return &exitError{exitFailed, fmt.Errorf("%s could not be pinned", count(failed, "host key"))}
	}
	return nil
}

// pins finds the devices that the file knows, and counts its lines that are of
// none.
func (r *remote) pins(ctx context.Context, known []knownHost) (pins []keyPin, strangers int, err error) {
	type device struct {
		Name    string `json:"name"`
		Address string `json:"address"`
		Port    int    `json:"port"`
	}
	used := make([]bool, len(known))
	err = all(ctx, r, "devices", url.Values{"limit": {"200"}}, "devices", func(page []device) bool {
		for _, d := range page {
			var keys []string
			for i, k := range known {
				if k.is(d.Address, strconv.Itoa(d.Port)) {
					used[i] = true
					keys = append(keys, k.key)
				}
			}
			if best := bestKey(keys); best != "" {
				pins = append(pins, keyPin{d.Name, best})
			}
		}
		return true
	})
	for _, u := range used {
		if !u {
			strangers++
		}
	}
	return pins, strangers, err
}
