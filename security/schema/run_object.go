package schema

// object runs o, which knows at most maxDirectNames, on the object at b[i].
// Known names are not put in the table of names: a bit of seen tells whether one
// comes twice.
func (v *Validator) object(b []byte, i int, o *objectRules) int {
	if v.depth >= v.maxDepth {
		return v.refuse(FaultDepth, i)
	}
	v.depth++
	start, count, next := i, 0, 0
	seen := uint64(0)
	top := level{object: true, base: len(v.names.open)}
	if i = v.space(i + 1); i < len(b) && b[i] == '}' {
		return v.objectEnd(o, start, i+1, 0, 0, &top)
	}
	for {
		if count++; count > v.maxMembers {
			return v.refuse(FaultMembers, i)
		}
		name, known := i, next
		var child *node
		if next < len(o.known) && o.known[next].at(b, i) {
			i += o.known[next].size
		} else if i, known, child = v.name(b, i, o, &top); i < 0 {
			return i
		}
		if known >= 0 {
			bit := uint64(1) << (known & 63)
			if seen&bit != 0 {
				return v.refuse(FaultDuplicate, name)
			}
			seen |= bit
			child = o.known[known].node
			next = known + 1
		}
		if i < len(b) && b[i] <= ' ' {
			i = v.space(i)
		}
		if child != nil {
			i = v.value(b, i, child)
		} else {
			i = v.skip(i)
		}
		if i < 0 {
			return i
		}
		if i < len(b) && b[i] <= ' ' {
			i = v.space(i)
		}
		if i >= len(b) {
			return v.refuse(FaultSyntax, i)
		}
		switch b[i] {
		case ',':
			if i++; i < len(b) && b[i] <= ' ' {
				i = v.space(i)
			}
		case '}':
			return v.objectEnd(o, start, i+1, count, seen, &top)
		default:
			return v.refuse(FaultSyntax, i)
		}
	}
}

func (v *Validator) objectEnd(o *objectRules, start, end, count int, seen uint64, top *level) int {
	v.depth--
	if len(v.names.open) > top.base {
		v.names.close(top)
	}
	word := [1]uint64{seen}
	if fault := o.complete(count, word[:o.words]); fault != nil {
		return v.refuse(fault, start)
	}
	return end
}

// name reads a name and its colon where the one that is expected is not. It
// returns the index behind the colon, the index of the name among the known ones
// or -1, and if it is not known, what is asked of its value.
func (v *Validator) name(b []byte, i int, o *objectRules, top *level) (end, known int, child *node) {
	if i >= len(b) || b[i] != '"' {
		return v.refuse(FaultSyntax, i), 0, nil
	}
	start := i
	i, escaped, fault := scanString(b, i)
	if fault != nil {
		return v.refuse(fault, i), 0, nil
	}
	text := b[start+1 : i-1]
	if escaped {
		v.plain = Unescape(v.plain[:0], text)
		text = v.plain
	}
	m := name{start: start + 1, end: i - 1, escaped: escaped}
	if i = v.space(i); i >= len(b) || b[i] != ':' {
		return v.refuse(FaultSyntax, i), 0, nil
	}
	if o.names != nil && v.nameFault(o.names, text, start) != nil {
		return v.refuse(FaultPropertyNames, start), 0, nil
	}
	if known = o.index.find(text); known >= 0 {
		return i + 1, known, nil
	}
	child = o.additional
	if len(o.patterns) > 0 && o.patterns[0].pattern.match(text) {
		child = o.patterns[0].node
	}
	if !v.names.add(b, top, m) {
		return v.refuse(FaultDuplicate, start), 0, nil
	}
	return i + 1, known, child
}

// nameFault is what n, which is run in one pass, finds in a name.
func (v *Validator) nameFault(n *node, text []byte, at int) *Fault {
	switch {
	case n.never != nil:
		return n.never
	case n.admits&kindString == 0:
		return n.kindFault(kindString)
	case n.text == nil:
		return nil
	}
	return n.text.fault(text, n.values)
}

// complete checks an object of so many members that has the known names in seen.
func (o *objectRules) complete(count int, seen []uint64) *Fault {
	switch {
	case count < o.min:
		return FaultMinProperties
	case count > o.max:
		return FaultMaxProperties
	case !holds(seen, o.required):
		return FaultRequired
	}
	for i := range o.dependents {
		d := &o.dependents[i]
		if seen[d.trigger/64]>>(d.trigger%64)&1 != 0 && !holds(seen, d.required) {
			return FaultDependentRequired
		}
	}
	return nil
}

// holds reports whether one set of bits has all of the other.
func holds(set, all []uint64) bool {
	for i, bits := range all {
		if set[i]&bits != bits {
			return false
		}
	}
	return true
}
