package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"sync"
	"time"
)

// service is a Drover process with a fleet loaded.
type service struct {
	*child
	url    string
	pid    int
	client *http.Client
}

func startService(dir string, hosts []simHost, width int) (*service, error) {
	var info serviceInfo
	c, err := start([]string{"-serve", dir}, struct{}{}, &info)
	if err != nil {
		return nil, err
	}
	s := &service{child: c, url: info.URL, pid: info.PID, client: &http.Client{
		Transport: &http.Transport{MaxIdleConnsPerHost: 256, MaxIdleConns: 256}}}
	if err := s.load(hosts, width); err != nil {
		s.stop()
		return nil, err
	}
	return s, nil
}

// load puts the fleet into the service, in chunks as `drover import` does.
func (s *service) load(hosts []simHost, width int) error {
	type object = map[string]any
	err := s.post("/drover/v1/import", object{
		"credentials": []object{{"name": "lab", "username": "drover", "password": "drover"}},
		"pools":       []object{{"name": "all"}},
		"services":    []object{{"name": "hi", "type": "script", "body": "echo hi", "concurrency": width}},
	}, nil)
	for i := 0; i < len(hosts) && err == nil; i += 500 {
		var chunk []object
		for k, h := range hosts[i:min(i+500, len(hosts))] {
			chunk = append(chunk, object{"name": fmt.Sprintf("h%05d", i+k), "address": h.Address, "port": h.Port,
				"credential": "lab", "pools": []string{"all"}})
		}
		err = s.post("/drover/v1/import", object{"devices": chunk}, nil)
	}
	return err
}

func (s *service) post(path string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	return s.send(http.MethodPost, path, body, out)
}

func (s *service) send(method, path string, body []byte, out any) error {
	req, err := http.NewRequest(method, s.url+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.SetBasicAuth("admin", password)
	req.Header.Set("Content-Type", "application/json")
	resp, err := s.client.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusCreated {
		return fmt.Errorf("%s %s: %s: %.300s", method, path, resp.Status, data)
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(data, out)
}

// runSync runs the service on every host and checks every answer.
func (s *service) runSync(hosts int) error {
	var answer struct {
		Success bool `json:"success"`
		Devices map[string]struct {
			Result string `json:"result"`
		} `json:"devices"`
	}
	if err := s.post("/rest/run_service", map[string]any{"name": "hi", "pools": []string{"all"}}, &answer); err != nil {
		return err
	}
	if !answer.Success || len(answer.Devices) != hosts {
		return fmt.Errorf("run_service: success %v with %d of %d devices", answer.Success, len(answer.Devices), hosts)
	}
	return nil
}

const (
	asyncRate = 200
	asyncFor  = 20 * time.Second
)

// measureAsync submits runs at a fixed rate and, between them at the same rate,
// calls the bare handler.
func measureAsync(w io.Writer) error {
	dir, err := os.MkdirTemp("", "drover-bench-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	svc, err := startService(filepath.Join(dir, "data"), nil, 1)
	if err != nil {
		return err
	}
	defer svc.stop()
	n := int(asyncFor.Seconds()) * asyncRate
	submits, bares := make([]time.Duration, n), make([]time.Duration, n)
	body := []byte(`{"name":"hi","async":true,"pools":["all"]}`)
	row := bytes.Repeat([]byte("x"), 1500) // about what a submit writes
	var wg sync.WaitGroup
	var mu sync.Mutex
	var failed error
	call := func(path string, body []byte, into *time.Duration) {
		wg.Go(func() {
			begin := time.Now()
			err := svc.send(http.MethodPost, path, body, nil)
			*into = time.Since(begin)
			mu.Lock()
			defer mu.Unlock()
			if err != nil && failed == nil {
				failed = err
			}
		})
	}
	if err := svc.send(http.MethodPost, "/rest/run_service", body, nil); err != nil { // verifies the password once
		return err
	}
	tick := time.NewTicker(time.Second / (2 * asyncRate))
	defer tick.Stop()
	for i := range n {
		<-tick.C
		call("/rest/run_service", body, &submits[i])
		<-tick.C
		call("/bare", row, &bares[i])
	}
	wg.Wait()
	if failed != nil {
		return failed
	}
	fmt.Fprintf(w, "asynchronous submits, %d a second for %s\tp50\tp99\tp99 against the bare handler\n", asyncRate, asyncFor)
	for _, r := range []struct {
		name string
		took []time.Duration
	}{{"bare handler, one durable write", bares}, {"Drover, POST /rest/run_service", submits}} {
		fmt.Fprintf(w, "  %s\t%.1f ms\t%.1f ms\t%.2fx\n", r.name, ms(percentile(r.took, .5)), ms(percentile(r.took, .99)),
			float64(percentile(r.took, .99))/float64(percentile(bares, .99)))
	}
	fmt.Fprintln(w, "\t\t\t")
	return nil
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

const memoryHosts = 10_000

// measureMemory runs a service on 10,000 devices (100 addresses that each stand
// for 100 devices) and reads the process's peak.
func measureMemory(w io.Writer) error {
	var hosts []simHost
	sim, err := start([]string{"-sim"}, simRequest{Hosts: 100}, &hosts)
	if err != nil {
		return err
	}
	defer sim.stop()
	all := make([]simHost, memoryHosts)
	for i := range all {
		all[i] = hosts[i%len(hosts)]
	}
	dir, err := os.MkdirTemp("", "drover-bench-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	svc, err := startService(filepath.Join(dir, "data"), all, 100)
	if err != nil {
		return err
	}
	defer svc.stop()
	begin := time.Now()
	if err := svc.runSync(memoryHosts); err != nil {
		return err
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", svc.pid))
	if err != nil {
		return err
	}
	m := regexp.MustCompile(`VmHWM:\s+(\d+) kB`).FindSubmatch(status)
	if m == nil {
		return fmt.Errorf("no peak in /proc/%d/status", svc.pid)
	}
	kb, err := strconv.Atoi(string(m[1]))
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "a run of %d hosts, 100 at once\tpeak memory\twall time\n", memoryHosts)
	fmt.Fprintf(w, "  Drover, the whole process\t%d MB\t%.1f s\n", kb/1000, time.Since(begin).Seconds())
	return nil
}
