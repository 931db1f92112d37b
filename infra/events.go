package main

import (
	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsevents"
	"github.com/aws/aws-cdk-go/awscdk/v2/awseventstargets"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslambda"
	"github.com/aws/aws-cdk-go/awscdk/v2/awssqs"
	"github.com/aws/jsii-runtime-go"
)

// addEvents adds the bus that tells others what happens, and the queue of the
// events that nothing took.
func (s *stack) addEvents() {
	s.bus = awsevents.NewEventBus(s.cdk, jsii.String("Bus"), &awsevents.EventBusProps{
		EventBusName: awscdk.Aws_STACK_NAME(),
	})
	s.dead = awssqs.NewQueue(s.cdk, jsii.String("DeadLetters"), &awssqs.QueueProps{
		Encryption:      awssqs.QueueEncryption_SQS_MANAGED,
		EnforceSSL:      jsii.Bool(true),
		RetentionPeriod: awscdk.Duration_Days(jsii.Number(14)),
		RemovalPolicy:   awscdk.RemovalPolicy_DESTROY,
	})
}

// addSchedule calls the sweeper every minute. The next minute is the retry of
// an event that could not be delivered.
func (s *stack) addSchedule(built map[string]awslambda.Function) {
	awsevents.NewRule(s.cdk, jsii.String("EveryMinute"), &awsevents.RuleProps{
		Description: jsii.String("what was accepted starts, what is overdue ends"),
		Schedule:    awsevents.Schedule_Rate(awscdk.Duration_Minutes(jsii.Number(1))),
		Targets: &[]awsevents.IRuleTarget{awseventstargets.NewLambdaFunction(built["sweeper"], &awseventstargets.LambdaFunctionProps{
			RetryAttempts:   jsii.Number(0),
			DeadLetterQueue: s.dead,
		})},
	})
}

// addDeadLetters keeps the events on which a function failed twice. The right
// to do so is in the function table.
func (s *stack) addDeadLetters(fn awslambda.Function, cfn awslambda.CfnFunction) {
	cfn.AddPropertyOverride(jsii.String("DeadLetterConfig"), map[string]any{"TargetArn": s.dead.QueueArn()})
	fn.ConfigureAsyncInvoke(&awslambda.EventInvokeConfigOptions{
		RetryAttempts: jsii.Number(1),
		MaxEventAge:   awscdk.Duration_Minutes(jsii.Number(5)),
	})
}
