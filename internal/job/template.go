package job

import (
	"strings"
	"time"
)

// Language is the language that a body is written in.
type Language string

// The languages. The empty one is LanguageExpression.
const (
	LanguageExpression Language = "expression" // {{ expression }}, see package render
	LanguageERB        Language = "erb"        // <%= … %>, see package erb
)

// Template is parameterised work: a body with inputs. It becomes a job when it is
// submitted with values, targets and limits.
type Template struct {
	Meta
	Type        TemplateType `json:"type"`
	Language    Language     `json:"language"`
	Description string       `json:"description,omitempty"`
	Category    string       `json:"category,omitempty"`
	Body        string       `json:"body"`
	Inputs      []Input      `json:"inputs,omitempty"`
	Includes    []Include    `json:"includes,omitempty"`
	Snippet     bool         `json:"snippet,omitempty"` // a part of other templates; cannot be run
	Locked      bool         `json:"locked,omitempty"`

	// DescriptionFormat is how jobs made from it are described; each API family
	// that offers it says in which form.
	DescriptionFormat string `json:"description_format,omitempty"`

	Limits Limits `json:"limits"`

	// Become is the other user that the body runs as. BecomeCaller stands for
	// the login name of whoever submits. BecomeFixed refuses a user named by a
	// submission.
	Become       Become `json:"become"`
	BecomeCaller bool   `json:"become_caller,omitempty"`
	BecomeFixed  bool   `json:"become_fixed,omitempty"`

	ClonedFrom int64 `json:"cloned_from,omitempty"`
}

// InputKind is where the value of an input comes from.
type InputKind string

// The kinds of inputs.
const (
	InputUser     InputKind = "user"     // given at submit
	InputFact     InputKind = "fact"     // a fact of the device, named by Source
	InputVariable InputKind = "variable" // a label of the device, named by Source
)

// Input is a parameter of a template. ID is unique within the tenant.
type Input struct {
	ID          int64     `json:"id"`
	Name        string    `json:"name"`
	Kind        InputKind `json:"kind"`
	Source      string    `json:"source,omitempty"`
	Description string    `json:"description,omitempty"`
	Required    bool      `json:"required,omitempty"`
	Advanced    bool      `json:"advanced,omitempty"` // a hint for forms
	Hidden      bool      `json:"hidden,omitempty"`   // its values are secrets
	Options     []string  `json:"options,omitempty"`  // the values allowed; none: all
	// Default is nil where there is none. That of a hidden input is Redacted
	// wherever it is stored or shown, and DefaultSealed holds it.
	Default       *string   `json:"default,omitempty"`
	DefaultSealed Sealed    `json:"default_sealed,omitempty"`
	ValueType     string    `json:"value_type,omitempty"`
	Resource      string    `json:"resource,omitempty"`
	Created       time.Time `json:"created,omitzero"`
	Updated       time.Time `json:"updated,omitzero"`
}

// Include takes the inputs of another template for one's own.
type Include struct {
	ID         int64    `json:"id"`
	TemplateID int64    `json:"template_id"`
	All        bool     `json:"all,omitempty"`
	Only       []string `json:"only,omitempty"`   // unless All
	Except     []string `json:"except,omitempty"` // taken out of either
}

// What can be wrong with the value of an input.
const (
	InputMissing  = "missing"   // required, and neither given nor by default
	InputBlank    = "blank"     // null, or blank although required
	InputNoOption = "no_option" // none of Options
)

// InputProblem is what is wrong with one input's value.
type InputProblem struct {
	Input string
	What  string // InputMissing, InputBlank or InputNoOption
}

// FillInputs returns the value of every input that has one: the given one, if
// its name is there (a nil pointer is a null), else the default. Problems come
// in order of inputs. Only inputs of the kind user are checked against Options
// and need a value here; names that are no input are the caller's to refuse.
func FillInputs(inputs []Input, given map[string]*string) (values map[string]string, problems []InputProblem) {
	values = map[string]string{}
	for _, in := range inputs {
		v, ok := given[in.Name]
		if !ok {
			v = in.Default
		}
		switch {
		case !ok && v == nil:
			if in.Required && in.Kind == InputUser {
				problems = append(problems, InputProblem{in.Name, InputMissing})
			}
			continue
		case v == nil, in.Required && strings.TrimSpace(*v) == "":
			problems = append(problems, InputProblem{in.Name, InputBlank})
			continue
		case in.Kind == InputUser && !in.Offers(*v):
			problems = append(problems, InputProblem{in.Name, InputNoOption})
			continue
		}
		values[in.Name] = *v
	}
	return values, problems
}

// Offers reports whether a value is one of the options, if there are any. The
// blank one always is, unless the input is required, and so is what stands for the
// value of a hidden input.
func (in Input) Offers(v string) bool {
	if len(in.Options) == 0 || v == "" && !in.Required || in.Hidden && v == Redacted {
		return true
	}
	for _, o := range in.Options {
		if strings.TrimSpace(o) == strings.TrimSpace(v) {
			return true
		}
	}
	return false
}

// Feature is a name under which programs ask for a piece of work, whatever the
// template that does it here. Meta.Name is the label that they use.
type Feature struct {
	Meta
	Title       string `json:"title"`
	Description string `json:"description,omitempty"`
	TemplateID  int64  `json:"template_id,omitempty"` // 0: none does it
	Button      bool   `json:"button,omitempty"`      // shown as a button of a device
}

// SavedQuery is a search under a name. Different owners may use one name: Meta.Name is
// made from the owner, the subject and the title.
type SavedQuery struct {
	Meta
	Title   string `json:"title"`
	Subject string `json:"subject"` // what it searches, e.g. SubjectDevices
	Query   string `json:"query"`
	Public  bool   `json:"public,omitempty"` // else only its creator sees it
}

// SubjectDevices is the subject of queries over devices.
const SubjectDevices = "devices"
