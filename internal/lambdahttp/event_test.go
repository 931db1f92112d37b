package lambdahttp

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func sample(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestRequest_Gateway(t *testing.T) {
	r, source, err := Request(context.Background(), sample(t, "gateway.json"))
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(r.Body)
	for _, c := range []struct{ what, got, want string }{
		{"method", r.Method, "GET"},
		{"path without stage", r.URL.Path, "/rest/result/check disk %/2026-04-28 12:21:11.404910"},
		{"escaped path", r.URL.EscapedPath(), "/rest/result/check%20disk%20%25/2026-04-28%2012:21:11.404910"},
		{"query", r.URL.Query().Get("parameter2"), "a b"},
		{"repeated query", strings.Join(r.URL.Query()["parameter1"], "|"), "value1|value2"},
		{"host", r.Host, "abcdef1234.execute-api.us-east-1.amazonaws.com"},
		{"peer, not the forwarding header", r.RemoteAddr, "198.51.100.7:0"},
		{"cookie", r.Header.Get("Cookie"), "session=one; theme=dark"},
		{"repeated header", r.Header.Get("X-Tag"), "one,two"},
		{"request id", r.Header.Get("X-Request-Id"), "JKJaXmPLvHcESHA="},
		{"body of a GET", string(body), "null"},
	} {
		if c.got != c.want {
			t.Errorf("%s: got %q, want %q", c.what, c.got, c.want)
		}
	}
	if user, pass, ok := r.BasicAuth(); !ok || user != "ops" || pass != "secret" {
		t.Errorf("basic auth: %q %q %v", user, pass, ok)
	}
	if r.ContentLength != 4 || source != Gateway {
		t.Errorf("length %d, source %v", r.ContentLength, source)
	}
}

func TestRequest_FunctionURL(t *testing.T) {
	r, source, err := Request(context.Background(), sample(t, "functionurl.json"))
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(r.Body)
	for _, c := range []struct{ what, got, want string }{
		{"path", r.URL.Path, "/rest/result/a/b/2026-04-28 12:21:11.404910"},
		{"escaped path keeps the slash apart", r.URL.EscapedPath(), "/rest/result/a%2Fb/2026-04-28%2012:21:11.404910"},
		{"request URI", r.RequestURI, "/rest/result/a%2Fb/2026-04-28%2012:21:11.404910?q=a+b&r=%2B"},
		{"query with a space", r.URL.Query().Get("q"), "a b"},
		{"query with a plus", r.URL.Query().Get("r"), "+"},
		{"IPv6 peer", r.RemoteAddr, "[2001:db8::1]:0"},
		{"the caller's request id", r.Header.Get("X-Request-Id"), "mine"},
		{"body", string(body), `{"name": "hello", "text": "é"}`},
	} {
		if c.got != c.want {
			t.Errorf("%s: got %q, want %q", c.what, c.got, c.want)
		}
	}
	if source != FunctionURL {
		t.Errorf("source %v", source)
	}
}

func TestRequest_RefusesOtherEvents(t *testing.T) {
	for name, payload := range map[string]string{
		"no JSON":         `x`,
		"a schedule":      `{"source":"aws.events","detail-type":"Scheduled Event"}`,
		"format 1.0":      `{"version":"1.0","path":"/","httpMethod":"GET"}`,
		"no method":       `{"version":"2.0","rawPath":"/"}`,
		"body not base64": `{"version":"2.0","rawPath":"/","requestContext":{"http":{"method":"GET"}},"body":"!","isBase64Encoded":true}`,
	} {
		if _, _, err := Request(context.Background(), []byte(payload)); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestPath(t *testing.T) {
	for _, c := range []struct{ raw, stage, path, escaped string }{
		{"/a/b", "$default", "/a/b", "/a/b"},
		{"/prod/a", "prod", "/a", "/a"},
		{"/prod", "prod", "/", "/"},
		{"/production/a", "prod", "/production/a", "/production/a"},
		{"/a", "prod", "/a", "/a"},
		{"", "$default", "/", "/"},
		{"/100%25", "$default", "/100%", "/100%25"},
		{"/100%", "$default", "/100%", "/100%25"},
		{"/a%2fb", "$default", "/a/b", "/a%2fb"},
		{"/a%252Fb", "$default", "/a%2Fb", "/a%252Fb"}, // an HTTP API keeps %25
		{"/é", "$default", "/é", "/%C3%A9"},
		{"/a//b/../c", "$default", "/a//b/../c", "/a//b/../c"},
	} {
		u := url.URL{}
		u.Path, u.RawPath = splitPath(stripStage(c.raw, c.stage))
		if u.Path != c.path || u.EscapedPath() != c.escaped {
			t.Errorf("%q, stage %q: path %q escaped %q, want %q %q", c.raw, c.stage, u.Path, u.EscapedPath(), c.path, c.escaped)
		}
	}
}

// eventOf is what a gateway makes of a request: the other half of the round
// trip. An HTTP API shows the path decoded, a function URL as it came.
func eventOf(r *http.Request, body []byte, source Source) []byte {
	headers := map[string]string{"host": r.Host}
	var cookies []string
	for k, vs := range r.Header {
		if k == "Cookie" {
			cookies = vs
			continue
		}
		headers[strings.ToLower(k)] = strings.Join(vs, ",")
	}
	e := map[string]any{
		"version": "2.0", "rawQueryString": r.URL.RawQuery, "headers": headers, "cookies": cookies,
		"body": base64.StdEncoding.EncodeToString(body), "isBase64Encoded": true,
		"requestContext": map[string]any{
			"stage": "$default", "domainName": map[Source]string{Gateway: "x.execute-api.y", FunctionURL: "x.lambda-url.y"}[source],
			"http": map[string]any{"method": r.Method, "protocol": "HTTP/1.1", "sourceIp": "192.0.2.1"},
		},
	}
	e["rawPath"] = r.URL.EscapedPath()
	if source == Gateway {
		e["rawPath"] = strings.ReplaceAll(r.URL.Path, "%", "%25")
	}
	b, err := json.Marshal(e)
	if err != nil {
		panic(err)
	}
	return b
}

func TestRequest_RoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		segment := rapid.StringMatching(`[a-zA-Z0-9 %:é+&=?#'"<>@;,.-]{1,12}`)
		path := ""
		for _, s := range rapid.SliceOfN(segment, 1, 4).Draw(t, "path") {
			path += "/" + s
		}
		values := url.Values{}
		for _, k := range rapid.SliceOfN(segment, 0, 3).Draw(t, "keys") {
			values[k] = rapid.SliceOfN(segment, 1, 3).Draw(t, "values")
		}
		body := rapid.SliceOf(rapid.Byte()).Draw(t, "body")
		want := httptest.NewRequest(rapid.SampledFrom([]string{"GET", "POST", "DELETE", "PUT"}).Draw(t, "method"), "http://h.example/", strings.NewReader(string(body)))
		want.URL.Path, want.URL.RawQuery = path, values.Encode()
		want.SetBasicAuth("user", "pass:word")
		source := rapid.SampledFrom([]Source{Gateway, FunctionURL}).Draw(t, "source")

		got, gotSource, err := Request(context.Background(), eventOf(want, body, source))
		if err != nil {
			t.Fatal(err)
		}
		gotBody, _ := io.ReadAll(got.Body)
		if source == FunctionURL && got.URL.EscapedPath() != want.URL.EscapedPath() {
			t.Fatalf("got %s, want %s", got.URL, want.URL)
		}
		if got.Method != want.Method || got.URL.Path != path ||
			got.URL.RawQuery != want.URL.RawQuery || got.Host != want.Host || string(gotBody) != string(body) ||
			got.Header.Get("Authorization") != want.Header.Get("Authorization") || gotSource != source {
			t.Fatalf("got  %s %s %q\nwant %s %s %q", got.Method, got.URL, gotBody, want.Method, want.URL, body)
		}
	})
}

func FuzzRequest(f *testing.F) {
	f.Add(sample(f, "gateway.json"))
	f.Add(sample(f, "functionurl.json"))
	f.Add([]byte(`{"version":"2.0","rawPath":"%zz//../?#","rawQueryString":"\u0000 %","requestContext":{"stage":"","http":{"method":"\n"}}}`))
	f.Fuzz(func(t *testing.T, payload []byte) {
		r, _, err := Request(context.Background(), payload)
		if err != nil {
			return
		}
		if !strings.HasPrefix(r.URL.Path, "/") {
			t.Fatalf("path %q", r.URL.Path)
		}
		// What we hand on is a URL that net/url takes back unchanged.
		back, err := url.ParseRequestURI("http://h" + r.URL.RequestURI())
		if err != nil || back.Path != r.URL.Path || back.RawQuery != r.URL.RawQuery {
			t.Fatalf("%q: %v, %v", r.URL.RequestURI(), back, err)
		}
		_ = r.URL.Query()
		if _, err := io.ReadAll(r.Body); err != nil {
			t.Fatal(err)
		}
	})
}
