package engine

import (
	"testing"
	"unsafe"
)

// TestBytesOfAConnection: what every connection has, whatever it does, is a million
// times there on a large node. A field more is a decision: what only a connection has
// that is being established, is receiving or is slow belongs behind a pointer.
func TestBytesOfAConnection(t *testing.T) {
	const budget = 680
	if n := unsafe.Sizeof(conn{}); n > budget {
		t.Errorf("%d bytes, at most %d", n, budget)
	}
	const page = 8 << 10 // of the allocator, which gives whole ones to what is larger than 32 KiB
	chunk := unsafe.Sizeof([slabChunk]conn{})
	if lost := (chunk+page-1)/page*page - chunk; lost > 4*slabChunk {
		t.Errorf("a chunk of connections leaves %d bytes unused", lost)
	}
}
