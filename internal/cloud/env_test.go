package cloud

import (
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"drover/internal/job"
)

type inner struct {
	Keep time.Duration `env:"KEEP"`
	Log  slog.Level    `env:"LOG,optional"`
}

type sample struct {
	inner
	Table string     `env:"TABLE"`
	Count int        `env:"COUNT,optional"`
	Hash  job.Secret `env:"HASH,optional"`
	Clock func() time.Time
}

func lookup(pairs ...string) func(string) string {
	return func(name string) string {
		for _, p := range pairs {
			if k, v, _ := strings.Cut(p, "="); k == name {
				return v
			}
		}
		return ""
	}
}

func TestRead(t *testing.T) {
	got := sample{Count: 7}
	if err := Read(&got, lookup("TABLE=t", "KEEP=90d", "LOG=warn", "HASH=h")); err != nil {
		t.Fatal(err)
	}
	want := sample{inner: inner{Keep: 90 * 24 * time.Hour, Log: slog.LevelWarn}, Table: "t", Count: 7, Hash: "h"}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(sample{}, inner{}), cmp.Comparer(func(a, b func() time.Time) bool { return a == nil && b == nil })); diff != "" {
		t.Error(diff)
	}
	if names := Variables(&got); !slices.Equal(names, []string{"KEEP", "LOG", "TABLE", "COUNT", "HASH"}) {
		t.Errorf("variables %v", names)
	}
}

func TestRead_NamesWhatIsMissingOrWrong(t *testing.T) {
	for _, c := range []struct {
		env  []string
		want string
	}{
		{nil, "missing in the environment: KEEP, TABLE"},
		{[]string{"TABLE=t"}, "missing in the environment: KEEP"},
		{[]string{"TABLE=t", "KEEP=secret"}, "wrong in the environment: KEEP is not a duration such as 36h or 90d"},
		{[]string{"TABLE=t", "KEEP=-1h", "COUNT=x", "LOG=loud"}, "wrong in the environment: KEEP is not a duration such as 36h or 90d; LOG is not a level (debug, info, warn, error); COUNT is not a number"},
		{[]string{"TABLE=t", "KEEP=1e9d"}, "wrong in the environment: KEEP is not a duration such as 36h or 90d"},
	} {
		err := Read(&sample{}, lookup(c.env...))
		if job.CodeOf(err) != job.Invalid || err.Error() != c.want {
			t.Errorf("%v:\n got %v\nwant %s", c.env, err, c.want)
		}
	}
}
