package token

import (
	"bytes"
	"encoding/json"
	"slices"
	"testing"
)

// member is one call of members, as text.
type member struct{ name, value string }

// ours and theirs list an object's members by members and by encoding/json.
func ours(b []byte) (list []member, ok bool) {
	ok = members(b, func(name string, value []byte) bool {
		list = append(list, member{name, string(value)})
		return true
	})
	return list, ok
}

func theirs(b []byte) (list []member, ok bool) {
	d := json.NewDecoder(bytes.NewReader(b))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, false
	}
	for d.More() {
		t, err := d.Token()
		name, ok := t.(string)
		var value json.RawMessage
		if err != nil || !ok || d.Decode(&value) != nil {
			return nil, false
		}
		list = append(list, member{name, string(value)})
	}
	return list, true
}

var objects = []string{
	`{}`, ` { } `, `{"a":1}`, "\t{\n\"a\" : 1 ,\"b\":[ ]\r} ", `{"a":{"b":[{"c":"]}\""}]},"d":"\\","e":"\\\"","f":null,"g":-1.5e3,"h":true}`,
	`{"\u0061":"\u00e9","é":"é","":""}`, `{"a":[1,2,[3]],"b":"x,y:z"}`, `{"a":""}`,
}

func TestMembers(t *testing.T) {
	for _, text := range objects {
		want, ok := theirs([]byte(text))
		got, ok2 := ours([]byte(text))
		if !ok || !ok2 || !slices.Equal(got, want) {
			t.Errorf("%s: %q %t, want %q %t", text, got, ok2, want, ok)
		}
	}
	// Nobody gives it text that is not well formed; if somebody did, it would say no and not run on.
	for _, text := range []string{"", " ", "[", "[]", `"a"`, "1", "{", `{"`, `{"a`, `{"a"`, `{"a":`, `{"a":1`, `{"a":1,`, `{"a" 1}`, `{"a":1 2}`, `{a:1}`, `{"a":}`, `{,}`, `{"a":[}`} {
		if list, ok := ours([]byte(text)); ok {
			t.Errorf("%s: %q", text, list)
		}
	}
	// Who has seen enough is not told more.
	for _, text := range []string{`{"a":1,"b":2}`, `{"a":1}`} {
		calls := 0
		if members([]byte(text), func(string, []byte) bool { calls++; return false }) || calls != 1 {
			t.Errorf("%s: %d calls", text, calls)
		}
	}
}

func TestTexts(t *testing.T) {
	for text, want := range map[string][]string{
		`[]`: nil, `[ ]`: nil, `["a"]`: {"a"}, ` [ "a" , "\u0062\n" ]`: {"a", "b\n"}, `["]","\""]`: {"]", `"`},
	} {
		if got, ok := texts([]byte(text)); !ok || !slices.Equal(got, want) {
			t.Errorf("%s: %q, %t", text, got, ok)
		}
	}
	for _, text := range []string{`["a",1]`, `[null]`, `[["a"]]`, `{}`, `"a"`, `null`, ``, `[`, `["a"`, `["a",`} {
		if got, ok := texts([]byte(text)); ok || got != nil {
			t.Errorf("%s: %q", text, got)
		}
	}
}

// FuzzMembers: of what is well formed it reads what encoding/json reads, and nothing makes it panic.
func FuzzMembers(f *testing.F) {
	for _, text := range objects {
		f.Add([]byte(text))
	}
	for _, text := range []string{
		`{"a":1 ,"b":-0 , "c":true}`, "{\"a\"\r\n:\t[ ] , \"\\u0061b\" : {\"a\" :{}} }", `{"\\":"\\\"","\"":"}","\u2028":"\ud83d\ude00","K":1,"k":2}`, `{"a":[{"b":[[],{}]},"]",1e-7],"":null}`, `{"a":"` + "\xf0\x9f\x98\x80\u007f" + `"}`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		got, ok := ours(b)
		if !wellFormed(b) {
			return
		}
		want, ok2 := theirs(b)
		if !ok || !ok2 || !slices.Equal(got, want) {
			t.Fatalf("%q %t, want %q %t", got, ok, want, ok2)
		}
	})
}
