package bus

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"drover/internal/cloud"
	"drover/internal/event"
)

// TestSink: an event goes to the log always, and to the bus when one is named.
func TestSink(t *testing.T) {
	var told []string
	bus := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var in struct {
			Entries []struct{ EventBusName, DetailType string }
		}
		b, _ := io.ReadAll(r.Body)
		if err := json.Unmarshal(b, &in); err != nil || len(in.Entries) != 1 {
			t.Errorf("%s: %v", b, err)
		}
		for _, e := range in.Entries {
			told = append(told, e.EventBusName+" "+e.DetailType)
		}
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		_, _ = io.WriteString(w, `{"FailedEntryCount":0,"Entries":[{"EventId":"1"}]}`)
	}))
	defer bus.Close()
	var log bytes.Buffer
	clients := cloud.Clients{Log: slog.New(slog.NewTextHandler(&log, nil)), AWS: aws.Config{Region: "us-east-1", BaseEndpoint: &bus.URL,
		Credentials: credentials.NewStaticCredentialsProvider("x", "x", "")}}
	for _, name := range []string{"", "drover"} {
		sink, err := Events{Bus: name}.Sink(clients)
		if err != nil {
			t.Fatal(err)
		}
		if err := sink.Publish(t.Context(), event.Event{ID: "e1", Kind: event.RunEnded, Tenant: "default", Run: "r1"}); err != nil {
			t.Error(err)
		}
	}
	if len(told) != 1 || told[0] != "drover "+event.RunEnded {
		t.Errorf("told %q", told)
	}
	if n := strings.Count(log.String(), "run=r1"); n != 2 {
		t.Errorf("%d lines in the log:\n%s", n, log.String())
	}
}
