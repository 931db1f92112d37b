//go:build cloud

package cloudtest

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	dynamotypes "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	sfntypes "github.com/aws/aws-sdk-go-v2/service/sfn/types"
	"golang.org/x/sync/errgroup"

	"drover/internal/e2etest"
	"drover/internal/secret"
)

// TestCloud runs the end-to-end cases against the template in an emulator that
// enforces IAM. scripts/test-cloud sets the two variables.
func TestCloud(t *testing.T) {
	endpoint, assembly := os.Getenv("DROVER_EMULATOR"), os.Getenv("DROVER_ASSEMBLY")
	if endpoint == "" || assembly == "" {
		t.Fatal("DROVER_EMULATOR and DROVER_ASSEMBLY are not set: run scripts/test-cloud")
	}
	const password = "canary-admin-password"
	hash, err := secret.HashPassword(password)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	start := time.Now()
	d, err := Deploy(ctx, endpoint, assembly, "Drover", map[string]string{"AdminPasswordHash": hash})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("deployed in %s: %v", time.Since(start).Round(time.Millisecond), d.Outputs)
	api, err := url.Parse(d.Outputs["ApiUrl"])
	if err != nil {
		t.Fatal(err)
	}
	emulator, err := url.Parse(endpoint)
	if err != nil {
		t.Fatal(err)
	}
	id, _, _ := strings.Cut(api.Hostname(), ".")
	if err := errors.Join(d.WithoutTLS(ctx, endpoint), d.GroupAsEmulated(ctx, endpoint)); err != nil {
		t.Fatal(err)
	}
	target := e2etest.Target{
		URL: endpoint, Host: id + ".execute-api.localhost:" + emulator.Port(),
		User: "admin", Password: password, Settle: 150 * time.Second, Patience: 28 * time.Second,
		Restart: func() error { return restart(t, emulator.Port()) },
		Meddle:  func() error { return meddle(t, Config(endpoint), d) },
	}
	e2etest.Cases(t, target)
	t.Run("keys are rotated", func(t *testing.T) { keysAreRotated(t, target) })
	t.Run("bad days", func(t *testing.T) { playBadDays(t, target, d) })
	t.Run("leaks", func(t *testing.T) {
		leaks(t, Config(endpoint), d.Outputs, append(e2etest.Canaries(), password, badPassword))
	})
}

// restart ends the emulator with every function in it, and starts it again with
// the state that it has kept. What was being executed there is over, as failed;
// Step Functions itself would not forget it.
func restart(t *testing.T, port string) error {
	dir := os.Getenv("DROVER_EMULATOR_DIR")
	if dir == "" {
		t.Fatal("DROVER_EMULATOR_DIR is not set: run scripts/test-cloud")
	}
	for _, args := range [][]string{{"stop", "ministack", "--dir", dir}, {"start", "ministack", "--port", port, "--dir", dir}} {
		cmd := exec.Command("../../../scripts/emulator", args...)
		cmd.Stderr = os.Stderr
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("emulator %v: %w", args, err)
		}
	}
	return nil
}

// meddle calls the tasks of the execution that was started last once more while
// they are under way, each twice at the same time, with the sweeper beside them,
// and ends the execution from outside.
func meddle(t *testing.T, cfg aws.Config, d *Deployment) error {
	ctx := t.Context()
	functions, err := d.Functions(ctx, *cfg.BaseEndpoint)
	if err != nil {
		return err
	}
	states := sfn.NewFromConfig(cfg)
	running, err := states.ListExecutions(ctx, &sfn.ListExecutionsInput{StateMachineArn: aws.String(d.Outputs["StateMachineArn"]), StatusFilter: sfntypes.ExecutionStatusRunning})
	if err != nil {
		return err
	}
	if len(running.Executions) == 0 {
		return errors.New("no execution is under way")
	}
	last := slices.MaxFunc(running.Executions, func(a, b sfntypes.ExecutionListItem) int { return a.StartDate.Compare(*b.StartDate) })
	ref := fmt.Sprintf(`"v":1,"tenant":"default","run":%q`, *last.Name)
	client := lambda.NewFromConfig(cfg)
	var calls errgroup.Group
	for _, c := range []struct{ function, payload, want string }{
		{"Executor", "{" + ref + `,"unit":0,"round":0}`, `"again":true`},
		{"Executor", "{" + ref + `,"unit":1,"round":0}`, `"again":true`},
		{"Planner", "{" + ref + "}", `"units":[0,1]`},
		{"Finisher", "{" + ref + "}", `"settled":false`},
		{"Sweeper", "{}", `{`},
	} {
		for range 2 {
			calls.Go(func() error {
				out, err := client.Invoke(ctx, &lambda.InvokeInput{FunctionName: aws.String(functions[c.function]), Payload: []byte(c.payload)})
				if err != nil {
					return err
				}
				// The emulator spaces answers out.
				if got := strings.ReplaceAll(string(out.Payload), " ", ""); out.FunctionError != nil || !strings.Contains(got, c.want) {
					return fmt.Errorf("%s of %s: %s %s, want %s", c.function, c.payload, aws.ToString(out.FunctionError), out.Payload, c.want)
				}
				return nil
			})
		}
	}
	if err := calls.Wait(); err != nil {
		return err
	}
	_, err = states.StopExecution(ctx, &sfn.StopExecutionInput{ExecutionArn: last.ExecutionArn, Cause: aws.String("somebody")})
	return err
}

// leaks looks for secrets where anybody but their sealer could see them: in the
// table, and in the inputs and histories of the executions, which must hold the
// names of tenant and run and nothing that grows.
func leaks(t *testing.T, cfg aws.Config, outputs map[string]string, canaries []string) {
	ctx := t.Context()
	check := func(where string, v any) {
		text := fmt.Sprintf("%+v", v)
		if b, err := json.Marshal(v); err == nil {
			text += string(b)
		}
		for _, c := range canaries {
			if strings.Contains(text, c) || strings.Contains(text, base64.StdEncoding.EncodeToString([]byte(c))) {
				t.Errorf("%s holds the secret %s", where, c)
			}
		}
	}
	rows, seen := 0, false
	table := dynamodb.NewScanPaginator(dynamodb.NewFromConfig(cfg), &dynamodb.ScanInput{TableName: aws.String(outputs["TableName"])})
	for table.HasMorePages() {
		page, err := table.NextPage(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, item := range page.Items {
			rows++
			for _, v := range item {
				if b, ok := v.(*dynamotypes.AttributeValueMemberB); ok {
					check("a row", string(b.Value))
					seen = seen || strings.Contains(string(b.Value), `"e2e-sync"`)
				}
			}
		}
	}
	client := sfn.NewFromConfig(cfg)
	executions, err := client.ListExecutions(ctx, &sfn.ListExecutionsInput{StateMachineArn: aws.String(outputs["StateMachineArn"])})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range executions.Executions {
		d, err := client.DescribeExecution(ctx, &sfn.DescribeExecutionInput{ExecutionArn: e.ExecutionArn})
		if err != nil {
			t.Fatal(err)
		}
		if want := fmt.Sprintf(`{"tenant":"default","run":%q}`, *e.Name); aws.ToString(d.Input) != want {
			t.Errorf("the input of %s is %s", *e.Name, aws.ToString(d.Input))
		}
		history, err := client.GetExecutionHistory(ctx, &sfn.GetExecutionHistoryInput{ExecutionArn: e.ExecutionArn, IncludeExecutionData: aws.Bool(true)})
		if err != nil {
			t.Fatal(err)
		}
		check("the history of "+*e.Name, history.Events)
	}
	t.Logf("%d rows, %d executions", rows, len(executions.Executions))
	if !seen || len(executions.Executions) == 0 {
		t.Error("what is known to be there is not found: this test sees nothing")
	}
}

// maxPackage is the design's limit of a function's package.
const maxPackage = 15 << 20

// TestPackages packs every function as it is uploaded, and starts it without
// any configuration: it must say what is missing and end.
func TestPackages(t *testing.T) {
	dir := os.Getenv("DROVER_FUNCTIONS")
	functions, err := filepath.Glob(filepath.Join(dir, "*", "bootstrap"))
	if err != nil || len(functions) == 0 {
		t.Fatalf("no functions in DROVER_FUNCTIONS=%q (%v): run scripts/test-cloud", dir, err)
	}
	for _, f := range functions {
		name := filepath.Base(filepath.Dir(f))
		packed, err := pack(filepath.Dir(f), "zip")
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%-9s %5.1f MB zipped", name, float64(len(packed))/(1<<20))
		if len(packed) > maxPackage {
			t.Errorf("%s: %d bytes, the limit is %d", name, len(packed), maxPackage)
		}
		cmd := exec.Command(f)
		cmd.Env = []string{"AWS_LAMBDA_RUNTIME_API=127.0.0.1:1", "DROVER_KEEP=90d"}
		out, err := cmd.CombinedOutput()
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != 1 || !strings.Contains(string(out), "missing in the environment: DROVER_TABLE") {
			t.Errorf("%s without configuration: %v, %s", name, err, out)
		}
	}
}
