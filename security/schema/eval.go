package schema

// eval runs n on the value at entry t of v.tape and reports whether it is as n
// asks; if not, why is in v.refusal. What it costs is charged before.
func (v *Validator) eval(n *node, t int32) bool {
	e := &v.tape[t]
	if !v.charge(1, e) {
		return false
	}
	switch {
	case n.op == opAny:
		return true
	case n.op == opNever:
		return v.deny(n.never, e)
	case n.op == opByKind:
		return v.eval(n.byKind[e.kind.number()], t)
	case e.kind&n.admits == 0:
		return v.deny(n.kindFault(e.kind), e)
	}
	switch e.kind {
	case kindString:
		if n.text != nil && !v.evalText(n, t) {
			return false
		}
	case kindNumber:
		if n.number != nil && (!v.charge(1+e.reading(), e) || v.number(int(e.start), n) < 0) {
			return false
		}
	case kindArray:
		if n.array != nil && !v.evalArray(n.array, t) {
			return false
		}
	case kindObject:
		if n.object != nil && !v.evalObject(n.object, t) {
			return false
		}
	}
	if e.kind&(kindArray|kindObject) != 0 && n.values != nil && !v.evalConstants(n, t) {
		return false
	}
	return v.evalInPlace(n, t)
}

// deny notes a fault of the value at e.
func (v *Validator) deny(fault *Fault, e *entry) bool {
	v.refuse(fault, int(e.start))
	return false
}

// abort notes a fault of the value at e that no alternative makes good.
func (v *Validator) abort(fault *Fault, e *entry) bool {
	v.final = true
	return v.deny(fault, e)
}

// charge spends steps on the value at e.
func (v *Validator) charge(steps int, e *entry) bool {
	return v.spend(steps) || v.abort(FaultSteps, e)
}

// view is the text in hand with its tape.
func (v *Validator) view() tapedText { return tapedText{v.text, v.tape} }

func (v *Validator) evalText(n *node, t int32) bool {
	e := &v.tape[t]
	steps := 2 + e.reading()
	if n.text.pattern != nil || n.text.format != nil {
		steps += int(e.end - e.start)
	}
	if !v.charge(steps, e) {
		return false
	}
	raw := v.text[e.start+1 : e.end-1]
	if !e.escaped {
		fault := n.text.fault(raw, n.values)
		return fault == nil || v.deny(fault, e)
	}
	base := len(v.plain)
	v.plain = Unescape(v.plain, raw)
	fault := n.text.fault(v.plain[base:], n.values)
	v.plain = v.plain[:base]
	return fault == nil || v.deny(fault, e)
}

// evalConstants looks for an array or object among those of enum or const.
func (v *Validator) evalConstants(n *node, t int32) bool {
	view := v.view()
	for _, constant := range n.constants {
		if v.equal(&view, t, n.source, constant) {
			return true
		}
		if !v.charge(1, &v.tape[t]) {
			return false
		}
	}
	return v.deny(n.values, &v.tape[t])
}

// evalInPlace runs the schemas that n applies to the same value.
func (v *Validator) evalInPlace(n *node, t int32) bool {
	for _, m := range n.all {
		if !v.eval(m, t) {
			return false
		}
	}
	if !n.chooses() {
		return true
	}
	if len(n.any) > 0 && v.matches(n.any, t, 1) < 1 && !v.final {
		v.deny(FaultAnyOf, &v.tape[t])
		return false
	}
	if len(n.one) > 0 && !v.final && v.matches(n.one, t, 2) != 1 && !v.final {
		v.deny(FaultOneOf, &v.tape[t])
		return false
	}
	if n.not != nil && !v.final && v.try(n.not, t) {
		return v.deny(FaultNot, &v.tape[t])
	}
	if v.final || n.test == nil {
		return !v.final
	}
	branch := n.other
	if v.try(n.test, t) {
		branch = n.then
	}
	if v.final || branch == nil {
		return !v.final
	}
	return v.eval(branch, t)
}

// try is eval where it does not matter what the fault is.
func (v *Validator) try(n *node, t int32) bool {
	v.trying++
	ok := v.eval(n, t)
	v.trying--
	return ok
}

// matches is how many of the schemas admit the value at t, as far as enough of them.
func (v *Validator) matches(list []*node, t int32, enough int) (count int) {
	for _, m := range list {
		if v.try(m, t) {
			count++
		}
		if count >= enough || v.final {
			break
		}
	}
	return count
}
