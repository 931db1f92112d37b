package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	oklog "github.com/oklog/run"
	"github.com/spf13/cobra"

	"drover/internal/job"
	"drover/internal/standalone"
)

// serveFlags are what serve can be told.
type serveFlags struct {
	addr, data       string
	tlsCert, tlsKey  string
	log, logLevel    string
	keep             days
	trustProxy       bool
	syncTimeout      time.Duration
	concurrency      int
	connsPerSecond   float64
	webhook, trigger string
	asyncDefault     bool
	effectiveUser    string
}

func (p *program) serveCommand() *cobra.Command {
	var s serveFlags
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the service as one process",
		Long: `Run the service as one process, its data in one folder.

The first start makes the user admin. Its password comes from
DROVER_ADMIN_PASSWORD; without that a random one is printed, once.

Every flag can also be given as an environment variable: --addr as DROVER_ADDR,
--log-level as DROVER_LOG_LEVEL. What is sent to --webhook is signed with
DROVER_WEBHOOK_SECRET.

SIGTERM or SIGINT drains: no new devices are begun, those under way are
finished. A second signal stops at once; the next start goes on from there.`,
		Args: cobra.NoArgs,
		RunE: failing(exitFailed, func(cmd *cobra.Command, _ []string) error {
			if err := p.fromEnv(cmd.Flags()); err != nil {
				return err
			}
			return p.serve(cmd.Context(), s)
		}),
	}
	s.keep = days(90 * 24 * time.Hour)
	f := cmd.Flags()
	f.StringVar(&s.addr, "addr", "127.0.0.1:8080", "address to listen on")
	f.StringVar(&s.data, "data", "", "folder for the data; made when there is none")
	f.StringVar(&s.tlsCert, "tls-cert", "", "certificate file (PEM); with --tls-key the service speaks HTTPS")
	f.StringVar(&s.tlsKey, "tls-key", "", "key file (PEM) of the certificate")
	f.StringVar(&s.log, "log", "text", "form of the log on standard error: text or json")
	f.StringVar(&s.logLevel, "log-level", "info", "least level that is logged: debug, info, warn or error")
	f.Var(&s.keep, "keep", "how long ended runs are kept, such as 90d or 12h; 0: for ever")
	f.IntVar(&s.concurrency, "concurrency", standalone.DefaultConcurrency, "devices worked on at once, over all runs")
	f.Float64Var(&s.connsPerSecond, "conns-per-second", 0, "new SSH connections per second; 0: no limit")
	f.DurationVar(&s.syncTimeout, "sync-timeout", 0, "longest synchronous answer; 0: as long as the caller waits")
	f.StringVar(&s.webhook, "webhook", "", "URL that is told when a run ends")
	f.BoolVar(&s.trustProxy, "trust-proxy", false, "take callers' addresses from X-Forwarded-For; only behind a proxy")
	f.BoolVar(&s.asyncDefault, "enms-async-default", false, "run_service without \"async\" does not wait for the run")
	f.StringVar(&s.trigger, "enms-trigger", "", "word for runs that were started through run_service (default \"REST\")")
	f.StringVar(&s.effectiveUser, "foreman-effective-user", "root", "who a script runs as when neither the job nor its template says; none: who logs in")
	return cmd
}

// days is a duration that can also be written in days.
type days time.Duration

// String returns the duration in days where it is whole days.
func (d *days) String() string {
	const day = 24 * time.Hour
	if v := time.Duration(*d); v%day == 0 && v != 0 {
		return strconv.FormatInt(int64(v/day), 10) + "d"
	}
	return time.Duration(*d).String()
}

// Set reads 90d, 12h, 0.
func (d *days) Set(s string) error {
	const most = 36500
	if n, ok := strings.CutSuffix(s, "d"); ok {
		v, err := strconv.Atoi(n)
		if err != nil || v < 0 || v > most {
			return fmt.Errorf("want a number of days from 0d to %dd", most)
		}
		*d = days(time.Duration(v) * 24 * time.Hour)
		return nil
	}
	v, err := time.ParseDuration(s)
	if err != nil || v < 0 {
		return errors.New("want a time such as 90d or 12h, or 0")
	}
	*d = days(v)
	return nil
}

// Type names the kind of value in the help.
func (d *days) Type() string { return "time" }

func newLog(p *program, form, level string) (*slog.Logger, error) {
	var o slog.HandlerOptions
	var l slog.Level
	switch level {
	case "debug", "info", "warn", "error":
		_ = l.UnmarshalText([]byte(level))
	default:
		return nil, fmt.Errorf("--log-level: %q is not debug, info, warn or error", level)
	}
	o.Level = l
	switch form {
	case "text":
		return slog.New(slog.NewTextHandler(p.err, &o)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(p.err, &o)), nil
	}
	return nil, fmt.Errorf("--log: %q is neither text nor json", form)
}

// serve runs the service until it is told to stop.
func (p *program) serve(ctx context.Context, s serveFlags) error {
	if s.data == "" {
		return &exitError{exitUsage, errors.New("--data (or DROVER_DATA): the folder for the data is required")}
	}
	log, err := newLog(p, s.log, s.logLevel)
	if err != nil {
		return &exitError{exitUsage, err}
	}
	secure, err := tlsConfig(s.tlsCert, s.tlsKey)
	if err != nil {
		return &exitError{exitUsage, err}
	}
	if s.concurrency < 1 {
		return &exitError{exitUsage, errors.New("--concurrency: at least 1 is needed")}
	}
	if math.IsNaN(s.connsPerSecond) || s.connsPerSecond < 0 {
		return &exitError{exitUsage, errors.New("--conns-per-second: want a number from 0 on; 0: no limit")}
	}
	if s.syncTimeout < 0 {
		return &exitError{exitUsage, errors.New("--sync-timeout: want a time such as 5m, or 0: as long as the caller waits")}
	}
	// Signals count from here on: one that comes while the data file is being
	// opened must not kill.
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(signals)

	// The address first: what is in use by somebody else shows before the
	// data is touched.
	l, err := net.Listen("tcp", s.addr)
	if err != nil {
		return fmt.Errorf("cannot listen on %s: %w", s.addr, err)
	}
	defer func() { _ = l.Close() }()
	standalone.TuneCollector()
	app, err := standalone.Open(ctx, standalone.Config{
		Data: s.data, Version: version, Log: log, AdminPassword: job.Secret(p.getenv("DROVER_ADMIN_PASSWORD")),
		Keep: time.Duration(s.keep), Concurrency: s.concurrency, ConnsPerSec: s.connsPerSecond, SyncTimeout: s.syncTimeout,
		AsyncDefault: s.asyncDefault, Trigger: s.trigger, WebhookURL: s.webhook, WebhookSecret: job.Secret(p.getenv("DROVER_WEBHOOK_SECRET")),
		TrustProxy: s.trustProxy, EffectiveUser: s.effectiveUser,
	})
	if err != nil {
		return err
	}
	defer func() { _ = app.Close() }()
	scheme := "http"
	if secure != nil {
		scheme = "https"
		l = tls.NewListener(l, secure)
	} else if host, _, err := net.SplitHostPort(s.addr); err == nil && !loopback(host) {
		log.Warn("passwords travel unencrypted to this address: use --tls-cert and --tls-key, or a proxy that does", "addr", s.addr)
	}
	p.printf("drover %s listens on %s://%s, data in %s\n", version, scheme, l.Addr(), s.data)
	if pw := app.GeneratedPassword(); pw != "" {
		p.printf("first start: the user admin has the password %s (shown this once)\n", pw.Reveal())
	}
	err = serveApp(ctx, app, l, log, signals)
	if err == nil {
		err = app.Close()
	}
	return err
}

func tlsConfig(cert, key string) (*tls.Config, error) {
	if cert == "" && key == "" {
		return nil, nil
	}
	if cert == "" || key == "" {
		return nil, errors.New("--tls-cert and --tls-key belong together")
	}
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		return nil, fmt.Errorf("--tls-cert, --tls-key: %w", err)
	}
	return &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}}, nil
}

// errStopped says that a second signal came.
var errStopped = errors.New("stopped at once; the next start goes on with the runs that were under way")

// serveApp answers requests and makes runs progress until ctx ends or a signal
// comes, then drains. A second signal ends the draining.
func serveApp(ctx context.Context, app *standalone.App, l net.Listener, log *slog.Logger, signals <-chan os.Signal) error {
	// Requests that wait for runs are let go once the devices under way are
	// done: their runs go on after the next start.
	requests, letGo := context.WithCancel(context.WithoutCancel(ctx))
	defer letGo()
	srv := &http.Server{
		Handler:           app.Handler(),
		BaseContext:       func(net.Listener) context.Context { return requests },
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       2 * time.Minute, // of the request; net/http lifts it while the answer is waited for
		IdleTimeout:       2 * time.Minute, // no WriteTimeout: synchronous runs answer when they are done
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	work, stopWork := context.WithCancel(context.WithoutCancel(ctx))
	defer stopWork()
	told, tell := context.WithCancel(ctx)
	defer tell()

	var g oklog.Group
	g.Add(func() error { return app.Run(work) }, func(error) { stopWork() })
	g.Add(func() error {
		if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("listening: %w", err)
		}
		<-told.Done() // another actor has shut the server down
		return nil
	}, func(error) { tell(); _ = srv.Close() })
	g.Add(func() error {
		select {
		case <-told.Done():
		case s := <-signals:
			log.Info("draining; a second signal stops at once", "signal", s.String())
		}
		return drain(app, srv, signals, letGo)
	}, func(error) { tell() })
	return g.Run()
}

// drain finishes the devices under way, answers who still waits, and returns.
func drain(app *standalone.App, srv *http.Server, signals <-chan os.Signal, letGo func()) error {
	ctx, cut := context.WithCancelCause(context.Background())
	defer cut(nil)
	done := make(chan struct{})
	defer close(done)
	go func() {
		select {
		case <-signals:
			cut(errStopped)
			letGo()
		case <-done:
		}
	}()
	closed := make(chan error, 1)
	go func() { closed <- srv.Shutdown(ctx) }()
	err := app.Drain(ctx)
	letGo()
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	select {
	case <-closed:
	case <-time.After(10 * time.Second): // somebody reads his answer slowly
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	return err
}
