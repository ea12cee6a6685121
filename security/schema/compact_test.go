package schema

import (
	"bytes"
	"encoding/json"
	"testing"
)

func TestCompact(t *testing.T) {
	for in, want := range map[string]string{
		"{}":                              "{}",
		" \n[ 1 ,\t2 ] \r\n":              "[1,2]",
		"{ \"a b\" : \"c \\\" d\" }":      `{"a b":"c \" d"}`,
		"\"\\\\\"":                        `"\\"`,
		"[ \"\\\\\" , \" \" , \"\\\"\" ]": `["\\"," ","\""]`,
		"1 ":                              "1",
		"true":                            "true",
	} {
		if got := string(Compact([]byte("x"), []byte(in))); got != "x"+want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

// TestCompactPrefixes: text that is no JSON must not make it fail.
func TestCompactPrefixes(t *testing.T) {
	for _, text := range samples() {
		for cut := range len(text) {
			if got := Compact(nil, []byte(text[:cut])); len(got) > cut {
				t.Fatalf("%q became longer: %q", text[:cut], got)
			}
		}
	}
}

func TestUnescape(t *testing.T) {
	for _, quoted := range []string{
		`""`, `"abc"`, `"\"\\\/\b\f\n\r\t"`, `"\u00e9"`, `"a\ud83d\ude00b"`, `"\u0000\u001f"`,
		`"\ud7ff\ue000\uffff"`, `"\uDBFF\uDFFF"`, `"é\n漢"`,
	} {
		var want string
		if err := json.Unmarshal([]byte(quoted), &want); err != nil {
			t.Fatal(err)
		}
		if got := Unescape([]byte("x"), []byte(quoted[1:len(quoted)-1])); string(got) != "x"+want {
			t.Errorf("%s: %q, want %q", quoted, got, want)
		}
	}
}

func FuzzUnescape(f *testing.F) {
	f.Add([]byte(`a\n\u00e9\ud83d\ude00`))
	f.Add([]byte(`\`))
	f.Add([]byte(`\ud800\u1`))
	f.Add([]byte(`\uD83D\uDE00\u0000\uFFFD\udbff\udfff\ue000\/\b\"`))
	f.Add([]byte("a\\\\u0061\xf0\x9f\x98\x80\u2028\\u2029\x7f"))
	f.Add([]byte(`\ud83d\ud83d\ude00\ude00\ud83dx\u+123`))
	var v Validator
	f.Fuzz(func(t *testing.T, inside []byte) {
		got := Unescape(nil, inside)
		quoted := append(append([]byte{'"'}, inside...), '"')
		if v.Check(quoted, Limits{}) != nil {
			return
		}
		var want string
		if err := json.Unmarshal(quoted, &want); err != nil || !bytes.Equal(got, []byte(want)) {
			t.Fatalf("%q: %q, want %q (%v)", inside, got, want, err)
		}
	})
}
