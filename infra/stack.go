package main

import (
	"strings"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsdynamodb"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsevents"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/aws-cdk-go/awscdk/v2/awskms"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslambda"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslogs"
	"github.com/aws/aws-cdk-go/awscdk/v2/awss3"
	"github.com/aws/aws-cdk-go/awscdk/v2/awss3assets"
	"github.com/aws/aws-cdk-go/awscdk/v2/awssqs"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsstepfunctions"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"

	"drover/statemachines"
)

// stack is the stack while it is being put together.
type stack struct {
	cdk     awscdk.Stack
	params  params
	table   awsdynamodb.ITable
	bucket  awss3.IBucket
	key     awskms.IKey
	bus     awsevents.EventBus
	dead    awssqs.Queue
	net     *network // nil: executors reach devices over the internet
	machine machine
	alarm   scheduler
}

// params are what a deployment may choose.
type params struct {
	admin, concurrency, reserved, keepDays, blobDays, logLevel, rate, burst, email, sampling, foremanUser awscdk.CfnParameter
}

// machine is the state machine by name. Its ARN is put together from the name
// because its own role and the functions that it calls refer to it.
type machine struct{ name, arn, executions *string }

// newStack adds the whole stack to scope. dir holds the built functions.
func newStack(scope constructs.Construct, id, dir string) awscdk.Stack {
	s := &stack{cdk: awscdk.NewStack(scope, &id, &awscdk.StackProps{
		Description: jsii.String("Drover runs jobs on fleets of devices over SSH, without a server to keep"),
	})}
	s.addTags()
	s.addParams()
	s.addData()
	s.addEvents()
	s.addNetwork()
	name := *awscdk.Aws_STACK_NAME() + "-run"
	s.machine = machine{
		name:       &name,
		arn:        s.statesArn("stateMachine", name),
		executions: s.statesArn("execution", name+":*"),
	}
	s.addScheduler()
	built := map[string]awslambda.Function{}
	for _, f := range functions() {
		built[f.name] = s.addFunction(f, dir)
	}
	s.addMachine(built)
	gateway := s.addAPI(built)
	s.addURLs(built)
	s.addSchedule(built)
	s.addAlarms(built, gateway)
	s.output("ApiUrl", "base URL of the APIs", gateway.ApiEndpoint())
	s.output("TableName", "where everything is kept", s.table.TableName())
	s.output("BucketName", "large outputs", s.bucket.BucketName())
	s.output("StateMachineArn", "one execution per run, named by its id", s.machine.arn)
	s.output("KeyArn", "wraps the keyset that seals secrets", s.key.KeyArn())
	s.output("EventBusName", "where events are told", s.bus.EventBusName())
	s.output("DeadLettersUrl", "events that nothing took", s.dead.QueueUrl())
	return s.cdk
}

// addTags marks every resource, with what the context "tags" adds to it:
// "team=net,cost=42".
func (s *stack) addTags() {
	tags := awscdk.Tags_Of(s.cdk)
	tags.Add(jsii.String("service"), jsii.String("drover"), nil)
	for _, pair := range s.contextList("tags") {
		if k, v, ok := strings.Cut(pair, "="); ok && k != "" {
			tags.Add(&k, &v, nil)
		} else {
			panic("context tags: " + pair + " is not NAME=VALUE")
		}
	}
}

// contextText returns a context value, or "".
func (s *stack) contextText(name string) string {
	text, _ := s.cdk.Node().TryGetContext(&name).(string)
	return text
}

// contextList returns the parts of a context value, separated by commas.
func (s *stack) contextList(name string) (parts []string) {
	for part := range strings.SplitSeq(s.contextText(name), ",") {
		if part = strings.TrimSpace(part); part != "" {
			parts = append(parts, part)
		}
	}
	return parts
}

func (s *stack) output(id, description string, value *string) {
	awscdk.NewCfnOutput(s.cdk, &id, &awscdk.CfnOutputProps{Value: value, Description: &description})
}

func (s *stack) statesArn(kind, name string) *string {
	return s.cdk.FormatArn(&awscdk.ArnComponents{Service: jsii.String("states"), Resource: &kind,
		ResourceName: &name, ArnFormat: awscdk.ArnFormat_COLON_RESOURCE_NAME})
}

func (s *stack) addParams() {
	number := func(id, description string, value, least, most float64) awscdk.CfnParameter {
		return awscdk.NewCfnParameter(s.cdk, &id, &awscdk.CfnParameterProps{Type: jsii.String("Number"), Description: &description,
			Default: value, MinValue: &least, MaxValue: &most})
	}
	s.params = params{
		admin: awscdk.NewCfnParameter(s.cdk, jsii.String("AdminPasswordHash"), &awscdk.CfnParameterProps{
			Type: jsii.String("String"), Default: jsii.String(""), NoEcho: jsii.Bool(true),
			AllowedPattern:        jsii.String(`(\$argon2id\$[-A-Za-z0-9+/=,$]{1,240})?`),
			ConstraintDescription: jsii.String("an argon2id hash in PHC form"),
			Description:           jsii.String("password hash of the user admin, made at the first start when there is none"),
		}),
		concurrency: number("Concurrency", "most units of one run at once", 200, 1, 10_000),
		reserved:    number("ExecutorReservedConcurrency", "concurrency reserved for the executor, which is also its upper limit; 0 reserves none", 0, 0, 10_000),
		keepDays:    number("KeepDays", "days that a finished run is kept", 90, 1, 3650),
		blobDays:    number("BlobKeepDays", "days that large outputs are kept; KeepDays and the eight days of the longest run, or more", 98, 9, 3660),
		rate:        number("ApiRateLimit", "requests a second that the gateway lets through", 100, 1, 10_000),
		burst:       number("ApiBurstLimit", "requests at once that the gateway lets through", 200, 1, 5_000),
		email: awscdk.NewCfnParameter(s.cdk, jsii.String("AlarmEmail"), &awscdk.CfnParameterProps{
			Type: jsii.String("String"), Default: jsii.String(""),
			AllowedPattern:        jsii.String(`([^@\s]+@[^@\s]+)?`),
			ConstraintDescription: jsii.String("an e-mail address"),
			Description:           jsii.String("who is told about alarms; nobody when empty"),
		}),
		sampling: awscdk.NewCfnParameter(s.cdk, jsii.String("SampleTraces"), &awscdk.CfnParameterProps{
			Type: jsii.String("String"), Default: jsii.String("yes"), AllowedValues: jsii.Strings("yes", "no"),
			Description: jsii.String("a sampling rule of X-Ray that traces 5 of 100 runs; no leaves it to the account's own rules"),
		}),
		foremanUser: awscdk.NewCfnParameter(s.cdk, jsii.String("ForemanEffectiveUser"), &awscdk.CfnParameterProps{
			Type: jsii.String("String"), Default: jsii.String("root"),
			AllowedPattern:        jsii.String(`[A-Za-z_][-A-Za-z0-9_.@]{0,63}\$?`),
			ConstraintDescription: jsii.String("a user name, or none"),
			Description:           jsii.String("Foreman: who a script runs as when neither the job nor its template says; none is the user that logs in"),
		}),
		logLevel: awscdk.NewCfnParameter(s.cdk, jsii.String("LogLevel"), &awscdk.CfnParameterProps{
			Type: jsii.String("String"), Default: jsii.String("info"), AllowedValues: jsii.Strings("debug", "info", "warn", "error"),
		}),
	}
}

// addData adds what outlives the stack: table, bucket and key are retained. One
// that the context names ("tableName", "bucketName", "keyArn") is used instead,
// as it is: a restored table, or what an earlier stack has left.
func (s *stack) addData() {
	if name := s.contextText("tableName"); name != "" {
		s.table = awsdynamodb.Table_FromTableName(s.cdk, jsii.String("Table"), &name)
	} else {
		s.addTable()
	}
	if name := s.contextText("bucketName"); name != "" {
		s.bucket = awss3.Bucket_FromBucketName(s.cdk, jsii.String("Bucket"), &name)
	} else {
		s.addBucket()
	}
	if arn := s.contextText("keyArn"); arn != "" {
		s.key = awskms.Key_FromKeyArn(s.cdk, jsii.String("Key"), &arn)
	} else {
		s.key = awskms.NewKey(s.cdk, jsii.String("Key"), &awskms.KeyProps{
			Description:       jsii.String("wraps the keyset that seals Drover's secrets"),
			EnableKeyRotation: jsii.Bool(true),
			RemovalPolicy:     awscdk.RemovalPolicy_RETAIN,
		})
	}
}

func (s *stack) addTable() {
	s.table = awsdynamodb.NewTable(s.cdk, jsii.String("Table"), &awsdynamodb.TableProps{
		PartitionKey:                     &awsdynamodb.Attribute{Name: jsii.String(tablePartition), Type: awsdynamodb.AttributeType_BINARY},
		SortKey:                          &awsdynamodb.Attribute{Name: jsii.String(tableSort), Type: awsdynamodb.AttributeType_BINARY},
		TimeToLiveAttribute:              jsii.String(tableExpiry),
		BillingMode:                      awsdynamodb.BillingMode_PAY_PER_REQUEST,
		PointInTimeRecoverySpecification: &awsdynamodb.PointInTimeRecoverySpecification{PointInTimeRecoveryEnabled: jsii.Bool(true)},
		DeletionProtection:               jsii.Bool(true),
		RemovalPolicy:                    awscdk.RemovalPolicy_RETAIN,
	})
}

func (s *stack) addBucket() {
	bucket := awss3.NewBucket(s.cdk, jsii.String("Bucket"), &awss3.BucketProps{
		BlockPublicAccess: awss3.BlockPublicAccess_BLOCK_ALL(),
		Encryption:        awss3.BucketEncryption_S3_MANAGED,
		EnforceSSL:        jsii.Bool(true),
		ObjectOwnership:   awss3.ObjectOwnership_BUCKET_OWNER_ENFORCED,
		RemovalPolicy:     awscdk.RemovalPolicy_RETAIN,
	})
	// A blob must outlive its run's row, which goes KeepDays after the run's
	// end. Templates cannot add, hence the second parameter.
	cfn := bucket.Node().DefaultChild().(awss3.CfnBucket)
	cfn.AddPropertyOverride(jsii.String("LifecycleConfiguration"), map[string]any{"Rules": []any{
		map[string]any{"Id": "expired-runs", "Status": "Enabled", "ExpirationInDays": s.params.blobDays.ValueAsNumber()},
		map[string]any{"Id": "abandoned-uploads", "Status": "Enabled", "AbortIncompleteMultipartUpload": map[string]any{"DaysAfterInitiation": 1}},
	}})
	s.bucket = bucket
}

// What dynamostore expects of its table, with both keys binary; a test
// compares.
const (
	tablePartition = "pk"
	tableSort      = "sk"
	tableExpiry    = "exp"
)

// addFunction adds a function with its role, its one policy and its log.
func (s *stack) addFunction(f function, dir string) awslambda.Function {
	id := f.id()
	log := s.addLog(id+"Log", nil)
	statements := []awsiam.PolicyStatement{statement("WriteLog",
		[]string{"logs:CreateLogStream", "logs:PutLogEvents"}, log.LogGroupArn())}
	for _, r := range f.rights {
		allowed := statement(r.sid, r.actions, s.arn(r.resource))
		if r.passedTo != "" {
			allowed.AddCondition(jsii.String("StringEquals"), map[string]string{"iam:PassedToService": r.passedTo})
		}
		statements = append(statements, allowed)
	}
	if f.network && s.net != nil {
		statements = append(statements, statement(networkSid, networkActions, jsii.String("*")))
	}
	role := s.addRole(id+"Role", "lambda.amazonaws.com", f.name, statements)
	env := map[string]*string{}
	for _, name := range f.env {
		env[name] = s.value(name)
	}
	// What sam local invoke needs to reach an emulator: it replaces only
	// variables that the template declares.
	if endpoint := s.contextText("endpoint"); endpoint != "" {
		env["AWS_ENDPOINT_URL"] = &endpoint
	}
	fn := awslambda.NewFunction(s.cdk, &id, &awslambda.FunctionProps{
		Description:  &f.description,
		Runtime:      awslambda.Runtime_PROVIDED_AL2023(),
		Architecture: s.architecture(),
		Handler:      jsii.String("bootstrap"),
		Code:         awslambda.Code_FromAsset(jsii.String(dir+"/"+f.name), &awss3assets.AssetOptions{}),
		MemorySize:   &f.memory,
		Timeout:      awscdk.Duration_Seconds(&f.seconds),
		Role:         role,
		LogGroup:     log,
		Environment:  &env,
	})
	cfn := fn.Node().DefaultChild().(awslambda.CfnFunction)
	if f.named {
		cfn.SetFunctionName(jsii.String(*awscdk.Aws_STACK_NAME() + "-" + id))
	}
	if f.network && s.net != nil {
		cfn.AddPropertyOverride(jsii.String("VpcConfig"), s.net.config)
	}
	if f.async {
		s.addDeadLetters(fn, cfn)
	}
	if f.limited {
		reserve := awscdk.NewCfnCondition(s.cdk, jsii.String("ReserveConcurrency"), &awscdk.CfnConditionProps{
			Expression: awscdk.Fn_ConditionNot(awscdk.Fn_ConditionEquals(s.params.reserved.ValueAsNumber(), jsii.Number(0))),
		})
		cfn.AddPropertyOverride(jsii.String("ReservedConcurrentExecutions"),
			awscdk.Fn_ConditionIf(reserve.LogicalId(), s.params.reserved.ValueAsNumber(), awscdk.Aws_NO_VALUE()))
	}
	return fn
}

func (s *stack) architecture() awslambda.Architecture {
	if s.contextText("arch") == "x86_64" {
		return awslambda.Architecture_X86_64()
	}
	return awslambda.Architecture_ARM_64()
}

// value is what an environment variable of the functions holds.
func (s *stack) value(name string) *string {
	switch name {
	case envTable:
		return s.table.TableName()
	case envBucket:
		return s.bucket.BucketName()
	case envMachine:
		return s.machine.arn
	case envKey:
		return s.key.KeyArn()
	case envKeep:
		return jsii.String(*s.params.keepDays.ValueAsString() + "d")
	case envConcurrency:
		return s.params.concurrency.ValueAsString()
	case envAdmin:
		return s.params.admin.ValueAsString()
	case envLog:
		return s.params.logLevel.ValueAsString()
	case envBus:
		return s.bus.EventBusName()
	case envGroup:
		return s.alarm.group
	case envTrigger:
		return s.alarm.target
	case envScheduler:
		return s.alarm.role.RoleArn()
	case envLetters:
		return s.dead.QueueArn()
	case envForemanUser:
		return s.params.foremanUser.ValueAsString()
	}
	panic("no value for the environment variable " + name)
}

func (s *stack) arn(r resource) *string {
	switch r {
	case theTable:
		return s.table.TableArn()
	case theObjects:
		return s.bucket.ArnForObjects(jsii.String("*"))
	case theBucket:
		return s.bucket.BucketArn()
	case theKey:
		return s.key.KeyArn()
	case theMachine:
		return s.machine.arn
	case theExecutions:
		return s.machine.executions
	case theBus:
		return s.bus.EventBusArn()
	case theDeadLetters:
		return s.dead.QueueArn()
	case theSchedules:
		return s.alarm.schedules
	case theSchedulerRole:
		return s.alarm.role.RoleArn()
	}
	panic("unknown resource")
}

func statement(sid string, actions []string, resources ...*string) awsiam.PolicyStatement {
	return awsiam.NewPolicyStatement(&awsiam.PolicyStatementProps{
		Sid: &sid, Actions: jsii.Strings(actions...), Resources: &resources,
	})
}

func (s *stack) addRole(id, service, policy string, statements []awsiam.PolicyStatement) awsiam.Role {
	return awsiam.NewRole(s.cdk, &id, &awsiam.RoleProps{
		AssumedBy: awsiam.NewServicePrincipal(&service, nil),
		InlinePolicies: &map[string]awsiam.PolicyDocument{
			policy: awsiam.NewPolicyDocument(&awsiam.PolicyDocumentProps{Statements: &statements}),
		},
	})
}

func (s *stack) addLog(id string, name *string) awslogs.LogGroup {
	return awslogs.NewLogGroup(s.cdk, &id, &awslogs.LogGroupProps{
		LogGroupName: name, Retention: awslogs.RetentionDays_ONE_MONTH, RemovalPolicy: awscdk.RemovalPolicy_DESTROY,
	})
}

// addMachine adds the state machine from the one definition there is.
func (s *stack) addMachine(built map[string]awslambda.Function) {
	substitutions := map[string]*string{}
	var called []*string
	for _, name := range statemachines.Substitutions() {
		fn := built[strings.ToLower(strings.TrimSuffix(name, "FunctionArn"))]
		substitutions[name] = fn.FunctionArn()
		called = append(called, fn.FunctionArn())
	}
	log := s.addLog("RunLog", jsii.String("/aws/vendedlogs/states/"+*s.machine.name))
	role := s.addRole("RunRole", "states.amazonaws.com", "run", []awsiam.PolicyStatement{
		statement("CallTasks", []string{"lambda:InvokeFunction"}, called...),
		statement("StartChildren", []string{"states:StartExecution"}, s.machine.arn),
		statement("FollowAndStopChildren", []string{"states:DescribeExecution", "states:StopExecution"}, s.machine.executions),
		// Log delivery has no resource of its own.
		statement("WriteLog", []string{
			"logs:CreateLogDelivery", "logs:DeleteLogDelivery", "logs:DescribeLogGroups", "logs:DescribeResourcePolicies",
			"logs:GetLogDelivery", "logs:ListLogDeliveries", "logs:PutResourcePolicy", "logs:UpdateLogDelivery",
		}, jsii.String("*")),
		// Neither have traces.
		statement("Trace", []string{
			"xray:GetSamplingRules", "xray:GetSamplingTargets", "xray:PutTelemetryRecords", "xray:PutTraceSegments",
		}, jsii.String("*")),
	})
	awsstepfunctions.NewCfnStateMachine(s.cdk, jsii.String("Run"), &awsstepfunctions.CfnStateMachineProps{
		StateMachineName:        s.machine.name,
		StateMachineType:        jsii.String("STANDARD"),
		RoleArn:                 role.RoleArn(),
		DefinitionString:        jsii.String(statemachines.Run),
		DefinitionSubstitutions: &substitutions,
		TracingConfiguration:    &awsstepfunctions.CfnStateMachine_TracingConfigurationProperty{Enabled: jsii.Bool(true)},
		LoggingConfiguration: &awsstepfunctions.CfnStateMachine_LoggingConfigurationProperty{
			Level: jsii.String("ERROR"), IncludeExecutionData: jsii.Bool(false),
			Destinations: &[]any{&awsstepfunctions.CfnStateMachine_LogDestinationProperty{
				CloudWatchLogsLogGroup: &awsstepfunctions.CfnStateMachine_CloudWatchLogsLogGroupProperty{LogGroupArn: log.LogGroupArn()},
			}},
		},
	})
	s.addSampling()
}
