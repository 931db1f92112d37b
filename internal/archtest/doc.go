// Package archtest holds the rules of the map as tests: which package may
// import which, what may be imported from outside and where, and what packages
// and their mains may look like. Each rule has its reason beside it. A new
// package fails until it has a rule.
package archtest
