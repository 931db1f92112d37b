package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"drover/internal/device/sshsim"
	"drover/internal/fleet"
	"drover/internal/job"
	"drover/internal/standalone"
)

// demoDevices is how many pretend devices the demonstration has.
const demoDevices = 25

func (p *program) demoCommand() *cobra.Command {
	var keep, devicesOnly bool
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Show everything on pretend devices, and leave nothing behind",
		Args:  cobra.NoArgs,
	}
	cmd.Flags().BoolVar(&keep, "keep-running", false, "go on serving until interrupted, to play with")
	cmd.Flags().BoolVar(&devicesOnly, "devices-only", false,
		"only the pretend devices: 127.1.0.1 to 127.1.0.25, port 2222, user and password \"drover\", until interrupted")
	cmd.MarkFlagsMutuallyExclusive("keep-running", "devices-only")
	cmd.RunE = interruptible(failing(exitFailed, func(cmd *cobra.Command, _ []string) error {
		if devicesOnly {
			return p.demoOnlyDevices(cmd.Context())
		}
		return p.demo(cmd.Context(), keep)
	}))
	return cmd
}

// demoOnlyDevices serves the devices that examples/fleet.yaml describes.
func (p *program) demoOnlyDevices(ctx context.Context) error {
	devices, err := sshsim.Start(sshsim.Config{Devices: demoDevices, Address: "127.1.0.1", Port: 2222})
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("%w; do the pretend devices run already?", err)
	}
	if err != nil {
		return err
	}
	defer func() { _ = devices.Close() }()
	first, last := devices.Devices[0], devices.Devices[demoDevices-1]
	p.printf("%d pretend devices at %s to %s, port %d; their host keys are new with every start\n", demoDevices, first.Address, last.Address, first.Port)
	<-ctx.Done()
	return nil
}

// demo starts the one process and a fleet, and runs services on it through the
// same HTTP interface that everybody uses.
func (p *program) demo(ctx context.Context, keep bool) (err error) {
	dir, err := os.MkdirTemp("", "drover-demo-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	devices, err := sshsim.Start(sshsim.Config{Devices: demoDevices, OneHostKey: true, Behave: func(i int) sshsim.Behaviour {
		return sshsim.Behaviour{Delay: time.Duration(i%5) * 100 * time.Millisecond}
	}})
	if err != nil {
		return fmt.Errorf("pretend devices: %w", err)
	}
	defer func() { _ = devices.Close() }()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(p.err, &slog.HandlerOptions{Level: slog.LevelError}))
	app, err := standalone.Open(ctx, standalone.Config{Data: dir, Version: version, Log: log})
	if err != nil {
		return errors.Join(err, l.Close())
	}
	defer func() { _ = app.Close() }()

	serving, stop := context.WithCancel(context.WithoutCancel(ctx))
	served := make(chan error, 1)
	go func() { served <- serveApp(serving, app, l, log, nil) }()
	defer func() {
		stop()
		err = errors.Join(err, <-served)
	}()

	d := &demonstration{p: p, url: "http://" + l.Addr().String(), password: app.GeneratedPassword()}
	d.p.printf("one process at %s, its data in a folder of its own; %d pretend devices that speak SSH\n", d.url, demoDevices)
	if err := d.show(ctx, devices); err != nil {
		return err
	}
	if !keep {
		return nil
	}
	p.printf("\nIt goes on until you press Ctrl-C. In another terminal:\n  export DROVER_URL=%s DROVER_PASSWORD=%s\n  drover runs\n  drover run hello --var aid=1-2-3 --watch\n",
		d.url, d.password.Reveal())
	select {
	case <-ctx.Done():
		return nil
	case err := <-served:
		served <- nil
		return err
	}
}

// demonstration is a caller that knows nothing but an address and a password.
type demonstration struct {
	p        *program
	url      string
	password job.Secret
}

func (d *demonstration) show(ctx context.Context, devices *sshsim.Fleet) error {
	d.p.printf("\nimport the fleet\n")
	if err := d.load(ctx, devices); err != nil {
		return err
	}

	d.p.printf("\nPOST /rest/run_service {\"name\": \"hello\", \"aid\": \"1-2-3\"}, and wait for the answer\n")
	var hello outcomeOfRun
	start := time.Now()
	if err := d.call(ctx, http.MethodPost, "/rest/run_service", map[string]any{"name": "hello", "aid": "1-2-3"}, &hello); err != nil {
		return err
	}
	if !hello.Success || len(hello.Summary.Success) != demoDevices {
		return fmt.Errorf("not every device answered: %v", hello.Summary.Failure)
	}
	for _, name := range []string{"R1", "R2", "R25"} {
		d.p.printf("  %s: %s\n", name, firstLine(hello.Devices[name].Result))
	}
	d.p.printf("  ... %d devices succeeded in %s\n", len(hello.Summary.Success), seconds(time.Since(start)))

	// From now on nobody answers at R13.
	devices.Devices[12].Behave(func(b *sshsim.Behaviour) { b.DropAt = sshsim.StageAccept })
	d.p.printf("\nPOST /rest/run_service {\"name\": \"check\", \"async\": true}; R7 fails, and R13 is down\n")
	var accepted outcomeOfRun
	if err := d.call(ctx, http.MethodPost, "/rest/run_service", map[string]any{"name": "check", "async": true}, &accepted); err != nil {
		return err
	}
	check, err := d.wait(ctx, "check", accepted.Runtime)
	if err != nil {
		return err
	}
	slices.Sort(check.Summary.Failure)
	for _, name := range slices.Backward(check.Summary.Failure) {
		v := check.Devices[name]
		d.p.printf("  %s: %s", name, firstLine(strings.TrimSpace(v.Result)))
		if v.Code != "" {
			d.p.printf(" (exit status %s)", v.Code)
		}
		d.p.printf("\n")
	}
	d.p.printf("  ... %d devices succeeded, %d did not\n", len(check.Summary.Success), len(check.Summary.Failure))
	if ran := devices.Executions(); len(check.Summary.Failure) != 2 || ran != 2*demoDevices-1 {
		return fmt.Errorf("%d devices failed and %d commands ran", len(check.Summary.Failure), ran)
	}
	d.p.printf("\n%d commands ran on the devices, each exactly once\n", devices.Executions())
	return nil
}

// load imports the fleet through HTTP, as drover import does.
func (d *demonstration) load(ctx context.Context, devices *sshsim.Fleet) error {
	var text strings.Builder
	text.WriteString("credentials:\n  - {name: lab, username: drover, password: drover}\npools:\n  - {name: Lab}\ndevices:\n")
	for _, v := range devices.Devices {
		_, _ = fmt.Fprintf(&text, "  - {name: %s, address: %s, port: %d, credential: lab, pools: [Lab]}\n", v.Name, v.Address, v.Port)
	}
	text.WriteString(demoServices)
	file, err := fleet.Parse([]byte(text.String()), fleet.Options{CheckBody: checkBody})
	if err != nil {
		return err
	}
	body, err := file.Encode()
	if err != nil {
		return err
	}
	var got struct {
		Outcomes []outcome `json:"outcomes"`
	}
	if err := d.send(ctx, http.MethodPost, prefix+"import", body, &got); err != nil {
		return err
	}
	sum := map[string]int{}
	for _, o := range got.Outcomes {
		sum[o.Kind]++
	}
	for _, kind := range kinds {
		if n := sum[kind]; n > 0 {
			d.p.printf("  %ss: %d created\n", kind, n)
		}
	}
	return nil
}

const demoServices = `services:
  - name: hello
    type: script
    body: echo {{ payload["aid"] }} from {{ device.name }}
    targets: {pools: [Lab]}
  - name: check
    type: script
    body: |
      sleep 1
      echo checked {{ device.name }}
      exit {{ 3 if device.name == "R7" else 0 }}
    targets: {pools: [Lab]}
    concurrency: 8
`

// outcomeOfRun is as much of a run's answer as the demonstration looks at.
type outcomeOfRun struct {
	Runtime string `json:"runtime"`
	Success bool   `json:"success"`
	Summary struct {
		Success []string `json:"success"`
		Failure []string `json:"failure"`
	} `json:"summary"`
	Devices map[string]struct {
		Result string `json:"result"`
		Code   string `json:"return_code"`
	} `json:"devices"`
}

// wait polls the result and shows how the run goes.
func (d *demonstration) wait(ctx context.Context, service, runtime string) (outcomeOfRun, error) {
	path := "/rest/result/" + url.PathEscape(service) + "/" + url.PathEscape(runtime)
	_, live := terminal(d.p.out)
	for last := -1; ; {
		var got struct {
			Status string          `json:"status"`
			Result json.RawMessage `json:"result"`
		}
		if err := d.call(ctx, http.MethodGet, path, nil, &got); err != nil {
			return outcomeOfRun{}, err
		}
		var newest struct {
			Runs []runInfo `json:"runs"`
		}
		if err := d.call(ctx, http.MethodGet, prefix+"runs?limit=1", nil, &newest); err != nil {
			return outcomeOfRun{}, err
		}
		if len(newest.Runs) == 1 && finished(newest.Runs[0]) != last {
			last = finished(newest.Runs[0])
			if live {
				d.p.printf("\r  [%-*s] %d of %d", demoDevices, strings.Repeat("#", last), last, demoDevices)
			} else {
				d.p.printf("  %d of %d devices are done\n", last, demoDevices)
			}
		}
		if got.Status != "Running" {
			if live {
				d.p.printf("\n")
			}
			var out outcomeOfRun
			if err := json.Unmarshal(got.Result, &out); err != nil {
				return out, fmt.Errorf("the answer of %s: %w", path, err)
			}
			return out, nil
		}
		if err := sleep(ctx, 500*time.Millisecond); err != nil {
			return outcomeOfRun{}, err
		}
	}
}

func (d *demonstration) call(ctx context.Context, method, path string, in, out any) error {
	var body []byte
	if in != nil {
		var err error
		if body, err = json.Marshal(in); err != nil {
			return err
		}
	}
	return d.send(ctx, method, path, body, out)
}

func (d *demonstration) send(ctx context.Context, method, path string, body []byte, out any) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, d.url+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/json")
	r.SetBasicAuth("admin", d.password.Reveal())
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode >= 300 {
		return fmt.Errorf("%s %s: %s: %s", method, path, resp.Status, answer)
	}
	return json.Unmarshal(answer, out)
}
