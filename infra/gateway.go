package main

import (
	"encoding/json"
	"regexp"

	"github.com/aws/aws-cdk-go/awscdk/v2/awsapigatewayv2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsapigatewayv2integrations"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslambda"
	"github.com/aws/jsii-runtime-go"

	"drover/internal/api"
)

// rest is the pattern of the route table for "all that remains".
var rest = regexp.MustCompile(`\{(\w+)\.\.\.\}`)

// accessLog is a line of the gateway's log: nothing that a caller sends in a
// header, a query or a body, where secrets may be.
var accessLog = map[string]string{
	"requestId": "$context.requestId", "time": "$context.requestTime", "ip": "$context.identity.sourceIp",
	"method": "$context.httpMethod", "path": "$context.path", "route": "$context.routeKey", "status": "$context.status",
	"bytes": "$context.responseLength", "ms": "$context.responseLatency", "integrationMs": "$context.integrationLatency",
	"integrationStatus": "$context.integrationStatus", "error": "$context.integrationErrorMessage",
}

// addAPI adds the HTTP API with the routes of the route table.
func (s *stack) addAPI(built map[string]awslambda.Function) awsapigatewayv2.HttpApi {
	gateway := awsapigatewayv2.NewHttpApi(s.cdk, jsii.String("Api"), &awsapigatewayv2.HttpApiProps{
		Description: jsii.String("Drover"),
	})
	integrations := map[string]awsapigatewayv2.HttpRouteIntegration{}
	for _, f := range functions() {
		if f.family != "" {
			integrations[f.family] = awsapigatewayv2integrations.NewHttpLambdaIntegration(jsii.String(f.name), built[f.name],
				&awsapigatewayv2integrations.HttpLambdaIntegrationProps{
					PayloadFormatVersion:   awsapigatewayv2.PayloadFormatVersion_VERSION_2_0(),
					ScopePermissionToRoute: jsii.Bool(false),
				})
		}
	}
	for _, r := range api.Routes() {
		method := awsapigatewayv2.HttpMethod(r.Method)
		if r.Method == api.AnyMethod {
			method = awsapigatewayv2.HttpMethod_ANY
		}
		gateway.AddRoutes(&awsapigatewayv2.AddRoutesOptions{
			Path:        jsii.String(rest.ReplaceAllString(r.Path, "{$1+}")),
			Methods:     &[]awsapigatewayv2.HttpMethod{method},
			Integration: integrations[r.Family],
		})
	}
	format, err := json.Marshal(accessLog)
	if err != nil {
		panic(err) // a map of strings
	}
	stage := gateway.DefaultStage().Node().DefaultChild().(awsapigatewayv2.CfnStage)
	stage.SetAccessLogSettings(&awsapigatewayv2.CfnStage_AccessLogSettingsProperty{
		DestinationArn: s.addLog("ApiLog", nil).LogGroupArn(),
		Format:         jsii.String(string(format)),
	})
	stage.SetDefaultRouteSettings(&awsapigatewayv2.CfnStage_RouteSettingsProperty{
		ThrottlingRateLimit:  s.params.rate.ValueAsNumber(),
		ThrottlingBurstLimit: s.params.burst.ValueAsNumber(),
	})
	return gateway
}

// addURLs gives the patient functions URLs of their own. The function itself
// authenticates the caller, as it does behind the gateway.
func (s *stack) addURLs(built map[string]awslambda.Function) {
	for _, f := range functions() {
		if f.patient {
			url := built[f.name].AddFunctionUrl(&awslambda.FunctionUrlOptions{AuthType: awslambda.FunctionUrlAuthType_NONE})
			s.output(f.id()+"Url", "base URL for synchronous callers that wait up to 15 minutes", url.Url())
		}
	}
}
