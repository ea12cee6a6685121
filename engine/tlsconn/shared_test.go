package tlsconn

import (
	"crypto/cipher"
	"crypto/tls"
	"runtime"
	"testing"
	"time"
)

// many are server ends with one Shared.
func many(t testing.TB, n, cacheBytes int) ([]*Conn, *Shared) {
	t.Helper()
	s := NewShared(cacheBytes)
	conns := make([]*Conn, n)
	for i := range conns {
		e, _ := pair(t, tls.TLS_AES_128_GCM_SHA256, 0)
		conns[i] = &e.Conn
	}
	return conns, s
}

// keeps reports whether a cipher is kept for a direction.
func (c *Conn) keeps(d direction) bool { return c.extra != nil && c.extra.aeads[d] != nil }

func use(c *Conn, s *Shared) { c.Seal(s, make([]byte, 10, 100), 0) }

func TestCipherOfAnIdleConnectionIsNotKept(t *testing.T) {
	conns, s := many(t, 1, 1<<20)
	now := time.Unix(1e9, 0)
	for range 10 { // now and then, as for a ping
		s.Tick(now, false)
		use(conns[0], s)
		if s.Held() != 0 {
			t.Fatal("kept")
		}
		now = now.Add((steadyFor + 1) * time.Second)
	}
}

// TestCipherOfASteadyReaderIsKept: whoever is told of something every few seconds has it from the second time on, until steadyFor
// after the last.
func TestCipherOfASteadyReaderIsKept(t *testing.T) {
	for every := 1; every <= steadyFor; every++ {
		conns, s := many(t, 1, 1<<20)
		now := time.Unix(1e9, 0)
		for i := range 10 * every {
			s.Tick(now, false)
			if i%every == 0 {
				use(conns[0], s)
			}
			if kept := s.Held() > 0; kept != (i >= every) {
				t.Fatalf("used every %d s, kept after %d s: %t", every, i, kept)
			}
			now = now.Add(time.Second)
		}
		for i := every - 1; i <= steadyFor; i++ { // since the last use
			if s.Held() == 0 {
				t.Fatalf("used every %d s: gone %d s after the last use", every, i)
			}
			s.Tick(now, false)
			now = now.Add(time.Second)
		}
		if s.Held() != 0 {
			t.Errorf("used every %d s: kept without use", every)
		}
	}
}

// TestTightMemoryKeepsNoSteadyReaders: under pressure only those in use every second keep theirs.
func TestTightMemoryKeepsNoSteadyReaders(t *testing.T) {
	conns, s := many(t, 2, 1<<20)
	now := time.Unix(1e9, 0)
	step := func(tight bool, used ...*Conn) {
		s.Tick(now, tight)
		for _, c := range used {
			use(c, s)
		}
		now = now.Add(time.Second)
	}
	for range 10 {
		step(false, conns...)
		step(false, conns[1])
	}
	if !conns[0].keeps(writing) || !conns[1].keeps(writing) {
		t.Fatal("not kept before")
	}
	for range 10 {
		step(true, conns...)
		step(true, conns[1])
		if conns[0].keeps(writing) || !conns[1].keeps(writing) {
			t.Fatal("it must be kept of who is told of something every second, and only of those")
		}
	}
	step(true, conns...)
}

// TestSteadyReadersDoNotDisplaceEachOther: with more of them than there is room for, those that have it keep it.
func TestSteadyReadersDoNotDisplaceEachOther(t *testing.T) {
	const places = 10
	conns, s := many(t, 3*places, places*cipherBytes(tls.TLS_AES_128_GCM_SHA256))
	now := time.Unix(1e9, 0)
	for range 10 {
		for _, some := range [][]*Conn{conns[:places], conns[places:]} {
			s.Tick(now, false)
			for _, c := range some {
				use(c, s)
			}
			now = now.Add(displaceAfter * time.Second)
		}
	}
	for i, c := range conns {
		if c.keeps(writing) != (i < places) {
			t.Fatalf("connection %d: %t", i, c.keeps(writing))
		}
	}
}

func TestCipherInUseIsKeptThenDropped(t *testing.T) {
	conns, s := many(t, 1, 1<<20)
	now := time.Unix(1e9, 0)
	s.Tick(now, false)
	use(conns[0], s)
	s.Tick(now.Add(time.Second), false)
	use(conns[0], s)
	if s.Held() == 0 {
		t.Fatal("used in two seconds that follow: not kept")
	}
	for i := range 2 {
		s.Tick(now.Add(time.Duration(i+1)*time.Second), false)
		use(conns[0], s)
		if s.Held() == 0 {
			t.Fatal("dropped while in use")
		}
	}
	for i := range keptFor + 1 {
		s.Tick(now.Add(time.Duration(i+3)*time.Second), false)
	}
	if s.Held() != 0 || len(s.kept) != 0 {
		t.Error("kept without use")
	}
	use(conns[0], s)
}

// TestCiphersOfAStormAreGoneTogether: CiphersIdle after their last use none is left, however many they were.
func TestCiphersOfAStormAreGoneTogether(t *testing.T) {
	conns, s := many(t, 40, 1<<20)
	now := time.Unix(1e9, 0)
	s.Tick(now, false)
	for _, c := range conns {
		use(c, s)
		use(c, s)
	}
	s.Tick(now.Add(CiphersIdle-time.Second), false)
	if want := len(conns) * cipherBytes(tls.TLS_AES_128_GCM_SHA256); s.Held() != want {
		t.Fatalf("%d bytes kept a second after use, want %d", s.Held(), want)
	}
	use(conns[7], s)
	s.Tick(now.Add(CiphersIdle), false)
	if len(s.kept) != 1 || !conns[7].keeps(writing) {
		t.Errorf("%d connections keep ciphers, want only the one in use", len(s.kept))
	}
	s.Tick(now.Add(CiphersIdle+time.Second), false)
	if s.Held() != 0 || len(s.kept) != 0 {
		t.Errorf("%d bytes of %d connections kept without use", s.Held(), len(s.kept))
	}
}

// TestCipherCacheBound: never over the limit; those idle give way, those in use do not.
func TestCipherCacheBound(t *testing.T) {
	const places = 10
	cost := cipherBytes(tls.TLS_AES_128_GCM_SHA256)
	conns, s := many(t, 3*places, places*cost+cost-1)
	now := time.Unix(1e9, 0)
	s.Tick(now, false)
	for range 3 {
		for _, c := range conns {
			use(c, s)
			if s.Held() > s.limit {
				t.Fatalf("%d bytes kept, limit %d", s.Held(), s.limit)
			}
		}
	}
	if s.Held() != places*cost {
		t.Fatalf("%d bytes kept, want %d", s.Held(), places*cost)
	}
	for i, c := range conns {
		if (c.keeps(writing)) != (i < places) {
			t.Fatalf("connection %d: one in use gave way", i)
		}
	}
	now = now.Add(2 * time.Second)
	s.clock = uint32(now.Unix()) // without the sweep of Tick
	for range 2 {
		for _, c := range conns[places:] {
			use(c, s)
		}
	}
	kept := 0
	for _, c := range conns[places:] {
		if c.keeps(writing) {
			kept++
		}
	}
	if kept != places || s.Held() != places*cost {
		t.Errorf("%d of the new ones kept, %d bytes", kept, s.Held())
	}
	for _, c := range conns {
		c.Wipe(s)
	}
	if s.Held() != 0 || len(s.kept) != 0 {
		t.Errorf("after Wipe: %d bytes, %d listed", s.Held(), len(s.kept))
	}
}

func TestCipherCacheOfNothing(t *testing.T) {
	conns, s := many(t, 1, 0)
	for range 10 {
		use(conns[0], s)
	}
	if s.Held() != 0 || conns[0].keeps(writing) {
		t.Error("kept")
	}
}

// TestClockStepsBack: a wall clock set back must neither keep ciphers for ever nor break anything.
func TestClockStepsBack(t *testing.T) {
	conns, s := many(t, 1, 1<<20)
	now := time.Unix(1e9, 0)
	s.Tick(now, false)
	use(conns[0], s)
	use(conns[0], s)
	now = now.Add(-time.Hour)
	s.Tick(now, false)
	if s.Held() != 0 {
		t.Error("kept by a clock that was set back")
	}
	use(conns[0], s)
	use(conns[0], s)
	if s.Held() == 0 {
		t.Error("not kept after the step")
	}
}

// TestCipherBytes: the figure that the bound is counted with is the heap's.
func TestCipherBytes(t *testing.T) {
	if raceDetector {
		t.Skip("skipped: heap sizes mean nothing under the race detector")
	}
	const n = 2000
	for _, suite := range suites13() {
		e, _ := pair(t, suite, 0)
		kept := make([]cipher.AEAD, n)
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		for i := range kept {
			kept[i] = e.keys[writing].AEAD()
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		each := int(after.HeapAlloc-before.HeapAlloc) / n
		if want := cipherBytes(suite); each > want || each < want/2 {
			t.Errorf("%s: a cipher takes %d bytes, counted as %d", tls.CipherSuiteName(suite), each, want)
		}
		runtime.KeepAlive(kept)
	}
}
