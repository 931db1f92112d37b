//go:build cloud

package policytest

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge/types"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"drover/internal/cloud/cloudtest"
	"drover/internal/secret"
)

type object = map[string]any

// world is the stack in an emulator.
type world struct {
	cfg            aws.Config
	endpoint, host string
	outputs        map[string]string
	functions      map[string]string // physical names by ours
	roles          map[string]string
	policies       map[string]object // documents as deployed
	queue          string            // gets all events of the bus
}

// TestPolicies proves the policies that DROVER_POLICIES names, or all, and
// writes the results. scripts/test-policies sets the variables.
func TestPolicies(t *testing.T) {
	chosen := strings.Fields(os.Getenv("DROVER_POLICIES"))
	w := deploy(t)
	known, now := cases(), today(t)
	proved, shown := map[string]proof{}, map[string]bool{}
	for _, n := range needs() {
		if len(chosen) > 0 && !slices.Contains(chosen, n.Policy) {
			continue
		}
		r := result{need: n}
		if n.Case != "" {
			c, ok := known[n.Case]
			if !ok {
				t.Fatalf("%s %s: no case is called %q", n.Policy, n.Statement, n.Case)
			}
			if !shown[n.Case] {
				if err := w.play(c, need{}); err != nil {
					t.Fatalf("%s fails with all rights: %v", n.Case, err)
				}
				shown[n.Case] = true
			}
			began := time.Now()
			if err := w.play(c, n); err != nil {
				r.Without = wording(err)
			} else {
				t.Errorf("%s does not fail without %s %s", n.Case, n.Policy, n.Statement)
			}
			t.Logf("%s without %s %s: %s (%s)", n.Case, n.Policy, n.Statement, cmp.Or(r.Without, "NOTHING"), time.Since(began).Round(time.Millisecond))
		}
		proved[n.Policy] = proof{now.hash(n.Policy), append(proved[n.Policy].Rows, r)}
	}
	if t.Failed() {
		return
	}
	all := map[string]proof{}
	if _, err := os.Stat(results); err == nil && len(chosen) > 0 {
		all = committed(t)
	}
	maps.Copy(all, proved)
	b, err := json.MarshalIndent(all, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(results, append(b, '\n'), 0o644); err != nil {
		t.Fatal(err)
	}
}

var changing = regexp.MustCompile(`[0-9A-Z]{26}|\d{4}-\d\d-\d\d(T|%20)[0-9:.]+Z?|drover-bucket[0-9a-f-]+|Drover-Table[0-9A-F-]+|policy-\d+`)

// wording is an error without what differs from one time to the next.
func wording(err error) string {
	s := changing.ReplaceAllString(err.Error(), "…")
	return strings.ToValidUTF8(s[:min(len(s), 200)], "")
}

// play runs a case without the rights that it takes away itself and without
// those of a statement. All are back when it returns.
func (w *world) play(c testCase, n need) (err error) {
	without := map[string][]string{}
	for _, d := range c.without {
		without[d[0]] = append(without[d[0]], d[1])
	}
	if n.Policy != "" {
		without[n.Policy] = append(without[n.Policy], n.Statement)
	}
	ctx, stop := context.WithTimeout(context.Background(), 3*time.Minute)
	defer stop()
	for policy, statements := range without {
		if err := w.allow(ctx, policy, statements); err != nil {
			return fmt.Errorf("PROOF BROKEN: %w", err)
		}
	}
	err = c.run(ctx, w)
	for policy := range without {
		if e := w.allow(ctx, policy, nil); e != nil {
			panic(e) // every further row would be wrong
		}
	}
	if n.Policy == "" {
		return err
	}
	if err != nil && strings.HasPrefix(err.Error(), "PROOF BROKEN") {
		panic(err)
	}
	return err
}

// allow sets a function's policy to what was deployed but for some statements,
// and makes its next call start a new process.
func (w *world) allow(ctx context.Context, policy string, without []string) error {
	var kept []any
	for _, s := range w.policies[policy]["Statement"].([]any) {
		if sid, _ := s.(object)["Sid"].(string); !slices.Contains(without, sid) {
			kept = append(kept, s)
		}
	}
	if want := len(w.policies[policy]["Statement"].([]any)) - len(without); len(kept) != want {
		return fmt.Errorf("%s has no statements %v", policy, without)
	}
	b, err := json.Marshal(object{"Version": "2012-10-17", "Statement": kept})
	if err != nil {
		return err
	}
	if _, err := w.query(ctx, "iam", "2010-05-08", url.Values{"Action": {"PutRolePolicy"}, "RoleName": {w.roles[policy]}, "PolicyName": {policy}, "PolicyDocument": {string(b)}}); err != nil {
		return err
	}
	client, name := lambda.NewFromConfig(w.cfg), w.functions[policy]
	f, err := client.GetFunctionConfiguration(ctx, &lambda.GetFunctionConfigurationInput{FunctionName: &name})
	if err != nil {
		return err
	}
	_, err = client.UpdateFunctionConfiguration(ctx, &lambda.UpdateFunctionConfigurationInput{FunctionName: &name, MemorySize: f.MemorySize})
	return err
}

// query calls a service whose client is not worth a dependency.
func (w *world) query(ctx context.Context, service, version string, form url.Values) ([]byte, error) {
	return cloudtest.Query(ctx, w.cfg, service, version, form)
}

// call asks the API.
func (w *world) call(ctx context.Context, method, path string, body, into any) error {
	sent, err := json.Marshal(body)
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, method, w.endpoint+path, bytes.NewReader(sent))
	if err != nil {
		return err
	}
	r.Host = w.host
	r.Header.Set("Content-Type", "application/json")
	r.SetBasicAuth("admin", "policy-admin-password")
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	got, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if err != nil {
		return err
	}
	if resp.StatusCode >= 300 {
		return fmt.Errorf("%s %s: %d %s", method, path, resp.StatusCode, bytes.TrimSpace(got))
	}
	if into == nil {
		return nil
	}
	return json.Unmarshal(got, into)
}

func deploy(t *testing.T) *world {
	t.Helper()
	endpoint, assembly := os.Getenv("DROVER_EMULATOR"), os.Getenv("DROVER_ASSEMBLY")
	if endpoint == "" || assembly == "" {
		t.Fatal("DROVER_EMULATOR and DROVER_ASSEMBLY are not set: run make test-policies")
	}
	synthesised, err := os.ReadFile(assembly + "/Drover.template.json")
	if err != nil {
		t.Fatal(err)
	}
	deployed, err := readPolicies(synthesised)
	if err != nil {
		t.Fatal(err)
	}
	for policy := range today(t) {
		if deployed.hash(policy) != today(t).hash(policy) {
			t.Fatalf("the policy %s of %s is not that of the snapshot %s (make golden)", policy, assembly, template)
		}
	}
	hash, err := secret.HashPassword("policy-admin-password")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithTimeout(t.Context(), 2*time.Minute)
	defer stop()
	d, err := cloudtest.Deploy(ctx, endpoint, assembly, "Drover", map[string]string{"AdminPasswordHash": hash})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{cfg: cloudtest.Config(endpoint), endpoint: endpoint, outputs: d.Outputs,
		functions: map[string]string{}, roles: map[string]string{}, policies: map[string]object{}}
	api, err1 := url.Parse(d.Outputs["ApiUrl"])
	emulator, err2 := url.Parse(endpoint)
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	id, _, _ := strings.Cut(api.Hostname(), ".")
	w.host = id + ".execute-api.localhost:" + emulator.Port()

	resources, err := cloudformation.NewFromConfig(w.cfg).DescribeStackResources(ctx, &cloudformation.DescribeStackResourcesInput{StackName: aws.String("Drover")})
	if err != nil {
		t.Fatal(err)
	}
	events := eventbridge.NewFromConfig(w.cfg)
	logical := regexp.MustCompile(`^([A-Z][a-z]+)(Role)?[0-9A-F]{8}$`)
	for _, r := range resources.StackResources {
		physical := aws.ToString(r.PhysicalResourceId)
		name := ""
		if m := logical.FindStringSubmatch(aws.ToString(r.LogicalResourceId)); m != nil {
			name = strings.ToLower(m[1])
		}
		switch aws.ToString(r.ResourceType) {
		case "AWS::Lambda::Function":
			w.functions[name] = physical
		case "AWS::IAM::Role":
			w.roles[name] = physical
		case "AWS::Events::Rule": // the sweeper is called by the cases that need it
			if strings.HasPrefix(aws.ToString(r.LogicalResourceId), "EveryMinute") {
				if _, err := events.DisableRule(ctx, &eventbridge.DisableRuleInput{Name: aws.String(physical[strings.LastIndex(physical, "/")+1:])}); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	if err := d.GroupAsEmulated(ctx, endpoint); err != nil {
		t.Fatal(err)
	}
	for f := range w.functions {
		w.policies[f] = w.deployed(t, f)
	}
	// The bucket refuses what does not come by TLS, and the emulator has none.
	objects := s3.NewFromConfig(w.cfg, func(o *s3.Options) { o.UsePathStyle = true })
	if _, err := objects.DeleteBucketPolicy(ctx, &s3.DeleteBucketPolicyInput{Bucket: aws.String(d.Outputs["BucketName"])}); err != nil {
		t.Fatal(err)
	}

	var queue struct{ QueueUrl string }
	b, err := w.query(ctx, "sqs", "2012-11-05", url.Values{"Action": {"CreateQueue"}, "QueueName": {"policytest"}})
	if err != nil {
		t.Fatal(err)
	}
	if m := regexp.MustCompile(`<QueueUrl>([^<]+)`).FindSubmatch(b); m != nil {
		queue.QueueUrl = string(m[1])
	}
	w.queue = queue.QueueUrl
	bus := aws.String(d.Outputs["EventBusName"])
	if _, err := events.PutRule(ctx, &eventbridge.PutRuleInput{Name: aws.String("policytest"), EventBusName: bus, EventPattern: aws.String(`{"source":["drover"]}`)}); err != nil {
		t.Fatal(err)
	}
	if _, err := events.PutTargets(ctx, &eventbridge.PutTargetsInput{Rule: aws.String("policytest"), EventBusName: bus,
		Targets: []types.Target{{Id: aws.String("queue"), Arn: aws.String("arn:aws:sqs:us-east-1:000000000000:policytest")}}}); err != nil {
		t.Fatal(err)
	}
	return w
}

// deployed reads a function's policy back.
func (w *world) deployed(t *testing.T, f string) object {
	t.Helper()
	b, err := w.query(t.Context(), "iam", "2010-05-08", url.Values{"Action": {"GetRolePolicy"}, "RoleName": {w.roles[f]}, "PolicyName": {f}})
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`(?s)<PolicyDocument>(.*)</PolicyDocument>`).FindSubmatch(b)
	if m == nil {
		t.Fatalf("no policy of %s in %s", f, b)
	}
	text, err := url.PathUnescape(string(m[1]))
	if err != nil {
		t.Fatal(err)
	}
	var doc object
	if err := json.Unmarshal([]byte(text), &doc); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return doc
}
