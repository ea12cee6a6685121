package schema

// Rule is what an operator asks of what is published in one place, and what is
// made of it. Immutable: any number of validators may use it at the same time.
// The nil Rule asks nothing and changes nothing.
type Rule struct {
	Schema *Schema // nil: whatever is valid JSON
	Limits Limits  // with Schema
	HTML   bool    // what is accepted goes out as AppendHTML writes it
	Bytes  int     // the longest that may go out with HTML
}

// Check returns why data may not be published; no Fault says that it may. Data is
// valid JSON. It costs what Schema.Validate does, allocates nothing, and keeps
// nothing.
func (r *Rule) Check(v *Validator, data []byte) (refusal Refusal) {
	v.steps = maxSteps
	if r == nil {
		return Refusal{}
	}
	if r.Schema != nil {
		refusal = r.Schema.Validate(v, data, r.Limits)
	}
	if refusal.Fault == nil && r.HTML && SizeHTML(data) > r.Bytes {
		refusal.Fault = FaultSanitize
	}
	return refusal
}

// Clean is the valid JSON text b as it is to go out: b itself, or with HTML a text
// of its own memory.
func (r *Rule) Clean(b []byte) []byte {
	if r == nil || !r.HTML || len(b) == 0 {
		return b
	}
	return AppendHTML(make([]byte, 0, SizeHTML(b)), b)
}
