package session

import (
	"regexp"
	"testing"
)

func TestClientID(t *testing.T) {
	v4 := regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)
	seen := make(map[ClientID]bool)
	for range 1000 {
		id := NewClientID()
		if !v4.MatchString(id.String()) || seen[id] {
			t.Fatalf("%q", id)
		}
		if !id.Is(id.String()) || id.Is("") || id.Is(NewClientID().String()) {
			t.Fatalf("%q is another", id)
		}
		seen[id] = true
	}
	if got := (ClientID{0: 1, 15: 255}).String(); got != "01000000-0000-0000-0000-0000000000ff" {
		t.Errorf("%q", got)
	}
	if none := (ClientID{}); none.String() != "" || !none.Is("") || none.Is("00000000-0000-0000-0000-000000000000") {
		t.Errorf("none is %q", none)
	}
	if raceEnabled {
		return
	}
	id := NewClientID()
	text := id.String()
	if n := testing.AllocsPerRun(100, func() { id.Is(text) }); n != 0 {
		t.Errorf("Is allocates %v", n)
	}
}
