package enms

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"

	"drover/internal/api"
	"drover/internal/dispatch"
	"drover/internal/inventory"
)

// What a gateway wraps in an envelope of its own has to be shorter than what
// one process may answer.
func TestWriteAnswer_KeepsToTheLimitOfTheDeployment(t *testing.T) {
	for _, limit := range []int{20 << 10, 100 << 10, api.MaxAnswer} {
		s := &server{Config: Config{MaxAnswer: limit, Log: slog.New(slog.DiscardHandler)}}
		a := &answer{devices: map[string]any{}}
		for _, name := range []string{"R1", "R2", "R3"} {
			a.devices[name] = map[string]any{"result": a.texts.Add(strings.Repeat("y\n", 64<<10)), "success": true}
		}
		w := httptest.NewRecorder()
		s.writeAnswer(w, httptest.NewRequest("GET", "/", nil), a, map[string]any{"devices": a.devices})
		var got struct{ Cut struct{ Texts int } }
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || w.Body.Len() > limit {
			t.Errorf("%d bytes where %d are allowed: %v", w.Body.Len(), limit, err)
		}
		if cut := limit < api.MaxAnswer; cut != (got.Cut.Texts == 3) {
			t.Errorf("limit %d: %d texts are cut", limit, got.Cut.Texts)
		}
	}
}

func TestTargetErrors_FitIntoAnAnswer(t *testing.T) {
	const n = (dispatch.MaxPayload) / 4
	unknown := make([]inventory.Unknown, n)
	for i := range unknown {
		unknown[i] = inventory.Unknown{Kind: inventory.KindDevice, Value: "x"}
	}
	out := targetErrors(unknown)
	if body := mustEncode(map[string]any{"errors": out}); len(body) > api.MaxAnswer/2 {
		t.Errorf("%d bytes", len(body))
	}
	if got, want := out[len(out)-1], fmt.Sprintf("[cut: %d more]", n-maxTargetErrors); got != want {
		t.Errorf("the last one is %q, want %q", got, want)
	}
	if few := targetErrors(unknown[:3]); len(few) != 3 || few[2] != "No device with the name 'x'" {
		t.Errorf("three make %q", few)
	}
}
