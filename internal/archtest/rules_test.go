package archtest

// A rule says what the ordinary files of one package may import from inside
// the module. Names are relative to internal/; those that begin with a slash
// are relative to the module. A name that ends in "/..." stands for what is
// below it.
type rule struct {
	pkg string
	may []string
	why string
}

// Groups of packages that go together.
var (
	// The ports and the model: what wiring may always see.
	ports = []string{"job", "store", "workflow", "blob", "device", "event", "secret", "auth", "inventory", "schedule"}
	// What the API families and the console are made of.
	edge = []string{"api", "auth", "dispatch", "inventory", "job", "search", "schedule"}
)

var rules = []rule{
	{"job", nil, "the model depends on nothing, so that everything may depend on it"},
	{"/statemachines", nil, "holds the definition and nothing else"},
	{"planner", with("job"), "pure: values in, values out"},
	{"finisher", with("job"), "pure: values in, values out"},
	{"inventory", with("job", "search"), "pure: values in, values out"},
	{"render", with("job"), "pure but for its evaluator"},
	{"secret", with("job"), "seals and opens; knows errors' codes and no more"},
	{"blob", with("job"), "a port"},
	{"event", with("job"), "a port"},
	{"search", with("job"), "pure: a language over whatever a schema describes"},
	{"erb", with("job", "erb/ruby"), "pure: what a template says, and what it may reach"},
	{"erb/ruby", nil, "a language, without a word of what it is used for"},
	{"schedule", with("job"), "a port, and what computes times"},
	{"schedule/localschedule", with("job", "schedule", "store"), "a driver knows its port; it keeps its alarms in the store"},
	{"schedule/ebschedule", with("job", "schedule"), "a driver knows its port"},
	{"schedule/scheduletest", with("job", "schedule"), "a suite knows its port"},
	{"workflow", with("job"), "a port"},
	{"device", with("job"), "a port"},
	{"store", with("job"), "concrete above a small port, never a driver"},
	{"metrics", with("job", "device", "event"), "counts what others tell it"},
	{"fleet", with("job", "inventory"), "reads the fleet file into what inventory accepts"},
	{"auth", with("job", "secret", "store"), "reads users; knows no protocol but Basic"},
	{"executor", with("job", "device", "secret"), "one unit; what it knows of a run comes through its Ledger"},
	{"dispatch", with("job", "store", "workflow", "schedule", "inventory", "search", "render", "erb", "secret", "blob"),
		"the use cases; it never runs a task itself: Settle is handed in as a value"},
	{"task", with("job", "store", "planner", "executor", "finisher", "workflow", "inventory", "render", "erb", "secret", "blob", "event", "device"),
		"loads, calls the pure part, stores; dispatch is upstream"},
	{"api", with("job", "auth"), "what the families share; never a use case"},
	{"api/*", edge, "decode, call once, encode: never another vendor, a driver or a task"},
	{"console", append(with("fleet"), edge...), "as a family; it shares their JSON edge, and takes fleet files"},
	{"lambdahttp", nil, "events in, requests out; what is in them is not its business"},

	{"store/law", with("job", "store"), "the port's laws as code that every driver shares"},
	{"store/boltstore", with("job", "store", "store/law"), "a driver knows its port"},
	{"store/dynamostore", with("job", "store", "store/law"), "a driver knows its port"},
	{"workflow/localworkflow", with("job", "workflow", "store", "task"), "a driver knows its port, and the payloads of the tasks that it gets as values"},
	{"workflow/sfnworkflow", with("job", "workflow"), "a driver knows its port"},
	{"blob/folderblob", with("job", "blob"), "a driver knows its port"},
	{"blob/s3blob", with("job", "blob"), "a driver knows its port"},
	{"secret/kmssecret", with("job", "secret"), "a driver knows its port"},
	{"event/eventlog", with("job", "event"), "a driver knows its port"},
	{"event/webhook", with("job", "event"), "a driver knows its port"},
	{"event/busevents", with("job", "event"), "a driver knows its port"},
	{"device/sshdevice", with("job", "device"), "a driver knows its port"},
	{"device/sshsim", with("job"), "a pretend device shares no code with what reaches it, or both could be wrong together"},

	{"store/dynamotest", nil, "finds DynamoDB Local and makes tables there"},
	{"costtest", nil, "a table of prices; its tests bring up the cloud's tasks and count"},
	{"faulttest", nil, "its tests bring up the tasks and break what is below them"},
	{"store/storetest", with("job", "store", "store/law"), "a suite knows its port"},
	{"workflow/workflowtest", with("job", "workflow", "task", "store"), "a suite knows its port and the tasks' payloads"},
	{"blob/blobtest", with("job", "blob"), "a suite knows its port"},
	{"device/devicetest", with("job", "device", "device/sshsim"), "a suite knows its port and the fleet it runs against"},
	{"api/apitest", with("job", "api", "auth", "dispatch", "inventory", "secret", "store", "store/boltstore", "task", "workflow", "workflow/localworkflow", "blob", "blob/folderblob",
		"device", "device/sshdevice", "device/sshsim", "event", "standalone"),
		"brings up the service behind a family"},

	{"cloud", append(with("store/dynamostore"), ports...), "wiring that all functions share"},
	{"cloud/depot", append(with("cloud", "blob/s3blob", "secret/kmssecret"), ports...), "wiring of those that keep large values and secrets"},
	{"cloud/runs", append(with("cloud", "dispatch", "cloud/bus", "task", "workflow/sfnworkflow", "schedule/ebschedule"), ports...), "wiring of those that start and settle runs"},
	{"cloud/trigger", append(with("cloud", "cloud/runs", "dispatch", "schedule/ebschedule"), ports...), "wiring of what alarms call"},
	{"cloud/front", append(with("cloud", "cloud/depot", "cloud/runs", "dispatch", "api", "lambdahttp"), ports...), "wiring of those that answer requests, whatever they speak"},
	{"cloud/bus", append(with("cloud", "event/eventlog", "event/busevents"), ports...), "wiring of those that tell of events"},
	{"cloud/planner", append(with("cloud", "task"), ports...), "wiring of the task that tells nobody"},
	{"cloud/finisher", append(with("cloud", "cloud/bus", "task"), ports...), "wiring of the task that settles"},
	{"cloud/executor", append(with("cloud", "cloud/depot", "cloud/bus", "task", "device/sshdevice"), ports...), "wiring of the task that does"},
	{"cloud/samtest", with("cloud/cloudtest", "device/sshsim", "secret"), "runs tasks in containers, and brings the device"},
	{"cloud/runtimetest", nil, "runs a function's binary as Lambda does; knows nothing of what is in it"},
	{"cloud/policytest", with("cloud/cloudtest", "device/sshsim", "secret"), "plays cases against a deployed stack; knows AWS and the API"},
	{"cloud/cloudtest", nil, "deploys a template; knows AWS and not Drover"},
	{"standalone", append(with("dispatch", "task", "render", "metrics", "api", "api/*", "console", "store/boltstore", "workflow/localworkflow",
		"blob/folderblob", "device/sshdevice", "schedule/localschedule", "event/webhook", "event/eventlog"), ports...), "wiring of the one process"},
	{"/functions/*", with("cloud", "cloud/front", "cloud/runs", "cloud/trigger", "cloud/planner", "cloud/executor", "cloud/finisher", "api", "api/*", "console"), "read config, wire, start"},
	{"/infra", with("/statemachines", "api"), "the stack is made from the route table and the state machine, not from the code behind them"},
	{"/cmd/drover", with("..."), "the command line; anything above"},
	{"cli", append(with("standalone", "console", "fleet", "api", "device/sshsim", "metrics"), ports...), "the commands of cmd/drover"},
	{"e2etest", with("device/sshsim"), "talks HTTP to whatever runs it, and brings the devices"},
	{"awstest", nil, "finds the emulators; knows AWS and not Drover"},
	{"archtest", nil, "reads files"},
	{"/events", nil, "samples; its tests decode them"},
	{"/scripts/bench", with("..."), "measures; anything above"},
	{"/scripts/localcloud", with("cloud/cloudtest", "secret", "job"), "deploys to an emulator for people, as the tests do"},
	{"/scripts/*", nil, "tools of the build know nothing of what they build"},
	{"/.", nil, "the README's test runs commands"},
	{"demo", append(with("standalone", "device/sshsim", "fleet"), ports...), "shows the one process"},
}

func with(names ...string) []string { return names }

// An outside rule says who may import a package that is not ours.
type outside struct {
	path string // prefix of the import path
	may  []string
	test bool // the rule binds test files too
	why  string
}

var outsideRules = []outside{
	{"github.com/aws/aws-sdk-go-v2", with("store/dynamostore", "blob/s3blob", "secret/kmssecret", "workflow/sfnworkflow", "event/busevents",
		"schedule/ebschedule", "cloud", "cloud/depot", "cloud/runs", "cloud/bus", "cloud/cloudtest", "awstest", "/scripts/localcloud", "store/dynamotest"), false, "AWS stops at the cloud's drivers and wiring"},
	{"github.com/aws/smithy-go", with("store/dynamostore", "blob/s3blob", "secret/kmssecret", "workflow/sfnworkflow", "event/busevents", "schedule/ebschedule"), false,
		"AWS stops at the cloud's drivers and wiring"},
	{"github.com/aws/aws-lambda-go", with("cloud"), false, "Lambda's runtime is started in one place; HTTP events stop at lambdahttp, which decodes them itself"},
	{"github.com/aws/aws-cdk-go", with("/infra"), true, "CDK is large and slow to compile"},
	{"github.com/aws/constructs-go", with("/infra"), true, "as CDK"},
	{"github.com/aws/jsii-runtime-go", with("/infra"), true, "as CDK"},
	{"golang.org/x/crypto/ssh", with("device/sshdevice", "device/sshsim", "*test", "/scripts/bench"), false, "SSH stops at the device's driver and its test partners"},
	{"go.etcd.io/bbolt", with("store/boltstore"), true, "the file's format is one driver's business"},
	{"go.starlark.net", with("render"), true, "the evaluator can be replaced"},
	{"github.com/tink-crypto", with("secret", "secret/kmssecret"), true, "one place seals"},
	{"github.com/prometheus", with("metrics"), false, "one place knows the format"},
	{"github.com/spf13/cobra", with("/cmd/drover", "cli"), true, "the command line is not an API"},
	{"github.com/getkin/kin-openapi", nil, false, "only tests read OpenAPI"},
	{"pgregory.net/rapid", with("*test"), false, "tests only"},
	{"github.com/google/go-cmp", with("*test"), false, "tests only; it panics on what it does not like"},
}

// vendorWords may stand only in their vendor's packages, in the wiring that
// names them, and in the route table.
var vendorWords = map[string][]string{
	"enms": {"api/enms", "/functions/enms", "standalone", "api", "/infra", "/cmd/drover"},
	// In erb it stands in the names of macros: they are words of the templates' language.
	// The benchmark is a client of the family, whose paths have the word in them.
	"foreman": {"api/foreman", "/functions/foreman", "standalone", "api", "/infra", "/cmd/drover", "erb", "/scripts/bench"},
}

// forbiddenNames are no names for packages: they say nothing about what is in
// them, so everything ends up there.
var forbiddenNames = []string{"util", "utils", "helper", "helpers", "common", "types", "misc", "lib", "shared", "base", "models", "interfaces", "impl"}
