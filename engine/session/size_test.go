package session

import (
	"encoding/json"
	"testing"
	"unsafe"

	"weir/engine/hub"
)

// TestBytesOfASubscription: a subscription costs its connection at most 64
// bytes, in the session and in the channel's list.
func TestBytesOfASubscription(t *testing.T) {
	if n := unsafe.Sizeof(Sub{}) + unsafe.Sizeof(hub.Member{}); n > 64 {
		t.Errorf("%d bytes", n)
	}
}

// TestBytesOfASession: it stands in each connection's slot, with room for one subscription.
func TestBytesOfASession(t *testing.T) {
	if n := unsafe.Sizeof(Session{}); n > 104 {
		t.Errorf("%d bytes", n)
	}
}

// TestOneSubscriptionTakesNoMemory: it stands in the session; what several took is let go when one is left.
func TestOneSubscriptionTakesNoMemory(t *testing.T) {
	var s Session
	s.setInfo(json.RawMessage(`1`))
	channels := []*hub.Channel{{Name: "a"}, {Name: "b"}, {Name: "c"}}
	names := func() (list string) {
		for i := range s.Subs() {
			list += s.Sub(i).Channel.Name
		}
		return list + string(s.info())
	}
	for i, step := range []struct {
		change func()
		want   string
		inside bool
	}{
		{func() { s.Add(Sub{Channel: channels[0]}) }, "a1", true},
		{func() { s.Drop(0) }, "1", true},
		{func() { s.Add(Sub{Channel: channels[1]}) }, "b1", true},
		{func() { s.Add(Sub{Channel: channels[0]}) }, "ba1", false},
		{func() { s.Add(Sub{Channel: channels[2]}) }, "bac1", false},
		{func() { s.setInfo(nil) }, "bac", false},
		{func() { s.Drop(0) }, "ca", false},
		{func() { s.setInfo(json.RawMessage(`2`)) }, "ca2", false},
		{func() { s.Drop(1) }, "c2", true},
		{func() { s.setInfo(nil) }, "c", true},
		{func() { s.Drop(0) }, "", true},
	} {
		step.change()
		if got := names(); got != step.want {
			t.Fatalf("%d: %q, want %q", i, got, step.want)
		}
		if inside := s.more == nil || s.more.subs == nil; inside != step.inside || inside && len(s.Subs()) == 1 && s.Sub(0) != &s.only[0] {
			t.Errorf("%d: inside is %v", i, inside)
		}
	}
	if s != (Session{}) {
		t.Errorf("%+v is left", s)
	}
	if n := testing.AllocsPerRun(100, func() { s.Add(Sub{Channel: channels[0]}); s.Drop(0) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

// TestSeconds: what does not fit four bytes is never, or as late as they go.
func TestSeconds(t *testing.T) {
	for at, want := range map[int64]uint32{-1: 0, 0: 0, 1: 1, 1_800_000_000: 1_800_000_000, 1<<32 - 1: 1<<32 - 1, 1 << 32: 1<<32 - 1, 253402300799: 1<<32 - 1} {
		if got := seconds(at); got != want {
			t.Errorf("%d is %d, want %d", at, got, want)
		}
	}
}
