package clientproto

import "weir/security/schema"

// Violation is a peer's fault in a line; a static value, no field may be
// changed. Exactly one of Close and Error is set.
type Violation struct {
	Close *Close // ends the connection
	Error *Error // answers the command, whose ID is set and above 0
	Label string // metric label, one of Labels
}

// refusal is one kind of fault in its two forms: answered where the command's
// id is known, else closed.
type refusal struct {
	answer, end Violation
}

func newRefusal(e *Error, label string) *refusal {
	return &refusal{
		answer: Violation{Error: e, Label: label},
		end:    Violation{Close: CloseBadRequest, Label: label},
	}
}

// to is the violation that command id gets; 0 is an unknown id.
func (r *refusal) to(id uint32) *Violation {
	if id == 0 {
		return &r.end
	}
	return &r.answer
}

var (
	refuseSyntax   = newRefusal(ErrBadRequest, "syntax")
	refuseUTF8     = newRefusal(ErrBadRequest, "utf8")
	refuseJSON     = newRefusal(ErrBadRequest, "json") // well formed, but not for us
	refuseShape    = newRefusal(ErrBadRequest, "shape")
	refuseID       = newRefusal(ErrBadRequest, "id")
	refuseNoMethod = newRefusal(ErrMethodNotFound, "method")
	refuseMethods  = newRefusal(ErrBadRequest, "methods")
	refuseField    = newRefusal(ErrBadRequest, "field")
	refuseDepth    = newRefusal(ErrBadRequest, schema.FaultDepth.Keyword)
	refuseMembers  = newRefusal(ErrBadRequest, schema.FaultMembers.Keyword)
	refuseNames    = newRefusal(ErrBadRequest, schema.FaultDuplicate.Keyword)
	refuseNumber   = newRefusal(ErrBadRequest, schema.FaultNumber.Keyword)
	refuseHalfPair = newRefusal(ErrBadRequest, schema.FaultSurrogate.Keyword)
)

// Labels is the closed list of Violation labels, for a counter of each.
func Labels() []string {
	var labels []string
	for _, r := range []*refusal{
		refuseSyntax, refuseUTF8, refuseJSON, refuseShape, refuseID, refuseNoMethod, refuseMethods,
		refuseField, refuseDepth, refuseMembers, refuseNames, refuseNumber, refuseHalfPair,
	} {
		labels = append(labels, r.end.Label)
	}
	return labels
}

// refusalOf is the refusal of a fault of the validator, and whether the line
// can still be a command with an id.
func refusalOf(f *schema.Fault) (r *refusal, command bool) {
	switch f {
	case schema.FaultSyntax:
		return refuseSyntax, false
	case schema.FaultUTF8:
		return refuseUTF8, false
	case schema.FaultDepth:
		return refuseDepth, true
	case schema.FaultMembers:
		return refuseMembers, true
	case schema.FaultDuplicate:
		return refuseNames, true
	case schema.FaultNumber:
		return refuseNumber, true
	case schema.FaultSurrogate:
		return refuseHalfPair, true
	}
	return refuseJSON, true
}
