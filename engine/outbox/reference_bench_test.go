package outbox

import "testing"

// BenchmarkReference is a queue that the language has.
func BenchmarkReference(b *testing.B) {
	queue := make(chan *Frame, 16)
	f := frame(256, 1)
	for b.Loop() {
		queue <- f
		<-queue
	}
}
