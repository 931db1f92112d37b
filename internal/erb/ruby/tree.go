package ruby

// node is a piece of the tree that a template is walked as. Trees are not changed
// after they were made.
type node interface {
	eval(m *Machine) (Value, error)
	place() base
}

// base is where a node stands, and how high the tree below it is.
type base struct {
	line   int
	height int
}

func (b base) place() base { return b }

type (
	// literal is a value that never changes.
	literal struct {
		base
		v Value
	}
	// text is a string without interpolations: a new one each time.
	text struct {
		base
		s string
	}
	interpolated struct {
		base
		parts []node
	}
	array struct {
		base
		elems []node
	}
	hash struct {
		base
		keys, values []node
	}
	local struct {
		base
		name string
		slot int
	}
	instance struct {
		base
		name string
	}
	assign struct {
		base
		slot  int
		op    string // "": plain; else the operator before =
		value node
	}
	binary struct {
		base
		op   string
		l, r node
	}
	// logic is && or ||.
	logic struct {
		base
		and  bool
		l, r node
	}
	not struct {
		base
		x node
	}
	negative struct {
		base
		x node
	}
	// choice is if, unless (its branches swapped) and ?:.
	choice struct {
		base
		cond, yes, no node // yes and no may be nil
	}
	cases struct {
		base
		subject node // may be nil
		whens   []when
		orElse  node // may be nil
	}
	call struct {
		base
		on    node
		name  string
		safe  bool
		args  []node
		block *block
	}
	macro struct {
		base
		name  string
		args  []node
		block *block
	}
	sequence struct {
		base
		list []node
	}
	// raw is text outside of tags.
	raw struct {
		base
		s string
	}
	// output is a <%= %> tag.
	output struct {
		base
		x node
	}
)

type when struct {
	tests []node
	body  node
}

// block is what a method is given to call.
type block struct {
	params []int // slots
	first  int   // the slots from first to last belong to the block
	last   int
	body   node
	method string // of &:method; then there is no body
	line   int
}
