// Package schema decides whether a peer's JSON may come in.
//
// A Validator reads a text once, from left to right, without recursion and
// without building anything: a strict RFC 8259 grammar (UTF-8, no NaN, no lone
// surrogate), bounded depth, bounded numbers, a bounded number of members an
// object and no two members of one name. Names are compared after unescaping,
// by a hash under a random key, so that the cost is linear in the text whatever
// the peer crafts. Space is kept from one text to the next: checking allocates
// nothing once the space has grown to the traffic, whether the text is accepted
// or refused.
//
// A text that Check accepts means the same to every reader behind it: to
// encoding/json, to fastjson and to a browser.
package schema

// Limits bound one text. 0 is no limit: the text's own length is one.
type Limits struct {
	Depth   int // nested arrays and objects; 1 admits [] but not [[]]
	Members int // members of one object
}

// Fault says why a text is refused: a static value that never holds a byte of
// the text. The values below are immutable.
type Fault struct {
	Keyword string // closed list, fit to be a metric label
	Reason  string // short plain text
}

// The faults of the validator. FaultSyntax and FaultUTF8 say that b is not a
// JSON text at all, the others that it is not one for us.
var (
	FaultSyntax    = &Fault{Keyword: "syntax", Reason: "not valid JSON"}
	FaultUTF8      = &Fault{Keyword: "utf8", Reason: "not valid UTF-8"}
	FaultSurrogate = &Fault{Keyword: "surrogate", Reason: "half of a surrogate pair in a string"}
	FaultNumber    = &Fault{Keyword: "number", Reason: "number too long or out of range"}
	FaultDepth     = &Fault{Keyword: "depth", Reason: "nested too deeply"}
	FaultMembers   = &Fault{Keyword: "members", Reason: "too many members in an object"}
	FaultDuplicate = &Fault{Keyword: "duplicate", Reason: "two members of one name"}
)
