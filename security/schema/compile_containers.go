package schema

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"strings"
)

// arrays compiles the keywords for arrays.
func (c *compiler) arrays(n *node, keywords map[string]int32) {
	a := &arrayRules{items: anyNode(), max: noMost, minContains: 1, maxContains: noMost}
	asked := false
	if i, ok := keywords["prefixItems"]; ok {
		a.prefix, asked = c.list("prefixItems", i, FaultItems), true
	}
	if i, ok := keywords["items"]; ok {
		if c.source.tape[i].kind == kindArray {
			c.fail("items", "an array of schemas is prefixItems in 2020-12")
			return
		}
		a.items, asked = c.below(i, FaultItems, "items"), true
	}
	if i, ok := keywords["contains"]; ok {
		a.contains, asked = c.below(i, FaultContains, "contains"), true
	}
	for _, k := range []struct {
		keyword string
		place   *int
		alone   bool // it asks for something without contains
	}{
		{"minItems", &a.min, true}, {"maxItems", &a.max, true},
		{"minContains", &a.minContains, false}, {"maxContains", &a.maxContains, false},
	} {
		if i, ok := keywords[k.keyword]; ok {
			*k.place = c.count(k.keyword, i)
			asked = asked || k.alone
		}
	}
	if i, ok := keywords["uniqueItems"]; ok {
		if c.source.tape[i].kind&kindBool == 0 {
			c.fail("uniqueItems", "must be true or false")
		}
		a.unique = c.source.tape[i].kind == kindTrue
		asked = asked || a.unique
	}
	if asked {
		n.array = a
	}
}

// objects compiles the keywords for objects. What is asked of a known name is
// put together when all schemas are known, see link.
func (c *compiler) objects(n *node, keywords map[string]int32) {
	b := objectBuilder{rules: &objectRules{additional: anyNode(), max: noMost}, places: map[string]int{}}
	asked := false
	if i, ok := keywords["properties"]; ok {
		for _, p := range c.named("properties", i, FaultFalse) {
			b.place(p.name)
			b.declared = append(b.declared, p.node)
		}
		asked = true
	}
	if i, ok := keywords["patternProperties"]; ok {
		for _, p := range c.named("patternProperties", i, FaultPatternProperties) {
			b.rules.patterns = append(b.rules.patterns, patternRule{c.pattern("patternProperties", p.name), p.node})
		}
		asked = true
	}
	if i, ok := keywords["additionalProperties"]; ok {
		b.rules.additional, asked = c.below(i, FaultAdditionalProperties, "additionalProperties"), true
	}
	if i, ok := keywords["propertyNames"]; ok {
		b.rules.names, asked = c.below(i, FaultPropertyNames, "propertyNames"), true
	}
	if i, ok := keywords["minProperties"]; ok {
		b.rules.min, asked = c.count("minProperties", i), true
	}
	if i, ok := keywords["maxProperties"]; ok {
		b.rules.max, asked = c.count("maxProperties", i), true
	}
	if i, ok := keywords["required"]; ok {
		b.required, asked = b.set(c.names("required", i)), true
	}
	if i, ok := keywords["dependentRequired"]; ok {
		c.dependents(&b, i)
		asked = true
	}
	if asked && c.mistake == nil {
		b.finish()
		n.object = b.rules
	}
}

// dependents compiles dependentRequired.
func (c *compiler) dependents(b *objectBuilder, i int32) {
	if c.source.tape[i].kind != kindObject {
		c.fail("dependentRequired", "must be an object of arrays of names")
		return
	}
	for name, list := range c.source.members(i) {
		trigger := b.place(name)
		b.dependents = append(b.dependents, dependentNames{trigger, b.set(c.names("dependentRequired", list))})
	}
}

// objectBuilder puts the rules for an object together.
type objectBuilder struct {
	rules      *objectRules
	names      []string // known ones
	places     map[string]int
	declared   []*node // the schemas in properties, of the first names
	required   []int
	dependents []dependentNames
}

type dependentNames struct {
	trigger  int
	required []int
}

// place is the index of a known name, a new one if it must be.
func (b *objectBuilder) place(name string) int {
	place, ok := b.places[name]
	if !ok {
		place = len(b.names)
		b.places[name] = place
		b.names = append(b.names, name)
	}
	return place
}

func (b *objectBuilder) set(names []string) (places []int) {
	for _, name := range names {
		places = append(places, b.place(name))
	}
	return places
}

func (b *objectBuilder) finish() {
	o := b.rules
	o.index = newLookup(b.names)
	o.words = (len(b.names) + 63) / 64
	o.required = b.bits(b.required)
	for _, d := range b.dependents {
		if len(d.required) > 0 {
			o.dependents = append(o.dependents, dependent{d.trigger, b.bits(d.required)})
		}
	}
	o.onlyMust = o.min == 0 && o.max == noMost && len(o.dependents) == 0
	if o.words > 0 {
		o.must = o.required[0]
	}
	for i, name := range b.names {
		p := property{word: newWord("\x00", name, ":")}
		if i < len(b.declared) {
			p.node = b.declared[i]
		}
		o.known = append(o.known, p)
	}
	b.guesses()
}

// guesses makes the table of objectRules.guess: with the first factor that tells
// all names apart, or the one of some that tells most.
func (b *objectBuilder) guesses() {
	const tries = 64
	o, size, most := b.rules, 4, -1
	if len(b.names) > maxDirectNames {
		return
	}
	for size < 4*len(b.names) {
		size *= 2
	}
	o.shift = uint8(64 - bits.TrailingZeros(uint(size)))
	factor := uint64(1)
	for try := 0; try < tries && most < len(b.names); try++ {
		factor *= 0x9e3779b97f4a7c15 // odd, as all its powers
		table, placed := bytes.Repeat([]byte{noProperty}, size), 0
		for i, name := range b.names {
			padded := []byte(name + `"` + strings.Repeat(" ", 16))
			hash := nameHash(binary.LittleEndian.Uint64(padded), binary.LittleEndian.Uint64(padded[8:]), factor)
			slot := &table[hash>>o.shift]
			if *slot == noProperty {
				placed++
			}
			*slot = uint8(i)
		}
		if placed > most {
			most, o.factor, o.guesses = placed, factor, table
		}
	}
}

func (b *objectBuilder) bits(places []int) []uint64 {
	words := make([]uint64, (len(b.names)+63)/64)
	for _, p := range places {
		words[p/64] |= 1 << (p % 64)
	}
	return words
}
