package schema

import (
	"math"
	"slices"
)

// assertions compiles the keywords that no schema stands under.
func (c *compiler) assertions(n *node, keywords map[string]int32) {
	if i, ok := keywords["type"]; ok {
		c.types(n, i)
	}
	c.values(n, keywords)
	c.numbers(n, keywords)
	c.texts(n, keywords)
}

// types compiles type.
func (c *compiler) types(n *node, i int32) {
	list := []int32{i}
	if c.source.tape[i].kind == kindArray {
		list = c.source.elements(i)
	}
	n.types = 0
	var seen []string
	integer := false
	for _, item := range list {
		name := ""
		if c.source.tape[item].kind == kindString {
			name = c.source.unescaped(item)
		}
		kinds, ok := kindsNamed(name)
		if !ok || slices.Contains(seen, name) {
			c.fail("type", "must be one of null, boolean, integer, number, string, array and object, or an array of different ones")
			return
		}
		seen = append(seen, name)
		integer = integer || name == "integer"
		n.types |= kinds
	}
	if len(list) == 0 {
		c.fail("type", "names no type")
	}
	n.admits = n.types
	if integer && !slices.Contains(seen, "number") {
		n.numbers().integer = true
	}
}

func kindsNamed(name string) (kind, bool) {
	switch name {
	case "null":
		return kindNull, true
	case "boolean":
		return kindBool, true
	case "integer", "number":
		return kindNumber, true
	case "string":
		return kindString, true
	case "array":
		return kindArray, true
	case "object":
		return kindObject, true
	}
	return 0, false
}

func (n *node) numbers() *numberRules {
	if n.number == nil {
		n.number = &numberRules{}
	}
	return n.number
}

func (n *node) texts() *textRules {
	if n.text == nil {
		n.text = &textRules{max: noMost}
	}
	return n.text
}

// values compiles enum and const; of both, what they have in common is left.
func (c *compiler) values(n *node, keywords map[string]int32) {
	var list []int32
	if i, ok := keywords["enum"]; ok {
		if c.source.tape[i].kind != kindArray {
			c.fail("enum", "must be an array")
			return
		}
		list, n.values = c.source.elements(i), FaultEnum
	}
	if i, ok := keywords["const"]; ok {
		if n.values != nil {
			list = slices.DeleteFunc(list, func(other int32) bool { return !c.equal(i, other) })
		} else {
			list = []int32{i}
		}
		n.values = FaultConst
	}
	if n.values == nil {
		return
	}
	var kinds kind
	var texts []string
	for _, i := range list {
		k := c.source.tape[i].kind
		kinds |= k
		switch k {
		case kindNumber:
			var d decimal
			d.parse(c.source.raw(i))
			n.numbers().enum = append(n.numbers().enum, d)
		case kindString:
			texts = append(texts, c.source.unescaped(i))
		case kindArray, kindObject:
			n.constants, n.source = append(n.constants, i), c.source
		}
	}
	n.admits &= kinds
	if kinds&kindNumber != 0 {
		r := n.numbers()
		r.enumerated = true
		slices.SortFunc(r.enum, func(a, b decimal) int { return a.compare(&b) })
	}
	if kinds&kindString != 0 {
		slices.Sort(texts)
		n.texts().enum = newLookup(slices.Compact(texts))
	}
}

// equal compares two values of the schema.
func (c *compiler) equal(a, b int32) bool {
	e := effort{steps: math.MaxInt}
	return e.equal(c.source, a, c.source, b)
}

// texts compiles the keywords for strings.
func (c *compiler) texts(n *node, keywords map[string]int32) {
	if i, ok := keywords["minLength"]; ok {
		n.texts().min = c.count("minLength", i)
	}
	if i, ok := keywords["maxLength"]; ok {
		n.texts().max = c.count("maxLength", i)
	}
	if i, ok := keywords["pattern"]; ok {
		if c.source.tape[i].kind != kindString {
			c.fail("pattern", "must be a string")
			return
		}
		n.texts().pattern = c.pattern("pattern", c.source.unescaped(i))
	}
	if i, ok := keywords["format"]; ok {
		name := ""
		if c.source.tape[i].kind == kindString {
			name = c.source.unescaped(i)
		}
		n.texts().format, n.texts().formatName = formatNamed(name), name
		if n.text.format == nil {
			c.fail("format", "must be one of date-time, date, uuid, email, uri, ipv4 and ipv6")
		}
	}
	if n.text != nil {
		n.text.expect()
	}
}

// maxWords is how many texts of an enum are tried before the look-up.
const maxWords = 4

// expect settles in which way strings are tried.
func (r *textRules) expect() {
	sized := r.min > 0 || r.max < noMost
	r.how = (*Validator).anyText
	switch {
	case r.enum != nil:
		r.how = (*Validator).wordText
		r.expectWords()
	case r.pattern == nil && r.format == nil:
		r.how = (*Validator).plainText
	case sized:
	case r.format == nil:
		r.how = (*Validator).patternText
	case r.pattern == nil && r.formatName == "date-time":
		r.how = (*Validator).dateTimeText
	case r.pattern == nil && r.formatName == "uuid":
		r.how = (*Validator).uuidText
	}
}

// expectWords prepares texts of enum that are as all rules ask.
func (r *textRules) expectWords() {
	for _, text := range r.enum.texts {
		if len(r.words) < maxWords && r.fault([]byte(text), nil) == nil {
			r.words = append(r.words, newWord("", text, ""))
		}
	}
}

// pattern compiles a regular expression, one of equal ones.
func (c *compiler) pattern(keyword, expression string) *pattern {
	if p, ok := c.patterns[expression]; ok {
		return p
	}
	p, err := compilePattern(expression)
	if err == nil {
		if c.cells += len(p.next); c.cells > maxSchemaCells {
			err = errPatternSize
		}
	}
	if err != nil {
		c.fail(keyword, "is no RE2 expression that can be used: %v", err)
		return nil
	}
	c.patterns[expression] = p
	return p
}

// count compiles a number of things, an integer of any spelling.
func (c *compiler) count(keyword string, i int32) int {
	var d decimal
	if c.source.tape[i].kind == kindNumber {
		d.parse(c.source.raw(i))
	} else {
		d.negative, d.count = true, 1
	}
	if d.negative || !d.whole() {
		c.fail(keyword, "must be a whole number, 0 or more")
		return 0
	}
	const enough = math.MaxInt32 // more than any text has of anything
	value := 0
	for p := range d.power {
		digit := 0
		if p < d.count {
			digit = int(d.digits[p] - '0')
		}
		if value = value*10 + digit; value > enough {
			return enough
		}
	}
	return value
}
