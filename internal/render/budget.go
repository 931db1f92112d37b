package render

import (
	"context"
	"errors"

	"go.starlark.net/starlark"
)

// Sizes that values are charged with, in bytes; rounded up so that the true
// cost, growth of buffers included, stays within a small factor.
const (
	sizeValue = 32  // an element of a list, a number, a string's header
	sizeEntry = 160 // an entry of a dictionary
)

// maxIntBits bounds integers; it is about Python's own bound on digits that
// are written.
const maxIntBits = 14_000

// budget is what an evaluation may still use.
type budget struct {
	ctx     context.Context
	steps   int64
	memory  int64
	unasked int64 // steps since the context was asked
}

// step charges n steps. Every loop of the evaluator calls it.
func (b *budget) step(n int64) error {
	b.steps -= n
	if b.steps < 0 {
		return failure("TimeoutError", "the expression takes too many steps")
	}
	b.unasked += n
	if b.unasked < 2_000 {
		return nil
	}
	b.unasked = 0
	return b.ended()
}

func (b *budget) ended() error {
	switch err := b.ctx.Err(); {
	case err == nil:
		return nil
	case errors.Is(err, context.DeadlineExceeded):
		return failure("TimeoutError", "the rendering takes too long")
	default:
		return err
	}
}

// look charges an operation that reads n bytes.
func (b *budget) look(n int) error { return b.step(1 + int64(n)/64) }

// alloc charges n bytes that are about to be made, and the steps to fill them.
// It must come before the making.
func (b *budget) alloc(n int64) error {
	if n < 0 || n > b.memory {
		return failure("MemoryError", "the expression takes too much memory")
	}
	b.memory -= n
	return b.step(n / 64)
}

// allocN is alloc of n times size without overflow.
func (b *budget) allocN(n, size int64) error {
	if size > 0 && n > b.memory/size {
		return b.alloc(-1)
	}
	return b.alloc(n * size)
}

// list makes a list of elements already charged for.
func (b *budget) list(elems []starlark.Value) (starlark.Value, error) {
	return newList(elems), b.alloc(sizeValue)
}
