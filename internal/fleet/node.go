package fleet

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// Limits of a file.
const (
	MaxFile  = 64 << 20 // bytes
	maxDepth = 32

	// maxRepeated is how many values aliases may stand for. What is written
	// out has fewer values than bytes.
	maxRepeated = 100_000
)

// read turns a file into a tree of nodes that know their places. JSON has its
// own reader, since YAML's takes some of JSON's escapes for errors.
func read(data []byte) (*yaml.Node, *Problem) {
	if len(data) > MaxFile {
		return nil, &Problem{Message: fmt.Sprintf("the file is larger than %d MiB", MaxFile>>20)}
	}
	if !utf8.Valid(data) {
		line, column := place(data, firstInvalid(data))
		return nil, &Problem{Line: line, Column: column, Message: "the file is not valid UTF-8"}
	}
	if json.Valid(data) {
		return readJSON(data)
	}
	d := yaml.NewDecoder(bytes.NewReader(data))
	var doc yaml.Node
	switch err := d.Decode(&doc); {
	case errors.Is(err, io.EOF):
		return &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map", Line: 1, Column: 1}, nil
	case err != nil:
		return nil, syntax(err)
	}
	var second yaml.Node
	if err := d.Decode(&second); !errors.Is(err, io.EOF) {
		if err != nil {
			return nil, syntax(err)
		}
		return nil, &Problem{Line: second.Line, Column: second.Column, Message: "a second document begins here; a fleet file is one"}
	}
	if len(doc.Content) != 1 {
		return nil, &Problem{Message: "the file holds no document"}
	}
	return doc.Content[0], nil
}

// syntax turns the reader's error into a Problem. Its place, mostly where the
// group, list or text that is wrong begins, is in its text only; a text of
// another form is shown as it is.
func syntax(err error) *Problem {
	p := &Problem{}
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	if at, rest, ok := strings.Cut(text, ": "); ok {
		if n, _ := fmt.Sscanf(at, "line %d", &p.Line); n == 1 {
			p.Column, text = 1, rest
			if slices.ContainsFunc(countedFromZero, func(s string) bool { return strings.HasPrefix(rest, s) }) {
				p.Line++
			}
		}
	}
	p.Message = "this is not valid YAML: " + text
	return p
}

// countedFromZero are the errors whose line the reader counts from 0; that of
// all others it counts from 1. A test knows the difference.
var countedFromZero = []string{"did not find expected key", "did not find expected node content", "did not find expected '-' indicator",
	"did not find expected ',' or", "did not find expected <"}

func firstInvalid(data []byte) int {
	for i := 0; i < len(data); {
		r, n := utf8.DecodeRune(data[i:])
		if r == utf8.RuneError && n <= 1 {
			return i
		}
		i += n
	}
	return len(data)
}

// place turns an offset into line and column.
func place(data []byte, offset int) (line, column int) {
	before := data[:offset]
	return bytes.Count(before, []byte("\n")) + 1, offset - bytes.LastIndexByte(before, '\n')
}

// jsonReader builds nodes from JSON that is known to be valid.
type jsonReader struct {
	data  []byte
	dec   *json.Decoder
	line  int // of the byte at seen
	start int // where that line begins
	seen  int
}

func readJSON(data []byte) (*yaml.Node, *Problem) {
	r := &jsonReader{data: data, dec: json.NewDecoder(bytes.NewReader(data)), line: 1}
	r.dec.UseNumber()
	n, err := r.value(0)
	if err != nil {
		return nil, &Problem{Line: r.line, Column: r.seen - r.start + 1, Message: err.Error()}
	}
	return n, nil
}

// next returns the next token as a node at its place. Delimiters have no kind.
func (r *jsonReader) next() (*yaml.Node, json.Delim, error) {
	at := int(r.dec.InputOffset())
	for at < len(r.data) && bytes.IndexByte([]byte(" \t\r\n,:"), r.data[at]) >= 0 {
		at++
	}
	for ; r.seen < at; r.seen++ {
		if r.data[r.seen] == '\n' {
			r.line, r.start = r.line+1, r.seen+1
		}
	}
	tok, err := r.dec.Token()
	if err != nil {
		return nil, 0, err
	}
	n := &yaml.Node{Kind: yaml.ScalarNode, Line: r.line, Column: r.seen - r.start + 1}
	switch v := tok.(type) {
	case json.Delim:
		n.Kind = 0
		return n, v, nil
	case string:
		n.Tag, n.Value = "!!str", v
	case json.Number:
		n.Tag, n.Value = "!!float", v.String()
		if _, err := strconv.ParseInt(n.Value, 10, 64); err == nil {
			n.Tag = "!!int"
		}
	case bool:
		n.Tag, n.Value = "!!bool", strconv.FormatBool(v)
	case nil:
		n.Tag, n.Value = "!!null", "null"
	}
	return n, 0, nil
}

func (r *jsonReader) value(depth int) (*yaml.Node, error) {
	n, delim, err := r.next()
	if err != nil || delim == 0 {
		return n, err
	}
	if depth > maxDepth {
		return nil, fmt.Errorf("nested more than %d levels deep", maxDepth)
	}
	n.Kind, n.Tag = yaml.SequenceNode, "!!seq"
	if delim == '{' {
		n.Kind, n.Tag = yaml.MappingNode, "!!map"
	}
	for r.dec.More() {
		c, err := r.value(depth + 1)
		if err != nil {
			return nil, err
		}
		n.Content = append(n.Content, c)
	}
	_, _, err = r.next() // the closing delimiter
	return n, err
}
