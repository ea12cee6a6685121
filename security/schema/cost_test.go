package schema

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"
)

const costBytes = 64 << 10

// costly are texts of 64 KiB, each the worst for one part of the validator.
func costly() map[string]string {
	fill := func(unit string) string { return strings.Repeat(unit, (costBytes-2)/len(unit)) }
	list := func(unit string) string { return "[" + strings.TrimSuffix(fill(unit+","), ",") + "]" }
	many := func(format string, perObject int) string {
		var b strings.Builder
		b.WriteString("[{")
		for i := 0; b.Len() < costBytes-40; i++ {
			if i > 0 && i%perObject == 0 {
				b.WriteString("},{")
			} else if i > 0 {
				b.WriteByte(',')
			}
			fmt.Fprintf(&b, format, i)
		}
		return b.String() + "}]"
	}
	nested := func(names int) string {
		open := strings.TrimSuffix(object(names), "}") + `,"x":`
		n := costBytes / (len(open) + 1)
		return strings.Repeat(open, n) + "1" + strings.Repeat("}", n)
	}
	return map[string]string{
		"members of one object":       many(`"%x":1`, math.MaxInt),
		"members, 1024 an object":     many(`"%x":1`, 1024),
		"members, 9 an object":        many(`"%x":1`, 9),
		"members, 8 an object":        many(`"%x":1`, 8),
		"escaped names":               many(`"\u0061%x":1`, 1024),
		"escaped short names":         many(`"\/%x":1`, 9),
		"empty names":                 list(`{"":1}`),
		"nested objects of few names": nested(7),
		"nested objects, table":       nested(10),
		"open arrays":                 fill("["),
		"open objects":                fill(`{"":`),
		"empty objects":               list("{}"),
		"empty arrays":                list("[]"),
		"digits":                      list("1"),
		"numbers":                     list("1.7976931348623157e308"),
		"long numbers":                list("0." + strings.Repeat("0", 100) + "1e-200"),
		"strings":                     list(`""`),
		"words":                       list("null"),
		"escapes":                     `"` + fill(`\n`) + `"`,
		"pairs":                       `"` + fill(`\ud83d\ude00`) + `"`,
		"two bytes":                   `"` + fill("é") + `"`,
		"three bytes":                 `"` + fill("漢") + `"`,
		"mixed":                       `"` + fill("aé") + `"`,
		"one name":                    `{"` + fill(`\u0061`)[:60_000] + `":1}`,
		"space":                       fill(" ") + "1",
	}
}

// pace is how long this machine takes to hash costBytes byte by byte: a tenth of
// a millisecond on one of usual speed, and never less than its speed allows.
func pace() time.Duration {
	b := make([]byte, costBytes)
	best := time.Duration(math.MaxInt64)
	for range 50 {
		began := time.Now()
		hash := uint32(2166136261)
		for _, c := range b {
			hash = (hash ^ uint32(c)) * 16777619
		}
		b[0] = byte(hash) // or the loop would be left out
		best = min(best, time.Since(began))
	}
	return best
}

// TestCostliestText: no text of 64 KiB takes over a millisecond, whatever the
// limits are set to (SECURITY.md I1). A slower machine has as much more.
func TestCostliestText(t *testing.T) {
	if raceEnabled {
		t.Skip("skipped: times mean nothing under the race detector")
	}
	most := max(time.Millisecond, 10*pace())
	for name, text := range costly() {
		b := []byte(text)
		if len(b) > costBytes+64 || len(b) < 55_000 {
			t.Fatalf("%s: %d bytes", name, len(b))
		}
		for _, lim := range []Limits{usual, {}} {
			var v Validator
			// Without limits each is read to its end, or it would measure nothing.
			if fault := v.Check(b, Limits{}); fault != nil && !strings.HasPrefix(name, "open ") {
				t.Fatalf("%s: %v", name, fault)
			}
			best := time.Duration(math.MaxInt64)
			for range 50 { // the best of them is free of what else the machine does
				began := time.Now()
				v.Check(b, lim)
				best = min(best, time.Since(began))
			}
			t.Logf("%-28s %+v %v", name, lim, best)
			if best > most {
				t.Errorf("%s %+v: %v, want at most %v", name, lim, best, most)
			}
		}
	}
}

func TestNoAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("skipped: the race detector allocates")
	}
	var v Validator
	gate := func(name, text string, lim Limits) {
		b := []byte(text)
		v.Check(b, lim)
		if n := testing.AllocsPerRun(20, func() { v.Check(b, lim) }); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
	for _, c := range cases {
		gate(c.name, c.text, usual)
	}
	for name, text := range costly() {
		gate(name, text, usual)
		gate(name, text, Limits{})
	}
}

// TestSpaceIsBounded: what a validator keeps follows what was open at one time,
// not how much it has read.
func TestSpaceIsBounded(t *testing.T) {
	var v Validator
	for name, text := range costly() {
		v.Check([]byte(text), usual)
		if n := len(v.names.table); n > 4*costBytes/5 {
			t.Errorf("%s: a table of %d", name, n)
		}
	}
	lim := Limits{Depth: 2, Members: 20}
	v = Validator{}
	for range 100 {
		check := "[" + strings.Repeat(object(20)+",", 100) + "1]"
		if fault := v.Check([]byte(check), lim); fault != nil {
			t.Fatal(fault)
		}
	}
	if cap(v.names.open) > 64 || len(v.names.table) > smallestTable || cap(v.levels) > 8 {
		t.Errorf("names %d, table %d, levels %d", cap(v.names.open), len(v.names.table), cap(v.levels))
	}
}

func BenchmarkCheck(b *testing.B) {
	small := []byte(samples()[0])
	var v Validator
	b.Run("command", func(b *testing.B) {
		b.SetBytes(int64(len(small)))
		for b.Loop() {
			v.Check(small, usual)
		}
	})
	for name, text := range costly() {
		text := []byte(text)
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				v.Check(text, Limits{})
			}
		})
	}
}
