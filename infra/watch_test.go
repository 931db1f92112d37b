package main

import (
	"os"
	"slices"
	"strings"
	"testing"

	"drover/internal/cloud/runs"
)

// TestAlarms compares the alarms with what the design asks for, and with the
// page that says what each one means.
func TestAlarms(t *testing.T) {
	template := template(t)
	page, err := os.ReadFile("../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	topic, _ := one(t, template, "AWS::SNS::Topic", "")
	told := `[{"Ref":"` + topic + `"}]`
	var metrics, names []string
	for id, a := range all(template, "AWS::CloudWatch::Alarm") {
		name, _, _ := strings.Cut(id, "Alarm")
		names = append(names, name)
		metrics = append(metrics, a["Namespace"].(string)+" "+a["MetricName"].(string))
		if toJSON(t, a["AlarmActions"]) != told || toJSON(t, a["OKActions"]) != told {
			t.Errorf("nobody is told of %s", name)
		}
		if !strings.Contains(string(page), "### "+name+"\n") && !strings.Contains(string(page), "`"+name+"`") {
			t.Errorf("docs/operations.md does not say what %s means", name)
		}
		if a["AlarmDescription"] == "" || len(a["Dimensions"].([]any)) != 1 || a["Metrics"] != nil {
			t.Errorf("%s: %v", name, toJSON(t, a))
		}
		silent := name == "SweeperSilent"
		if (a["TreatMissingData"] == "breaching") != silent || (a["ComparisonOperator"] == "LessThanThreshold") != silent {
			t.Errorf("%s is raised wrongly by silence: %v", name, toJSON(t, a))
		}
	}
	for _, m := range []string{"AWS/States ExecutionsFailed", "AWS/Lambda Throttles", "AWS/SQS ApproximateNumberOfMessagesVisible",
		runs.Namespace + " " + runs.Overdue, "AWS/ApiGateway 5xx", "AWS/DynamoDB WriteThrottleEvents"} {
		if !slices.Contains(metrics, m) {
			t.Errorf("no alarm on %s", m)
		}
	}
	for _, f := range functions() {
		if !slices.Contains(names, f.id()+"Throttled") {
			t.Errorf("nobody is told when %s is throttled", f.name)
		}
	}
	if overdueNamespace != runs.Namespace || overdueMetric != runs.Overdue || overdueDimension != runs.Dimension {
		t.Error("the alarm on overdue runs is not on the metric that the sweeper writes")
	}
	mail := template["Resources"].(object)["AlarmMail"].(object)
	if mail["Condition"] != "TellAlarms" || toJSON(t, template["Conditions"].(object)["TellAlarms"]) != `{"Fn::Not":[{"Fn::Equals":[{"Ref":"AlarmEmail"},""]}]}` {
		t.Errorf("mail %v", toJSON(t, mail))
	}
}

// TestDashboard: whatever has an alarm has a graph.
func TestDashboard(t *testing.T) {
	template := template(t)
	_, d := one(t, template, "AWS::CloudWatch::Dashboard", "")
	body := toJSON(t, d["DashboardBody"])
	for id, a := range all(template, "AWS::CloudWatch::Alarm") {
		if !strings.Contains(body, `\"`+a["MetricName"].(string)+`\"`) {
			t.Errorf("no graph shows what %s is about", id)
		}
	}
}

// TestTracing: five of a hundred runs, unless the parameter says otherwise.
func TestTracing(t *testing.T) {
	template := template(t)
	_, machine := one(t, template, "AWS::StepFunctions::StateMachine", "")
	if toJSON(t, machine["TracingConfiguration"]) != `{"Enabled":true}` {
		t.Errorf("tracing %v", toJSON(t, machine["TracingConfiguration"]))
	}
	if got := toJSON(t, machine["LoggingConfiguration"]); !strings.Contains(got, `"Level":"ERROR"`) || !strings.Contains(got, `"IncludeExecutionData":false`) {
		t.Errorf("logging %s", got)
	}
	_, role := one(t, template, "AWS::IAM::Role", "RunRole")
	if !slices.ContainsFunc(statements(t, role), func(s object) bool {
		return s["Sid"] == "Trace" && slices.Contains(list(s["Action"]), any("xray:PutTraceSegments"))
	}) {
		t.Error("the state machine may not write traces")
	}
	id, sampling := one(t, template, "AWS::XRay::SamplingRule", "")
	rule := sampling["SamplingRule"].(object)
	if rule["FixedRate"] != 0.05 || rule["ReservoirSize"] != 0.0 || toJSON(t, rule["ServiceName"]) != toJSON(t, machine["StateMachineName"]) {
		t.Errorf("sampling %v", toJSON(t, rule))
	}
	condition := template["Resources"].(object)[id].(object)["Condition"].(string)
	if got := toJSON(t, template["Conditions"].(object)[condition]); got != `{"Fn::Equals":[{"Ref":"SampleTraces"},"yes"]}` ||
		template["Parameters"].(object)["SampleTraces"].(object)["Default"] != "yes" {
		t.Errorf("traces are sampled if %s", got)
	}
}
