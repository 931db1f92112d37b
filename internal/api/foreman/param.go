package foreman

import "strings"

// param describes a parameter, for the description of the API. Nothing is
// checked by it: clients do that, and handlers read what they need.
type param struct {
	name       string
	typ        paramType
	required   bool
	nilAllowed bool
	doc        string
	validator  string // "" says what the type says
	children   []param
}

// paramType is the type that clients convert a value to.
type paramType string

// The types.
const (
	typeString  paramType = "string"
	typeNumeric paramType = "numeric"
	typeBoolean paramType = "boolean"
	typeHash    paramType = "hash"
	typeArray   paramType = "array"
)

// validators say in words what a type accepts.
var validators = map[paramType]string{
	typeString:  "Must be a String",
	typeNumeric: "Must be a number.",
	typeBoolean: "Must be one of: true, false, 1, 0.",
	typeHash:    "Must be a Hash",
	typeArray:   "Must be an array of any type",
}

func str(name, doc string) param     { return param{name: name, typ: typeString, doc: doc} }
func num(name, doc string) param     { return param{name: name, typ: typeNumeric, doc: doc} }
func boolean(name, doc string) param { return param{name: name, typ: typeBoolean, doc: doc} }
func array(name, doc string) param   { return param{name: name, typ: typeArray, doc: doc} }

// hash is an object. Without children clients send whatever they are given.
func hash(name, doc string, children ...param) param {
	return param{name: name, typ: typeHash, doc: doc, children: children}
}

// must makes a parameter required.
func (p param) must() param { p.required = true; return p }

// null lets a parameter be null.
func (p param) null() param { p.nilAllowed = true; return p }

// oneOf makes clients offer exactly these values.
func (p param) oneOf(values ...string) param {
	p.validator = "Must be one of: " + strings.Join(values, ", ") + "."
	return p
}

// identifier is the id in a path.
func identifier(name string) param {
	p := str(name, "").must()
	p.validator = "Must be an identifier"
	return p
}

// pageParams are those of every collection.
func pageParams() []param {
	return []param{
		str("search", "Filter results"),
		str("order", "Sort and order by a searchable field, e.g. '<field> DESC'"),
		num("page", "Page number, starting at 1"),
		str("per_page", "Number of results per page to return, 'all' to return all results"),
	}
}

// withPage returns params and those of every collection.
func withPage(params ...param) []param { return append(params, pageParams()...) }
