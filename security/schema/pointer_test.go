package schema

import (
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// places lists the pointer of each value and each name of a valid text, by offset.
func places(text string) map[int]string {
	v := Validator{taping: true}
	v.begin([]byte(text), Limits{})
	if _, fault := v.walk(v.space(0)); fault != nil {
		panic(fault.Reason)
	}
	all := map[int]string{}
	taped := tapedText{[]byte(text), v.tape}
	var visit func(i int32, pointer string)
	visit = func(i int32, pointer string) {
		e := taped.tape[i]
		all[int(e.start)] = pointer
		switch e.kind {
		case kindArray:
			for n, item := range taped.elements(i) {
				visit(item, fmt.Sprint(pointer, "/", n))
			}
		case kindObject:
			for m := i + 1; m < e.next; m = taped.tape[m+1].next {
				token := strings.NewReplacer("~", "~0", "/", "~1").Replace(taped.unescaped(m))
				all[int(taped.tape[m].start)] = pointer + "/" + token
				visit(m+1, pointer+"/"+token)
			}
		}
	}
	visit(0, "")
	return all
}

func TestPointers(t *testing.T) {
	texts := append(samples(), `[[],{},[[]],{"":{"":[{}]}},"a","b",[1,[2,[3,4]],5]]`, ` [ 1 , { "a/b~\u00e9\"" : [ "x" , { } , "]" ] , "c" : "{" } ] `, object(120),
		"["+strings.Repeat("1,", 120)+"[2]]", strings.Repeat(`{"a":[0,`, 7)+"1"+strings.Repeat("]}", 7))
	c := newChance(3)
	for range 300 {
		texts = append(texts, c.spell(c.value(5)))
	}
	for _, text := range texts {
		if (&Validator{}).Check([]byte(text), Limits{}) != nil {
			t.Fatal(text)
		}
		for offset, want := range places(text) {
			got := string(Refusal{Offset: offset}.AppendPointer([]byte("at "), []byte(text)))
			if got != "at "+want && len(want) <= maxPointerBytes {
				t.Fatalf("%s at %d: %q, want %q", text, offset, got, want)
			}
		}
	}
}

// TestPointerIsBounded: where a pointer would be too long it ends at a value
// further out, and goes on from there when the long part is over.
func TestPointerIsBounded(t *testing.T) {
	long := strings.Repeat("x", maxPointerBytes)
	text := `{"` + long + `":1,"a":[{"` + long + `":[1,[2,{"b":3}],4]},5],"` + strings.Repeat(`\u0061`, 5000) + `":[6],"` + strings.Repeat(`\u0062`, 100) + `":[[]],"` + long[2:] + `":[[7,8],9],"c":` + strings.Repeat("[0,", 140) + "7" + strings.Repeat("]", 140) + `,"d":8}`
	for offset, want := range places(text) {
		got := string(Refusal{Offset: offset}.AppendPointer(nil, []byte(text)))
		if len(got) > maxPointerBytes || got != want && (len(want) <= maxPointerBytes || !strings.HasPrefix(want, got+"/")) {
			t.Errorf("at %d: %q, want %q", offset, got, want)
		}
	}
	r := Refusal{Offset: strings.LastIndex(text, "8")}
	space := make([]byte, 0, 1024)
	if n := testing.AllocsPerRun(20, func() { r.AppendPointer(space, []byte(text)[:len(text):len(text)]) }); n > 1 {
		t.Errorf("%v allocations", n) // one is the test's
	}
}

// TestPointerCosts: to say where a text of 64 KiB is refused costs less than to refuse it.
func TestPointerCosts(t *testing.T) {
	if raceEnabled {
		t.Skip("skipped: times mean nothing under the race detector")
	}
	most := max(time.Millisecond/2, 5*pace())
	const all = 1 << 30
	for name, text := range map[string]string{
		"items": list(all, always("1")), "arrays": list(all, always("[1]")), "deep": list(all, always("[[[[[[[[[[[[[[]]]]]]]]]]]]]]")),
		"objects": list(all, always(`{"":1}`)), "escapes": list(all, always(`{"`+strings.Repeat(`\u0061`, 200)+`":1}`)),
	} {
		b := []byte(text)
		var space [maxPointerBytes]byte
		best := time.Hour
		for range 50 { // the best of them is free of what else the machine does
			began := time.Now()
			Refusal{Offset: len(b) - 1}.AppendPointer(space[:0], b)
			best = min(best, time.Since(began))
		}
		t.Logf("%-10s %v", name, best)
		if best > most {
			t.Errorf("%s: %v, want at most %v", name, best, most)
		}
	}
}

func FuzzPointer(f *testing.F) {
	for _, text := range samples() {
		f.Add([]byte(text), 5)
	}
	f.Add([]byte(`{"a":1,"`), 7)
	f.Add([]byte(`[1,{"a`), 6)
	f.Add([]byte(`{"x":1,"\u0061":"y","`+"\xff"+`":[{"b":{"c/~":[1,2,3]}}]}`), -1)
	f.Add([]byte(`{"b":{"a":1}, "c" : {"`+"\u2028"+`":[[1],[1,2,3]], "a" : "\ud83d\ude00"}}`), 1<<40)
	s, err := Compile([]byte(`{"items":{"maxItems":2},"properties":{"a":{"type":"string"}},"additionalProperties":{"$ref":"#"}}`))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text []byte, offset int) {
		Refusal{Offset: offset}.AppendPointer(nil, text)
		var v Validator
		for _, lim := range []Limits{usual, {Depth: 4, Members: 2}} {
			r := s.Validate(&v, text, lim)
			if r.Fault == nil {
				continue
			}
			if r.Offset < 0 || r.Offset > len(text) {
				t.Fatalf("%q: refused at %d", text, r.Offset)
			}
			if p := r.AppendPointer(nil, text); len(p) > maxPointerBytes || !utf8.Valid(p) {
				t.Fatalf("%q: %q", text, p)
			}
		}
	})
}
