// Package lambdahttp lets an ordinary http.Handler answer the two kinds of
// HTTP events that a Lambda function gets: from an API Gateway HTTP API
// (payload format 2.0) and from a Function URL, which are the same JSON with
// other habits. The event types stop at this package: above it there are only
// requests and responses.
//
// What a handler may rely on:
//
//   - URL.Path is decoded once; URL.EscapedPath is what the client sent where
//     the event still shows it. An HTTP API decodes the path before the
//     function sees it (all but %25), so an encoded slash cannot be told from
//     a plain one there. A Function URL keeps it.
//   - The stage, when it has a name, is taken off the path.
//   - RemoteAddr is the address that the gateway saw; forwarding headers are
//     passed on unread.
//   - Repeated headers arrive as one value joined by commas: that is all the
//     event has. Cookies arrive in one Cookie header.
//   - Every method may have a body, GET included.
//   - The context ends when the invocation does.
//
// Responses are buffered. One that would pass Lambda's 6 MB is compressed if
// the client takes gzip, and refused with a 500 if that is not enough: cutting
// an answer sensibly is for those who know what is in it.
package lambdahttp

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/textproto"
	"net/url"
	"strconv"
	"strings"
)

// event is what the two kinds of events have in common and we use.
type event struct {
	Version        string            `json:"version"`
	RawPath        string            `json:"rawPath"`
	RawQueryString string            `json:"rawQueryString"`
	Cookies        []string          `json:"cookies"`
	Headers        map[string]string `json:"headers"`
	Body           string            `json:"body"`
	IsBase64       bool              `json:"isBase64Encoded"`
	Context        struct {
		Stage      string `json:"stage"`
		RequestID  string `json:"requestId"`
		DomainName string `json:"domainName"`
		HTTP       struct {
			Method   string `json:"method"`
			Protocol string `json:"protocol"`
			SourceIP string `json:"sourceIp"`
		} `json:"http"`
	} `json:"requestContext"`
}

// Source is where a request came from.
type Source int

// The sources.
const (
	Gateway     Source = iota // an API Gateway HTTP API: gives up after 30 s
	FunctionURL               // the function's own URL: as patient as the function
)

// defaultStage is the stage that is not part of the path.
const defaultStage = "$default"

// Request decodes an event into a request as package net/http would have made
// it. An error means that the payload is not an HTTP event of format 2.0; nothing that a client can send causes it.
func Request(ctx context.Context, payload []byte) (*http.Request, Source, error) {
	var e event
	if err := json.Unmarshal(payload, &e); err != nil {
		return nil, 0, fmt.Errorf("not an HTTP event: %w", err)
	}
	if e.Version != "2.0" || e.Context.HTTP.Method == "" {
		return nil, 0, fmt.Errorf("not an HTTP event of payload format 2.0 (version %q)", e.Version)
	}
	body := []byte(e.Body)
	if e.IsBase64 {
		b, err := base64.StdEncoding.DecodeString(e.Body)
		if err != nil {
			return nil, 0, fmt.Errorf("the event's body is not base64: %w", err)
		}
		body = b
	}
	u := &url.URL{RawQuery: cleanQuery(e.RawQueryString)}
	u.Path, u.RawPath = splitPath(stripStage(e.RawPath, e.Context.Stage))

	proto := "HTTP/1.1"
	major, minor, ok := http.ParseHTTPVersion(e.Context.HTTP.Protocol)
	if ok {
		proto = e.Context.HTTP.Protocol
	} else {
		major, minor = 1, 1
	}
	r := &http.Request{
		Method: e.Context.HTTP.Method, URL: u, RequestURI: u.RequestURI(),
		Proto: proto, ProtoMajor: major, ProtoMinor: minor,
		Header:     header(e),
		Host:       host(e),
		RemoteAddr: net.JoinHostPort(e.Context.HTTP.SourceIP, "0"),
		Body:       http.NoBody,
	}
	if len(body) > 0 {
		r.Body = io.NopCloser(strings.NewReader(string(body)))
		r.ContentLength = int64(len(body))
		r.Header.Set("Content-Length", strconv.Itoa(len(body)))
	}
	source := Gateway
	if strings.Contains(e.Context.DomainName, ".lambda-url.") {
		source = FunctionURL
	}
	return r.WithContext(ctx), source, nil
}

// header rebuilds the request's header. Host and Transfer-Encoding are not
// part of it, as in package net/http.
func header(e event) http.Header {
	h := make(http.Header, len(e.Headers)+2)
	for k, v := range e.Headers {
		switch k = textproto.CanonicalMIMEHeaderKey(k); k {
		case "Host", "Transfer-Encoding", "Content-Length":
		case "Cookie":
			e.Cookies = append([]string{v}, e.Cookies...)
		default:
			// Two spellings of one name are two values.
			h[k] = append(h[k], v)
		}
	}
	if len(e.Cookies) > 0 {
		h.Set("Cookie", strings.Join(e.Cookies, "; "))
	}
	if h.Get("X-Request-Id") == "" && e.Context.RequestID != "" {
		h.Set("X-Request-Id", e.Context.RequestID)
	}
	return h
}

func host(e event) string {
	for k, v := range e.Headers {
		if strings.EqualFold(k, "host") {
			return v
		}
	}
	return e.Context.DomainName
}

// stripStage takes a named stage off the path.
func stripStage(path, stage string) string {
	if stage == "" || stage == defaultStage {
		return path
	}
	rest, ok := strings.CutPrefix(path, "/"+stage)
	if !ok || rest != "" && rest[0] != '/' {
		return path
	}
	if rest == "" {
		return "/"
	}
	return rest
}

// splitPath returns the decoded path and the encoding to keep of it. An HTTP
// API decodes everything but %25, a Function URL nothing; decoding once is
// right for both. A stray percent sign stands for itself.
func splitPath(raw string) (path, rawPath string) {
	if !strings.HasPrefix(raw, "/") {
		raw = "/" + raw
	}
	path, err := url.PathUnescape(raw)
	if err != nil {
		return raw, ""
	}
	// EscapedPath ignores a RawPath that is no encoding of Path.
	if (&url.URL{Path: path, RawPath: raw}).EscapedPath() == raw && raw != (&url.URL{Path: path}).EscapedPath() {
		return path, raw
	}
	return path, ""
}

// cleanQuery encodes what may not stand in a query: Function URLs deliver a
// "+" as a space.
func cleanQuery(raw string) string {
	clean := func(c byte) bool { return c > 0x20 && c < 0x7f && c != '#' }
	n := 0
	for i := 0; i < len(raw); i++ {
		if !clean(raw[i]) {
			n++
		}
	}
	if n == 0 {
		return raw
	}
	const hex = "0123456789ABCDEF"
	b := make([]byte, 0, len(raw)+2*n)
	for i := 0; i < len(raw); i++ {
		switch c := raw[i]; {
		case clean(c):
			b = append(b, c)
		case c == ' ':
			b = append(b, '+')
		default:
			b = append(b, '%', hex[c>>4], hex[c&15])
		}
	}
	return string(b)
}
