// Bench measures Drover beside what it has to be compared with, in one run on
// one machine: a bare SSH loop, ansible and pssh where they are installed, and
// a bare handler that does one durable write. It prints one table.
//
// Three processes take part: this one (the bare loop, the callers), the pretend
// devices (-sim), and the service (-serve), which is what `drover serve` runs
// plus the bare handler. Compare ratios, not seconds: machines differ and are
// noisy, which is why everything is interleaved and medians are shown.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

func main() {
	sim := flag.Bool("sim", false, "be the pretend devices (used by the program itself)")
	serve := flag.String("serve", "", "be the service, with data in `DIR` (used by the program itself)")
	pairs := flag.Int("pairs", 5, "how often each measurement is repeated, interleaved")
	only := flag.String("only", "", "comma-separated part: delay, nodelay, async, index, memory; empty: all")
	peers := flag.Bool("peers", true, "also measure ansible and pssh when they are installed")
	flag.Parse()
	var err error
	switch {
	case *sim:
		err = runSim(os.Stdin, os.Stdout)
	case *serve != "":
		err = runService(*serve, os.Stdin, os.Stdout)
	default:
		err = bench(*pairs, *only, *peers)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func bench(pairs int, only string, peers bool) error {
	wanted := func(part string) bool { return only == "" || slices.Contains(strings.Split(only, ","), part) }
	fmt.Printf("%s, %d CPUs, %s; medians of %d interleaved repetitions\n\n", runtime.Version(), runtime.NumCPU(), runtime.GOOS+"/"+runtime.GOARCH, pairs)
	w := tabwriter.NewWriter(os.Stdout, 0, 4, 2, ' ', 0)
	defer func() { _ = w.Flush() }()
	for _, f := range []fleetCase{
		{part: "delay", hosts: 200, width: 50, delay: 100 * time.Millisecond},
		{part: "nodelay", hosts: 1000, width: 100},
	} {
		if !wanted(f.part) {
			continue
		}
		if err := f.measure(w, pairs, peers); err != nil {
			return err
		}
		_ = w.Flush()
	}
	if wanted("async") {
		if err := measureAsync(w); err != nil {
			return err
		}
		_ = w.Flush()
	}
	if wanted("index") {
		if err := measureIndex(w, pairs); err != nil {
			return err
		}
		_ = w.Flush()
	}
	if wanted("memory") {
		return measureMemory(w)
	}
	return nil
}

// child is another role of this program, in a process of its own.
type child struct {
	cmd   *exec.Cmd
	stdin io.Closer
}

// start starts a role, hands it one JSON value, and reads one JSON value.
func start(role []string, in, out any) (*child, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self, role...)
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	c := &child{cmd: cmd, stdin: stdin}
	if err := json.NewEncoder(stdin).Encode(in); err != nil {
		return nil, err
	}
	line, err := bufio.NewReaderSize(stdout, 1<<20).ReadBytes('\n')
	if err != nil {
		return nil, fmt.Errorf("%v did not start: %w", role, err)
	}
	return c, json.Unmarshal(line, out)
}

// stop ends a child by closing its standard input.
func (c *child) stop() {
	_ = c.stdin.Close()
	_ = c.cmd.Wait()
}

func median(ds []time.Duration) time.Duration {
	s := slices.Clone(ds)
	slices.Sort(s)
	return s[len(s)/2]
}

func percentile(ds []time.Duration, p float64) time.Duration {
	s := slices.Clone(ds)
	slices.Sort(s)
	return s[min(len(s)-1, int(float64(len(s))*p))]
}
