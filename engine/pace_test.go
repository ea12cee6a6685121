package engine

import (
	"crypto/tls"
	"fmt"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
)

func TestPace(t *testing.T) {
	p := newPace(8)
	calm := func(ticks int) (n int) {
		for range ticks {
			n = p.next(false)
		}
		return n
	}
	for i, step := range []struct{ got, want int }{
		{calm(3 * paceCalm), 8}, {p.next(true), 4}, {p.next(true), 2}, {p.next(true), 1}, {p.next(true), 1},
		{calm(paceCalm - 1), 1}, {calm(1), 2}, {calm(paceCalm - 1), 2}, {p.next(true), 1}, {calm(paceCalm), 2}, {calm(100 * paceCalm), 8},
	} {
		if step.got != step.want {
			t.Errorf("step %d: %d, want %d", i, step.got, step.want)
		}
	}
	one := newPace(1)
	if one.next(true) != 1 || one.next(false) != 1 {
		t.Error("one core is not one slot")
	}
}

// TestLateLoops: a loop that does not come when it is called, or came late, leaves handshakes fewer cores.
func TestLateLoops(t *testing.T) {
	s := start(t, nil)
	sh := s.shards[0]
	release := make(chan struct{})
	held := make(chan struct{})
	sh.post(post{order: func(*shard) { close(held); <-release }})
	<-held
	if sh.woken.Swap(0); sh.rouse(1) {
		t.Error("it was not called before")
	}
	if sh.rouse(1 + int64(loopLate)) {
		t.Error("not late yet")
	}
	if !sh.rouse(2 + int64(loopLate)) {
		t.Error("it does not come")
	}
	close(release)

	var came shard
	for _, turn := range []struct{ woken, now, lag int64 }{{1, 6, 5}, {10, 12, 5}, {0, 100, 5}, {100, 107, 7}} {
		came.woken.Store(turn.woken)
		came.now = turn.now
		if came.roused(); came.lag.Load() != turn.lag || came.woken.Load() != 0 {
			t.Errorf("called at %d, there at %d: late by %d, want %d", turn.woken, turn.now, came.lag.Load(), turn.lag)
		}
	}
}

// certGate is a GetCertificate that holds handshakes where they begin to compute, while it is closed.
type certGate struct {
	cert    *tls.Certificate
	mu      sync.Mutex
	closed  chan struct{} // nil: open
	waiting atomic.Int64
}

func (g *certGate) certificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	g.mu.Lock()
	closed := g.closed
	g.mu.Unlock()
	if closed != nil {
		g.waiting.Add(1)
		<-closed
	}
	return g.cert, nil
}

func (g *certGate) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = make(chan struct{})
}

func (g *certGate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	close(g.closed)
	g.closed = nil
}

// silentHello sends a whole hello from an address and then nothing.
func (s *testServer) silentHello(t testing.TB, from string) net.Conn {
	t.Helper()
	d := net.Dialer{Timeout: testWait, LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	wire, err := d.Dial("tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = wire.Close() })
	if _, err := wire.Write(helloBytes(t)); err != nil {
		t.Fatal(err)
	}
	return wire
}

// helloBytes is what crypto/tls says first.
func helloBytes(t testing.TB) []byte {
	t.Helper()
	near, far := net.Pipe()
	defer far.Close()
	go func() {
		_ = tls.Client(near, &tls.Config{ServerName: "localhost"}).Handshake() // ends with the pipe
		_ = near.Close()
	}()
	b := make([]byte, 16<<10)
	n, err := far.Read(b)
	if err != nil {
		t.Fatal(err)
	}
	return b[:n]
}

// TestHandshakeOverload: with every computing slot taken and ten times as many hellos as there is room for, all from one
// address that says nothing more, whoever is connected is served, the newest hellos are begun first, and fresh clients get
// through: those of another address, and those of this one.
func TestHandshakeOverload(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("skipped: clients with addresses of their own on loopback (Linux only)")
	}
	const room, perPrefix, hellos, connected, fresh = 40, 20, 10 * 40, 8, 5
	g := &certGate{}
	s := start(t, func(c *Config) {
		g.cert = &c.TLS.Certificates[0]
		c.TLS = &tls.Config{GetCertificate: g.certificate}
		c.Limits.HandshakesMax, c.Limits.IPHandshakes, c.Limits.IPConnections = room, perPrefix, 0
		c.AllowAnonymous = true
	})
	var there []*client
	for range connected {
		there = append(there, s.connected(t, sign(t, "alice", "feeds:*")))
		there[len(there)-1].mustDo(`"subscribe":{"channel":"feeds:a"}`)
	}
	serves := func(when string) {
		t.Helper()
		s.api("publish", `{"channel":"feeds:a","data":"`+when+`"}`)
		for _, c := range there {
			if line := c.mustNext(); line == "" {
				t.Errorf("%s: nothing", when)
			}
			c.mustDo(`"publish":{"channel":"open:x","data":1}`)
		}
	}
	g.close()
	before := s.shared.pool.Counters().Started
	slots := s.shared.pool.Counters().Slots
	for range hellos {
		s.silentHello(t, "127.0.0.2")
	}
	eventually(t, "all hellos", func() bool { return s.shared.pool.Counters().Started == before+hellos })
	c := s.shared.pool.Counters()
	if g.waiting.Load() > int64(slots) || c.InFlight > perPrefix+slots || c.Failed["evicted"] < hellos-perPrefix-uint64(slots) {
		t.Errorf("%d slots: %d compute, %+v", slots, g.waiting.Load(), c)
	}
	serves("under the storm")

	var wg sync.WaitGroup
	errs := make(chan error, 2*fresh)
	for range fresh {
		for _, from := range []string{"127.0.0.1", "127.0.0.2"} {
			wg.Go(func() {
				d := net.Dialer{Timeout: testWait, LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
				wire, err := tls.DialWithDialer(&d, "tcp", s.Addr().String(), s.tlsConfig())
				if err != nil {
					errs <- fmt.Errorf("%s: %w", from, err)
					return
				}
				_ = wire.Close()
			})
		}
	}
	eventually(t, "fresh hellos", func() bool { return s.shared.pool.Counters().Started == before+hellos+2*fresh })
	serves("still")
	g.open()
	wg.Wait()
	close(errs)
	for err := range errs {
		t.Errorf("a fresh client: %v", err)
	}
	serves("after it")
}
