package schema

import (
	"bytes"
	"errors"
	"math"
	"testing"
)

// FuzzSchema compiles hostile schemas. What compiles is run on the schema itself
// and on some texts, twice.
func FuzzSchema(f *testing.F) {
	for _, c := range verdicts {
		f.Add([]byte(c.schema))
	}
	for _, c := range mistakes {
		if len(c.schema) < 1000 {
			f.Add([]byte(c.schema))
		}
	}
	f.Add([]byte(tickSchema))
	f.Fuzz(func(t *testing.T, doc []byte) {
		s, err := Compile(doc)
		if err != nil {
			var m *Mistake
			if s != nil || !errors.As(err, &m) || m.Mend == "" {
				t.Fatalf("%q: %v, %#v", doc, s, err)
			}
			return
		}
		// With one secret: which hashes meet in a table depends on it, and so does the last step.
		v := Validator{}
		fresh := Validator{names: names{seed: v.names.secret(), seeded: true}}
		for _, text := range [][]byte{doc, []byte(tick), []byte(`[1,[2,"a"],{"a":{"b":[]}}]`), []byte(`"a"`), []byte("1.5"), []byte("null"), []byte("{")} {
			first := s.Validate(&v, text, usual)
			if again := s.Validate(&v, text, usual); again != first {
				t.Fatalf("%q on %q: %v, then %v", doc, text, first, again)
			}
			if other := s.Validate(&fresh, text, usual); other != first {
				t.Fatalf("%q on %q: %v, with new space %v", doc, text, first, other)
			}
			if first.Fault == nil && fresh.Check(text, usual) != nil {
				t.Fatalf("%q accepts %q", doc, text)
			}
		}
	})
}

// hostileSchemas are schemas that are easily read in two ways, each with a text.
var hostileSchemas = []struct{ schema, text string }{
	{`{"minLength":1e19,"maxLength":9223372036854775808}`, `"a"`},
	{`{"minItems":1e300}`, `[]`},
	{`{"maxProperties":9223372036854775807,"minProperties":0.0}`, `{"a":1}`},
	{`{"\u0024id":"#x"}`, `1`},
	{`{"$ref":"#/$defs/\\","$defs":{"\\":{"type":"string"}}}`, `1`},
	{`{"$ref":"#/$defs/a%2525%20~1~0\u00e9\"","$defs":{"a%25 /~é\"":{"type":"string"}}}`, `"x"`},
	{`{"$ref":"#/$defs/","$defs":{"":{"$ref":"#/$defs/~01"},"~1":{"enum":[]}}}`, `null`},
	{`{"uniqueItems":true,"contains":{"const":-0.0},"maxContains":2}`, `[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,-0,{"a":1,"b":[0e7]},{"b":[-0.0],"a":10e-1},0]`},
	{`{"anyOf":[{"items":{"$ref":"#"},"minItems":1},{"type":"null"}],"oneOf":[{"items":true},false],"not":{"const":[1]}}`, `[[[[null,[]]]]]`},
	{`{"properties":{"$ref":{"type":"string"},"__proto__":false,"constructor":{"minLength":1}},"patternProperties":{"^.$":{"multipleOf":1e-3},"":true},"propertyNames":{"pattern":"^\\P{Lu}*$"}}`, `{"$ref":"","constructor":"\ud83d\ude00","é":0.005,"\u0130":1}`},
	{`{"if":{"required":["a"]},"then":{"dependentRequired":{"a":["b"],"b":[]}},"else":{"maxProperties":0}}`, `{"a":1,"b":2}`},
	{`{"type":["integer","null"],"multipleOf":1e-300,"exclusiveMinimum":-1e308,"enum":[0,1e2,100.0,null,123456789012345678901234567890]}`, `1.00e+2`},
	{`{"minLength":2,"maxLength":2.0e0,"pattern":"^(?i)k$|\\bs"}`, `"\u212a\u017f"`},
	{`{"format":"date-time","type":"string","const":"1998-12-31T23:59:60z"}`, `"1998-12-31T23:59:60z"`},
}

// endless tells whether the reference may take minutes for a text: it knows no steps, and behind a fault it goes
// on, so that each reference of a schema to itself may be followed at each level of the text.
func endless(schema, text []byte) bool {
	depth, deepest := 0, 0
	for _, c := range text {
		switch c {
		case '[', '{':
			depth++
			deepest = max(deepest, depth)
		case ']', '}':
			depth--
		}
	}
	return math.Pow(float64(bytes.Count(Unescape(nil, schema), []byte("$ref"))), float64(min(deepest, usual.Depth))) > 1e5
}

// FuzzSchemaValidate holds a schema and a text against the reference.
func FuzzSchemaValidate(f *testing.F) {
	for _, c := range verdicts {
		for text := range c.texts {
			f.Add([]byte(c.schema), []byte(text))
		}
	}
	f.Add([]byte(tickSchema), []byte(tick))
	for _, c := range hostileSchemas {
		f.Add([]byte(c.schema), []byte(c.text))
	}
	c := newChance(1)
	for range 200 {
		schema, root := c.document()
		f.Add([]byte(schema), []byte(c.spell(c.instance(root, defsOf(root), 5))))
	}
	f.Fuzz(func(t *testing.T, schema, text []byte) {
		s, err := Compile(schema)
		if err != nil || bytes.Contains(Unescape(nil, schema), []byte("$id")) {
			return
		}
		if endless(schema, text) {
			return
		}
		reference, err := library(string(schema))
		if errors.Is(err, errBeyond) {
			return
		}
		if err != nil {
			t.Fatalf("%s compiles, the library says %v", schema, err)
		}
		agrees(t, s, reference, string(schema), string(text))
	})
}
