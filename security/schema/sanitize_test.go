package schema

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

func TestAppendHTML(t *testing.T) {
	for in, want := range map[string]string{
		``:                                   ``,
		`{}`:                                 `{}`,
		`"<>&"`:                              `"\u003c\u003e\u0026"`,
		`"a</script><!--"`:                   `"a\u003c/script\u003e\u003c!--"`,
		"\"\u2028 \u2029\u2027\u202a\"":      "\"\\u2028 \\u2029\u2027\u202a\"",
		`{"<":["&",{"a>":1}]}`:               `{"\u003c":["\u0026",{"a\u003e":1}]}`,
		`"\u003c\\<\"&"`:                     `"\u003c\\\u003c\"\u0026"`,
		`["abcdefgh<","abcdefg<h","=?:;'%"]`: `["abcdefgh\u003c","abcdefg\u003ch","=?:;'%"]`,
		"\"â\u00e2漢€\u20a8\"":                "\"â\u00e2漢€\u20a8\"",
		"\"\xe2\"":                           "\"\xe2\"", // no JSON, and no more is read than there is
		"\xe2\x80":                           "\xe2\x80",
	} {
		if got := string(AppendHTML([]byte("x"), []byte(in))); got != "x"+want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
		if got := SizeHTML([]byte(in)); got != len(want) {
			t.Errorf("%q: announced as %d, want %d", in, got, len(want))
		}
	}
}

// TestAppendHTMLEverywhere puts each character at each place of a word, with each
// other byte beside it.
func TestAppendHTMLEverywhere(t *testing.T) {
	for _, special := range []string{"<", ">", "&", "\u2028", "\u2029", "\u2030", "=", ";", "'", "%", "\x1c", "|", "~", "f"} {
		for at := range 20 {
			for c := range 256 {
				text := []byte(strings.Repeat("a", at) + string([]byte{byte(c)}) + special + string([]byte{byte(c)}) + strings.Repeat("b", 20-at))
				var want bytes.Buffer
				json.HTMLEscape(&want, text)
				if got := AppendHTML(nil, text); !bytes.Equal(got, want.Bytes()) {
					t.Fatalf("%q: %q, want %q", text, got, want.Bytes())
				}
			}
		}
	}
}

// TestAppendHTMLPrefixes: half a text does not make it read beyond, and each half
// gives what encoding/json makes of it.
func TestAppendHTMLPrefixes(t *testing.T) {
	for _, text := range append(samples(), "[\"<a href='x'>\u2028&amp;\u2029</a>\"]") {
		for cut := range len(text) + 1 {
			whole := []byte(text)
			for _, half := range [][]byte{whole[:cut:cut], whole[cut:]} {
				var want bytes.Buffer
				json.HTMLEscape(&want, half)
				if got := AppendHTML(nil, half); !bytes.Equal(got, want.Bytes()) {
					t.Fatalf("%q: %q, want %q", half, got, want.Bytes())
				}
			}
		}
	}
}

func TestAppendHTMLNoAllocations(t *testing.T) {
	text := []byte(strings.Repeat("<\u2028a", 1000))
	dst := make([]byte, 0, 6*len(text))
	if n := testing.AllocsPerRun(10, func() { AppendHTML(dst, text) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// FuzzAppendHTML: the same text to a reader, nothing of it left to escape, no
// longer than is said, and what it gives it leaves alone.
func FuzzAppendHTML(f *testing.F) {
	for _, text := range samples() {
		f.Add([]byte(text))
	}
	f.Add([]byte("{\"<\u2028\":\"</script>&\u2029\"}"))
	f.Fuzz(func(t *testing.T, b []byte) {
		got := AppendHTML(nil, b)
		if len(got) > 6*len(b) || len(got) != SizeHTML(b) {
			t.Fatalf("%q: %d bytes of %d, announced as %d", b, len(got), len(b), SizeHTML(b))
		}
		if again := AppendHTML(nil, got); !bytes.Equal(again, got) {
			t.Fatalf("%q: %q, then %q", b, got, again)
		}
		if bytes.ContainsAny(got, "<>&") || bytes.Contains(got, []byte("\u2028")) || bytes.Contains(got, []byte("\u2029")) {
			t.Fatalf("%q: %q", b, got)
		}
		var v Validator
		readable := Limits{Depth: 10_000} // to encoding/json
		if v.Check(b, readable) != nil {
			return
		}
		if fault := v.Check(got, readable); fault != nil {
			t.Fatalf("%q: %q is refused: %v", b, got, fault)
		}
		var before, after any
		if json.Unmarshal(b, &before) != nil || json.Unmarshal(got, &after) != nil || !reflect.DeepEqual(before, after) {
			t.Fatalf("%q: %q reads as something else", b, got)
		}
	})
}

func BenchmarkAppendHTML(b *testing.B) {
	text, dst := []byte(tick), make([]byte, 0, 1024)
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		AppendHTML(dst, text)
	}
}
