package main

import (
	"path/filepath"
	"strings"

	"drover/internal/api"
)

// function is a row of the function table: all that differs between the
// functions of the stack.
type function struct {
	name        string
	description string
	memory      float64 // MB; the share of a CPU grows with it
	seconds     float64 // time limit
	env         []string
	rights      []right
	family      string // answers the routes of this API family
	limited     bool   // takes the reserved concurrency
	patient     bool   // has a URL of its own, for callers that wait longer than the gateway does
	async       bool   // is invoked by events, which go to the dead letters when it fails
	named       bool   // has a name made of the stack's and its own, so that its ARN is known beforehand
	network     bool   // reaches devices: is put into the VPC, if there is one
}

// right is what one statement of a function's policy allows.
type right struct {
	sid      string
	actions  []string
	resource resource
	passedTo string // iam:PassRole: the service that alone may get the role
}

// resource names what a right is about; the stack knows the ARNs.
type resource int

const (
	theTable resource = iota
	theObjects
	theBucket
	theKey
	theMachine
	theExecutions
	theBus
	theDeadLetters
	theSchedules
	theSchedulerRole
)

// The environment variables that functions may have. Each function's config
// struct in internal/cloud declares the ones it reads, and a test compares.
const (
	envTable       = "DROVER_TABLE"
	envBucket      = "DROVER_BUCKET"
	envMachine     = "DROVER_STATE_MACHINE_ARN"
	envKey         = "DROVER_KMS_KEY_ID"
	envKeep        = "DROVER_KEEP"
	envConcurrency = "DROVER_CONCURRENCY"
	envAdmin       = "DROVER_ADMIN_PASSWORD_HASH"
	envLog         = "DROVER_LOG"
	envBus         = "DROVER_EVENT_BUS"
	envGroup       = "DROVER_SCHEDULE_GROUP"
	envTrigger     = "DROVER_TRIGGER_ARN"
	envScheduler   = "DROVER_SCHEDULER_ROLE_ARN"
	envLetters     = "DROVER_DEAD_LETTERS_ARN"
	envForemanUser = "DROVER_FOREMAN_EFFECTIVE_USER"
)

// The rights that several functions have. A transaction needs the rights of
// the writes in it.
var (
	readTable  = right{sid: "ReadTable", actions: []string{"dynamodb:BatchGetItem", "dynamodb:GetItem", "dynamodb:Query"}, resource: theTable}
	writeTable = right{sid: "WriteTable", actions: []string{"dynamodb:ConditionCheckItem", "dynamodb:DeleteItem", "dynamodb:PutItem", "dynamodb:UpdateItem"},
		resource: theTable}
	readBlobs  = right{sid: "ReadBlobs", actions: []string{"s3:GetObject"}, resource: theObjects}
	writeBlobs = right{sid: "WriteBlobs", actions: []string{"s3:PutObject"}, resource: theObjects}
	missBlobs  = right{sid: "TellMissingBlobs", actions: []string{"s3:ListBucket"}, resource: theBucket} // else a missing object is a 403
	makeKeyset = right{sid: "MakeAndOpenKeyset", actions: []string{"kms:Decrypt", "kms:Encrypt"}, resource: theKey}
	openKeyset = right{sid: "OpenKeyset", actions: []string{"kms:Decrypt"}, resource: theKey}
	startRuns  = right{sid: "StartRuns", actions: []string{"states:StartExecution"}, resource: theMachine}
	stopRuns   = right{sid: "StopRuns", actions: []string{"states:StopExecution"}, resource: theExecutions}
	followRuns = right{sid: "FollowRuns", actions: []string{"states:DescribeExecution"}, resource: theExecutions}
	tellBus    = right{sid: "TellBus", actions: []string{"events:PutEvents"}, resource: theBus}
	keepEvents = right{sid: "KeepFailedEvents", actions: []string{"sqs:SendMessage"}, resource: theDeadLetters}
	setAlarms  = right{sid: "SetAlarms", actions: []string{"scheduler:CreateSchedule", "scheduler:DeleteSchedule", "scheduler:UpdateSchedule"},
		resource: theSchedules}
	passScheduler = right{sid: "PassSchedulerRole", actions: []string{"iam:PassRole"}, resource: theSchedulerRole, passedTo: "scheduler.amazonaws.com"}

	// eNMS's API makes no schedules. An alarm of a run that it cancels rings once more,
	// and the trigger removes it.
	enmsRights  = []right{readTable, writeTable, readBlobs, writeBlobs, missBlobs, makeKeyset, startRuns, stopRuns, tellBus}
	frontRights = append([]right{setAlarms, passScheduler}, enmsRights...)
	alarmEnv    = []string{envGroup, envTrigger, envScheduler, envLetters}
	frontEnv    = append([]string{envTable, envBucket, envMachine, envKey, envKeep, envAdmin, envLog, envBus}, alarmEnv...)
)

// functions returns the function table.
func functions() []function {
	return []function{
		{
			name: "enms", description: "eNMS REST API", family: api.FamilyENMS, memory: 512, seconds: 900, patient: true,
			env: frontEnv, rights: enmsRights,
		},
		{
			name: "foreman", description: "Foreman's API of remote execution", family: api.FamilyForeman, memory: 512, seconds: 900, patient: true,
			env: append([]string{envForemanUser}, frontEnv...), rights: frontRights,
		},
		{
			name: "console", description: "Drover's own API", family: api.FamilyConsole, memory: 512, seconds: 30,
			env: frontEnv, rights: frontRights,
		},
		{
			name: "planner", description: "Plan: units, map and deadline of a run", memory: 256, seconds: 120,
			env: []string{envTable, envKeep, envConcurrency, envLog}, rights: []right{readTable, writeTable},
		},
		{
			name: "executor", description: "Execute: one unit on its devices", memory: 256, seconds: 900, limited: true, network: true,
			env:    []string{envTable, envBucket, envKey, envKeep, envLog, envBus},
			rights: []right{readTable, writeTable, readBlobs, writeBlobs, missBlobs, openKeyset, tellBus},
		},
		{
			name: "finisher", description: "Finish: settles a run", memory: 512, seconds: 300,
			env: []string{envTable, envKeep, envLog, envBus}, rights: []right{readTable, writeTable, tellBus},
		},
		{
			name: "sweeper", description: "every minute: starts what was accepted, ends what is overdue", memory: 256, seconds: 300, async: true,
			env:    append([]string{envTable, envMachine, envKeep, envLog, envBus}, alarmEnv...),
			rights: []right{readTable, writeTable, startRuns, stopRuns, followRuns, setAlarms, passScheduler, tellBus, keepEvents},
		},
		{
			name: "trigger", description: "starts the run of a schedule that is due, and makes the next one", memory: 256, seconds: 120, async: true, named: true,
			env:    append([]string{envTable, envMachine, envKeep, envLog, envBus}, alarmEnv...),
			rights: []right{readTable, writeTable, startRuns, setAlarms, passScheduler, tellBus, keepEvents},
		},
	}
}

// id is the logical name of a function in the stack.
func (f function) id() string { return strings.ToUpper(f.name[:1]) + f.name[1:] }

// bootstrap is the path of a built function.
func bootstrap(dir, name string) string { return filepath.Join(dir, name, "bootstrap") }
