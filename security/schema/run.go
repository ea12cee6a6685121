package schema

import "math"

// Refusal is why and where a text is refused; the zero value says that it is
// not. It refers to the text by position and holds no byte of it.
type Refusal struct {
	Fault  *Fault
	Offset int // in the text: of the value that is at fault, or a byte of it or of its name
}

// maxSteps bounds what is spent on a text beyond reading it once: a value looked
// at by one schema or eight bytes compared is a step. At some nanoseconds each
// it is a millisecond. The attack: a small text that a schema of alternatives
// has to look at again and again.
const maxSteps = 1 << 18

// maxRunDepth is the depth that Validate takes if Limits allow more, so that its
// own stack is bounded.
const maxRunDepth = 1000

// maxRunBytes is the longest text whose positions an entry holds.
const maxRunBytes = math.MaxInt32

// refused is the index behind a value that is refused; why is in v.refusal.
const refused = -1

// Validate checks that text is exactly one valid JSON value within lim, as
// Validator.Check does, and as the schema asks. It reads from left to right and
// stops at the first fault: behind a value that the schema refuses there may be
// more faults, also of syntax. V's space is used, nothing of text is kept, and
// nothing is allocated once the space has grown to the traffic.
func (s *Schema) Validate(v *Validator, text []byte, lim Limits) Refusal {
	if len(text) > maxRunBytes {
		return Refusal{Fault: FaultSteps}
	}
	v.begin(text, lim)
	v.maxDepth = min(v.maxDepth, maxRunDepth)
	v.constants, v.refusal, v.final, v.steps = &s.constants, Refusal{}, false, maxSteps
	i := v.value(text, v.space(0), s.root)
	if i >= 0 {
		if i = v.space(i); i < len(text) {
			v.refuse(FaultSyntax, i)
		}
	}
	v.end()
	v.constants, v.plain, v.seen = nil, v.plain[:0], v.seen[:0]
	return v.refusal
}

// refuse notes a fault.
func (v *Validator) refuse(fault *Fault, at int) int {
	v.refusal = Refusal{fault, at}
	return refused
}

// value runs n on the value at b[i], b being v.text, and returns the index
// behind it.
func (v *Validator) value(b []byte, i int, n *node) int {
	if i >= len(b) {
		return v.refuse(FaultSyntax, i)
	}
	k := kindOf[b[i]]
	if n.op != opDirect || k&n.admits == 0 {
		return v.indirect(b, i, n)
	}
	switch k {
	case kindString:
		return v.string(b, i, n)
	case kindNumber:
		return v.number(b, i, n)
	case kindObject:
		if n.object != nil {
			return v.object(b, i, n.object)
		}
		return v.skip(i)
	case kindArray:
		if n.array != nil {
			return v.array(b, i, n.array)
		}
		return v.skip(i)
	}
	return v.literal(b, i)
}

// indirect is value for nodes that are not run in one pass and for values that
// are refused by their kind.
func (v *Validator) indirect(b []byte, i int, n *node) int {
	k := kindOf[b[i]]
	switch {
	case k == 0:
		return v.refuse(FaultSyntax, i)
	case n.op == opAny:
		return v.skip(i)
	case n.op == opNever:
		return v.refuse(n.never, i)
	case k&n.admits == 0:
		return v.refuse(n.kindFault(k), i)
	}
	v.tape, v.taping = v.tape[:0], true
	end := v.skip(i)
	v.taping = false
	if end < 0 || !v.eval(n, 0) {
		return refused
	}
	v.refusal = Refusal{} // of alternatives that were not taken
	return end
}

// kindFault is what a node finds that does not admit values of a kind.
func (n *node) kindFault(k kind) *Fault {
	if k&n.types == 0 {
		return FaultType
	}
	return n.values
}

// skip reads a value of which nothing is asked.
func (v *Validator) skip(i int) int {
	end, fault := v.walk(i)
	if fault != nil {
		return v.refuse(fault, end)
	}
	return end
}

func (v *Validator) literal(b []byte, i int) int {
	end, fault := scanScalar(b, i)
	if fault != nil {
		return v.refuse(fault, end)
	}
	return end
}

// array runs a on the array at b[i].
func (v *Validator) array(b []byte, i int, a *arrayRules) int {
	if v.depth >= v.maxDepth {
		return v.refuse(FaultDepth, i)
	}
	v.depth++
	start, count := i, 0
	if i = v.space(i + 1); i < len(b) && b[i] == ']' {
		return v.arrayEnd(a, start, i+1, 0)
	}
	for {
		item := a.items
		if count < len(a.prefix) {
			item = a.prefix[count]
		}
		if count++; count > a.max {
			return v.refuse(FaultMaxItems, start)
		}
		if item != nil {
			i = v.value(b, i, item)
		} else {
			i = v.skip(i)
		}
		if i < 0 {
			return i
		}
		if i = v.space(i); i >= len(b) {
			return v.refuse(FaultSyntax, i)
		}
		switch b[i] {
		case ',':
			i = v.space(i + 1)
		case ']':
			return v.arrayEnd(a, start, i+1, count)
		default:
			return v.refuse(FaultSyntax, i)
		}
	}
}

func (v *Validator) arrayEnd(a *arrayRules, start, end, count int) int {
	v.depth--
	if count < a.min {
		return v.refuse(FaultMinItems, start)
	}
	return end
}
