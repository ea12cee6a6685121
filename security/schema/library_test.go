package schema

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// library compiles a schema with the reference implementation. Some of its
// formats take more than the RFCs, so it has those of formatOracles instead.
func library(schema string) (*jsonschema.Schema, error) {
	doc, err := jsonschema.UnmarshalJSON(strings.NewReader(schema))
	if err != nil {
		return nil, err
	}
	if beyondRat(doc) || beyondReference(doc) {
		return nil, errBeyond
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	for name, oracle := range formatOracles {
		c.RegisterFormat(&jsonschema.Format{Name: name, Validate: func(v any) error {
			if text, ok := v.(string); ok && !oracle(text) {
				return fmt.Errorf("%q is no %s", text, name)
			}
			return nil
		}})
	}
	if err := c.AddResource("mem:///schema.json", doc); err != nil {
		return nil, err
	}
	return c.Compile("mem:///schema.json")
}

// errBeyond is a schema that the reference cannot read.
var errBeyond = errors.New("a number or an address that the reference cannot read")

// beyondRat tells whether a number of v is none to the reference, which would
// panic: it takes 0e99999999999999999999 for nil.
func beyondRat(v any) bool {
	switch v := v.(type) {
	case json.Number:
		_, ok := new(big.Rat).SetString(string(v))
		return !ok
	case []any:
		return slices.ContainsFunc(v, beyondRat)
	case map[string]any:
		return slices.ContainsFunc(slices.Collect(maps.Values(v)), beyondRat)
	}
	return false
}

// beyondReference tells whether the reference reads a number of a schema wrongly: it
// keeps no more of a count than the last 64 bits. Nor is a backslash in a $ref for
// it, which has no place in an address; ours finds what is under that name.
func beyondReference(v any) bool {
	switch v := v.(type) {
	case []any:
		return slices.ContainsFunc(v, beyondReference)
	case map[string]any:
		for name, below := range v {
			switch n, _ := below.(json.Number); name {
			case "minLength", "maxLength", "minItems", "maxItems", "minContains", "maxContains", "minProperties", "maxProperties":
				if r, ok := new(big.Rat).SetString(string(n)); ok && !r.Num().IsInt64() {
					return true
				}
			case "$ref":
				if ref, _ := below.(string); strings.Contains(ref, `\`) {
					return true
				}
			}
			if beyondReference(below) {
				return true
			}
		}
	}
	return false
}

// agrees holds what a schema says of a text against the reference. It returns
// whether the text was accepted, and whether the two could be compared.
func agrees(t testing.TB, s *Schema, reference *jsonschema.Schema, schema, text string) (accepted, compared bool) {
	t.Helper()
	var v Validator
	got := s.Validate(&v, []byte(text), usual)
	for _, lim := range []Limits{usual, {Depth: 2, Members: 2}, {Depth: 4, Members: 3}} {
		if r := s.Validate(&v, []byte(text), lim); r.Fault == nil && v.Check([]byte(text), lim) != nil {
			t.Fatalf("%s\naccepts %s, which is no JSON within %+v", schema, text, lim)
		}
	}
	if v.Check([]byte(text), usual) != nil {
		return false, false
	}
	if got.Fault == FaultSteps || got.Fault == FaultManyItems {
		return false, false
	}
	value, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	if beyondRat(value) {
		return false, false
	}
	want := reference.Validate(value)
	if (got.Fault == nil) != (want == nil) {
		t.Fatalf("schema %s\ntext %s\nwe say %+v at %d, the library: %v", schema, text, got.Fault, got.Offset, want)
	}
	return got.Fault == nil, true
}

// TestRandomSchemas holds random schemas and texts against the reference.
func TestRandomSchemas(t *testing.T) {
	schemas := 4000
	if testing.Short() || raceEnabled {
		schemas = 500
	}
	total := map[bool]int{}
	for seed := range uint64(schemas) {
		c := newChance(seed)
		schema, root := c.document()
		s, err := Compile([]byte(schema))
		if err != nil {
			if strings.Contains(err.Error(), "leads back") {
				continue
			}
			t.Fatalf("%s\n%v", schema, err)
		}
		reference, err := library(schema)
		if err != nil {
			t.Fatalf("seed %d: %s\n%v", seed, schema, err)
		}
		for range 25 {
			text := c.spell(c.instance(root, defsOf(root), 5))
			if c.one(20) {
				text = c.spoilt(text)
			}
			if accepted, compared := agrees(t, s, reference, schema, text); compared {
				total[accepted]++
			}
		}
	}
	t.Logf("accepted by both: %d, refused by both: %d", total[true], total[false])
	if total[true] < total[false]/4 || total[false] < total[true]/4 {
		t.Error("the texts are too one-sided to compare anything")
	}
}

// document is a random schema with definitions, and its tree.
func (c chance) document() (string, any) {
	names := []string{"x", "y", "z"}[:c.IntN(4)]
	root := c.schema(3, names)
	if t, ok := root.(tree); ok && len(names) > 0 {
		var defs tree
		for _, n := range names {
			defs = append(defs, branch{n, c.schema(2, names)})
		}
		root = append(t, branch{"$defs", defs})
	} else if strings.Contains(fmt.Sprint(root), "$ref") {
		root = true
	}
	return c.spell(root), root
}

func defsOf(root any) tree {
	t, _ := root.(tree)
	for _, b := range t {
		if b.name == "$defs" {
			return b.value.(tree)
		}
	}
	return nil
}
