package schema

import (
	"bytes"
	"errors"
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
		var v, fresh Validator
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

// FuzzSchemaValidate holds a schema and a text against the reference.
func FuzzSchemaValidate(f *testing.F) {
	for _, c := range verdicts {
		for text := range c.texts {
			f.Add([]byte(c.schema), []byte(text))
		}
	}
	f.Add([]byte(tickSchema), []byte(tick))
	c := newChance(1)
	for range 200 {
		schema, root := c.document()
		f.Add([]byte(schema), []byte(c.spell(c.instance(root, defsOf(root), 5))))
	}
	f.Fuzz(func(t *testing.T, schema, text []byte) {
		s, err := Compile(schema)
		if err != nil || bytes.Contains(schema, []byte("$id")) {
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
