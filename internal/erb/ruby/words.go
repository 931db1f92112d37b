package ruby

import (
	"slices"
	"strings"
)

// words are Ruby's own that the language does without; no variable can have their
// names.
var words = strings.Fields(`def class module begin rescue ensure while until for yield return next break redo retry super self alias undef defined?
	BEGIN END __FILE__ __LINE__ __ENCODING__`)

// unsupported are functions that everything has in Ruby.
var unsupported = strings.Fields(`loop lambda proc raise catch throw fail binding block_given? puts print p printf format sprintf __method__`)

// dangerous are the names of what reaches out of the template.
var dangerous = strings.Fields(`system exec spawn fork eval instance_eval class_eval module_eval instance_exec send public_send __send__ method methods
	define_method const_get const_set instance_variable_get instance_variable_set open require require_relative load autoload exit abort trap
	syscall at_exit sleep gets select_io test tap then_call object_id binding_irb singleton_class extend include freeze dup clone`)

var reserved = func() map[string]string {
	m := map[string]string{}
	for _, w := range slices.Concat(words, unsupported) {
		m[w] = w + " is not supported"
	}
	for _, w := range dangerous {
		m[w] = w + " is refused: a template cannot run programs, reach files or evaluate code"
	}
	return m
}()

// refused returns why a name is refused; "": it is not.
func refused(v *Vocabulary, name string) string {
	if why := v.Refused[name]; why != "" {
		return why
	}
	return reserved[name]
}
