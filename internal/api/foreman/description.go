package foreman

import (
	"regexp"
	"strings"

	"drover/internal/job"
)

// maxDescription is how long a description may be, in characters.
const maxDescription = 255

// What stands for the value of a hidden input.
const (
	hiddenInDescription = "***"
	hiddenInAnswer      = "*****"
)

var placeholder = regexp.MustCompile(`%\{([^}]+)\}`)

// descriptionFormat is how jobs of a template are described when neither says:
// its name, and its inputs.
func descriptionFormat(inputs []job.Input) string {
	var b strings.Builder
	b.WriteString("%{template_name}")
	for i, in := range inputs {
		if i == 0 {
			b.WriteString(" with inputs")
		}
		b.WriteString(" " + in.Name + `="%{` + in.Name + `}"`)
	}
	return b.String()
}

// describeJob fills a format. A name that is no placeholder, and an input without a
// value, become two apostrophes.
func describeJob(format string, t job.Template, inputs []job.Input, values map[string]string) string {
	if strings.TrimSpace(format) == "" {
		if format = t.DescriptionFormat; strings.TrimSpace(format) == "" {
			format = descriptionFormat(inputs)
		}
	}
	known := map[string]string{"template_name": t.Name, "job_category": t.Category}
	for _, in := range inputs {
		if v, ok := values[in.Name]; ok {
			if in.Hidden {
				v = hiddenInDescription
			}
			known[in.Name] = v
		}
	}
	text := placeholder.ReplaceAllStringFunc(format, func(p string) string {
		if v, ok := known[p[2:len(p)-1]]; ok {
			return v
		}
		return "''"
	})
	return clipRunes(text, maxDescription)
}
