package schema

import (
	"fmt"
	"strings"
	"testing"
)

// costlyProgram is a schema with a text of 64 KiB, the worst for one part of the
// program.
type costlyProgram struct {
	name, schema, text string
	fault              *Fault
}

// list is an array of as many items as 64 KiB hold; item makes the nth.
func list(most int, item func(n int) string) string {
	var b strings.Builder
	b.WriteByte('[')
	for n := 0; n < most; n++ {
		next := item(n)
		if b.Len()+len(next)+2 > costBytes {
			break
		}
		if n > 0 {
			b.WriteByte(',')
		}
		b.WriteString(next)
	}
	return b.String() + "]"
}

func always(item string) func(int) string { return func(int) string { return item } }

// numbered is a list of so many schemas or values in brackets; %d is the number.
func numbered(most int, format string) string {
	var parts []string
	for n := range most {
		parts = append(parts, strings.ReplaceAll(format, "%d", fmt.Sprint(n)))
	}
	return "[" + strings.Join(parts, ",") + "]"
}

func costlyPrograms() []costlyProgram {
	const all = 1 << 30
	deep := strings.Repeat("[", 15) + strings.Repeat("]", 15)
	wide := strings.TrimSuffix(strings.TrimPrefix(list(all, func(n int) string { return fmt.Sprintf(`"%x":1`, n) }), "["), "]")
	wide = "{" + wide[:strings.LastIndex(wide[:usual.Members*6], ",")] + "}"
	long := strings.Repeat("x", costBytes-2)
	many := func(count, each int) func(int) string {
		return func(n int) string { return fmt.Sprintf(`"%s%d"`, strings.Repeat("y", each), n%count) }
	}
	return []costlyProgram{
		// One pass.
		{"small numbers", `{"items":{"minimum":0,"multipleOf":3e-9}}`, list(all, always("9")), nil},
		{"numbers with exponents", `{"items":{"multipleOf":123456789012345679e-310}}`, list(all, always("1e308")), FaultMultipleOf},
		{"numbers of an enum", `{"items":{"enum":` + numbered(1000, "%d.5") + `}}`, list(all, always("5e-1")), nil},
		{"long numbers", `{"items":{"minimum":0.0123,"maximum":1,"multipleOf":1e-200}}`, list(all, always("0."+strings.Repeat("1", 100))), nil},
		{"texts of an enum", `{"items":{"enum":` + numbered(1000, `"y%d"`) + `}}`, list(all, always(`"y777"`)), nil},
		{"escapes of an enum", `{"items":{"enum":["a","b"]}}`, list(all, always(`"\u0061"`)), nil},
		{"empty objects", `{"items":{"properties":{"a":true}}}`, list(all, always(`{}`)), nil},
		{"known names", `{"items":{"properties":{"a":true,"b":true}}}`, list(all, always(`{"b":1,"a":1}`)), nil},
		{"escaped names", `{"items":{"properties":{"a":true,"b":true}}}`, list(all, always(`{"\u0062":1}`)), nil},
		{"unknown names", `{"additionalProperties":{"type":"number"}}`, wide, nil},
		{"one pattern for names", `{"items":{"patternProperties":{"^[a-z]+$":{"minimum":1}},"additionalProperties":false}}`, list(all, always(`{"b":1,"a":1}`)), nil},
		{"names with rules", `{"items":{"propertyNames":{"pattern":"^[a-z]+$"}}}`, list(all, always(`{"b":1,"a":1}`)), nil},
		{"a long text", `{"pattern":"(x+x+)+y","format":"email","minLength":3}`, `"` + long + `"`, FaultPattern},
		{"a long text of all", `{"pattern":"x$","minLength":3,"maxLength":100000}`, `"` + strings.Repeat("é", 100) + long[200:] + `"`, nil},
		{"long texts beyond ASCII", `{"items":{"pattern":"^\\p{Han}*$","maxLength":20}}`, list(all, always(`"漢漢漢漢漢漢漢漢漢漢"`)), nil},
		{"dates", `{"items":{"format":"date-time"}}`, list(all, always(`"2026-11-05T14:30:00.123456789Z"`)), nil},
		{"addresses", `{"items":{"format":"uri"}}`, list(all, always(`"http://a@[::1]:80/%20?x#y"`)), nil},
		{"nothing asked", `{"items":true}`, list(all, always(deep)), nil},

		{"alternatives by kind", `{"items":{"anyOf":[{"type":"string"},{"type":"number","minimum":0}]}}`, list(all, always("1")), nil},

		// More than one.
		{"an alternative", `{"items":{"anyOf":[{"minimum":5},{"minimum":0}]}}`, list(all, always("1.5")), nil},
		{"two alternatives", `{"items":{"anyOf":[{"minimum":5},{"minimum":3},{"minimum":0}]}}`, list(all, always("1")), FaultSteps},
		{"a hundred alternatives", `{"items":{"anyOf":` + numbered(100, `{"const":"y%d"}`) + `}}`, list(all, always(`"y99"`)), FaultSteps},
		{"alternatives that look alike", `{"items":{"oneOf":` + numbered(20, `{"properties":{"a":{"const":1},"k":{"const":%d}},"required":["k"]}`) + `}}`, list(all, always(`{"a":1,"k":19}`)), FaultSteps},
		{"alternatives within each other", `{"anyOf":[{"items":{"$ref":"#"},"minItems":3},{"items":{"$ref":"#"},"minItems":2},{"items":{"$ref":"#"},"minItems":1}]}`, "[" + deep + "]", FaultSteps},
		{"alternatives of all", `{"$ref":"#/$defs/a","$defs":{"a":{"allOf":[{"$ref":"#/$defs/b"},{"$ref":"#/$defs/b"}]},"b":{"allOf":[{"$ref":"#/$defs/c"},{"$ref":"#/$defs/c"}]},"c":{"items":{"$ref":"#"}}}}`, list(all, always("[[[1]]]")), FaultSteps},
		{"objects on one tape", `{"minItems":1,"allOf":[{"items":{"properties":{"a":{"type":"number"}},"additionalProperties":{"maxLength":3}}}]}`, list(all, always(`{"\u0061":1,"\n\n":"\u0061"}`)), nil},
		{"objects on one tape that are refused", `{"minItems":1,"not":{"items":{"not":{"properties":{"a":{"type":"string"}},"required":["b"]}}}}`, list(all, always(`{"\u0061":1}`)), FaultNot},
		{"texts on one tape", `{"minItems":1,"allOf":[{"items":{"maxLength":3}}]}`, list(all, always(`"\u0061"`)), nil},
		{"not not", `{"items":{"not":{"not":{"not":{"not":true}}}}}`, list(all, always("10")), nil},
		{"not beyond the steps", `{"not":{"items":{"anyOf":` + numbered(100, `{"const":"y%d"}`) + `}}}`, list(all, always(`"y99"`)), FaultSteps},
		{"if", `{"items":{"if":{"minimum":3},"then":{"multipleOf":2},"else":{"maximum":2}}}`, list(all, always("1.25")), nil},
		{"if beyond what is compared", `{"if":{"contains":{"const":9}},"then":{"maxItems":2000}}`, list(1025, always("1")), FaultManyItems},
		{"else beyond what is compared", `{"if":{"contains":{"const":9}},"else":{"maxItems":2000}}`, list(1025, always("1")), FaultManyItems},
		{"then contains", `{"if":{"contains":{"const":9}},"then":{"maxItems":2}}`, list(1024, always("1")), nil},
		{"unique numbers", `{"uniqueItems":true}`, list(1024, func(n int) string { return strings.Repeat("9", 50) + fmt.Sprint(n) }), nil},
		{"unique texts", `{"uniqueItems":true}`, list(1024, func(n int) string { return `"` + strings.Repeat(`\n`, 25) + fmt.Sprint(n) + `"` }), nil},
		{"unique objects", `{"uniqueItems":true}`, list(1024, func(n int) string { return fmt.Sprintf(`{"a":[{"b":{"c":%d}}],"d":"e","f":{}}`, n) }), nil},
		{"many unique arrays", `{"items":{"uniqueItems":true}}`, list(all, always(`[1,2]`)), nil},
		{"unique within each other", `{"uniqueItems":true,"items":{"$ref":"#"}}`, list(all, func(n int) string { return strings.Repeat("[", 14) + fmt.Sprint(n) + strings.Repeat("]", 14) }), FaultManyItems},
		{"too many unique", `{"uniqueItems":true}`, list(1025, func(n int) string { return fmt.Sprint(n) }), FaultManyItems},
		{"too many to contain", `{"contains":{"const":1},"minContains":1}`, list(1025, always("1")), FaultManyItems},
		{"contains", `{"items":{"contains":{"const":9},"minContains":0}}`, list(all, always("["+strings.Repeat("1,", 1000)+"9]")), nil},
		{"contains not at all", `{"not":{"contains":{"const":9}}}`, list(1025, always("1")), FaultManyItems},
		{"constants", `{"items":{"enum":` + numbered(200, `[1,2,3,%d]`) + `}}`, list(all, always(`[1,2,3,199]`)), FaultSteps},
		{"a long constant", `{"items":{"enum":` + numbered(2, `{"a":[`+strings.Repeat("1,", 1000)+`%d]}`) + `}}`, list(all, always(`{"a":[`+strings.Repeat("1,", 1000)+`1]}`)), nil},
		{"many long constants", `{"items":{"enum":` + numbered(9, `{"a":[`+strings.Repeat("1,", 1000)+`%d]}`) + `}}`, list(all, always(`{"a":[`+strings.Repeat("1,", 1000)+`8]}`)), FaultSteps},
		{"objects in another order", `{"enum":[{` + strings.TrimSuffix(strings.Trim(numbered(1000, `"n%d":1`), "[]"), ",") + `}]}`, reversed(1000), FaultSteps},
		{"patterns of names", `{"patternProperties":{"^[a-f0-9]+$":true,"[a-z]$":true,"^.{1,9}$":{"type":"number"}}}`, wide, nil},
		{"many patterns of a text", `{"allOf":` + numbered(40, `{"pattern":"y%d|x$"}`) + `}`, `"` + long + `"`, FaultSteps},
		{"many known names", `{"items":{"required":` + numbered(200, `"n%d"`) + `}}`, list(all, always(`{}`)), FaultRequired},
		{"many known names within each other", `{"items":{"properties":{` + strings.Trim(numbered(1000, `"n%d":{"maximum":1}`), "[]") + `}}}`, list(all, always(`{"n7":1}`)), nil},
		{"escapes again and again", `{"items":{"allOf":` + numbered(3, `{"properties":{"y%d":true}}`) + `}}`, list(all, always(`{"`+strings.Repeat(`\u0061`, 200)+`":1}`)), nil},
		{"names again and again", `{"allOf":` + numbered(20, `{"properties":{"y%d":true}}`) + `}`, wide, nil},
		{"texts of enums", `{"items":{"anyOf":` + numbered(9, `{"enum":["x","yyyy%d","z","u","v","w"]}`) + `}}`, list(all, many(9, 4)), nil},
	}
}

func reversed(n int) string {
	var parts []string
	for i := n - 1; i >= 0; i-- {
		parts = append(parts, fmt.Sprintf(`"n%d":1`, i))
	}
	return "{" + strings.Join(parts, ",") + "}"
}

// TestStepsAreBounded: none of the worst texts makes the program spend more than
// its steps, and those that one pass checks spend none. What is refused for want
// of steps is refused with that reason, also behind not.
func TestStepsAreBounded(t *testing.T) {
	for _, c := range costlyPrograms() {
		s, err := Compile([]byte(c.schema))
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if len(c.text) > costBytes {
			t.Fatalf("%s: %d bytes", c.name, len(c.text))
		}
		var v Validator
		r := s.Validate(&v, []byte(c.text), usual)
		spent := maxSteps - v.steps
		t.Logf("%-34s %-12s %8d steps", c.name, keywordOfFault(r.Fault), spent)
		if r.Fault != c.fault {
			t.Errorf("%s: %v, want %v", c.name, r.Fault, c.fault)
		}
		if (v.steps < 0) != (r.Fault == FaultSteps) {
			t.Errorf("%s: %v with %d steps left", c.name, r.Fault, v.steps)
		}
		if spent > maxSteps+costBytes {
			t.Errorf("%s: %d steps", c.name, spent)
		}
		if strings.Contains(c.name, "on one tape") && cap(v.plain) > 64 || cap(v.plain) > 2*costBytes || cap(v.seen) > 64 || cap(v.levels) > 64 {
			t.Errorf("%s: keeps %d bytes of text, %d words, %d levels", c.name, cap(v.plain), cap(v.seen), cap(v.levels))
		}
	}
}

func keywordOfFault(f *Fault) string {
	if f == nil {
		return ""
	}
	return f.Keyword
}

// TestValidateAllocates nothing, on text that is accepted and that is refused.
func TestValidateNoAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("skipped: the race detector allocates")
	}
	gate := func(name, schema, text string) {
		s, err := Compile([]byte(schema))
		if err != nil {
			t.Fatal(err)
		}
		var v Validator
		b := []byte(text)
		pointer := make([]byte, 0, 2*maxPointerBytes)
		run := func() {
			if r := s.Validate(&v, b, usual); r.Fault != nil {
				pointer = r.AppendPointer(pointer[:0], b)
			}
		}
		run()
		if n := testing.AllocsPerRun(20, run); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
	gate("tick", tickSchema, tick)
	for _, c := range verdicts {
		for text := range c.texts {
			gate(c.name+" "+text, c.schema, text)
		}
	}
	for _, c := range costlyPrograms() {
		gate(c.name, c.schema, c.text)
	}
}

// BenchmarkCostliest is the goal of a millisecond for the worst 64 KiB.
func BenchmarkCostliest(b *testing.B) {
	for _, c := range costlyPrograms() {
		s, err := Compile([]byte(c.schema))
		if err != nil {
			b.Fatal(err)
		}
		text := []byte(c.text)
		var v Validator
		b.Run(c.name, func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				s.Validate(&v, text, usual)
			}
			b.ReportMetric(float64(maxSteps-v.steps), "steps")
		})
	}
}
