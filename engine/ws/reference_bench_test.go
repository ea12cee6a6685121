package ws

import (
	"crypto/subtle"
	"testing"
)

// BenchmarkReference is 64 KiB copied and XORed as the library does it: what
// unmasking the text of Next alone must take.
func BenchmarkReference(b *testing.B) {
	from, buf, mask := make([]byte, 64<<10), make([]byte, 64<<10), make([]byte, 64<<10)
	b.SetBytes(64 << 10)
	for b.Loop() {
		copy(buf, from)
		subtle.XORBytes(buf, buf, mask)
	}
}
