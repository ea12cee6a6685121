package poll

import (
	"io"
	"testing"
	"time"
)

// TestNoAllocations: neither a byte that is taken nor one that is refused allocates.
func TestNoAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("skipped: the race detector allocates")
	}
	s := &server{data: func(c *Conn, b []byte) { _ = c.Write(b) }}
	l := s.start(t, LoopConfig{MaxUnsent: 1 << 10})
	ours, theirs := pair(t)
	if err := l.Add(ours); err != nil {
		t.Fatal(err)
	}
	c := s.only()
	b := make([]byte, 64)
	never := func(what string, f func()) {
		t.Helper()
		f()
		if n := testing.AllocsPerRun(200, f); n != 0 {
			t.Errorf("%s allocates %v times", what, n)
		}
	}
	never("an echo, through data, Write and nbio", func() {
		if _, err := theirs.Write(b); err != nil {
			t.Error(err)
		}
		if _, err := io.ReadFull(theirs, b); err != nil {
			t.Error(err)
		}
	})
	s.run(func() { never("Write", func() { _ = c.Write(b) }) })
	turned := make(chan struct{}, 1)
	s.run(func() {
		s.wake = func(time.Time) {
			select {
			case turned <- struct{}{}:
			default:
			}
		}
	})
	never("Wake and its turn", func() { l.Wake(); <-turned })
	s.run(func() {
		c.Abort()
		never("a refused Write", func() {
			if c.Write(b) != ErrClosed {
				t.Error("not refused")
			}
		})
	})
}

func BenchmarkEcho(b *testing.B) {
	s := &server{data: func(c *Conn, b []byte) { _ = c.Write(b) }}
	l := s.start(b, LoopConfig{})
	ours, theirs := pair(b)
	if err := l.Add(ours); err != nil {
		b.Fatal(err)
	}
	buf := make([]byte, 256)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := theirs.Write(buf); err != nil {
			b.Fatal(err)
		}
		if _, err := io.ReadFull(theirs, buf); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkWrite is one write of 256 bytes to a peer that reads, without pacing by BBR.
func BenchmarkWrite(b *testing.B) {
	s := &server{}
	l := s.start(b, LoopConfig{MaxUnsent: 1 << 20})
	theirs := dial(b, serve(b, ListenConfig{Congestion: "reno"}, l).Addr())
	_ = theirs.SetDeadline(time.Time{})
	go func() { _, _ = io.CopyBuffer(io.Discard, struct{ io.Reader }{theirs}, make([]byte, 1<<20)) }()
	c := s.only()
	buf := make([]byte, 256)
	const batch = 64
	var spent time.Duration // inside Write
	for range b.N {
		s.await(func() bool { return c.Unsent() == 0 })
		s.run(func() {
			start := time.Now()
			for range batch {
				_ = c.Write(buf)
			}
			spent += time.Since(start)
		})
	}
	b.ReportMetric(float64(spent.Nanoseconds())/float64(b.N)/batch, "ns/write")
	b.ReportMetric(0, "ns/op")
	s.run(c.Abort)
}

// BenchmarkAccept is accept, admission, Open, Closed and everything the kernel does for both ends.
func BenchmarkAccept(b *testing.B) {
	s := &server{data: func(c *Conn, _ []byte) { c.Abort() }}
	l := s.start(b, LoopConfig{})
	addr := serve(b, ListenConfig{}, l).Addr()
	b.ReportAllocs()
	for b.Loop() {
		nc := dial(b, addr)
		_, _ = nc.Write([]byte("x"))
		_, _ = nc.Read(make([]byte, 1))
		_ = nc.SetLinger(0)
		_ = nc.Close()
	}
}
