package pointer

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"
)

func parsed(t testing.TB, s string) Pointer {
	t.Helper()
	p, err := Parse(s)
	if err != nil {
		t.Fatalf("%q: %v", s, err)
	}
	return p
}

func TestParse(t *testing.T) {
	for _, c := range []struct {
		text   string
		tokens string // joined by |
		ok     bool
	}{
		{"", "", true}, {"/", "", true}, {"/symbol", "symbol", true}, {"/a/b/0", "a|b|0", true},
		{"/a~1b", "a/b", true}, {"/m~0n", "m~n", true}, {"/~01", "~1", true}, {"//", "|", true}, {"/ü", "ü", true},
		{"symbol", "", false}, {"#/symbol", "", false}, {"/~", "", false}, {"/a~2", "", false}, {"/a~/b", "", false}, {"/~0~", "", false},
		{"/" + strings.Repeat("x", maxLength), "", false}, {"/i\x9c", "", false}, {"/\xed\xa0\xbd", "", false},
	} {
		p, err := Parse(c.text)
		if (err == nil) != c.ok || strings.Join(p.tokens, "|") != c.tokens {
			t.Errorf("%q: %q, %v; want %q, %v", c.text, p.tokens, err, c.tokens, c.ok)
		}
	}
}

var scalars = []struct{ pointer, text, want string }{
	{"/symbol", `{"symbol":"ACME","price":1}`, `"ACME"`},
	{"/symbol", `{"price":1,"symbol":"ACME"}`, `"ACME"`},
	{"/symbol", "{ \"price\" : 1 ,\n\t\"symbol\" :\r\"ACME\" }", `"ACME"`},
	{"/id", `{"id":-1.5e+7}`, `-1.5e+7`},
	{"/id", `{"id":true}`, `true`},
	{"/id", `{"id":null}`, `null`},
	{"/id", `{"id":""}`, `""`},
	{"/id", `{"id":"a\"b\\"}`, `"a\"b\\"`},
	{"/b", `{"a":"}],\"b\":1","b":2}`, `2`},
	{"/b", `{"a":[{"b":1},[[]],{}],"b":2}`, `2`},
	{"/a/b", `{"b":0,"a":{"a":0,"b":3}}`, `3`},
	{"/a/1/x", `{"a":[{"x":1},{"x":2}]}`, `2`},
	{"/1", `[1,"two"]`, `"two"`},
	{"/0", `[ 1 ]`, `1`},
	{"", `"whole"`, `"whole"`},
	{"", ` 7 `, `7`},
	{"/", `{"":1}`, `1`},
	{"/a~1b", `{"a/b":1}`, `1`},
	{"/a/b", `{"a/b":1}`, ``},
	{"/symbol", `{"s\u0079mbol":1}`, `1`},
	{"/ü\n", `{"\u00fc\n":1}`, `1`},
	{"/😀", `{"\ud83d\ude00":1}`, `1`},
	{"/a\ufffdb", `{"a\ud83db":1}`, `1`},
	{"/\"", `{"\"":1}`, `1`},
	{"/a", `{"a":1,"a":2}`, `1`},
	{"/0", `{"0":1}`, `1`},

	{"/symbol", `{"symbols":1}`, ``},
	{"/symbol", `{}`, ``},
	{"/symbol", `[]`, ``},
	{"/symbol", `"symbol"`, ``},
	{"/symbol", `7`, ``},
	{"/symbol", ``, ``},
	{"/a", `{"a":{}}`, ``},
	{"/a", `{"a":[1]}`, ``},
	{"/a/b", `{"a":1}`, ``},
	{"/2", `[1,2]`, ``},
	{"/0", `[]`, ``},
	{"/00", `[1]`, ``},
	{"/-", `[1]`, ``},
	{"/+0", `[1]`, ``},
	{"/99999999999999999999", `[1]`, ``},
	{"", `{}`, ``},
}

func TestScalar(t *testing.T) {
	for _, c := range scalars {
		if got := string(parsed(t, c.pointer).Scalar([]byte(c.text))); got != c.want {
			t.Errorf("%q in %s: %q, want %q", c.pointer, c.text, got, c.want)
		}
	}
}

// TestCutShort: no prefix makes it read past the end, nor find what is not there.
func TestCutShort(t *testing.T) {
	for _, c := range scalars {
		p := parsed(t, c.pointer)
		for n := range len(c.text) {
			text := make([]byte, n) // of exactly that capacity
			copy(text, c.text)
			if got := p.Scalar(text); got != nil && !bytes.Contains(text, got) {
				t.Errorf("%q in %s: %q", c.pointer, text, got)
			}
		}
	}
}

func TestHostileTexts(t *testing.T) {
	p := parsed(t, "/a/b/0")
	for _, text := range []string{
		strings.Repeat("[", 1<<20), strings.Repeat(`{"a":`, 1<<18), strings.Repeat("]", 100), `{"a":}`, `{"a"}`, `{"a"1}`, `{a:1}`,
		`{"a":{"b":[,1]}}`, `{"a":{"b":[`, `{"\`, `{"\u`, `{"\u12":1}`, `{"\uzzzz":{}}`, `"\"`, `{"a" "b"}`, `{,}`, "{\x00", "\xff",
	} {
		if got := p.Scalar([]byte(text)); got != nil {
			t.Errorf("%.20q: %q", text, got)
		}
	}
}

func TestNoAllocation(t *testing.T) {
	p := parsed(t, "/symbol")
	found, missing := []byte(`{"price":[1,2,{"x":"y"}],"symbol":"ACME"}`), []byte(`{"price":1}`)
	if n := testing.AllocsPerRun(1000, func() {
		if p.Scalar(found) == nil || p.Scalar(missing) != nil {
			t.Error("found what is not there, or not what is")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// FuzzScalar: any input is survived; in valid JSON in UTF-8 the scalar is the one
// that encoding/json finds, which reads U+FFFD for what is not UTF-8.
func FuzzScalar(f *testing.F) {
	for _, c := range scalars {
		f.Add(c.pointer, c.text)
	}
	f.Fuzz(func(t *testing.T, pointer, text string) {
		p, err := Parse(pointer)
		if err != nil {
			return
		}
		got := p.Scalar([]byte(text))
		if !json.Valid([]byte(text)) || !utf8.ValidString(text) {
			return
		}
		want, found := naive(p.tokens, json.RawMessage(text))
		if found != (got != nil) || found && string(want) != string(got) {
			t.Fatalf("%q in %s: %q, encoding/json finds %q", pointer, text, got, want)
		}
	})
}

// naive goes down by encoding/json's tokens, and says whether a scalar is there.
func naive(tokens []string, at json.RawMessage) (json.RawMessage, bool) {
	at = bytes.Trim(at, " \t\r\n")
	if len(tokens) == 0 {
		return at, at[0] != '{' && at[0] != '['
	}
	d := json.NewDecoder(bytes.NewReader(at))
	opening, err := d.Token()
	if err != nil {
		return nil, false
	}
	for i := 0; d.More(); i++ {
		name := strconv.Itoa(i)
		switch opening {
		case json.Delim('{'):
			key, _ := d.Token() // valid as a whole
			name = key.(string)
		case json.Delim('['):
		default:
			return nil, false
		}
		var value json.RawMessage
		if d.Decode(&value) != nil {
			return nil, false
		}
		if name == tokens[0] {
			return naive(tokens[1:], value)
		}
	}
	return nil, false
}
