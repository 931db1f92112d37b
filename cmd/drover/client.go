package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"drover/internal/fleet"
	"drover/internal/job"
)

// remote is an installation that commands talk to.
type remote struct {
	p        *program
	url      string
	user     string
	tenant   string
	password job.Secret
	http     *http.Client
}

// prefix is where the service's own API lies.
const prefix = "/drover/v1/"

// callTimeout bounds one call, except those that stream.
const callTimeout = 2 * time.Minute

// remoteFlags gives a command the flags of an installation. The remote can be
// used once the command runs.
func (p *program) remoteFlags(cmd *cobra.Command) *remote {
	r := &remote{p: p}
	f := cmd.Flags()
	f.StringVar(&r.url, "url", "http://127.0.0.1:8080", "address of the service (DROVER_URL)")
	f.StringVar(&r.user, "user", "admin", "user name (DROVER_USER); the password comes from DROVER_PASSWORD or a prompt")
	f.StringVar(&r.tenant, "tenant", "", "tenant to act in, your own if not given (DROVER_TENANT)")
	cmd.PreRunE = failing(exitUsage, func(cmd *cobra.Command, _ []string) error {
		for _, name := range []string{"url", "user", "tenant"} {
			if v, ok := p.env("DROVER_" + strings.ToUpper(name)); ok && v != "" && !f.Changed(name) {
				_ = f.Set(name, v) // a text takes everything
			}
		}
		return r.open()
	})
	return r
}

func (r *remote) open() error {
	u, err := url.Parse(r.url)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return fmt.Errorf("--url: %q is not an address such as http://127.0.0.1:8080", r.url)
	}
	if u.Scheme == "http" && !loopback(u.Hostname()) {
		r.p.notef("drover: warning: the password travels unencrypted to %s\n", u.Host)
	}
	r.url = strings.TrimRight(r.url, "/")
	r.http = &http.Client{
		Transport: &http.Transport{
			Proxy:                 http.ProxyFromEnvironment,
			DialContext:           (&net.Dialer{Timeout: 10 * time.Second}).DialContext,
			TLSHandshakeTimeout:   10 * time.Second,
			ResponseHeaderTimeout: callTimeout,
		},
		// The password is for the address that was given.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return nil
}

func loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.IsLoopback()
}

// login finds the password.
func (r *remote) login(ctx context.Context) error {
	if r.password != "" {
		return nil
	}
	if v, ok := r.p.env("DROVER_PASSWORD"); ok {
		r.password = job.Secret(v)
		return nil
	}
	pw, err := r.p.askPassword(ctx, fmt.Sprintf("password of %s at %s", r.user, r.url))
	if errors.Is(err, errNoTerminal) {
		return errors.New("no password: set DROVER_PASSWORD")
	}
	r.password = pw
	return err
}

// apiError is an answer that is not a success.
type apiError struct {
	Status   int
	Code     job.Code
	Message  string
	Field    string
	Problems []fleet.Problem
	Unknown  []unknownTarget
	Outcomes []outcome
}

type unknownTarget struct {
	Kind  string `json:"kind"`
	Value string `json:"value"`
}

// Error returns the message, led by the field.
func (e *apiError) Error() string {
	s := e.Message
	if len(e.Unknown) > 0 {
		var names []string
		for i, u := range e.Unknown {
			if i == 10 {
				names = append(names, fmt.Sprintf("and %d more", len(e.Unknown)-i))
				break
			}
			names = append(names, fmt.Sprintf("%s %q", u.Kind, u.Value))
		}
		return "unknown: " + strings.Join(names, ", ")
	}
	if e.Field != "" {
		s = e.Field + ": " + s
	}
	return s
}

// unreachableError says that no answer came.
type unreachableError struct {
	url string
	err error
}

// Error says what can be done about it.
func (e *unreachableError) Error() string {
	why := e.err
	var ue *url.Error
	if errors.As(why, &ue) {
		why = ue.Err
	}
	s := fmt.Sprintf("no answer from %s: %v", e.url, why)
	if errors.Is(e.err, syscall.ECONNREFUSED) {
		s += "; is the service running there?"
	}
	return s
}

// Unwrap returns the cause.
func (e *unreachableError) Unwrap() error { return e.err }

// call sends in as JSON (nothing when nil) and reads the answer into out
// (dropped when nil).
func (r *remote) call(ctx context.Context, method, path string, in, out any, header ...string) error {
	var body []byte
	if in != nil {
		var err error
		if body, err = json.Marshal(in); err != nil {
			return err
		}
	}
	return r.send(ctx, method, path, body, out, header...)
}

// send is call with a body that is JSON already.
func (r *remote) send(ctx context.Context, method, path string, body []byte, out any, header ...string) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	resp, err := r.request(ctx, method, path, body, header...)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, 64<<20))
	if err != nil {
		return r.lost(ctx, err)
	}
	if out == nil || resp.StatusCode == http.StatusNoContent {
		return nil
	}
	if err := json.Unmarshal(answer, out); err != nil {
		return fmt.Errorf("%s does not answer like Drover", r.url)
	}
	return nil
}

// request returns the answer of a success; its body is the caller's to close.
func (r *remote) request(ctx context.Context, method, path string, body []byte, header ...string) (*http.Response, error) {
	if err := r.login(ctx); err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, method, r.url+prefix+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.SetBasicAuth(r.user, r.password.Reveal())
	req.Header.Set("User-Agent", "drover/"+version)
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if r.tenant != "" {
		req.Header.Set("Drover-Tenant", r.tenant)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := r.http.Do(req)
	if err != nil {
		return nil, r.lost(ctx, err)
	}
	if resp.StatusCode < 300 {
		return resp, nil
	}
	defer func() { _ = resp.Body.Close() }()
	return nil, r.refused(resp)
}

// lost is the error of a call that got no answer, or ctx's own.
func (r *remote) lost(ctx context.Context, err error) error {
	if errors.Is(ctx.Err(), context.Canceled) {
		return ctx.Err()
	}
	return &unreachableError{r.url, err}
}

func (r *remote) refused(resp *http.Response) error {
	e := &apiError{Status: resp.StatusCode}
	var body struct {
		Error struct {
			Code    job.Code `json:"code"`
			Message string   `json:"message"`
			Field   string   `json:"field"`
		} `json:"error"`
		Problems []fleet.Problem `json:"problems"`
		Unknown  []unknownTarget `json:"unknown"`
		Outcomes []outcome       `json:"outcomes"`
	}
	text, _ := io.ReadAll(io.LimitReader(resp.Body, 64<<20))
	if json.Unmarshal(text, &body) != nil || body.Error.Code == "" {
		if resp.StatusCode == http.StatusUnauthorized {
			return fmt.Errorf("the user name or the password is not right (user %s at %s)", r.user, r.url)
		}
		return fmt.Errorf("%s answers %s and not like Drover; is the address right?", r.url, resp.Status)
	}
	e.Code, e.Message, e.Field = body.Error.Code, body.Error.Message, body.Error.Field
	e.Problems, e.Unknown, e.Outcomes = body.Problems, body.Unknown, body.Outcomes
	if e.Code == job.Unauthenticated {
		e.Message = fmt.Sprintf("%s (user %s at %s)", e.Message, r.user, r.url)
	}
	return e
}

// passing reports whether the same call may succeed a moment later.
func passing(err error) bool {
	var lost *unreachableError
	var api *apiError
	if errors.As(err, &lost) {
		var certificate *tls.CertificateVerificationError
		var name *net.DNSError
		return !errors.As(err, &certificate) && !errors.Is(err, http.ErrSchemeMismatch) && !(errors.As(err, &name) && name.IsNotFound)
	}
	return errors.As(err, &api) && (api.Code == job.Unavailable || api.Code == job.Exhausted)
}

// patiently repeats a call that may be repeated until it succeeds, fails for
// good, or patience is over. The first failure that is waited for is told.
func patiently(ctx context.Context, patience time.Duration, tell func(error), call func() error) error {
	end := time.Now().Add(patience)
	for pause := 200 * time.Millisecond; ; pause = min(pause*2, 5*time.Second) {
		err := call()
		if err == nil || !passing(err) || time.Now().Add(pause).After(end) {
			return err
		}
		if tell != nil {
			tell(err)
			tell = nil
		}
		if err := sleep(ctx, pause); err != nil {
			return err
		}
	}
}

// tryAgain says why nothing happens for a while.
func (p *program) tryAgain(err error) {
	p.notef("drover: %s; trying again\n", clean(firstLine(describe(err))))
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// all reads every page of a listing and hands each to use, which reports
// whether to go on.
func all[T any](ctx context.Context, r *remote, path string, query url.Values, name string, use func([]T) bool) error {
	q := url.Values{}
	for k, v := range query {
		q[k] = v
	}
	for {
		var page map[string]json.RawMessage
		if err := r.call(ctx, http.MethodGet, path+"?"+q.Encode(), nil, &page); err != nil {
			return err
		}
		var items []T
		var next string
		if json.Unmarshal(page[name], &items) != nil || json.Unmarshal(page["next"], &next) != nil {
			return fmt.Errorf("%s does not answer like Drover", r.url)
		}
		if !use(items) || next == "" {
			return nil
		}
		q.Set("after", next)
	}
}

// newKey returns an idempotency key, so that a submit can be repeated when its
// answer is lost.
func newKey() string { return "cli-" + rand.Text() }
