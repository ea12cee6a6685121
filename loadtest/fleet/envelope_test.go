package fleet

import (
	"strings"
	"testing"

	"weir/loadtest/dialect"
)

func TestEnvelopes(t *testing.T) {
	for _, c := range []struct {
		name       string
		d          dialect.Dialect
		line       string // P is the payload
		whole, own bool
	}{
		{"a push", dialect.Weir, `{"push":{"channel":"a1","pub":{"data":P,"offset":5}}}`, true, true},
		{"the next", dialect.Weir, `{"push":{"channel":"a1","pub":{"data":P,"offset":16}}}`, true, true},
		{"without a position", dialect.Weir, `{"push":{"channel":"a1","pub":{"data":P}}}`, true, true},
		{"of another channel", dialect.Weir, `{"push":{"channel":"a2","pub":{"data":P,"offset":5}}}`, true, false},
		{"cut", dialect.Weir, `{"push":{"channel":"a1","pub":{"data":P,"offset":5}}`, false, false},
		{"with more", dialect.Weir, `{"push":{"channel":"a1","pub":{"data":P,"offset":5}}}}`, false, false},
		{"a number that is none", dialect.Weir, `{"push":{"channel":"a1","pub":{"data":P,"offset":05}}}`, false, false},
		{"without its number", dialect.Weir, `{"push":{"channel":"a1","pub":{"data":P,"offset":}}}`, false, false},
		{"of a feed", dialect.Feed, `{"channel":"a1","offset":5,"epoch":"x","data":P}`, true, true},
		{"of a feed, another channel", dialect.Feed, `{"channel":"a2","offset":5,"epoch":"x","data":P}`, true, false},
		{"of a feed, cut", dialect.Feed, `{"channel":"a1","offset":5,"epoch":"x","data":P`, false, false},
		{"an echo", dialect.Echo, `P`, true, true},
		{"an echo with more", dialect.Echo, `P `, false, true},
	} {
		learned, plan := envelope{}, &Plan{Channel: "a", dialect: c.d}
		if c.d != dialect.Echo { // what is right is known already
			first := map[dialect.Dialect]string{
				dialect.Weir: `{"push":{"channel":"a1","pub":{"data":P,"offset":4}}}`, dialect.Feed: `{"channel":"a1","offset":4,"epoch":"x","data":P}`,
			}[c.d]
			before, behind, _ := strings.Cut(first, "P")
			if whole, own := learned.holds(plan, 1, []byte(before+"{}"+behind), []byte(before), []byte(behind)); !whole || !own {
				t.Fatal("the first is refused")
			}
		}
		for _, e := range []*envelope{{}, &learned} {
			before, behind, _ := strings.Cut(c.line, "P")
			line := []byte(before + "{}" + behind)
			if whole, own := e.holds(plan, 1, line, []byte(before), []byte(behind)); whole != c.whole || own != c.own && c.whole {
				t.Errorf("%s: whole %t, own %t", c.name, whole, own)
			}
		}
	}
}

func TestEnvelopesThatAreKnownCostNoAllocation(t *testing.T) {
	var e envelope
	plan := &Plan{Channel: "a", dialect: dialect.Weir}
	before, behind := []byte(`{"push":{"channel":"a1","pub":{"data":`), []byte(`,"offset":5}}}`)
	line := append(append(append([]byte(nil), before...), "{}"...), behind...)
	e.holds(plan, 1, line, before, behind)
	if n := testing.AllocsPerRun(100, func() {
		if whole, own := e.holds(plan, 1, line, before, behind); !whole || !own {
			t.Fatal("refused")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
