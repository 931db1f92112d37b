package main

import (
	"strings"
	"testing"
)

// TestScheduler: schedules call the trigger, in a role that nobody else may take and
// that may do nothing else; what they cannot deliver is kept.
func TestScheduler(t *testing.T) {
	template := template(t)
	group, g := one(t, template, "AWS::Scheduler::ScheduleGroup", "")
	if toJSON(t, g["Name"]) != `{"Ref":"AWS::StackName"}` {
		t.Errorf("group %v", toJSON(t, g))
	}
	_, fn := one(t, template, "AWS::Lambda::Function", "Trigger")
	if got := toJSON(t, fn["FunctionName"]); got != `{"Fn::Join":["",[{"Ref":"AWS::StackName"},"-Trigger"]]}` {
		t.Errorf("the trigger is called %s", got)
	}
	const target = `{"Fn::Join":["",["arn:",{"Ref":"AWS::Partition"},":lambda:",{"Ref":"AWS::Region"},":",{"Ref":"AWS::AccountId"},":function:",{"Ref":"AWS::StackName"},"-Trigger"]]}`
	id, role := one(t, template, "AWS::IAM::Role", "SchedulerRole")
	trust := toJSON(t, role["AssumeRolePolicyDocument"])
	for _, want := range []string{`{"Service":"scheduler.amazonaws.com"}`, `"aws:SourceAccount":{"Ref":"AWS::AccountId"}`,
		`"aws:SourceArn":{"Fn::Join":["",["arn:",{"Ref":"AWS::Partition"},":scheduler:",{"Ref":"AWS::Region"},":",{"Ref":"AWS::AccountId"},":schedule-group/",{"Ref":"AWS::StackName"}]]}`} {
		if !strings.Contains(trust, want) {
			t.Errorf("trust without %s: %s", want, trust)
		}
	}
	may := map[string]string{}
	for _, s := range statements(t, role) {
		may[toJSON(t, list(s["Action"]))] = toJSON(t, s["Resource"])
	}
	if len(may) != 2 || may[`["lambda:InvokeFunction"]`] != target || may[`["sqs:SendMessage"]`] != arnOf(t, template, theDeadLetters) {
		t.Errorf("rights %v", may)
	}
	for _, name := range []string{"Enms", "Foreman", "Console", "Sweeper", "Trigger"} {
		_, f := one(t, template, "AWS::Lambda::Function", name)
		env := f["Environment"].(object)["Variables"].(object)
		for variable, want := range map[string]string{
			envGroup: `{"Ref":"` + group + `"}`, envTrigger: target, envScheduler: `{"Fn::GetAtt":["` + id + `","Arn"]}`,
			envLetters: arnOf(t, template, theDeadLetters),
		} {
			if got := toJSON(t, env[variable]); got != want {
				t.Errorf("%s gets %s = %s, want %s", name, variable, got, want)
			}
		}
	}
}
