// Package erb renders templates written in a subset of ERB: text with
// <%= value %> and <% statement %> tags, whose code is a small part of Ruby,
// parsed and walked as a tree by package ruby. Nothing is ever evaluated as Ruby.
// What is outside the subset is refused by Check, with its line.
package erb

import (
	"context"
	"errors"
	"time"

	"drover/internal/erb/ruby"
	"drover/internal/job"
)

// Env is what a template can see.
type Env struct {
	Device *job.Device // nil: no device
	// Params are the device's parameters, Facts its facts, as the inventory
	// tells them.
	Params map[string]string
	Facts  map[string]string

	// Groups returns the names of the pools that the device is in; the first is
	// its hostgroup. It is called at most once, and only if a template asks. nil:
	// there are none.
	Groups func(ctx context.Context) ([]string, error)

	Inputs   []job.Input       // of the template that is rendered
	Values   map[string]string // of its inputs of the kind user
	Template string            // its name
	User     string            // login of who started the run
	Server   Server
	Now      time.Time // zero: the time of the rendering
	Preview  bool      // the text is shown, not run
	// Lookup returns another template by name, for snippet and
	// render_template; NotFound when there is none. It is called once for each
	// name. nil: there are none.
	Lookup func(ctx context.Context, name string) (Included, error)
}

// Included is another template with its effective inputs.
type Included struct {
	Body    string
	Inputs  []job.Input
	Snippet bool
}

// Server is this installation.
type Server struct{ Name, URL string }

// Bounds of a rendering. Those of the language are in package ruby.
const (
	MaxSource  = 1 << 20 // bytes of a template
	maxOutput  = 4 << 20
	maxSteps   = 100_000
	maxMemory  = 32 << 20 // bytes of all values made
	maxTime    = 2 * time.Second
	maxInclude = 8  // templates in one another
	maxLookups = 50 // templates asked for
)

// Render returns the text of a template for a device. The error is job.Invalid
// (its message names the line, but for what the template or its inputs say
// themselves), job.Canceled when ctx ended, or Lookup's.
func Render(ctx context.Context, body string, env Env) (string, error) {
	t, err := parsed.get(body)
	if err != nil {
		return "", outer(ctx, err)
	}
	limited, cancel := context.WithTimeout(ctx, maxTime)
	defer cancel()
	if env.Now.IsZero() {
		env.Now = time.Now()
	}
	r := &rendering{env: &env, found: map[string]*Included{}, cached: map[string]ruby.Value{}}
	m := ruby.NewMachine(limited, ruby.Limits{Steps: maxSteps, Memory: maxMemory, Output: maxOutput})
	text, err := m.Run(t, &scope{r: r, name: env.Template, inputs: env.Inputs, values: env.Values})
	return text, outer(ctx, err)
}

// Check refuses what Render would refuse whatever the values are. The error is
// job.Invalid; its message names the line.
func Check(body string) error {
	_, err := parse(body)
	return outer(context.Background(), err)
}

func parse(body string) (*ruby.Program, error) {
	if len(body) > MaxSource {
		return nil, job.Errorf(job.Invalid, "the template is %d bytes long; at most %d are allowed", len(body), MaxSource)
	}
	list, err := pieces(body)
	if err != nil {
		return nil, err
	}
	return ruby.Parse(list, &vocabulary)
}

// outer is an error as callers get it.
func outer(ctx context.Context, err error) error {
	var e *ruby.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &e) && (e.Plain || e.Line == 0):
		return job.Errorf(job.Invalid, "%s", e.Text)
	case errors.As(err, &e):
		return job.Errorf(job.Invalid, "line %d: %s", e.Line, e.Text)
	case errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded):
		if ctx.Err() != nil {
			return job.Wrap(job.Canceled, ctx.Err(), "rendering was stopped")
		}
		return job.Errorf(job.Invalid, "rendering takes too long")
	}
	return err
}
