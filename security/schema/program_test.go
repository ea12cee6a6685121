package schema

import (
	"strings"
	"testing"
)

// verdicts are schemas with what each says of texts: "" or keyword, a space and
// pointer.
var verdicts = []struct {
	name, schema string
	texts        map[string]string
}{
	{"true", `true`, map[string]string{`1`: "", `{"a":[]}`: "", `[`: "syntax "}},
	{"false", `false`, map[string]string{`1`: "false ", ` {}`: "false ", ``: "syntax ", `x`: "syntax "}},
	{"empty", `{}`, map[string]string{`1`: "", `[1,{"a":1,"a":2}]`: "duplicate /1/a"}},
	{"annotations", `{"$schema":"https://json-schema.org/draft/2020-12/schema","$id":"https://example.com/x","title":"t","description":"d",
		"$comment":"c","default":1,"examples":[1],"deprecated":true,"readOnly":true,"writeOnly":false}`, map[string]string{`"x"`: ""}},
	{"type", `{"type":"integer"}`, map[string]string{`1`: "", `1.0`: "", `1e2`: "", `150e-1`: "", `-0.0`: "", `1.50`: "type ", `15e-1`: "type ",
		`"1"`: "type ", `null`: "type ", `1e400`: "number ", `123456789012345678901234567890.0`: "", `12345678901234567890.5`: "type "}},
	{"types", `{"type":["integer","null","boolean"]}`, map[string]string{`1`: "", `null`: "", `true`: "", `false`: "", `1.5`: "type ", `[]`: "type ", `{}`: "type "}},
	{"integer and number", `{"type":["integer","number"]}`, map[string]string{`1.5`: "", `"a"`: "type "}},
	{"type, not JSON", `{"type":"object"}`, map[string]string{`{`: "syntax ", `{"a"}`: "syntax ", ` x`: "syntax ", `{}{}`: "syntax ", `tru`: "type "}},
	{"enum", `{"enum":[1,"a",null,[1,{"b":2.0}],{"x":[true],"y":"é"}]}`, map[string]string{
		`1`: "", `1.0`: "", `10e-1`: "", `2`: "enum ", `"a"`: "", `"\u0061"`: "", `"b"`: "enum ", `null`: "", `true`: "enum ",
		`[1.0,{"b":2}]`: "", `[1,{"b":3}]`: "enum ", `{"y":"\u00e9","x":[true]}`: "", `{"y":"é"}`: "enum ", `{"y":"é","x":[true],"z":1}`: "enum "}},
	{"enum of numbers", `{"enum":[1,-2.50,3e0,1e20,1e-20,123456789012345678,0.1]}`, map[string]string{`1`: "", `1.000`: "", `-2.5`: "", `2.5`: "enum ", `3`: "", `100000000000000000000`: "", `1e20`: "", `1e-20`: "",
		`0.00000000000000000001`: "", `123456789012345678`: "", `123456789012345679`: "enum ", `0.10`: "", `0.11`: "enum ", `10`: "enum ", `-1`: "enum "}},
	{"enum and bounds", `{"enum":[1,2,3.5],"minimum":2,"type":"integer"}`, map[string]string{`1`: "minimum ", `2.0`: "", `3.5`: "type ", `4`: "enum "}},
	{"numbers that end a text", `{"properties":{"n":{"minimum":1}}}`, map[string]string{`{"n":01}`: "syntax /n", `{"n":1.}`: "syntax /n", `{"n":-}`: "syntax /n", `{"n":1e}`: "syntax /n", `{"n":1`: "syntax /n", `{"n":1.`: "syntax /n", `{"n":-`: "syntax /n",
		`{"n":1234567890123456789012}`: "", `{"n":9999999999999999999}`: "", `{"n":18446744073709551617}`: "", `{"n":0.99999999999999999999}`: "minimum /n", `{"n":-0}`: "minimum /n", `{"n":1e400}`: "number /n"}},
	{"enum of booleans", `{"enum":[false]}`, map[string]string{`false`: "", `true`: "enum ", `0`: "enum ", `null`: "enum "}},
	{"enum, empty", `{"enum":[]}`, map[string]string{`1`: "enum ", `null`: "enum "}},
	{"enum of many texts", `{"enum":["a","b","c","d","e","f","symbol of some length","symbol of some lengti"]}`, map[string]string{
		`"f"`: "", `"symbol of some lengti"`: "", `"symbol of some lengtj"`: "enum ", `"\u0061"`: "", `""`: "enum ", `1`: "enum "}},
	{"enum of odd texts", `{"enum":["\"","\n","a\\b","日本語日本語"]}`, map[string]string{`"\""`: "", `"\u000a"`: "", `"\n"`: "", `"a\\b"`: "", `"日本語日本語"`: "", `"日本語日本誾"`: "enum "}},
	{"enum and length", `{"enum":["a","bb"],"minLength":2}`, map[string]string{`"a"`: "minLength ", `"bb"`: ""}},
	{"enum and type", `{"enum":["a",1],"type":"string"}`, map[string]string{`"a"`: "", `1`: "type ", `"1"`: "enum "}},
	{"const", `{"const":{"a":[1,2]}}`, map[string]string{`{"a":[1,2.0]}`: "", `{"a":[2,1]}`: "const ", `1`: "const "}},
	{"const with escapes", `{"const":["\u0061b\n"]}`, map[string]string{`["\u0061b\n"]`: "", `["\u0061c\n"]`: "const ", `["ab\n"]`: "", `["\u0061b"]`: "const "}},
	{"const null", `{"const":null}`, map[string]string{`null`: "", `0`: "const ", `false`: "const "}},
	{"const of a number", `{"const":9007199254740993}`, map[string]string{`9007199254740993`: "", `9007199254740992`: "const ", `9007199254740993.0`: "", `9.007199254740993e15`: ""}},
	{"enum and const", `{"enum":[1,2],"const":2.0}`, map[string]string{`2`: "", `1`: "const "}},

	{"minimum", `{"minimum":1.1}`, map[string]string{`1.1`: "", `1.10`: "", `11e-1`: "", `1.09`: "minimum ", `-5`: "minimum ", `"a"`: "", `1e300`: "",
		`1.09999999999999999999`: "minimum ", `1.10000000000000000001`: ""}},
	{"minimum below zero", `{"minimum":-2}`, map[string]string{`-2`: "", `-2.0`: "", `-2.0001`: "minimum ", `-1e300`: "minimum ", `0`: "", `-0`: ""}},
	{"maximum", `{"maximum":300}`, map[string]string{`300`: "", `300.00000000000000000001`: "maximum ", `3e2`: "", `301`: "maximum ", `-1e300`: ""}},
	{"maximum beyond a word", `{"maximum":1e30,"minimum":-1e30}`, map[string]string{`999999999999999999`: "", `1e30`: "", `1.0000000000000000000000000000001e30`: "maximum ", `-2e30`: "minimum "}},
	{"exclusiveMinimum", `{"exclusiveMinimum":0}`, map[string]string{`0`: "exclusiveMinimum ", `-0.0`: "exclusiveMinimum ", `0.000001`: "", `1e-300`: "", `-1`: "exclusiveMinimum "}},
	{"exclusiveMaximum", `{"exclusiveMaximum":0.5}`, map[string]string{`0.5`: "exclusiveMaximum ", `0.50`: "exclusiveMaximum ", `0.49`: "", `0.4999999999999999999999`: ""}},
	{"bounds together", `{"minimum":1,"exclusiveMinimum":1,"maximum":3,"exclusiveMaximum":4}`, map[string]string{`1`: "exclusiveMinimum ", `0`: "minimum ", `1.1`: "", `3`: "", `3.5`: "maximum ", `4`: "maximum "}},
	{"exact beyond float64", `{"minimum":9007199254740993,"maximum":9007199254740993}`, map[string]string{`9007199254740992`: "minimum ", `9007199254740993`: "", `9007199254740994`: "maximum "}},
	{"multipleOf", `{"multipleOf":0.01}`, map[string]string{`19.99`: "", `4.35`: "", `0.07`: "", `1e2`: "", `0`: "", `0.075`: "multipleOf ", `1e300`: "", `1e-5`: "multipleOf ",
		`123456789012345678901234567890.12`: "", `123456789012345678901234567890.123`: "multipleOf "}},
	{"multipleOf small", `{"multipleOf":0.0001}`, map[string]string{`0.0075`: "", `0.00751`: "multipleOf "}},
	{"multipleOf tiny", `{"type":"integer","multipleOf":0.123456789}`, map[string]string{`1e308`: "multipleOf ", `123456789`: ""}},
	{"multipleOf tiny, all", `{"type":"integer","multipleOf":1e-8}`, map[string]string{`12391239123`: "", `1e308`: ""}},
	{"multipleOf large", `{"multipleOf":1e20}`, map[string]string{`1e20`: "", `300000000000000000000`: "", `30000000000000000000`: "multipleOf ", `7`: "multipleOf ", `0`: ""}},
	{"multipleOf prime", `{"multipleOf":7}`, map[string]string{`-21`: "", `21.0`: "", `22`: "multipleOf ", `7e100`: "", `1e100`: "multipleOf ", `700000000000000000000000007`: "", `700000000000000000000000008`: "multipleOf "}},

	{"minLength, other strings", `{"minLength":3,"maxLength":5}`, map[string]string{`"日本語"`: "", `"日本"`: "minLength ", `"日本語日本語"`: "maxLength ", `"éé"`: "minLength ", `"😀😀😀😀😀"`: "", `"😀😀"`: "minLength ", `"ab\n"`: "", `"a\n"`: "minLength "}},
	{"minLength", `{"minLength":2}`, map[string]string{`"é😀"`: "", `"😀"`: "minLength ", `"\ud83d\ude00"`: "minLength ", `"\ud83d\ude00a"`: "", `"ab"`: "", `""`: "minLength ", `1`: ""}},
	{"maxLength", `{"maxLength":2}`, map[string]string{`"😀😀"`: "", `"\u00e9\n"`: "", `"abc"`: "maxLength ", `"😀😀😀"`: "maxLength ", `"\n\n\n"`: "maxLength "}},
	{"length as a decimal", `{"maxLength":2.0,"minLength":2e0}`, map[string]string{`"ab"`: "", `"abc"`: "maxLength ", `"a"`: "minLength "}},
	{"pattern", `{"pattern":"^a*$"}`, map[string]string{`"aaa"`: "", `"aab"`: "pattern ", `"\u0061"`: "", `""`: "", `7`: ""}},
	{"pattern and a string that has to be read", `{"pattern":"^.\".?$"}`, map[string]string{`"a\""`: "", `"a\"b"`: "", `"é\u0022"`: "", `"a\\"`: "pattern ", "\"a\x01\"": "syntax ", "\"\\\"\\\"\"": "", "\"\xff\"": "utf8 ", `"a`: "syntax "}},
	{"pattern and length", `{"pattern":"^a*$","maxLength":3,"minLength":2}`, map[string]string{`"aa"`: "", `"aaaa"`: "maxLength ", `"a"`: "minLength ", `"ab"`: "pattern "}},
	{"format and length", `{"format":"date-time","maxLength":20}`, map[string]string{`"2026-11-05T14:30:00Z"`: "", `"2026-11-05T14:30:00.1Z"`: "maxLength ", `"2026-11-05T14:30:00Zx"`: "maxLength ", `"2026-11-05T14:30:00x"`: "format "}},
	{"pattern anywhere", `{"pattern":"a+b"}`, map[string]string{`"xxaaby"`: "", `"xxaay"`: "pattern "}},
	{"pattern beyond ASCII", `{"pattern":"^\\p{Greek}.$"}`, map[string]string{`"λ😀"`: "", `"l😀"`: "pattern ", `"\u03bb\n"`: "pattern "}},
	{"format date-time", `{"format":"date-time"}`, map[string]string{`"2026-11-05T14:30:00Z"`: "", `"2026-11-05 14:30:00Z"`: "format ", `"2026-11-05T14:30:00\u005a"`: "", `1`: ""}},
	{"format and more behind it", `{"items":{"format":"date-time"}}`, map[string]string{`["2026-11-05T14:30:00Zx"]`: "format /0", `["2026-11-05T14:30:00Z\n"]`: "format /0", `["2026-11-05T14:30:00Z","2026-11-05T14:30:00Z"]`: "", `["2026-11-05T14:30:00Z`: "syntax /0"}},
	{"format uuid", `{"format":"uuid"}`, map[string]string{`"0b4e7a3c-5d1f-4f7e-9a51-6a0c2d9be7f1x"    `: "format ", `"0b4e7a3c-5d1f-4f7e-9a51-6a0c2d9be7f1`: "syntax ", `0b4e7a3c-5d1f-4f7e-9a51-6a0c2d9be7f1   `: "syntax ", `"0b4e7a3c-5d1f-4f7e-9a51-6a0c2d9be7f1"`: "", `"0b4e7a3c-5d1f-4f7e-9a51-6a0c2d9be7fg"`: "format ", `"0b4e7a3c-5d1f-4f7e-9a51-6a0c2d9be7f"`: "format "}},

	{"properties", `{"properties":{"a":{"type":"string"},"b":{"type":"number"},"a\"b":{"type":"null"}}}`, map[string]string{
		`{"a":"x","b":1}`: "", `{"b":1,"a":"x"}`: "", `{"\u0061":1}`: "type /a", `{"\u0061":"x","a":"y"}`: "duplicate /a", `{"a":"x","\u0061":"y"}`: "duplicate /a",
		`{"c":1,"c":2}`: "duplicate /c", `{"c":1,"a":"x","c":2}`: "duplicate /c", `{"a\"b":null}`: "", `{"a\"b":1}`: `type /a"b`, ` { "a" : "x" , "b" : 1 } `: "",
		`{"a":"x","b":1,}`: "syntax ", `{"a":"x",,}`: "syntax ", `{"a":"x" "b":1}`: "syntax /a", `{"a":"x";}`: "syntax /a", `{"a":}`: "syntax /a", `{"a":"x","b":1`: "syntax /b", `[]`: ""}},
	{"properties false", `{"properties":{"a":false}}`, map[string]string{`{"b":1}`: "", `{"a":1}`: "false /a"}},
	{"required", `{"required":["a","b/c~"]}`, map[string]string{`{"a":1,"b/c~":2}`: "", `{"a":1}`: "required ", `{}`: "required ", `1`: "", `{"a":[],"b\/c\u007e":{}}`: ""}},
	{"required, nested", `{"properties":{"x":{"items":{"required":["a"]}}}}`, map[string]string{`{"x":[{"a":1},{"b":1}]}`: "required /x/1"}},
	{"additionalProperties false", `{"properties":{"a":true},"additionalProperties":false}`, map[string]string{`{"a":1}`: "", `{"b":1}`: "additionalProperties /b", `{"a":1,"b~/":{}}`: "additionalProperties /b~0~1"}},
	{"additionalProperties", `{"properties":{"a":true},"required":["n"],"additionalProperties":{"type":"number"}}`, map[string]string{`{"a":"x","n":1,"m":2}`: "", `{"a":1,"n":"x"}`: "type /n", `{"n":1,"m":null}`: "type /m"}},
	{"patternProperties", `{"patternProperties":{"^x-":{"type":"number"}},"additionalProperties":false,"properties":{"x-a":{"minimum":3},"b":true}}`, map[string]string{
		`{"x-b":1,"b":""}`: "", `{"x-b":""}`: "type /x-b", `{"x-a":2}`: "minimum /x-a", `{"x-a":""}`: "type /x-a", `{"x-a":3}`: "", `{"y":3}`: "additionalProperties /y", `{"\u0078-q":""}`: "type /x-q"}},
	{"patternProperties, two", `{"patternProperties":{"a":{"type":"number"},"b":{"minimum":2}}}`, map[string]string{`{"ab":2,"a":1,"b":"x","c":null}`: "", `{"ab":1}`: "minimum /ab", `{"ab":""}`: "type /ab"}},
	{"patternProperties false", `{"patternProperties":{"^_":false}}`, map[string]string{`{"a":1}`: "", `{"_a":1}`: "patternProperties /_a"}},
	{"propertyNames", `{"propertyNames":{"maxLength":2},"properties":{"abc":true,"ab":{"type":"null"}}}`, map[string]string{`{"ab":null}`: "", `{"ab":1}`: "type /ab", `{"abc":1}`: "propertyNames /abc", `{"x":1,"😀\u0061":2}`: ""}},
	{"propertyNames of a choice", `{"propertyNames":{"not":{"const":"a"}}}`, map[string]string{`{"ab":null}`: "", `{"\u0061":1}`: "propertyNames /a"}},
	{"propertyNames false", `{"propertyNames":false}`, map[string]string{`{}`: "", `{"a":1}`: "propertyNames /a"}},
	{"propertyNames of a type", `{"propertyNames":{"type":"number"}}`, map[string]string{`{}`: "", `{"a":1}`: "propertyNames /a"}},
	{"propertyNames of an array", `{"propertyNames":{"enum":[["a"],"b"]}}`, map[string]string{`{"b":0}`: "", `{"a":1}`: "propertyNames /a"}},
	{"minProperties", `{"minProperties":1,"maxProperties":2}`, map[string]string{`{"a":1}`: "", `{}`: "minProperties ", `{"a":1,"b":2,"c":3}`: "maxProperties "}},
	{"dependentRequired", `{"dependentRequired":{"a":["b","c"],"d":[]}}`, map[string]string{`{"a":1,"b":2,"c":3}`: "", `{"b":1}`: "", `{"a":1,"b":2}`: "dependentRequired ", `{"d":1}`: "", `{"a":1,"b":2,"c":2,"e":0}`: ""}},

	{"items", `{"items":{"type":"number"}}`, map[string]string{`[1,2.5]`: "", `[]`: "", `[1,"a"]`: "type /1", `{}`: "", `[1 , 2 ]`: "", `[1,]`: "syntax ", `[1 2]`: "syntax /0", `[`: "syntax ", `[1`: "syntax /0"}},
	{"items false", `{"prefixItems":[{"type":"string"},true],"items":false}`, map[string]string{`["a"]`: "", `["a",1]`: "", `["a",1,2]`: "items /2", `[1]`: "type /0"}},
	{"prefixItems", `{"prefixItems":[{"type":"string"}],"items":{"type":"null"}}`, map[string]string{`["a",null]`: "", `["a",1]`: "type /1", `[]`: ""}},
	{"minItems", `{"minItems":1,"maxItems":2}`, map[string]string{`[1]`: "", `[]`: "minItems ", `[1,2]`: "", `[1,2,3]`: "maxItems ", `[ ]`: "minItems "}},
	{"uniqueItems", `{"uniqueItems":true}`, map[string]string{`[1,2]`: "", `[1,1.0]`: "uniqueItems ", `[1,true]`: "", `[0,false]`: "", `["a","\u0061"]`: "uniqueItems ", `[[1],[1]]`: "uniqueItems ",
		`[[1,2],[2,1]]`: "", `[{"a":1,"b":2},{"b":2,"a":1}]`: "uniqueItems ", `[{"a":1,"b":2},{"a":2,"b":1}]`: "", `[{"a":1},{"a":1,"b":2}]`: "", `[null,null]`: "uniqueItems ", `[[],{}]`: "", `[1]`: "", `[]`: "",
		`[0,-0]`: "uniqueItems ", `[1e2,100]`: "uniqueItems ", `{"a":1}`: ""}},
	{"uniqueItems false", `{"uniqueItems":false}`, map[string]string{`[1,1]`: ""}},
	{"contains", `{"contains":{"const":1}}`, map[string]string{`[0,1]`: "", `[0]`: "contains ", `[]`: "contains ", `{}`: ""}},
	{"minContains", `{"contains":{"const":1},"minContains":2,"maxContains":3}`, map[string]string{`[1,1]`: "", `[1]`: "minContains ", `[1,1,1,1]`: "maxContains "}},
	{"minContains 0", `{"contains":false,"minContains":0}`, map[string]string{`[1]`: "", `[]`: ""}},
	{"minContains alone", `{"minContains":2,"maxContains":1}`, map[string]string{`[1]`: ""}},

	{"allOf", `{"allOf":[{"minimum":1},{"maximum":3}]}`, map[string]string{`2`: "", `0`: "minimum ", `4`: "maximum "}},
	{"anyOf", `{"anyOf":[{"type":"string"},{"minimum":3}]}`, map[string]string{`"a"`: "", `4`: "", `2`: "anyOf "}},
	{"anyOf, nested", `{"properties":{"a":{"anyOf":[{"properties":{"b":{"type":"string"}},"required":["b"]},{"required":["c"]}]}}}`, map[string]string{`{"a":{"b":1,"c":1}}`: "", `{"a":{"b":1}}`: "anyOf /a", `{"a":{"b":""}}`: ""}},
	{"anyOf by kind", `{"items":{"anyOf":[{"type":"null"},{"type":"object","required":["a"]},{"type":["array","integer"],"items":{"type":"string"}},false]}}`, map[string]string{
		`[null,{"a":1},["x"],3]`: "", `[null,{}]`: "required /1", `[[1]]`: "type /0/0", `[1.5]`: "type /0", `[true]`: "anyOf /0", `[""]`: "anyOf /0", `[}]`: "syntax ", `[ null , [ "x" ] ]`: ""}},
	{"oneOf by kind", `{"oneOf":[{"type":"null"},{"type":"string","maxLength":1}]}`, map[string]string{`null`: "", `"a"`: "", `"ab"`: "maxLength ", `1`: "oneOf "}},
	{"anyOf by kind within", `{"not":{"anyOf":[{"type":"null"},{"type":"string","maxLength":1}]}}`, map[string]string{`null`: "not ", `"a"`: "not ", `"ab"`: "", `1`: ""}},
	{"oneOf", `{"oneOf":[{"multipleOf":2},{"multipleOf":3}]}`, map[string]string{`2`: "", `3`: "", `6`: "oneOf ", `1`: "oneOf "}},
	{"not", `{"not":{"type":"string"}}`, map[string]string{`1`: "", `"a"`: "not "}},
	{"if", `{"if":{"properties":{"k":{"const":1}},"required":["k"]},"then":{"required":["a"]},"else":{"required":["b"]}}`, map[string]string{
		`{"k":1,"a":1}`: "", `{"k":1,"b":1}`: "required ", `{"k":2,"b":1}`: "", `{"a":1}`: "required "}},
	{"if alone", `{"if":false}`, map[string]string{`1`: ""}},
	{"then alone", `{"then":false,"else":false}`, map[string]string{`1`: ""}},

	{"$ref", `{"$ref":"#/$defs/n","$defs":{"n":{"type":"number"}}}`, map[string]string{`1`: "", `"a"`: "type "}},
	{"$ref and siblings", `{"$ref":"#/$defs/n","maximum":3,"$defs":{"n":{"minimum":1}}}`, map[string]string{`2`: "", `0`: "minimum ", `4`: "maximum "}},
	{"$ref, recursive", `{"properties":{"next":{"$ref":"#"},"v":{"type":"number"}},"additionalProperties":false}`, map[string]string{`{"v":1,"next":{"next":{"v":2}}}`: "", `{"next":{"next":{"v":""}}}`: "type /next/next/v", `{"next":{"x":1}}`: "additionalProperties /next/x"}},
	{"$ref, escaped", `{"$ref":"#/$defs/a~1b~0%25%20c","$defs":{"a/b~% c":{"type":"null"}}}`, map[string]string{`null`: "", `1`: "type "}},
	{"$ref into a list", `{"prefixItems":[{"type":"null"},{"$ref":"#/prefixItems/0"}]}`, map[string]string{`[null,null]`: "", `[null,1]`: "type /1"}},
	{"$ref to a $ref", `{"$ref":"#/$defs/a","$defs":{"a":{"$ref":"#/$defs/b"},"b":{"$ref":"#/$defs/c"},"c":{"type":"null"}}}`, map[string]string{`null`: "", `1`: "type "}},
	{"$ref to a name that is a keyword", `{"properties":{"$ref":{"type":"null"}},"$defs":{"x":{"properties":{"$ref":{"$ref":"#/properties/$ref"}}}}}`, map[string]string{`{"$ref":null}`: "", `{"$ref":1}`: "type /$ref"}},
	{"tree", `{"$ref":"#/$defs/t","$defs":{"t":{"type":"object","properties":{"kids":{"type":"array","uniqueItems":true,"items":{"$ref":"#/$defs/t"}}}}}}`, map[string]string{
		`{"kids":[{"kids":[]},{}]}`: "", `{"kids":[{"kids":[]},{"kids":[]}]}`: "uniqueItems /kids", `{"kids":[{"kids":[1]}]}`: "type /kids/0/kids/0"}},
}

func TestVerdicts(t *testing.T) {
	var v Validator
	for _, c := range verdicts {
		s, err := Compile([]byte(c.schema))
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		for text, want := range c.texts {
			if got := verdict(s, &v, text); got != want {
				t.Errorf("%s: %s: %q, want %q", c.name, text, got, want)
			}
		}
	}
}

// verdict is "" or the keyword, a space and the pointer.
func verdict(s *Schema, v *Validator, text string) string {
	r := s.Validate(v, []byte(text), usual)
	if r.Fault == nil {
		return ""
	}
	return r.Fault.Keyword + " " + string(r.AppendPointer(nil, []byte(text)))
}

// TestVerdictsOfLibrary holds the table itself against the reference.
func TestVerdictsOfLibrary(t *testing.T) {
	for _, c := range verdicts {
		s, err := Compile([]byte(c.schema))
		if err != nil {
			t.Fatal(err)
		}
		reference, err := library(c.schema)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		for text := range c.texts {
			agrees(t, s, reference, c.schema, text)
		}
	}
}

// TestVerdictsWherever has each schema of the table stand in others: under a
// name, in an array, behind a reference and where alternatives are tried. What
// it says stays the same.
func TestVerdictsWherever(t *testing.T) {
	var v Validator
	for _, c := range verdicts {
		if strings.Contains(c.schema, "#") || strings.Contains(c.schema, "$id") {
			continue
		}
		for _, around := range []struct{ schema, text, pointer string }{
			{`{"properties":{"k":SCHEMA},"additionalProperties":false}`, `{"k":TEXT}`, "/k"},
			{`{"additionalProperties":SCHEMA}`, `{"k":TEXT}`, "/k"},
			{`{"items":SCHEMA}`, `[TEXT]`, "/0"},
			{`{"prefixItems":[true,SCHEMA]}`, `[{"x":[]},TEXT]`, "/1"},
			{`{"$ref":"#/$defs/s","$defs":{"s":SCHEMA}}`, `TEXT`, ""},
			{`{"allOf":[true,SCHEMA,{"title":"x"}],"not":false}`, `TEXT`, ""},
			{`{"if":true,"then":{"items":SCHEMA}}`, `[TEXT]`, "/0"},
			{`{"patternProperties":{"k":SCHEMA,"z":false}}`, `{"k":TEXT}`, "/k"},
		} {
			s, err := Compile([]byte(strings.Replace(around.schema, "SCHEMA", c.schema, 1)))
			if err != nil {
				t.Fatalf("%s: %v", c.name, err)
			}
			for text, want := range c.texts {
				if strings.HasPrefix(want, "syntax") || strings.HasSuffix(text, "tru") {
					continue // the text around may change where it is seen
				}
				if keyword, pointer, refused := strings.Cut(want, " "); refused {
					want = keyword + " " + around.pointer + pointer
				}
				if got := verdict(s, &v, strings.Replace(around.text, "TEXT", text, 1)); got != want && keywordOf(want) != "false" {
					t.Errorf("%s in %s: %s: %q, want %q", c.name, around.schema, text, got, want)
				}
			}
		}
	}
}

func keywordOf(verdict string) string {
	keyword, _, _ := strings.Cut(verdict, " ")
	return keyword
}
