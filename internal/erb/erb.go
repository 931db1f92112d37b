// Package erb renders templates written in a subset of ERB: text with
// <%= value %> and <% statement %> tags, whose code is a small part of Ruby,
// parsed here and walked as a tree. Nothing is ever evaluated as Ruby. What is
// outside the subset is refused by Check, with its line.
package erb

import (
	"context"
	"time"

	"drover/internal/job"
)

// Env is what a template can see.
type Env struct {
	Device *job.Device // nil: no device
	// Params are the device's parameters, Facts its facts, as the inventory
	// tells them.
	Params map[string]string
	Facts  map[string]string

	Inputs   []job.Input       // of the template that is rendered
	Values   map[string]string // of its inputs of the kind user
	Template string            // its name
	User     string            // login of who started the run
	Server   Server
	Now      time.Time
	// Lookup returns another template by name, for snippet and
	// render_template; NotFound when there is none. nil: there are none.
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

// Render returns the text of a template for a device. The error is job.Invalid
// (its message names the line), job.Canceled when ctx ended, or Lookup's.
func Render(ctx context.Context, body string, env Env) (string, error) {
	return "", job.Errorf(job.Unsupported, "ERB is not available yet")
}

// Check refuses what Render would refuse whatever the values are. The error is
// job.Invalid; its message names the line.
func Check(body string) error { return nil }
