package schema

import (
	"fmt"
	"strings"
)

// Bounds of a schema. An operator writes it, but what it costs is paid at start
// and kept for good.
const (
	maxSchemaBytes = 1 << 20
	maxSchemaDepth = 64      // of the text, and of schemas for one value within each other
	maxSchemaNodes = 1 << 14 // schemas
	maxSchemaCells = 1 << 20 // of the tables of all patterns
)

// dialect is the only value of $schema.
const dialect = "https://json-schema.org/draft/2020-12/schema"

// Schema is a compiled JSON Schema. Immutable: any number of validators may use
// it at the same time.
type Schema struct {
	root  *node
	bytes int // of memory, about
}

// Mistake is the operator's: what is wrong in a schema, where, and the mend.
type Mistake struct {
	Pointer string // RFC 6901, from the root of the schema
	Keyword string // the last part of Pointer, "" if none is to blame
	Mend    string
}

func (m *Mistake) Error() string { return fmt.Sprintf("schema: at %q: %s", m.Pointer, m.Mend) }

// Compile reads a JSON Schema of the dialect 2020-12 and makes the program that
// Validate runs. The keywords are those of the package's documentation; any
// other is an error, never ignored. The error is a *Mistake. Nothing of doc is kept.
func Compile(doc []byte) (*Schema, error) {
	c := compiler{nodes: map[int32]*node{}, patterns: map[string]*pattern{}}
	if err := c.read(doc); err != nil {
		return nil, &Mistake{Mend: err.Error()}
	}
	root := c.schema(0, FaultFalse)
	if c.mistake == nil {
		c.link(&root)
	}
	if c.mistake != nil {
		return nil, c.mistake
	}
	return &Schema{root: root, bytes: c.size()}, nil
}

// compiler compiles one schema. Its first mistake sticks; what is compiled after
// it is thrown away.
type compiler struct {
	source   *tapedText
	at       []byte          // pointer to the schema in hand
	nodes    map[int32]*node // by entry of source
	made     []*node         // the same and those that link adds
	refs     []openRef
	patterns map[string]*pattern
	cells    int // of the tables of all patterns
	mistake  *Mistake
}

// read takes doc apart.
func (c *compiler) read(doc []byte) error {
	if len(doc) > maxSchemaBytes {
		return fmt.Errorf("the schema is longer than %d bytes", maxSchemaBytes)
	}
	v := Validator{taping: true}
	v.begin([]byte(strings.Clone(string(doc))), Limits{Depth: maxSchemaDepth})
	end, fault := v.walk(v.space(0))
	if fault == nil && v.space(end) < len(doc) {
		end, fault = v.space(end), FaultSyntax
	}
	if fault != nil {
		return fmt.Errorf("the schema is refused at byte %d: %s", end, fault.Reason)
	}
	c.source = &tapedText{text: v.text, tape: v.tape}
	return nil
}

// fail notes the first mistake, in a keyword of the schema in hand.
func (c *compiler) fail(keyword, format string, args ...any) {
	if c.mistake == nil {
		c.mistake = &Mistake{string(appendToken(c.at, keyword)), keyword, fmt.Sprintf(format, args...)}
	}
}

// failWhole is fail for the schema itself.
func (c *compiler) failWhole(format string, args ...any) {
	if c.mistake == nil {
		c.mistake = &Mistake{Pointer: string(c.at), Mend: fmt.Sprintf(format, args...)}
	}
}

// schema compiles the schema at entry i. If it is false, fault is what it finds.
func (c *compiler) schema(i int32, fault *Fault) *node {
	n := &node{types: kindAny, admits: kindAny}
	c.nodes[i] = n
	c.made = append(c.made, n)
	if len(c.made) > maxSchemaNodes {
		c.failWhole("more than %d schemas; take some out", maxSchemaNodes)
	}
	switch c.source.tape[i].kind {
	case kindTrue:
	case kindFalse:
		n.never = fault
	case kindObject:
		if keywords := c.keywords(i); c.mistake == nil {
			c.assertions(n, keywords)
			c.applicators(n, keywords)
		}
	default:
		c.failWhole("a schema must be an object, true or false")
	}
	return n
}

// below compiles the schema at entry i, which is under tokens in the schema in hand.
func (c *compiler) below(i int32, fault *Fault, tokens ...string) *node {
	length := len(c.at)
	for _, token := range tokens {
		c.at = appendToken(c.at, token)
	}
	n := c.schema(i, fault)
	c.at = c.at[:length]
	return n
}

// keywords are the entries of the values of a schema's keywords, each of them
// one that is supported.
func (c *compiler) keywords(i int32) map[string]int32 {
	keywords := map[string]int32{}
	for name, value := range c.source.members(i) {
		switch {
		case keywordSupported(name):
			keywords[name] = value
		case keywordAnnotation(name):
			c.annotation(name, value)
		default:
			c.fail(name, "keyword %q is not supported: %s", name, keywordMend(name))
		}
	}
	return keywords
}

func keywordSupported(name string) bool {
	switch name {
	case "type", "enum", "const", "$ref", "$defs", "format",
		"properties", "required", "additionalProperties", "patternProperties", "propertyNames",
		"minProperties", "maxProperties", "dependentRequired",
		"items", "prefixItems", "contains", "minContains", "maxContains", "minItems", "maxItems", "uniqueItems",
		"minLength", "maxLength", "pattern",
		"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf",
		"allOf", "anyOf", "oneOf", "not", "if", "then", "else":
		return true
	}
	return false
}

// keywordAnnotation lists what asks for nothing.
func keywordAnnotation(name string) bool {
	switch name {
	case "title", "description", "$comment", "default", "examples", "deprecated", "readOnly", "writeOnly", "$schema", "$id":
		return true
	}
	return false
}

// keywordMend says what to write instead of a keyword.
func keywordMend(name string) string {
	switch name {
	case "definitions":
		return "write $defs"
	case "id":
		return "write $id"
	case "dependencies":
		return "write dependentRequired"
	case "additionalItems":
		return "write items, and prefixItems for what was items"
	case "dependentSchemas":
		return "write if with required, and then"
	case "unevaluatedProperties":
		return "write additionalProperties in a schema that lists all properties"
	case "unevaluatedItems":
		return "write items beside prefixItems"
	case "$anchor", "$dynamicAnchor", "$dynamicRef", "$recursiveRef", "$recursiveAnchor":
		return "refer with $ref to a JSON pointer, as in #/$defs/name"
	case "contentEncoding", "contentMediaType", "contentSchema":
		return "it would check nothing; take it out, or write pattern"
	case "nullable":
		return `write "null" among the types`
	}
	return "correct its name or take it out"
}

// annotation holds a keyword that asks for nothing to its form.
func (c *compiler) annotation(name string, value int32) {
	got := c.source.tape[value].kind
	switch name {
	case "title", "description", "$comment":
		if got != kindString {
			c.fail(name, "must be a string")
		}
	case "deprecated", "readOnly", "writeOnly":
		if got&kindBool == 0 {
			c.fail(name, "must be true or false")
		}
	case "examples":
		if got != kindArray {
			c.fail(name, "must be an array")
		}
	case "$schema":
		if got != kindString || strings.TrimSuffix(c.source.unescaped(value), "#") != dialect {
			c.fail(name, "only %q is supported", dialect)
		}
	case "$id":
		// One within would change what the references in it refer to.
		if got != kindString || len(c.at) > 0 {
			c.fail(name, "only a string at the root is supported; take it out and refer by JSON pointer")
		}
	}
}

// appendToken appends a reference token of RFC 6901.
func appendToken[T string | []byte](dst []byte, token T) []byte {
	dst = append(dst, '/')
	for i := range len(token) {
		switch c := token[i]; c {
		case '~':
			dst = append(dst, "~0"...)
		case '/':
			dst = append(dst, "~1"...)
		default:
			dst = append(dst, c)
		}
	}
	return dst
}

// unescaped is the string at entry i.
func (t *tapedText) unescaped(i int32) string {
	var scratch []byte
	return string(t.string(i, &scratch))
}

// members goes over the names and the entries of the values of an object.
func (t *tapedText) members(i int32) func(yield func(string, int32) bool) {
	return func(yield func(string, int32) bool) {
		for m, end := i+1, t.tape[i].next; m < end; m = t.tape[m+1].next {
			if !yield(t.unescaped(m), m+1) {
				return
			}
		}
	}
}

// elements lists the entries of the items of an array.
func (t *tapedText) elements(i int32) (items []int32) {
	for m, end := i+1, t.tape[i].next; m < end; m = t.tape[m].next {
		items = append(items, m)
	}
	return items
}
