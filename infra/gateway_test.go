package main

import (
	"encoding/json"
	"strings"
	"testing"

	"drover/internal/cloud"
)

// TestStage: what the gateway lets through is limited, and it logs nothing in
// which a caller may send a secret.
func TestStage(t *testing.T) {
	template := template(t)
	_, stage := one(t, template, "AWS::ApiGatewayV2::Stage", "")
	if stage["StageName"] != "$default" || stage["AutoDeploy"] != true {
		t.Errorf("stage %v", stage)
	}
	if got, want := toJSON(t, stage["DefaultRouteSettings"]),
		`{"ThrottlingBurstLimit":{"Ref":"ApiBurstLimit"},"ThrottlingRateLimit":{"Ref":"ApiRateLimit"}}`; got != want {
		t.Errorf("throttling %s", got)
	}
	settings := stage["AccessLogSettings"].(object)
	log, _ := one(t, template, "AWS::Logs::LogGroup", "ApiLog")
	if got := toJSON(t, settings["DestinationArn"]); !strings.Contains(got, log) {
		t.Errorf("requests are logged to %s", got)
	}
	var line map[string]string
	if err := json.Unmarshal([]byte(settings["Format"].(string)), &line); err != nil || line["requestId"] != "$context.requestId" {
		t.Errorf("a line of the access log is %s: %v", settings["Format"], err)
	}
	for k, v := range line {
		if strings.Contains(strings.ToLower(v), "header") || strings.Contains(v, "query") || strings.Contains(v, "authorizer") {
			t.Errorf("%s of the access log may hold a secret: %s", k, v)
		}
	}
}

// TestURLs: the patient functions, and no others, have a URL, which everybody
// may call: the function authenticates.
func TestURLs(t *testing.T) {
	template := template(t)
	patient := map[string]bool{}
	for _, f := range functions() {
		id, p := one(t, template, "AWS::Lambda::Function", f.id())
		patient[id] = f.patient
		switch {
		case f.patient && (p["Timeout"] != 900.0 || cloud.LongestAttempt.Seconds() >= f.seconds):
			t.Errorf("%s: a caller of the URL waits %s, the function ends after %v s", f.name, cloud.LongestAttempt, p["Timeout"])
		case !f.patient && f.family != "" && p["Timeout"] != 30.0:
			t.Errorf("%s: nobody waits %v s", f.name, p["Timeout"])
		}
	}
	urls := map[string]bool{}
	for id, u := range all(template, "AWS::Lambda::Url") {
		target := u["TargetFunctionArn"].(object)["Fn::GetAtt"].([]any)[0].(string)
		if u["AuthType"] != "NONE" || !patient[target] {
			t.Errorf("%s: %v", id, toJSON(t, u))
		}
		urls[target] = true
	}
	for id, want := range patient {
		if urls[id] != want {
			t.Errorf("%s has a URL: %v", id, urls[id])
		}
	}
	for id, p := range all(template, "AWS::Lambda::Permission") {
		if p["Principal"] != "*" {
			continue
		}
		if target := p["FunctionName"].(object)["Fn::GetAtt"].([]any)[0].(string); !patient[target] ||
			!(p["Action"] == "lambda:InvokeFunctionUrl" && p["FunctionUrlAuthType"] == "NONE" ||
				p["Action"] == "lambda:InvokeFunction" && p["InvokedViaFunctionUrl"] == true) {
			t.Errorf("%s: everybody may call %s: %v", id, target, toJSON(t, p))
		}
	}
}
