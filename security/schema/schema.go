// Package schema decides whether a peer's JSON may come in.
//
// A Validator reads a text once, from left to right, without recursion and
// without building anything: a strict RFC 8259 grammar (UTF-8, no NaN, no lone
// surrogate), bounded depth, bounded numbers, a bounded number of members an
// object and no two members of one name. Names are compared after unescaping,
// by a hash under a random key, so that the cost is linear in the text whatever
// the peer crafts. Space is kept from one text to the next: checking allocates
// nothing once the space has grown to the traffic, whether the text is accepted
// or refused.
//
// A text that Check accepts means the same to every reader behind it: to
// encoding/json, to fastjson and to a browser.
//
// # JSON Schema
//
// Compile makes a Schema of a JSON Schema of the dialect 2020-12, once, at start:
//
//	prices, err := schema.Compile(file) // price.schema.json of a namespace
//	...
//	r := prices.Validate(&v, data, limits)
//	if r.Fault != nil {
//		pointer = r.AppendPointer(pointer[:0], data)
//		// Error 107 with pointer and r.Fault.Keyword; the keyword is also the metric label.
//	}
//
// Validate does all that Check does, so what it has accepted needs no Check. The
// Schema is immutable and shared by all; the Validator, whose space it uses, is
// the loop's or worker's own. A Refusal holds no byte of the text: a static Fault
// and a position, from which AppendPointer works out the JSON pointer, and only if
// it is asked to. The pointer has names of the text in it, so it is the peer's
// bytes: to be escaped in a reply, never logged raw.
//
// The keywords are type, enum, const, $ref (a JSON pointer into the schema, also
// recursive), $defs, allOf, anyOf, oneOf, not, if, then, else, properties,
// required, additionalProperties, patternProperties, propertyNames,
// minProperties, maxProperties, dependentRequired, items, prefixItems, contains,
// minContains, maxContains, minItems, maxItems, uniqueItems, minLength,
// maxLength, pattern (RE2), minimum, maximum, exclusiveMinimum,
// exclusiveMaximum, multipleOf, and format, which is an assertion: date-time,
// date, uuid, email, uri, ipv4, ipv6. Of title, description, $comment, default,
// examples, deprecated, readOnly, writeOnly, $schema and a $id at the root
// nothing is asked. Any other keyword is a Mistake of Compile.
//
// Numbers are compared and divided as the decimals that they are, without float64.
//
// # How it runs
//
// A value is checked while it is read, in one pass, where the schema allows: for
// type, const and enum of scalars, and all that is asked of the size, the
// members, the items, the text or the number. A schema that has to see a value
// more than once (allOf, anyOf, oneOf, not, if, uniqueItems, contains, a $ref with
// siblings, constants that are arrays or objects, two patternProperties, over 64
// names) has that value taken apart on a tape first and is run on it. That is
// bounded in steps: a text that would cost more is refused with FaultSteps, and an
// array of over 1,024 items under uniqueItems or contains with FaultManyItems.
// Regular expressions are tables: a step for each character, and no space.
package schema

// Limits bound one text. 0 is no limit: the text's own length is one, and for
// Schema.Validate a depth of 1,000.
type Limits struct {
	Depth   int // nested arrays and objects; 1 admits [] but not [[]]
	Members int // members of one object
}
