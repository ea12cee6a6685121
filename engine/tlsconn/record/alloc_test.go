package record

import (
	"crypto/cipher"
	"testing"
)

// bench holds a pair of Keys whose sequence numbers do not move, so that one record can be opened over and over.
type bench struct {
	k     Key
	aead  cipher.AEAD
	s     Scratch
	rec   []byte // sealed under sequence number 0
	work  []byte
	plain []byte
}

func newBench(t testing.TB, suite uint16, size int) *bench {
	k, peer := pair(t, suite)
	b := &bench{k: k, aead: k.AEAD(), plain: make([]byte, size)}
	b.rec = peer.seal(append(make([]byte, size), byte(ApplicationData)))
	b.work = make([]byte, 0, size+Overhead)
	return b
}

func (b *bench) seal() {
	buf := append(b.work[:HeaderLen], b.plain...)
	b.k.Seal(&b.s, b.aead, buf, 0, ApplicationData)
}

func (b *bench) open(rec []byte) *Violation {
	b.work = append(b.work[:0], rec...)
	b.k.seq = 0
	_, _, v := b.k.Open(&b.s, b.aead, b.work)
	return v
}

func TestNoAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("allocations are counted without the race detector")
	}
	for _, suite := range suites {
		b := newBench(t, suite, 1000)
		tampered := append([]byte(nil), b.rec...)
		tampered[100] ^= 1
		overflow := []byte{23, 3, 3, 0x41, 1}
		gates := []struct {
			name string
			run  func()
		}{
			{"seal", b.seal},
			{"open", func() {
				if b.open(b.rec) != nil {
					t.Fatal("refused")
				}
			}},
			{"refuse a forged record", func() {
				if b.open(tampered) != ErrBadRecordMAC {
					t.Fatal("accepted")
				}
			}},
			{"refuse a length", func() {
				if _, v := Split(overflow); v != ErrRecordOverflow {
					t.Fatal("accepted")
				}
			}},
		}
		for _, g := range gates {
			if n := testing.AllocsPerRun(100, g.run); n != 0 {
				t.Errorf("suite %#x: %s allocates %v times", suite, g.name, n)
			}
		}
	}
}

func BenchmarkSeal256(b *testing.B) {
	w := newBench(b, suiteAES128GCMSHA256, 256)
	b.ReportAllocs()
	for b.Loop() {
		w.seal()
	}
}

func BenchmarkSeal256MakingTheAEAD(b *testing.B) {
	w := newBench(b, suiteAES128GCMSHA256, 256)
	b.ReportAllocs()
	for b.Loop() {
		w.aead = w.k.AEAD()
		w.seal()
	}
}

func BenchmarkOpen256(b *testing.B) {
	w := newBench(b, suiteAES128GCMSHA256, 256)
	b.ReportAllocs()
	for b.Loop() {
		w.open(w.rec)
	}
}

func BenchmarkUpdate(b *testing.B) {
	k, _ := pair(b, suiteAES128GCMSHA256)
	b.ReportAllocs()
	for b.Loop() {
		k.Update()
	}
}
