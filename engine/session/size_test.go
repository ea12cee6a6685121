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

// TestSeconds: what does not fit four bytes is never, or as late as they go.
func TestSeconds(t *testing.T) {
	for at, want := range map[int64]uint32{-1: 0, 0: 0, 1: 1, 1_800_000_000: 1_800_000_000, 1<<32 - 1: 1<<32 - 1, 1 << 32: 1<<32 - 1, 253402300799: 1<<32 - 1} {
		if got := seconds(at); got != want {
			t.Errorf("%d is %d, want %d", at, got, want)
		}
	}
}
