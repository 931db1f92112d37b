package sshdevice

import (
	"bytes"
	"encoding/base64"
	"errors"
	"regexp"
	"strconv"
	"strings"

	"drover/internal/device"
	"drover/internal/job"
)

// The command lines below are the only thing that travels as a command line.
// They hold no script, no password, no line break, no single quote and no
// exclamation mark, so that every login shell (csh and fish too) hands them on
// unchanged between single quotes.

// stageOne finds out the process group and session, makes new ones when the
// server did not (a server that is no OpenSSH), and finds a shell. $1 is the
// next stage, $2 the nonce, $3 what the stage needs besides.
const stageOne = `p=0; t=0; if read -r l </proc/$$/stat; then l=${l##*") "}; set -- "$1" "$2" "$3" $l; p=$6; t=$7; ` +
	`else p=$(ps -o pgid= -p $$) && p=$((p+0)) || p=0; fi 2>/dev/null; x=; ` +
	`if [ "$p" -ne $$ ]; then if [ "$p" -ne 0 ] && command -v setsid >/dev/null 2>&1; then x=setsid; p=$$; t=$$; else p=0; t=0; fi; fi; ` +
	`b=sh; if command -v bash >/dev/null 2>&1; then b=bash; fi; exec $x $b -c "$1" drover "$2" "$p" "$t" "$3"`

// evalStage says where it runs, reads the whole script between two nonces, and
// runs it in this same shell with nothing on standard input. A script that
// did not arrive whole does not run.
const evalStage = `printf "\001drover %s %s %s\n" "$1" "$2" "$3" >&2; ` + evalBody

// evalBody is the part of it that reads the script and runs it.
const evalBody = `drover=$(cat; printf x); ` +
	`case $drover in "$1"*"$1"x) ;; *) exit 125;; esac; drover=${drover#"$1"}; drover=${drover%"$1"x}; ` +
	`exec </dev/null; set --; eval "unset drover;$drover"`

// fileStage does the same for another interpreter: $4 is the length of the
// script, the rest the interpreter. The file is gone before the script runs.
const fileStage = `printf "\001drover %s %s %s\n" "$1" "$2" "$3" >&2; ` + fileBody

// fileBody is the part of it that reads the script and runs it.
const fileBody = `umask 077; f=$(mktemp) || exit 125; cat >"$f"; ` +
	`s=$(($(wc -c <"$f"))); set -- $4; if [ "$s" -ne "$1" ]; then rm -f "$f"; exit 125; fi; shift; ` +
	`exec 9<"$f" </dev/null; rm -f "$f"; unset f s; exec "$@" /dev/fd/9`

// killStage kills process group $1 and, when it is the group's own, session
// $2, and says so ($3 is a nonce) when nothing of them is left but zombies.
const killStage = `LC_ALL=C; g=$1; s=$2; n=$3; k=0; i=0; while :; do r=0; ` +
	`if [ -r /proc/self/stat ]; then for f in /proc/[0-9]*/stat; do { read -r l <"$f"; } 2>/dev/null || continue; ` +
	`q=${f#/proc/}; q=${q%/stat}; l=${l##*") "}; set -- $l; case $1 in Z|X|x) continue;; esac; ` +
	`if [ "$3" = "$g" ] || { [ "$g" = "$s" ] && [ "$4" = "$s" ]; }; then r=1; kill -KILL $q 2>/dev/null; fi; done; ` +
	`elif kill -0 -- -$g 2>/dev/null; then r=1; fi; ` +
	`if [ $r = 1 ]; then k=1; kill -KILL -- -$g 2>/dev/null; fi; ` +
	`case $(kill -0 -- -$g 2>&1) in *ermitted*) r=1;; esac; ` +
	`if [ $r = 0 ]; then printf "drover-gone %s %s\n" "$n" "$k"; exit 0; fi; ` +
	`i=$((i+1)); if [ $i -ge 60 ]; then exit 1; fi; sleep 0.05 2>/dev/null || sleep 1; done`

// incompleteStatus is what evalStage and fileStage end with when the script
// did not arrive whole.
const incompleteStatus = 125

// quote puts s between single quotes for a POSIX shell.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// safeUser are the user names that are put on a command line. None ends in a
// backslash: to fish that would escape the quote behind it.
var safeUser = regexp.MustCompile(`^[\pL\pN_.]([\pL\pN_.@\\+$ -]{0,126}[\pL\pN_.@+$ -])?$`)

var errUser = errors.New("the name of the effective user cannot be used")

// launch wraps a stage (already a complete sh command) for the effective user.
func launch(become job.Become, nonce, stage string) (string, error) {
	if become == (job.Become{}) {
		return "exec " + stage, nil
	}
	user := become.User
	if user == "" {
		user = "root"
	}
	if !safeUser.MatchString(user) {
		return "", errUser
	}
	switch become.Method {
	case job.BecomeSudo, job.BecomeDzdo, "":
		program := "sudo"
		if become.Method == job.BecomeDzdo {
			program = "dzdo"
		}
		return "exec " + program + " -H -S -p " + promptOf(nonce) + " -u " + quote(user) + " -- " + stage, nil
	case job.BecomeSu:
		return "exec su -c " + quote("exec "+stage) + " " + quote(user), nil
	}
	return "", errors.New("unknown way to become another user: " + strconv.Quote(string(become.Method)))
}

// promptOf is the password prompt that sudo is told to use. It is recognised
// in the output and taken out of it.
func promptOf(nonce string) string { return "drover-password-" + nonce + ":" }

// request is how a script is sent: the command line and the standard input.
type request struct {
	line  string
	stdin []byte
}

// newRequest frames a script for a platform.
func newRequest(platform string, cmd *device.Command, nonce string) (request, error) {
	if platform == job.PlatformWindows {
		if cmd.Become != (job.Become{}) {
			return request{}, errors.New("windows has no way to become another user over SSH")
		}
		return request{line: windowsLine, stdin: windowsScript(cmd.Script)}, nil
	}
	stage, extra := evalStage, ""
	stdin := make([]byte, 0, len(cmd.Script)+2*len(nonce))
	interpreter, err := shebang(cmd.Script)
	if err != nil {
		return request{}, err
	}
	if interpreter == "" {
		stdin = append(append(append(stdin, nonce...), cmd.Script...), nonce...)
	} else {
		stage, extra = fileStage, strconv.Itoa(len(cmd.Script))+" "+interpreter
		stdin = append(stdin, cmd.Script...)
	}
	line, err := launch(cmd.Become, nonce, "sh -c "+quote(stageOne)+" drover "+quote(stage)+" "+nonce+" "+quote(extra))
	return request{line: line, stdin: stdin}, err
}

var (
	safeInterpreter = regexp.MustCompile(`^[A-Za-z0-9_./+=:, -]+$`)
	errInterpreter  = errors.New("the script's first line names an interpreter in a way that cannot be used")
)

// shebang returns the interpreter of a script whose first line asks for one
// that is no ordinary shell, "" when the shell is to run it.
func shebang(script string) (string, error) {
	rest, ok := strings.CutPrefix(script, "#!")
	if !ok {
		return "", nil
	}
	line, _, _ := strings.Cut(rest, "\n")
	words := strings.Fields(line)
	if len(words) == 0 {
		return "", nil
	}
	program := words[0][strings.LastIndexByte(words[0], '/')+1:]
	if program == "env" && len(words) == 2 {
		program = words[1]
	}
	if program == "sh" || program == "bash" {
		return "", nil
	}
	interpreter := strings.Join(words, " ")
	if !safeInterpreter.MatchString(interpreter) || words[0][0] != '/' {
		return "", errInterpreter
	}
	return interpreter, nil
}

// windowsLine starts PowerShell reading statements from standard input.
const windowsLine = "powershell -NoProfile -NonInteractive -Command -"

// windowsScript puts the script into one statement on one line: PowerShell runs
// what it reads line by line, so half a script would run when it is cut off.
func windowsScript(script string) []byte {
	return []byte("try { & ([ScriptBlock]::Create([Text.Encoding]::UTF8.GetString([Convert]::FromBase64String('" +
		base64.StdEncoding.EncodeToString([]byte(script)) +
		"')))); exit [int]$LASTEXITCODE } catch { [Console]::Error.WriteLine($_); exit 1 }\n\n")
}

// place is where a script runs on the host.
type place struct {
	group   int // process group; 0: not known
	session int
}

// maxHead is how much may stand on standard error before the marker.
const maxHead = 64 << 10

// head reads the beginning of standard error until the marker, by which the
// host says that the script's shell is there, and answers the password prompt.
// It is fed chunks in whatever way they were cut.
type head struct {
	marker []byte
	prompt []byte // sudo's; nil for other methods
	guess  bool   // su: an unfinished line is the prompt

	buf     []byte
	found   bool
	gaveUp  bool
	where   place
	prompts int // how often the password was asked for
}

func newHead(nonce string, become job.Become) *head {
	h := &head{marker: []byte("\x01drover " + nonce + " ")}
	switch {
	case become == (job.Become{}):
	case become.Method == job.BecomeSu:
		h.guess = true
	default:
		h.prompt = []byte(promptOf(nonce))
	}
	return h
}

// passed reports whether the beginning is over: all further bytes are output.
func (h *head) passed() bool { return h.found || h.gaveUp }

// feed takes the next chunk. It returns what is known to be output already:
// what follows the marker, and what stood before it unless someone was asked
// for a password there.
func (h *head) feed(p []byte) []byte {
	if h.passed() {
		return p
	}
	h.buf = append(h.buf, p...)
	if at := bytes.Index(h.buf, h.marker); at >= 0 {
		rest := h.buf[at+len(h.marker):]
		end := bytes.IndexByte(rest, '\n')
		if end < 0 {
			if len(rest) > 64 {
				return h.giveUp()
			}
			return nil
		}
		h.where = parsePlace(string(rest[:end]))
		h.found = true
		before, after := h.buf[:at], rest[end+1:]
		h.buf = nil
		if h.prompt != nil || h.guess || len(before) == 0 {
			return after
		}
		return append(before[:len(before):len(before)], after...)
	}
	if h.prompt != nil {
		for {
			at := bytes.Index(h.buf, h.prompt)
			if at < 0 {
				break
			}
			h.prompts++
			h.buf = append(h.buf[:at], h.buf[at+len(h.prompt):]...)
		}
	}
	if h.guess && h.prompts == 0 && len(h.buf) > 0 && h.buf[len(h.buf)-1] != '\n' &&
		!bytes.Contains(h.buf, h.marker[:1]) {
		h.prompts++
	}
	if len(h.buf) > maxHead {
		return h.giveUp()
	}
	return nil
}

func (h *head) giveUp() []byte {
	h.gaveUp = true
	all := h.buf
	h.buf = nil
	return all
}

// parsePlace reads "GROUP SESSION"; anything else is the unknown place.
// Groups 0 and 1 are never believed: killing them would be a catastrophe.
func parsePlace(s string) place {
	g, t, ok := strings.Cut(s, " ")
	if !ok {
		return place{}
	}
	group, err1 := strconv.ParseUint(g, 10, 31)
	session, err2 := strconv.ParseUint(t, 10, 31)
	if err1 != nil || err2 != nil || group < 2 {
		return place{}
	}
	return place{group: int(group), session: int(session)}
}
