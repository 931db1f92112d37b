package devicetest

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"drover/internal/device"
	"drover/internal/job"
)

// OpenSSH is a real sshd on a port of 127.0.0.1, with its own configuration
// and host keys. When the tests run as root it has two users of its own, which
// are removed at the end; else it serves the user who runs the tests, by key.
type OpenSSH struct {
	Port     int
	User     string
	Password job.Secret // "" unless Root
	Key      job.Secret
	Root     bool
	// Other is a second user, who logs in nowhere; su reaches it with OtherPassword.
	Other         string
	OtherPassword job.Secret
	// HostKeys are its keys in authorized_keys form: ed25519, then rsa.
	HostKeys []string
}

// Missing ends a test that cannot run on this machine: it is skipped with the
// reason, and fails where CI=true.
func Missing(t testing.TB, what string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf("%s cannot run: %s", t.Name(), what)
	}
	t.Skipf("%s is not run: %s", t.Name(), what)
}

// To is the endpoint of the server for its user, by key.
func (o *OpenSSH) To() device.Endpoint {
	return device.Endpoint{Name: "openssh", Address: "127.0.0.1", Port: o.Port, Platform: job.PlatformLinux,
		Auth: device.Auth{Username: o.User, PrivateKey: o.Key}, HostKey: job.HostKeyOff}
}

// StartOpenSSH starts a server; settings are further lines of its
// configuration, which win over the usual ones.
func StartOpenSSH(t testing.TB, settings ...string) *OpenSSH {
	t.Helper()
	sshd := find(t, "sshd", "openssh-server")
	keygen := find(t, "ssh-keygen", "openssh-client")
	dir, err := os.MkdirTemp("", "drover-sshd-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	_ = os.Chmod(dir, 0o755) //nolint:gosec // sshd reads the authorised keys as the user
	o := &OpenSSH{Root: os.Getuid() == 0}
	var config strings.Builder
	for _, s := range settings {
		fmt.Fprintln(&config, s)
	}
	for _, kind := range []string{"ed25519", "rsa"} {
		file := filepath.Join(dir, "host_"+kind)
		command(t, "", keygen, "-q", "-t", kind, "-N", "", "-f", file)
		public, err := os.ReadFile(file + ".pub")
		if err != nil {
			t.Fatal(err)
		}
		o.HostKeys = append(o.HostKeys, strings.Join(strings.Fields(string(public))[:2], " "))
		fmt.Fprintf(&config, "HostKey %s\n", file)
	}
	private, public := newKey(t, newEd25519(t), "")
	o.Key = private
	authorized := filepath.Join(dir, "authorized_keys")
	if err := os.WriteFile(authorized, []byte(public), 0o644); err != nil { //nolint:gosec // a public key
		t.Fatal(err)
	}
	o.users(t)
	o.Port = freePort(t)
	fmt.Fprintf(&config, `ListenAddress 127.0.0.1:%d
AuthorizedKeysFile %s
PidFile none
StrictModes no
UsePAM %s
PasswordAuthentication yes
PermitRootLogin no
AllowTcpForwarding yes
MaxStartups 500
LogLevel ERROR
`, o.Port, authorized, map[bool]string{true: "yes", false: "no"}[o.Root])
	file := filepath.Join(dir, "sshd_config")
	if err := os.WriteFile(file, []byte(config.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	if o.Root {
		_ = os.MkdirAll("/run/sshd", 0o755) //nolint:gosec // as the package makes it
	}
	var log bytes.Buffer
	server := exec.Command(sshd, "-D", "-e", "-f", file)
	server.Stderr = &log
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = server.Process.Kill()
		_ = server.Wait()
		if t.Failed() && log.Len() > 0 {
			t.Logf("sshd said:\n%s", log.String())
		}
	})
	eventually(t, "sshd listens", func() bool {
		c, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(o.Port)))
		if err != nil {
			return false
		}
		_ = c.Close()
		return true
	})
	return o
}

// users makes the two throw-away users, or takes the one who runs the tests.
func (o *OpenSSH) users(t testing.TB) {
	t.Helper()
	if !o.Root {
		me, err := user.Current()
		if err != nil {
			t.Fatal(err)
		}
		o.User = me.Username
		return
	}
	useradd, userdel, chpasswd := find(t, "useradd", "passwd"), find(t, "userdel", "passwd"), find(t, "chpasswd", "passwd")
	// The port is this server's alone while it runs, so its number makes a name.
	name := "drv" + strconv.Itoa(freePort(t))
	o.User, o.Password = name+"a", job.Secret("Canary-A-"+name)
	o.Other, o.OtherPassword = name+"b", job.Secret("Canary-B-"+name)
	for name, password := range map[string]job.Secret{o.User: o.Password, o.Other: o.OtherPassword} {
		command(t, "", useradd, "-m", "-s", "/bin/sh", name)
		t.Cleanup(func() {
			// The server's children may hold the user for a moment.
			eventually(t, "user "+name+" is removed", func() bool {
				err := exec.Command(userdel, "-r", "-f", name).Run()
				_, gone := user.Lookup(name)
				return err == nil || gone != nil
			})
		})
		command(t, name+":"+password.Reveal()+"\n", chpasswd)
	}
}

// Sudo lets the server's user become anybody with its own password, and root's
// fellow nobody without. It ends the test when there is no sudo.
func (o *OpenSSH) Sudo(t testing.TB) {
	t.Helper()
	if !o.Root {
		Missing(t, "only root can make users that may use sudo")
	}
	find(t, "sudo", "sudo")
	file := "/etc/sudoers.d/" + o.User
	rules := fmt.Sprintf("Defaults:%[1]s timestamp_timeout=0\n%[1]s ALL=(ALL:ALL) ALL\n%[1]s ALL=(nobody) NOPASSWD: ALL\n", o.User)
	if err := os.WriteFile(file, []byte(rules), 0o440); err != nil { //nolint:gosec // as sudo wants it
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Remove(file) })
}

// find looks a program up where daemons live too.
func find(t testing.TB, program, pkg string) string {
	t.Helper()
	if path, err := exec.LookPath(program); err == nil {
		return path
	}
	for _, dir := range []string{"/usr/sbin", "/sbin", "/usr/local/sbin"} {
		if path, err := exec.LookPath(filepath.Join(dir, program)); err == nil {
			return path
		}
	}
	Missing(t, "there is no "+program+" (Debian: apt-get install "+pkg+")")
	return ""
}

func command(t testing.TB, stdin, program string, args ...string) {
	t.Helper()
	c := exec.Command(program, args...)
	c.Stdin = strings.NewReader(stdin)
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%s %s: %v\n%s", program, strings.Join(args, " "), err, out)
	}
}

func commandOutput(program string, args ...string) (string, error) {
	out, err := exec.Command(program, args...).Output()
	return string(out), err
}

func freePort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().(*net.TCPAddr).Port
}
