package render

import (
	"context"
	"math/big"

	"go.starlark.net/starlark"
	"go.starlark.net/syntax"
)

// evaluation is the rendering of one text: its budget and its names.
type evaluation struct {
	budget
	limits Limits
	env    Env
	names  names
	bound  []binding // variables of comprehensions, innermost last
}

type binding struct {
	name  string
	value starlark.Value
}

func newEvaluation(ctx context.Context, l Limits, env Env) *evaluation {
	return &evaluation{budget: budget{ctx: ctx, steps: l.Steps, memory: l.Memory}, limits: l, env: env}
}

// render returns str() of an expression's value.
func (e *evaluation) render(x syntax.Expr) (string, error) {
	if err := e.ended(); err != nil {
		return "", err
	}
	v, err := e.eval(x)
	if err != nil {
		return "", err
	}
	return e.str(v)
}

// eval walks the tree. The operators are our own and not the library's, which
// would allocate first and be asked afterwards.
func (e *evaluation) eval(x syntax.Expr) (starlark.Value, error) {
	if err := e.step(1); err != nil {
		return nil, err
	}
	switch x := x.(type) {
	case *syntax.Literal:
		return e.literal(x)
	case *syntax.Ident:
		return e.lookUp(x.Name)
	case *syntax.ParenExpr:
		return e.eval(x.X)
	case *syntax.ListExpr:
		elems, err := e.evalAll(x.List)
		if err != nil {
			return nil, err
		}
		return e.list(elems)
	case *syntax.TupleExpr:
		elems, err := e.evalAll(x.List)
		return starlark.Tuple(elems), err
	case *syntax.DictExpr:
		return e.dictDisplay(x)
	case *syntax.CondExpr:
		return e.cond(x)
	case *syntax.UnaryExpr:
		return e.unaryExpr(x)
	case *syntax.BinaryExpr:
		return e.binaryExpr(x)
	case *syntax.IndexExpr:
		return e.both(x.X, x.Y, e.index)
	case *syntax.SliceExpr:
		return e.sliceExpr(x)
	case *syntax.DotExpr:
		return e.dotExpr(x)
	case *syntax.CallExpr:
		return e.callExpr(x)
	case *syntax.Comprehension:
		return e.comprehension(x)
	}
	return nil, unsupported("this kind of expression is not supported")
}

// both evaluates two operands and applies f.
func (e *evaluation) both(x, y syntax.Expr, f func(a, b starlark.Value) (starlark.Value, error)) (starlark.Value, error) {
	a, err := e.eval(x)
	if err != nil {
		return nil, err
	}
	b, err := e.eval(y)
	if err != nil {
		return nil, err
	}
	return f(a, b)
}

func (e *evaluation) evalAll(list []syntax.Expr) ([]starlark.Value, error) {
	if err := e.allocN(int64(len(list)), sizeValue); err != nil {
		return nil, err
	}
	out := make([]starlark.Value, len(list))
	for i, x := range list {
		var err error
		if out[i], err = e.eval(x); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (e *evaluation) literal(x *syntax.Literal) (starlark.Value, error) {
	switch v := x.Value.(type) {
	case string:
		return starlark.String(v), nil
	case int64:
		return starlark.MakeInt64(v), nil
	case *big.Int:
		if v.BitLen() > maxIntBits {
			return nil, failure("OverflowError", "the integer is too large")
		}
		return starlark.MakeBigInt(v), e.alloc(int64(v.BitLen() / 8))
	case float64:
		return starlark.Float(v), nil
	}
	return nil, unsupported("the literal %.40s is not supported", x.Raw)
}

func (e *evaluation) dictDisplay(x *syntax.DictExpr) (starlark.Value, error) {
	d := new(starlark.Dict)
	for _, entry := range x.List {
		entry := entry.(*syntax.DictEntry)
		k, err := e.eval(entry.Key)
		if err != nil {
			return nil, err
		}
		v, err := e.eval(entry.Value)
		if err != nil {
			return nil, err
		}
		if err := e.setKey(d, k, v); err != nil {
			return nil, err
		}
	}
	return d, nil
}

func (e *evaluation) cond(x *syntax.CondExpr) (starlark.Value, error) {
	c, err := e.eval(x.Cond)
	if err != nil {
		return nil, err
	}
	if c.Truth() {
		return e.eval(x.True)
	}
	return e.eval(x.False)
}

func (e *evaluation) unaryExpr(x *syntax.UnaryExpr) (starlark.Value, error) {
	v, err := e.eval(x.X)
	if err != nil {
		return nil, err
	}
	if x.Op == syntax.NOT {
		return !v.Truth(), nil
	}
	switch n := number(v).(type) {
	case starlark.Int:
		if x.Op == syntax.MINUS {
			return e.intResult(n, starlark.MakeInt(0), starlark.MakeInt(0).Sub(n))
		}
		return n, nil
	case starlark.Float:
		if x.Op == syntax.MINUS {
			return -n, nil
		}
		return n, nil
	}
	return nil, typeError("bad operand type for unary %s: '%s'", x.Op, typeName(v))
}

func (e *evaluation) binaryExpr(x *syntax.BinaryExpr) (starlark.Value, error) {
	if x.Op != syntax.AND && x.Op != syntax.OR {
		return e.both(x.X, x.Y, func(a, b starlark.Value) (starlark.Value, error) { return e.binary(x.Op, a, b) })
	}
	a, err := e.eval(x.X)
	if err != nil || bool(a.Truth()) == (x.Op == syntax.OR) {
		return a, err
	}
	return e.eval(x.Y)
}

func (e *evaluation) sliceExpr(x *syntax.SliceExpr) (starlark.Value, error) {
	v, err := e.eval(x.X)
	if err != nil {
		return nil, err
	}
	var bounds [3]starlark.Value
	for i, b := range []syntax.Expr{x.Lo, x.Hi, x.Step} {
		bounds[i] = starlark.None
		if b == nil {
			continue
		}
		if bounds[i], err = e.eval(b); err != nil {
			return nil, err
		}
	}
	return e.slice(v, bounds[0], bounds[1], bounds[2])
}

func (e *evaluation) dotExpr(x *syntax.DotExpr) (starlark.Value, error) {
	// device.labels.site reads a label even though labels is a dictionary.
	if inner, ok := x.X.(*syntax.DotExpr); ok && inner.Name.Name == "labels" {
		owner, err := e.eval(inner.X)
		if err != nil {
			return nil, err
		}
		if d, ok := owner.(device); ok {
			if label, ok := d.Labels[x.Name.Name]; ok {
				return starlark.String(label), nil
			}
		}
		labels, err := e.attribute(owner, "labels")
		if err != nil {
			return nil, err
		}
		return e.attribute(labels, x.Name.Name)
	}
	v, err := e.eval(x.X)
	if err != nil {
		return nil, err
	}
	return e.attribute(v, x.Name.Name)
}

func (e *evaluation) callExpr(x *syntax.CallExpr) (starlark.Value, error) {
	fn, err := e.eval(x.Fn)
	if err != nil {
		return nil, err
	}
	f, ok := fn.(*function)
	if !ok {
		return nil, typeError("'%s' object is not callable", typeName(fn))
	}
	args := arguments{function: f.name}
	for _, a := range x.Args {
		if b, ok := a.(*syntax.BinaryExpr); ok && b.Op == syntax.EQ {
			v, err := e.eval(b.Y)
			if err != nil {
				return nil, err
			}
			if err := args.addNamed(b.X.(*syntax.Ident).Name, v); err != nil {
				return nil, err
			}
			continue
		}
		v, err := e.eval(a)
		if err != nil {
			return nil, err
		}
		args.list = append(args.list, v)
	}
	if err := e.allocN(int64(len(x.Args))+1, sizeValue); err != nil {
		return nil, err
	}
	return f.call(e, &args)
}

func (e *evaluation) comprehension(x *syntax.Comprehension) (starlark.Value, error) {
	var elems []starlark.Value
	var d *starlark.Dict
	if x.Curly {
		d = new(starlark.Dict)
	}
	mark := len(e.bound)
	err := e.clauses(x.Clauses, func() error {
		if entry, ok := x.Body.(*syntax.DictEntry); ok {
			k, err := e.eval(entry.Key)
			if err != nil {
				return err
			}
			v, err := e.eval(entry.Value)
			if err != nil {
				return err
			}
			return e.setKey(d, k, v)
		}
		v, err := e.eval(x.Body)
		if err != nil {
			return err
		}
		elems = append(elems, v)
		return e.alloc(2 * sizeValue) // appending keeps up to one spare place for each
	})
	e.bound = e.bound[:mark]
	if err != nil {
		return nil, err
	}
	if d != nil {
		return d, nil
	}
	return e.list(elems)
}

// clauses runs body for each combination that the for and if clauses leave.
func (e *evaluation) clauses(list []syntax.Node, body func() error) error {
	if len(list) == 0 {
		return body()
	}
	switch c := list[0].(type) {
	case *syntax.IfClause:
		v, err := e.eval(c.Cond)
		if err != nil || !bool(v.Truth()) {
			return err
		}
		return e.clauses(list[1:], body)
	case *syntax.ForClause:
		over, err := e.eval(c.X)
		if err != nil {
			return err
		}
		mark := len(e.bound)
		return e.each(over, func(v starlark.Value) error {
			e.bound = e.bound[:mark]
			if err := e.bind(c.Vars, v); err != nil {
				return err
			}
			return e.clauses(list[1:], body)
		})
	}
	return unsupported("this kind of expression is not supported")
}

// bind gives a comprehension's variables their values.
func (e *evaluation) bind(target syntax.Expr, v starlark.Value) error {
	switch t := target.(type) {
	case *syntax.ParenExpr:
		return e.bind(t.X, v)
	case *syntax.Ident:
		e.bound = append(e.bound, binding{t.Name, v})
		return nil
	case *syntax.TupleExpr:
		i := 0
		err := e.each(v, func(v starlark.Value) error {
			if i == len(t.List) {
				return valueError("too many values to unpack (expected %d)", len(t.List))
			}
			i++
			return e.bind(t.List[i-1], v)
		})
		if err == nil && i < len(t.List) {
			return valueError("not enough values to unpack (expected %d, got %d)", len(t.List), i)
		}
		return err
	}
	return unsupported("a comprehension's variables must be plain names")
}
