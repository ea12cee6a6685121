package schema

import (
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strings"
	"testing"
)

func ruleOf(t testing.TB, schema string, html bool, bytes int) *Rule {
	t.Helper()
	s, err := Compile([]byte(schema))
	if err != nil {
		t.Fatal(err)
	}
	return &Rule{Schema: s, Limits: usual, HTML: html, Bytes: bytes}
}

func TestRule(t *testing.T) {
	number := ruleOf(t, `{"type":"object","properties":{"price":{"type":"number","minimum":0},"a/b":{"type":"null"}}}`, false, 0)
	for _, c := range []struct {
		name, text string
		rule       *Rule
		reason     string // "": accepted
		out        string // of Clean; "": the text
	}{
		{"no rule", `"<"`, nil, "", ""},
		{"accepted", `{"price":1}`, number, "", ""},
		{"a member", `{"price":-1}`, number, "minimum at /price", ""},
		{"a member's name is escaped", `{"a\/b":1}`, number, "type at /a~1b", ""},
		{"the whole", `[1]`, number, "type", ""},
		{"a name", `[{"a":{"long":1}}]`, ruleOf(t, `{"items":{"additionalProperties":{"propertyNames":{"maxLength":3}}}}`, false, 0), "propertyNames at /0/a/long", ""},
		{"a member too many", `[{"a":{"b":1}}]`, ruleOf(t, `{"items":{"additionalProperties":{"additionalProperties":false}}}`, false, 0), "additionalProperties at /0/a/b", ""},
		{"a member missing", `[{"a":{"b":1}}]`, ruleOf(t, `{"items":{"additionalProperties":{"required":["c"]}}}`, false, 0), "required at /0/a", ""},
		{"not cleaned", `{"x":"<"}`, number, "", ""},
		{"cleaned", `{"<":"<&>"}`, &Rule{HTML: true, Bytes: 100}, "", `{"\u003c":"\u003c\u0026\u003e"}`},
		{"longest", `"<"`, &Rule{HTML: true, Bytes: 8}, "", `"\u003c"`},
		{"too long", `"<"`, &Rule{HTML: true, Bytes: 7}, "sanitize", `"\u003c"`},
		{"too long, and refused", `"<"`, ruleOf(t, `{"type":"number"}`, true, 7), "type", `"\u003c"`},
		{"sanitizing is none", `"<"`, &Rule{Bytes: 2}, "", ""},
	} {
		var v Validator
		r := c.rule.Check(&v, []byte(c.text))
		switch {
		case r.Fault == nil && c.reason != "":
			t.Errorf("%s: accepted, want %q", c.name, c.reason)
		case r.Fault != nil && string(r.AppendReason([]byte("x"), []byte(c.text))) != "x"+c.reason:
			t.Errorf("%s: %q, want %q", c.name, r.AppendReason(nil, []byte(c.text)), c.reason)
		}
		want := c.out
		if want == "" {
			want = c.text
		}
		if got := c.rule.Clean([]byte(c.text)); string(got) != want {
			t.Errorf("%s: goes out as %s, want %s", c.name, got, want)
		}
	}
	if (&Rule{HTML: true}).Clean(nil) != nil {
		t.Error("of nothing something was made")
	}
}

// TestSpent: what a text costs that has to be looked at again, and nothing of the
// text before.
func TestSpent(t *testing.T) {
	var v Validator
	again := ruleOf(t, `{"items":{"anyOf":[{"minimum":5},{"minimum":0}]}}`, false, 0)
	for name, c := range map[string]struct {
		rule  *Rule
		text  string
		spent bool
	}{
		"one pass":          {ruleOf(t, tickSchema, false, 0), tick, false},
		"no schema":         {&Rule{HTML: true, Bytes: 9}, `[1]`, false},
		"no rule":           {nil, `[1]`, false},
		"more than one":     {again, `[1,2,3]`, true},
		"accepted at once":  {again, `"a"`, false},
		"nothing like JSON": {again, `[`, false},
	} {
		again.Check(&v, []byte(`[1,2,3,4,5,6]`))
		c.rule.Check(&v, []byte(c.text))
		if got := v.Spent(); (got > 0) != c.spent {
			t.Errorf("%s: %d steps", name, got)
		}
	}
	for _, c := range costlyPrograms() {
		rule := ruleOf(t, c.schema, false, 0)
		if r := rule.Check(&v, []byte(c.text)); r.Fault == FaultSteps && v.Spent() < maxSteps || v.Spent() > maxSteps {
			t.Errorf("%s: %v for %d steps", c.name, r.Fault, v.Spent())
		}
	}
}

// TestReasonHoldsNoValue: names of the text, bounded, but nothing that stands in
// it as a value.
func TestReasonHoldsNoValue(t *testing.T) {
	rule := ruleOf(t, `{"properties":{"a":{"items":{"additionalProperties":{"maxLength":3}}}}}`, false, 0)
	var v Validator
	for name, text := range map[string]string{
		"value":     `{"secret":"hunter2","a":[{"b":"x"},{"c":"hunter2"}]}`,
		"long name": `{"a":[{"` + strings.Repeat("n", 5000) + `":"hunter2"}]}`,
		"escapes":   `{"a":[{"\n\u0000\"<":"hunter2"}]}`,
	} {
		r := rule.Check(&v, []byte(text))
		reason := string(r.AppendReason(nil, []byte(text)))
		if r.Fault != FaultMaxLength || strings.Contains(reason, "hunter2") || !strings.HasPrefix(reason, "maxLength at /a/") || len(reason) > 300 {
			t.Errorf("%s: %.400q", name, reason)
		}
	}
}

func TestRuleNoAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("skipped: the race detector allocates")
	}
	var v Validator
	reason := make([]byte, 0, 2*maxPointerBytes)
	rule := ruleOf(t, tickSchema, true, 1<<10)
	for name, text := range map[string]string{
		"accepted": tick, "markup": strings.Replace(tick, `null`, `"<&>"`, 1),
		"refused": strings.Replace(tick, `"price":1`, `"price":-1`, 1), "no JSON": tick[:200],
	} {
		b := []byte(text)
		run := func() {
			if r := rule.Check(&v, b); r.Fault != nil {
				reason = r.AppendReason(reason[:0], b)
			}
		}
		run()
		if n := testing.AllocsPerRun(50, run); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
	if n := testing.AllocsPerRun(50, func() { rule.Clean([]byte(nil)) }); n != 0 {
		t.Errorf("%v allocations for nothing", n)
	}
}

// TestKeywords: every fault is in the list, so that none counts as other.
func TestKeywords(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "fault.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	ast.Inspect(file, func(n ast.Node) bool {
		if pair, ok := n.(*ast.KeyValueExpr); ok {
			if key, ok := pair.Key.(*ast.Ident); ok && key.Name == "Keyword" {
				want = append(want, strings.Trim(pair.Value.(*ast.BasicLit).Value, `"`))
			}
		}
		return true
	})
	if got := Keywords(); !slices.Equal(got, want) || len(want) < 30 {
		t.Errorf("%v\nwant %v", got, want)
	}
	if again := slices.Compact(slices.Sorted(slices.Values(want))); len(again) != len(want) {
		t.Error("two faults have one keyword")
	}
}
