package schema

// Validator checks texts with scratch space of its own. The zero value is
// ready. Not for concurrent use: one per loop or worker. The space it keeps is
// about 64 bytes for each member of objects open at one time, 16 for each level,
// and twice the longest name that had an escape.
type Validator struct {
	text   []byte // the text in hand, nil between calls
	levels []level
	names  names
}

// level is an array or object that is open.
type level struct {
	object bool
	hashed bool // its names are in the table, see names
	base   int  // its first name in names.open
}

// Check returns nil if b is exactly one valid JSON value within lim, with white
// space around it allowed. It keeps nothing of b.
func (v *Validator) Check(b []byte, lim Limits) *Fault {
	v.text = b
	fault := v.value(lim)
	v.text = nil
	v.levels = v.levels[:0]
	v.names.drop()
	return fault
}

// value reads the whole text: it goes down with each bracket that opens and up
// with each that closes.
func (v *Validator) value(lim Limits) *Fault {
	b := v.text
	for i := v.space(0); ; {
		if i >= len(b) {
			return FaultSyntax
		}
		var fault *Fault
		opened := false
		switch c := b[i]; c {
		case '{', '[':
			if lim.Depth > 0 && len(v.levels) >= lim.Depth {
				return FaultDepth
			}
			v.levels = append(v.levels, level{object: c == '{', base: len(v.names.open)})
			i, opened = i+1, true
		case '"':
			i, _, fault = scanString(b, i)
		default:
			i, fault = scanScalar(b, i)
		}
		if fault != nil {
			return fault
		}
		i, fault = v.next(i, opened, lim)
		if fault != nil || i < 0 {
			return fault
		}
	}
}

// next goes from the end of a value, or from behind a bracket that opened, to
// the start of the next value; -1 at the end of the text.
func (v *Validator) next(i int, opened bool, lim Limits) (int, *Fault) {
	b := v.text
	for {
		i = v.space(i)
		if len(v.levels) == 0 {
			if i < len(b) {
				return i, FaultSyntax
			}
			return -1, nil
		}
		if i >= len(b) {
			return i, FaultSyntax
		}
		top := &v.levels[len(v.levels)-1]
		closing := byte(']')
		if top.object {
			closing = '}'
		}
		switch c := b[i]; {
		case c == closing:
			v.names.close(top)
			v.levels = v.levels[:len(v.levels)-1]
			i, opened = i+1, false
			continue
		case opened:
		case c == ',':
			i = v.space(i + 1)
		default:
			return i, FaultSyntax
		}
		if top.object {
			return v.member(i, top, lim)
		}
		return i, nil
	}
}

// member reads a name and its colon and goes to the start of the value.
func (v *Validator) member(i int, top *level, lim Limits) (int, *Fault) {
	b := v.text
	if i >= len(b) || b[i] != '"' {
		return i, FaultSyntax
	}
	start := i
	end, escaped, fault := scanString(b, i)
	if fault != nil {
		return i, fault
	}
	if i = v.space(end); i >= len(b) || b[i] != ':' {
		return i, FaultSyntax
	}
	if lim.Members > 0 && len(v.names.open)-top.base >= lim.Members {
		return i, FaultMembers
	}
	if !v.names.add(b, top, name{start: start + 1, end: end - 1, escaped: escaped}) {
		return i, FaultDuplicate
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
