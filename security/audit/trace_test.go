package audit

import (
	"strings"
	"testing"
)

const goodTrace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

func TestParseTrace(t *testing.T) {
	trace, ok := ParseTrace([]byte(goodTrace))
	if !ok || trace.ID[0] != 0x4b || trace.Parent[7] != 0xb7 || trace.Flags != 1 {
		t.Fatalf("%+v, %v", trace, ok)
	}
	for _, s := range []string{"cc" + goodTrace[2:], "cc" + goodTrace[2:] + "-more"} {
		if _, ok := ParseTrace([]byte(s)); !ok {
			t.Errorf("%q: a later version is refused", s)
		}
	}
	for _, s := range []string{
		"", strings.ToUpper(goodTrace), "ff" + goodTrace[2:], goodTrace + "-more", goodTrace + "x", "cc" + goodTrace[2:] + "x",
		strings.ReplaceAll(goodTrace, "-", "_"), "zz" + goodTrace[2:], "00-" + strings.Repeat("0", 32) + goodTrace[35:],
		goodTrace[:36] + strings.Repeat("0", 16) + goodTrace[52:], "cc" + goodTrace[2:] + "-" + strings.Repeat("x", 200),
	} {
		if got, ok := ParseTrace([]byte(s)); ok || got != (Trace{}) {
			t.Errorf("%q: %+v", s, got)
		}
	}
	for n := range goodTrace {
		if _, ok := ParseTrace([]byte(goodTrace[:n])); ok {
			t.Errorf("%q is taken", goodTrace[:n])
		}
	}
}

func FuzzTrace(f *testing.F) {
	f.Add([]byte(goodTrace))
	f.Fuzz(func(t *testing.T, b []byte) {
		if trace, ok := ParseTrace(b); ok != (trace != Trace{}) {
			t.Errorf("%q: %+v, %v", b, trace, ok)
		}
	})
}
