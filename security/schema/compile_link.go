package schema

import "slices"

// link follows the references and settles for each schema how it is run.
func (c *compiler) link(root **node) {
	for _, r := range c.refs {
		target, ok := c.follow(r.target)
		if !ok {
			c.at = append(c.at[:0], r.at...)
			c.fail("$ref", "refers to no schema in this document")
			return
		}
		r.from.all = append([]*node{target}, r.from.all...)
	}
	if !c.inPlaceEnds() {
		return
	}
	for _, n := range c.made {
		if n.object != nil {
			c.settle(n.object)
		}
	}
	replace := func(p **node) { *p = (*p).last() }
	replace(root)
	for _, n := range c.made {
		n.nodes(replace)
		n.all = slices.DeleteFunc(n.all, (*node).admitsAll)
	}
	for _, n := range c.made {
		n.classify()
	}
	for _, n := range c.made {
		n.divide()
	}
	// A property has a copy, to be at hand when its name has been found.
	for _, n := range c.made {
		if n.object != nil {
			for i := range n.object.known {
				n.object.known[i].run = n.object.known[i].node.run
			}
		}
	}
}

// inPlaceEnds refuses schemas that lead to themselves without going down in the
// value, and too many of them within each other.
func (c *compiler) inPlaceEnds() bool {
	const open = -1
	heights := map[*node]int{}
	var height func(n *node) int
	height = func(n *node) int {
		if h, ok := heights[n]; ok {
			return h
		}
		heights[n] = open
		h := 0
		n.inPlace(func(m **node) {
			if below := height(*m); below == open || h == open {
				h = open
			} else {
				h = max(h, below+1)
			}
		})
		heights[n] = h
		return h
	}
	for _, r := range c.refs {
		switch h := height(r.from); {
		case h == open:
			c.at = append(c.at[:0], r.at...)
			c.fail("$ref", "leads back to itself for the same value; put properties or items between")
			return false
		case h > maxSchemaDepth:
			c.at = append(c.at[:0], r.at...)
			c.fail("$ref", "leads to more than %d schemas within each other for the same value", maxSchemaDepth)
			return false
		}
	}
	return true
}

// settle gives each known name one schema: what stands under it in properties
// and the patterns that it matches, or else what is asked of additional ones.
func (c *compiler) settle(o *objectRules) {
	for i := range o.known {
		p := &o.known[i]
		var nodes []*node
		if p.node != nil {
			nodes = append(nodes, p.node)
		}
		for _, rule := range o.patterns {
			if rule.pattern.match([]byte(o.index.texts[i])) {
				nodes = append(nodes, rule.node)
			}
		}
		if len(nodes) == 0 {
			nodes = append(nodes, o.additional)
		}
		p.node = &node{types: kindAny, admits: kindAny, all: nodes}
		c.made = append(c.made, p.node)
	}
}

// last is the node that n stands for: itself, or the one schema that it asks
// for if it asks for nothing else.
func (n *node) last() *node {
	for len(n.all) == 1 && n.asksNothing() && !n.chooses() {
		n = n.all[0]
	}
	return n
}

// chooses reports whether n applies schemas of which not all must be met.
func (n *node) chooses() bool {
	return len(n.any)+len(n.one) > 0 || n.not != nil || n.test != nil
}

// asksNothing reports whether n by itself, without the schemas that it applies
// to the same value, admits every value.
func (n *node) asksNothing() bool {
	return n.never == nil && n.admits == kindAny && n.number == nil && n.text == nil && n.array == nil && n.object == nil
}

func (n *node) admitsAll() bool { return n.asksNothing() && !n.chooses() && len(n.all) == 0 }

// maxDirectNames is how many known names an object can have to be read in one
// pass: one word notes which were there.
const maxDirectNames = 64

// classify settles how n is run.
func (n *node) classify() {
	a, o := n.array, n.object
	if o != nil && o.names != nil {
		if o.names.admitsAll() {
			o.names = nil
		} else {
			for i := range o.known {
				o.known[i].tailAt = nowhere // the name has to be looked at
			}
		}
	}
	n.run, n.shapes, n.longest = (*Validator).value, n.number.shapes(), noMost
	if n.text != nil {
		n.shortest, n.longest = n.text.min, n.text.max
	}
	switch {
	case n.never != nil:
		n.op = opNever
	case n.admitsAll():
		n.op = opAny
	case n.chooses() || len(n.all)+len(n.constants) > 0,
		a != nil && (a.unique || a.contains != nil),
		o != nil && (len(o.known) > maxDirectNames || len(o.patterns) > 1),
		o != nil && o.names != nil && (o.names.chooses() || len(o.names.all) > 0):
		n.op = opTaped
	}
	if n.op == opDirect || n.op == opAny {
		n.direct = n.admits
	}
	if n.op != opDirect {
		return
	}
	switch {
	case n.admits == kindString:
		n.run = n.textWay()
	case n.admits == kindNumber:
		n.run = (*Validator).fewDigits
	case n.admits&^(kindBool|kindNull) == 0:
		n.run = (*Validator).boolOrNull
	case n.admits == kindArray && n.array != nil:
		n.run = (*Validator).array
	case n.admits == kindObject && n.object != nil:
		n.run = (*Validator).object
	}
}

// textWay is how n runs strings.
func (n *node) textWay() way {
	if n.text == nil {
		return (*Validator).plainText
	}
	return n.text.how
}

// divide has a node that asks for one of some alternatives, no two of which
// admit values of one kind, run the one that a value's kind leaves.
func (n *node) divide() {
	alternatives, fault := n.any, FaultAnyOf
	if len(n.one) > 0 {
		alternatives, fault = n.one, FaultOneOf
	}
	if len(alternatives) == 0 || !n.asksNothing() || len(n.all) > 0 || len(n.any)*len(n.one) > 0 || n.not != nil || n.test != nil {
		return
	}
	byKind, taken := [kinds]*node{}, kind(0)
	for k := range byKind {
		byKind[k] = &node{op: opNever, never: fault}
	}
	for _, m := range alternatives {
		if m.op == opNever {
			continue
		}
		if m.admits&taken != 0 {
			return
		}
		taken |= m.admits
		for k := range byKind {
			if m.admits>>k&1 != 0 {
				byKind[k] = m
			}
		}
	}
	n.op, n.byKind = opByKind, &byKind
}
