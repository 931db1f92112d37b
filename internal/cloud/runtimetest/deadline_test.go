package runtimetest

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/kms"

	"drover/internal/cloud"
	"drover/internal/cloud/depot"
	"drover/internal/device/sshsim"
	"drover/internal/job"
	"drover/internal/secret"
	"drover/internal/store"
	"drover/internal/store/dynamostore"
	"drover/internal/task"
)

// TestExecutor_RecordsBeforeItIsKilled: an invocation of the executor that
// Lambda would kill in the middle of a command stops the command in time,
// records what it knows, and answers.
func TestExecutor_RecordsBeforeItIsKilled(t *testing.T) {
	endpoint := os.Getenv("DROVER_MINISTACK_ENDPOINT")
	if endpoint == "" {
		if os.Getenv("CI") == "true" {
			t.Fatal("DROVER_MINISTACK_ENDPOINT names no emulator")
		}
		t.Skip("DROVER_MINISTACK_ENDPOINT names no emulator (make test starts it once it is installed: scripts/emulator install ministack)")
	}
	dir, err := built()
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}

	// The table, the key and in them a device that takes its time.
	cfg := aws.Config{Region: "us-east-1", BaseEndpoint: &endpoint, Credentials: credentials.NewStaticCredentialsProvider("test", "test", "")}
	table := fmt.Sprintf("deadline-%d", time.Now().UnixNano())
	_, err = dynamodb.NewFromConfig(cfg).CreateTable(ctx, dynamostore.TableSpec(table))
	must(err)
	key, err := kms.NewFromConfig(cfg).CreateKey(ctx, &kms.CreateKeyInput{})
	must(err)
	driver, err := dynamostore.Open(dynamostore.Options{Client: dynamodb.NewFromConfig(cfg), Table: table})
	must(err)
	s := store.New(driver, store.Options{Clock: time.Now})
	_, box, err := depot.Config{Bucket: "none", Key: *key.KeyMetadata.KeyId}.Open(ctx, cloud.Clients{AWS: cfg, Store: s, Log: slog.Default()})
	must(err)
	fleet, err := sshsim.Start(sshsim.Config{Devices: 1, Password: "dr0ver-pw"})
	must(err)
	defer fleet.Close()
	id, err := s.NextCredentialID(ctx, job.DefaultTenant)
	must(err)
	sealed, err := box.Seal("dr0ver-pw", secret.AAD(job.DefaultTenant, "credential", id, "password"))
	must(err)
	must(s.PutNewCredential(ctx, job.Credential{Meta: job.Meta{ID: id, Tenant: job.DefaultTenant, Name: "lab"}, Username: "drover", Password: sealed}))
	d := job.Device{Meta: job.Meta{Tenant: job.DefaultTenant, Name: "D1"}, Address: fleet.Devices[0].Address, Port: fleet.Devices[0].Port,
		CredentialID: id, Platform: job.PlatformLinux, HostKey: job.HostKeyAcceptNew}
	must(s.PutDevice(ctx, nil, &d))
	run := job.Run{ID: "r1", JobID: "r1", Tenant: job.DefaultTenant, ServiceName: "s", Status: job.Queued, Created: time.Now(),
		Due: time.Now().Add(time.Minute), Total: 1, Shards: 1}
	_, _, err = s.CreateRun(ctx, store.NewRun{Run: run, Targets: []job.Target{{ID: d.ID, Name: d.Name}},
		Job: job.Job{ID: "r1", Tenant: job.DefaultTenant, ServiceName: "s", Type: job.TypeScript, Body: "echo begun; sleep 120",
			Limits: job.Limits{Timeout: 10 * time.Minute, Concurrency: 1, OnUnknown: job.OnUnknownReport}}})
	must(err)
	ref := task.RunRef{V: task.Version, Tenant: job.DefaultTenant, Run: "r1"}
	tasks := task.New(task.Config{Store: s, Limits: task.Deployment{Invocation: cloud.Invocation, Throttled: true}})
	_, err = tasks.Plan(ctx, ref)
	must(err)

	// One invocation, of which 12 s are left.
	p, err := Start(filepath.Join(dir, "executor", "bootstrap"), "AWS_ENDPOINT_URL="+endpoint, "DROVER_TABLE="+table, "DROVER_KEEP=90d",
		"DROVER_BUCKET=none", "DROVER_KMS_KEY_ID="+*key.KeyMetadata.KeyId)
	must(err)
	defer p.Stop()
	_, err = p.Ready(ctx)
	must(err)
	payload, err := json.Marshal(task.UnitRef{V: task.Version, Tenant: ref.Tenant, Run: ref.Run})
	must(err)
	deadline := time.Now().Add(12 * time.Second)
	answer, err := p.Invoke(payload, deadline)
	must(err)
	left := deadline.Sub(answer.At)
	t.Logf("answered %s before its end: %s", left.Round(time.Millisecond), answer.Payload)
	var executed task.Executed
	if err := json.Unmarshal(answer.Payload, &executed); err != nil || answer.Failed || executed.Again {
		t.Errorf("answer %s, failed %v: %v", answer.Payload, answer.Failed, err)
	}
	if left < time.Second {
		t.Errorf("Lambda would have killed it: %s were left", left)
	}
	stored, err := s.Run(ctx, ref.Tenant, ref.Run)
	must(err)
	result, err := s.Result(ctx, stored, 0, "")
	must(err)
	t.Logf("recorded %s %s", result.Status, result.Reason)
	if !result.Status.Terminal() || result.Status == job.ResultSucceeded || result.Attempts != 1 || result.Ended == nil || result.Ended.After(deadline) {
		t.Errorf("recorded %+v", result)
	}
	if n := fleet.Executions(); n != 1 {
		t.Errorf("%d commands were started", n)
	}
}
