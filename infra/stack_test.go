package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/jsii-runtime-go"
	"github.com/google/go-cmp/cmp"

	"drover/internal/api"
	"drover/internal/store/dynamostore"
	"drover/statemachines"
)

var update = flag.Bool("update", false, "write the snapshot of the template anew")

// object is a piece of JSON.
type object = map[string]any

// synth returns the template for a context, with empty functions. It needs Node,
// which CDK runs in.
func synth(t *testing.T, context map[string]any) object {
	t.Helper()
	if _, err := exec.LookPath("node"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("CDK needs Node (20 or newer) and there is none")
		}
		t.Skip("CDK needs Node (20 or newer) and there is none")
	}
	dir := t.TempDir()
	for _, f := range functions() {
		path := bootstrap(dir, f.name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(f.name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION", "20")
	out := filepath.Join(dir, "cdk.out")
	app := awscdk.NewApp(&awscdk.AppProps{AnalyticsReporting: jsii.Bool(false), Outdir: &out, Context: &context})
	newStack(app, "Drover", dir)
	app.Synth(nil)
	b, err := os.ReadFile(filepath.Join(out, "Drover.template.json"))
	if err != nil {
		t.Fatal(err)
	}
	var template object
	if err := json.Unmarshal(b, &template); err != nil {
		t.Fatal(err)
	}
	return template
}

var (
	once   sync.Once
	shared object
)

func template(t *testing.T) object {
	t.Helper()
	once.Do(func() { shared = synth(t, map[string]any{"arch": "arm64"}) })
	if shared == nil {
		t.Skip("there is no template")
	}
	return shared
}

// all returns the properties of the resources of a type, by logical id.
func all(template object, kind string) map[string]object {
	found := map[string]object{}
	for id, r := range template["Resources"].(object) {
		if r.(object)["Type"] == kind {
			found[id], _ = r.(object)["Properties"].(object)
		}
	}
	return found
}

// one returns the only resource of a type whose id starts with prefix.
func one(t *testing.T, template object, kind, prefix string) (string, object) {
	t.Helper()
	var ids []string
	found := all(template, kind)
	for id := range found {
		if strings.HasPrefix(id, prefix) {
			ids = append(ids, id)
		}
	}
	if len(ids) != 1 {
		t.Fatalf("%s %s*: found %q", kind, prefix, ids)
	}
	return ids[0], found[ids[0]]
}

func toJSON(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

var assetHash = regexp.MustCompile(`[0-9a-f]{64}`)

// TestSnapshot shows a change of the infrastructure in review. Hashes of the
// functions' code are taken out, and so is the state machine's definition: it
// has a file and tests of its own.
func TestSnapshot(t *testing.T) {
	b, err := json.Marshal(template(t))
	if err != nil {
		t.Fatal(err)
	}
	var normal object
	if err := json.Unmarshal(assetHash.ReplaceAll(b, []byte("ASSET")), &normal); err != nil {
		t.Fatal(err)
	}
	for _, machine := range all(normal, "AWS::StepFunctions::StateMachine") {
		machine["DefinitionString"] = "statemachines/run.asl.json"
	}
	got, err := json.MarshalIndent(normal, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	got = append(got, '\n')
	const file = "testdata/template.json"
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(string(got), "\n")); diff != "" {
		t.Errorf("the template is not the committed one (go test ./infra -update, then look at the difference):\n%s", diff)
	}
}

// TestArchitecture says that building for another architecture changes nothing
// else.
func TestArchitecture(t *testing.T) {
	arm, x86 := template(t), synth(t, map[string]any{"arch": "x86_64"})
	if got := toJSON(t, x86); strings.Contains(got, "arm64") || !strings.Contains(got, `"Architectures":["x86_64"]`) {
		t.Error("the template for x86_64 does not say so everywhere")
	}
	if diff := cmp.Diff(toJSON(t, arm), strings.ReplaceAll(toJSON(t, x86), `"x86_64"`, `"arm64"`)); diff != "" {
		t.Error(diff)
	}
}

// TestPolicies compares every role with the function table, and refuses what
// no policy may have.
func TestPolicies(t *testing.T) {
	template := template(t)
	roles := all(template, "AWS::IAM::Role")
	if len(roles) != len(functions())+2 {
		t.Errorf("%d roles for %d functions, the state machine and the scheduler", len(roles), len(functions()))
	}
	for kind := range map[string]bool{"AWS::IAM::Policy": true, "AWS::IAM::ManagedPolicy": true} {
		if extra := all(template, kind); len(extra) > 0 {
			t.Errorf("rights that no table lists: %v", toJSON(t, extra))
		}
	}
	for id, role := range roles {
		if role["ManagedPolicyArns"] != nil {
			t.Errorf("%s has managed policies", id)
		}
		for _, s := range statements(t, role) {
			for _, a := range list(s["Action"]) {
				if strings.Contains(a.(string), "*") {
					t.Errorf("%s: action %v", id, a)
				}
			}
			// Neither log delivery nor traces have resources.
			if sid := s["Sid"]; toJSON(t, s["Resource"]) == `"*"` && !(strings.HasPrefix(id, "RunRole") && (sid == "WriteLog" || sid == "Trace")) {
				t.Errorf("%s %v: every resource", id, sid)
			}
			if pass := slices.Contains(list(s["Action"]), any("iam:PassRole")); pass &&
				toJSON(t, s["Condition"]) != `{"StringEquals":{"iam:PassedToService":"scheduler.amazonaws.com"}}` || !pass && s["Condition"] != nil {
				t.Errorf("%s %v: condition %v", id, s["Sid"], toJSON(t, s["Condition"]))
			}
			if s["Effect"] != "Allow" || s["NotAction"] != nil || s["NotResource"] != nil {
				t.Errorf("%s: %v", id, toJSON(t, s))
			}
		}
	}
	for _, f := range functions() {
		_, role := one(t, template, "AWS::IAM::Role", f.id()+"Role")
		got := map[string]string{}
		for _, s := range statements(t, role) {
			got[s["Sid"].(string)] = toJSON(t, list(s["Action"])) + " on " + toJSON(t, s["Resource"])
		}
		if len(got) != len(f.rights)+1 {
			t.Errorf("%s: statements %v", f.name, got)
		}
		for _, r := range f.rights {
			want := toJSON(t, r.actions) + " on " + arnOf(t, template, r.resource)
			if got[r.sid] != want {
				t.Errorf("%s %s:\n got %s\nwant %s", f.name, r.sid, got[r.sid], want)
			}
		}
	}
}

// TestPoliciesWrittenOut compares every role's statements with the committed
// list, which is there to be read.
func TestPoliciesWrittenOut(t *testing.T) {
	template := template(t)
	var names []string
	roles := all(template, "AWS::IAM::Role")
	for id := range roles {
		names = append(names, id)
	}
	slices.Sort(names)
	var b strings.Builder
	for _, id := range names {
		fmt.Fprintf(&b, "%s, for %s\n", assetSuffix.ReplaceAllString(id, ""), roles[id]["AssumeRolePolicyDocument"].(object)["Statement"].([]any)[0].(object)["Principal"].(object)["Service"])
		for _, s := range statements(t, roles[id]) {
			fmt.Fprintf(&b, "  %v\n", s["Sid"])
			for _, a := range list(s["Action"]) {
				fmt.Fprintf(&b, "    %v\n", a)
			}
			for _, r := range list(s["Resource"]) {
				fmt.Fprintf(&b, "    on %s\n", assetSuffix.ReplaceAllString(plainARN(r), ""))
			}
		}
	}
	const file = "testdata/policies.txt"
	if *update {
		if err := os.WriteFile(file, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(b.String(), "\n")); diff != "" {
		t.Errorf("the policies are not the committed ones (go test ./infra -update, then look at the difference):\n%s", diff)
	}
}

// assetSuffix is what CDK adds to the names that a person gave.
var assetSuffix = regexp.MustCompile(`[0-9A-F]{8}\b`)

// plainARN writes an ARN of the template for people.
func plainARN(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case []any:
		var b strings.Builder
		for _, part := range v {
			b.WriteString(plainARN(part))
		}
		return b.String()
	case object:
		if ref, ok := v["Ref"]; ok {
			return "<" + strings.TrimPrefix(ref.(string), "AWS::") + ">"
		}
		if get, ok := v["Fn::GetAtt"].([]any); ok {
			return "<" + get[0].(string) + ">"
		}
		return plainARN(v["Fn::Join"].([]any)[1])
	}
	return ""
}

func statements(t *testing.T, role object) (all []object) {
	t.Helper()
	policies := role["Policies"].([]any)
	if len(policies) != 1 {
		t.Fatalf("%d policies", len(policies))
	}
	for _, s := range policies[0].(object)["PolicyDocument"].(object)["Statement"].([]any) {
		all = append(all, s.(object))
	}
	return all
}

func list(v any) []any {
	if l, ok := v.([]any); ok {
		return l
	}
	return []any{v}
}

// arnOf says what a resource's ARN looks like in the template.
func arnOf(t *testing.T, template object, r resource) string {
	t.Helper()
	get := func(kind string) object {
		id, _ := one(t, template, kind, "")
		return object{"Fn::GetAtt": []any{id, "Arn"}}
	}
	states := func(kind, after string) object {
		return object{"Fn::Join": []any{"", []any{"arn:", object{"Ref": "AWS::Partition"}, ":states:", object{"Ref": "AWS::Region"}, ":",
			object{"Ref": "AWS::AccountId"}, ":" + kind + ":", object{"Ref": "AWS::StackName"}, after}}}
	}
	switch r {
	case theTable:
		return toJSON(t, get("AWS::DynamoDB::Table"))
	case theBucket:
		return toJSON(t, get("AWS::S3::Bucket"))
	case theObjects:
		return toJSON(t, object{"Fn::Join": []any{"", []any{get("AWS::S3::Bucket"), "/*"}}})
	case theKey:
		return toJSON(t, get("AWS::KMS::Key"))
	case theMachine:
		return toJSON(t, states("stateMachine", "-run"))
	case theExecutions:
		return toJSON(t, states("execution", "-run:*"))
	case theBus:
		return toJSON(t, get("AWS::Events::EventBus"))
	case theDeadLetters:
		return toJSON(t, get("AWS::SQS::Queue"))
	case theSchedules:
		return toJSON(t, object{"Fn::Join": []any{"", []any{"arn:", object{"Ref": "AWS::Partition"}, ":scheduler:", object{"Ref": "AWS::Region"}, ":",
			object{"Ref": "AWS::AccountId"}, ":schedule/", object{"Ref": "AWS::StackName"}, "/*"}}})
	case theSchedulerRole:
		id, _ := one(t, template, "AWS::IAM::Role", "SchedulerRole")
		return toJSON(t, object{"Fn::GetAtt": []any{id, "Arn"}})
	}
	t.Fatalf("resource %d", r)
	return ""
}

func TestFunctions(t *testing.T) {
	template := template(t)
	if n := len(all(template, "AWS::Lambda::Function")); n != len(functions()) {
		t.Errorf("%d functions", n)
	}
	for _, f := range functions() {
		_, p := one(t, template, "AWS::Lambda::Function", f.id())
		if p["Runtime"] != "provided.al2023" || p["Handler"] != "bootstrap" || p["MemorySize"] != f.memory || p["Timeout"] != f.seconds ||
			p["LoggingConfig"] == nil {
			t.Errorf("%s: %v", f.name, toJSON(t, p))
		}
		if _, reserved := p["ReservedConcurrentExecutions"]; reserved != f.limited {
			t.Errorf("%s: reserved concurrency %v", f.name, reserved)
		}
		var got []string
		for name := range p["Environment"].(object)["Variables"].(object) {
			got = append(got, name)
		}
		slices.Sort(got)
		want := slices.Sorted(slices.Values(f.env))
		if !slices.Equal(got, want) {
			t.Errorf("%s: environment %v, want %v", f.name, got, want)
		}
	}
}

func TestStateMachine(t *testing.T) {
	template := template(t)
	_, p := one(t, template, "AWS::StepFunctions::StateMachine", "")
	if p["DefinitionString"] != statemachines.Run {
		t.Error("the definition that is deployed is not the file")
	}
	_, role := one(t, template, "AWS::IAM::Role", "RunRole")
	allowed := map[string]string{}
	for _, s := range statements(t, role) {
		allowed[s["Sid"].(string)] = toJSON(t, s["Resource"])
	}
	substitutions := p["DefinitionSubstitutions"].(object)
	if len(substitutions) != len(statemachines.Substitutions()) {
		t.Errorf("substitutions %v", substitutions)
	}
	for _, name := range statemachines.Substitutions() {
		arn := toJSON(t, substitutions[name])
		if arn == "null" || !strings.Contains(allowed["CallTasks"], arn) {
			t.Errorf("%s: %s is not among %s", name, arn, allowed["CallTasks"])
		}
	}
	if got, want := allowed["StartChildren"], arnOf(t, template, theMachine); got != want {
		t.Errorf("children are started as %s, not %s", got, want)
	}
	if got, want := allowed["FollowAndStopChildren"], arnOf(t, template, theExecutions); got != want {
		t.Errorf("children are stopped as %s, not %s", got, want)
	}
}

func TestRoutes(t *testing.T) {
	template := template(t)
	got := map[string]bool{}
	for _, r := range all(template, "AWS::ApiGatewayV2::Route") {
		got[r["RouteKey"].(string)] = true
		if r["AuthorizationType"] != "NONE" {
			t.Errorf("%v is authorised by the gateway", r["RouteKey"])
		}
	}
	if len(got) != len(api.Routes()) {
		t.Errorf("%d routes, the table has %d", len(got), len(api.Routes()))
	}
	for _, key := range []string{"POST /rest/run_service", "ANY /rest/{rest+}", "ANY /drover/v1/{rest+}", "GET /healthz"} {
		if !got[key] {
			t.Errorf("no route %s in %v", key, got)
		}
	}
	for _, i := range all(template, "AWS::ApiGatewayV2::Integration") {
		if i["PayloadFormatVersion"] != "2.0" {
			t.Errorf("payload format %v", i["PayloadFormatVersion"])
		}
	}
}

func TestData(t *testing.T) {
	template := template(t)
	_, table := one(t, template, "AWS::DynamoDB::Table", "")
	if table["BillingMode"] != "PAY_PER_REQUEST" || table["GlobalSecondaryIndexes"] != nil || table["LocalSecondaryIndexes"] != nil ||
		toJSON(t, table["TimeToLiveSpecification"]) != toJSON(t, object{"AttributeName": dynamostore.AttrExpires, "Enabled": true}) {
		t.Errorf("table: %v", toJSON(t, table))
	}
	// The table that the driver's tests run on has the same keys.
	spec := dynamostore.TableSpec("x")
	var keys, types []any
	for _, k := range spec.KeySchema {
		keys = append(keys, object{"AttributeName": *k.AttributeName, "KeyType": string(k.KeyType)})
	}
	for _, a := range spec.AttributeDefinitions {
		types = append(types, object{"AttributeName": *a.AttributeName, "AttributeType": string(a.AttributeType)})
	}
	if got, want := toJSON(t, table["KeySchema"]), toJSON(t, keys); got != want {
		t.Errorf("keys %s, the driver expects %s", got, want)
	}
	if got, want := toJSON(t, table["AttributeDefinitions"]), toJSON(t, types); got != want {
		t.Errorf("attributes %s, the driver expects %s", got, want)
	}
	if table["DeletionProtectionEnabled"] != true ||
		toJSON(t, table["PointInTimeRecoverySpecification"]) != `{"PointInTimeRecoveryEnabled":true}` {
		t.Errorf("the table is lost too easily: %v", toJSON(t, table))
	}
	bucketID, bucket := one(t, template, "AWS::S3::Bucket", "")
	if n := len(bucket["PublicAccessBlockConfiguration"].(object)); n != 4 {
		t.Errorf("%d of 4 ways to make the bucket public are blocked", n)
	}
	for _, v := range bucket["PublicAccessBlockConfiguration"].(object) {
		if v != true {
			t.Error("the bucket can be made public")
		}
	}
	if !strings.Contains(toJSON(t, bucket["BucketEncryption"]), `"SSEAlgorithm":"AES256"`) {
		t.Errorf("the bucket is encrypted by %v", toJSON(t, bucket["BucketEncryption"]))
	}
	wantRules := `[{"ExpirationInDays":{"Ref":"BlobKeepDays"},"Id":"expired-runs","Status":"Enabled"},` +
		`{"AbortIncompleteMultipartUpload":{"DaysAfterInitiation":1},"Id":"abandoned-uploads","Status":"Enabled"}]`
	if got := toJSON(t, bucket["LifecycleConfiguration"].(object)["Rules"]); got != wantRules {
		t.Errorf("lifecycle %s", got)
	}
	_, policy := one(t, template, "AWS::S3::BucketPolicy", "")
	if got := toJSON(t, policy); policy["Bucket"].(object)["Ref"] != bucketID ||
		!strings.Contains(got, `{"Action":"s3:*","Condition":{"Bool":{"aws:SecureTransport":"false"}},"Effect":"Deny","Principal":{"AWS":"*"}`) {
		t.Errorf("the bucket can be read without TLS: %s", got)
	}
	if _, key := one(t, template, "AWS::KMS::Key", ""); key["EnableKeyRotation"] != true {
		t.Error("the key is not rotated")
	}
	for _, kind := range []string{"AWS::DynamoDB::Table", "AWS::S3::Bucket", "AWS::KMS::Key"} {
		id, _ := one(t, template, kind, "")
		if r := template["Resources"].(object)[id].(object); r["DeletionPolicy"] != "Retain" || r["UpdateReplacePolicy"] != "Retain" {
			t.Errorf("%s goes with the stack", id)
		}
	}
}

func TestParametersAndOutputs(t *testing.T) {
	template := template(t)
	params := template["Parameters"].(object)
	if params["AdminPasswordHash"].(object)["NoEcho"] != true {
		t.Error("the password's hash is shown")
	}
	pattern := regexp.MustCompile("^(?:" + params["AdminPasswordHash"].(object)["AllowedPattern"].(string) + ")$")
	for value, ok := range map[string]bool{"": true, "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ$aGFzaGhhc2g": true, "secret": false, "$2y$10$x": false} {
		if pattern.MatchString(value) != ok {
			t.Errorf("%q: allowed %v", value, !ok)
		}
	}
	for _, name := range []string{"ApiUrl", "TableName", "BucketName", "StateMachineArn", "KeyArn", "EnmsUrl", "EventBusName", "DeadLettersUrl", "AlarmTopicArn"} {
		if template["Outputs"].(object)[name] == nil {
			t.Errorf("no output %s", name)
		}
	}
}
