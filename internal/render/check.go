package render

import (
	"errors"
	"strings"

	"go.starlark.net/syntax"
)

// parseExpr parses one expression and refuses what the evaluator would refuse
// whatever the values are.
func (l Limits) parseExpr(src string) (syntax.Expr, error) {
	if len(src) > l.Expression {
		return nil, failure("SyntaxError", "the expression is %d bytes long; at most %d are allowed", len(src), l.Expression)
	}
	tokens, err := scan(src)
	if err != nil {
		return nil, err
	}
	if len(tokens) == 0 {
		return nil, failure("SyntaxError", "the expression is empty")
	}
	if err := constructs(tokens); err != nil {
		return nil, err
	}
	options := &syntax.FileOptions{}
	expr, err := options.ParseExpr("", strings.TrimSpace(src), 0)
	if err != nil {
		var e syntax.Error
		if errors.As(err, &e) {
			return nil, failure("SyntaxError", "%s", e.Msg)
		}
		return nil, failure("SyntaxError", "%v", err)
	}
	return expr, check(expr, l.Depth)
}

// check walks a tree down to depth.
func check(x syntax.Expr, depth int) error {
	if depth == 0 {
		return failure("SyntaxError", "the expression is nested too deeply")
	}
	all := func(list ...syntax.Expr) error {
		for _, x := range list {
			if x != nil {
				if err := check(x, depth-1); err != nil {
					return err
				}
			}
		}
		return nil
	}
	switch x := x.(type) {
	case *syntax.Literal:
		if x.Token == syntax.BYTES {
			return unsupported("bytes literals are not supported")
		}
		return nil
	case *syntax.Ident:
		return checkName(x.Name, false)
	case *syntax.ParenExpr:
		return all(x.X)
	case *syntax.ListExpr:
		return all(x.List...)
	case *syntax.TupleExpr:
		return all(x.List...)
	case *syntax.DictExpr:
		return all(x.List...)
	case *syntax.DictEntry:
		return all(x.Key, x.Value)
	case *syntax.CondExpr:
		return all(x.Cond, x.True, x.False)
	case *syntax.IndexExpr:
		return all(x.X, x.Y)
	case *syntax.SliceExpr:
		return all(x.X, x.Lo, x.Hi, x.Step)
	case *syntax.DotExpr:
		if strings.HasPrefix(x.Name.Name, "_") {
			return unsupported("the attribute %s is not supported", x.Name.Name)
		}
		return all(x.X)
	case *syntax.UnaryExpr:
		if x.Op != syntax.MINUS && x.Op != syntax.PLUS && x.Op != syntax.NOT {
			return unsupported("the operator %s is not supported", x.Op)
		}
		return all(x.X)
	case *syntax.BinaryExpr:
		if !binaryOperators[x.Op] {
			return unsupported("the operator %s is not supported", x.Op)
		}
		return all(x.X, x.Y)
	case *syntax.CallExpr:
		return checkCall(x, all)
	case *syntax.Comprehension:
		return checkComprehension(x, all)
	}
	return unsupported("this kind of expression is not supported")
}

var binaryOperators = map[syntax.Token]bool{
	syntax.PLUS: true, syntax.MINUS: true, syntax.STAR: true, syntax.SLASH: true, syntax.SLASHSLASH: true, syntax.PERCENT: true,
	syntax.EQL: true, syntax.NEQ: true, syntax.LT: true, syntax.GT: true, syntax.LE: true, syntax.GE: true,
	syntax.IN: true, syntax.NOT_IN: true, syntax.AND: true, syntax.OR: true,
}

func checkCall(x *syntax.CallExpr, all func(...syntax.Expr) error) error {
	if id, ok := x.Fn.(*syntax.Ident); ok {
		if err := checkName(id.Name, true); err != nil {
			return err
		}
	}
	if err := all(x.Fn); err != nil {
		return err
	}
	for _, arg := range x.Args {
		switch a := arg.(type) {
		case *syntax.UnaryExpr:
			if a.Op == syntax.STAR || a.Op == syntax.STARSTAR {
				return unsupported("arguments with %s are not supported", a.Op)
			}
		case *syntax.BinaryExpr:
			if a.Op == syntax.EQ {
				arg = a.Y
			}
		}
		if err := all(arg); err != nil {
			return err
		}
	}
	return nil
}

func checkComprehension(x *syntax.Comprehension, all func(...syntax.Expr) error) error {
	for _, c := range x.Clauses {
		var err error
		switch c := c.(type) {
		case *syntax.ForClause:
			if err = checkTarget(c.Vars); err == nil {
				err = all(c.X)
			}
		case *syntax.IfClause:
			err = all(c.Cond)
		}
		if err != nil {
			return err
		}
	}
	return all(x.Body)
}

// checkTarget accepts a name, or names in a row.
func checkTarget(x syntax.Expr) error {
	switch x := x.(type) {
	case *syntax.Ident:
		return nil
	case *syntax.ParenExpr:
		return checkTarget(x.X)
	case *syntax.TupleExpr:
		for _, y := range x.List {
			if _, ok := y.(*syntax.Ident); !ok {
				return unsupported("a comprehension's variables must be plain names")
			}
		}
		return nil
	}
	return unsupported("a comprehension's variables must be plain names")
}

// refusedNames are the system's own names that this version does not offer.
// They come before the run's variables, so they are refused wherever they
// stand.
var refusedNames = map[string]string{
	"set_var":          "set_var is not supported: an expression cannot change values; give them in the payload's variables",
	"get_result":       "get_result is not supported: there are no earlier results",
	"get_all_results":  "get_all_results is not supported: there are no earlier results",
	"get_credential":   "get_credential is not supported: an expression cannot read secrets",
	"encrypt":          "encrypt is not supported",
	"fetch":            "fetch is not supported; use device and devices",
	"fetch_all":        "fetch_all is not supported; use device and devices",
	"factory":          "factory is not supported: an expression cannot change the inventory",
	"delete":           "delete is not supported: an expression cannot change the inventory",
	"log":              "log is not supported",
	"send_email":       "send_email is not supported",
	"get_connection":   "get_connection is not supported",
	"prepend_filepath": "prepend_filepath is not supported: there are no files",
}

// refusedCalls are Python's functions that an expression may not call. A
// variable may have such a name.
var refusedCalls = map[string]bool{
	"open": true, "eval": true, "exec": true, "compile": true, "globals": true, "locals": true, "vars": true, "dir": true, "input": true,
	"print": true, "getattr": true, "setattr": true, "hasattr": true, "delattr": true, "type": true, "isinstance": true, "id": true,
	"map": true, "filter": true, "iter": true, "next": true, "set": true, "frozenset": true, "bytes": true, "bytearray": true, "object": true,
	"super": true, "pow": true, "divmod": true, "chr": true, "ord": true, "hex": true, "oct": true, "bin": true, "format": true, "hash": true,
}

func checkName(name string, called bool) error {
	if text, ok := refusedNames[name]; ok {
		return unsupported("%s", text)
	}
	if strings.HasPrefix(name, "__") || called && refusedCalls[name] {
		return unsupported("%s is not supported", name)
	}
	return nil
}
