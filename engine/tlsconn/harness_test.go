package tlsconn

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"math/big"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"weir/engine/tlsconn/record"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience ends a test that hangs; no test waits for it to pass.
const patience = 2 * time.Minute

// memory is one end of a connection in memory: writes never block.
type memory struct{ in, out *stream }

type stream struct {
	mu     sync.Mutex
	more   sync.Cond
	b      []byte
	closed bool
}

func newMemory() (a, b *memory) {
	x, y := &stream{}, &stream{}
	x.more.L, y.more.L = &x.mu, &y.mu
	return &memory{x, y}, &memory{y, x}
}

func (m *memory) Read(b []byte) (int, error) {
	s := m.in
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.b) == 0 && !s.closed {
		s.more.Wait()
	}
	if len(s.b) == 0 {
		return 0, io.EOF
	}
	n := copy(b, s.b)
	s.b = s.b[n:]
	return n, nil
}

func (m *memory) Write(b []byte) (int, error) {
	s := m.out
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return 0, io.ErrClosedPipe
	}
	s.b = append(s.b, b...)
	s.more.Broadcast()
	return len(b), nil
}

func (m *memory) Close() error {
	for _, s := range []*stream{m.in, m.out} {
		s.mu.Lock()
		s.closed = true
		s.more.Broadcast()
		s.mu.Unlock()
	}
	return nil
}

func (*memory) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (*memory) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (*memory) SetDeadline(time.Time) error      { return nil }
func (*memory) SetReadDeadline(time.Time) error  { return nil }
func (*memory) SetWriteDeadline(time.Time) error { return nil }

// mailbox runs closures one after the other on one goroutine, as a loop does.
type mailbox struct {
	mu    sync.Mutex
	more  sync.Cond
	queue []func()
	stop  bool
	gone  chan struct{}
}

func newMailbox() *mailbox {
	m := &mailbox{gone: make(chan struct{})}
	m.more.L = &m.mu
	go m.run()
	return m
}

func (m *mailbox) post(f func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.queue = append(m.queue, f)
	m.more.Signal()
}

func (m *mailbox) run() {
	defer close(m.gone)
	for {
		m.mu.Lock()
		for len(m.queue) == 0 && !m.stop {
			m.more.Wait()
		}
		if len(m.queue) == 0 {
			m.mu.Unlock()
			return
		}
		f := m.queue[0]
		m.queue = m.queue[1:]
		m.mu.Unlock()
		f()
	}
}

func (m *mailbox) close() {
	m.mu.Lock()
	m.stop = true
	m.more.Signal()
	m.mu.Unlock()
	<-m.gone
}

// server is one connection of a loop that echoes. Everything but the channels is owned by its mailbox.
type server struct {
	pool   *Pool
	wire   net.Conn
	box    *mailbox
	shared *Shared
	piece  func(n int) int                   // cuts what is read into pieces; nil: as it came
	plain  func(s *server, p []byte)         // nil: echo
	opened func(s *server, o Opened)         // sees each record, after plain
	edit   func(s *server, in []byte) []byte // changes bytes before they are opened

	hello  []byte
	h      *Handshake
	live   bool
	conn   Conn
	in     []byte
	info   Info
	err    error
	result *record.Violation
	ended  bool
	closed bool // close_notify was received

	handshaken chan struct{} // HandshakeDone was handled, or the hello refused
	finished   chan struct{} // the connection is over
}

func (s *server) HandshakeWrite(_ *Handshake, flight []byte) {
	s.box.post(func() { s.write(flight) })
}

func (s *server) HandshakeDone(h *Handshake) { s.box.post(func() { s.take(h) }) }

func (s *server) write(b []byte) {
	if !s.ended {
		_, _ = s.wire.Write(b) // a peer that has gone is seen by the reader
	}
}

func (s *server) take(h *Handshake) {
	defer close(s.handshaken)
	if s.info, s.err = h.Take(&s.conn); s.err != nil {
		s.end()
		return
	}
	s.live = true
	s.data(h.Leftover())
}

// data is what the socket reads.
func (s *server) data(b []byte) {
	switch {
	case s.ended:
	case s.live:
		if s.edit != nil {
			b = s.edit(s, b)
		}
		s.in = append(s.in, b...)
		s.records()
	case s.h != nil:
		if !s.h.Feed(b) {
			s.h.Abort()
		}
	default:
		s.hello = append(s.hello, b...)
		whole, v := Hello(s.hello)
		if v != nil {
			s.result = v
			s.end()
			close(s.handshaken)
		} else if whole {
			s.h = s.pool.Start(s.hello, netip.MustParseAddr("192.0.2.1"), 7, s)
		}
	}
}

func (s *server) records() {
	for !s.ended {
		o := s.conn.Open(s.shared, s.in, nil)
		s.write(o.Out)
		if len(o.Plain) > 0 {
			if s.plain != nil {
				s.plain(s, o.Plain)
			} else {
				s.send(o.Plain)
			}
		}
		if s.opened != nil {
			s.opened(s, o)
		}
		if s.result = o.Violation; o.Violation != nil || o.CloseNotify {
			if s.closed = o.CloseNotify; s.closed {
				s.write(s.conn.AppendCloseNotify(s.shared, nil))
			}
			s.end()
			return
		}
		if o.N == 0 {
			return
		}
		s.in = s.in[o.N:]
	}
}

func (s *server) send(plain []byte) {
	buf := append(make([]byte, record.HeaderLen, len(plain)+64), plain...)
	s.write(s.conn.Seal(s.shared, buf, 0))
}

func (s *server) end() {
	if !s.ended {
		s.ended = true
		s.conn.Wipe(s.shared)
		_ = s.wire.Close()
		close(s.finished)
	}
}

// serve runs a server on wire until both are closed.
func serve(t testing.TB, pool *Pool, wire net.Conn, change ...func(*server)) *server {
	t.Helper()
	s := &server{
		pool: pool, wire: wire, box: newMailbox(), shared: NewShared(64 << 10),
		handshaken: make(chan struct{}), finished: make(chan struct{}),
	}
	for _, f := range change {
		f(s)
	}
	reading := make(chan struct{})
	go func() {
		defer close(reading)
		buf := make([]byte, 64<<10)
		for {
			n, err := wire.Read(buf)
			for b := append([]byte(nil), buf[:n]...); len(b) > 0; {
				k := len(b)
				if s.piece != nil {
					k = min(k, s.piece(k))
				}
				part := b[:k:k]
				b = b[k:]
				s.box.post(func() { s.data(part) })
			}
			if err != nil {
				s.box.post(func() {
					if s.h != nil && !s.live {
						s.h.Abort()
					}
					s.end()
				})
				return
			}
		}
	}()
	t.Cleanup(func() {
		_ = wire.Close()
		<-reading
		s.box.post(s.end)
		s.box.close()
	})
	return s
}

// within fails the test when ch stays open.
func within(t testing.TB, ch <-chan struct{}, what string) {
	t.Helper()
	select {
	case <-ch:
	case <-time.After(patience):
		t.Fatal("no end of: " + what)
	}
}

// authority is a CA and what it has signed.
type authority struct {
	pool  *x509.CertPool
	root  []byte // DER
	ecdsa tls.Certificate
	rsa   tls.Certificate
}

var testAuthority = sync.OnceValue(func() authority {
	must := func(err error) {
		if err != nil {
			panic(err)
		}
	}
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(err)
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test root"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	caDER, err := x509.CreateCertificate(rand.Reader, ca, ca, caKey.Public(), caKey)
	must(err)
	root, err := x509.ParseCertificate(caDER)
	must(err)
	sign := func(key crypto.Signer, serial int64) tls.Certificate {
		leaf := &x509.Certificate{
			SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "weir.test"}, DNSNames: []string{"weir.test"},
			NotBefore: ca.NotBefore, NotAfter: ca.NotAfter,
			ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		}
		der, err := x509.CreateCertificate(rand.Reader, leaf, root, key.Public(), caKey)
		must(err)
		return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
	}
	a := authority{pool: x509.NewCertPool(), root: caDER}
	a.pool.AddCert(root)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(err)
	a.ecdsa = sign(key, 2)
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	must(err)
	a.rsa = sign(rsaKey, 3)
	return a
})

func serverConfig() *tls.Config {
	return &tls.Config{Certificates: []tls.Certificate{testAuthority().ecdsa}}
}

func clientConfig() *tls.Config {
	return &tls.Config{RootCAs: testAuthority().pool, ServerName: "weir.test"}
}

// newPool makes a pool that is closed, and seen to be empty, at the end of the test.
func newPool(t testing.TB, change ...func(*PoolConfig)) *Pool {
	t.Helper()
	cfg := PoolConfig{TLS: serverConfig(), Computing: 2, Waiting: 64, StaleAfter: time.Hour}
	for _, f := range change {
		f(&cfg)
	}
	cfg.Panic = func(v any, stack []byte) { t.Errorf("panic in a handshake: %v\n%s", v, stack) }
	p, err := NewPool(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.Close()
		if c := p.Counters(); c.InFlight != 0 || c.Computing != 0 || c.Queued != 0 || c.Waiting != 0 {
			t.Errorf("after Close: %+v", c)
		}
	})
	return p
}

// echo writes a message to a client's connection and reads it back.
func echo(t testing.TB, c io.ReadWriter, message []byte) {
	t.Helper()
	if _, err := c.Write(message); err != nil {
		t.Fatalf("write: %v", err)
	}
	got := make([]byte, len(message))
	if _, err := io.ReadFull(c, got); err != nil {
		t.Fatalf("read: %v", err)
	}
	if !bytes.Equal(got, message) {
		t.Fatal("echo differs")
	}
}

// pattern is n bytes that are not all the same.
func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i*7 + i>>8)
	}
	return b
}
