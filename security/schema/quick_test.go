package schema

import "testing"

// TestFewDigitsAgrees: a number that is found quickly is one that the judge
// finds, with the same end, whatever stands behind it.
func TestFewDigitsAgrees(t *testing.T) {
	for _, rules := range []string{
		`{"type":"number"}`, `{"minimum":0}`, `{"exclusiveMinimum":0}`, `{"minimum":0.5}`, `{"maximum":999.5}`, `{"exclusiveMaximum":100}`,
		`{"minimum":10,"maximum":99}`, `{"maximum":-1}`, `{"type":"integer"}`, `{"multipleOf":0.25}`, `{"enum":[1,5000]}`,
		`{"minimum":9.999}`, `{"maximum":1000000}`, `{"type":"integer","exclusiveMaximum":9999}`,
	} {
		s, err := Compile([]byte(rules))
		if err != nil {
			t.Fatal(err)
		}
		for _, whole := range []string{"", "0", "00", "1", "7", "09", "10", "99", "100", "999", "5000", "12345", "999999", "1000000", "12345678"} {
			for _, fraction := range []string{"", ".", ".0", ".5", ".00", ".25", ".999", ".0001", ".99999", ".123456", "..5", ".5.5"} {
				for _, behind := range []string{",       ", "}       ", "        ", "e1      ", "E+2     ", ".5      ", "\xff1      ", "", ","} {
					text := whole + fraction + behind
					var v Validator
					v.begin([]byte(text), Limits{})
					v.steps = maxSteps
					if end := v.fewDigits(0, s.root); end != 0 && end != v.number(0, s.root) {
						t.Errorf("%s %q: found to %d, judged to %d, %v", rules, text, end, v.number(0, s.root), v.refusal)
					}
				}
			}
		}
	}
}

// TestFewDigitsFinds: numbers that no bound cuts need no judge, others do.
func TestFewDigitsFinds(t *testing.T) {
	for _, c := range []struct {
		rules, text string
		end         int
	}{
		{`{"type":"number"}`, "101.25,\n", 6},
		{`{"type":"number"}`, "1234567,", 7},
		{`{"type":"number"}`, "12345678", 0},
		{`{"type":"number"}`, "0,      ", 1},
		{`{"type":"number"}`, "01,     ", 0},
		{`{"type":"number"}`, "1e5,    ", 0},
		{`{"type":"number"}`, "1.5E5,  ", 0},
		{`{"type":"number"}`, "-1,     ", 0},
		{`{"type":"number"}`, "1,", 0},
		{`{"type":"integer","minimum":0}`, "1250,   ", 4},
		{`{"type":"integer","minimum":0}`, "1250.0, ", 0},
		{`{"type":"number","exclusiveMinimum":0}`, "1.5,    ", 3},
		{`{"type":"number","exclusiveMinimum":0}`, "0.5,    ", 0},
		{`{"type":"number","maximum":1000}`, "999.99, ", 6},
		{`{"type":"number","maximum":1000}`, "1000,   ", 0},
		{`{"type":"number","multipleOf":1}`, "5,      ", 0},
		{`{"type":"number","enum":[5]}`, "5,      ", 0},
	} {
		s, err := Compile([]byte(c.rules))
		if err != nil {
			t.Fatal(err)
		}
		var v Validator
		v.begin([]byte(c.text), Limits{})
		if end := v.fewDigits(0, s.root); end != c.end {
			t.Errorf("%s %q: found to %d, want %d", c.rules, c.text, end, c.end)
		}
	}
}

// TestGuess: each name of an object is guessed wherever it comes, and so are
// names of equal first bytes.
func TestGuess(t *testing.T) {
	const alike = `{"properties":{"exchangeRate":true,"exchangeTime":true,"a":true,"ab":true,"":true,"sixteen bytes 0A":true}}`
	for _, schema := range []string{tickSchema, chatSchema, alike, `{"properties":{}}`} {
		s, err := Compile([]byte(schema))
		if err != nil {
			t.Fatal(err)
		}
		o := s.root.object
		for i, name := range o.index.texts {
			for _, behind := range []string{`":1}`, `":"x","` + name + `":"a longer text"}`} {
				text := []byte(`{"` + name + behind + "        ")
				if known := o.guess(text, 0); known != uint(i) {
					t.Errorf("%q: guessed %d, want %d", text, known, i)
				}
			}
		}
	}
}
