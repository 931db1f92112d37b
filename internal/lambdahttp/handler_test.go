package lambdahttp

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func handler(h http.HandlerFunc) *Handler { return New(h, nil, slog.New(slog.DiscardHandler)) }

func get(accept string) []byte {
	return []byte(`{"version":"2.0","rawPath":"/x","headers":{"accept-encoding":"` + accept + `"},
		"requestContext":{"stage":"$default","http":{"method":"GET","sourceIp":"192.0.2.1"}}}`)
}

func invoke(t testing.TB, h *Handler, payload []byte) (response, []byte) {
	t.Helper()
	out, err := h.Invoke(context.Background(), payload)
	if err != nil {
		t.Fatal(err)
	}
	if len(out) > h.limit {
		t.Fatalf("%d bytes", len(out))
	}
	var r response
	if err := json.Unmarshal(out, &r); err != nil {
		t.Fatal(err)
	}
	body := []byte(r.Body)
	if r.IsBase64 {
		if body, err = base64.StdEncoding.DecodeString(r.Body); err != nil {
			t.Fatal(err)
		}
	}
	return r, body
}

func TestInvoke_Answer(t *testing.T) {
	r, body := invoke(t, handler(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Add("Set-Cookie", "a=1")
		w.Header().Add("Set-Cookie", "b=2")
		w.Header().Add("Vary", "Accept")
		w.Header().Add("Vary", "Origin")
		w.Header().Set("Content-Length", "999")
		w.WriteHeader(http.StatusTeapot)
		w.Header().Set("Late", "x")
		w.WriteHeader(http.StatusOK)
		_, _ = io.WriteString(w, `{"a":"<é>"}`)
	}), get(""))
	if r.Status != http.StatusTeapot || string(body) != `{"a":"<é>"}` || r.IsBase64 {
		t.Errorf("%+v", r)
	}
	if strings.Join(r.Cookies, "|") != "a=1|b=2" || r.Headers["Vary"] != "Accept, Origin" || r.Headers["Set-Cookie"] != "" {
		t.Errorf("%+v", r)
	}
	for _, k := range []string{"Late", "Content-Length"} {
		if v, ok := r.Headers[k]; ok {
			t.Errorf("header %s: %q", k, v)
		}
	}
	if !strings.HasPrefix(r.Headers["Content-Type"], "text/plain") {
		t.Errorf("content type %q", r.Headers["Content-Type"])
	}
}

func TestInvoke_Statuses(t *testing.T) {
	for name, c := range map[string]struct {
		do   http.HandlerFunc
		want int
		body string
	}{
		"nothing written":    {func(http.ResponseWriter, *http.Request) {}, 200, ""},
		"no content":         {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204); _, _ = w.Write([]byte("x")) }, 204, ""},
		"informational":      {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(103); w.WriteHeader(404) }, 404, ""},
		"flush":              {func(w http.ResponseWriter, _ *http.Request) { w.(http.Flusher).Flush(); w.WriteHeader(404) }, 200, ""},
		"panic":              {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(200); panic("secret") }, 500, "{\"error\":\"internal error\"}\n"},
		"abort":              {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, 500, "{\"error\":\"internal error\"}\n"},
		"not UTF-8":          {func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte{0xff, 0}) }, 200, "\xff\x00"},
		"many control runes": {func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(bytes.Repeat([]byte{1}, 100)) }, 200, strings.Repeat("\x01", 100)},
	} {
		r, body := invoke(t, handler(c.do), get(""))
		if r.Status != c.want || string(body) != c.body {
			t.Errorf("%s: %d %q", name, r.Status, body)
		}
	}
}

func TestInvoke_HeadHasNoBody(t *testing.T) {
	r, body := invoke(t, handler(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("{}")) }),
		bytes.Replace(get(""), []byte(`"GET"`), []byte(`"HEAD"`), 1))
	if r.Status != 200 || len(body) != 0 {
		t.Errorf("%d %q", r.Status, body)
	}
}

func TestInvoke_ChoosesHandlerBySource(t *testing.T) {
	say := func(s string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, s) }
	}
	h := New(say("gateway"), say("url"), slog.New(slog.DiscardHandler))
	for file, want := range map[string]string{"gateway.json": "gateway", "functionurl.json": "url"} {
		if _, body := invoke(t, h, sample(t, file)); string(body) != want {
			t.Errorf("%s: %q", file, body)
		}
	}
}

func TestInvoke_Limit(t *testing.T) {
	const limit = 96 << 10 // the real one takes seconds under the race detector
	const fits = AlwaysFits / (MaxResponse / limit)
	text := bytes.Repeat([]byte(`{"stdout":"line\n"}`), limit/16)
	noise := make([]byte, limit)
	r := rand.NewChaCha8([32]byte{1})
	_, _ = r.Read(noise)
	write := func(p []byte) *Handler {
		h := handler(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(p) })
		h.limit = limit
		return h
	}
	if r, body := invoke(t, write(text), get("deflate, gzip;q=0.5")); r.Status != 200 || r.Headers["Content-Encoding"] != "gzip" {
		t.Errorf("compressible: %d %v", r.Status, r.Headers)
	} else if z, err := gzip.NewReader(bytes.NewReader(body)); err != nil {
		t.Error(err)
	} else if got, _ := io.ReadAll(z); !bytes.Equal(got, text) {
		t.Error("another text came back")
	}
	for name, out := range map[string]response{
		"client takes no gzip": first(invoke(t, write(text), get("gzip;q=0, br"))),
		"incompressible":       first(invoke(t, write(noise), get("gzip"))),
	} {
		if out.Status != 500 || !strings.Contains(out.Body, "larger than can be sent") {
			t.Errorf("%s: %d", name, out.Status)
		}
	}
	for name, fits := range map[string][]byte{
		"any bytes up to AlwaysFits": noise[:fits],
		"printed lines, five sixths": bytes.Repeat([]byte("interface is up\n"), limit*5/6/16),
	} {
		if r, body := invoke(t, write(fits), get("")); r.Status != 200 || !bytes.Equal(body, fits) {
			t.Errorf("%s: %d, %d bytes", name, r.Status, len(body))
		}
	}
}

func first(r response, _ []byte) response { return r }

func TestInvoke_BodyRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := rapid.OneOf(rapid.SliceOf(rapid.Byte()), rapid.Custom(func(t *rapid.T) []byte { return []byte(rapid.String().Draw(t, "s")) })).Draw(t, "body")
		h := handler(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(want) })
		out, err := h.Invoke(context.Background(), get(""))
		if err != nil {
			t.Fatal(err)
		}
		var r response
		if err := json.Unmarshal(out, &r); err != nil {
			t.Fatal(err)
		}
		got := []byte(r.Body)
		if r.IsBase64 {
			got, _ = base64.StdEncoding.DecodeString(r.Body)
		}
		if !bytes.Equal(got, want) {
			t.Fatalf("got %q, want %q", got, want)
		}
	})
}

func TestInvoke_RefusesOtherEvents(t *testing.T) {
	if _, err := handler(func(http.ResponseWriter, *http.Request) {}).Invoke(context.Background(), []byte(`{}`)); err == nil {
		t.Error("accepted")
	}
}
