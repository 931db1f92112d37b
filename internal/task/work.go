package task

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strconv"
	"strings"

	"drover/internal/device"
	"drover/internal/executor"
	"drover/internal/job"
)

// unitWork says what is to be done on the devices of one unit.
type unitWork struct {
	f       *Functions
	known   *knownRun
	first   int
	targets []job.Target
	devices map[int64]job.Device
	pins    *pins
}

func (u *unitWork) work(ctx context.Context, index int) (executor.Work, error) {
	t := u.targets[index-u.first]
	j := u.known.job
	w := executor.Work{Index: index, DeviceID: t.ID, Device: t.Name, Limits: j.Limits, Become: j.Become}
	d, ok := u.devices[t.ID]
	if !ok {
		w.Refused = &executor.Refusal{Status: job.ResultFailed, Reason: job.ReasonDeviceGone, Message: "the device was deleted after the run was submitted"}
		return w, nil
	}
	way, err := u.known.way(ctx, u.f, d)
	if err != nil {
		return w, err
	}
	if way.refused != nil {
		w.Refused = way.refused
		return w, nil
	}
	w.Endpoint, w.BecomePassword, w.Redact = way.to, way.become, way.redact
	w.Endpoint.Pins = u.pins
	if becomesItself(j.Become, way.to.Auth.Username) {
		w.Become = job.Become{}
	}
	if d.Platform == job.PlatformLinux && u.known.detaches {
		w.Detach = detachName(u.known.id.run, d.ID)
	}
	w.Script = func(ctx context.Context) (string, error) { return u.script(ctx, d) }
	return w, nil
}

// detachName is what a device knows a run's command by, which becomes the name of
// a folder there.
func detachName(run string, device int64) string {
	if strings.Trim(run, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-") != "" {
		sum := sha256.Sum256([]byte(run))
		run = hex.EncodeToString(sum[:16])
	}
	return "run-" + run + "-" + strconv.FormatInt(device, 10)
}

// becomesItself reports whether the effective user is the login user: there is
// nothing to become then, and no program that lets one is asked.
func becomesItself(b job.Become, login string) bool {
	if b == (job.Become{}) {
		return false
	}
	user := b.User
	if user == "" {
		user = "root"
	}
	return user == login
}

// way is how a device is reached.
type way struct {
	to      device.Endpoint
	become  job.Secret
	redact  *executor.Redactor
	refused *executor.Refusal
}

// maxJumps bounds a chain of jump hosts; one that is longer is a circle.
const maxJumps = 5

// way returns how to reach a device. What stands against it is a refusal; an
// error means that it could not be found out.
func (k *knownRun) way(ctx context.Context, f *Functions, d job.Device) (way, error) {
	id := d.CredentialID
	if k.job.CredentialID != 0 {
		id = k.job.CredentialID
	}
	l, err := k.deviceLogin(ctx, f, id)
	if err != nil {
		return way{}, err
	}
	if l.refused != nil {
		return way{refused: l.refused}, nil
	}
	w := way{to: f.endpoint(d, l.auth), become: l.becomePassword(), redact: l.redact}
	if d.JumpID == 0 {
		return w, nil
	}
	j, err := k.jump(ctx, f, d.JumpID)
	if err != nil {
		return way{}, err
	}
	if j.refused != nil {
		return way{refused: j.refused}, nil
	}
	w.to.Jump = &j.to
	w.redact = k.redactor(id, d.JumpID, slices.Concat(l.secrets, j.secrets))
	return w, nil
}

func (f *Functions) endpoint(d job.Device, auth device.Auth) device.Endpoint {
	return device.Endpoint{
		Name: d.Name, Address: d.Address, Port: d.Port, Platform: d.Platform, Auth: auth,
		HostKey: d.HostKey, Pins: &pins{f: f, tenant: d.Tenant}, DeviceID: d.ID, Legacy: d.LegacyAlgorithms,
	}
}

// jumpHost is a jump host with the way to it.
type jumpHost struct {
	to      device.Endpoint
	secrets []job.Secret
	refused *executor.Refusal
}

// jump returns the jump host with an id, and those before it. Jump hosts log in
// with their own credentials, whatever the job says.
func (k *knownRun) jump(ctx context.Context, f *Functions, id int64) (*jumpHost, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if j := k.jumps[id]; j != nil {
		return j, nil
	}
	j := &jumpHost{}
	to := &j.to
	for next, n := id, 0; next != 0; n++ {
		if n == maxJumps {
			j.refused = &executor.Refusal{Status: job.ResultFailed, Reason: job.ReasonJump, Message: "too many jump hosts, or a circle of them"}
			break
		}
		d, err := f.cfg.Store.Device(ctx, k.id.tenant, next)
		if job.CodeOf(err) == job.NotFound {
			j.refused = &executor.Refusal{Status: job.ResultUnreachable, Reason: job.ReasonJump, Message: "the jump host was deleted"}
			break
		}
		if err != nil {
			return nil, err
		}
		l, err := k.loginLocked(ctx, f, d.CredentialID)
		if err != nil {
			return nil, err
		}
		if l.refused != nil {
			j.refused = &executor.Refusal{Status: job.ResultUnreachable, Reason: job.ReasonJump, Message: "jump host " + d.Name + ": " + l.refused.Message}
			break
		}
		if n > 0 {
			to.Jump = &device.Endpoint{}
			to = to.Jump
		}
		*to = f.endpoint(d, l.auth)
		j.secrets = append(j.secrets, l.secrets...)
		next = d.JumpID
	}
	k.jumps[id] = j
	return j, nil
}
