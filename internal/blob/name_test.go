package blob

import (
	"path/filepath"
	"strings"
	"testing"

	"drover/internal/job"
)

func FuzzCheckName(f *testing.F) {
	for _, s := range []string{"a", "runs/01J/7.gz", "", "/", "a/", "../a", "a/../b", "a//b", ".", "..a", "a b", "\x00", "é", strings.Repeat("a", 201)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, name string) {
		err := CheckName(name)
		if err != nil {
			if job.CodeOf(err) != job.Invalid {
				t.Fatalf("%q: %v is not Invalid", name, err)
			}
			return
		}
		if !filepath.IsLocal(name) || filepath.ToSlash(filepath.Clean(name)) != name || len(name) > MaxNameBytes {
			t.Fatalf("%q was accepted", name)
		}
		if err := CheckPrefix(name + "/"); err != nil {
			t.Fatalf("%q is a name and no prefix: %v", name, err)
		}
		if CheckPrefix(name) == nil {
			t.Fatalf("%q is a prefix without a slash", name)
		}
	})
}
