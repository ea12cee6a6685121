package hub

import (
	"strings"
	"testing"

	"weir/engine/clientproto"
)

var someone = &clientproto.ClientInfo{User: "u", Client: "c"}

func TestEventsGoToShardsWithWatchers(t *testing.T) {
	h, in := newHub(3, 100, 1<<20)
	a := h.Join(0, "a", Protocol)
	h.Join(1, "a", Protocol)
	h.Joined(a, someone)
	if in[0].Len()+in[1].Len() != 0 {
		t.Fatal("told to nobody, and yet encoded")
	}
	one := a.Watch(1, Member{Slot: 7})
	two := a.Watch(1, Member{Slot: 8})
	h.Joined(a, someone)
	h.Deliver(publication("a", 1))
	h.Left(a, someone)
	got := in[1].Take(nil).Deliveries
	if in[0].Len() != 1 || in[2].Len() != 0 || len(got) != 3 {
		t.Fatalf("%d, %d and %d deliveries; want the publication, and joins where somebody watches", in[0].Len(), len(got), in[2].Len())
	}
	if got[0].Event == nil || got[1].Event != nil || got[2].Event == nil || got[0].Offset != 0 || got[0].Event.Topic != a.ID {
		t.Fatal("not in the order in which they came")
	}
	payload := `{"push":{"channel":"a","leave":{"info":{"user":"u","client":"c"}}}}`
	if want := "\x81" + string(rune(len(payload))) + payload; string(got[2].Event.Plain) != want {
		t.Fatalf("the frame is\n%q, want\n%q", got[2].Event.Plain, want)
	}
	if moved, ok := a.Unwatch(1, one); !ok || moved.Slot != 8 {
		t.Fatalf("%+v (%v) took the place of the first", moved, ok)
	}
	h.Joined(a, someone)
	a.Unwatch(1, one)
	h.Joined(a, someone)
	if n := in[1].Len(); n != 1 || two != 1 {
		t.Fatalf("%d deliveries; want one, of when there was a watcher", n)
	}
}

// TestEventsGiveWay: joins and leaves take a quarter of an inbox at most and are
// counted when dropped; no channel falls behind for them.
func TestEventsGiveWay(t *testing.T) {
	for _, c := range []struct {
		name           string
		entries, bytes int
	}{{"entries", 40, 1 << 20}, {"bytes", 1000, 40 * 60}} {
		h, in := newHub(1, c.entries, c.bytes)
		a := h.Join(0, "a", Protocol)
		for range 3 {
			a.Watch(0, Member{})
		}
		for range 40 {
			h.Joined(a, someone)
		}
		kept := in[0].Len()
		for i := range uint64(15) {
			h.Deliver(publication("a", i+1))
		}
		taken := in[0].Take(nil)
		if kept == 0 || kept > 10 || len(taken.Deliveries) != kept+15 || taken.Behind != nil || taken.Lost != 0 {
			t.Fatalf("%s: %d joins and %d publications, %d behind", c.name, kept, len(taken.Deliveries)-kept, len(taken.Behind))
		}
		if taken.Untold != uint64(3*(40-kept)) {
			t.Fatalf("%s: %d untold, want %d", c.name, taken.Untold, 3*(40-kept))
		}
		if again := in[0].Take(nil); again.Untold != 0 {
			t.Fatalf("%s: counted twice", c.name)
		}
	}
}

func TestEventIsDeflatedForWhoTakesThat(t *testing.T) {
	h, in := newHub(1, 100, 1<<20)
	a := h.Join(0, "a", Delta)
	a.Watch(0, Member{})
	h.CompressFor(Protocol, 1)
	h.Joined(a, &clientproto.ClientInfo{User: strings.Repeat("u", 500)})
	if f := in[0].Take(nil).Deliveries[0].Event; f.Deflated == nil || len(f.Deflated) > 200 {
		t.Fatal("a long join is not compressed")
	}
}
