package sfnworkflow_test

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	cfntypes "github.com/aws/aws-sdk-go-v2/service/cloudformation/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	sfntypes "github.com/aws/aws-sdk-go-v2/service/sfn/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"drover/internal/job"
	"drover/internal/task"
	"drover/internal/workflow"
	"drover/internal/workflow/sfnworkflow"
	"drover/internal/workflow/workflowtest"
	"drover/statemachines"
)

// TestMinistack runs the suite with the state machine as it is deployed, real
// Lambda binaries and enforced IAM. Its waits and retry intervals are 1,000
// times shorter.
func TestMinistack(t *testing.T) {
	root := config(startEmulator(t, "ministack", "SFN_WAIT_SCALE=0.001"), "test", "test")
	upload(t, root)
	t.Run("conformance", func(t *testing.T) { conformance(t, root) })
	t.Run("IAM is enforced", func(t *testing.T) { enforced(t, root) })
}

// enforced shows that the emulator is a judge of callers' rights: one that may
// start and nothing else is refused the rest. It does not judge the rights of a machine's
// own role.
func enforced(t *testing.T, root aws.Config) {
	out := deploy(t, root, "guarded", serveTasks(t, workflowtest.Tasks{
		Plan: func(_ context.Context, ref task.RunRef) (task.Planned, error) {
			return task.Planned{V: task.Version, Tenant: ref.Tenant, Run: ref.Run, Map: task.MapNone, Concurrency: 1}, nil
		},
		Execute: func(context.Context, task.UnitRef) (task.Executed, error) { return task.Executed{}, nil },
		Finish: func(context.Context, task.RunRef) (task.Finished, error) {
			return task.Finished{V: task.Version, Settled: true}, nil
		},
	}), "states:StartExecution")
	w := driver(t, root, out)
	if err := w.Start(t.Context(), "tenant", "run"); err != nil {
		t.Errorf("start, which is allowed: %v", err)
	}
	if err := w.Stop(t.Context(), "tenant", "run", "why"); job.CodeOf(err) != job.Unavailable {
		t.Errorf("stop, which is not allowed: %v", err)
	}
	if _, err := w.Ended(t.Context(), "tenant", "run"); job.CodeOf(err) != job.Unavailable {
		t.Errorf("ended, which is not allowed: %v", err)
	}
}

// driver returns the driver under test. It may do what it was deployed to be
// allowed, and nothing else.
func driver(t *testing.T, root aws.Config, out map[string]string) *sfnworkflow.Workflow {
	t.Helper()
	caller := root.Copy()
	caller.Credentials = aws.NewCredentialsCache(stscreds.NewAssumeRoleProvider(sts.NewFromConfig(root), out["Caller"]))
	w, err := sfnworkflow.New(sfn.NewFromConfig(caller), out["Machine"])
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func conformance(t *testing.T, root aws.Config) {
	workflowtest.Run(t, func(t *testing.T, tasks workflowtest.Tasks) workflowtest.Harness {
		out := deploy(t, root, "run", serveTasks(t, tasks), "states:StartExecution", "states:StopExecution", "states:DescribeExecution")
		w := driver(t, root, out)
		return &ministack{driver: w, client: sfn.NewFromConfig(root), machine: out["Machine"]}
	})
}

type ministack struct {
	driver  *sfnworkflow.Workflow
	client  *sfn.Client
	machine string
}

func (m *ministack) Workflow() workflow.Workflow { return m.driver }

func (m *ministack) Lacks() map[workflowtest.Capability]string {
	return map[workflowtest.Capability]string{
		workflowtest.BoundsConcurrency: "ministack ignores MaxConcurrencyPath (TestLocalStack shows it)",
		workflowtest.StopsUnits:        "ministack lets the iterations of a Map go on after StopExecution (TestLocalStack shows it)",
	}
}

func (m *ministack) Over(t *testing.T, _, run string) {
	t.Helper()
	awaitExecution(t, m.client, m.machine, run)
}

// awaitExecution waits until an execution is over and returns its description.
func awaitExecution(t *testing.T, client *sfn.Client, machine, run string) *sfn.DescribeExecutionOutput {
	t.Helper()
	var out *sfn.DescribeExecutionOutput
	poll(t, "the end of execution "+run, func() bool {
		var err error
		out, err = client.DescribeExecution(t.Context(), &sfn.DescribeExecutionInput{
			ExecutionArn: aws.String(executionARN(machine, run)),
		})
		if err != nil {
			t.Fatal(err)
		}
		return out.Status != sfntypes.ExecutionStatusRunning
	})
	return out
}

// serveTasks answers the functions' questions (testdata/task) by the tasks of
// the suite, and returns where.
func serveTasks(t *testing.T, tasks workflowtest.Tasks) string {
	t.Helper()
	mux := http.NewServeMux()
	mux.Handle("POST /plan", serveTask(t, tasks.Plan))
	mux.Handle("POST /execute", serveTask(t, tasks.Execute))
	mux.Handle("POST /finish", serveTask(t, tasks.Finish))
	srv := httptest.NewServer(mux)
	t.Cleanup(srv.Close)
	return srv.URL
}

func serveTask[In, Out any](t *testing.T, f func(context.Context, In) (Out, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			if recover() != nil {
				w.WriteHeader(http.StatusInternalServerError) // the function dies of it
			}
		}()
		var in In
		body, err := io.ReadAll(r.Body)
		if err == nil {
			// Strict: the state machine sends what the type says, no more.
			dec := json.NewDecoder(bytes.NewReader(body))
			dec.DisallowUnknownFields()
			err = dec.Decode(&in)
		}
		if err != nil {
			t.Errorf("input %s: %v", body, err)
		}
		out, err := f(r.Context(), in)
		if err != nil {
			w.WriteHeader(http.StatusUnprocessableEntity)
			_, _ = io.WriteString(w, reflect.TypeOf(err).Name())
			return
		}
		_ = json.NewEncoder(w).Encode(out)
	})
}

// upload puts the functions' program where deploy finds it.
func upload(t *testing.T, cfg aws.Config) {
	t.Helper()
	objects := s3.NewFromConfig(cfg, func(o *s3.Options) { o.UsePathStyle = true })
	if _, err := objects.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: aws.String("code")}); err != nil {
		t.Fatalf("create a bucket: %v", err)
	}
	if _, err := objects.PutObject(t.Context(), &s3.PutObjectInput{
		Bucket: aws.String("code"), Key: aws.String("task.zip"), Body: bytes.NewReader(functionZip(t)),
	}); err != nil {
		t.Fatalf("upload the function: %v", err)
	}
}

// deploy makes a stack of the state machine, its three functions, its role, and
// a role for callers that may do what is given, and returns its outputs.
func deploy(t *testing.T, cfg aws.Config, name, tasks string, allowed ...string) map[string]string {
	t.Helper()
	ctx := t.Context()
	body, err := json.Marshal(stack(name, tasks, allowed))
	if err != nil {
		t.Fatal(err)
	}
	stacks := cloudformation.NewFromConfig(cfg)
	if _, err := stacks.CreateStack(ctx, &cloudformation.CreateStackInput{
		StackName: &name, TemplateBody: aws.String(string(body)),
		Capabilities: []cfntypes.Capability{cfntypes.CapabilityCapabilityIam},
	}); err != nil {
		t.Fatalf("create the stack: %v", err)
	}
	in := &cloudformation.DescribeStacksInput{StackName: &name}
	if err := cloudformation.NewStackCreateCompleteWaiter(stacks, func(o *cloudformation.StackCreateCompleteWaiterOptions) {
		o.MinDelay, o.MaxDelay = 100*time.Millisecond, 500*time.Millisecond
	}).Wait(ctx, in, time.Minute); err != nil {
		t.Fatalf("the stack: %v", err)
	}
	described, err := stacks.DescribeStacks(ctx, in)
	if err != nil {
		t.Fatal(err)
	}
	outputs := map[string]string{}
	for _, o := range described.Stacks[0].Outputs {
		outputs[aws.ToString(o.OutputKey)] = aws.ToString(o.OutputValue)
	}
	return outputs
}

// functionZip builds testdata/task for this machine and packs it.
func functionZip(t *testing.T) []byte {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "bootstrap")
	build := exec.Command("go", "build", "-tags", "lambda.norpc", "-o", binary, "./testdata/task")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the function: %v\n%s", err, out)
	}
	program, err := os.ReadFile(binary)
	if err != nil {
		t.Fatal(err)
	}
	var buf bytes.Buffer
	z := zip.NewWriter(&buf)
	h := &zip.FileHeader{Name: "bootstrap", Method: zip.Deflate}
	h.SetMode(0o755)
	f, err := z.CreateHeader(h)
	if err == nil {
		_, err = f.Write(program)
	}
	if err == nil {
		err = z.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

type object = map[string]any

// stack is the template. The roles may do exactly what is needed,
// so that a right which is needed and not known is found here.
func stack(name, tasks string, allowed []string) object {
	trust := func(service string) object {
		return object{"Version": "2012-10-17", "Statement": []object{{
			"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": object{"Service": service}}}}
	}
	policy := func(statements ...object) []object {
		return []object{{"PolicyName": "only", "PolicyDocument": object{"Version": "2012-10-17", "Statement": statements}}}
	}
	allow := func(resource any, actions ...string) object {
		return object{"Effect": "Allow", "Action": actions, "Resource": resource}
	}
	arn := func(id string) object { return object{"Fn::GetAtt": []string{id, "Arn"}} }
	function := func(path string) object {
		return object{"Type": "AWS::Lambda::Function", "Properties": object{
			"Runtime": "provided.al2023", "Handler": "bootstrap", "Timeout": 120, "Role": arn("FunctionRole"),
			"Code":        object{"S3Bucket": "code", "S3Key": "task.zip"},
			"Environment": object{"Variables": object{"TASK_URL": tasks + path}},
		}}
	}
	machineARN := "arn:aws:states:${AWS::Region}:${AWS::AccountId}:stateMachine:" + name
	substitutions := object{}
	for i, substitution := range statemachines.Substitutions() {
		substitutions[substitution] = arn([]string{"Planner", "Executor", "Finisher"}[i])
	}
	return object{
		"Resources": object{
			"FunctionRole": object{"Type": "AWS::IAM::Role", "Properties": object{
				"AssumeRolePolicyDocument": trust("lambda.amazonaws.com")}},
			"Planner":  function("/plan"),
			"Executor": function("/execute"),
			"Finisher": function("/finish"),
			"MachineRole": object{"Type": "AWS::IAM::Role", "Properties": object{
				"AssumeRolePolicyDocument": trust("states.amazonaws.com"),
				"Policies": policy(
					allow([]object{arn("Planner"), arn("Executor"), arn("Finisher")}, "lambda:InvokeFunction"),
					allow(object{"Fn::Sub": machineARN}, "states:StartExecution"), // of a Distributed Map's children
				)}},
			"Machine": object{"Type": "AWS::StepFunctions::StateMachine", "Properties": object{
				"StateMachineName": name, "StateMachineType": "STANDARD", "RoleArn": arn("MachineRole"),
				"DefinitionString": statemachines.Run, "DefinitionSubstitutions": substitutions}},
			"Caller": object{"Type": "AWS::IAM::Role", "Properties": object{
				"AssumeRolePolicyDocument": object{"Version": "2012-10-17", "Statement": []object{{
					"Effect": "Allow", "Action": "sts:AssumeRole",
					"Principal": object{"AWS": object{"Fn::Sub": "arn:aws:iam::${AWS::AccountId}:root"}}}}},
				"Policies": policy(allow([]object{
					{"Fn::Sub": machineARN},
					{"Fn::Sub": "arn:aws:states:${AWS::Region}:${AWS::AccountId}:execution:" + name + ":*"},
				}, allowed...))}},
		},
		"Outputs": object{
			"Machine": object{"Value": object{"Ref": "Machine"}},
			"Caller":  object{"Value": arn("Caller")},
		},
	}
}

func executionARN(machine, run string) string {
	return strings.Replace(machine, ":stateMachine:", ":execution:", 1) + ":" + run
}
