package tlsconn

import (
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"weir/engine/tlsconn/record"
)

// quiet is a Sink that counts.
type quiet struct {
	mu     sync.Mutex
	done   map[uint64]*Handshake
	more   chan uint64 // tags as they are done
	twice  bool
	writes int
}

func newQuiet() *quiet {
	return &quiet{done: make(map[uint64]*Handshake), more: make(chan uint64, 10000)}
}

func (q *quiet) HandshakeWrite(h *Handshake, flight []byte) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.writes++
	if q.done[h.Tag()] != nil {
		q.twice = true // a write behind the end
	}
}

func (q *quiet) HandshakeDone(h *Handshake) {
	q.mu.Lock()
	if q.done[h.Tag()] != nil {
		q.twice = true
	}
	q.done[h.Tag()] = h
	q.mu.Unlock()
	q.more <- h.Tag()
}

// next is the next handshake that ends, and its error.
func (q *quiet) next(t testing.TB) (tag uint64, err error) {
	t.Helper()
	select {
	case tag = <-q.more:
	case <-time.After(patience):
		t.Fatal("no handshake ends")
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	_, err = q.done[tag].Result()
	return tag, err
}

func addr(i int) netip.Addr {
	return netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
}

// until yields until ok, which something else is about to make true.
func until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ok(); {
		if time.Now().After(deadline) {
			t.Fatal("never: " + what)
		}
		runtime.Gosched()
	}
}

// gate is a GetCertificate that tells which hello is computing (by its server name) and holds it there.
type gate struct {
	entered chan string
	leave   chan struct{}
}

func newGate() *gate { return &gate{make(chan string, 1000), make(chan struct{})} }

func (g *gate) certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	g.entered <- hello.ServerName
	<-g.leave
	cert := testAuthority().ecdsa
	return &cert, nil
}

func (g *gate) on(p *PoolConfig) {
	p.Computing = 1
	p.TLS = &tls.Config{GetCertificate: g.certificate}
}

func named(t testing.TB, name string) []byte {
	config := clientConfig()
	config.ServerName = name
	return clientHello(t, config)
}

func TestPoolConfig(t *testing.T) {
	good := func() PoolConfig { return PoolConfig{TLS: serverConfig(), Waiting: 1} }
	cases := []struct {
		name, want string
		change     func(*PoolConfig)
	}{
		{"no TLS", "--tls-cert", func(c *PoolConfig) { c.TLS = nil }},
		{"no certificate", "--tls-cert", func(c *PoolConfig) { c.TLS = &tls.Config{} }},
		{"no room", "--handshakes-max", func(c *PoolConfig) { c.Waiting = 0 }},
		{"negative", "--ip-handshakes", func(c *PoolConfig) { c.WaitingPerPrefix = -1 }},
		{"TLS 1.1", "--tls-min", func(c *PoolConfig) { c.TLS.MinVersion = tls.VersionTLS11 }},
		{"RSA key exchange", "TLS_RSA_WITH_AES_128_GCM_SHA256", func(c *PoolConfig) {
			c.TLS.CipherSuites = []uint16{tls.TLS_RSA_WITH_AES_128_GCM_SHA256}
		}},
		{"CBC", "CBC", func(c *PoolConfig) { c.TLS.CipherSuites = []uint16{tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA} }},
		{"key log", "KeyLogWriter", func(c *PoolConfig) { c.TLS.KeyLogWriter = &strings.Builder{} }},
	}
	if p, err := NewPool(good()); err != nil {
		t.Fatal(err)
	} else {
		p.Close()
	}
	for _, c := range cases {
		cfg := good()
		c.change(&cfg)
		if _, err := NewPool(cfg); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// TestSilentPeersHoldNoSlot: many that sent a whole hello and then nothing, one slot; an honest client gets through.
func TestSilentPeersHoldNoSlot(t *testing.T) {
	pool := newPool(t, func(p *PoolConfig) { p.Computing = 1 })
	hello, q := clientHello(t, clientConfig()), newQuiet()
	const silent = 40
	for i := range silent {
		pool.Start(hello, addr(i), uint64(i), q)
	}
	until(t, "all wait for their peer", func() bool {
		c := pool.Counters()
		return c.Waiting == silent && c.Computing == 0
	})
	near, far := newMemory()
	s := serve(t, pool, near)
	client := tls.Client(far, clientConfig())
	echo(t, client, []byte("hello"))
	finish(t, client, s)
	if c := pool.Counters(); c.InFlight != silent {
		t.Errorf("%+v", c)
	}
}

// TestDripTakesNoSlot: a second flight one byte at a time wakes nobody before its record is whole.
func TestDripTakesNoSlot(t *testing.T) {
	pool := newPool(t, func(p *PoolConfig) { p.Computing = 1 })
	q := newQuiet()
	h := pool.Start(clientHello(t, clientConfig()), addr(1), 1, q)
	idle := func() bool { c := pool.Counters(); return c.Waiting == 1 && c.Computing == 0 }
	until(t, "waits", idle)
	rec := append([]byte{23, 3, 3, 0, 40}, make([]byte, 40)...)
	for _, b := range rec[:len(rec)-1] {
		if !h.Feed([]byte{b}) || !idle() {
			t.Fatal("woken, or refused")
		}
	}
	h.Feed(rec[len(rec)-1:])
	if _, err := q.next(t); err != ErrProtocol {
		t.Errorf("a record that does not open: %v", err)
	}
}

func TestNewestGoesFirst(t *testing.T) {
	g := newGate()
	pool := newPool(t, g.on)
	q := newQuiet()
	for i := range 6 {
		pool.Start(named(t, fmt.Sprintf("h%d.test", i)), addr(i), uint64(i), q)
		if i == 0 {
			<-g.entered // it computes; all others queue
		}
	}
	var order []string
	for i := range 6 {
		g.leave <- struct{}{}
		if i < 5 {
			order = append(order, <-g.entered)
		}
	}
	if want := []string{"h5.test", "h4.test", "h3.test", "h2.test", "h1.test"}; !slices.Equal(order, want) {
		t.Errorf("begun in the order %v", order)
	}
}

func TestStaleHellosAreDropped(t *testing.T) {
	g := newGate()
	var now atomic.Int64
	pool := newPool(t, g.on, func(p *PoolConfig) {
		p.StaleAfter = time.Second
		p.Now = func() time.Time { return time.Unix(0, now.Load()) }
	})
	q := newQuiet()
	hello := named(t, "weir.test")
	pool.Start(hello, addr(0), 0, q)
	<-g.entered
	for i := range 3 {
		pool.Start(hello, addr(i+1), uint64(i+1), q)
	}
	now.Store(int64(time.Second))
	pool.Start(hello, addr(9), 9, q) // at the limit: nobody is stale
	if c := pool.Counters(); c.Queued != 4 || c.Failed["stale"] != 0 {
		t.Fatalf("%+v", c)
	}
	now.Store(int64(time.Second) + 1)
	g.leave <- struct{}{} // the next to be begun is looked for
	for i := range 3 {
		if tag, err := q.next(t); tag != uint64(i+1) || err != ErrStale {
			t.Errorf("%d ended with %v", tag, err)
		}
	}
	<-g.entered
	now.Store(int64(3 * time.Second))
	pool.Start(hello, addr(10), 10, q)
	g.leave <- struct{}{}
	<-g.entered
	g.leave <- struct{}{}
	if c := pool.Counters(); c.Failed["stale"] != 3 {
		t.Errorf("%+v", c)
	}
}

// TestStartDropsStale: also while nothing is ever finished.
func TestStartDropsStale(t *testing.T) {
	g := newGate()
	now := time.Unix(0, 0)
	pool := newPool(t, g.on, func(p *PoolConfig) {
		p.StaleAfter = time.Second
		p.Now = func() time.Time { return now }
	})
	q := newQuiet()
	hello := named(t, "weir.test")
	pool.Start(hello, addr(0), 0, q)
	<-g.entered
	pool.Start(hello, addr(1), 1, q)
	now = now.Add(time.Second + 1)
	pool.Start(hello, addr(2), 2, q)
	if tag, err := q.next(t); tag != 1 || err != ErrStale {
		t.Errorf("%d ended with %v", tag, err)
	}
	close(g.leave)
}

func TestOldestOfThePrefixGivesWay(t *testing.T) {
	cases := map[string][4]string{ // the last is the first's prefix again
		"IPv4":        {"192.0.2.1", "192.0.2.2", "192.0.2.1", "192.0.2.1"},
		"mapped IPv4": {"192.0.2.1", "192.0.2.2", "::ffff:192.0.2.1", "192.0.2.1"},
		"IPv6 /64":    {"2001:db8::1", "2001:db8:0:1::1", "2001:db8::2", "2001:db8::ffff:1:2:3"},
		"zone":        {"fe80::1%eth0", "2001:db8:0:1::1", "fe80::1%eth1", "fe80::2"},
	}
	for name, peers := range cases {
		t.Run(name, func(t *testing.T) {
			pool := newPool(t, func(p *PoolConfig) { p.WaitingPerPrefix = 2 })
			hello, q := clientHello(t, clientConfig()), newQuiet()
			for i, peer := range peers {
				pool.Start(hello, netip.MustParseAddr(peer), uint64(i), q)
			}
			if tag, err := q.next(t); tag != 0 || err != ErrEvicted {
				t.Errorf("%d ended with %v", tag, err)
			}
			if c := pool.Counters(); c.InFlight != 3 || c.Failed["evicted"] != 1 {
				t.Errorf("%+v", c)
			}
		})
	}
}

// TestFullestPrefixGivesWay: a full pool takes from whoever has the most, and from the oldest of them.
func TestFullestPrefixGivesWay(t *testing.T) {
	pool := newPool(t, func(p *PoolConfig) { p.Waiting, p.WaitingPerPrefix = 10, 8 })
	hello, q := clientHello(t, clientConfig()), newQuiet()
	tag := uint64(0)
	start := func(peer int) {
		pool.Start(hello, addr(peer), tag, q)
		tag++
	}
	for range 3 {
		start(1) // 0, 1, 2
	}
	for range 6 {
		start(2) // 3 … 8
	}
	start(3) // 9: full
	for i, want := range []uint64{3, 4, 5} {
		start(100 + i)
		if got, err := q.next(t); got != want || err != ErrEvicted {
			t.Fatalf("%d gave way with %v, want %d", got, err, want)
		}
	}
	start(200) // prefixes 1 and 2 now have three each: the one that had them first
	if got, _ := q.next(t); got != 0 {
		t.Errorf("%d gave way", got)
	}
}

func TestManyPrefixesOldestGivesWay(t *testing.T) {
	pool := newPool(t, func(p *PoolConfig) { p.Waiting = 10 })
	hello, q := clientHello(t, clientConfig()), newQuiet()
	for i := range 30 {
		pool.Start(hello, addr(i), uint64(i), q)
		if i >= 10 {
			if got, err := q.next(t); got != uint64(i-10) || err != ErrEvicted {
				t.Fatalf("%d gave way to %d: %v", got, i, err)
			}
		}
	}
	pool.mu.Lock()
	defer pool.mu.Unlock()
	if n := len(pool.ledger.groups); n != 10 {
		t.Errorf("%d prefixes remembered", n)
	}
}

func TestExemptPeersGiveWayLast(t *testing.T) {
	pool := newPool(t, func(p *PoolConfig) {
		p.Waiting, p.WaitingPerPrefix = 5, 2
		p.Exempt = func(a netip.Addr) bool { return a == addr(0) }
	})
	hello, q := clientHello(t, clientConfig()), newQuiet()
	for i := range 4 {
		pool.Start(hello, addr(0), uint64(i), q) // over the prefix's bound: exempt
	}
	pool.Start(hello, addr(1), 4, q)
	pool.Start(hello, addr(0), 5, q)
	if got, err := q.next(t); got != 4 || err != ErrEvicted {
		t.Errorf("%d gave way with %v", got, err)
	}
	pool.Start(hello, addr(2), 6, q) // all others are exempt
	if got, err := q.next(t); got != 6 || err != ErrFull {
		t.Errorf("%d ended with %v", got, err)
	}
	pool.Start(hello, addr(0), 7, q)
	if got, err := q.next(t); got != 0 || err != ErrEvicted {
		t.Errorf("%d gave way with %v", got, err)
	}
}

func TestAbort(t *testing.T) {
	g := newGate()
	pool := newPool(t, g.on)
	q := newQuiet()
	hello := named(t, "weir.test")
	computing := pool.Start(hello, addr(0), 0, q)
	<-g.entered
	queued := pool.Start(hello, addr(1), 1, q)
	queued.Abort()
	queued.Abort()
	if tag, err := q.next(t); tag != 1 || err != ErrAborted {
		t.Errorf("queued: %d ended with %v", tag, err)
	}
	computing.Abort()
	g.leave <- struct{}{}
	if tag, err := q.next(t); tag != 0 || err != ErrAborted {
		t.Errorf("computing: %d ended with %v", tag, err)
	}
	if q.writes != 0 {
		t.Error("an aborted handshake wrote")
	}
	close(g.leave)
	waiting := pool.Start(hello, addr(2), 2, q)
	until(t, "waits", func() bool { c := pool.Counters(); return c.Waiting == 1 && c.Computing == 0 })
	waiting.Abort()
	if tag, err := q.next(t); tag != 2 || err != ErrAborted {
		t.Errorf("waiting: %d ended with %v", tag, err)
	}
	waiting.Abort()
	if q.twice {
		t.Error("told twice")
	}
}

// TestAbortReady: its flight has come, the slot is taken by another.
func TestAbortReady(t *testing.T) {
	g := newGate()
	pool := newPool(t, g.on)
	q := newQuiet()
	h := pool.Start(named(t, "a.test"), addr(0), 0, q)
	<-g.entered
	g.leave <- struct{}{}
	until(t, "waits", func() bool { c := pool.Counters(); return c.Waiting == 1 && c.Computing == 0 })
	pool.Start(named(t, "b.test"), addr(1), 1, q)
	<-g.entered
	h.Feed(append([]byte{23, 3, 3, 0, 40}, make([]byte, 40)...))
	h.Abort()
	if tag, err := q.next(t); tag != 0 || err != ErrAborted {
		t.Errorf("%d ended with %v", tag, err)
	}
	pool.mu.Lock()
	n := pool.ready.Len()
	pool.mu.Unlock()
	if n != 0 {
		t.Error("still queued")
	}
	close(g.leave)
}

// TestReadyBeforeFresh: who is nearly through gets the slot before a new hello.
func TestReadyBeforeFresh(t *testing.T) {
	g := newGate()
	pool := newPool(t, g.on)
	q := newQuiet()
	h := pool.Start(named(t, "a.test"), addr(0), 0, q)
	<-g.entered
	g.leave <- struct{}{}
	until(t, "waits", func() bool { c := pool.Counters(); return c.Waiting == 1 && c.Computing == 0 })
	pool.Start(named(t, "b.test"), addr(1), 1, q)
	<-g.entered
	pool.Start(named(t, "c.test"), addr(2), 2, q)
	h.Feed(append([]byte{23, 3, 3, 0, 40}, make([]byte, 40)...)) // fails as soon as it has a slot
	g.leave <- struct{}{}
	if tag, err := q.next(t); tag != 0 || err != ErrProtocol {
		t.Errorf("%d ended with %v", tag, err)
	}
	if name := <-g.entered; name != "c.test" {
		t.Errorf("then %s", name)
	}
	close(g.leave)
}

func TestCloseInEveryState(t *testing.T) {
	g := newGate()
	pool := newPool(t, g.on)
	q := newQuiet()
	pool.Start(named(t, "waiting.test"), addr(0), 0, q)
	<-g.entered
	g.leave <- struct{}{}
	until(t, "waits", func() bool { c := pool.Counters(); return c.Waiting == 1 && c.Computing == 0 })
	pool.Start(named(t, "computing.test"), addr(1), 1, q)
	<-g.entered
	pool.Start(named(t, "queued.test"), addr(2), 2, q)
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		pool.Close()
	}()
	for range 2 {
		if tag, err := q.next(t); tag == 1 || err != ErrClosed {
			t.Errorf("%d ended with %v", tag, err)
		}
	}
	select {
	case <-closed:
		t.Error("Close does not wait for the one that computes")
	default:
	}
	close(g.leave)
	within(t, closed, "Close")
	if tag, err := q.next(t); tag != 1 || err != ErrClosed {
		t.Errorf("%d ended with %v", tag, err)
	}
	pool.Start(named(t, "late.test"), addr(3), 3, q)
	if tag, err := q.next(t); tag != 3 || err != ErrClosed {
		t.Errorf("%d ended with %v", tag, err)
	}
}

func TestPanicIsContained(t *testing.T) {
	var panics atomic.Int32
	bad := atomic.Bool{}
	bad.Store(true)
	pool, err := NewPool(PoolConfig{
		Computing: 1, Waiting: 4,
		TLS: &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			if bad.Load() {
				panic("broken")
			}
			cert := testAuthority().ecdsa
			return &cert, nil
		}},
		Panic: func(v any, stack []byte) {
			if v == "broken" && len(stack) > 0 {
				panics.Add(1)
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	q := newQuiet()
	hello := named(t, "weir.test")
	for i := range 3 {
		pool.Start(hello, addr(i), uint64(i), q)
		if _, err := q.next(t); err != ErrServer {
			t.Errorf("%v", err)
		}
	}
	bad.Store(false)
	near, far := newMemory()
	s := serve(t, pool, near)
	client := tls.Client(far, clientConfig())
	echo(t, client, []byte("x"))
	finish(t, client, s)
	if panics.Load() != 3 {
		t.Errorf("told of %d panics", panics.Load())
	}
}

// TestFeedIsBounded: before the handshake, during it, and at Start.
func TestFeedIsBounded(t *testing.T) {
	pool := newPool(t)
	q := newQuiet()
	hello := clientHello(t, clientConfig())
	h := pool.Start(hello, addr(0), 0, q)
	until(t, "waits", func() bool { c := pool.Counters(); return c.Waiting == 1 && c.Computing == 0 })
	chunk := append([]byte{23, 3, 3, 0x40, 0}, make([]byte, 1000)...)
	fed := 0
	for h.Feed(chunk) {
		if fed += len(chunk); fed > 2*maxBuffered { // a record of it may have been read
			t.Fatal("no end")
		}
	}
	pool.Start(append(hello, make([]byte, maxBuffered)...), addr(1), 1, q)
	for {
		tag, err := q.next(t)
		if err != ErrProtocol {
			t.Errorf("%d ended with %v", tag, err)
		}
		if tag == 1 {
			return
		}
	}
}

// TestFeedIsBoundedInAll: also when crypto/tls takes every record at once, for a message without end.
func TestFeedIsBoundedInAll(t *testing.T) {
	pool := newPool(t)
	q := newQuiet()
	h := pool.Start(clientHello(t, onlyVersion(tls.VersionTLS12)), addr(0), 0, q)
	waits := func() bool { c := pool.Counters(); return c.Waiting == 1 && c.Computing == 0 }
	until(t, "waits", waits)
	const certificate, length = 11, 1<<18 - 1
	chunk := handshakeRecord(certificate, length, 4096)
	chunk[2] = 3 // TLS 1.2
	for fed := 0; h.Feed(chunk); until(t, "takes all", waits) {
		if fed += len(chunk); fed > maxFed {
			t.Fatalf("%d bytes taken", fed)
		}
		chunk = append(chunk[:0], inRecords(make([]byte, record.HeaderLen+4096), 4096)...)
		copy(chunk, []byte{22, 3, 3})
	}
	h.Abort()
	if _, err := q.next(t); err != ErrAborted {
		t.Error(err)
	}
}

// TestPoolUnderChurn: everything at once; each handshake ends once and the sums agree.
func TestPoolUnderChurn(t *testing.T) {
	pool := newPool(t, func(p *PoolConfig) {
		p.Waiting, p.WaitingPerPrefix, p.StaleAfter = 20, 5, time.Millisecond
	})
	hello, q := clientHello(t, clientConfig()), newQuiet()
	const each, loops = 150, 4
	var wg sync.WaitGroup
	for loop := range loops {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(uint64(loop), 1))
			var mine []*Handshake
			for i := range each {
				h := pool.Start(hello, addr(r.IntN(8)), uint64(loop*each+i), q)
				mine = append(mine, h)
				switch other := mine[r.IntN(len(mine))]; r.IntN(4) {
				case 0:
					other.Abort()
				case 1:
					other.Feed(append([]byte{23, 3, 3, 0, 40}, make([]byte, 40)...))
				case 2:
					h.Feed([]byte{20, 3, 3, 0, 1, 1, 23, 3, 3})
				}
			}
			for _, h := range mine {
				h.Abort()
			}
		})
	}
	wg.Wait()
	for range each * loops {
		q.next(t)
	}
	if q.twice {
		t.Error("told twice")
	}
	c := pool.Counters()
	sum := c.Completed
	for _, n := range c.Failed {
		sum += n
	}
	if c.Started != each*loops || sum != c.Started || c.Completed != 0 {
		t.Errorf("%+v", c)
	}
	until(t, "empty", func() bool { c := pool.Counters(); return c.InFlight == 0 && c.Waiting == 0 && c.Computing == 0 })
	if pool.ledger.fullest > 6 || len(pool.ledger.groups) != 0 {
		t.Errorf("ledger: %d prefixes", len(pool.ledger.groups))
	}
}

func TestFailureText(t *testing.T) {
	seen := map[string]bool{}
	for i, f := range failures() {
		if f.index != i || f.Label == "" || seen[f.Label] || !strings.HasPrefix(f.Error(), "tlsconn: ") {
			t.Errorf("%d: %+v", i, f)
		}
		seen[f.Label] = true
	}
	if classify(errors.New("tls: something"), 0) != ErrProtocol {
		t.Error("an unknown error is the peer's")
	}
}

// TestComputingIsPaced: with fewer slots those that compute go on and nobody is begun; with more again, the newest are.
func TestComputingIsPaced(t *testing.T) {
	g := newGate()
	pool := newPool(t, g.on, func(p *PoolConfig) { p.Computing = 4 })
	q := newQuiet()
	for i := range 9 {
		pool.Start(named(t, fmt.Sprintf("h%d.test", i)), addr(i), uint64(i), q)
		if i < 4 {
			<-g.entered
		}
	}
	pool.SetComputing(1)
	for left := 3; left >= 1; left-- {
		g.leave <- struct{}{}
		until(t, "a slot less", func() bool { return pool.Counters().Computing == left })
	}
	if c := pool.Counters(); c.Queued != 5 || c.Slots != 1 {
		t.Errorf("%+v", c)
	}
	g.leave <- struct{}{}
	if name := <-g.entered; name != "h8.test" {
		t.Errorf("the one slot went to %s", name)
	}
	select {
	case name := <-g.entered:
		t.Errorf("%s has a second slot", name)
	default:
	}
	pool.SetComputing(3)
	got := []string{<-g.entered, <-g.entered}
	slices.Sort(got)
	if c := pool.Counters(); !slices.Equal(got, []string{"h6.test", "h7.test"}) || c.Computing != 3 || c.Queued != 2 {
		t.Errorf("begun %v, %+v", got, c)
	}
	pool.SetComputing(0)
	if c := pool.Counters(); c.Slots != 1 {
		t.Errorf("no slot at all: %+v", c)
	}
	close(g.leave)
	until(t, "all are begun", func() bool { c := pool.Counters(); return c.Waiting == 9 && c.Computing == 0 })
}

// TestPacedUpWakesTheReady: a slot that is new goes to who is nearly through before a new hello.
func TestPacedUpWakesTheReady(t *testing.T) {
	g := newGate()
	pool := newPool(t, g.on)
	q := newQuiet()
	h := pool.Start(named(t, "a.test"), addr(0), 0, q)
	<-g.entered
	g.leave <- struct{}{}
	until(t, "waits", func() bool { c := pool.Counters(); return c.Waiting == 1 && c.Computing == 0 })
	pool.Start(named(t, "b.test"), addr(1), 1, q)
	<-g.entered
	h.Feed(append([]byte{23, 3, 3, 0, 40}, make([]byte, 40)...)) // fails as soon as it has a slot
	pool.SetComputing(2)
	if tag, err := q.next(t); tag != 0 || err != ErrProtocol {
		t.Errorf("%d ended with %v", tag, err)
	}
	close(g.leave)
}
