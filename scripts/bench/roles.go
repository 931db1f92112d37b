package main

import (
	"bufio"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/ssh"

	"drover/internal/device/sshsim"
	"drover/internal/job"
	"drover/internal/standalone"
	"drover/internal/store"
)

type simRequest struct {
	Hosts         int
	Delay         time.Duration
	AuthorizedKey string
}

type simHost struct {
	Address string
	Port    int
}

func runSim(in io.Reader, out io.Writer) error {
	lines := bufio.NewReader(in)
	var req simRequest
	if err := readJSON(lines, &req); err != nil {
		return err
	}
	conf := sshsim.Config{Devices: req.Hosts, OneHostKey: true,
		Behave: func(int) sshsim.Behaviour { return sshsim.Behaviour{Delay: req.Delay} }}
	if req.AuthorizedKey != "" {
		conf.AuthorizedKeys = []string{req.AuthorizedKey}
	}
	fleet, err := sshsim.Start(conf)
	if err != nil {
		return err
	}
	defer func() { _ = fleet.Close() }()
	hosts := make([]simHost, len(fleet.Devices))
	for i, d := range fleet.Devices {
		hosts[i] = simHost{d.Address, d.Port}
	}
	if err := json.NewEncoder(out).Encode(hosts); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, lines)
	return err
}

func readJSON(r *bufio.Reader, v any) error {
	line, err := r.ReadBytes('\n')
	if err != nil {
		return err
	}
	return json.Unmarshal(line, v)
}

const password = "bench-only-password"

type serviceInfo struct {
	URL string
	PID int
}

// runService is `drover serve` plus POST /bare: one durable write through the
// same committer, and nothing else.
func runService(dir string, in io.Reader, out io.Writer) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	standalone.TuneCollector()
	app, err := standalone.Open(ctx, standalone.Config{Data: dir, AdminPassword: job.Secret(password),
		Log: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError}))})
	if err != nil {
		return err
	}
	defer func() { _ = app.Close() }()
	go func() { _ = app.Run(ctx) }()
	mux := http.NewServeMux()
	mux.Handle("/", app.Handler())
	var n atomic.Int64
	driver := app.Dispatcher().Store.Driver()
	mux.HandleFunc("POST /bare", func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err == nil {
			key := store.Key{Partition: "bench", Sort: fmt.Sprintf("%012d", n.Add(1))}
			_, err = driver.Put(r.Context(), store.Row{Key: key, Value: body}, store.IfMissing())
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		_, _ = io.WriteString(w, `{"errors":[]}`)
	})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	srv := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = srv.Serve(l) }()
	if err := json.NewEncoder(out).Encode(serviceInfo{URL: "http://" + l.Addr().String(), PID: os.Getpid()}); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, in)
	return err
}

// newKey makes a login key for tools that cannot be given a password.
func newKey() (authorized string, private []byte, err error) {
	pub, priv, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return "", nil, err
	}
	signer, err := ssh.NewPublicKey(pub)
	if err != nil {
		return "", nil, err
	}
	block, err := ssh.MarshalPrivateKey(priv, "bench")
	if err != nil {
		return "", nil, err
	}
	line := ssh.MarshalAuthorizedKey(signer)
	return string(line[:len(line)-1]), pem.EncodeToMemory(block), nil
}
