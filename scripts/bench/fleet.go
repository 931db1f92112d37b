package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
)

// fleetCase is a fleet on which one command is run everywhere.
type fleetCase struct {
	part  string
	hosts int
	width int
	delay time.Duration
}

// contender runs the command everywhere once.
type contender struct {
	name string
	run  func() error
	took []time.Duration
	err  error
}

func (f fleetCase) measure(w io.Writer, pairs int, peers bool) error {
	authorized, private, err := newKey()
	if err != nil {
		return err
	}
	var hosts []simHost
	sim, err := start([]string{"-sim"}, simRequest{Hosts: f.hosts, Delay: f.delay, AuthorizedKey: authorized}, &hosts)
	if err != nil {
		return err
	}
	defer sim.stop()
	dir, err := os.MkdirTemp("", "drover-bench-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	svc, err := startService(filepath.Join(dir, "data"), hosts, f.width)
	if err != nil {
		return err
	}
	defer svc.stop()

	cs := []*contender{
		{name: "bare loop of x/crypto/ssh", run: func() error { return bareLoop(hosts, f.width) }},
		{name: "Drover, POST /rest/run_service", run: func() error { return svc.runSync(f.hosts) }},
	}
	id, err := svc.template()
	if err != nil {
		return err
	}
	cs = append(cs, &contender{name: "Drover, POST /api/job_invocations", run: func() error { return svc.runInvocation(id, f.width) }})
	if peers {
		cs = append(cs, peerTools(dir, hosts, f.width, private)...)
	}
	for i := range pairs {
		for k := range cs {
			c := cs[(i+k)%len(cs)]
			if c.err != nil || i > 0 && len(c.took) > 0 && c.took[0] > 30*time.Second {
				continue // once is enough for what takes that long
			}
			begin := time.Now()
			if c.err = c.run(); c.err == nil {
				c.took = append(c.took, time.Since(begin))
			}
		}
	}
	fmt.Fprintf(w, "%d hosts, %s per command, %d at once\twall time\tagainst the bare loop\n", f.hosts, f.delay, f.width)
	bare := cs[0]
	if bare.err != nil {
		return bare.err
	}
	for _, own := range cs[1:3] {
		if own.err != nil {
			return own.err
		}
	}
	for _, c := range cs {
		if c.err != nil {
			fmt.Fprintf(w, "  %s\tfailed: %v\t\n", c.name, c.err)
			continue
		}
		fmt.Fprintf(w, "  %s\t%.2f s\t%.2fx\n", c.name, median(c.took).Seconds(), median(c.took).Seconds()/median(bare.took).Seconds())
	}
	fmt.Fprintln(w, "\t\t")
	return nil
}

// bareLoop dials, shakes hands, runs and reads: the least that anybody can do.
func bareLoop(hosts []simHost, width int) error {
	work := make(chan simHost)
	errs := make(chan error, width)
	var wg sync.WaitGroup
	conf := &ssh.ClientConfig{User: "drover", Auth: []ssh.AuthMethod{ssh.Password("drover")},
		HostKeyCallback: ssh.InsecureIgnoreHostKey(), //nolint:gosec // the floor to compare with, on loopback
		Timeout:         10 * time.Second}
	for range width {
		wg.Go(func() {
			for h := range work {
				if err := bareOne(h, conf); err != nil {
					select {
					case errs <- err:
					default:
					}
				}
			}
		})
	}
	for _, h := range hosts {
		work <- h
	}
	close(work)
	wg.Wait()
	select {
	case err := <-errs:
		return err
	default:
		return nil
	}
}

func bareOne(h simHost, conf *ssh.ClientConfig) error {
	c, err := ssh.Dial("tcp", net.JoinHostPort(h.Address, strconv.Itoa(h.Port)), conf)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	s, err := c.NewSession()
	if err != nil {
		return err
	}
	out, err := s.Output("echo hi")
	if err == nil && strings.TrimSpace(string(out)) != "hi" {
		err = fmt.Errorf("device said %q", out)
	}
	return err
}

// peerTools are the other tools that are installed here.
func peerTools(dir string, hosts []simHost, width int, private []byte) []*contender {
	key := filepath.Join(dir, "key")
	var inventory, list strings.Builder
	for i, h := range hosts {
		fmt.Fprintf(&inventory, "h%d ansible_host=%s ansible_port=%d ansible_user=drover ansible_ssh_private_key_file=%s\n", i, h.Address, h.Port, key)
		fmt.Fprintf(&list, "%s:%d drover\n", h.Address, h.Port)
	}
	inv, lst := filepath.Join(dir, "inventory"), filepath.Join(dir, "hosts")
	for name, data := range map[string]string{key: string(private), inv: inventory.String(), lst: list.String()} {
		if err := os.WriteFile(name, []byte(data), 0o600); err != nil {
			return nil
		}
	}
	n := strconv.Itoa(width)
	var cs []*contender
	add := func(name, program string, args ...string) {
		path, err := exec.LookPath(program)
		if err != nil {
			return
		}
		cs = append(cs, &contender{name: name, run: func() error {
			cmd := exec.Command(path, args...)
			cmd.Env = append(os.Environ(), "ANSIBLE_HOST_KEY_CHECKING=False", "ANSIBLE_LOCALHOST_WARNING=False")
			out, err := cmd.CombinedOutput()
			if err != nil {
				return fmt.Errorf("%w: %.200s", err, out)
			}
			return nil
		}})
	}
	add("ansible -m raw -f "+n, "ansible", "all", "-i", inv, "-m", "raw", "-a", "echo hi", "-f", n, "-o")
	for _, pssh := range []string{"pssh", "parallel-ssh"} {
		add(pssh+" -p "+n, pssh, "-h", lst, "-p", n, "-x", "-i "+key, "-O", "StrictHostKeyChecking=no", "-O", "UserKnownHostsFile=/dev/null", "echo hi")
	}
	return cs
}
