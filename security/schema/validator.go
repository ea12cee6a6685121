package schema

import "math"

// Validator checks texts with scratch space of its own. The zero value is
// ready. Not for concurrent use: one per loop or worker. The space it keeps is
// about 64 bytes for each member of objects open at one time, 16 for each level,
// and twice the longest name that had an escape. Schema.Validate keeps 24 bytes
// more for each value and name of what it cannot judge in one pass.
type Validator struct {
	text       []byte // the text in hand, nil between calls
	maxDepth   int
	maxMembers int
	depth      int // levels that are open outside levels
	levels     []level
	names      names
	tape       tape
	taping     bool // walk leaves its values on the tape

	// Of Schema.Validate alone.
	refusal Refusal
	final   bool // the refusal stands, whatever the schema makes of it
	trying  int  // schemas in hand whose fault will be forgotten
	effort
	seen  []uint64 // which of their names the objects in hand have, a stack
	items itemSet
}

// level is an array or object that is open.
type level struct {
	object bool
	hashed bool // its names are in the table, see names
	base   int  // its first name in names.open
	entry  int  // its entry on the tape, if there is one
}

// Check returns nil if b is exactly one valid JSON value within lim, with white
// space around it allowed. It keeps nothing of b.
func (v *Validator) Check(b []byte, lim Limits) *Fault {
	v.begin(b, lim)
	i, fault := v.walk(v.space(0))
	if fault == nil && v.space(i) < len(b) {
		fault = FaultSyntax
	}
	v.end()
	return fault
}

func (v *Validator) begin(b []byte, lim Limits) {
	v.text, v.maxDepth, v.maxMembers, v.depth = b, lim.Depth, lim.Members, 0
	if lim.Depth <= 0 {
		v.maxDepth = math.MaxInt
	}
	if lim.Members <= 0 {
		v.maxMembers = math.MaxInt
	}
}

// end forgets the text, also one that was not read to its end.
func (v *Validator) end() {
	v.text = nil
	if len(v.levels)+len(v.names.open) > 0 {
		v.levels = v.levels[:0]
		v.names.drop()
	}
}

// walk reads the value at text[i] and returns the index behind it, or the index
// of what is refused. It goes down with each bracket that opens and up with each
// that closes.
func (v *Validator) walk(i int) (int, *Fault) {
	b := v.text
	for more := true; more; {
		if i >= len(b) {
			return i, FaultSyntax
		}
		var fault *Fault
		start, opened, escaped := i, false, false
		switch c := b[i]; c {
		case '{', '[':
			if v.depth+len(v.levels) >= v.maxDepth {
				return i, FaultDepth
			}
			v.levels = append(v.levels, level{object: c == '{', base: len(v.names.open), entry: len(v.tape)})
			i, opened = i+1, true
		case '"':
			i, escaped, fault = scanString(b, i)
		default:
			i, fault = scanScalar(b, i)
		}
		if fault != nil {
			return i, fault
		}
		if v.taping {
			v.tape.add(kindOf[b[start]], start, i, escaped)
		}
		if i, more, fault = v.next(i, opened); fault != nil {
			return i, fault
		}
	}
	return i, nil
}

// next goes from the end of a value, or from behind a bracket that opened, to
// the start of the next value. No more says that the outermost has ended.
func (v *Validator) next(i int, opened bool) (end int, more bool, fault *Fault) {
	b := v.text
	for {
		if len(v.levels) == 0 {
			return i, false, nil
		}
		if i = v.space(i); i >= len(b) {
			return i, false, FaultSyntax
		}
		top := &v.levels[len(v.levels)-1]
		closing := byte(']')
		if top.object {
			closing = '}'
		}
		switch c := b[i]; {
		case c == closing:
			v.names.close(top)
			if v.taping {
				v.tape.close(top.entry, i+1)
			}
			v.levels = v.levels[:len(v.levels)-1]
			i, opened = i+1, false
			continue
		case opened:
		case c == ',':
			i = v.space(i + 1)
		default:
			return i, false, FaultSyntax
		}
		if top.object {
			i, fault = v.member(i, top)
		}
		return i, true, fault
	}
}

// member reads a name and its colon and goes to the start of the value.
func (v *Validator) member(i int, top *level) (int, *Fault) {
	b := v.text
	if i >= len(b) || b[i] != '"' {
		return i, FaultSyntax
	}
	start := i
	end, escaped, fault := scanString(b, i)
	if fault != nil {
		return end, fault
	}
	if i = v.space(end); i >= len(b) || b[i] != ':' {
		return i, FaultSyntax
	}
	if len(v.names.open)-top.base >= v.maxMembers {
		return start, FaultMembers
	}
	if !v.names.add(b, top, name{start: start + 1, end: end - 1, escaped: escaped}) {
		return start, FaultDuplicate
	}
	if v.taping {
		v.tape.add(kindString, start, end, escaped)
	}
	return v.space(i + 1), nil
}

// space passes over insignificant white space.
func (v *Validator) space(i int) int {
	for b := v.text; i < len(b); i++ {
		if c := b[i]; c > ' ' || c != ' ' && c != '\n' && c != '\r' && c != '\t' {
			break
		}
	}
	return i
}
