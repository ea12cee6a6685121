package schema

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

// mistakes are schemas with the pointer and a part of the mend of each.
var mistakes = []struct{ schema, pointer, mend string }{
	{``, "", "byte 0"},
	{`{`, "", "byte 1"},
	{`{} {}`, "", "byte 3"},
	{`{"a":1,"a":2}`, "", "two members of one name"},
	{"\"\xff\"", "", "UTF-8"},
	{`1`, "", "true or false"},
	{`[]`, "", "true or false"},
	{strings.Repeat(`{"not":`, 65) + `{}` + strings.Repeat(`}`, 65), "", "nested too deeply"},

	{`{"minimun":1}`, "/minimun", "correct its name"},
	{`{"properties":{"a/b":{"minimun":1}}}`, "/properties/a~1b/minimun", "not supported"},
	{`{"items":{"anyOf":[true,{"unevaluatedProperties":false}]}}`, "/items/anyOf/1/unevaluatedProperties", "additionalProperties"},
	{`{"definitions":{}}`, "/definitions", "$defs"},
	{`{"$anchor":"a"}`, "/$anchor", "JSON pointer"},
	{`{"$dynamicRef":"#a"}`, "/$dynamicRef", "JSON pointer"},
	{`{"$vocabulary":{}}`, "/$vocabulary", "not supported"},
	{`{"dependencies":{}}`, "/dependencies", "dependentRequired"},
	{`{"dependentSchemas":{}}`, "/dependentSchemas", "then"},
	{`{"additionalItems":false}`, "/additionalItems", "prefixItems"},
	{`{"unevaluatedItems":false}`, "/unevaluatedItems", "items"},
	{`{"contentEncoding":"base64"}`, "/contentEncoding", "pattern"},
	{`{"nullable":true}`, "/nullable", "null"},
	{`{"id":"x"}`, "/id", "$id"},
	{`{"x-kind":1}`, "/x-kind", "not supported"},
	{`{"":1}`, "/", "not supported"},
	{`{"$schema":"http://json-schema.org/draft-07/schema#"}`, "/$schema", "2020-12"},
	{`{"$schema":1}`, "/$schema", "2020-12"},
	{`{"$id":1}`, "/$id", "root"},
	{`{"items":{"$id":"x"}}`, "/items/$id", "root"},
	{`{"title":1}`, "/title", "string"},
	{`{"readOnly":"x"}`, "/readOnly", "true or false"},
	{`{"examples":{}}`, "/examples", "array"},

	{`{"type":"int"}`, "/type", "integer"},
	{`{"type":1}`, "/type", "integer"},
	{`{"type":[]}`, "/type", "no type"},
	{`{"type":["null","null"]}`, "/type", "different"},
	{`{"enum":1}`, "/enum", "array"},
	{`{"minimum":"1"}`, "/minimum", "number"},
	{`{"exclusiveMaximum":true}`, "/exclusiveMaximum", "number"},
	{`{"multipleOf":0}`, "/multipleOf", "above 0"},
	{`{"multipleOf":-1}`, "/multipleOf", "above 0"},
	{`{"multipleOf":"1"}`, "/multipleOf", "above 0"},
	{`{"multipleOf":1.2345678901234567891}`, "/multipleOf", "18 digits"},
	{`{"minimum":1e400}`, "", "out of range"},
	{`{"minLength":-1}`, "/minLength", "0 or more"},
	{`{"maxLength":1.5}`, "/maxLength", "0 or more"},
	{`{"minItems":"1"}`, "/minItems", "0 or more"},
	{`{"pattern":1}`, "/pattern", "string"},
	{`{"pattern":"("}`, "/pattern", "RE2"},
	{`{"pattern":"(?=a)"}`, "/pattern", "RE2"},
	{`{"pattern":"(a|b)*a(a|b){20}"}`, "/pattern", "too large a table"},
	{`{"pattern":"(a{100}){100}"}`, "/pattern", "RE2"},
	{`{"pattern":"` + strings.Repeat("a", 5000) + `"}`, "/pattern", "longer than"},
	{`{"patternProperties":{"(":true}}`, "/patternProperties", "RE2"},
	{`{"patternProperties":1}`, "/patternProperties", "object"},
	{`{"format":"idn-email"}`, "/format", "date-time"},
	{`{"format":1}`, "/format", "date-time"},

	{`{"properties":[]}`, "/properties", "object"},
	{`{"properties":{"a":1}}`, "/properties/a", "true or false"},
	{`{"required":"a"}`, "/required", "names"},
	{`{"required":["a",1]}`, "/required", "names"},
	{`{"required":["a","a"]}`, "/required", "different"},
	{`{"dependentRequired":[]}`, "/dependentRequired", "object"},
	{`{"dependentRequired":{"a":1}}`, "/dependentRequired", "names"},
	{`{"additionalProperties":1}`, "/additionalProperties", "true or false"},
	{`{"propertyNames":1}`, "/propertyNames", "true or false"},
	{`{"maxProperties":[]}`, "/maxProperties", "0 or more"},
	{`{"items":[{}]}`, "/items", "prefixItems"},
	{`{"prefixItems":[]}`, "/prefixItems", "at least one"},
	{`{"prefixItems":{}}`, "/prefixItems", "at least one"},
	{`{"uniqueItems":1}`, "/uniqueItems", "true or false"},
	{`{"contains":1}`, "/contains", "true or false"},
	{`{"allOf":[]}`, "/allOf", "at least one"},
	{`{"anyOf":{}}`, "/anyOf", "at least one"},
	{`{"oneOf":[1]}`, "/oneOf/0", "true or false"},
	{`{"then":1}`, "/then", "true or false"},
	{`{"$defs":{"a":{"x":1}}}`, "/$defs/a/x", "not supported"},
	{`{"$defs":1}`, "/$defs", "object"},

	{`{"$ref":1}`, "/$ref", "JSON pointer"},
	{`{"$ref":"other.json"}`, "/$ref", "JSON pointer"},
	{`{"$ref":"#name"}`, "/$ref", "no schema"},
	{`{"$ref":"#/$defs/x"}`, "/$ref", "no schema"},
	{`{"$ref":"#/examples/0","examples":[{}]}`, "/$ref", "no schema"},
	{`{"$ref":"#/%zz"}`, "/$ref", "no schema"},
	{`{"$ref":"#/$defs/a~1b~%25%20c","$defs":{"a/b~% c":{}}}`, "/$ref", "no schema"},
	{`{"$ref":"#/$defs/~","$defs":{"~":{}}}`, "/$ref", "no schema"},
	{`{"properties":{"a":{"$ref":"#/properties/b/"}}}`, "/properties/a/$ref", "no schema"},
	{`{"$ref":"#"}`, "/$ref", "itself"},
	{`{"allOf":[{"$ref":"#"},{"type":"null"}]}`, "/allOf/0/$ref", "itself"},
	{`{"anyOf":[{"type":"null"},{"items":{"oneOf":[{"$ref":"#/anyOf/1/items"},{"type":"null"}]}}]}`, "/anyOf/1/items/oneOf/0/$ref", "itself"},
	{`{"allOf":[{"$ref":"#/$defs/a"}],"$defs":{"a":{"not":{"$ref":"#/$defs/b"}},"b":{"if":true,"then":{"$ref":"#/$defs/a"}}}}`, "/allOf/0/$ref", "itself"},
}

func TestMistakes(t *testing.T) {
	for _, c := range mistakes {
		s, err := Compile([]byte(c.schema))
		var m *Mistake
		if s != nil || !errors.As(err, &m) {
			t.Errorf("%.100s: %v, %v", c.schema, s, err)
			continue
		}
		if m.Pointer != c.pointer || !strings.Contains(m.Mend, c.mend) || !strings.HasSuffix(m.Pointer, m.Keyword) {
			t.Errorf("%.100s: %#v, want %q and %q", c.schema, m, c.pointer, c.mend)
		}
		if text := m.Error(); !strings.Contains(text, m.Mend) || !strings.Contains(text, fmt.Sprintf("%q", m.Pointer)) {
			t.Errorf("%.100s: %s", c.schema, text)
		}
	}
}

// TestCompileBounds: a schema that is too large for its bounds says so, and a
// chain of references as long as they allow works.
func TestCompileBounds(t *testing.T) {
	chain := func(n int) string {
		var b strings.Builder
		b.WriteString(`{"$ref":"#/$defs/d0","$defs":{`)
		for i := range n {
			fmt.Fprintf(&b, `"d%d":{"minimum":1,"$ref":"#/$defs/d%d"},`, i, i+1)
		}
		fmt.Fprintf(&b, `"d%d":{"type":"number"}}}`, n)
		return b.String()
	}
	list := func(n int, item string) string {
		return `{"prefixItems":[` + strings.TrimSuffix(strings.Repeat(item+",", n), ",") + `]}`
	}
	patterns := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, `{"pattern":"^%d.{900}$"},`, i)
		}
		return `{"prefixItems":[` + strings.TrimSuffix(b.String(), ",") + `]}`
	}
	for _, c := range []struct{ name, schema, mend string }{
		{"chain", chain(60), ""},
		{"long chain", chain(70), "within each other"},
		{"schemas", list(16_000, "{}"), ""},
		{"too many schemas", list(17_000, "{}"), "more than 16384"},
		{"bytes", list(9000, `{"title":"`+strings.Repeat("x", 120)+`"}`), "longer than"},
		{"one pattern", list(3000, `{"pattern":"^.{900}$"}`), ""},
		{"patterns", patterns(100), ""},
		{"too many patterns", patterns(400), "too large"},
	} {
		_, err := Compile([]byte(c.schema))
		if c.mend == "" && err != nil || c.mend != "" && (err == nil || !strings.Contains(err.Error(), c.mend)) {
			t.Errorf("%s: %v, want %q", c.name, err, c.mend)
		}
	}
}

// TestCompileKeepsNothing: the schema is the operator's file, read and gone.
func TestCompileKeepsNothing(t *testing.T) {
	for _, c := range verdicts {
		doc := []byte(c.schema)
		s, err := Compile(doc)
		if err != nil {
			t.Fatal(err)
		}
		for i := range doc {
			doc[i] = 'x'
		}
		var v Validator
		for text, want := range c.texts {
			if got := verdict(s, &v, text); got != want {
				t.Errorf("%s: %s: %q, want %q", c.name, text, got, want)
			}
		}
	}
}

// TestCompilePrefixes cuts schemas short at every byte: an error, never a program.
func TestCompilePrefixes(t *testing.T) {
	for _, c := range verdicts {
		for cut := range len(c.schema) {
			if strings.TrimSpace(c.schema[cut:]) == "" {
				continue
			}
			if _, err := Compile([]byte(c.schema[:cut])); err == nil {
				t.Fatalf("%s compiles", c.schema[:cut])
			}
		}
	}
}
