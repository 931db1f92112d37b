package foreman

import (
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"drover/internal/job"
)

// maxMetadata bounds the header of an imported template, in bytes.
const maxMetadata = 256 << 10

// metadata is the header of a template's file: YAML in its first ERB comment.
// Import reads it; nothing else does. What a file does not say is empty here, and
// becomes so in the template.
type metadata struct {
	Name              string
	Kind              string // job_template
	Model             string // JobTemplate
	Category          string
	Description       string
	DescriptionFormat string
	Provider          string
	Snippet           bool
	Feature           string // label of the feature that the template may do
	Inputs            []metadataInput
	Sets              []metadataSet
	Organizations     []string
	Locations         []string
}

// metadataInput is one input. Options are lines.
type metadataInput struct {
	Name        string
	Type        string // user, fact or variable
	Description string
	Options     string
	Default     *string // nil: none
	ValueType   string
	Resource    string
	Fact        string
	Variable    string
	Required    bool
	Advanced    bool
	Hidden      bool
}

// metadataSet takes the inputs of another template. Include and Exclude are
// names with commas between them.
type metadataSet struct {
	Template string
	All      bool
	Include  string
	Exclude  string
}

// parseMetadata takes a template's file apart. The body is what is left without
// the first comment, trimmed. A text without comments is a body without metadata.
// The error is job.Invalid.
func parseMetadata(text string) (metadata, string, error) {
	text = strings.ReplaceAll(text, "\r", "")
	before, rest, found := strings.Cut(text, "<%#")
	if !found {
		return metadata{}, strings.TrimSpace(text), nil
	}
	header, after, closed := strings.Cut(rest, "%>")
	if !closed {
		return metadata{}, "", job.Errorf(job.Invalid, "the comment with the metadata is not closed")
	}
	header = strings.TrimSuffix(header, "-")
	if len(header) > maxMetadata {
		return metadata{}, "", job.Errorf(job.Invalid, "the metadata is longer than %d bytes", maxMetadata)
	}
	m, err := readMetadata(header)
	return m, strings.TrimSpace(before + after), err
}

func readMetadata(header string) (metadata, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal([]byte(header), &doc); err != nil {
		return metadata{}, job.Errorf(job.Invalid, "the metadata is not valid YAML: %s", strings.TrimPrefix(err.Error(), "yaml: "))
	}
	if doc.Kind != yaml.DocumentNode || len(doc.Content) != 1 || doc.Content[0].Kind != yaml.MappingNode {
		return metadata{}, job.Errorf(job.Invalid, "the metadata is not a list of names with values")
	}
	var m metadata
	r := &metadataReader{}
	r.pairs(doc.Content[0], func(key string, v *yaml.Node) {
		switch key {
		case "name":
			m.Name = r.text(v)
		case "kind":
			m.Kind = r.text(v)
		case "model":
			m.Model = r.text(v)
		case "job_category":
			m.Category = r.text(v)
		case "description":
			m.Description = r.text(v)
		case "description_format":
			m.DescriptionFormat = r.text(v)
		case "provider_type":
			m.Provider = r.text(v)
		case "snippet":
			m.Snippet = r.flag(v)
		case "feature":
			m.Feature = r.text(v)
		case "organizations":
			m.Organizations = r.texts(v)
		case "locations":
			m.Locations = r.texts(v)
		case "template_inputs":
			r.list(v, func(n *yaml.Node) { m.Inputs = append(m.Inputs, r.input(n)) })
		case "foreign_input_sets":
			r.list(v, func(n *yaml.Node) { m.Sets = append(m.Sets, r.set(n)) })
		}
	})
	return m, r.err
}

// metadataReader reads nodes and keeps the first problem. Nothing is built from
// tags, and aliases are refused: a few lines of them can stand for any number of
// values.
type metadataReader struct{ err error }

func (r *metadataReader) wrong(n *yaml.Node, format string, args ...any) {
	if r.err == nil {
		args = append([]any{n.Line}, args...)
		r.err = job.Errorf(job.Invalid, "line %d of the metadata: "+format, args...)
	}
}

func (r *metadataReader) pairs(n *yaml.Node, f func(key string, v *yaml.Node)) {
	if n.Kind != yaml.MappingNode {
		r.wrong(n, "names with values are wanted here")
		return
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		f(n.Content[i].Value, n.Content[i+1])
	}
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" }

func (r *metadataReader) list(n *yaml.Node, f func(*yaml.Node)) {
	switch {
	case isNull(n):
	case n.Kind == yaml.SequenceNode:
		for _, e := range n.Content {
			f(e)
		}
	default:
		r.wrong(n, "a list is wanted here")
	}
}

// text is a scalar as it was written; null is "".
func (r *metadataReader) text(n *yaml.Node) string {
	switch {
	case n.Kind != yaml.ScalarNode:
		r.wrong(n, "one value is wanted here")
	case n.Tag != "" && n.ShortTag() == "!!binary", !strings.HasPrefix(n.ShortTag(), "!!"):
		r.wrong(n, "values with a type of their own are not supported")
	case !isNull(n):
		return n.Value
	}
	return ""
}

func (r *metadataReader) flag(n *yaml.Node) bool {
	switch t := r.text(n); strings.ToLower(t) {
	case "true", "t", "yes", "y", "on", "1":
		return true
	case "", "false", "f", "no", "n", "off", "0":
		return false
	default:
		r.wrong(n, "true or false is wanted here")
		return false
	}
}

func (r *metadataReader) texts(n *yaml.Node) []string {
	var out []string
	r.list(n, func(e *yaml.Node) { out = append(out, r.text(e)) })
	return out
}

// joined is a text, or a list that is put together.
func (r *metadataReader) joined(n *yaml.Node, sep string) string {
	if n.Kind == yaml.SequenceNode {
		return strings.Join(r.texts(n), sep)
	}
	return r.text(n)
}

func (r *metadataReader) input(n *yaml.Node) metadataInput {
	var in metadataInput
	r.pairs(n, func(key string, v *yaml.Node) {
		switch key {
		case "name":
			in.Name = r.text(v)
		case "input_type":
			in.Type = r.text(v)
		case "description":
			in.Description = r.text(v)
		case "options":
			in.Options = r.joined(v, "\n")
		case "default":
			if !isNull(v) {
				s := r.text(v)
				in.Default = &s
			}
		case "value_type":
			in.ValueType = r.text(v)
		case "resource_type":
			in.Resource = r.text(v)
		case "fact_name":
			in.Fact = r.text(v)
		case "variable_name":
			in.Variable = r.text(v)
		case "required":
			in.Required = r.flag(v)
		case "advanced":
			in.Advanced = r.flag(v)
		case "hidden_value":
			in.Hidden = r.flag(v)
		}
	})
	return in
}

func (r *metadataReader) set(n *yaml.Node) metadataSet {
	var set metadataSet
	r.pairs(n, func(key string, v *yaml.Node) {
		switch key {
		case "template":
			set.Template = r.text(v)
		case "include_all":
			set.All = r.flag(v)
		case "include":
			set.Include = r.joined(v, ",")
		case "exclude":
			set.Exclude = r.joined(v, ",")
		}
	})
	return set
}

// exportTemplate puts a template's file together: parseMetadata of it returns the
// same metadata, and the body trimmed.
func exportTemplate(m metadata, body string) string {
	doc := &yaml.Node{Kind: yaml.MappingNode}
	putText(doc, "name", m.Name)
	putFlag(doc, "snippet", m.Snippet)
	putText(doc, "description", m.Description)
	var inputs, sets []*yaml.Node
	for _, in := range m.Inputs {
		inputs = append(inputs, in.node())
	}
	for _, set := range m.Sets {
		n := &yaml.Node{Kind: yaml.MappingNode}
		putText(n, "template", set.Template)
		putFlag(n, "include_all", set.All)
		putText(n, "include", set.Include)
		putText(n, "exclude", set.Exclude)
		sets = append(sets, n)
	}
	putList(doc, "template_inputs", inputs)
	putList(doc, "foreign_input_sets", sets)
	putList(doc, "organizations", textNodes(m.Organizations))
	putList(doc, "locations", textNodes(m.Locations))
	putText(doc, "feature", m.Feature)
	putText(doc, "model", m.Model)
	putText(doc, "job_category", m.Category)
	putText(doc, "description_format", m.DescriptionFormat)
	putText(doc, "provider_type", m.Provider)
	putText(doc, "kind", m.Kind)
	var b strings.Builder
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	_ = e.Encode(doc) // of nodes made here, into memory
	_ = e.Close()
	header := strings.ReplaceAll(b.String(), "%>", `%\x3E`) // which stands in double quotes only; see textNode
	return "<%#\n" + header + "%>\n\n" + body
}

func (in metadataInput) node() *yaml.Node {
	n := &yaml.Node{Kind: yaml.MappingNode}
	putText(n, "name", in.Name)
	putText(n, "input_type", in.Type)
	putText(n, "description", in.Description)
	putFlag(n, "required", in.Required)
	putFlag(n, "advanced", in.Advanced)
	putText(n, "options", in.Options)
	if in.Default != nil {
		n.Content = append(n.Content, textNode("default"), textNode(*in.Default))
	}
	putText(n, "fact_name", in.Fact)
	putText(n, "variable_name", in.Variable)
	putText(n, "value_type", in.ValueType)
	putText(n, "resource_type", in.Resource)
	putFlag(n, "hidden_value", in.Hidden)
	return n
}

// textNode is a text that reads back as the same text. One that holds what ends a
// comment, or what YAML's block forms would change, goes into double quotes.
func textNode(s string) *yaml.Node {
	n := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: s}
	if strings.Contains(s, "%>") || strings.ContainsAny(s, "\n\t\r") || s == "" {
		n.Style = yaml.DoubleQuotedStyle
	}
	return n
}

func textNodes(list []string) []*yaml.Node {
	var out []*yaml.Node
	for _, s := range list {
		out = append(out, textNode(s))
	}
	return out
}

// putText adds a pair unless its value is blank.
func putText(to *yaml.Node, key, s string) {
	if s != "" {
		to.Content = append(to.Content, textNode(key), textNode(s))
	}
}

func putFlag(to *yaml.Node, key string, on bool) {
	v := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!bool", Value: "false"}
	if on {
		v.Value = "true"
	}
	to.Content = append(to.Content, textNode(key), v)
}

func putList(to *yaml.Node, key string, list []*yaml.Node) {
	if len(list) > 0 {
		to.Content = append(to.Content, textNode(key), &yaml.Node{Kind: yaml.SequenceNode, Content: slices.Clone(list)})
	}
}
