package console_test

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"drover/internal/api/apitest"
	"drover/internal/secret"
)

// by makes a call with a token, or a password, and returns the answer.
func (c caller) by(pw, method, path string, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, "/drover/v1/"+path, strings.NewReader(body))
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	r.SetBasicAuth(c.user, pw)
	w := httptest.NewRecorder()
	c.s.App.Handler().ServeHTTP(w, r)
	c.check(r, w)
	return w
}

// token makes a token and returns its secret.
func (c caller) token(name string) string {
	c.t.Helper()
	w := c.by(apitest.Password, "POST", "tokens", `{"name":"`+name+`"}`)
	if w.Code != http.StatusCreated || w.Header().Get("Cache-Control") != "no-store" {
		c.t.Fatalf("%d %v %s", w.Code, w.Header(), w.Body)
	}
	_, rest, _ := strings.Cut(w.Body.String(), `"secret":"`)
	token, _, _ := strings.Cut(rest, `"`)
	if !strings.HasPrefix(token, secret.TokenPrefix) {
		c.t.Fatalf("%s", w.Body)
	}
	return token
}

func TestToken_StandsInThePasswordsPlace(t *testing.T) {
	c := start(t).as(apitest.Operator)
	token, other := c.token("ci"), c.token("other")
	for _, call := range []struct {
		status             int
		method, path, body string
	}{
		{200, "GET", "me", ""},
		{200, "GET", "tokens", ""},
		{403, "GET", "audit", ""},                   // the user's role, no more
		{403, "POST", "tokens", `{"name":"grown"}`}, // it would outlive itself
		{204, "DELETE", "tokens/other", ""},
	} {
		if w := c.by(token, call.method, call.path, call.body); w.Code != call.status {
			t.Errorf("%s %s: %d %s, want %d", call.method, call.path, w.Code, w.Body, call.status)
		}
	}
	for _, no := range []string{other, token + "x", secret.TokenPrefix, strings.TrimPrefix(token, secret.TokenPrefix)} {
		if w := c.by(no, "GET", "me", ""); w.Code != 401 {
			t.Errorf("a wrong token: %d", w.Code)
		}
	}
	if w := c.as(apitest.Viewer).by(token, "GET", "me", ""); w.Code != 401 {
		t.Errorf("somebody else's token: %d", w.Code)
	}
	if got := c.do(200, "GET", "tokens", nil)["tokens"].([]any); len(got) != 1 {
		t.Errorf("%v", got)
	}
}

// A token is told once: it is in no listing, log, audit entry or file.
func TestToken_IsNowhere(t *testing.T) {
	c := start(t)
	token := c.token("canary")
	c.by(token, "GET", "tokens", "")
	c.by(token+"x", "GET", "me", "")
	c.by(token, "POST", "tokens", `{"name":"again"}`)
	c.do(409, "POST", "tokens", `{"name":"canary"}`)
	var met strings.Builder
	for _, path := range []string{"tokens", "users", "users/" + apitest.Admin, "audit", "me"} {
		met.WriteString(c.by(apitest.Password, "GET", path, "").Body.String())
	}
	for _, secret := range []string{token, strings.TrimPrefix(token, secret.TokenPrefix)} {
		if strings.Contains(met.String(), secret) || strings.Contains(c.s.Log(), secret) || bytes.Contains(c.s.Stored(), []byte(secret)) {
			t.Error("an answer, the log or the data folder holds a token")
		}
	}
	if !strings.Contains(met.String(), `"token.create"`) || strings.Contains(met.String(), "hash") {
		t.Errorf("%s", met.String())
	}
}
