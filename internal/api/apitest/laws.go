package apitest

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"drover/internal/api"
	"drover/internal/dispatch"
	"drover/internal/inventory"
	"drover/internal/job"
)

// Family is what the laws need to know of an API family.
type Family struct {
	// Submit is a request that runs the service on the device and answers
	// when the run is over, or with Later at once.
	Submit func(service, device string) Request
	Later  bool
	// Accepted is the status of the answer to Submit; 0: 200.
	Accepted int
	// Prepare makes what Submit runs, of a name and a script; nil: a service.
	Prepare func(s *Service, name, script string)
	// RunOf returns what an answer to Submit calls its run.
	RunOf func(Answer) string
	// Reads are GET requests about the objects of a started Service, one
	// for each kind of object that the family shows, and those about the
	// service and its run.
	Reads func(service, run string) []Request
	// Changes are requests that only an administrator may make. They need
	// not succeed.
	Changes []Request
	// Runs are further requests that an operator may make and a viewer not.
	Runs []Request
	// Secrets stores each of the secrets, by the name of its field
	// (password, private_key, passphrase, become_password), in a credential
	// of the given name; nil for a family that shows no credentials.
	Secrets func(name string, secrets map[string]string) Request
	// SubmitSecrets is a Submit that brings secrets of its own, by the same
	// names; nil for a family without.
	SubmitSecrets func(service, device string, secrets map[string]string) Request
	// Bad are requests with bad input, by an administrator, beyond those
	// that the laws make from Submit and Changes.
	Bad []Request
	// Refused reports whether an answer refuses its request. nil: by the
	// status 4xx. It is for vendors that say no with 200.
	Refused func(Answer) bool
	// Slash says that a slash at the end of a path changes nothing.
	Slash bool
	// Login says that the answer to wrong credentials repeats the user's name.
	Login bool
	// Lists walks all pages of each list of the family and returns the keys
	// that it met, with the number of objects there are; nil for a family without lists.
	Lists func(s *Service) (met []string, want int)
}

// Run runs every law as a subtest.
func Run(t *testing.T, f Family) {
	if f.Refused == nil {
		f.Refused = func(a Answer) bool { return a.Status >= 400 && a.Status <= 499 }
	}
	if f.Accepted == 0 {
		f.Accepted = http.StatusOK
	}
	if f.Prepare == nil {
		f.Prepare = func(s *Service, name, script string) { s.Script(name, script, nil) }
	}
	t.Run("Credentials", f.credentials)
	t.Run("Roles", f.roles)
	t.Run("Secrets", f.secrets)
	t.Run("BadInput", f.badInput)
	t.Run("Tenants", f.tenants)
	t.Run("Idempotency", f.idempotency)
	if f.Lists != nil {
		t.Run("Paging", f.paging)
	}
}

func as(q Request, user string) Request {
	q.User = user
	return q
}

// with returns a request with one more header.
func with(q Request, name, value string) Request {
	h := map[string]string{name: value}
	for k, v := range q.Header {
		if k != name {
			h[k] = v
		}
	}
	q.Header = h
	return q
}

// submit makes a submit of a new run and returns what its answer calls it. When it
// returns the run is over.
func (f Family) submit(s *Service, q Request) string {
	s.T.Helper()
	before := s.Runs()
	a := s.Do(q)
	run := f.RunOf(a)
	if a.Status != f.Accepted || run == "" {
		s.T.Fatalf("%s: %d %s", q.name(), a.Status, a.Body)
	}
	if s.Runs() != before+1 {
		s.T.Fatalf("%s made %d runs", q.name(), s.Runs()-before)
	}
	s.settled()
	return run
}

// settled waits until every run of the default tenant is over.
func (s *Service) settled() {
	s.T.Helper()
	s.Eventually("all runs are over", func() bool {
		runs, _, err := s.App.Dispatcher().Runs(context.Background(), AdminPrincipal(), dispatch.RunQuery{Limit: 100})
		if err != nil {
			s.T.Fatal(err)
		}
		for _, r := range runs {
			if !r.Status.Terminal() {
				return false
			}
		}
		return true
	})
}

func (q Request) name() string { return q.Method + " " + q.Path }

// all are the family's requests that need a user.
func (f Family) all(run string) []Request {
	all := append([]Request{f.Submit("hello", "R1")}, f.Reads("hello", run)...)
	return append(append(all, f.Changes...), f.Runs...)
}

// credentials: no request without a valid password, and all causes look alike.
func (f Family) credentials(t *testing.T) {
	s := Start(t, Options{})
	f.Prepare(s, "hello", "echo hello")
	for _, q := range f.all("x") {
		var first Answer
		for i, header := range []string{"", "Basic !!!", "Bearer abc", "Basic YWRtaW46", "Basic bm9ib2R5Ong=", "Basic YWRtaW46d3Jvbmc=", "Basic Og=="} {
			q := as(q, "")
			if header != "" {
				q = with(q, "Authorization", header)
			}
			a := s.Do(q)
			if f.Login {
				for _, name := range []string{Admin, "nobody"} {
					a.Body = strings.Replace(a.Body, name, "", 1)
				}
			}
			if a.Status != http.StatusUnauthorized {
				t.Errorf("%s with %q: %d", q.name(), header, a.Status)
			}
			if i == 0 {
				first = a
			} else if a.Body != first.Body {
				t.Errorf("%s with %q: body differs: %s", q.name(), header, a.Body)
			}
		}
	}
	if n := s.Runs(); n != 0 {
		t.Errorf("%d runs without a valid password", n)
	}
}

// roles: a viewer reads, an operator also runs, an administrator also changes.
func (f Family) roles(t *testing.T) {
	s := Start(t, Options{})
	f.Prepare(s, "hello", "echo hello")
	run := f.submit(s, as(f.Submit("hello", "R1"), Admin))
	before, runs := s.Objects(), s.Runs()
	for _, q := range f.Reads("hello", run) {
		for _, user := range []string{Viewer, Operator, Admin} {
			if a := s.Do(as(q, user)); a.Status != http.StatusOK {
				t.Errorf("%s by %s: %d %s", q.name(), user, a.Status, a.Body)
			}
		}
	}
	for _, q := range append([]Request{f.Submit("hello", "R1")}, f.Runs...) {
		if a := s.Do(as(q, Viewer)); a.Status != http.StatusForbidden {
			t.Errorf("%s by a viewer: %d %s", q.name(), a.Status, a.Body)
		}
	}
	for _, q := range f.Changes {
		for _, user := range []string{Viewer, Operator} {
			if a := s.Do(as(q, user)); a.Status != http.StatusForbidden {
				t.Errorf("%s by %s: %d %s", q.name(), user, a.Status, a.Body)
			}
		}
	}
	if s.Objects() != before || s.Runs() != runs {
		t.Error("a refused request changed something")
	}
	f.submit(s, as(f.Submit("hello", "R1"), Operator))
}

// canary is a word that must appear nowhere but where it was stored.
const canary = "cAnArY7f3a"

// secrets: what is stored as a secret appears in no answer, no log and, in
// clear, in no file.
func (f Family) secrets(t *testing.T) {
	s := Start(t, Options{})
	f.Prepare(s, "leak", "echo trying\nfalse")
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKeyWithPassphrase(private, canary, []byte(canary+"-passphrase"))
	if err != nil {
		t.Fatal(err)
	}
	key := string(pem.EncodeToMemory(block))
	secrets := map[string]string{
		"password": canary + "-password", "private_key": key,
		"passphrase": canary + "-passphrase", "become_password": canary + "-become",
	}
	forbidden := []string{canary + "-", strings.Split(key, "\n")[2]}
	var seen []string
	look := func(what, text string) {
		t.Helper()
		for _, f := range forbidden {
			if strings.Contains(text, f) {
				t.Errorf("%s holds a secret: %.200s", what, text)
			}
		}
		seen = append(seen, what)
	}
	do := func(q Request) Answer {
		t.Helper()
		a := s.Do(as(q, Admin))
		look(q.name(), fmt.Sprint(a.Header)+a.Body)
		return a
	}
	// The device refuses these secrets: the paths of errors are the leaky ones.
	run := func(q Request) {
		t.Helper()
		id := f.RunOf(do(q))
		if id == "" {
			t.Fatal("no run")
		}
		s.settled()
		for _, q := range f.Reads("leak", id) {
			do(q)
		}
	}
	// Refused requests are echoed by some vendors.
	bad := map[string]string{"password": canary + "-p\x00", "private_key": canary + "-key", "passphrase": canary + "-x", "become_password": canary + "-b\n"}
	if f.SubmitSecrets != nil {
		run(f.SubmitSecrets("leak", "R1", secrets))
		do(f.SubmitSecrets("leak", "R1", bad))
		do(f.SubmitSecrets("nobody", "R1", secrets))
		do(f.SubmitSecrets("leak", "nobody", secrets))
		s.settled()
	}
	if f.Secrets != nil {
		if a := do(f.Secrets("lab", secrets)); a.Status != http.StatusOK {
			t.Fatalf("the secrets were not taken: %d %s", a.Status, a.Body)
		}
		do(f.Secrets("lab", bad))
		do(f.Secrets("in/valid", secrets))
	} else {
		s.credential("lab", secrets)
	}
	run(f.Submit("leak", "R1"))
	for _, q := range f.Changes {
		do(q)
	}
	look("the log", s.Log())
	look("the data folder", string(s.Stored()))
	if len(seen) < 5 {
		t.Errorf("looked at %v only", seen)
	}
}

// credential puts secrets into a credential without the family.
func (s *Service) credential(name string, secrets map[string]string) {
	s.T.Helper()
	of := func(field string) *job.Secret { v := job.Secret(secrets[field]); return &v }
	s.saved(s.App.Dispatcher().SaveCredentials(context.Background(), AdminPrincipal(), []inventory.CredentialInput{{Name: name,
		Password: of("password"), PrivateKey: of("private_key"), Passphrase: of("passphrase"), BecomePassword: of("become_password")}}))
}

// badInput: the vendor's 4xx, nothing stored, never a 5xx.
func (f Family) badInput(t *testing.T) {
	s := Start(t, Options{})
	f.Prepare(s, "hello", "echo hello")
	before := s.Objects()
	check := func(q Request, mustRefuse bool) {
		t.Helper()
		a := s.Do(as(q, Admin))
		if a.Status >= 500 {
			t.Errorf("%s %.80q: %d %s", q.name(), q.Body, a.Status, a.Body)
		}
		if mustRefuse && !f.Refused(a) {
			t.Errorf("%s %.80q was not refused: %d %.300s", q.name(), q.Body, a.Status, a.Body)
		}
	}
	bodies := []string{"{", "[", `"x"`, "5", "true", "{}{}", "{} x", "\xff\xfe", "{\"\xff\":1}", "name=hello", "<xml/>", "NaN",
		strings.Repeat("[", 5000), `{"a":` + strings.Repeat("[", 200) + strings.Repeat("]", 200) + "}", strings.Repeat(" ", 100),
		`{"name":` + `"` + strings.Repeat("x", api.MaxBody) + `"}`}
	bodied := []Request{f.Submit("hello", "R1")}
	for _, q := range f.Changes {
		if q.Body != "" {
			bodied = append(bodied, q)
		}
	}
	for _, q := range bodied {
		for _, body := range bodies {
			q.Body = body
			check(q, true)
		}
	}
	for _, q := range f.Bad {
		check(q, true)
	}
	for _, q := range f.all("x") {
		for _, path := range []string{q.Path + "/", q.Path + "/extra", q.Path + "/%2e%2e", q.Path + "/..%2f", q.Path + "%00", q.Path + "/%ff"} {
			odd := q
			odd.Path = path
			if q.Method == http.MethodGet || !f.Slash || path != q.Path+"/" {
				check(odd, q.Method != http.MethodGet)
			}
		}
		for _, method := range []string{"PUT", "PATCH", "TRACE", "FOO"} {
			odd := q
			if odd.Method = method; method != q.Method {
				check(odd, true)
			}
		}
		if q.Method != http.MethodGet {
			continue // with these headers they would be made
		}
		for name, value := range map[string]string{"X-Request-Id": strings.Repeat("x", 10000), "X-Forwarded-For": "' or 1=1",
			"Idempotency-Key": strings.Repeat("k", 300), "Content-Type": "multipart/form-data", "Content-Encoding": "gzip", "Accept": "text/html"} {
			check(with(q, name, value), false)
		}
	}
	for _, key := range []string{"", strings.Repeat("k", 300), "\x01", "é"} {
		check(with(f.Submit("hello", "R1"), "Idempotency-Key", key), true)
	}
	if after := s.Objects(); after != before {
		t.Errorf("bad input was stored: %s", after)
	}
	if n := s.Runs(); n != 0 {
		t.Errorf("bad input made %d runs", n)
	}
}

// tenants: for another tenant it is as if nothing were there.
func (f Family) tenants(t *testing.T) {
	s := Start(t, Options{})
	f.Prepare(s, "hello", "echo hello")
	run := f.submit(s, as(f.Submit("hello", "R1"), Admin))
	before, runs := s.Objects(), s.Runs()
	for _, q := range f.Reads("hello", run) {
		mine, theirs := s.Do(as(q, Admin)), s.Do(as(q, Stranger))
		if mine.Status != http.StatusOK {
			t.Errorf("%s by its owner: %d %s", q.name(), mine.Status, mine.Body)
		}
		for part := range strings.SplitSeq(q.Path, "/") { // some vendors repeat what was asked for
			if name, err := url.PathUnescape(part); err == nil && name != "" {
				theirs.Body = strings.Replace(theirs.Body, "'"+name+"'", "''", 1)
			}
		}
		if theirs.Status == http.StatusOK || strings.Contains(theirs.Body, "R1") || strings.Contains(theirs.Body, "hello") {
			t.Errorf("%s by a stranger: %d %s", q.name(), theirs.Status, theirs.Body)
		}
	}
	s.Do(as(f.Submit("hello", "R1"), Stranger))
	for _, q := range append(f.Changes, f.Runs...) {
		s.Do(as(q, Stranger))
	}
	if s.Objects() != before || s.Runs() != runs || s.Fleet.Executions() != 1 {
		t.Error("a stranger changed something")
	}
}

// idempotency: one key, one run.
func (f Family) idempotency(t *testing.T) {
	s := Start(t, Options{})
	f.Prepare(s, "hello", "echo hello")
	f.Prepare(s, "other", "echo other")
	submit := func(service, user, key string) Answer {
		q := as(f.Submit(service, "R1"), user)
		if key != "" {
			q = with(q, "Idempotency-Key", key)
		}
		a := s.Do(q)
		if f.Later {
			s.settled()
		}
		return a
	}
	first := submit("hello", Admin, "k1")
	if first.Status != f.Accepted || f.RunOf(first) == "" {
		t.Fatalf("%d %s", first.Status, first.Body)
	}
	if again := submit("hello", Admin, "k1"); again.Status != first.Status || f.RunOf(again) != f.RunOf(first) || !f.Later && again.Body != first.Body {
		t.Errorf("the repeated submit answers otherwise: %d %s", again.Status, again.Body)
	}
	if n := s.Fleet.Executions(); n != 1 {
		t.Errorf("%d executions for one key", n)
	}
	if a := submit("other", Admin, "k1"); a.Status != http.StatusUnprocessableEntity {
		t.Errorf("another body with the key: %d %s", a.Status, a.Body)
	}
	if n := s.Runs(); n != 1 {
		t.Errorf("%d runs for one key", n)
	}
	runs := map[string]bool{f.RunOf(first): true}
	for _, a := range []Answer{submit("hello", Admin, "k2"), submit("hello", Operator, "k1"), submit("hello", Admin, ""), submit("hello", Admin, "")} {
		runs[f.RunOf(a)] = true
	}
	if len(runs) != 5 || s.Runs() != 5 {
		t.Errorf("%d runs for 5 different submits: %v", s.Runs(), runs)
	}
	// Many at once with one key are one run too.
	const many = 8
	answers := make(chan Answer, many)
	for range many {
		go func() { answers <- submit("hello", Admin, "k3") }()
	}
	same := map[string]bool{}
	for range many {
		a := <-answers
		if a.Status != f.Accepted {
			t.Errorf("%d %s", a.Status, a.Body)
		}
		same[f.RunOf(a)] = true
	}
	if len(same) != 1 {
		t.Errorf("%d runs for one key at once: %v", len(same), same)
	}
}

// paging: every object once.
func (f Family) paging(t *testing.T) {
	s := Start(t, Options{})
	var in []inventory.DeviceInput
	address := "192.0.2.1"
	for i := range 57 {
		in = append(in, inventory.DeviceInput{Name: fmt.Sprintf("paged-%02d", i), Address: &address})
	}
	outcomes, err := s.App.Dispatcher().SaveDevices(context.Background(), AdminPrincipal(), in)
	s.saved(outcomes, err)
	met, want := f.Lists(s)
	once := map[string]bool{}
	for _, key := range met {
		if once[key] {
			t.Errorf("%s twice", key)
		}
		once[key] = true
	}
	if len(once) != want {
		t.Errorf("%d of %d", len(once), want)
	}
}
