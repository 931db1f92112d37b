package enms_test

import (
	"testing"

	"drover/internal/api/apitest"
)

// What is sent and what comes back, byte for byte but for moments and
// durations.
func TestGolden(t *testing.T) {
	mask := func(body string) string {
		return durations.ReplaceAllString(moments.ReplaceAllString(body, "T"), `"duration":"D"`)
	}
	for _, name := range []string{"sync", "async", "refused", "instance"} {
		t.Run(name, func(t *testing.T) {
			apitest.Golden(t, start(t, apitest.Options{}), name, runtimeOf, mask)
		})
	}
}
