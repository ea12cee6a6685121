package schema

import (
	"errors"
	"regexp"
	"strings"
	"testing"
)

var expressions = []string{
	"", "a", "^a", "a$", "^a$", "^$", "$^", "a*", "^a*$", "^a+b?c{2,3}$", "(a|b)*abb", "^(?:a|bc)*$", "[^a]", "^[^a]*$", ".", "^.$", "(?s)^.$", "(?m)^b$", "(?m)a$", `\Aa\z`,
	`\ba`, `a\b`, `\Ba`, `\bab\b|x`, `^\b`, `\B`, `\d+`, `^\d{4}-\d\d$`, `\w+@\w+`, `^\S+$`, `\s`, "(?i)abc", "(?i)ß", "(?i)k", "^[[:alpha:]]+$", `^\p{L}+$`, `\P{L}`, `^\p{Greek}\p{Han}$`, "é", "[à-ü]",
	"^.{3}$", "^.{2,5}$", "a{0}", "(a{0,3}){2}", "^(a?){5}a{5}$", "😀", "[😀-😎]", `^\x{10FFFF}$`, `[^\x00-\x{10FFFF}]`, `^[^\x00-\x{10FFFF}]*$`, "^-?(0|[1-9][0-9]*)$", "a|", "|a", "(|a)+b", "(?U)a+b", "^[A-Z]{1,6}$",
	`^[a-z0-9]+(-[a-z0-9]+)*$`, `"`, `\\`, `\n`, "^(([a-z])+.)+[A-Z]([a-z])+$", "(a+)+$", "(x+x+)+y", `\Q.*\E`, "[a-c&&b]", `^(?P<year>\d{4})$`, `(?m:^)a`, `\C`,
}

var searched = []string{
	"", "a", "b", "ab", "ba", "abb", "aabb", "abc", "aaaaa", "bcbc", "a\n", "\na", "a\nb", "b\nb", "\n", "é", "à", "É", "ß", "ẞ", "SS", "K", "k", "K", "λ漢", "漢", "😀", "😎a", "\U0010ffff", "\x00",
	"2026-11", "12", "-0", "01", "x@y", " ", "\t", "ABC", "aBc", "_a", "a_", "a b", "x-y-z", "-x", `"`, `\`, ".*", "aaaaaaaaaaaaaaaaaaaaaaaaX", "xxxxxxxxxxxxxxxxxxxxz", "ſ", "Ab", "ACME", "ACMEACME",
}

func TestPatterns(t *testing.T) {
	for _, expression := range expressions {
		re, err := regexp.Compile(expression)
		p, ours := compilePattern(expression)
		if (err == nil) != (ours == nil) {
			t.Errorf("%q: %v, regexp says %v", expression, ours, err)
		}
		if err != nil || ours != nil {
			continue
		}
		for _, text := range searched {
			if got, want := p.match([]byte(text)), re.MatchString(text); got != want {
				t.Errorf("%q in %q: %v, regexp says %v", expression, text, got, want)
			}
		}
	}
}

// TestRandomPatterns puts expressions together from parts.
func TestRandomPatterns(t *testing.T) {
	c := newChance(7)
	for range 3000 {
		expression := c.pattern(4)
		re, err := regexp.Compile(expression)
		if err != nil {
			continue
		}
		p, err := compilePattern(expression)
		if err != nil {
			if !errors.Is(err, errPatternSize) {
				t.Fatalf("%q: %v", expression, err)
			}
			continue
		}
		for range 30 {
			var b strings.Builder
			for range c.IntN(8) {
				b.WriteString(pick(c, "a", "b", "c", "A", "é", "\n", " ", "_", "0", "漢"))
			}
			if got, want := p.match([]byte(b.String())), re.MatchString(b.String()); got != want {
				t.Fatalf("%q in %q: %v, regexp says %v", expression, b.String(), got, want)
			}
		}
	}
}

func (c chance) pattern(depth int) string {
	if depth == 0 {
		return pick(c, "a", "b", "c", ".", "[ab]", "[^a]", "^", "$", `\b`, `\B`, `\w`, `\d`, "é", "(?m:^)", "(?m:$)", "(?i:a)", "(?s:.)", `\z`, `\p{L}`)
	}
	below := func() string { return c.pattern(depth - 1) }
	switch c.IntN(5) {
	case 0:
		return below() + "|" + below()
	case 1:
		return "(?:" + below() + ")" + pick(c, "*", "+", "?", "{2}", "{1,3}", "*?")
	case 2:
		return below()
	}
	return below() + below()
}

// TestPatternSteps: a text takes one step for each character, whatever the
// expression, and allocates nothing.
func TestPatternSteps(t *testing.T) {
	p, err := compilePattern("(x+x+)+y|é{3}$")
	if err != nil {
		t.Fatal(err)
	}
	text := []byte(strings.Repeat("x", 60_000) + "é")
	if n := testing.AllocsPerRun(5, func() { p.match(text) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if cells := len(p.next); cells > 200 {
		t.Errorf("%d cells", cells)
	}
}

func FuzzPattern(f *testing.F) {
	for i, expression := range expressions {
		f.Add(expression, searched[i%len(searched)])
	}
	f.Fuzz(func(t *testing.T, expression, text string) {
		text = strings.ToValidUTF8(text, "x")
		p, err := compilePattern(expression)
		re, wrong := regexp.Compile(expression)
		if err != nil {
			if wrong == nil && !errors.Is(err, errPatternSize) && len(expression) <= maxPatternBytes {
				t.Fatalf("%q: %v", expression, err)
			}
			return
		}
		if wrong != nil {
			t.Fatalf("%q compiles, regexp says %v", expression, wrong)
		}
		if got, want := p.match([]byte(text)), re.MatchString(text); got != want {
			t.Fatalf("%q in %q: %v, regexp says %v", expression, text, got, want)
		}
	})
}
