package origin

import (
	"fmt"
	"slices"
	"testing"
)

func parsed(t *testing.T, words ...string) *List {
	t.Helper()
	l, err := Parse(words)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// TestLedger: an origin keeps its ID over every list, and none is another's.
func TestLedger(t *testing.T) {
	var g Ledger
	first := g.Index(parsed(t, "https://a.example", "https://b.example:8443"))
	a, ok := first.Find([]byte("HTTPS://A.example:443"))
	b, okB := first.Find([]byte("https://b.example:8443"))
	if !ok || !okB || a == 0 || b == 0 || a == b || !first.Has(a) || !first.Has(b) {
		t.Fatalf("a is %d, b is %d", a, b)
	}
	for _, other := range []string{"https://b.example", "https://a.example.", "null", "", "http://a.example"} {
		if id, ok := first.Find([]byte(other)); ok || id != 0 {
			t.Errorf("%q is %d", other, id)
		}
	}
	second := g.Index(parsed(t, "https://c.example", "https://a.example"))
	c, _ := second.Find([]byte("https://c.example"))
	if again, ok := second.Find([]byte("https://a.example")); again != a || !ok {
		t.Errorf("a was %d and is %d", a, again)
	}
	if c == a || c == b || second.Has(b) || first.Has(c) || !second.Has(c) || !second.Has(a) {
		t.Errorf("c is %d beside %d and %d", c, a, b)
	}
	var none *Index
	if g.Index(nil) != nil || none.Has(a) || first.Has(0) || none.Has(0) || g.Index(parsed(t)).Has(a) {
		t.Error("nothing holds something")
	}
	if id, ok := none.Find([]byte("https://a.example")); ok || id != 0 {
		t.Error("nothing finds something")
	}
}

// TestLedgerIsBounded: the origins after the last ID are allowed to connect and in no
// list of a namespace.
func TestLedgerIsBounded(t *testing.T) {
	var g Ledger
	l := &List{allowed: map[string]struct{}{}}
	for i := range 1<<16 + 5 {
		l.allowed[fmt.Sprintf("https://a%d.example", i)] = struct{}{}
	}
	x := g.Index(l)
	without := 0
	for o := range l.allowed {
		id, ok := x.Find([]byte(o))
		if !ok {
			t.Fatalf("%s is not found", o)
		}
		if id == 0 {
			without++
		} else if !x.Has(id) {
			t.Fatalf("%s has %d, which is in no list", o, id)
		}
	}
	if without != 6 || len(slices.Compact(x.ids)) != 1<<16-1 {
		t.Errorf("%d without an ID, %d with", without, len(x.ids))
	}
}

func TestWithout(t *testing.T) {
	all := parsed(t, "https://a.example", "https://b.example")
	for _, c := range []struct {
		l, other *List
		want     []string
	}{
		{nil, nil, nil}, {nil, all, nil}, {all, all, nil}, {parsed(t, "https://B.example:443"), all, nil}, {all, nil, []string{"https://a.example", "https://b.example"}},
		{parsed(t, "https://z.example", "https://c.example", "https://a.example"), all, []string{"https://c.example", "https://z.example"}},
	} {
		if got := c.l.Without(c.other); !slices.Equal(got, c.want) {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}

func TestFindDoesNotAllocate(t *testing.T) {
	var g Ledger
	x := g.Index(parsed(t, "https://a.example", "https://b.example"))
	id, _ := x.Find([]byte("https://b.example"))
	for _, o := range []string{"https://a.example", "HTTPS://B.EXAMPLE:443", "https://evil.example", "null"} {
		raw := []byte(o)
		if n := testing.AllocsPerRun(100, func() { x.Find(raw); x.Has(id) }); n != 0 {
			t.Errorf("%s: %v allocations", o, n)
		}
	}
}
