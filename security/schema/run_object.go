package schema

import "math/bits"

// members is an object that is being read, its rules knowing at most
// maxDirectNames. Known names are not put in the table of names: a bit of seen
// tells whether one comes twice.
type members struct {
	rules   *objectRules
	start   int
	seen    uint64 // which known names it has
	next    uint   // the known name that is expected
	unknown int    // names that are not known
	top     level
}

// object runs n, which asks something of objects, on what should be one at b[i].
// Where the next known name is expected, one comparison finds it with all that
// stands between the values.
func (v *Validator) object(i int, n *node) int {
	if i >= len(v.text) || v.text[i] != '{' {
		return v.indirect(i, n)
	}
	if v.depth >= v.maxDepth {
		return v.refuse(FaultDepth, i)
	}
	v.depth++
	o := n.object
	m := members{rules: o, start: i, top: level{object: true, base: len(v.names.open)}}
	for before := uint64('{'); ; before = ',' {
		b, known := v.text, m.next
		i = place(i)
		var child *node
		var run way
		if known < uint(len(o.known)) {
			// A name with a middle is left to otherMember, as are names that came before.
			if p := &o.known[known]; p.differs(b, i, before) == 0 && p.middle == nil && m.seen>>(known&63)&1 == 0 {
				child, run = p.node, p.run
				i += int(p.size)
				m.note(known)
			}
		}
		if child == nil {
			if i < len(b) && b[i] == '}' {
				return v.objectEnd(i+1, &m)
			}
			if i, child = v.otherMember(i, &m, before); child == nil {
				return i
			}
			run = child.run
		}
		end := run(v, i, child)
		if end <= 0 {
			if end == 0 {
				end = v.judge(i, child)
			}
			if end < 0 {
				return end
			}
		}
		i = end
	}
}

// note adds a known name to those seen and expects the one behind it.
func (m *members) note(known uint) {
	m.seen |= 1 << (known & 63)
	m.next = known + 1
}

// otherMember is nextMember where the short name that was expected is not: a
// known one is guessed by its first bytes and compared like one expected.
func (v *Validator) otherMember(i int, m *members, before uint64) (end int, child *node) {
	o, b, known := m.rules, v.text, m.next
	if known >= uint(len(o.known)) || o.known[known].middle == nil {
		known = o.guess(b, i)
	}
	if known < uint(len(o.known)) && m.seen>>(known&63)&1 == 0 {
		p := &o.known[known]
		if p.differs(b, place(i), before) == 0 && (p.middle == nil || p.middleAt(b, i)) {
			m.note(known)
			return i + int(p.size), p.node
		}
	}
	return v.nextMember(i, m)
}

// guess is the known name that may stand behind b[i], judged by its first bytes.
func (o *objectRules) guess(b []byte, i int) uint {
	i = place(i)
	if i+10 > len(b) {
		return noProperty
	}
	tail := uint64(0) // of a name that is short, or ends the text too early to be one
	if i+18 <= len(b) {
		tail = load(b, i+10)
	}
	hash := nameHash(load(b, i+2), tail, o.factor)
	return uint(o.guesses[hash>>(o.shift&63)&uint64(len(o.guesses)-1)])
}

// nameHash spreads a name and its quote, up to sixteen bytes that begin with head
// and then tail, over the upper bits.
func nameHash(head, tail, factor uint64) uint64 {
	if quotes := quoteBytes(head); quotes != 0 {
		return factor * (head & (quotes ^ (quotes - 1))) // up to the lowest mark
	}
	quotes := quoteBytes(tail)
	return factor * (head ^ bits.RotateLeft64(factor*(tail&(quotes^(quotes-1))), 32))
}

// quoteBytes marks quotes in the way of specialBytes.
func quoteBytes(w uint64) uint64 {
	const ones = tops >> 7
	quotes := w ^ ones*'"'
	return (quotes - ones) &^ quotes & tops
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
		return v.tooMany(i), nil
	}
	o, start, known := m.rules, i, m.next
	if known < uint(len(o.known)) && o.known[known].at(b, i-1, uint64(b[i-1])) {
		i += int(o.known[known].size) - 1
	} else if i, known, child = v.name(i, m); i < 0 || known == noProperty {
		return i, child
	}
	if m.seen>>(known&63)&1 != 0 {
		return v.refuse(FaultDuplicate, start), nil
	}
	m.note(known)
	return i, o.known[known].node
}

// tooMany refuses an object that has as many members as it may at the name of one
// more, unless that is no text: a pointer must not be made of it.
func (v *Validator) tooMany(i int) int {
	if b := v.text; i < len(b) && b[i] == '"' {
		if end, _, fault := scanString(b, i); fault != nil {
			return v.refuse(fault, end)
		}
	}
	return v.refuse(FaultMembers, i)
}

// name reads a name and its colon. It returns the index behind the colon, the
// index of the name among the known ones or noProperty, and if it is not known,
// what is asked of its value.
func (v *Validator) name(i int, m *members) (end int, known uint, child *node) {
	b := v.text
	if i >= len(b) || b[i] != '"' {
		return v.refuse(FaultSyntax, i), noProperty, nil
	}
	o, start := m.rules, i
	i, escaped, fault := scanString(b, i)
	if fault != nil {
		return v.refuse(fault, i), noProperty, nil
	}
	found := name{start: start + 1, end: i - 1, escaped: escaped}
	text := b[found.start:found.end]
	if escaped {
		v.plain = Unescape(v.plain[:0], text)
		text = v.plain
	}
	if i = v.space(i); i >= len(b) || b[i] != ':' {
		return v.refuse(FaultSyntax, i), noProperty, nil
	}
	if o.names != nil && v.nameFault(o.names, text) != nil {
		return v.refuse(FaultPropertyNames, start), noProperty, nil
	}
	if found := o.index.find(text); found >= 0 {
		return i + 1, uint(found), nil
	}
	child = o.additional
	if len(o.patterns) > 0 && o.patterns[0].pattern.match(text) {
		child = o.patterns[0].node
	}
	m.unknown++
	if !v.names.add(b, &m.top, found) {
		return v.refuse(FaultDuplicate, start), noProperty, nil
	}
	return i + 1, noProperty, child
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
