package schema

import (
	"net/url"
	"strconv"
	"strings"
)

// openRef is a $ref of a node, to be followed when all schemas are known.
type openRef struct {
	from   *node
	at     string // pointer to the schema it stands in
	target string // the fragment of the URI
}

// applicators compiles the keywords that schemas stand under.
func (c *compiler) applicators(n *node, keywords map[string]int32) {
	c.arrays(n, keywords)
	c.objects(n, keywords)
	for _, k := range []struct {
		keyword string
		list    *[]*node
	}{{"allOf", &n.all}, {"anyOf", &n.any}, {"oneOf", &n.one}} {
		if i, ok := keywords[k.keyword]; ok {
			*k.list = c.list(k.keyword, i, FaultFalse)
		}
	}
	for _, k := range []struct {
		keyword string
		place   **node
	}{{"not", &n.not}, {"if", &n.test}, {"then", &n.then}, {"else", &n.other}} {
		if i, ok := keywords[k.keyword]; ok {
			*k.place = c.below(i, FaultFalse, k.keyword)
		}
	}
	if n.test == nil || n.then == nil && n.other == nil {
		n.test, n.then, n.other = nil, nil, nil // they ask for nothing, says the standard
	}
	if i, ok := keywords["$defs"]; ok {
		c.named("$defs", i, FaultFalse)
	}
	if i, ok := keywords["$ref"]; ok {
		c.reference(n, i)
	}
}

// list compiles an array of schemas.
func (c *compiler) list(keyword string, i int32, fault *Fault) (nodes []*node) {
	if c.source.tape[i].kind != kindArray || c.source.tape[i].next == i+1 {
		c.fail(keyword, "must be an array of at least one schema")
		return nil
	}
	for index, item := range c.source.elements(i) {
		nodes = append(nodes, c.below(item, fault, keyword, strconv.Itoa(index)))
	}
	return nodes
}

// namedNode is a schema that stands under a name.
type namedNode struct {
	name string
	node *node
}

// named compiles an object of schemas.
func (c *compiler) named(keyword string, i int32, fault *Fault) (nodes []namedNode) {
	if c.source.tape[i].kind != kindObject {
		c.fail(keyword, "must be an object of schemas")
		return nil
	}
	for name, value := range c.source.members(i) {
		nodes = append(nodes, namedNode{name, c.below(value, fault, keyword, name)})
	}
	return nodes
}

// names compiles an array of different names.
func (c *compiler) names(keyword string, i int32) (names []string) {
	seen := map[string]bool{}
	if c.source.tape[i].kind == kindArray {
		for _, item := range c.source.elements(i) {
			if c.source.tape[item].kind == kindString {
				names = append(names, c.source.unescaped(item))
				seen[names[len(names)-1]] = true
			}
		}
		if len(seen) == len(c.source.elements(i)) {
			return names
		}
	}
	c.fail(keyword, "must be an array of different names")
	return nil
}

// reference compiles $ref.
func (c *compiler) reference(n *node, i int32) {
	target, local := "", false
	if c.source.tape[i].kind == kindString {
		target, local = strings.CutPrefix(c.source.unescaped(i), "#")
	}
	if !local {
		c.fail("$ref", "only a JSON pointer into this schema is supported, as in #/$defs/name")
		return
	}
	c.refs = append(c.refs, openRef{from: n, at: string(c.at), target: target})
}

// follow finds the schema that a fragment refers to.
func (c *compiler) follow(fragment string) (*node, bool) {
	pointer, err := url.PathUnescape(fragment)
	if err != nil || pointer != "" && pointer[0] != '/' {
		return nil, false
	}
	i := int32(0)
	for _, token := range strings.Split(pointer, "/")[1:] {
		// Each ~ begins ~0 or ~1 (RFC 6901 §3); any other makes no pointer, also where a member has that very name.
		if strings.Count(token, "~") != strings.Count(token, "~0")+strings.Count(token, "~1") {
			return nil, false
		}
		if i = c.source.child(i, strings.NewReplacer("~1", "/", "~0", "~").Replace(token)); i < 0 {
			return nil, false
		}
	}
	n, ok := c.nodes[i]
	return n, ok
}

// child is the entry of a member's value or of an item, or -1.
func (t *tapedText) child(i int32, token string) int32 {
	switch t.tape[i].kind {
	case kindObject:
		for name, value := range t.members(i) {
			if name == token {
				return value
			}
		}
	case kindArray:
		for index, item := range t.elements(i) {
			if strconv.Itoa(index) == token {
				return item
			}
		}
	}
	return -1
}
