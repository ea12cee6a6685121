package tlsconn

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	cryptorand "crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"math/big"
	"math/rand/v2"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"

	"weir/engine/tlsconn/record"
)

func onlyVersion(version uint16) *tls.Config {
	config := clientConfig()
	config.MinVersion, config.MaxVersion = version, version
	return config
}

// dial makes a whole connection: server and client.
func dial(t testing.TB, pool *Pool, config *tls.Config, change ...func(*server)) (*server, *tls.Conn) {
	t.Helper()
	near, far := newMemory()
	return serve(t, pool, near, change...), tls.Client(far, config)
}

func TestHelloRetryRequest(t *testing.T) {
	pool := newPool(t, func(p *PoolConfig) { p.TLS.CurvePreferences = []tls.CurveID{tls.CurveP384} })
	for name, cut := range map[string]func(int) int{"whole": nil, "byte by byte": func(int) int { return 1 }} {
		config := clientConfig()
		config.CurvePreferences = []tls.CurveID{tls.X25519, tls.CurveP384}
		config.ClientSessionCache = tls.NewLRUClientSessionCache(1)
		s, client := dial(t, pool, config, func(s *server) { s.piece = cut })
		echo(t, client, pattern(3000))
		if !client.ConnectionState().HelloRetryRequest {
			t.Fatalf("%s: no HelloRetryRequest: the test shows nothing", name)
		}
		finish(t, client, s)
	}
}

// seqOf is the write sequence at which the connection was handed over.
func seqOf(s *server) (seq uint64) {
	onLoop(s, func() { seq = s.conn.keys[writing].Seq() })
	return seq
}

// TestTicketsSent: the write sequence begins behind the tickets: none for a client that offers no PSK modes (Go's
// without a session cache), one else, none if they are off.
func TestTicketsSent(t *testing.T) {
	cases := []struct {
		name   string
		cache  bool
		off    bool
		ticket uint64
	}{{"no PSK modes", false, false, 0}, {"PSK modes", true, false, 1}, {"tickets off", true, true, 0}}
	for _, c := range cases {
		pool := newPool(t, func(p *PoolConfig) { p.TLS.SessionTicketsDisabled = c.off })
		config := clientConfig()
		if c.cache {
			config.ClientSessionCache = tls.NewLRUClientSessionCache(1)
		}
		s, client := dial(t, pool, config)
		if err := client.Handshake(); err != nil {
			t.Fatal(err)
		}
		within(t, s.handshaken, "handshake")
		if seq := seqOf(s); seq != c.ticket {
			t.Errorf("%s: sequence %d, want %d", c.name, seq, c.ticket)
		}
		echo(t, client, pattern(100))
		finish(t, client, s)
	}
}

func TestResumption(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		base := serverConfig()
		pools := []*Pool{
			newPool(t, func(p *PoolConfig) { p.TLS = base }),
			newPool(t, func(p *PoolConfig) { p.TLS = base }), // a second pool with the same keys
		}
		config := onlyVersion(version)
		config.ClientSessionCache = tls.NewLRUClientSessionCache(1)
		connect := func(pool *Pool) bool {
			s, client := dial(t, pool, config)
			echo(t, client, pattern(100)) // reads the ticket too
			within(t, s.handshaken, "handshake")
			resumed := client.ConnectionState().DidResume
			if s.info.Resumed != resumed {
				t.Errorf("%s: client says %v, Info %v", tls.VersionName(version), resumed, s.info.Resumed)
			}
			finish(t, client, s)
			return resumed
		}
		if connect(pools[0]) {
			t.Fatal("resumed out of nothing")
		}
		for i := range 4 {
			if !connect(pools[i%2]) {
				t.Errorf("%s: connection %d did not resume", tls.VersionName(version), i)
			}
		}
		if c := pools[0].Counters(); c.Resumed != 2 || c.Completed != 3 {
			t.Errorf("%+v", c)
		}
		// Keys set while the pool runs: new ones do not open old tickets, but old ones kept behind new ones do.
		base.SetSessionTicketKeys([][32]byte{{1}})
		if connect(pools[0]) {
			t.Errorf("%s: resumed with keys that are gone", tls.VersionName(version))
		}
		base.SetSessionTicketKeys([][32]byte{{2}, {1}})
		if !connect(pools[0]) {
			t.Errorf("%s: a previous key does not resume", tls.VersionName(version))
		}
		base.SetSessionTicketKeys([][32]byte{{2}})
		if !connect(pools[0]) {
			t.Errorf("%s: no new ticket under the new key", tls.VersionName(version))
		}
	}
}

// TestSameClientRandom: two peers with the same client random, at the same time. Nothing may be looked up by it.
func TestSameClientRandom(t *testing.T) {
	g := newGate()
	pool := newPool(t, func(p *PoolConfig) {
		p.Computing = 4
		p.TLS = &tls.Config{GetCertificate: g.certificate}
	})
	var servers []*server
	var clients []*tls.Conn
	var random [][]byte
	var wg sync.WaitGroup
	for range 2 {
		config := clientConfig()
		config.Rand = rand.NewChaCha8([32]byte{1})
		config.ClientSessionCache = tls.NewLRUClientSessionCache(1)
		near, far := newMemory()
		s := serve(t, pool, &spy{Conn: near, seen: func(b []byte) { random = append(random, bytes.Clone(b[11:43])) }})
		client := tls.Client(far, config)
		wg.Go(func() { _ = client.Handshake() })
		<-g.entered
		servers, clients = append(servers, s), append(clients, client)
	}
	close(g.leave) // both finish their computation at once
	wg.Wait()
	if len(random) != 2 || !bytes.Equal(random[0], random[1]) {
		t.Fatal("randoms differ: the test shows nothing")
	}
	for i, client := range clients {
		echo(t, client, pattern(1000+i))
		finish(t, client, servers[i])
	}
}

// spy shows what is read first.
type spy struct {
	net.Conn
	once sync.Once
	seen func([]byte)
}

func (s *spy) Read(b []byte) (int, error) {
	n, err := s.Conn.Read(b)
	if n > 0 {
		s.once.Do(func() { s.seen(b[:n]) })
	}
	return n, err
}

// holder keeps a client's writes back, from the second on, until released: so Finished and data arrive in one piece.
type holder struct {
	*memory
	writes int
	held   []byte
	free   bool
}

func (h *holder) Write(b []byte) (int, error) {
	if h.writes++; h.writes == 1 || h.free {
		return h.memory.Write(b)
	}
	h.held = append(h.held, b...)
	return len(b), nil
}

func (h *holder) release(t *testing.T) {
	h.free = true
	if _, err := h.memory.Write(h.held); err != nil {
		t.Fatal(err)
	}
}

// TestPipelined: Finished with data behind it in one read, cut at every place, so that part of it is fed before and part
// after the hand-over.
func TestPipelined(t *testing.T) {
	message := pattern(600)
	for cut := 0; cut < 700; cut += 13 {
		pool := newPool(t)
		near, far := newMemory()
		first := true
		s := serve(t, pool, near, func(s *server) {
			s.piece = func(n int) int {
				if first { // the hello
					first = false
					return n
				}
				return max(1, min(cut, n))
			}
		})
		h := &holder{memory: far}
		client := tls.Client(h, onlyVersion(tls.VersionTLS13))
		if err := client.Handshake(); err != nil {
			t.Fatal(err)
		}
		if _, err := client.Write(message); err != nil {
			t.Fatal(err)
		}
		h.release(t)
		got := make([]byte, len(message))
		if _, err := io.ReadFull(client, got); err != nil || !bytes.Equal(got, message) {
			t.Fatalf("cut %d: %v", cut, err)
		}
		finish(t, client, s)
	}
}

func TestRefusedHandshakes(t *testing.T) {
	cases := []struct {
		name   string
		change func(*tls.Config)
		server func(*PoolConfig)
		want   *Failure
		client string // in the client's error
	}{
		{"TLS 1.1", func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11 }, nil,
			ErrVersion, "protocol version"},
		{"1.3 only", func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 },
			func(p *PoolConfig) { p.TLS.MinVersion = tls.VersionTLS13 }, ErrVersion, "protocol version"},
		{"CBC", func(c *tls.Config) {
			c.MaxVersion, c.CipherSuites = tls.VersionTLS12, []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA}
		}, nil, ErrCipher, "handshake failure"},
		{"RSA key exchange", func(c *tls.Config) {
			c.MaxVersion, c.CipherSuites = tls.VersionTLS12, []uint16{tls.TLS_RSA_WITH_AES_128_GCM_SHA256}
		}, func(p *PoolConfig) { p.TLS.Certificates = []tls.Certificate{testAuthority().rsa} }, ErrCipher, "handshake failure"},
		{"curve", func(c *tls.Config) { c.CurvePreferences = []tls.CurveID{tls.CurveP521} },
			func(p *PoolConfig) { p.TLS.CurvePreferences = []tls.CurveID{tls.X25519} }, ErrCipher, "handshake failure"},
		{"ALPN h2", func(c *tls.Config) { c.NextProtos = []string{"h2"} }, nil, ErrALPN, "no application protocol"},
		{"ALPN h2, TLS 1.2", func(c *tls.Config) { c.NextProtos, c.MaxVersion = []string{"h2"}, tls.VersionTLS12 }, nil,
			ErrALPN, "no application protocol"},
		{"unknown root", func(c *tls.Config) { c.RootCAs = x509.NewCertPool() }, nil, ErrPeer, "unknown authority"},
		{"unknown root, TLS 1.2", func(c *tls.Config) { c.RootCAs, c.MaxVersion = x509.NewCertPool(), tls.VersionTLS12 }, nil,
			ErrPeer, "unknown authority"},
		{"no certificate", nil, func(p *PoolConfig) {
			p.TLS = &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return nil, errors.New("none") }}
		}, ErrServer, "internal error"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			pool := newPool(t, func(p *PoolConfig) {
				if c.server != nil {
					c.server(p)
				}
			})
			config := clientConfig()
			if c.change != nil {
				c.change(config)
			}
			s, client := dial(t, pool, config)
			if err := client.Handshake(); err == nil || !strings.Contains(err.Error(), c.client) {
				t.Errorf("client: %v", err)
			}
			within(t, s.handshaken, "handshake")
			if s.err != error(c.want) {
				t.Errorf("server: %v", s.err)
			}
			if n := pool.Counters().Failed[c.want.Label]; n != 1 {
				t.Errorf("counted %d", n)
			}
		})
	}
}

// TestTruncatedHandshake: a client whose bytes end, or are wrong, at each place gets nowhere, and nothing stays behind.
func TestTruncatedHandshake(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		pool := newPool(t)
		for _, broken := range []bool{false, true} {
			for at := 0; ; at += 7 {
				near, far := newMemory()
				s := serve(t, pool, near)
				wire := &limited{memory: far, left: at, broken: broken}
				client := tls.Client(wire, onlyVersion(version))
				err := client.Handshake()
				through := wire.left > 0 // the limit was not reached
				if err == nil && !through {
					// TLS 1.3: the client is through before the server is.
					_, err = client.Read(make([]byte, 1))
				}
				if (err == nil) != through {
					t.Fatalf("%s, broken %v, at %d: %v", tls.VersionName(version), broken, at, err)
				}
				_ = far.Close()
				within(t, s.finished, "connection")
				if through {
					break
				}
				if s.live {
					t.Fatalf("%s, broken %v, at %d: the server is through", tls.VersionName(version), broken, at)
				}
			}
		}
		until(t, "empty", func() bool { return pool.Counters().InFlight == 0 })
	}
}

// limited lets fewer than left bytes through, then changes one bit or not, and ends.
type limited struct {
	*memory
	left   int
	broken bool
	cut    bool
}

func (l *limited) Write(b []byte) (int, error) {
	n := min(l.left, len(b))
	l.left -= n
	if l.cut || l.left > 0 {
		return l.memory.Write(b)
	}
	l.cut = true
	if b = bytes.Clone(b); l.broken && n > 0 {
		b[n-1] ^= 1
		n = len(b)
	}
	_, _ = l.memory.Write(b[:n])
	_ = l.memory.Close()
	return 0, io.ErrClosedPipe
}

// TestKeyUpdateToGo: crypto/tls follows our update.
func TestKeyUpdateToGo(t *testing.T) {
	pool := newPool(t)
	s, client := dial(t, pool, onlyVersion(tls.VersionTLS13), func(s *server) {
		s.plain = func(s *server, p []byte) {
			s.send(p)
			s.write(s.conn.appendKeyUpdate(s.shared, nil))
		}
	})
	for i := range 10 {
		echo(t, client, pattern(100+i))
	}
	finish(t, client, s)
}

// TestNoGoroutineAfterHandshake: and little memory.
func TestNoGoroutineAfterHandshake(t *testing.T) {
	pool := newPool(t, func(p *PoolConfig) { p.Waiting = 4 })
	before := runtime.NumGoroutine()
	s, client := dial(t, pool, clientConfig())
	echo(t, client, []byte("x"))
	within(t, s.handshaken, "handshake")
	// The test's own: the server's mailbox and reader.
	until(t, "goroutine gone", func() bool { return runtime.NumGoroutine() <= before+2 })
	finish(t, client, s)
}

// direct is a Sink that writes at once.
type direct struct {
	wire net.Conn
	done chan struct{}
}

func (d *direct) HandshakeWrite(_ *Handshake, flight []byte) { _, _ = d.wire.Write(flight) }
func (d *direct) HandshakeDone(*Handshake)                   { close(d.done); _ = d.wire.Close() }

// TestIdleMemory: an established TLS 1.3 connection holds nothing outside its Conn.
func TestIdleMemory(t *testing.T) {
	if raceDetector {
		t.Skip("skipped: heap sizes mean nothing under the race detector")
	}
	const n, perConn = 300, 64
	pool, shared := newPool(t), NewShared(1<<20)
	conns := make([]Conn, n)
	connect := func(c *Conn) {
		near, far := newMemory()
		ended := make(chan error)
		go func() { ended <- tls.Client(far, clientConfig()).Handshake() }()
		d := &direct{wire: near, done: make(chan struct{})}
		buf := make([]byte, 4096)
		var h *Handshake
		for {
			k, err := near.Read(buf)
			if h == nil {
				h = pool.Start(buf[:k], addr(1), 0, d)
			} else if err == nil {
				h.Feed(buf[:k])
			} else {
				break
			}
		}
		<-d.done
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
		if _, err := h.Take(c); err != nil {
			t.Fatal(err)
		}
	}
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.GC() // pools of crypto/tls
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	connect(&conns[0])
	before := heap()
	for i := range conns[1:] {
		connect(&conns[1+i])
	}
	if grown := int64(heap() - before); grown > n*perConn {
		t.Errorf("%d bytes for each connection outside of it", grown/n)
	}
	for i := range conns {
		use(&conns[i], shared)
	}
}

// clientChain is a client certificate with others behind it, about 1 KB each.
func clientChain(t *testing.T, more int) tls.Certificate {
	t.Helper()
	cert := testAuthority().ecdsa
	key, err := ecdsa.GenerateKey(elliptic.P256(), cryptorand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for i := range more {
		c := &x509.Certificate{SerialNumber: big.NewInt(int64(i)), Subject: pkix.Name{CommonName: strings.Repeat("x", 500)}}
		der, err := x509.CreateCertificate(cryptorand.Reader, c, c, key.Public(), key)
		if err != nil {
			t.Fatal(err)
		}
		cert.Certificate = append(cert.Certificate, der)
	}
	return cert
}

// TestMutualTLS: the ticket comes after the client's certificate and holds its whole chain; one that would not fit into
// the next hello is not given out.
func TestMutualTLS(t *testing.T) {
	for _, more := range []int{0, 20} {
		pool := newPool(t, func(p *PoolConfig) { p.TLS.ClientAuth = tls.RequireAnyClientCert })
		config := onlyVersion(tls.VersionTLS13)
		config.Certificates = []tls.Certificate{clientChain(t, more)}
		config.ClientSessionCache = tls.NewLRUClientSessionCache(1)
		for round := range 2 {
			s, client := dial(t, pool, config)
			echo(t, client, pattern(1000))
			within(t, s.handshaken, "handshake")
			if len(s.info.PeerCertificates) != 1+more {
				t.Errorf("%d certificates of the peer", len(s.info.PeerCertificates))
			}
			if want := more == 0 && round == 1; s.info.Resumed != want {
				t.Errorf("%d more certificates, round %d: resumed %v", more, round, s.info.Resumed)
			}
			if seq := seqOf(s); seq != 2 {
				t.Errorf("sequence %d after a ticket and an echo", seq)
			}
			finish(t, client, s)
		}
	}
}

// TestRenegotiationRefused: a handshake message in an established TLS 1.2 connection.
func TestRenegotiationRefused(t *testing.T) {
	for typ, want := range map[record.Type]*record.Violation{
		record.Handshake: ErrRenegotiation, record.ChangeCipherSpec: ErrLateCCS, record.ApplicationData: ErrRecord12,
	} {
		pool := newPool(t)
		near, far := newMemory()
		s := serve(t, pool, near)
		client := tls.Client(far, onlyVersion(tls.VersionTLS12))
		echo(t, client, []byte("x"))
		if _, err := far.Write(append([]byte{byte(typ), 3, 3, 0, 30}, make([]byte, 30)...)); err != nil {
			t.Fatal(err)
		}
		within(t, s.finished, "connection")
		if s.result != want {
			t.Errorf("type %d: %v", typ, s.result)
		}
		if _, err := client.Read(make([]byte, 1)); err == nil {
			t.Error("the client was told nothing")
		}
	}
}

// TestChangedRecord: a record changed on its way ends the connection, and the client is told.
func TestChangedRecord(t *testing.T) {
	for version, want := range map[uint16]*record.Violation{
		tls.VersionTLS12: ErrRecord12, tls.VersionTLS13: record.ErrBadRecordMAC,
	} {
		pool := newPool(t)
		s, client := dial(t, pool, onlyVersion(version), func(s *server) {
			s.edit = func(_ *server, in []byte) []byte {
				if len(in) > 0 {
					in[len(in)-1] ^= 1
				}
				return in
			}
		})
		if _, err := client.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		within(t, s.finished, "connection")
		if s.result != want {
			t.Errorf("%s: %v", tls.VersionName(version), s.result)
		}
		var op *net.OpError
		if _, err := client.Read(make([]byte, 1)); !errors.As(err, &op) || !strings.Contains(err.Error(), "bad record MAC") {
			t.Errorf("%s: client reads %v", tls.VersionName(version), err)
		}
	}
}

// onLoop runs f where the server's state may be touched.
func onLoop(s *server, f func()) {
	done := make(chan struct{})
	s.box.post(func() { defer close(done); f() })
	<-done
}

// TestSeal12MakesOneRecord: crypto/tls would cut the first ones small, over the plaintext that it has yet to read.
func TestSeal12MakesOneRecord(t *testing.T) {
	pool := newPool(t)
	s, client := dial(t, pool, onlyVersion(tls.VersionTLS12))
	echo(t, client, []byte("x"))
	message := pattern(record.MaxPlaintext)
	onLoop(s, func() { s.send(message) })
	got := make([]byte, len(message))
	if _, err := io.ReadFull(client, got); err != nil || !bytes.Equal(got, message) {
		t.Fatalf("differs: %v", err)
	}
	finish(t, client, s)
}

// TestRead12Resumes: crypto/tls finds nothing behind an empty record, and goes on with the next.
func TestRead12Resumes(t *testing.T) {
	pool := newPool(t)
	s, client := dial(t, pool, onlyVersion(tls.VersionTLS12))
	for range 3 {
		echo(t, client, []byte("x"))
		onLoop(s, func() {
			if n, err := s.conn.v12().conn.Read(make([]byte, 10)); n != 0 || !errors.Is(err, errMore) {
				t.Errorf("read %d, %v", n, err)
			}
		})
	}
	finish(t, client, s)
}

// TestPeerAlert12: a fatal alert of the peer ends the connection and is not answered.
func TestPeerAlert12(t *testing.T) {
	pool := newPool(t)
	s, client := dial(t, pool, onlyVersion(tls.VersionTLS12))
	echo(t, client, []byte("x"))
	onLoop(s, func() { s.write([]byte{23, 3, 3, 0, 30, 29: 0, 34: 0}) }) // does not open: the client says so
	if _, err := client.Read(make([]byte, 1)); err == nil {
		t.Fatal("the client took it")
	}
	within(t, s.finished, "connection")
	if s.result != ErrPeerAlert {
		t.Errorf("%v", s.result)
	}
}

// TestConn12Allocations: of ours none. crypto/tls makes two readers of 32 bytes for each record it reads.
func TestConn12Allocations(t *testing.T) {
	if raceDetector {
		t.Skip("skipped: allocation counts mean nothing under the race detector")
	}
	const runs = 100
	pool := newPool(t)
	near, far := newMemory()
	gathered, measured := make(chan []byte), make(chan struct{})
	s := serve(t, pool, near)
	client := tls.Client(far, onlyVersion(tls.VersionTLS12))
	echo(t, client, pattern(256))
	s.box.post(func() {
		defer close(measured)
		all, out := <-gathered, make([]byte, 0, 256)
		if n := testing.AllocsPerRun(runs, func() {
			o := s.conn.Open(s.shared, all, out)
			if len(o.Plain) != 256 {
				t.Fatalf("%+v", o)
			}
			all = all[o.N:]
		}); n > 2 {
			t.Errorf("Open allocates %v", n)
		}
		buf := make([]byte, record.HeaderLen+256, 1024)
		if n := testing.AllocsPerRun(runs, func() { s.conn.Seal(s.shared, buf, 0) }); n != 0 {
			t.Errorf("Seal allocates %v", n)
		}
	})
	tap := &stream{}
	tap.more.L = &tap.mu
	far.out = tap // the server sees no more
	for range runs + 1 {
		if _, err := client.Write(pattern(256)); err != nil {
			t.Fatal(err)
		}
	}
	gathered <- tap.b
	<-measured
}

// BenchmarkHandshake is the server's cost with the client's beside it.
func BenchmarkHandshake(b *testing.B) {
	pool, err := NewPool(PoolConfig{TLS: serverConfig(), Waiting: 100})
	if err != nil {
		b.Fatal(err)
	}
	defer pool.Close()
	config := clientConfig()
	config.CurvePreferences = []tls.CurveID{tls.X25519}
	for b.Loop() {
		near, far := newMemory()
		s := serve(b, pool, near)
		client := tls.Client(far, config)
		if err := client.Handshake(); err != nil {
			b.Fatal(err)
		}
		<-s.handshaken
		_ = far.Close()
	}
	b.ReportMetric(float64(pool.Counters().Completed)/b.Elapsed().Seconds(), "handshakes/s")
}
