package dispatch

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
	"unicode"

	"drover/internal/erb"
	"drover/internal/inventory"
	"drover/internal/job"
)

// Bounds of templates and of what a submission may ask for.
const (
	// MaxTimeout is the longest time limit of an attempt, and of a run.
	MaxTimeout = 7 * 24 * time.Hour
	// MaxInputs is the most inputs, includes, or options of an input.
	MaxInputs = 200
	// MaxInputText bounds the texts of one input, in bytes each.
	MaxInputText = 64 << 10
)

// validTemplate refuses what could not be run, and fills what was left out.
func validTemplate(t *job.Template) error {
	if err := validLine("name", t.Name, inventory.MaxName, true); err != nil {
		return err
	}
	if t.Type == "" {
		t.Type = job.TypeScript
	}
	if t.Type != job.TypeScript {
		return fieldUnsupported("type", "the type %.80q is not supported; %s is", string(t.Type), job.TypeScript)
	}
	if err := validTemplateBody(t); err != nil {
		return err
	}
	for _, l := range []struct{ field, text string }{{"category", t.Category}, {"description_format", t.DescriptionFormat}} {
		if err := validLine(l.field, l.text, inventory.MaxDescription, false); err != nil {
			return err
		}
	}
	if err := inventory.ValidText("description", t.Description, inventory.MaxDescription); err != nil {
		return err
	}
	if err := validInputs(t.Inputs); err != nil {
		return err
	}
	if len(t.Includes) > MaxInputs {
		return job.FieldErrorf("includes", "are more than %d", MaxInputs)
	}
	for _, inc := range t.Includes {
		if len(inc.Only) > MaxInputs || len(inc.Except) > MaxInputs {
			return job.FieldErrorf("includes", "name more than %d inputs", MaxInputs)
		}
	}
	if err := validLimits(t.Limits); err != nil {
		return err
	}
	if err := validBecome(&t.Become); err != nil {
		return err
	}
	return boundExtraOf("extra", t.Extra)
}

func validTemplateBody(t *job.Template) error {
	if strings.TrimSpace(t.Body) == "" {
		return job.FieldErrorf("body", "a body is required")
	}
	if err := inventory.ValidText("body", t.Body, inventory.MaxBody); err != nil {
		return err
	}
	switch t.Language {
	case job.LanguageERB:
		if err := erb.Check(t.Body); err != nil {
			return job.FieldErrorf("body", "%s", job.MessageOf(err))
		}
		return nil
	case "", job.LanguageExpression:
		return checkBody(t.Body)
	}
	return fieldUnsupported("language", "the language %.80q is not known", string(t.Language))
}

func validInputs(inputs []job.Input) error {
	if len(inputs) > MaxInputs {
		return job.FieldErrorf("inputs", "are more than %d", MaxInputs)
	}
	seen := map[string]bool{}
	for i := range inputs {
		in := &inputs[i]
		field := func(name string) string { return fmt.Sprintf("inputs[%d].%s", i, name) }
		if err := validLine(field("name"), in.Name, inventory.MaxName, true); err != nil {
			return err
		}
		if seen[in.Name] {
			return job.FieldErrorf("inputs", "the name %q is there twice", in.Name)
		}
		seen[in.Name] = true
		switch in.Kind {
		case "":
			in.Kind = job.InputUser
		case job.InputUser, job.InputFact, job.InputVariable:
		default:
			return job.FieldErrorf(field("kind"), "%.60q is not one of %s, %s and %s", string(in.Kind), job.InputUser, job.InputFact, job.InputVariable)
		}
		if in.Kind != job.InputUser && strings.TrimSpace(in.Source) == "" {
			return job.FieldErrorf(field("source"), "is required for an input of the kind %s", in.Kind)
		}
		for name, text := range map[string]string{"source": in.Source, "description": in.Description, "value_type": in.ValueType, "resource": in.Resource} {
			if err := inventory.ValidText(field(name), text, inventory.MaxDescription); err != nil {
				return err
			}
		}
		if len(in.Options) > MaxInputs {
			return job.FieldErrorf(field("options"), "are more than %d", MaxInputs)
		}
		for _, o := range in.Options {
			if err := inventory.ValidText(field("options"), o, inventory.MaxDescription); err != nil {
				return err
			}
		}
		if in.Default == nil {
			continue
		}
		if err := inventory.ValidText(field("default"), *in.Default, MaxInputText); err != nil {
			return err
		}
		if *in.Default != "" && in.Kind == job.InputUser && !in.Offers(*in.Default) {
			return job.FieldErrorf(field("default"), "is none of the options")
		}
	}
	return nil
}

// validLimits checks limits of which everything may be left out.
func validLimits(l job.Limits) error {
	switch {
	case l.Timeout < 0 || l.Timeout > MaxTimeout:
		return job.FieldErrorf("timeout", "%v is not between 0 and %v", l.Timeout, MaxTimeout)
	case l.RunTimeout < 0 || l.RunTimeout > MaxTimeout:
		return job.FieldErrorf("run_timeout", "%v is not between 0 and %v", l.RunTimeout, MaxTimeout)
	case l.Concurrency < 0 || l.Concurrency > inventory.MaxConcurrency:
		return job.FieldErrorf("concurrency", "%d is not between 0 and %d", l.Concurrency, inventory.MaxConcurrency)
	case l.Retries.Count < 0 || l.Retries.Count > inventory.MaxRetries:
		return job.FieldErrorf("retry_count", "%d is not between 0 and %d", l.Retries.Count, inventory.MaxRetries)
	case l.Retries.Wait < 0 || l.Retries.Wait > inventory.MaxRetryWait:
		return job.FieldErrorf("retry_wait", "%v is not between 0 and %v", l.Retries.Wait, inventory.MaxRetryWait)
	case l.OutputLimit < 0 || l.OutputLimit > inventory.MaxOutputLimit:
		return job.FieldErrorf("output_limit", "%d is not between 0 and %d", l.OutputLimit, inventory.MaxOutputLimit)
	}
	switch l.OnUnknown {
	case "", job.OnUnknownReport, job.OnUnknownRepeat:
	default:
		return job.FieldErrorf("on_unknown", "%.60q is neither %s nor %s", string(l.OnUnknown), job.OnUnknownReport, job.OnUnknownRepeat)
	}
	return validStopAfter(l.StopAfter)
}

func validStopAfter(s job.StopAfter) error {
	switch {
	case s.Count < 0 || s.Percent < 0 || s.Percent > 100 || s.Count > job.MaxTargets:
		return job.FieldErrorf("stop_after", "is a count of devices or from 1 to 100 percent of them")
	case s.Count > 0 && s.Percent > 0:
		return job.FieldErrorf("stop_after", "is either a count or a percentage")
	}
	return nil
}

// validBecome keeps user and method together, as in services: without a user
// there is no method, and the method of a user is sudo unless given.
func validBecome(b *job.Become) error {
	if !userName(b.User) {
		return job.FieldErrorf("become_user", "is not a user name: it may hold letters, digits and _ . - @ \\ + $")
	}
	switch b.Method {
	case "", job.BecomeSudo, job.BecomeSu, job.BecomeDzdo:
	default:
		return job.FieldErrorf("become_method", "%.60q is not one of %s, %s and %s", string(b.Method), job.BecomeSudo, job.BecomeSu, job.BecomeDzdo)
	}
	if b.User != "" && b.Method == "" {
		b.Method = job.BecomeSudo
	}
	return nil
}

// userName reports whether s can be the name of an account on a device; it must
// not be taken for an option of a command. The empty name is one.
func userName(s string) bool {
	if strings.HasPrefix(s, "-") || len(s) > 64 {
		return false
	}
	return strings.IndexFunc(s, func(r rune) bool {
		return (r > unicode.MaxASCII || !unicode.IsLetter(r) && !unicode.IsDigit(r)) && !strings.ContainsRune(`_.-@\+$`, r)
	}) < 0
}

// validLine checks text that stands on one line.
func validLine(field, s string, most int, required bool) error {
	if required && strings.TrimSpace(s) == "" {
		return job.FieldErrorf(field, "is required")
	}
	return inventory.ValidLine(field, s, most)
}

// boundExtraOf bounds what a family keeps with an object.
func boundExtraOf(field string, extra map[string]json.RawMessage) error {
	size := 0
	for k, v := range extra {
		if !json.Valid(v) {
			return job.FieldErrorf(field, "the value of %.60q is not JSON", k)
		}
		size += len(k) + len(v)
	}
	if size > inventory.MaxExtra {
		return job.FieldErrorf(field, "is %d bytes long; at most %d are allowed", size, inventory.MaxExtra)
	}
	return nil
}

func fieldUnsupported(field, format string, args ...any) error {
	e := job.Errorf(job.Unsupported, format, args...)
	e.Field = field
	return e
}
