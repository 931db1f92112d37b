package archtest

import (
	"os/exec"
	"strings"
	"testing"
)

// unwanted says what a function must not link: a prefix of import paths, the
// functions that may, and the reason.
var unwanted = []struct {
	path string
	may  string // functions, separated by spaces
	why  string
}{
	{"github.com/aws/aws-cdk-go", "", "CDK belongs to infra"},
	{"github.com/aws/jsii-runtime-go", "", "CDK belongs to infra"},
	{"go.etcd.io/bbolt", "", "the embedded store is for one machine"},
	{"github.com/prometheus", "", "nobody scrapes a function"},
	{"github.com/spf13/cobra", "", "a function has no command line"},
	{"drover/internal/workflow/localworkflow", "", "the cloud has a state machine"},
	{"drover/internal/standalone", "", "wiring of the one process"},
	{"drover/internal/device/sshsim", "", "pretend devices"},
	{"testing", "", "tests"},
	{"golang.org/x/crypto/ssh", "executor", "only the executor reaches devices"},
	{"drover/internal/device/sshdevice", "executor", "only the executor reaches devices"},
	{"drover/internal/api", "enms foreman console", "only functions that answer requests"},
	{"drover/internal/auth", "enms foreman console", "only functions that answer requests"},
	{"drover/internal/api/enms", "enms", "one vendor's words"},
	{"drover/internal/api/foreman", "foreman", "one vendor's words"},
	{"drover/internal/console", "console", "one page's words"},
	{"drover/internal/schedule/localschedule", "", "the cloud has EventBridge Scheduler"},
	{"drover/internal/dispatch", "enms foreman console sweeper trigger", "a task does not submit"},
	{"github.com/aws/aws-sdk-go-v2/service/sfn", "enms foreman console sweeper trigger", "a task does not start executions"},
	{"github.com/aws/aws-sdk-go-v2/service/scheduler", "enms foreman console sweeper trigger", "a task sets no alarm"},
	{"github.com/aws/aws-sdk-go-v2/service/s3", "enms foreman console executor", "the others have no right to the bucket"},
	{"github.com/aws/aws-sdk-go-v2/service/eventbridge", "enms foreman console executor finisher sweeper trigger", "a plan is told to nobody"},
	{"github.com/aws/aws-sdk-go-v2/service/kms", "enms foreman console executor", "the others have no right to the key"},
}

// TestBinaries: no function links what it does not use.
func TestBinaries(t *testing.T) {
	t.Parallel()
	out, err := exec.Command("go", "list", "../../functions/...").Output()
	if err != nil {
		t.Fatal(err)
	}
	for pkg := range strings.FieldsSeq(string(out)) {
		name := pkg[strings.LastIndex(pkg, "/")+1:]
		t.Run(name, func(t *testing.T) {
			out, err := exec.Command("go", "list", "-deps", pkg).Output()
			if err != nil {
				t.Fatal(err)
			}
			for dep := range strings.FieldsSeq(string(out)) {
				for _, u := range unwanted {
					if (dep == u.path || strings.HasPrefix(dep, u.path+"/")) && !strings.Contains(" "+u.may+" ", " "+name+" ") {
						t.Errorf("links %s: %s", dep, u.why)
					}
				}
			}
		})
	}
}
