package schema

// evalArray runs a on the array at entry t.
func (v *Validator) evalArray(a *arrayRules, t int32) bool {
	e := &v.tape[t]
	count, found := 0, 0
	for m := t + 1; m < e.next; m = v.tape[m].next {
		item := a.items
		if count < len(a.prefix) {
			item = a.prefix[count]
		}
		count++
		if !v.charge(1, e) || !v.eval(item, m) {
			return false
		}
		if a.contains == nil {
			continue
		}
		if count > maxComparedItems {
			return v.abort(FaultManyItems, e)
		}
		if v.try(a.contains, m) {
			found++
		}
		if v.final {
			return false
		}
	}
	switch {
	case count < a.min:
		return v.deny(FaultMinItems, e)
	case count > a.max:
		return v.deny(FaultMaxItems, e)
	case a.contains != nil && found < a.minContains:
		if a.minContains == 1 {
			return v.deny(FaultContains, e)
		}
		return v.deny(FaultMinContains, e)
	case a.contains != nil && found > a.maxContains:
		return v.deny(FaultMaxContains, e)
	}
	return !a.unique || count < 2 || v.evalUnique(t, count)
}

// maxComparedItems is how many items an array may have if the schema asks for
// uniqueItems or contains.
const maxComparedItems = 1024

// itemSet finds equal items by their hashes. The table is open addressing, at
// most half full, and empty between arrays.
type itemSet struct {
	hashes  []uint64
	entries []int32
	slots   []uint16 // index in hashes plus one; 0 is free
}

// evalUnique checks that no two of the items of the array at t are equal.
func (v *Validator) evalUnique(t int32, count int) bool {
	e := &v.tape[t]
	if count > maxComparedItems {
		return v.abort(FaultManyItems, e)
	}
	s := &v.items
	if s.slots == nil {
		s.hashes = make([]uint64, 0, maxComparedItems)
		s.entries = make([]int32, 0, maxComparedItems)
		s.slots = make([]uint16, 2*maxComparedItems)
	}
	size := 4
	for size < 2*count {
		size *= 2
	}
	slots := s.slots[:size]
	clear(slots)
	s.hashes, s.entries = s.hashes[:0], s.entries[:0]
	view := v.view()
	for m := t + 1; m < e.next; m = v.tape[m].next {
		hash := v.hash(v.names.secret(), &view, m)
		if v.steps < 0 {
			return v.abort(FaultSteps, e)
		}
		slot := int(hash) & (size - 1)
		for ; slots[slot] != 0; slot = (slot + 1) & (size - 1) {
			other := slots[slot] - 1
			if s.hashes[other] == hash && v.equal(&view, m, &view, s.entries[other]) {
				return v.deny(FaultUniqueItems, e)
			}
			if !v.charge(1, e) {
				return false
			}
		}
		s.hashes, s.entries = append(s.hashes, hash), append(s.entries, m)
		slots[slot] = uint16(len(s.hashes))
	}
	return true
}

// evalObject runs o on the object at entry t.
func (v *Validator) evalObject(o *objectRules, t int32) bool {
	base := len(v.seen)
	for range o.words {
		v.seen = append(v.seen, 0)
	}
	count, ok := v.evalMembers(o, t, base)
	if ok {
		if fault := o.complete(count, v.seen[base:]); fault != nil {
			ok = v.deny(fault, &v.tape[t])
		}
	}
	v.seen = v.seen[:base]
	return ok
}

// evalMembers runs o on each member of the object at t, and notes the known
// names in v.seen from base on.
func (v *Validator) evalMembers(o *objectRules, t int32, base int) (count int, ok bool) {
	for m := t + 1; m < v.tape[t].next; m = v.tape[m+1].next {
		count++
		known, ok := v.evalMember(o, m)
		if !ok {
			return count, false
		}
		if known >= 0 {
			v.seen[base+known/64] |= 1 << (known % 64)
		}
	}
	return count, true
}

// evalMember runs o on the member whose name is at entry m, and returns the
// index of the name among the known ones, or -1.
func (v *Validator) evalMember(o *objectRules, m int32) (known int, ok bool) {
	e := &v.tape[m]
	if !v.charge(3+e.reading(), e) {
		return 0, false
	}
	if o.names != nil && !v.eval(o.names, m) {
		return 0, !v.final && v.deny(FaultPropertyNames, e)
	}
	base := len(v.plain)
	view := v.view()
	name := view.string(m, &v.plain)
	if known = o.index.find(name); known < 0 {
		ok = v.evalUnknown(o, m, name)
	}
	v.plain = v.plain[:base]
	if known >= 0 {
		ok = v.eval(o.known[known].node, m+1)
	}
	return known, ok
}

// evalUnknown is evalMember for a name that is not known.
func (v *Validator) evalUnknown(o *objectRules, m int32, name []byte) bool {
	matched := false
	for i := range o.patterns {
		if !v.charge(1+len(name), &v.tape[m]) {
			return false
		}
		if !o.patterns[i].pattern.match(name) {
			continue
		}
		if matched = true; !v.eval(o.patterns[i].node, m+1) {
			return false
		}
	}
	return matched || v.eval(o.additional, m+1)
}
