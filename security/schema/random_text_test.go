package schema

import (
	"strconv"
	"strings"
)

// value is a random one that knows no schema.
func (c chance) value(depth int) any {
	switch n := c.IntN(8); {
	case n < 2:
		return pick[any](c, nil, true, false)
	case n < 4:
		return c.numeral()
	case n < 6 || depth <= 0:
		return c.text()
	case n == 6:
		var list []any
		for range c.IntN(4) {
			list = append(list, c.value(depth-1))
		}
		return list
	}
	return c.named(func() any { return c.value(depth - 1) })
}

// instance is a value that has a chance of being as a schema asks.
func (c chance) instance(s any, root tree, depth int) any {
	t, ok := s.(tree)
	if !ok || depth <= 0 || c.one(10) {
		return c.value(2)
	}
	get := func(name string) any {
		for _, b := range t {
			if b.name == name {
				return b.value
			}
		}
		return nil
	}
	if ref, ok := get("$ref").(string); ok && c.one(2) {
		for _, b := range root {
			if strings.HasSuffix(ref, "/"+b.name) {
				return c.instance(b.value, root, depth-1)
			}
		}
	}
	for _, k := range []string{"allOf", "anyOf", "oneOf"} {
		if list, ok := get(k).([]any); ok && len(list) > 0 && c.one(2) {
			return c.instance(pick(c, list...), root, depth-1)
		}
	}
	if list, ok := get("enum").([]any); ok && len(list) > 0 && !c.one(4) {
		return pick(c, list...)
	}
	if v := get("const"); v != nil && !c.one(4) {
		return v
	}
	typ := get("type")
	if list, ok := typ.([]any); ok {
		typ = pick(c, list...)
	}
	if typ == nil {
		typ = pick[any](c, "object", "object", "array", "string", "number")
	}
	switch typ {
	case "null":
		return nil
	case "boolean":
		return c.one(2)
	case "integer", "number":
		return c.numeral()
	case "string":
		return c.text()
	case "array":
		return c.arrayFor(get, root, depth)
	}
	return c.objectFor(get, root, depth)
}

func (c chance) arrayFor(get func(string) any, root tree, depth int) any {
	var list []any
	prefix, _ := get("prefixItems").([]any)
	for i := range c.IntN(4) {
		item := get("items")
		if i < len(prefix) {
			item = prefix[i]
		}
		if contained := get("contains"); contained != nil && c.one(3) {
			item = contained
		}
		list = append(list, c.instance(item, root, depth-1))
	}
	return list
}

func (c chance) objectFor(get func(string) any, root tree, depth int) any {
	var t tree
	seen := map[string]bool{}
	put := func(name string, s any) {
		if !seen[name] {
			seen[name] = true
			t = append(t, branch{name, c.instance(s, root, depth-1)})
		}
	}
	properties, _ := get("properties").(tree)
	for _, b := range properties {
		if !c.one(4) {
			put(b.name, b.value)
		}
	}
	required, _ := get("required").([]any)
	for _, n := range required {
		if !c.one(4) {
			put(n.(string), get("additionalProperties"))
		}
	}
	for c.one(3) {
		put(c.name(), get("additionalProperties"))
	}
	if c.one(2) {
		c.Shuffle(len(t), func(i, j int) { t[i], t[j] = t[j], t[i] })
	}
	return t
}

// write writes a value in one of its spellings.
func (c chance) write(b *strings.Builder, v any) {
	space := func() {
		if c.one(12) {
			b.WriteString(pick(c, " ", "\n", "\t ", "\r\n  "))
		}
	}
	space()
	switch v := v.(type) {
	case nil:
		b.WriteString("null")
	case bool:
		b.WriteString(strconv.FormatBool(v))
	case number:
		b.WriteString(string(v))
	case string:
		c.writeText(b, v)
	case []any:
		b.WriteByte('[')
		for i, item := range v {
			if i > 0 {
				b.WriteByte(',')
			}
			c.write(b, item)
		}
		b.WriteByte(']')
	case tree:
		b.WriteByte('{')
		for i, m := range v {
			if i > 0 {
				b.WriteByte(',')
			}
			space()
			c.writeText(b, m.name)
			space()
			b.WriteByte(':')
			c.write(b, m.value)
		}
		b.WriteByte('}')
	}
	space()
}

func (c chance) writeText(b *strings.Builder, s string) {
	escapes := c.one(6)
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r > 0xffff && escapes:
			r -= 0x10000
			writeUnit(b, 0xd800+r>>10)
			writeUnit(b, 0xdc00+r&0x3ff)
		case r < ' ' || r == '"' || r == '\\' || escapes && c.one(2) && r < 0x10000:
			writeUnit(b, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
}

func writeUnit(b *strings.Builder, r rune) {
	const hex = "0123456789abcdef"
	b.WriteString(`\u`)
	for shift := 12; shift >= 0; shift -= 4 {
		b.WriteByte(hex[r>>shift&15])
	}
}

func (c chance) spell(v any) string {
	var b strings.Builder
	c.write(&b, v)
	return b.String()
}
