// Package schema decides whether a peer's JSON may come in.
package schema

// Limits bound one text. 0 is no limit.
type Limits struct {
	Depth   int // nested arrays and objects
	Members int // members of one object
}

// DefaultLimits are the defaults of --max-json-depth and --max-json-members.
func DefaultLimits() Limits { return Limits{Depth: 16, Members: 1024} }

// Fault says why a text is refused: a static value that never holds a byte of the text.
type Fault struct {
	Keyword string // closed list, fit to be a metric label
	Reason  string // short plain text
}
