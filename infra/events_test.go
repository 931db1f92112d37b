package main

import (
	"strings"
	"testing"
)

func TestSchedule(t *testing.T) {
	template := template(t)
	_, rule := one(t, template, "AWS::Events::Rule", "")
	id, _ := one(t, template, "AWS::Lambda::Function", "Sweeper")
	if rule["ScheduleExpression"] != "rate(1 minute)" || !strings.Contains(toJSON(t, rule["Targets"]), id) {
		t.Errorf("rule %v", toJSON(t, rule))
	}
}

// TestDeadLetters: an event that cannot be delivered, or on which its function
// fails, is kept.
func TestDeadLetters(t *testing.T) {
	template := template(t)
	queue, q := one(t, template, "AWS::SQS::Queue", "")
	if q["SqsManagedSseEnabled"] != true || q["MessageRetentionPeriod"] != 1209600.0 {
		t.Errorf("queue %v", toJSON(t, q))
	}
	arn := arnOf(t, template, theDeadLetters)
	invoked := map[string]bool{}
	for id, rule := range all(template, "AWS::Events::Rule") {
		for _, target := range rule["Targets"].([]any) {
			if got := toJSON(t, target.(object)["DeadLetterConfig"]); got != `{"Arn":`+arn+`}` {
				t.Errorf("rule %s loses events: %s", id, got)
			}
			invoked[target.(object)["Arn"].(object)["Fn::GetAtt"].([]any)[0].(string)] = true
		}
	}
	trigger, _ := one(t, template, "AWS::Lambda::Function", "Trigger")
	invoked[trigger] = true // by schedules, see TestScheduler
	for _, f := range functions() {
		id, p := one(t, template, "AWS::Lambda::Function", f.id())
		if invoked[id] != f.async {
			t.Errorf("%s is invoked by a rule or a schedule: %v; the function table says %v", f.name, invoked[id], f.async)
		}
		if got := p["DeadLetterConfig"] != nil && toJSON(t, p["DeadLetterConfig"]) == `{"TargetArn":`+arn+`}`; got != f.async {
			t.Errorf("%s keeps its failed events: %v", f.name, got)
		}
	}
	if len(invoked) < 2 {
		t.Error("no rule has a target")
	}
	_, retries := one(t, template, "AWS::Lambda::EventInvokeConfig", "Sweeper")
	if retries["MaximumRetryAttempts"] != 1.0 || retries["MaximumEventAgeInSeconds"] != 300.0 {
		t.Errorf("retries %v", toJSON(t, retries))
	}
	_, policy := one(t, template, "AWS::SQS::QueuePolicy", "")
	rule, _ := one(t, template, "AWS::Events::Rule", "")
	var tls, send bool
	for _, s := range policy["PolicyDocument"].(object)["Statement"].([]any) {
		switch got := toJSON(t, s); {
		case strings.Contains(got, `"Effect":"Deny"`):
			tls = strings.Contains(got, `"Condition":{"Bool":{"aws:SecureTransport":"false"}}`)
		default:
			send = strings.Contains(got, `"Action":"sqs:SendMessage"`) && strings.Contains(got, `{"Service":"events.amazonaws.com"}`) &&
				strings.Contains(got, `"aws:SourceArn":{"Fn::GetAtt":["`+rule+`","Arn"]}`)
		}
	}
	if !tls || !send || toJSON(t, policy["Queues"]) != `[{"Ref":"`+queue+`"}]` {
		t.Errorf("queue policy %v", toJSON(t, policy))
	}
}

// TestTags: whatever has tags says whose it is, and what the deployment adds.
func TestTags(t *testing.T) {
	template := synth(t, map[string]any{"tags": "team=net, cost=42"})
	tagged := 0
	for id, r := range template["Resources"].(object) {
		properties, _ := r.(object)["Properties"].(object)
		switch kind := r.(object)["Type"].(string); kind {
		case "AWS::DynamoDB::Table", "AWS::S3::Bucket", "AWS::KMS::Key", "AWS::Lambda::Function", "AWS::StepFunctions::StateMachine",
			"AWS::SQS::Queue", "AWS::SNS::Topic", "AWS::Events::EventBus", "AWS::Logs::LogGroup", "AWS::IAM::Role",
			"AWS::ApiGatewayV2::Api", "AWS::ApiGatewayV2::Stage", "AWS::CloudWatch::Alarm":
			tagged++
			got := map[any]any{}
			switch tags := properties["Tags"].(type) {
			case []any:
				for _, tag := range tags {
					got[tag.(object)["Key"]] = tag.(object)["Value"]
				}
			case object:
				for k, v := range tags {
					got[k] = v
				}
			}
			if got["service"] != "drover" || got["team"] != "net" || got["cost"] != "42" {
				t.Errorf("%s %s: tags %v", kind, id, got)
			}
		}
	}
	if tagged < 30 {
		t.Errorf("only %d resources looked at", tagged)
	}
}
