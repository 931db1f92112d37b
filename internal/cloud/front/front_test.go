package front

import (
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"drover/internal/api"
	"drover/internal/cloud"
	"drover/internal/job"
)

// TestOpen_NamesWhatIsMissing: nothing is called before the configuration is
// complete, and the error names all that is not there.
func TestOpen_NamesWhatIsMissing(t *testing.T) {
	t.Setenv("DROVER_TABLE", "")
	t.Setenv("DROVER_KEEP", "")
	_, err := Open(t.Context(), "enms")
	const want = "missing in the environment: DROVER_TABLE, DROVER_KEEP, DROVER_STATE_MACHINE_ARN, " +
		"DROVER_SCHEDULE_GROUP, DROVER_TRIGGER_ARN, DROVER_SCHEDULER_ROLE_ARN, DROVER_DEAD_LETTERS_ARN, DROVER_BUCKET, DROVER_KMS_KEY_ID"
	if job.CodeOf(err) != job.Invalid || err.Error() != want {
		t.Errorf("got %v\nwant %s", err, want)
	}
}

// TestServe_HasTwoTempers: a request through the gateway ends before the gateway
// gives up; one through the function's own URL is as patient as the function.
func TestServe_HasTwoTempers(t *testing.T) {
	var left time.Duration
	answer := func(name string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			left = 0
			if end, ok := r.Context().Deadline(); ok {
				left = time.Until(end)
			}
			_, _ = w.Write([]byte(name))
		})
	}
	f := &Front{Clients: cloud.Clients{Log: slog.New(slog.DiscardHandler)}}
	h, err := f.Serve(api.FamilyConsole, answer("gateway"), answer("patient"))
	if err != nil {
		t.Fatal(err)
	}
	const request = `{"version":"2.0","rawPath":"/healthz","headers":{"host":"x"},"requestContext":{"domainName":"abc.%s.us-east-1.%s","domainPrefix":"abc","http":{"method":"GET","path":"/healthz","sourceIp":"192.0.2.1"}}}`
	for _, c := range []struct {
		host, suffix, want string
		limit              time.Duration
	}{
		{"execute-api", "amazonaws.com", "gateway", gatewayTimeout},
		{"lambda-url", "on.aws", "patient", 0},
	} {
		out, err := h.Invoke(t.Context(), fmt.Appendf(nil, request, c.host, c.suffix))
		if err != nil || !strings.Contains(string(out), c.want) {
			t.Errorf("%s: %s %v", c.host, out, err)
		}
		if left > c.limit || (left == 0) != (c.limit == 0) || SyncTimeout >= gatewayTimeout || gatewayTimeout >= 30*time.Second {
			t.Errorf("%s: %s are left, limit %s", c.host, left, c.limit)
		}
	}
}
