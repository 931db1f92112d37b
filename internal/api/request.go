package api

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"

	"drover/internal/job"
)

// request is what the edge knows of a request while it is served. The handler
// fills in who the caller is, for the access log.
type request struct {
	id      string
	address string
	tenant  string
	user    string
}

type requestKey struct{}

func requestOf(ctx context.Context) *request {
	if q, ok := ctx.Value(requestKey{}).(*request); ok {
		return q
	}
	return &request{}
}

// RequestID returns the id of the request that ctx belongs to, "" outside of
// Edge.Wrap.
func RequestID(ctx context.Context) string { return requestOf(ctx).id }

// Address returns the caller's network address without a port, "" outside of
// Edge.Wrap.
func Address(ctx context.Context) string { return requestOf(ctx).address }

// SetPrincipal records who the caller is, for the access log.
func SetPrincipal(ctx context.Context, p job.Principal) {
	q := requestOf(ctx)
	q.tenant, q.user = p.Tenant, p.Name
}

// requestIDHeader carries the request id, in and out.
const requestIDHeader = "X-Request-Id"

// newRequest takes the id that the caller or a proxy chose when it is a plain
// short word, and else makes one.
func newRequest(r *http.Request, trustForwarded bool) *request {
	id := r.Header.Get(requestIDHeader)
	if !plainWord(id) {
		var b [12]byte
		_, _ = rand.Read(b[:])
		id = hex.EncodeToString(b[:])
	}
	return &request{id: id, address: address(r, trustForwarded)}
}

func plainWord(s string) bool {
	if s == "" || len(s) > 64 {
		return false
	}
	for _, c := range []byte(s) {
		ok := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_' || c == '.'
		if !ok {
			return false
		}
	}
	return true
}

// address is the peer's, or with trustForwarded the last one of
// X-Forwarded-For: the one that the nearest proxy added, the only one that a
// caller cannot choose.
func address(r *http.Request, trustForwarded bool) string {
	if trustForwarded {
		if h := r.Header.Values("X-Forwarded-For"); len(h) > 0 {
			all := strings.Split(h[len(h)-1], ",")
			if a, err := netip.ParseAddr(strings.TrimSpace(all[len(all)-1])); err == nil {
				return a.String()
			}
		}
	}
	if host, _, err := net.SplitHostPort(r.RemoteAddr); err == nil {
		return host
	}
	return r.RemoteAddr
}

// maxIdempotencyKey is the longest Idempotency-Key.
const maxIdempotencyKey = 255

// IdempotencyKey returns the Idempotency-Key of a request, "" when it has
// none. A key is 1 to 255 printable ASCII characters, given once; anything else is
// Invalid: a key that is silently dropped would break the caller's promise.
func IdempotencyKey(r *http.Request) (string, error) {
	const field = "Idempotency-Key"
	keys := r.Header.Values(field)
	switch {
	case len(keys) == 0:
		return "", nil
	case len(keys) > 1:
		return "", job.FieldErrorf(field, "given more than once")
	}
	key := keys[0]
	if key == "" || len(key) > maxIdempotencyKey {
		return "", job.FieldErrorf(field, "want 1 to %d characters", maxIdempotencyKey)
	}
	for _, c := range []byte(key) {
		if c < ' ' || c > '~' {
			return "", job.FieldErrorf(field, "want printable ASCII characters only")
		}
	}
	return key, nil
}

// ReadBody returns the whole body of a request: TooLarge over MaxBody, Invalid
// when it breaks off.
func ReadBody(r *http.Request) ([]byte, error) {
	if r.Body == nil {
		return nil, nil
	}
	if r.ContentLength > MaxBody {
		return nil, errBodyTooLarge()
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, MaxBody+1))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge), len(body) > MaxBody:
		return nil, errBodyTooLarge()
	case err != nil:
		return nil, job.Wrap(job.Invalid, err, "the body cannot be read")
	}
	return body, nil
}

func errBodyTooLarge() error {
	return job.Errorf(job.TooLarge, "The body is larger than %d MiB.", MaxBody>>20)
}
