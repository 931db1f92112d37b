package erb

import (
	"strings"

	"drover/internal/erb/ruby"
)

// pieces cuts a template at its tags. A tag that begins with <%- takes the
// blanks before it, back to the line's beginning or another tag; one that ends with -%> takes the line break behind
// it; <%% stands for <%, and %%> inside a tag for %>. Comments are left out.
func pieces(body string) ([]ruby.Piece, error) {
	var out []ruby.Piece
	line := 1
	var plain strings.Builder
	plainLine := 1
	text := func(s string) {
		if plain.Len() == 0 {
			plainLine = line
		}
		plain.WriteString(s)
		line += strings.Count(s, "\n")
	}
	for rest := body; rest != ""; {
		open := strings.Index(rest, "<%")
		if open < 0 {
			text(rest)
			break
		}
		before, tag := rest[:open], rest[open+2:]
		if strings.HasPrefix(tag, "%") {
			text(before + "<%")
			rest = tag[1:]
			continue
		}
		kind := ruby.PieceCode
		comment := false
		switch {
		case strings.HasPrefix(tag, "-"):
			if trimmed := strings.TrimRight(before, " \t"); trimmed == "" || strings.HasSuffix(trimmed, "\n") {
				before = trimmed
			}
			tag = tag[1:]
		case strings.HasPrefix(tag, "="):
			kind = ruby.PieceValue
			tag = tag[1:]
		case strings.HasPrefix(tag, "#"):
			comment = true
			tag = tag[1:]
		}
		text(before)
		code, behind, ok := tagEnd(tag)
		if !ok {
			return nil, &ruby.Error{Line: line, Text: "a tag is not closed"}
		}
		if plain.Len() > 0 {
			out = append(out, ruby.Piece{Kind: ruby.PieceText, Text: plain.String(), Line: plainLine})
			plain.Reset()
		}
		if !comment {
			out = append(out, ruby.Piece{Kind: kind, Text: strings.ReplaceAll(code, "%%>", "%>"), Line: line})
		}
		line += strings.Count(code, "\n")
		rest = behind
		if strings.HasSuffix(tag[:len(tag)-len(behind)], "-%>") {
			if cut := strings.TrimPrefix(strings.TrimPrefix(behind, "\r"), "\n"); strings.HasSuffix(behind[:len(behind)-len(cut)], "\n") {
				rest = cut
				line++
			}
		}
	}
	if plain.Len() > 0 {
		out = append(out, ruby.Piece{Kind: ruby.PieceText, Text: plain.String(), Line: plainLine})
	}
	return out, nil
}

// tagEnd finds the sign that closes a tag; %%> closes none.
func tagEnd(s string) (code, behind string, ok bool) {
	for i := 0; ; {
		at := strings.Index(s[i:], "%>")
		if at < 0 {
			return "", "", false
		}
		i += at
		if i > 0 && s[i-1] == '%' {
			i += 2
			continue
		}
		return strings.TrimSuffix(s[:i], "-"), s[i+2:], true
	}
}
