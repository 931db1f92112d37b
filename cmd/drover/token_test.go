package main

import (
	"strings"
	"testing"
	"time"
)

func TestTokens(t *testing.T) {
	l := newLab(t, 1)
	if r := l.with("DROVER_NEW_PASSWORD", "pw-oscar").run("user", "add", "oscar", "--role", "operator"); r.status != 0 {
		t.Fatalf("%+v", r)
	}
	oscar := l.with("DROVER_USER", "oscar", "DROVER_PASSWORD", "pw-oscar")
	if out := oscar.ok("token", "list"); out != "there are no tokens\n" {
		t.Errorf("%q", out)
	}
	if out := oscar.ok("token", "list", "--json"); out != "[]\n" {
		t.Errorf("%q", out)
	}
	made := oscar.run("token", "add", "ci", "--lifetime", "30d")
	token, ok := strings.CutSuffix(made.out, "\n")
	if made.status != 0 || !ok || !strings.HasPrefix(token, "drover_") || strings.Contains(made.err, token) ||
		!strings.HasPrefix(made.err, "token ci is good until 20") || !strings.HasSuffix(made.err, "; this is the only time it is shown\n") {
		t.Fatalf("%+v", made)
	}
	if r := oscar.run("token", "add", "nightly"); r.status != 0 || r.err != "token nightly is good until it is deleted; this is the only time it is shown\n" {
		t.Errorf("%+v", r)
	}

	var list []map[string]any
	decode(t, oscar.ok("token", "list", "--json"), &list)
	if len(list) != 2 || list[0]["name"] != "ci" || list[1]["expires"] != nil {
		t.Fatalf("%v", list)
	}
	keys(t, list[0], "name created expires")
	created, err1 := time.Parse(time.RFC3339, list[0]["created"].(string))
	expires, err2 := time.Parse(time.RFC3339, list[0]["expires"].(string))
	if err1 != nil || err2 != nil || expires.Sub(created) != 30*24*time.Hour {
		t.Errorf("%v", list[0])
	}
	if out := oscar.ok("token", "list"); !strings.HasPrefix(out, "TOKEN ") || strings.Contains(out, token) || strings.Count(out, "\n") != 3 {
		t.Errorf("%s", out)
	}
	if out := l.ok("token", "list"); out != "there are no tokens\n" {
		t.Errorf("somebody else's: %s", out)
	}

	// It is a password, but for making tokens.
	byToken := l.with("DROVER_USER", "oscar", "DROVER_PASSWORD", token)
	byToken.ok("runs")
	if r := byToken.run("token", "add", "more"); r.status != 1 || r.err != "drover: a token makes no tokens: use the password\n" {
		t.Errorf("%+v", r)
	}
	if out := oscar.ok("token", "delete", "ci"); out != "token ci is gone\n" {
		t.Errorf("%q", out)
	}
	if r := byToken.run("runs"); r.status != 1 || !strings.HasPrefix(r.err, "drover: the user name or the password is not right") {
		t.Errorf("%+v", r)
	}

	for _, c := range []struct {
		args   []string
		status int
		want   string
	}{
		{[]string{"token", "add"}, 2, "drover: add: NAME is missing"},
		{[]string{"token", "frobnicate"}, 2, "drover: unknown command"},
		{[]string{"token", "add", "nightly"}, 1, "drover: there is already a token with the name \"nightly\"\n"},
		{[]string{"token", "add", "a/b"}, 1, "drover: name: "},
		{[]string{"token", "add", "x", "--lifetime", "soon"}, 2, "drover: --lifetime: \"soon\" is not a length of time such as 30d or 12h\n"},
		{[]string{"token", "delete", "ci"}, 1, "drover: no token \"ci\"\n"},
	} {
		if r := oscar.run(c.args...); r.status != c.status || r.out != "" || !strings.HasPrefix(r.err, c.want) {
			t.Errorf("%q: %+v, want %q", c.args, r, c.want)
		}
	}
}

func TestParseLifetime(t *testing.T) {
	for s, want := range map[string]time.Duration{"30d": 720 * time.Hour, "12h": 12 * time.Hour, "1h30m": 90 * time.Minute, "36500d": 876000 * time.Hour,
		"": 0, "d": 0, "0d": 0, "-3d": 0, "1.5d": 0, "36501d": 0, "9999999999999d": 0, "30": 0, "0s": 0, "-1h": 0} {
		got, err := parseLifetime(s)
		if got != want || (err == nil) != (want > 0) {
			t.Errorf("%q: %v, %v; want %v", s, got, err, want)
		}
	}
}
