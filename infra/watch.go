package main

import (
	"cmp"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsapigatewayv2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awscloudwatch"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslambda"
	"github.com/aws/aws-cdk-go/awscdk/v2/awssns"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsxray"
	"github.com/aws/jsii-runtime-go"
)

// alarm is a row of the alarm table. docs/operations.md says what each one
// means and what to do; a test compares the names.
type alarm struct {
	name, description string
	namespace, metric string
	dimensions        map[string]*string
	statistic         string  // the default is the sum
	least             float64 // raised by at least so much
	minutes, periods  float64 // in each of so many periods, one by default, of so many minutes
	silence           bool    // raised by nothing at all instead
	graph             string  // the title of its graph on the dashboard
}

// The metric that the sweeper writes into its log. Package runs writes it; a
// test compares.
const (
	overdueNamespace = "Drover"
	overdueMetric    = "OverdueRuns"
	overdueDimension = "FunctionName"
)

// alarms returns the alarm table.
func (s *stack) alarms(built map[string]awslambda.Function, gateway awsapigatewayv2.HttpApi) []alarm {
	run := map[string]*string{"StateMachineArn": s.machine.arn}
	table := map[string]*string{"TableName": s.table.TableName()}
	sweeper := map[string]*string{overdueDimension: built["sweeper"].FunctionName()}
	all := []alarm{
		{name: "ExecutionsFailed", namespace: "AWS/States", metric: "ExecutionsFailed", dimensions: run, least: 1, minutes: 5, graph: "Executions",
			description: "the state machine failed outside of any device"},
		{name: "ExecutionsTimedOut", namespace: "AWS/States", metric: "ExecutionsTimedOut", dimensions: run, least: 1, minutes: 5, graph: "Executions",
			description: "an execution or an Express child outlived its limit"},
		{name: "OverdueRuns", namespace: overdueNamespace, metric: overdueMetric, dimensions: sweeper, statistic: "Maximum", least: 1, minutes: 5, periods: 2,
			graph: "Overdue runs", description: "runs have waited for the sweeper for five minutes, and it does not get them on"},
		{name: "SweeperSilent", namespace: overdueNamespace, metric: overdueMetric, dimensions: sweeper, statistic: "SampleCount", minutes: 5, periods: 2, silence: true,
			graph: "Sweeps", description: "the sweeper has not finished a sweep for ten minutes"},
		{name: "DeadLetters", namespace: "AWS/SQS", metric: "ApproximateNumberOfMessagesVisible",
			dimensions: map[string]*string{"QueueName": s.dead.QueueName()}, statistic: "Maximum", least: 1, minutes: 5,
			graph: "Dead letters", description: "an event was delivered to nobody, or its function failed on it twice"},
		{name: "ApiErrors", namespace: "AWS/ApiGateway", metric: "5xx", dimensions: map[string]*string{"ApiId": gateway.ApiId()}, least: 5, minutes: 5,
			graph: "API errors", description: "callers get answers of 500 and above"},
		{name: "TableReadsThrottled", namespace: "AWS/DynamoDB", metric: "ReadThrottleEvents", dimensions: table, least: 1, minutes: 5, periods: 3,
			graph: "Table throttles", description: "the table has refused reads for a quarter of an hour"},
		{name: "TableWritesThrottled", namespace: "AWS/DynamoDB", metric: "WriteThrottleEvents", dimensions: table, least: 1, minutes: 5, periods: 3,
			graph: "Table throttles", description: "the table has refused writes for a quarter of an hour"},
	}
	for _, f := range functions() {
		a := alarm{name: f.id() + "Throttled", namespace: "AWS/Lambda", metric: "Throttles",
			dimensions: map[string]*string{"FunctionName": built[f.name].FunctionName()}, least: 1, minutes: 5, graph: "Function throttles",
			description: f.name + " was called more often at once than it may be"}
		if f.limited {
			// That a wide run is slowed down at its start is what the limit is for.
			a.periods, a.description = 3, a.description+", for a quarter of an hour"
		}
		all = append(all, a)
	}
	return all
}

// addAlarms adds the alarms, the topic that they are told to, and the
// dashboard.
func (s *stack) addAlarms(built map[string]awslambda.Function, gateway awsapigatewayv2.HttpApi) {
	topic := awssns.NewCfnTopic(s.cdk, jsii.String("Alarms"), &awssns.CfnTopicProps{DisplayName: jsii.String("Drover")})
	told := awscdk.NewCfnCondition(s.cdk, jsii.String("TellAlarms"), &awscdk.CfnConditionProps{
		Expression: awscdk.Fn_ConditionNot(awscdk.Fn_ConditionEquals(s.params.email.ValueAsString(), jsii.String(""))),
	})
	awssns.NewCfnSubscription(s.cdk, jsii.String("AlarmMail"), &awssns.CfnSubscriptionProps{
		TopicArn: topic.Ref(), Protocol: jsii.String("email"), Endpoint: s.params.email.ValueAsString(),
	}).CfnOptions().SetCondition(told)
	s.output("AlarmTopicArn", "where alarms are told", topic.Ref())

	var titles []string
	graphs := map[string][]awscloudwatch.IMetric{}
	for _, a := range s.alarms(built, gateway) {
		period := awscdk.Duration_Minutes(&a.minutes)
		statistic := cmp.Or(a.statistic, "Sum")
		metric := awscloudwatch.NewMetric(&awscloudwatch.MetricProps{
			Namespace: &a.namespace, MetricName: &a.metric, DimensionsMap: &a.dimensions, Statistic: &statistic, Period: period, Label: &a.name,
		})
		var dimensions []any
		for k, v := range a.dimensions {
			dimensions = append(dimensions, &awscloudwatch.CfnAlarm_DimensionProperty{Name: &k, Value: v})
		}
		props := awscloudwatch.CfnAlarmProps{
			AlarmDescription: &a.description, Namespace: &a.namespace, MetricName: &a.metric, Dimensions: &dimensions, Statistic: &statistic,
			Period: jsii.Number(60 * a.minutes), EvaluationPeriods: jsii.Number(cmp.Or(a.periods, 1)), Threshold: &a.least,
			ComparisonOperator: jsii.String("GreaterThanOrEqualToThreshold"), TreatMissingData: jsii.String("notBreaching"),
			AlarmActions: &[]any{topic.Ref()}, OkActions: &[]any{topic.Ref()},
		}
		if a.silence {
			props.Threshold, props.ComparisonOperator, props.TreatMissingData =
				jsii.Number(1), jsii.String("LessThanThreshold"), jsii.String("breaching")
		}
		awscloudwatch.NewCfnAlarm(s.cdk, jsii.String(a.name+"Alarm"), &props)
		if graphs[a.graph] == nil {
			titles = append(titles, a.graph)
		}
		graphs[a.graph] = append(graphs[a.graph], metric)
	}
	s.addDashboard(titles, graphs, built)
}

// addDashboard adds a graph for every alarm, and what is worth seeing besides.
func (s *stack) addDashboard(titles []string, graphs map[string][]awscloudwatch.IMetric, built map[string]awslambda.Function) {
	lambda := func(metric, statistic string) (all []awscloudwatch.IMetric) {
		for _, f := range functions() {
			all = append(all, awscloudwatch.NewMetric(&awscloudwatch.MetricProps{
				Namespace: jsii.String("AWS/Lambda"), MetricName: &metric, Statistic: &statistic, Label: jsii.String(f.name),
				DimensionsMap: &map[string]*string{"FunctionName": built[f.name].FunctionName()},
			}))
		}
		return all
	}
	graphs["Concurrent invocations"], graphs["Function errors"] = lambda("ConcurrentExecutions", "Maximum"), lambda("Errors", "Sum")
	graphs["Duration, 99 of 100"] = lambda("Duration", "p99")
	titles = append(titles, "Concurrent invocations", "Function errors", "Duration, 99 of 100")
	dashboard := awscloudwatch.NewDashboard(s.cdk, jsii.String("Dashboard"), &awscloudwatch.DashboardProps{
		DashboardName: awscdk.Aws_STACK_NAME(), DefaultInterval: awscdk.Duration_Hours(jsii.Number(6)),
	})
	const inRow = 3
	for len(titles) > 0 {
		var row []awscloudwatch.IWidget
		for _, title := range titles[:min(inRow, len(titles))] {
			left := graphs[title]
			row = append(row, awscloudwatch.NewGraphWidget(&awscloudwatch.GraphWidgetProps{
				Title: &title, Left: &left, Width: jsii.Number(24 / inRow), Height: jsii.Number(6),
			}))
		}
		dashboard.AddWidgets(row...)
		titles = titles[len(row):]
	}
}

// addSampling traces five of a hundred runs and no more. The rule that every
// account has would trace the first one of every second too. Emulators know no
// such rules: the parameter leaves it out.
func (s *stack) addSampling() {
	sampled := awscdk.NewCfnCondition(s.cdk, jsii.String("OwnSampling"), &awscdk.CfnConditionProps{
		Expression: awscdk.Fn_ConditionEquals(s.params.sampling.ValueAsString(), jsii.String("yes")),
	})
	any := jsii.String("*")
	// The stack's id ends in a UUID of its own; a rule's name has up to 32 characters.
	unique := awscdk.Fn_Select(jsii.Number(0), awscdk.Fn_Split(jsii.String("-"),
		awscdk.Fn_Select(jsii.Number(2), awscdk.Fn_Split(jsii.String("/"), awscdk.Aws_STACK_ID(), nil)), nil))
	awsxray.NewCfnSamplingRule(s.cdk, jsii.String("Sampling"), &awsxray.CfnSamplingRuleProps{
		SamplingRule: &awsxray.CfnSamplingRule_SamplingRuleProperty{
			RuleName: jsii.String("drover-" + *unique), ServiceName: s.machine.name, ServiceType: any, ResourceArn: any,
			Host: any, HttpMethod: any, UrlPath: any, Priority: jsii.Number(1000), FixedRate: jsii.Number(0.05), ReservoirSize: jsii.Number(0),
			Version: jsii.Number(1),
		},
	}).CfnOptions().SetCondition(sampled)
}
