// Package drover holds no code: the program is in cmd/drover, its parts under
// internal. What stands here tests the documents of this folder.
package drover

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// notRun lists the README's ```text blocks, by their first line, and why each
// is not run here. A block that is not listed fails the test.
var notRun = map[string]string{
	"request                                                                    answer":           "a picture",
	"git clone <this repository> drover && cd drover":                                             "the checkout is already here",
	"$ make test        # everything that this machine can run; what it cannot is listed by name": "CI runs the first two itself, and the third does not end",
	"$ ansible-playbook -i localhost, -c local examples/job.yml":                                  "the end-to-end cases run larger plays of the same collection",
}

type block struct {
	line     int
	commands []command
}

type command struct {
	line int
	text string
	want []string
}

// TestREADME_ConsoleBlocks runs every console block of the README, in order, in
// one shell, in a fresh copy of the checkout, and compares the shape of what
// is printed: numbers, times and ids may differ, words may not; "..." stands
// for any number of lines.
func TestREADME_ConsoleBlocks(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: builds the program and runs it for a minute")
	}
	blocks, texts := readBlocks(t, "README.md")
	if len(blocks) == 0 {
		t.Fatal("the README has no console block")
	}
	for _, first := range texts {
		if notRun[first] == "" {
			t.Errorf("the text block that begins %q is not in the list of those that are not run", first)
		}
	}
	sh := startShell(t, copyCheckout(t))
	for _, b := range blocks {
		for _, c := range b.commands {
			got := sh.run(t, c)
			if miss := compare(c.want, got); miss != "" {
				t.Errorf("README.md:%d: $ %s\n%s\n--- printed:\n%s", c.line, c.text, miss, strings.Join(got, "\n"))
			}
		}
	}
}

func readBlocks(t *testing.T, name string) (blocks []block, texts []string) {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	kind := ""
	for i, line := range strings.Split(string(data), "\n") {
		if fence, ok := strings.CutPrefix(line, "```"); ok {
			if kind != "" {
				kind = ""
				continue
			}
			kind = fence
			if kind == "console" {
				blocks = append(blocks, block{line: i + 1})
			}
			if kind == "text" {
				texts = append(texts, "")
			}
			continue
		}
		switch kind {
		case "text":
			if last := &texts[len(texts)-1]; *last == "" {
				*last = strings.TrimSpace(line)
			}
		case "console":
			b := &blocks[len(blocks)-1]
			if text, ok := strings.CutPrefix(line, "$ "); ok {
				b.commands = append(b.commands, command{line: i + 1, text: text})
				continue
			}
			if len(b.commands) == 0 {
				t.Fatalf("README.md:%d: a console block begins with a command", i+1)
			}
			c := &b.commands[len(b.commands)-1]
			if len(c.want) == 0 && strings.HasSuffix(c.text, `\`) {
				c.text += "\n" + line
				continue
			}
			c.want = append(c.want, line)
		}
	}
	return blocks, texts
}

// copyCheckout copies what git knows of, and what it does not ignore.
func copyCheckout(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("git", "ls-files", "-co", "--exclude-standard", "-z").Output()
	if err != nil {
		t.Skipf("needs a git checkout: %v", err)
	}
	dir := t.TempDir()
	for _, name := range strings.Split(strings.TrimRight(string(out), "\x00"), "\x00") {
		info, err := os.Stat(name)
		if err != nil || !info.Mode().IsRegular() {
			continue // deleted and not yet committed
		}
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		to := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(to, data, info.Mode().Perm()); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

type shell struct {
	in    io.Writer
	lines chan string
}

const endMark = "drover-readme-end"

func startShell(t *testing.T, dir string) *shell {
	t.Helper()
	cmd := exec.Command("bash", "--norc", "--noprofile")
	cmd.Dir = dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	// What somebody has set for his own installation is not for this one.
	env := slices.DeleteFunc(os.Environ(), func(v string) bool {
		return strings.HasPrefix(v, "DROVER_") && !strings.HasPrefix(v, "DROVER_CACHE=")
	})
	cmd.Env = append(env, "PS1=", "TERM=dumb", "COLUMNS=120", "CI=", "MAKEFLAGS=", "MAKELEVEL=")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = w, w
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_ = w.Close()
	s := &shell{in: in, lines: make(chan string, 10_000)}
	go func() {
		sc := bufio.NewScanner(r)
		sc.Buffer(nil, 8<<20)
		for sc.Scan() {
			s.lines <- sc.Text()
		}
		close(s.lines)
	}()
	t.Cleanup(func() {
		// The shell and whatever its commands left in the background, all
		// in the group that we made.
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		_ = cmd.Wait()
		_ = r.Close()
	})
	return s
}

// run runs one command and returns what it printed. A status other than 0
// fails the test.
func (s *shell) run(t *testing.T, c command) []string {
	t.Helper()
	if _, err := fmt.Fprintf(s.in, "%s\necho; echo %s $?\n", c.text, endMark); err != nil {
		t.Fatal(err)
	}
	var got []string
	timeout := time.After(5 * time.Minute)
	for {
		select {
		case line, ok := <-s.lines:
			if !ok {
				t.Fatalf("README.md:%d: the shell ended at $ %s\n%s", c.line, c.text, strings.Join(got, "\n"))
			}
			if status, end := strings.CutPrefix(line, endMark+" "); end {
				if status != "0" {
					t.Errorf("README.md:%d: $ %s ended with status %s", c.line, c.text, status)
				}
				return trimBlank(got)
			}
			got = append(got, line)
		case <-timeout:
			t.Fatalf("README.md:%d: no end of $ %s\n%s", c.line, c.text, strings.Join(got, "\n"))
		}
	}
}

func trimBlank(lines []string) []string {
	for len(lines) > 0 && strings.TrimSpace(lines[len(lines)-1]) == "" {
		lines = lines[:len(lines)-1]
	}
	return lines
}

var (
	progress = regexp.MustCompile(`^.*\r`) // what a progress line overwrote
	ids      = regexp.MustCompile(`\b[0-9A-HJKMNP-TV-Z]{26}\b`)
	base64s  = regexp.MustCompile(`\bAAAA[A-Za-z0-9+/=]{20,}`)
	numbers  = regexp.MustCompile(`[0-9]+([.:][0-9]+)*`)
	units    = regexp.MustCompile(`# ?(ns|µs|us|ms|s|m|kB|MB)\b`)
	spaces   = regexp.MustCompile(`\s+`)
)

// shape is what of a line must be equal.
func shape(line string) string {
	line = progress.ReplaceAllString(line, "")
	line = ids.ReplaceAllString(line, "<id>")
	line = base64s.ReplaceAllString(line, "<key>")
	line = numbers.ReplaceAllString(line, "#")
	line = units.ReplaceAllString(line, "# unit")
	return strings.TrimSpace(spaces.ReplaceAllString(line, " "))
}

// compare returns "" when got has the shape of want.
func compare(want, got []string) string {
	want = trimBlank(want)
	if match(want, got) {
		return ""
	}
	var b bytes.Buffer
	for i := range max(len(want), len(got)) {
		w, g := "", ""
		if i < len(want) {
			w = shape(want[i])
		}
		if i < len(got) {
			g = shape(got[i])
		}
		if w != g && w != "..." {
			fmt.Fprintf(&b, "line %d: the README says %q, printed was %q\n", i+1, w, g)
			break
		}
	}
	return b.String() + "the output has another shape than the README's"
}

func match(want, got []string) bool {
	for len(want) > 0 {
		if strings.TrimSpace(want[0]) == "..." {
			for k := 0; k <= len(got); k++ {
				if match(want[1:], got[k:]) {
					return true
				}
			}
			return false
		}
		if len(got) == 0 || shape(want[0]) != shape(got[0]) {
			return false
		}
		want, got = want[1:], got[1:]
	}
	return len(got) == 0
}

func TestCompare(t *testing.T) {
	for _, c := range []struct {
		want, got string
		same      bool
	}{
		{"25 devices in 1.2 s", "25 devices in 340 ms", true},
		{"run 01JDABCDEFGHJKMNPQRSTVWXYZ ended", "run 01JEABCDEFGHJKMNPQRSTVWXY0 ended", true},
		{"all succeeded", "1 failed", false},
		{"a\n...\nz", "a\nb\nc\nz", true},
		{"a\n...\nz", "a\nb", false},
		{"a\n...", "a", true},
		{"a", "a\nb", false},
		{"done", "10 %\r50 %\rdone", true},
	} {
		if got := compare(strings.Split(c.want, "\n"), strings.Split(c.got, "\n")) == ""; got != c.same {
			t.Errorf("%q and %q: same shape %v, want %v", c.want, c.got, got, c.same)
		}
	}
}
