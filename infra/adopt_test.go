package main

import (
	"strings"
	"testing"
)

// TestAdopt: data that is there already is used and never touched: the stack
// makes none of its own, and rights and variables name what was given.
func TestAdopt(t *testing.T) {
	const key = "arn:aws:kms:eu-west-1:111122223333:key/0123"
	template := synth(t, map[string]any{"tableName": "restored", "bucketName": "left-over", "keyArn": key})
	for _, kind := range []string{"AWS::DynamoDB::Table", "AWS::S3::Bucket", "AWS::S3::BucketPolicy", "AWS::KMS::Key"} {
		if found := all(template, kind); len(found) > 0 {
			t.Errorf("%s: %v", kind, toJSON(t, found))
		}
	}
	_, p := one(t, template, "AWS::Lambda::Function", "Executor")
	env := p["Environment"].(object)["Variables"].(object)
	if env[envTable] != "restored" || env[envBucket] != "left-over" || !strings.Contains(toJSON(t, env[envKey]), key) {
		t.Errorf("environment %v", toJSON(t, env))
	}
	_, role := one(t, template, "AWS::IAM::Role", "ExecutorRole")
	for _, s := range statements(t, role) {
		want := map[any]string{"ReadTable": ":table/restored", "WriteTable": ":table/restored", "ReadBlobs": ":s3:::left-over/*",
			"TellMissingBlobs": ":s3:::left-over", "OpenKeyset": key}[s["Sid"]]
		if got := toJSON(t, s["Resource"]); !strings.Contains(got, want) {
			t.Errorf("%s on %s", s["Sid"], got)
		}
	}
}
