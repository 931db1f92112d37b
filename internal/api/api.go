// Package api is the JSON edge that the API families share: the route table,
// the path rules, body and answer limits, strict decoding, request ids, the
// access log and the recovery of panics.
//
// It knows no vendor. What differs between vendors (the bodies of errors, the
// order of checks, the shape of an object) belongs to the family's own package;
// a family's handler is wrapped once with Edge.Wrap and is then an ordinary
// http.Handler, served by one process or behind a gateway alike.
package api

// MaxBody is how many bytes the body of a request may have, in every family.
const MaxBody = 5 << 20

// MaxAnswer is how many bytes an answer may have. Longer ones have their
// longest texts cut; see Texts.
const MaxAnswer = 5 << 20

// MaxDepth is how deep the values of a request's JSON may be nested.
const MaxDepth = 64
