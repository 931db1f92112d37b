package foreman

import (
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"drover/internal/api"
	"drover/internal/job"
)

// lineSet is a piece of a host's output, with the moment when it was there.
type lineSet struct {
	Type string    `json:"output_type"`
	Text *api.Text `json:"output"`
	At   float64   `json:"timestamp"`

	text string
}

// Types of line sets.
const (
	lineStdout = "stdout"
	lineStderr = "stderr"
	lineDebug  = "debug" // said by us, not by the host
)

// What hosts are said to have met.
const (
	msgTimeout = "Timeout for execution passed, trying to stop the job"
	msgAborted = "Task aborted: the task might be still running on the proxy"
)

// outputLines are the line sets of a host of a run. A host that has no task has
// none.
func outputLines(run job.Run, r job.Result) []lineSet {
	if !hasHostTasks(run) {
		return nil
	}
	if r.Ended == nil {
		r.Ended = run.Ended
	}
	return lineSets(r)
}

// lineSets returns the output of a host in the order in which it came: what
// the marks of the output tell apart, what went wrong, and how it ended. Times grow from
// set to set, but for the two streams of one moment.
func lineSets(r job.Result) []lineSet {
	var all []lineSet
	last := 0.0
	add := func(typ, text string, at float64) {
		if text != "" {
			all = append(all, lineSet{Type: typ, text: text, At: at})
			last = at
		}
	}
	o := r.Output
	stdout, stderr := 0, 0
	upTo := func(toOut, toErr int, at float64) {
		toOut, toErr = boundary(o.Stdout, max(toOut, stdout)), boundary(o.Stderr, max(toErr, stderr))
		add(lineStdout, o.Stdout[stdout:toOut], at)
		add(lineStderr, o.Stderr[stderr:toErr], at)
		stdout, stderr = toOut, toErr
	}
	for _, m := range o.Marks {
		at := float64(m.At) / 1e3
		if at <= last {
			at = ticked(last)
		}
		upTo(m.Stdout, m.Stderr, at)
	}
	after := func() float64 { // the moment of what is said about the end
		at := ticked(last)
		if end := firstTime(r.Ended, r.Started); end != nil && epoch(*end) > at {
			at = epoch(*end)
		}
		return at
	}
	if stdout < len(o.Stdout) || stderr < len(o.Stderr) {
		upTo(len(o.Stdout), len(o.Stderr), after())
	}
	if !r.Status.Terminal() {
		return all
	}
	if text := trouble(r); text != "" {
		add(lineDebug, text+"\n", after())
	}
	add(lineStdout, "Exit status: "+exitStatus(r), after())
	return all
}

// ticked is the next moment that a line set can have, in seconds: a millisecond on,
// with no more digits than that.
func ticked(moment float64) float64 { return math.Round((moment+0.001)*1e6) / 1e6 }

// boundary returns the greatest offset up to n that does not split a character.
func boundary(s string, n int) int {
	if n >= len(s) {
		return len(s)
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return n
}

// exitStatus is what the last line says; a command whose end nobody saw has
// none.
func exitStatus(r job.Result) string {
	if r.Exit != nil {
		return strconv.Itoa(*r.Exit)
	}
	return "EXCEPTION"
}

// trouble is what went wrong beyond the exit status, for a person.
func trouble(r job.Result) string {
	var said []string
	switch {
	case r.Status == job.ResultTimedOut:
		said = append(said, msgTimeout)
	case r.Reason == job.ReasonStopUnsure:
		said = append(said, msgAborted)
	}
	switch {
	case r.Reason == job.ReasonExitStatus && r.Exit != nil: // the last line says it
	case r.Message == job.MessageAborted: // said already, in Foreman's words
	case r.Message != "":
		said = append(said, r.Message)
	case len(said) == 0 && r.Status != job.ResultSucceeded:
		said = append(said, reasonText(r))
	}
	return strings.Join(said, "\n")
}

// reasonTexts say a result's reason where it brings no message of its own.
var reasonTexts = map[string]string{
	job.ReasonNeverStarted:   "Canceled before it started",
	job.ReasonStopped:        "Canceled; the command was stopped",
	job.ReasonLost:           "The connection was lost after the command was sent; whether it has run to its end is not known",
	job.ReasonTimeLimit:      "The command was stopped at its time limit",
	job.ReasonKillUnsure:     "Whether the command was stopped is not known",
	job.ReasonCapacity:       "Not started: there was no capacity in time",
	job.ReasonStopAfter:      "Not started: too many hosts had failed",
	job.ReasonDeadline:       "Not started: the job's own time was over",
	job.ReasonRendering:      "The template could not be rendered",
	job.ReasonAuthentication: "Authentication failed",
	job.ReasonHostKeyChanged: "The host's key has changed",
	job.ReasonHostKeyUnknown: "The host's key is not known",
	job.ReasonNoCredential:   "The host has no credential",
	job.ReasonConnect:        "The host could not be reached",
	job.ReasonJump:           "The jump host could not be passed",
	job.ReasonDeviceGone:     "The host was deleted",
	job.ReasonUnsupported:    "The host cannot do this",
}

func reasonText(r job.Result) string {
	if text, ok := reasonTexts[r.Reason]; ok {
		return text
	}
	return strings.TrimSpace(string(r.Status) + " " + r.Reason)
}

// since returns the sets that are later than a moment. The moment is one that an
// answer named, or 0.
func since(all []lineSet, moment float64) []lineSet {
	for i, l := range all {
		if l.At > moment {
			return all[i:]
		}
	}
	return nil
}

// upTo returns the first sets that have at most so many bytes together, at least
// one, and whether some were left out. Sets of one moment stay together: who goes on
// after that moment would miss the second.
func upTo(all []lineSet, bytes int) (some []lineSet, more bool) {
	size, cut := 0, 0
	for i, l := range all {
		if i > 0 && l.At != all[i-1].At {
			cut = i
		}
		if size += len(l.text); size > bytes && cut > 0 {
			return all[:cut], true
		}
	}
	return all, false
}

// concatenated is all text without separators.
func concatenated(all []lineSet) string {
	var b strings.Builder
	for _, l := range all {
		b.WriteString(l.text)
	}
	return b.String()
}

func firstTime(times ...*time.Time) *time.Time {
	for _, t := range times {
		if t != nil {
			return t
		}
	}
	return nil
}
