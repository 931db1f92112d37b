package main

import (
	"encoding/json"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestLint has cfn-lint judge every shape of the template. It is installed
// under CI=true; elsewhere what is installed is used.
func TestLint(t *testing.T) {
	plain := template(t)
	const script = "../scripts/cfn-lint"
	if exec.Command(script, "installed").Run() != nil {
		if os.Getenv("CI") != "true" {
			t.Skip("cfn-lint is not installed: scripts/cfn-lint install")
		}
		if out, err := exec.Command(script, "install").CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	network := maps.Clone(inVPC)
	network["arch"], network["tags"] = "x86_64", "team=net"
	var files []string
	for name, template := range map[string]object{"plain": plain, "network": synth(t, network)} {
		b, err := json.Marshal(template)
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(t.TempDir(), name+".template.json")
		if err := os.WriteFile(file, b, 0o644); err != nil {
			t.Fatal(err)
		}
		files = append(files, file)
	}
	if out, err := exec.Command(script, append([]string{"check"}, files...)...).CombinedOutput(); err != nil {
		t.Errorf("%v:\n%s", err, out)
	}
	// It must be able to say no.
	broken := filepath.Join(t.TempDir(), "broken.json")
	if err := os.WriteFile(broken, []byte(`{"Resources":{"Q":{"Type":"AWS::SQS::Queue","Properties":{"NoSuch":1}}}}`), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(script, "check", broken).CombinedOutput(); err == nil {
		t.Errorf("a broken template passes: %s", out)
	}
}
