package schema

import "math/bits"

// members is an object that is being read, its rules knowing at most
// maxDirectNames. Known names are not put in the table of names: a bit of seen
// tells whether one comes twice.
type members struct {
	rules   *objectRules
	start   int
	seen    uint64 // which known names it has
	next    int    // the known name that is expected
	limit   int    // of the names from next on, where the first is that has been seen
	unknown int    // names that are not known
	top     level
}

// object runs n, which asks something of objects, on what should be one at b[i]. Where the next known name is expected, one
// comparison finds it with all that stands between the values; where another one
// is, it is looked up by its first bytes and compared in the same way.
func (v *Validator) object(i int, n *node) int {
	if i >= len(v.text) || v.text[i] != '{' {
		return v.indirect(i, n)
	}
	o := n.object
	if v.depth >= v.maxDepth {
		return v.refuse(FaultDepth, i)
	}
	v.depth++
	var m members
	m.rules, m.start, m.limit, m.top.object, m.top.base = o, i, len(o.known), true, len(v.names.open)
	before := uint64('{')
	for guessed := false; ; {
		expected, found := o.known[m.next:m.limit], 0
		for ; found < len(expected); found++ {
			b, known := v.text, &expected[found]
			if i+int(known.reach) > len(b) || known.differs(b, i, before) != 0 || known.middle != nil && !known.middleAt(b, i) {
				break
			}
			i += int(known.size)
			before = ','
			switch known.op {
			case opNumber:
				i = v.number(i, known.node)
			case opPlainText:
				i = v.plainText(i, known.node)
			case opWord:
				i = v.wordText(i, known.node)
			case opPatternText:
				i = v.patternText(i, known.node)
			case opDateTime:
				i = v.dateTimeText(i, known.node)
			case opUUID:
				i = v.uuidText(i, known.node)
			case opObject:
				i = v.object(i, known.node)
			case opArray:
				i = v.array(i, known.node)
			default:
				i = v.value(i, known.node)
			}
			if i < 0 {
				return i
			}
		}
		m.note(found)
		if i < len(v.text) && v.text[i] == '}' {
			return v.objectEnd(i+1, &m)
		}
		if found > 0 || !guessed {
			if known := o.guess(v.text, i); known >= 0 {
				m.expect(known)
				guessed = true
				continue
			}
		}
		var child *node
		if i, child = v.nextMember(i, &m); child == nil {
			return i
		}
		guessed, before = false, ','
		if i = v.value(i, child); i < 0 {
			return i
		}
	}
}

// expect goes on to expect the known name at next.
func (m *members) expect(next int) {
	m.next = next
	m.limit = min(next+bits.TrailingZeros64(m.seen>>next), len(m.rules.known))
}

// note adds to seen as many names as were found where they were expected.
func (m *members) note(found int) {
	m.seen |= (1<<found - 1) << m.next
	m.next += found
}

// guess is the known name that may stand behind b[i], judged by its first bytes,
// or -1.
func (o *objectRules) guess(b []byte, i int) int {
	if i+18 > len(b) || len(o.guesses) == 0 {
		return -1
	}
	head, tail := load(b, i+2), uint64(0)
	if special := specialBytes(head); special != 0 {
		head &= 1<<(bits.TrailingZeros64(special)&^7) - 1
	} else if tail = load(b, i+10); specialBytes(tail) != 0 {
		tail &= 1<<(bits.TrailingZeros64(specialBytes(tail))&^7) - 1
	}
	return int(o.guesses[guessHash(head, tail)>>o.guessShift&uint64(len(o.guesses)-1)]) - 1
}

// guessHash spreads up to sixteen bytes of a name over the upper bits.
func guessHash(head, tail uint64) uint64 {
	return (head ^ bits.RotateLeft64(tail, 29)*0xd6e8feb86659fd93) * 0x9e3779b97f4a7c15
}

// nextMember goes from the bracket that opened or from behind a value to behind
// the colon of a member, and returns what is asked of its value. Without a node
// the object has ended, or is refused.
func (v *Validator) nextMember(i int, m *members) (end int, child *node) {
	b := v.text
	first := m.seen == 0 && m.unknown == 0
	if first {
		i++
	}
	if i = v.space(i); i >= len(b) {
		return v.refuse(FaultSyntax, i), nil
	}
	if b[i] == '}' {
		return v.objectEnd(i+1, m), nil
	}
	if !first {
		if b[i] != ',' {
			return v.refuse(FaultSyntax, i), nil
		}
		i = v.space(i + 1)
	}
	if bits.OnesCount64(m.seen)+m.unknown >= v.maxMembers {
		return v.refuse(FaultMembers, i), nil
	}
	o, name := m.rules, i
	known := m.next
	if known < len(o.known) && o.known[known].at(b, i-1, uint64(b[i-1])) {
		i += int(o.known[known].size) - 1
	} else if i, known, child = v.name(i, m); i < 0 || known < 0 {
		return i, child
	}
	if m.seen>>(known&63)&1 != 0 {
		return v.refuse(FaultDuplicate, name), nil
	}
	m.seen |= 1 << (known & 63)
	m.expect(known + 1)
	return i, o.known[known].node
}

// name reads a name and its colon. It returns the index behind the colon, the
// index of the name among the known ones or -1, and if it is not known, what is
// asked of its value.
func (v *Validator) name(i int, m *members) (end, known int, child *node) {
	b := v.text
	if i >= len(b) || b[i] != '"' {
		return v.refuse(FaultSyntax, i), -1, nil
	}
	o, start := m.rules, i
	i, escaped, fault := scanString(b, i)
	if fault != nil {
		return v.refuse(fault, i), -1, nil
	}
	found := name{start: start + 1, end: i - 1, escaped: escaped}
	text := b[found.start:found.end]
	if escaped {
		v.plain = Unescape(v.plain[:0], text)
		text = v.plain
	}
	if i = v.space(i); i >= len(b) || b[i] != ':' {
		return v.refuse(FaultSyntax, i), -1, nil
	}
	if o.names != nil && v.nameFault(o.names, text) != nil {
		return v.refuse(FaultPropertyNames, start), -1, nil
	}
	if known = o.index.find(text); known >= 0 {
		return i + 1, known, nil
	}
	child = o.additional
	if len(o.patterns) > 0 && o.patterns[0].pattern.match(text) {
		child = o.patterns[0].node
	}
	m.unknown++
	if !v.names.add(b, &m.top, found) {
		return v.refuse(FaultDuplicate, start), -1, nil
	}
	return i + 1, -1, child
}

// nameFault is what n, which is run in one pass, finds in a name.
func (v *Validator) nameFault(n *node, text []byte) *Fault {
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

// objectEnd checks the object that ends before b[end] as a whole.
func (v *Validator) objectEnd(end int, m *members) int {
	v.depth--
	if m.unknown > 0 {
		v.names.close(&m.top)
	}
	o, count := m.rules, bits.OnesCount64(m.seen)+m.unknown
	if count > v.maxMembers {
		return v.refuse(FaultMembers, m.start)
	}
	if o.onlyMust && m.seen&o.must == o.must {
		return end
	}
	seen := [1]uint64{m.seen}
	if fault := o.complete(count, seen[:o.words]); fault != nil {
		return v.refuse(fault, m.start)
	}
	return end
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
