package secret_test

import (
	"testing"

	"drover/internal/job"
	"drover/internal/secret"
)

func TestDefaults_OfHiddenInputsAreSealed(t *testing.T) {
	h, err := secret.NewKeyset()
	if err != nil {
		t.Fatal(err)
	}
	box, err := secret.NewBox(h)
	if err != nil {
		t.Fatal(err)
	}
	text := func(s string) *string { return &s }
	inputs := []job.Input{
		{ID: 1, Default: text("open")}, {ID: 2, Hidden: true, Default: text("canary")}, {ID: 3, Hidden: true}, {ID: 4, Hidden: true, Default: text("")},
	}
	seal := func(in, had []job.Input) {
		t.Helper()
		if err := box.SealDefaults("t", in, had); err != nil {
			t.Fatal(err)
		}
	}
	seal(inputs, nil)
	if *inputs[0].Default != "open" || *inputs[1].Default != job.Redacted || !inputs[1].DefaultSealed.Set() || inputs[2].Default != nil || *inputs[3].Default != "" {
		t.Fatalf("sealed %+v", inputs)
	}
	clear, err := box.OpenDefaults("t", inputs)
	if err != nil || *clear[0].Default != "open" || *clear[1].Default != "canary" || *inputs[1].Default != job.Redacted {
		t.Fatalf("opened %+v, %v", clear, err)
	}
	if _, err := box.OpenDefaults("other", inputs); job.CodeOf(err) != job.Corrupt {
		t.Errorf("another tenant: %v", err)
	}
	same := []job.Input{{ID: 2, Hidden: true, Default: text("canary")}, inputs[1]}
	seal(same, inputs)
	for i := range same {
		if string(same[i].DefaultSealed) != string(inputs[1].DefaultSealed) {
			t.Errorf("%d: what is the same was sealed again", i)
		}
	}
	other := []job.Input{{ID: 2, Hidden: true, Default: text("new")}}
	seal(other, inputs)
	if clear, err := box.OpenDefaults("t", other); err != nil || *clear[0].Default != "new" {
		t.Errorf("changed %+v, %v", clear, err)
	}
	bare := []job.Input{inputs[1]}
	bare[0].Hidden = false
	seal(bare, inputs)
	if bare[0].Default != nil || bare[0].DefaultSealed.Set() {
		t.Errorf("hidden no longer: %+v", bare)
	}
}
