package client

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"weir/engine/poll"
	"weir/engine/tlsconn/record"
	"weir/engine/ws"
)

// Handler is what a Loop works for. All calls come on the loop's goroutine.
type Handler interface {
	// Opened is the first call for c.
	Opened(c *Conn)
	// Text lends a text message until it returns. now was read when its bytes arrived.
	Text(c *Conn, message []byte, now time.Time)
	// Closed is the last call for c.
	Closed(c *Conn, end *End)
}

// Loop is one goroutine that reads many connections.
type Loop struct {
	loop    *poll.Loop
	handler Handler

	mu      sync.Mutex
	adopted map[ends]*Conn // guarded by mu: until Open
	calls   []func()       // guarded by mu

	// Owned by the loop's goroutine.
	conns   []*Conn  // by the socket's slot
	free    []uint32 // slots without a connection
	fresh   []*Conn  // opened in this turn: what came before is still to be read
	frames  ws.Scratch
	limits  ws.Limits
	records record.Scratch
	frame   []byte
	out     []byte
	mask    uint32
	now     time.Time
	nowUnix uint32
}

// NewLoop starts a loop; Stop ends it.
func NewLoop(h Handler, log *slog.Logger) (*Loop, error) {
	var seed [4]byte
	if _, err := rand.Read(seed[:]); err != nil {
		return nil, err
	}
	l := &Loop{
		handler: h, adopted: make(map[ends]*Conn),
		limits: ws.Limits{Message: MaxMessage, Fragments: 1024, Client: true}, mask: binary.LittleEndian.Uint32(seed[:]),
	}
	var err error
	l.loop, err = poll.NewLoop(poll.LoopConfig{Name: "client", MaxUnsent: 1 << 20, Log: log}, (*turns)(l))
	return l, err
}

// Adopt makes a Conn of a Line, which must not be used afterwards. tag is the
// handler's. On error the line is closed.
func (l *Loop) Adopt(line *Line, tag uint32) error {
	c := &Conn{loop: l, Tag: tag}
	var err error
	if c.in, c.out, err = line.keys(); err != nil {
		return errors.Join(err, line.Close())
	}
	c.early = line.buf[line.from:line.to]
	if len(c.early) == 0 {
		c.early = nil
	}
	if err := line.tap.SetDeadline(time.Time{}); err != nil {
		return errors.Join(err, line.Close())
	}
	at := ends{peer: addrPort(line.tap.RemoteAddr()), local: addrPort(line.tap.LocalAddr())}
	l.mu.Lock()
	l.adopted[at] = c
	l.mu.Unlock()
	if err := l.loop.Add(line.tap.TCPConn); err != nil {
		l.mu.Lock()
		delete(l.adopted, at)
		l.mu.Unlock()
		return err
	}
	return nil
}

// ends are both addresses of a connection: the local one alone may be that of
// several, each to another server.
type ends struct{ peer, local netip.AddrPort }

// addrPort is an address of a TCP connection as poll tells it.
func addrPort(a net.Addr) netip.AddrPort {
	at := a.(*net.TCPAddr).AddrPort()
	return netip.AddrPortFrom(at.Addr().Unmap(), at.Port())
}

// Do runs f on the loop's goroutine, soon. After Stop it may not run.
func (l *Loop) Do(f func()) {
	l.mu.Lock()
	l.calls = append(l.calls, f)
	l.mu.Unlock()
	l.loop.Wake()
}

// Len is the number of connections.
func (l *Loop) Len() int { return l.loop.Len() }

// Stop cuts every connection and waits until Closed was called for each.
func (l *Loop) Stop() { l.loop.Stop() }

// turns is a Loop as its poll.Loop sees it.
type turns Loop

// Open finds the adopted connection.
func (t *turns) Open(peer, local netip.AddrPort, _ uint8) *poll.Conn {
	at := ends{peer, local}
	t.mu.Lock()
	c := t.adopted[at]
	delete(t.adopted, at)
	t.mu.Unlock()
	if c == nil {
		return nil
	}
	if n := len(t.free); n > 0 {
		c.socket.Slot, t.free = t.free[n-1], t.free[:n-1]
	} else {
		c.socket.Slot = uint32(len(t.conns))
		t.conns = append(t.conns, nil)
	}
	t.conns[c.socket.Slot] = c
	t.fresh = append(t.fresh, c)
	return &c.socket
}

// Wake reads what came with the adopted, then runs the calls.
func (t *turns) Wake(now time.Time) {
	t.tick(now)
	fresh := t.fresh
	t.fresh = nil
	for _, c := range fresh {
		t.handler.Opened(c)
		early := c.early
		c.early = nil
		c.plain(early)
	}
	t.mu.Lock()
	calls := t.calls
	t.calls = nil
	t.mu.Unlock()
	for _, f := range calls {
		f()
	}
}

func (t *turns) Data(p *poll.Conn, b []byte) {
	t.tick(time.Now())
	t.conns[p.Slot].input(b)
}

func (t *turns) Writable(*poll.Conn) {}

func (t *turns) Closed(p *poll.Conn) {
	c := t.conns[p.Slot]
	t.conns[p.Slot], t.free = nil, append(t.free, p.Slot)
	c.reader.Release(&t.frames)
	if c.end == nil {
		c.end = &End{}
	}
	c.in.Wipe()
	c.out.Wipe()
	t.handler.Closed(c, c.end)
}

func (t *turns) tick(now time.Time) {
	t.now, t.nowUnix = now, uint32(now.Unix())
}
