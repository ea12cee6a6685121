package schema

import (
	"encoding/binary"
	"math"
)

// Refusal is why and where a text is refused; the zero value says that it is
// not. It refers to the text by position and holds no byte of it.
type Refusal struct {
	Fault  *Fault
	Offset int // in the text: of the value that is at fault, or a byte of it or of its name
}

// maxSteps bounds what is spent on a text beyond reading it once. A step is a few
// nanoseconds: an array or object looked at by one schema, half a scalar, a third
// of a member, eight bytes compared or one searched for a pattern. All of them
// take about a millisecond. The attack: a small text that a schema of
// alternatives has to look at again and again.
const maxSteps = 1 << 17

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
	v.refusal, v.final, v.trying, v.steps = Refusal{}, false, 0, maxSteps
	i := v.space(0)
	end := s.root.run(v, i, s.root)
	if end == 0 {
		end = v.judge(i, s.root)
	}
	if end >= 0 {
		if end = v.space(end); end < len(text) {
			v.refuse(FaultSyntax, end)
		}
	}
	v.end()
	return v.refusal
}

// Spent is how many steps the last Schema.Validate or Rule.Check took beyond
// reading the text once: what a text that has to be looked at again costs, where
// its length does not tell. A step takes about as long as reading a byte.
func (v *Validator) Spent() int { return min(maxSteps-v.steps, maxSteps) }

// refuse notes a fault.
func (v *Validator) refuse(fault *Fault, at int) int {
	v.refusal = Refusal{fault, at}
	return refused
}

// value runs n on the value at b[i], b being v.text, and returns the index
// behind it.
func (v *Validator) value(i int, n *node) int {
	b := v.text
	k := kind(0)
	if i < len(b) {
		k = kindOf[b[i]]
	}
	end := 0
	switch k & n.direct {
	case kindString:
		end = n.textWay()(v, i, n)
	case kindNumber:
		end = v.fewDigits(i, n)
	case kindNull, kindTrue, kindFalse:
		end = v.boolOrNull(i, n)
	}
	if end == 0 {
		return v.judge(i, n)
	}
	return end
}

// judge is value without the ways that are quick to find out that a value is as
// asked for and leave all others to it.
func (v *Validator) judge(i int, n *node) int {
	b := v.text
	k := kind(0)
	if i < len(b) {
		k = kindOf[b[i]]
	}
	switch k & n.direct {
	case 0:
		return v.indirect(i, n)
	case kindString:
		return v.anyText(i, n)
	case kindNumber:
		return v.number(i, n)
	case kindObject:
		if n.object != nil {
			return v.object(i, n)
		}
		return v.skip(i)
	case kindArray:
		if n.array != nil {
			return v.array(i, n)
		}
		return v.skip(i)
	}
	return v.literal(i, n)
}

// indirect is value for nodes that are not run in one pass and for values that
// are refused by their kind.
func (v *Validator) indirect(i int, n *node) int {
	b := v.text
	if i = v.space(i); i >= len(b) {
		return v.refuse(FaultSyntax, i)
	}
	k := kindOf[b[i]]
	if k&n.direct != 0 {
		return v.value(i, n)
	}
	switch {
	case k == 0:
		return v.refuse(FaultSyntax, i)
	case n.op == opNever:
		return v.refuse(n.never, i)
	case n.op == opByKind:
		return v.value(i, n.byKind[k.number()])
	case k&n.admits == 0:
		return v.refuse(n.kindFault(k), i)
	}
	v.tape, v.taping, v.plain, v.seen = v.tape[:0], true, v.plain[:0], v.seen[:0]
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

// literal is boolOrNull for a value that is no other, good or not.
func (v *Validator) literal(i int, n *node) int {
	if end := v.boolOrNull(i, n); end > 0 {
		return end
	}
	return v.refuse(FaultSyntax, i)
}

// boolOrNull finds true, false or null, what n admits of them.
func (v *Validator) boolOrNull(i int, n *node) int {
	const wordTrue, wordFals, wordNull = 0x65757274, 0x736c6166, 0x6c6c756e // as little-endian
	b, i := v.text, place(i)
	if i+4 > len(b) {
		return 0
	}
	k, end := kind(0), i+4
	switch binary.LittleEndian.Uint32(b[i : i+4 : i+4]) {
	case wordTrue:
		k = kindTrue
	case wordNull:
		k = kindNull
	case wordFals:
		if end < len(b) && b[end] == 'e' {
			k, end = kindFalse, end+1
		}
	}
	if k&n.admits == 0 {
		return 0
	}
	return end
}

// array runs n, which asks something of arrays, on what should be one at b[i].
func (v *Validator) array(i int, n *node) int {
	if i >= len(v.text) || v.text[i] != '[' {
		return v.indirect(i, n)
	}
	a := n.array
	if v.depth >= v.maxDepth {
		return v.refuse(FaultDepth, i)
	}
	v.depth++
	start, count, b := i, 0, v.text
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
		end := item.run(v, i, item)
		if end == 0 {
			end = v.judge(i, item)
		}
		if i = end; i < 0 {
			return i
		}
		b := v.text
		if i < len(b) && b[i] <= ' ' {
			i = v.space(i)
		}
		if i >= len(b) {
			return v.refuse(FaultSyntax, i)
		}
		if b[i] != ',' {
			break
		}
		i++
	}
	if b[i] != ']' {
		return v.refuse(FaultSyntax, i)
	}
	return v.arrayEnd(a, start, i+1, count)
}

func (v *Validator) arrayEnd(a *arrayRules, start, end, count int) int {
	v.depth--
	if count < a.min {
		return v.refuse(FaultMinItems, start)
	}
	return end
}
