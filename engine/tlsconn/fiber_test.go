package tlsconn

import (
	"crypto/tls"
	"runtime"
	"sync/atomic"
	"testing"
)

// TestLastStepIsTheLoops: only comparing the peer's Finished is; key exchange, signature and what verifies a certificate are not.
func TestLastStepIsTheLoops(t *testing.T) {
	ca := newIssuer(t, "clients")
	for _, c := range []struct {
		name   string
		direct bool
		server func(*tls.Config)
		client func(*tls.Config)
	}{
		{"TLS 1.3", true, func(*tls.Config) {}, func(*tls.Config) {}},
		{"second hello", true, func(s *tls.Config) { s.CurvePreferences = []tls.CurveID{tls.CurveP384} }, func(c *tls.Config) {
			c.CurvePreferences = []tls.CurveID{tls.X25519, tls.CurveP384}
		}},
		{"TLS 1.2", false, func(*tls.Config) {}, func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 }},
		{"certificate asked for", false, func(s *tls.Config) { s.ClientAuth = tls.RequestClientCert }, func(*tls.Config) {}},
		{"certificate verified", false, func(s *tls.Config) {
			s.ClientAuth, s.ClientCAs = tls.RequireAndVerifyClientCert, ca.pool
		}, func(c *tls.Config) { c.Certificates = ca.client(nil) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			var s *server
			computes := func() {
				if s.feeding.Load() {
					t.Error("the loop computes")
				}
			}
			pool := newPool(t, func(p *PoolConfig) {
				own := p.TLS.Certificates[0]
				p.TLS.Certificates = nil
				p.TLS.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { computes(); return &own, nil }
				p.TLS.VerifyConnection = func(tls.ConnectionState) error { computes(); return nil }
				c.server(p.TLS)
			})
			config := clientConfig()
			c.client(config)
			near, far := newMemory()
			s = serve(t, pool, near)
			client := tls.Client(far, config)
			echo(t, client, []byte("x"))
			finish(t, client, s)
			if s.fedOver != c.direct {
				t.Errorf("ended by the loop: %t", s.fedOver)
			}
		})
	}
}

// TestLastStepTakesNoSlot: who is nearly through waits for nobody that computes, and a wrong Finished is answered there and then.
func TestLastStepTakesNoSlot(t *testing.T) {
	g := newGate()
	pool := newPool(t, g.on)
	q := newQuiet()
	h := pool.Start(named(t, "a.test"), addr(0), 0, q)
	<-g.entered
	g.leave <- struct{}{}
	until(t, "waits", func() bool { c := pool.Counters(); return c.Waiting == 1 && c.Computing == 0 })
	pool.Start(named(t, "b.test"), addr(1), 1, q)
	<-g.entered // the only slot is taken
	if fed := h.Feed([]byte{20, 3, 3, 0, 1, 1}); fed.Over || fed.TooMuch || len(fed.Flight) > 0 {
		t.Errorf("change_cipher_spec: %+v", fed)
	}
	wrong := append([]byte{23, 3, 3, 0, 40}, make([]byte, 40)...)
	if fed := h.Feed(wrong[:44]); fed.Over {
		t.Error("over before its record is whole")
	}
	fed := h.Feed(wrong[44:])
	if !fed.Over || len(fed.Flight) == 0 {
		t.Errorf("%+v", fed)
	}
	if _, err := h.Take(new(Conn)); err != ErrProtocol {
		t.Errorf("%v", err)
	}
	if c := pool.Counters(); c.InFlight != 1 || c.Failed[ErrProtocol.Label] != 1 {
		t.Errorf("%+v", c)
	}
	close(g.leave)
	pool.Close()
	if tag, _ := q.next(t); tag != 1 || q.done[0] != nil {
		t.Error("the sink was told as well")
	}
}

// TestFibersAreFew: handshakes one after another take one fiber, and of many at once some are kept.
func TestFibersAreFew(t *testing.T) {
	const many = keptFibers + 10
	pool := newPool(t, func(p *PoolConfig) { p.Waiting = many })
	hello, q := clientHello(t, clientConfig()), newQuiet()
	round := func(n int) {
		all := make([]*Handshake, n)
		for i := range all {
			all[i] = pool.Start(hello, addr(i), uint64(i), q)
		}
		until(t, "all wait", func() bool { c := pool.Counters(); return c.Waiting == n && c.Computing == 0 })
		for _, h := range all {
			h.Abort()
		}
		for range n {
			q.next(t)
		}
		clear(q.done)
	}
	kept := func() int {
		pool.mu.Lock()
		defer pool.mu.Unlock()
		return len(pool.fibers)
	}
	for range 5 {
		round(1)
	}
	if n := kept(); n != 1 {
		t.Errorf("%d fibers for one at a time", n)
	}
	before := runtime.NumGoroutine()
	round(many)
	if n := kept(); n != keptFibers {
		t.Errorf("%d fibers are kept", n)
	}
	until(t, "the others are gone", func() bool { return runtime.NumGoroutine() <= before+keptFibers-1 })
}

// TestAdvancedByOneAtATime: a peer's bytes, its end and eviction come from several goroutines at once.
func TestAdvancedByOneAtATime(t *testing.T) {
	pool := newPool(t, func(p *PoolConfig) { p.Waiting, p.Computing = 3, 1 })
	hello, q := clientHello(t, clientConfig()), newQuiet()
	var direct atomic.Int64
	const each = 200
	done := make(chan struct{})
	for loop := range 2 {
		go func() {
			defer func() { done <- struct{}{} }()
			for i := range each {
				h := pool.Start(hello, addr(loop), uint64(loop*each+i), q)
				for range 3 { // the third finds it over
					if h.Feed(append([]byte{23, 3, 3, 0, 40}, make([]byte, 40)...)).Over {
						direct.Add(1)
						break
					}
					runtime.Gosched()
				}
			}
		}()
	}
	<-done
	<-done
	pool.Close()
	for range 2*each - int(direct.Load()) {
		q.next(t)
	}
	select {
	case tag := <-q.more:
		t.Errorf("%d ended twice", tag)
	default:
	}
	if q.twice {
		t.Error("told twice")
	}
}
