package schema

import "math/rand/v2"

// chance makes random schemas and texts. It keeps to few names, numbers and
// strings, so that they meet.
type chance struct{ *rand.Rand }

// tree is a JSON object in the order in which it is written.
type tree []branch

type branch struct {
	name  string
	value any // nil, bool, string, number, []any, tree
}

// number is one as it is written.
type number string

func newChance(seed uint64) chance { return chance{rand.New(rand.NewPCG(seed, 1))} }

func (c chance) one(in int) bool { return c.IntN(in) == 0 }

func pick[T any](c chance, list ...T) T { return list[c.IntN(len(list))] }

func (c chance) name() string {
	return pick(c, "a", "b", "c", "d", "price", "price_of_something_long", "é", "a/b~", "\"", "\n", "", "symbol", "😀")
}

func (c chance) numeral() number {
	return pick[number](c, "0", "1", "2", "3", "-1", "1.0", "10e-1", "1.5", "-0.0", "0.1", "0.3", "1e2", "100", "1.00", "2.50", "-7",
		"9007199254740993", "9007199254740992", "123456789012345678901234567890", "1e300", "1.1e-300", "0.01", "19.99", "4.35", "3e0",
		"999999999999999999", "1000000000000000000", "0.000000000000001", "0.0000000000000001", "12345.678900")
}

func (c chance) text() string {
	return pick(c, "", "a", "b", "ab", "abc", "aaa", "é", "😀", "a😀é", "漢字", "buy", "sell", "ACME", "x-y", "\n", "\"", "a b",
		"2026-11-05T14:30:00Z", "2026-11-05t14:30:00.5+01:00", "1998-12-31T23:59:60Z", "2026-02-29", "2024-02-29", "2026-11-05",
		"0b4e7a3c-5d1f-4f7e-9a51-6a0c2d9be7f1", "me@example.com", "m..e@example.com", "me@[127.0.0.1]", "http://example.com/a?b#c",
		"//example.com", "urn:a:b", "http://a b", "1.2.3.4", "01.2.3.4", "1.2.3", "::1", "::ffff:1.2.3.4", "1:2:3:4:5:6:7:8", "1::2::3")
}

func (c chance) expression() string {
	return pick(c, "a", "^a", "b$", "^[a-z]+$", "^.$", "^[A-Z]{1,6}$", `\d`, "^$", "a|b", "^(a|bc)*$", "é", `\p{Han}`, "(?i)A", `\bab?\b`, "[^a-c]", "(?s)^.{2}$", "^x-")
}

// schema is a random one, whose references are to the names of defs.
func (c chance) schema(depth int, defs []string) any {
	if depth <= 0 || c.one(12) {
		return pick[any](c, true, true, false, tree{{"type", c.typeName()}}, tree{}, tree{{"const", c.value(1)}})
	}
	var s tree
	add := func(name string, value any) { s = append(s, branch{name, value}) }
	below := func() any { return c.schema(depth-1, defs) }
	if c.one(2) {
		types := []any{c.typeName()}
		for c.one(3) {
			if t := c.typeName(); !contains(types, t) {
				types = append(types, t)
			}
		}
		if len(types) == 1 && c.one(2) {
			add("type", types[0])
		} else {
			add("type", types)
		}
	}
	for range c.IntN(4) {
		c.group(add, below, defs)
	}
	c.Shuffle(len(s), func(i, j int) { s[i], s[j] = s[j], s[i] })
	// The last of those of one name stays.
	seen := map[string]bool{}
	var unique tree
	for _, b := range s {
		if !seen[b.name] {
			seen[b.name] = true
			unique = append(unique, b)
		}
	}
	return unique
}

func contains(list []any, v any) bool {
	for _, x := range list {
		if x == v {
			return true
		}
	}
	return false
}

// group adds some keywords that go together.
func (c chance) group(add func(string, any), below func() any, defs []string) {
	count := func() any { return number(pick(c, "0", "1", "2", "3", "2.0", "1e0")) }
	list := func() (l []any) {
		for range 1 + c.IntN(3) {
			l = append(l, below())
		}
		return l
	}
	switch c.IntN(15) {
	case 0:
		add(pick(c, "minimum", "exclusiveMinimum"), c.numeral())
	case 1:
		add(pick(c, "maximum", "exclusiveMaximum"), c.numeral())
	case 2:
		add("multipleOf", pick[number](c, "1", "2", "0.01", "0.1", "3", "1e2", "0.5", "2.5", "1e-3", "1e300", "7e-300", "1000000007"))
	case 3:
		add(pick(c, "minLength", "maxLength"), count())
	case 4:
		add("pattern", c.expression())
	case 5:
		add("format", pick(c, "date-time", "date", "uuid", "email", "uri", "ipv4", "ipv6"))
	case 6:
		var values []any
		for range c.IntN(6) {
			values = append(values, c.value(2))
		}
		add("enum", values)
	case 7:
		add("const", c.value(2))
	case 8:
		c.objectGroup(add, below, count)
	case 9, 10:
		add("properties", c.named(below))
		c.objectGroup(add, below, count)
	case 11:
		add(pick(c, "items", "contains"), below())
		add(pick(c, "minItems", "maxItems", "minContains", "maxContains", "minItems"), count())
	case 12:
		add("prefixItems", list())
		add("uniqueItems", c.one(2))
	case 13:
		add(pick(c, "allOf", "anyOf", "oneOf"), list())
		if c.one(3) {
			add("not", below())
		}
	case 14:
		if len(defs) > 0 && c.one(2) {
			add("$ref", "#/$defs/"+pick(c, defs...))
			return
		}
		add("if", below())
		add(pick(c, "then", "else"), below())
		add(pick(c, "then", "else"), below())
	}
}

func (c chance) objectGroup(add func(string, any), below func() any, count func() any) {
	names := func() (l []any) {
		for range c.IntN(3) {
			if n := c.name(); !contains(l, n) {
				l = append(l, n)
			}
		}
		return l
	}
	switch c.IntN(6) {
	case 0:
		add("required", names())
	case 1:
		add("additionalProperties", below())
	case 2:
		patterns := tree{{c.expression(), below()}}
		if p := c.expression(); p != patterns[0].name {
			patterns = append(patterns, branch{p, below()})
		}
		add("patternProperties", patterns[:1+c.IntN(len(patterns))])
	case 3:
		add("propertyNames", below())
	case 4:
		add(pick(c, "minProperties", "maxProperties"), count())
	case 5:
		add("dependentRequired", tree{{c.name(), names()}})
	}
}

func (c chance) named(below func() any) tree {
	var t tree
	seen := map[string]bool{}
	for range c.IntN(5) {
		if n := c.name(); !seen[n] {
			seen[n] = true
			t = append(t, branch{n, below()})
		}
	}
	return t
}

func (c chance) typeName() string {
	return pick(c, "null", "boolean", "integer", "number", "string", "array", "object")
}
