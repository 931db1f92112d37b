package search

import "strings"

// kind is the kind of a token, and of a node of the tree.
type kind uint8

const (
	word kind = iota
	lparen
	rparen
	comma
	and
	or
	not
	like
	unlike
	eq
	ne
	gt
	lt
	gte
	lte
	in
	notin
	notnull
	null
	end
)

// symbols are the names of the kinds in messages.
var symbols = [...]string{
	lparen: "lparen", rparen: "rparen", comma: "comma", and: "and", or: "or", not: "not", like: "like", unlike: "unlike", eq: "eq", ne: "ne",
	gt: "gt", lt: "lt", gte: "gte", lte: "lte", in: "in", notin: "notin", notnull: "notnull", null: "null", end: "nil",
}

func (k kind) comparison() bool { return k >= like && k <= notin }

func (k kind) infix() bool { return k == and || k == or }

// token is a word or a symbol, and where it begins.
type token struct {
	kind kind
	text string // of a word its value; of a symbol as it is written
	at   int
	// unclosed says that the word's quote is not closed.
	unclosed bool
}

var operators = map[string]kind{
	"&": and, "&&": and, "|": or, "||": or, "!": not, "-": not, "~": like, "!~": unlike, "=": eq, "==": eq, "!=": ne, "<>": ne,
	">": gt, "<": lt, ">=": gte, "<=": lte, "^": in, "!^": notin,
}

var words = map[string]kind{
	"and": and, "or": or, "not": not, "set?": notnull, "has": notnull, "null?": null, "before": lt, "after": gt, "at": eq,
}

const (
	blanks = " \t\r\n\f\v"
	// operatorStarts begin an operator where a token begins; enders end a word.
	// Between them is what may be within a word but not lead it.
	operatorStarts = "&|=<>^!~-"
	enders         = blanks + "=~<>&|(),"
)

// lex splits a query into tokens.
func lex(query string) []token {
	var tokens []token
	for at := 0; at < len(query); {
		c := query[at]
		switch {
		case strings.IndexByte(blanks, c) >= 0:
			at++
			continue
		case c == '(' || c == ')' || c == ',':
			k := map[byte]kind{'(': lparen, ')': rparen, ',': comma}[c]
			tokens = append(tokens, token{kind: k, text: query[at : at+1], at: at})
			at++
		case strings.IndexByte(operatorStarts, c) >= 0:
			n := 1
			if at+2 <= len(query) {
				if _, ok := operators[query[at:at+2]]; ok {
					n = 2
				}
			}
			tokens = append(tokens, token{kind: operators[query[at:at+n]], text: query[at : at+n], at: at})
			at += n
		case c == '"':
			t, n := lexQuoted(query, at)
			tokens = append(tokens, t)
			at += n
		default:
			n := strings.IndexAny(query[at:], enders)
			if n < 0 {
				n = len(query) - at
			}
			text := query[at : at+n]
			tokens = append(tokens, token{kind: words[strings.ToLower(text)], text: text, at: at})
			at += n
		}
	}
	return tokens
}

// lexQuoted reads the quoted word that begins at a byte, and says how long it is.
func lexQuoted(query string, at int) (token, int) {
	var b strings.Builder
	for i := at + 1; i < len(query); i++ {
		switch query[i] {
		case '"':
			return token{kind: word, text: b.String(), at: at}, i + 1 - at
		case '\\':
			if i++; i == len(query) {
				return token{kind: word, text: b.String(), at: at, unclosed: true}, len(query) - at
			}
		}
		b.WriteByte(query[i])
	}
	return token{kind: word, text: b.String(), at: at, unclosed: true}, len(query) - at
}
