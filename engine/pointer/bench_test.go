package pointer

import "testing"

func BenchmarkScalar(b *testing.B) {
	p, err := Parse("/data/symbol")
	if err != nil {
		b.Fatal(err)
	}
	text := []byte(`{"time":1735689600000,"data":{"price":101.25,"tags":["a","b"],"symbol":"ACME"}}`)
	b.ReportAllocs()
	for b.Loop() {
		if string(p.Scalar(text)) != `"ACME"` {
			b.Fatal("not found")
		}
	}
}
