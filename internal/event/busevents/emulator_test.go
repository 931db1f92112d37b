package busevents_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge/types"
	"github.com/google/go-cmp/cmp"

	"drover/internal/awstest"
	"drover/internal/event"
	"drover/internal/event/busevents"
	"drover/internal/job"
)

// TestPublish_ReachesARule publishes to a bus whose rule matches on the parts
// that this package promises, and reads what the rule's queue got.
func TestPublish_ReachesARule(t *testing.T) {
	awstest.Each(t, func(t *testing.T, cfg aws.Config) {
		client, name := eventbridge.NewFromConfig(cfg), awstest.Name()
		made, err := client.CreateEventBus(t.Context(), &eventbridge.CreateEventBusInput{Name: &name})
		if err != nil {
			t.Fatal(err)
		}
		q := newQueue(t, cfg, name)
		if _, err := client.PutRule(t.Context(), &eventbridge.PutRuleInput{
			Name: &name, EventBusName: &name,
			EventPattern: aws.String(`{"source":["drover"],"detail-type":["run.ended"],"detail":{"status":["failed"],"counts":{"failed":[2]}}}`),
		}); err != nil {
			t.Fatal(err)
		}
		if _, err := client.PutTargets(t.Context(), &eventbridge.PutTargetsInput{
			Rule: &name, EventBusName: &name, Targets: []types.Target{{Id: aws.String("queue"), Arn: &q.arn}},
		}); err != nil {
			t.Fatal(err)
		}

		at := time.Date(2026, 11, 21, 12, 30, 0, 0, time.UTC)
		want := event.Event{ID: "e2", Kind: event.RunEnded, Time: at, Tenant: "t", Run: "01RUN", Service: "s",
			Status: job.Failed, Reason: "why", Counts: &job.Counts{Failed: 2}}
		for bus, e := range map[string]event.Event{
			aws.ToString(made.EventBusArn): want, // by ARN
			name:                           {ID: "e1", Kind: event.HostKeyChanged, Time: at, Tenant: "t", Device: "d"},
		} {
			s, err := busevents.New(busevents.Config{Client: client, Bus: bus})
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Publish(t.Context(), e); err != nil {
				t.Fatal(err)
			}
		}
		var got struct {
			Source     string      `json:"source"`
			DetailType string      `json:"detail-type"`
			Detail     event.Event `json:"detail"`
		}
		if err := json.Unmarshal(q.receive(t), &got); err != nil {
			t.Fatal(err)
		}
		if got.Source != busevents.Source || got.DetailType != event.RunEnded {
			t.Errorf("source %q, detail type %q", got.Source, got.DetailType)
		}
		if diff := cmp.Diff(want, got.Detail); diff != "" {
			t.Errorf("the event changed on its way:\n%s", diff)
		}
	})
}

// queue is a queue of SQS. Its client is not worth a dependency.
type queue struct {
	cfg      aws.Config
	url, arn string
}

func newQueue(t *testing.T, cfg aws.Config, name string) *queue {
	t.Helper()
	q := &queue{cfg: cfg, arn: "arn:aws:sqs:us-east-1:000000000000:" + name}
	var out struct{ QueueUrl string }
	q.call(t, "CreateQueue", map[string]any{"QueueName": name}, &out)
	q.url = out.QueueUrl
	return q
}

// receive waits for one message.
func (q *queue) receive(t *testing.T) []byte {
	t.Helper()
	for range 10 {
		var out struct{ Messages []struct{ Body string } }
		q.call(t, "ReceiveMessage", map[string]any{"QueueUrl": q.url, "WaitTimeSeconds": 2}, &out)
		if len(out.Messages) > 0 {
			return []byte(out.Messages[0].Body)
		}
	}
	t.Fatal("nothing reached the queue")
	return nil
}

func (q *queue) call(t *testing.T, action string, in, out any) {
	t.Helper()
	if err := q.post(t.Context(), action, in, out); err != nil {
		t.Fatalf("%s: %v", action, err)
	}
}

func (q *queue) post(ctx context.Context, action string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, aws.ToString(q.cfg.BaseEndpoint)+"/", bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/x-amz-json-1.0")
	req.Header.Set("X-Amz-Target", "AmazonSQS."+action)
	keys, err := q.cfg.Credentials.Retrieve(ctx)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(body)
	if err := v4.NewSigner().SignHTTP(ctx, keys, req, hex.EncodeToString(sum[:]), "sqs", q.cfg.Region, time.Now()); err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	answer, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", resp.Status, strings.TrimSpace(string(answer)))
	}
	return json.Unmarshal(answer, out)
}
