package session

import (
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

// TestBytesOfASession: the allocator rounds what is more to 112.
func TestBytesOfASession(t *testing.T) {
	if n := unsafe.Sizeof(Session{}); n > 96 {
		t.Errorf("%d bytes", n)
	}
}
