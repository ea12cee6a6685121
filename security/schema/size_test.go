package schema

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
)

// TestBytes: what a program is said to take is of the order of what the heap grows by.
func TestBytes(t *testing.T) {
	if raceEnabled {
		t.Skip("skipped: the race detector makes everything larger")
	}
	properties := func(n int, rules string) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, `"property%d":%s,`, i, rules)
		}
		return `{"type":"object","properties":{` + strings.TrimSuffix(b.String(), ",") + `}}`
	}
	for name, text := range map[string]string{
		"nothing":  `{}`,
		"small":    properties(8, `{"type":"string","maxLength":8}`),
		"numbers":  properties(500, `{"type":"number","minimum":0,"maximum":1000}`),
		"strings":  properties(500, `{"type":"string","maxLength":80}`),
		"words":    properties(100, `{"enum":["red","green","blue","yellow","black","white"]}`),
		"patterns": `{"prefixItems":[` + strings.TrimSuffix(strings.Repeat(`{"pattern":"^[a-z]{1,40}-[0-9]{1,40}$"},`, 1), ",") + `]}`,
		"objects":  properties(200, `{"type":"object","properties":{"a":{"type":"array","items":{"type":"integer"}}},"required":["a"]}`),
		"choices":  properties(200, `{"anyOf":[{"type":"null"},{"type":"string"},{"type":"integer"}]}`),
	} {
		const copies = 64
		var kept [copies]*Schema
		before := live()
		for i := range kept {
			s, err := Compile([]byte(text))
			if err != nil {
				t.Fatal(err)
			}
			kept[i] = s
		}
		grown := (live() - before) / copies
		if said := kept[0].Bytes(); said < grown/2 || said > 2*grown+4096 {
			t.Errorf("%s: %d bytes are said, the heap grew by %d", name, said, grown)
		}
		runtime.KeepAlive(&kept)
	}
}

// live is what is on the heap and in use.
func live() int {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}
