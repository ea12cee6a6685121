package record

import "testing"

// BenchmarkReference is what the cipher alone takes of Seal256 and Open256.
func BenchmarkReference(b *testing.B) {
	w := newBench(b, suiteAES128GCMSHA256, 256)
	nonce, data := make([]byte, w.aead.NonceSize()), make([]byte, HeaderLen)
	b.Run("seal", func(b *testing.B) {
		for b.Loop() {
			buf := append(w.work[:HeaderLen], w.plain...)
			w.aead.Seal(buf[HeaderLen:HeaderLen], nonce, buf[HeaderLen:], data)
		}
	})
	b.Run("open", func(b *testing.B) {
		sealed := w.aead.Seal(nil, nonce, w.plain, data)
		for b.Loop() {
			buf := append(w.work[:0], sealed...)
			if _, err := w.aead.Open(buf[:0], nonce, buf, data); err != nil {
				b.Fatal(err)
			}
		}
	})
}
