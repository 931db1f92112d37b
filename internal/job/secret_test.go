package job_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"drover/internal/job"
)

// No way of printing, logging or encoding shows a secret by mistake.
func TestSecret_ShowsNothing(t *testing.T) {
	v := struct {
		Name   string
		Secret job.Secret
		Map    map[string]job.Secret
	}{"lab", "canary", map[string]job.Secret{"k": "canary"}}
	var logged bytes.Buffer
	for _, h := range []slog.Handler{slog.NewTextHandler(&logged, nil), slog.NewJSONHandler(&logged, nil)} {
		slog.New(h).Info("x", "secret", v.Secret, "all", v)
	}
	encoded := func(b []byte, err error) string {
		if err != nil {
			t.Error(err)
		}
		return string(b)
	}
	for how, out := range map[string]string{
		"fmt":  fmt.Sprintf("%s %v %+v %#v %q %x %d", v.Secret, v, v, v, v.Secret, v.Secret, v.Secret),
		"err":  fmt.Errorf("login: %w", job.Errorf(job.Invalid, "%v", v.Secret)).Error(),
		"json": encoded(json.Marshal(v)),
		"yaml": encoded(yaml.Marshal(v)),
		"xml":  encoded(xml.Marshal(v.Secret)),
		"slog": logged.String(),
	} {
		if strings.Contains(out, "canary") || strings.Contains(out, "63616e617279") || !strings.Contains(out, job.Redacted) {
			t.Errorf("%s: %s", how, out)
		}
	}
	if v.Secret.Reveal() != "canary" || job.Secret("").String() != "" {
		t.Error("Reveal shows the secret, and nothing is nothing")
	}
}
