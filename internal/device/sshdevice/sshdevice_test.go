package sshdevice_test

import (
	"testing"

	"drover/internal/device"
	"drover/internal/device/devicetest"
	"drover/internal/device/sshdevice"
)

func harness() devicetest.Harness {
	return devicetest.Harness{New: func(o devicetest.Options) device.Dialer {
		return sshdevice.New(sshdevice.Config{HandshakeTimeout: o.HandshakeTimeout, KeepAlive: o.KeepAlive,
			KillTimeout: o.KillTimeout, NewConnsPerSecond: o.NewConnsPerSecond})
	}}
}

func TestDialer(t *testing.T) { devicetest.Run(t, harness()) }

func TestOpenSSH(t *testing.T) { devicetest.RunOpenSSH(t, harness()) }
