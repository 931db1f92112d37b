package sshdevice_test

import (
	"bytes"
	"context"
	"net"
	"strconv"
	"testing"

	"golang.org/x/crypto/ssh"

	"drover/internal/device"
	"drover/internal/device/devicetest"
	"drover/internal/device/sshdevice"
	"drover/internal/device/sshsim"
)

// BenchmarkSession is one short command on one device, connection included:
// a bare loop over package ssh against this package.
func BenchmarkSession(b *testing.B) {
	f, err := sshsim.Start(sshsim.Config{})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	sim := f.Devices[0]
	const script = "echo hello from $HOSTNAME"
	want := []byte("hello from R1\n")

	b.Run("bare", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			client, err := ssh.Dial("tcp", net.JoinHostPort(sim.Address, strconv.Itoa(sim.Port)), &ssh.ClientConfig{
				User: "drover", Auth: []ssh.AuthMethod{ssh.Password("drover")},
				HostKeyCallback: ssh.InsecureIgnoreHostKey(), //nolint:gosec // a pretend device
			})
			if err != nil {
				b.Fatal(err)
			}
			session, err := client.NewSession()
			if err != nil {
				b.Fatal(err)
			}
			out, err := session.Output(script)
			if err != nil || !bytes.Equal(out, want) {
				b.Fatalf("%q, %v", out, err)
			}
			_ = client.Close()
		}
	})
	b.Run("drover", func(b *testing.B) {
		b.ReportAllocs()
		d := sshdevice.New(sshdevice.Config{})
		pins := new(devicetest.Pins)
		to := devicetest.To(sim)
		to.HostKey, to.Pins = "", pins
		ctx := context.Background()
		for b.Loop() {
			s, err := d.Dial(ctx, to)
			if err != nil {
				b.Fatal(err)
			}
			exit, err := s.Run(ctx, device.Command{Script: script})
			if err != nil || !bytes.Equal(exit.Stdout, want) {
				b.Fatalf("%q, %v", exit.Stdout, err)
			}
			_ = s.Close()
		}
	})
	b.Run("drover-next-command", func(b *testing.B) {
		b.ReportAllocs()
		s, err := sshdevice.New(sshdevice.Config{}).Dial(context.Background(), devicetest.To(sim))
		if err != nil {
			b.Fatal(err)
		}
		defer func() { _ = s.Close() }()
		for b.Loop() {
			if _, err := s.Run(context.Background(), device.Command{Script: script}); err != nil {
				b.Fatal(err)
			}
		}
	})
}
