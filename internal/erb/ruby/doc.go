// Package ruby is the language of templates: a small part of Ruby, parsed into a
// tree that a Machine walks. There is no Ruby behind it, and no way out of it: what a
// template can do is what is written here, and the macros and objects that the
// Host offers.
//
// Whatever is made is charged before it is made, to a budget of steps and of
// bytes, so that no template can take more than its Limits.
package ruby
