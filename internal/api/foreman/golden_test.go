package foreman_test

import (
	"bytes"
	"encoding/json"
	"regexp"
	"testing"

	"drover/internal/api/apitest"
)

var taskIDs = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}`)

// What is sent and what comes back, for every endpoint, byte for byte but for
// moments and the ids of tasks. The answers are indented here for people.
func TestGolden(t *testing.T) {
	mask := func(body string) string {
		body = taskIDs.ReplaceAllString(plain(body), "TASK")
		var b bytes.Buffer
		if json.Indent(&b, []byte(body), "", " ") != nil {
			return body
		}
		return b.String()
	}
	runOf := func(a apitest.Answer) string {
		if o := decoded(a); a.Status == 201 && o["targeting_id"] != nil {
			return id(o)
		}
		return ""
	}
	for _, name := range []string{"core", "templates", "inputs", "features", "bookmarks", "hosts", "jobs", "recurring", "errors"} {
		t.Run(name, func(t *testing.T) { apitest.Golden(t, apitest.Start(t, apitest.Options{}), name, runOf, mask) })
	}
}
