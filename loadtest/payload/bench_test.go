package payload

import "testing"

func BenchmarkAppend(b *testing.B) {
	buf := make([]byte, 0, 256)
	b.ReportAllocs()
	for b.Loop() {
		Append(buf, Publication{Stream: 1, Seq: 2, Due: 3}, 256)
	}
}

func BenchmarkNext(b *testing.B) {
	message := append(Append([]byte(`{"push":{"channel":"feeds:a","pub":{"data":`), Publication{Stream: 1, Seq: 2, Due: 3}, 256), `,"offset":5}}}`...)
	b.SetBytes(int64(len(message)))
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := Next(message); err != nil {
			b.Fatal(err)
		}
	}
}
