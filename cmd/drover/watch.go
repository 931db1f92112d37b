package main

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode"

	"github.com/schollz/progressbar/v3"
)

// watcher follows a run.
type watcher struct {
	p       *program
	remote  *remote
	run     runInfo
	results bool // print each result once it is there
	show    progress

	first   int          // index of the first result that is not printed yet
	printed map[int]bool // those after it
}

// progress shows how a run goes.
type progress interface {
	at(runInfo)
	hide() // before something else is printed
	done()
}

// wait follows the run to its end.
func (w *watcher) wait(ctx context.Context) error {
	w.printed = map[int]bool{}
	for pause := 100 * time.Millisecond; ; pause = min(pause*3/2, 2*time.Second) {
		err := patiently(ctx, time.Minute, w.tryAgain, func() error {
			return w.remote.call(ctx, http.MethodGet, "runs/"+url.PathEscape(w.run.ID), nil, &w.run)
		})
		if err != nil {
			return err
		}
		w.show.at(w.run)
		if w.results {
			if err := w.news(ctx); err != nil {
				return err
			}
		}
		if w.run.Status.Terminal() {
			return nil
		}
		if err := sleep(ctx, pause); err != nil {
			return err
		}
	}
}

// tryAgain says that the run goes on although nobody answers.
func (w *watcher) tryAgain(err error) {
	w.show.hide()
	w.p.tryAgain(err)
}

// news prints the results that have come since the last time.
func (w *watcher) news(ctx context.Context) error {
	var fresh []result
	err := patiently(ctx, time.Minute, w.tryAgain, func() error {
		fresh = fresh[:0]
		return w.remote.eachResult(ctx, w.run.ID, w.first, func(i int, d result) bool {
			if d.Status.Terminal() && !w.printed[i] {
				fresh = append(fresh, d)
				w.printed[i] = true
			}
			return true
		})
	})
	for w.printed[w.first] {
		delete(w.printed, w.first)
		w.first++
	}
	if len(fresh) > 0 {
		w.show.hide()
	}
	for _, d := range fresh {
		w.p.printResult(d)
	}
	return err
}

// newProgress returns a bar on a terminal, plain lines otherwise, both on
// standard error.
func newProgress(p *program, run runInfo) progress {
	if f, ok := terminal(p.err); ok {
		return &bar{progressbar.NewOptions(run.Counts.Total, progressbar.OptionSetWriter(f), progressbar.OptionSetDescription("run "+run.ID),
			progressbar.OptionShowCount(), progressbar.OptionClearOnFinish(), progressbar.OptionSetPredictTime(false), progressbar.OptionSetWidth(30))}
	}
	return &lines{p: p}
}

type bar struct{ b *progressbar.ProgressBar }

func (b *bar) at(r runInfo) { _ = b.b.Set(finished(r)) }
func (b *bar) hide()        { _ = b.b.Clear() }
func (b *bar) done()        { _ = b.b.Finish() }

// lines are printed at most once a second, and only when something changed.
type lines struct {
	p    *program
	last string
	when time.Time
}

func (l *lines) at(r runInfo) {
	s := r.sentence()
	if now := time.Now(); s != l.last && !r.Status.Terminal() && now.Sub(l.when) >= time.Second {
		l.p.notef("run %s %s\n", r.ID, s)
		l.last, l.when = s, now
	}
}
func (l *lines) hide() {}
func (l *lines) done() {}

// silent shows nothing.
type silent struct{}

func (silent) at(runInfo) {}
func (silent) hide()      {}
func (silent) done()      {}

func finished(r runInfo) int { return r.Counts.Total - r.Counts.Pending - r.Counts.Running }

// clean makes text from outside harmless for a terminal: control characters,
// which could rewrite the screen, are replaced.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && r != '\n' && r != '\t' || unicode.Is(unicode.Bidi_Control, r) {
			return unicode.ReplacementChar
		}
		return r
	}, s)
}

// indent returns output as indented lines, nothing for nothing.
func indent(s string) string {
	s = strings.TrimRight(strings.ReplaceAll(s, "\r\n", "\n"), "\n")
	if s == "" {
		return ""
	}
	return "  " + strings.ReplaceAll(clean(s), "\n", "\n  ") + "\n"
}
