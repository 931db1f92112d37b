// Package apitest holds what every API family has to pass, whatever its
// vendor's words: no secret in any answer, bad input that is refused with
// nothing stored, tenants that see only themselves, roles, one run for one
// idempotency key, and pages without gaps or repeats.
//
// The laws run against the whole service: the family's handler in one process
// with the real store, the real workflow and pretend devices that speak SSH.
package apitest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"drover/internal/device/sshsim"
	"drover/internal/dispatch"
	"drover/internal/inventory"
	"drover/internal/job"
	"drover/internal/standalone"
)

// Password is the password of every user that Start makes.
const Password = "correct horse battery staple"

// The users that Start makes, one for each role, and Stranger, an
// administrator of another tenant.
const (
	Admin    = "admin"
	Operator = "ops"
	Viewer   = "eye"
	Stranger = "stranger"
)

// OtherTenant is the tenant of Stranger.
const OtherTenant = "other"

// Options adjust a Service. The zero value is two well-behaved devices.
type Options struct {
	Devices int // 0: two
	Behave  func(i int) sshsim.Behaviour
	Adjust  func(*standalone.Config)
}

// Service is a running service with a fleet of pretend devices R1, R2 and so
// on, which a credential "lab" logs in to and a pool "all" holds.
type Service struct {
	T     testing.TB
	App   *standalone.App
	Fleet *sshsim.Fleet
	Data  string // the data folder
	log   logBuffer
}

// Start starts a service and ends it with the test.
func Start(t testing.TB, o Options) *Service {
	t.Helper()
	if o.Devices == 0 {
		o.Devices = 2
	}
	fleet, err := sshsim.Start(sshsim.Config{Devices: o.Devices, OneHostKey: true, Behave: o.Behave})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = fleet.Close() })
	s := &Service{T: t, Fleet: fleet, Data: t.TempDir()}
	cfg := standalone.Config{
		Data: s.Data, AdminPassword: Password,
		Log: slog.New(slog.NewJSONHandler(&s.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	if o.Adjust != nil {
		o.Adjust(&cfg)
	}
	if s.App, err = standalone.Open(context.Background(), cfg); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := s.App.Run(ctx); err != nil {
			t.Errorf("run: %v", err)
		}
	}()
	t.Cleanup(func() {
		cancel()
		<-done
		if err := s.App.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	s.fill(o.Devices)
	return s
}

// AdminPrincipal is the administrator of the default tenant, for setting up.
func AdminPrincipal() job.Principal {
	return job.Principal{Tenant: job.DefaultTenant, Name: Admin, Role: job.Admin}
}

// fill makes the users and the inventory.
func (s *Service) fill(devices int) {
	s.T.Helper()
	pw := job.Secret(Password)
	role := func(r job.Role) *string { v := string(r); return &v }
	s.saved(s.App.Dispatcher().SaveUsers(context.Background(), AdminPrincipal(), []inventory.UserInput{
		{Name: Operator, Role: role(job.Operator), Password: &pw},
		{Name: Viewer, Role: role(job.Viewer), Password: &pw},
		{Name: Stranger, Tenant: OtherTenant, Role: role(job.Admin), Password: &pw},
	}))
	user, secret := "drover", job.Secret("drover")
	s.saved(s.App.Dispatcher().SaveCredentials(context.Background(), AdminPrincipal(), []inventory.CredentialInput{
		{Name: "lab", Username: &user, Password: &secret}}))
	s.saved(s.App.Dispatcher().SavePools(context.Background(), AdminPrincipal(), []inventory.PoolInput{{Name: "all"}}))
	lab, pools := "lab", []string{"all"}
	for _, d := range s.Fleet.Devices[:devices] { // one by one, so that R1 is the oldest
		in := inventory.DeviceInput{Name: d.Name, Address: &d.Address, Port: &d.Port, Credential: &lab, Pools: &pools}
		s.saved(s.App.Dispatcher().SaveDevices(context.Background(), AdminPrincipal(), []inventory.DeviceInput{in}))
	}
}

func (s *Service) saved(outcomes []dispatch.Outcome, err error) {
	s.T.Helper()
	if err != nil {
		s.T.Fatal(err)
	}
	for _, o := range outcomes {
		if o.Err != nil {
			s.T.Fatalf("%s: %v", o.Name, o.Err)
		}
	}
}

// Script makes or changes a service of the default tenant that runs a script.
func (s *Service) Script(name, body string, change func(*inventory.ServiceInput)) {
	s.T.Helper()
	typ := string(job.TypeScript)
	in := inventory.ServiceInput{Name: name, Type: &typ, Body: &body}
	if change != nil {
		change(&in)
	}
	s.saved(s.App.Dispatcher().SaveServices(context.Background(), AdminPrincipal(), []inventory.ServiceInput{in}))
}

// Runs is how many runs the default tenant has.
func (s *Service) Runs() int {
	s.T.Helper()
	n := 0
	for after := ""; ; {
		runs, next, err := s.App.Dispatcher().Runs(context.Background(), AdminPrincipal(), dispatch.RunQuery{Limit: 100, After: after})
		if err != nil {
			s.T.Fatal(err)
		}
		n += len(runs)
		if after = next; after == "" {
			return n
		}
	}
}

// Objects is everything of the default tenant's inventory, as text, for
// telling whether anything was stored.
func (s *Service) Objects() string {
	s.T.Helper()
	ctx, p, d := context.Background(), AdminPrincipal(), s.App.Dispatcher()
	var b strings.Builder
	one := func(v any, next string, err error) {
		s.T.Helper()
		if err != nil || next != "" {
			s.T.Fatalf("list: %v (next %q)", err, next)
		}
		fmt.Fprintf(&b, "%+v\n", v)
	}
	page := dispatch.Page{Limit: 1000}
	devices, next, err := d.Devices(ctx, p, page)
	one(devices, next, err)
	pools, next, err := d.Pools(ctx, p, page)
	one(pools, next, err)
	credentials, next, err := d.Credentials(ctx, p, page)
	one(credentials, next, err)
	services, next, err := d.Services(ctx, p, page)
	one(services, next, err)
	users, next, err := d.Users(ctx, p, page)
	one(users, next, err)
	err = d.AllTemplates(ctx, p, func(t job.Template) error { one(t, "", nil); return nil })
	one("templates", "", err)
	features, err := d.Features(ctx, p)
	one(features, "", err)
	queries, err := d.SavedQueries(ctx, p)
	one(queries, "", err)
	schedules, next, err := d.Schedules(ctx, p, page)
	one(schedules, next, err)
	return b.String()
}

// Request is a request to make. User "" sends no credentials.
type Request struct {
	Method string
	Path   string
	Body   string
	User   string
	Header map[string]string
}

// Answer is what came back.
type Answer struct {
	Status int
	Header http.Header
	Body   string
}

// Do makes a request.
func (s *Service) Do(q Request) Answer {
	return s.DoContext(context.Background(), q)
}

// DoContext makes a request whose caller hangs up when ctx ends.
func (s *Service) DoContext(ctx context.Context, q Request) Answer {
	var body io.Reader
	if q.Body != "" {
		body = strings.NewReader(q.Body)
	}
	r := httptest.NewRequestWithContext(ctx, q.Method, q.Path, body)
	if q.User != "" {
		r.SetBasicAuth(q.User, Password)
	}
	for k, v := range q.Header {
		r.Header.Set(k, v)
	}
	w := httptest.NewRecorder()
	s.App.Handler().ServeHTTP(w, r)
	return Answer{Status: w.Code, Header: w.Header(), Body: w.Body.String()}
}

// Log is everything that was logged so far.
func (s *Service) Log() string { return s.log.String() }

// Stored is the bytes of every file of the data folder but the key file.
func (s *Service) Stored() []byte {
	s.T.Helper()
	var all []byte
	err := filepath.WalkDir(s.Data, func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() || e.Name() == standalone.KeyFile {
			return err
		}
		b, err := os.ReadFile(path)
		all = append(all, b...)
		return err
	})
	if err != nil {
		s.T.Fatal(err)
	}
	return all
}

// Eventually waits until f holds, for at most a minute. It is for what
// happens in the background only.
func (s *Service) Eventually(what string, f func() bool) {
	s.T.Helper()
	end := time.Now().Add(time.Minute)
	for !f() {
		if time.Now().After(end) {
			s.T.Fatalf("not in a minute: %s", what)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// logBuffer collects log lines of many goroutines.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

// Write appends a line.
func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
