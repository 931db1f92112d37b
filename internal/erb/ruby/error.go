package ruby

import (
	"fmt"
	"strings"
)

// clip shortens what a message quotes.
func clip(s string) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	if len(s) > 60 {
		s = strings.ToValidUTF8(s[:60], "") + "..."
	}
	return s
}

// Error is a failure of a template. Line is 0 where none is to be blamed.
type Error struct {
	Line int
	Text string
	// Plain says that the text is the template's own and stands alone.
	Plain bool
}

func (e *Error) Error() string { return fmt.Sprintf("line %d: %s", e.Line, e.Text) }

func failure(line int, format string, args ...any) error {
	return &Error{Line: line, Text: fmt.Sprintf(format, args...)}
}
