package main

import (
	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsscheduler"
	"github.com/aws/jsii-runtime-go"
)

// scheduler is what calls the trigger at the times of schedules. The functions put
// their schedules into the group; what they tell Scheduler to call, and as whom, is
// the target and the role. The target's ARN is put together from its name, because the
// trigger itself has to know it.
type scheduler struct {
	group, target, schedules *string
	role                     awsiam.Role
}

// addScheduler adds the group, which takes its schedules with it when it goes, and the
// role that Scheduler calls the trigger in. Only schedules of this group may use it.
func (s *stack) addScheduler() {
	group := awsscheduler.NewCfnScheduleGroup(s.cdk, jsii.String("Schedules"), &awsscheduler.CfnScheduleGroupProps{Name: awscdk.Aws_STACK_NAME()})
	arn := func(service, resource, name string, format awscdk.ArnFormat) *string {
		return s.cdk.FormatArn(&awscdk.ArnComponents{Service: &service, Resource: &resource, ResourceName: &name, ArnFormat: format})
	}
	name := *awscdk.Aws_STACK_NAME()
	target := arn("lambda", "function", name+"-Trigger", awscdk.ArnFormat_COLON_RESOURCE_NAME)
	s.alarm = scheduler{
		group:     group.Ref(),
		target:    target,
		schedules: arn("scheduler", "schedule", name+"/*", awscdk.ArnFormat_SLASH_RESOURCE_NAME),
	}
	principal := awsiam.NewServicePrincipal(jsii.String("scheduler.amazonaws.com"), &awsiam.ServicePrincipalOpts{
		Conditions: &map[string]any{"StringEquals": map[string]any{
			"aws:SourceAccount": awscdk.Aws_ACCOUNT_ID(),
			"aws:SourceArn":     arn("scheduler", "schedule-group", name, awscdk.ArnFormat_SLASH_RESOURCE_NAME),
		}},
	})
	s.alarm.role = awsiam.NewRole(s.cdk, jsii.String("SchedulerRole"), &awsiam.RoleProps{
		AssumedBy: principal,
		InlinePolicies: &map[string]awsiam.PolicyDocument{
			"scheduler": awsiam.NewPolicyDocument(&awsiam.PolicyDocumentProps{Statements: &[]awsiam.PolicyStatement{
				statement("CallTrigger", []string{"lambda:InvokeFunction"}, target),
				statement("KeepFailedAlarms", []string{"sqs:SendMessage"}, s.dead.QueueArn()),
			}}),
		},
	})
}
