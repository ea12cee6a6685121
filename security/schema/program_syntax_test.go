package schema

import (
	"strings"
	"testing"
)

// lenient are schemas that admit everything, each in another way of reading.
var lenient = map[string]string{
	"true": `true`,
	"one pass": `{"type":["null","boolean","number","string","array","object"],"minimum":-1.7976931348623157e308,"minLength":0,"items":{"$ref":"#"},
		"properties":{"a":{"$ref":"#"},"b":{"$ref":"#"},"c":{"$ref":"#"},"name of more than sixteen bytes":{"$ref":"#"},"n1":true,"n3":{"$ref":"#"}},"additionalProperties":{"$ref":"#"}}`,
	"names":            `{"propertyNames":{"minLength":0},"additionalProperties":{"$ref":"#"},"items":{"$ref":"#"}}`,
	"patterns":         `{"pattern":"","properties":{"a":{"$ref":"#"},"x":{"$ref":"#"}},"patternProperties":{"(?s)^.*$":{"$ref":"#"}},"items":{"$ref":"#"}}`,
	"any but in place": `{"allOf":[{"properties":{"a":true}},{"minItems":0,"items":{"$ref":"#"}}]}`,
	"mixed":            `{"properties":{"a":{"allOf":[{"type":["null","boolean","number","string","array","object"]},{"minLength":0}]},"b":{"$ref":"#"}},"additionalProperties":{"items":{"$ref":"#"},"anyOf":[{"minimum":0},true]},"items":{"items":{"$ref":"#"}}}`,
	"by kind":          `{"anyOf":[{"type":"object","additionalProperties":{"$ref":"#"}},{"type":"array","items":{"$ref":"#"}},{"type":"string"},{"type":"number"},{"type":["null","boolean"]}]}`,
}

func compiled(t testing.TB, schema string) *Schema {
	t.Helper()
	s, err := Compile([]byte(schema))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// tightLimits are limits that texts of a few levels run into.
func tightLimits() (all []Limits) {
	all = append(all, usual, Limits{})
	for depth := range 4 {
		for members := range 4 {
			all = append(all, Limits{Depth: depth + 1, Members: members}, Limits{Depth: depth + 1, Members: 70 * members})
		}
	}
	return all
}

// TestSyntaxBehindSchemas: a schema that admits everything says of every text
// what Check says of it, whichever way it reads.
func TestSyntaxBehindSchemas(t *testing.T) {
	texts := append(samples(), `{"b":1,"a":2,"b":3}`, `{"a":1,"b":2,"c":3,"a":4}`, `{"c":[[{"a":{"b":[]}}]]}`, `{"x":{"a":{"x":{"b":{"y":[]}}}}}`, `{"x":{"y":1,"z":2},"y":{"x":1},"x":3}`,
		`{"name of more than sixteen bytes":1,"name of more than sixteen bytes":2}`, `[{"a":{},"b":[{}],"c":{"x":{}}},{"q":[1,{"r":[2]}]}]`, `{"x":{"a":1},"a":2}`, `{"a":"`+"\x01"+`"}`, `{"b":"\`, `{"a":tru}`, `{"a":falsx}`, `{"a":nul`)
	for _, c := range cases {
		texts = append(texts, c.text, `{"a":`+c.text+`,"b":1}`, `[`+c.text+`]`, `{"q":[`+c.text+` ]}`)
	}
	c := newChance(11)
	for range 300 {
		texts = append(texts, c.spoilt(c.spell(c.value(4))))
	}
	for name, schema := range lenient {
		s := compiled(t, schema)
		var v, plain Validator
		for _, text := range texts {
			for _, lim := range tightLimits() {
				got, want := s.Validate(&v, []byte(text), lim), plain.Check([]byte(text), lim)
				if got.Fault == FaultSteps || got.Fault == want {
					continue
				}
				// Two faults of a text may be seen in another order.
				if got.Fault == nil || want == nil {
					t.Fatalf("%s: %+v %.200q: %v at %d, want %v", name, lim, text, got.Fault, got.Offset, want)
				}
			}
		}
	}
}

// TestDepthIsBounded: also without a limit.
func TestDepthIsBounded(t *testing.T) {
	for name, schema := range lenient {
		s := compiled(t, schema)
		for _, unit := range []struct{ open, close string }{{"[", "]"}, {`{"a":`, "}"}, {`{"x":`, "}"}, {`[{"b":`, "}]"}} {
			for depth, want := range map[int]*Fault{maxRunDepth: nil, maxRunDepth + 2: FaultDepth, 20_000: FaultDepth} {
				levels := depth / len(unit.close)
				text := strings.Repeat(unit.open, levels) + "1" + strings.Repeat(unit.close, levels)
				r := s.Validate(&Validator{}, []byte(text), Limits{})
				if r.Fault != want && r.Fault != FaultSteps { // twice for each level costs too much
					t.Errorf("%s: %d of %s: %v, want %v", name, levels, unit.open, r.Fault, want)
				}
				r.AppendPointer(nil, []byte(text))
			}
		}
	}
}

// TestMembersAreCountedAtOnce: an object of too many members is refused at the
// first that is one too many, whatever is behind it.
func TestMembersAreCountedAtOnce(t *testing.T) {
	s := compiled(t, `{"additionalProperties":{"type":"number"},"properties":{"a":true,"b":true}}`)
	for _, text := range []string{`{"x":1,"y":2,"z":3,`, `{"b":1,"x":2,"a":3,`, `{"x":1,"y":2,"z":"`} {
		r := s.Validate(&Validator{}, []byte(text), Limits{Members: 2})
		if r.Fault != FaultMembers || r.Offset != strings.LastIndex(text[:16], ",")+1 {
			t.Errorf("%s: %v at %d", text, r.Fault, r.Offset)
		}
	}
	for text, want := range map[string]*Fault{`{"x":1,"y":2,"` + "\xff" + `":3}`: FaultUTF8, `{"x":1,"y":2,"\ud800":3}`: FaultSurrogate, `{"a":1,"b":2,"z`: FaultSyntax, `{"x":1,"y":2,z`: FaultMembers} {
		r := s.Validate(&Validator{}, []byte(text), Limits{Members: 2})
		if p := r.AppendPointer(nil, []byte(text)); r.Fault != want || len(p) > 0 {
			t.Errorf("%q: %v at %d, %q", text, r.Fault, r.Offset, p)
		}
	}
}

// spoilt is a text with one thing wrong in it, or two members of one name.
func (c chance) spoilt(text string) string {
	at := c.IntN(len(text) + 1)
	switch c.IntN(5) {
	case 0:
		return text[:at]
	case 1:
		return text[:at] + pick(c, ",", "]", "}", "\"", "\\", "\x00", "\xff", "1", "e", ":", " ", "{") + text[at:]
	case 2:
		return strings.Replace(text, pick(c, "b", "c", "price"), pick(c, "a", "\\u0061", "\\ud800"), 1)
	case 3:
		return strings.Replace(text, ",", pick(c, ",,", "", " , ", ";"), 1)
	}
	return text
}

// TestManyNames: objects that know as many names as a word has bits, fewer and
// more, with the names in order, turned round, twice, and one of them missing.
func TestManyNames(t *testing.T) {
	for _, n := range []int{2, 4, 5, 63, 64, 65, 128, 129, 300} {
		var properties, names []string
		for i := range n {
			names = append(names, `"n`+itoa(i)+`"`)
			properties = append(properties, names[i]+`:{"const":`+itoa(i)+`}`)
		}
		s := compiled(t, `{"properties":{`+strings.Join(properties, ",")+`},"required":[`+strings.Join(names, ",")+`]}`)
		in := object(n)
		back := "{" + in[strings.LastIndexByte(in, ',')+1:len(in)-1]
		for i := n - 2; i >= 0; i-- {
			back += `,"n` + itoa(i) + `":` + itoa(i)
		}
		back += "}"
		last := `"n` + itoa(n-1) + `"`
		for text, want := range map[string]string{
			in:                                   "",
			back:                                 "",
			strings.Replace(in, last, `"m"`, 1):  "required ",
			in[:len(in)-1] + "," + last + ":0}":  "duplicate /n" + itoa(n-1),
			back[:len(back)-1] + `,"n0":0}`:      "duplicate /n0",
			in[:len(in)-1] + `,"\u006e0":0}`:     "duplicate /n0",
			in[:len(in)-1] + `,"m":0,"m":0}`:     "duplicate /m",
			strings.Replace(back, ":0", ":7", 1): "const /n0",
		} {
			if got := verdict(s, &Validator{}, text); got != want {
				t.Errorf("%d names: %.300s: %q, want %q", n, text, got, want)
			}
		}
	}
}

// TestAlikeNames: names and words that differ in one byte, wherever it is.
func TestAlikeNames(t *testing.T) {
	for length := range 40 {
		name := strings.Repeat("x", length)
		s := compiled(t, `{"properties":{"`+name+`":{"enum":["`+name+`"]}},"additionalProperties":false}`)
		for i := range length {
			other := name[:i] + "y" + name[i+1:]
			for text, want := range map[string]string{
				`{"` + name + `":"` + name + `"}     `:      "",
				`{"` + other + `":"` + name + `"}        `:  "additionalProperties /" + other,
				`{"` + name + `":"` + other + `"}        `:  "enum /" + name,
				`{"` + name + `x":"` + name + `"}        `:  "additionalProperties /" + name + "x",
				`{"` + name[1:] + `":"` + name + `"}     `:  "additionalProperties /" + name[1:],
				`{"` + name + `" : "` + name + `" }      `:  "",
				`{"` + name + `":"` + name + `x"}        `:  "enum /" + name,
				`{"` + name + `":"` + name[1:] + `"}     `:  "enum /" + name,
				`{"` + name[1:] + `\u0078":"` + name + `"}`: "",
			} {
				if got := verdict(s, &Validator{}, text); got != want {
					t.Errorf("%s: %q, want %q", text, got, want)
				}
			}
		}
	}
}

// TestTextPrefixes cuts texts short at every byte: refused, whatever the schema,
// and the pointer is of something that stands before the cut.
func TestTextPrefixes(t *testing.T) {
	var v Validator
	for _, c := range typical {
		s := compiled(t, c.schema)
		for cut := range len(c.text) {
			text := []byte(c.text)[:cut:cut]
			r := s.Validate(&v, text, usual)
			if r.Fault == nil || r.Offset > cut {
				t.Fatalf("%s: %v at %d", text, r.Fault, r.Offset)
			}
			r.AppendPointer(nil, text)
			if r.Fault != FaultSyntax && r.Fault != FaultUTF8 {
				t.Errorf("%s: %v", text, r.Fault)
			}
		}
	}
	for _, c := range verdicts {
		s := compiled(t, c.schema)
		for text := range c.texts {
			for cut := range len(text) {
				half := []byte(text)[:cut:cut]
				if got := s.Validate(&v, half, usual); got.Fault == nil && v.Check(half, usual) != nil {
					t.Fatalf("%s: accepts %s", c.name, half)
				}
				half = []byte(text)[cut:]
				if got := s.Validate(&v, half, usual); got.Fault == nil && v.Check(half, usual) != nil {
					t.Fatalf("%s: accepts %s", c.name, half)
				}
			}
		}
	}
}
