package poll

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"net/netip"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/lesismal/nbio"
	"golang.org/x/sys/unix"
)

// ErrStopped is returned by Add after Stop was called.
var ErrStopped = errors.New("poll: loop is stopped")

const (
	defaultReadBuffer = 64 << 10
	defaultMaxUnsent  = 256 << 10
	// readsPerReport bounds what one connection may read before the others have their turn.
	readsPerReport = 3
	// discardBytes bounds what is read of a connection and dropped after Ignore or Finish, in blocks of dropBlock of
	// which each read takes one at least: what is under way when an honest peer hears that we close. Reading it
	// costs less than the handshake did. Attack: pouring on, which took the loop as long as the peer liked.
	discardBytes  = 1 << 20
	dropBlock     = 4 << 10
	discardBlocks = discardBytes / dropBlock
	// heldWindow is the receive buffer, in bytes, of a connection that is no longer read. Attack: filling the
	// kernel's memory with what nobody reads.
	heldWindow = 4 << 10
	// maxVain is how many reports in a row may bring no input. One can happen (a checksum that is wrong, an
	// urgent byte); a condition that lasts would keep a core busy.
	maxVain = 16
)

// Handler is what a loop works for. Every method runs on the loop's goroutine,
// and none before NewLoop has returned. A panic in one closes the connection it
// was about and is reported to LoopConfig.Panic.
type Handler interface {
	// Open returns the storage for a new connection, or nil to refuse it; door is its listener's. The connection is
	// not registered yet: what is written during Open fails. Wake is called in the
	// same turn, so who must speak first does it there.
	Open(peer, local netip.AddrPort, door uint8) *Conn
	// Data lends input until it returns: b is the loop's one read buffer.
	Data(c *Conn, b []byte)
	// Writable tells that the kernel took everything that was queued, after Unsent was above 0.
	Writable(c *Conn)
	// Closed is the last call for c; its storage may be reused at once.
	Closed(c *Conn)
	// Wake follows Loop.Wake, one call for any number of them, and every turn that poll
	// needs for itself. now was read at the beginning of the turn.
	Wake(now time.Time)
}

// LoopConfig configures a Loop. The zero value is usable.
type LoopConfig struct {
	Name       string
	ReadBuffer int // bytes, the longest slice lent to Data; 0: 64 KiB
	MaxUnsent  int // bytes one connection may have queued in user space; 0: 256 KiB
	Log        *slog.Logger
	// Panic is told of a handler's panic, on the loop's goroutine. nil: it is logged.
	Panic func(v any, stack []byte)
	// Now is read once a turn. nil: time.Now.
	Now func() time.Time
}

// Loop is one goroutine that serves many connections.
type Loop struct {
	// Immutable.
	handler   Handler
	engine    *nbio.Engine
	bell      *bell
	maxUnsent int
	maxFD     int
	log       *slog.Logger
	onPanic   func(v any, stack []byte)
	fields    connFields
	now       func() time.Time
	poller    int           // descriptor that nbio waits on
	started   chan struct{} // closed by the first turn
	unlaid    error         // of the first turn: the loop cannot be used
	empty     chan struct{} // closed when stopping and nothing is open
	stopOnce  sync.Once

	open atomic.Int64 // connections added and not yet delivered to Closed

	mu       sync.Mutex // a leaf: never held across a call that leaves this package
	stopping bool       // guarded by mu
	arrived  []newcomer // guarded by mu
	hungUp   []*Conn    // guarded by mu

	// Owned by the loop.
	conns   []*Conn    // all open connections
	current *Conn      // the connection whose own report is being handled
	drained []*Conn    // to be told Writable in the next turn
	parked  []newcomer // registered by a later turn: see freed
	freed   freed
	turns   uint64
	nextLog time.Time // earliest time of the next line about connections that cannot be watched
	aborted bool      // stopping has aborted everything
	spare   struct {
		arrived []newcomer
		hungUp  []*Conn
	}
}

// newcomer is a connection that is not registered yet: its number is taken, and only we know it.
type newcomer struct {
	nb          *nbio.Conn
	peer, local netip.AddrPort
	door        uint8
}

// NewLoop starts a loop; Stop ends it.
func NewLoop(cfg LoopConfig, h Handler) (*Loop, error) {
	if cfg.ReadBuffer == 0 {
		cfg.ReadBuffer = defaultReadBuffer
	}
	if cfg.MaxUnsent == 0 {
		cfg.MaxUnsent = defaultMaxUnsent
	}
	if cfg.ReadBuffer < 0 || cfg.MaxUnsent < 0 || cfg.MaxUnsent > math.MaxInt32 {
		return nil, fmt.Errorf("poll: ReadBuffer %d or MaxUnsent %d is out of range", cfg.ReadBuffer, cfg.MaxUnsent)
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	replaceNbioLog(cfg.Log)
	l := &Loop{
		handler:   h,
		maxUnsent: cfg.MaxUnsent,
		maxFD:     nbio.MaxOpenFiles,
		log:       cfg.Log.With("loop", cfg.Name),
		onPanic:   cfg.Panic,
		now:       cfg.Now,
		started:   make(chan struct{}),
		empty:     make(chan struct{}),
		freed:     newFreed(),
	}
	if err := l.start(cfg); err != nil {
		return nil, fmt.Errorf("poll: loop %s: %w", cfg.Name, err)
	}
	return l, nil
}

func (l *Loop) start(cfg LoopConfig) error {
	g := nbio.NewEngine(nbio.Config{
		Name:           cfg.Name,
		NPoller:        1,
		ReadBufferSize: cfg.ReadBuffer,
		EpollMod:       nbio.EPOLLLT,
		BodyAllocator:  newBatches(),
	})
	g.OnRead(l.read)
	g.OnClose(l.closed)
	g.OnWrittenSize(l.written)
	var err error
	if l.fields, err = newConnFields(); err != nil {
		return err
	}
	b, err := newBell()
	if err != nil {
		return err
	}
	l.engine, l.bell = g, b
	poller, err := startEngine(g)
	if err != nil {
		_ = b.write.Close()
		_ = b.read.Close()
		return err
	}
	l.poller = poller
	// A stop before the poller's goroutine runs would be overwritten by it, so what may fail comes in the first turn.
	err = b.begin()
	if err == nil {
		_, err = g.AddConn(b.read)
	}
	if err == nil {
		<-l.started
		err = l.unlaid
	}
	if err != nil {
		g.Stop()
		b.close()
	}
	return err
}

// Add hands tc over to the loop; tc must not be used afterwards. Any goroutine may
// call it. On error tc is closed: EMFILE and ENFILE (the descriptor is duplicated
// here), or ErrStopped.
func (l *Loop) Add(tc *net.TCPConn) error {
	n, err := l.newcomer(tc)
	if err != nil {
		return err
	}
	return l.add(n)
}

// adopt is Add for a descriptor that a listener on local got.
func (l *Loop) adopt(a arrival, local netip.AddrPort, door uint8) error {
	if a.fd >= l.maxFD {
		_ = unix.Close(a.fd)
		return overLimit(a.fd)
	}
	if local.Addr().IsUnspecified() {
		if sa, err := unix.Getsockname(a.fd); err == nil {
			local = sockaddrPort(sa)
		}
	}
	return l.add(newcomer{nb: l.fields.conn(a.fd), peer: a.peer, local: local, door: door})
}

func overLimit(fd int) error {
	return fmt.Errorf("poll: descriptor %d is above the limit at start: %w", fd, syscall.EMFILE)
}

func (l *Loop) add(n newcomer) error {
	l.mu.Lock()
	if l.stopping {
		l.mu.Unlock()
		_ = n.nb.Close()
		return ErrStopped
	}
	l.open.Add(1)
	l.arrived = append(l.arrived, n)
	l.mu.Unlock()
	l.bell.ring()
	return nil
}

func (l *Loop) newcomer(tc *net.TCPConn) (newcomer, error) {
	peer, ok1 := tc.RemoteAddr().(*net.TCPAddr)
	local, ok2 := tc.LocalAddr().(*net.TCPAddr)
	if !ok1 || !ok2 {
		_ = tc.Close()
		return newcomer{}, net.ErrClosed
	}
	n := newcomer{peer: addrPort(peer), local: addrPort(local)}
	nb, err := duplicate(tc)
	if err != nil {
		_ = tc.Close()
		return newcomer{}, err
	}
	if nb.Hash() >= l.maxFD {
		_ = nb.Close()
		return newcomer{}, overLimit(nb.Hash())
	}
	l.fields.forgetAddresses(nb)
	n.nb = nb
	return n, nil
}

// addrPort returns the address with an IPv4 address as such, also on a dual-stack socket.
func addrPort(a *net.TCPAddr) netip.AddrPort {
	ap := a.AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}

// Wake makes the loop call Handler.Wake soon. Any goroutine may call it, also the
// loop's; it never blocks, and does nothing after Stop.
func (l *Loop) Wake() { l.bell.ring() }

// Len is the number of connections added and not yet delivered to Closed. Any goroutine may call it.
func (l *Loop) Len() int { return int(l.open.Load()) }

// Stop closes every connection without ceremony, waits until Closed was called for
// each, and until the loop's goroutine and descriptors are gone. Any goroutine but the
// loop's may call it, more than once.
func (l *Loop) Stop() {
	l.mu.Lock()
	l.stopping = true
	l.mu.Unlock()
	l.bell.ring()
	<-l.empty
	l.stopOnce.Do(func() {
		l.engine.Stop()
		l.bell.close()
	})
}

// read is nbio's OnRead: one report that there is input, in place of nbio's own reading, which
// would go on for ever where the kernel reports what cannot be read.
func (l *Loop) read(nb *nbio.Conn) {
	b := l.engine.PollerBuffer(nb)
	if nb == l.bell.read {
		if l.bell.answer(b) {
			l.turn()
		}
		l.bell.rest()
		return
	}
	c := nb.Session().(*Conn)
	for reads := 1; !c.spent(); reads++ {
		n, err := nb.Read(b)
		switch {
		case n > 0:
			c.vain = 0
			l.data(c, b[:n])
		case errors.Is(err, syscall.EAGAIN) && reads == 1:
			c.readInVain()
		case err == nil || !errors.Is(err, syscall.EAGAIN) && !errors.Is(err, syscall.EINTR):
			_ = nb.Close() // the peer's FIN or reset; nothing happens when the handler closed it
		}
		if n < len(b) || !c.mayRead(reads) {
			break
		}
	}
	if c.spent() {
		c.hold()
	}
}

// mayRead reports whether c may read more after so many reads in one report. One that only
// waits for the peer's FIN is emptied: nbio closes it after this report when the FIN is already there.
// Closing over unread input would send a reset, and a reset may take our last bytes from a peer
// that has not read them yet.
func (c *Conn) mayRead(reads int) bool {
	return c.flags&flagDeaf != 0 || reads < readsPerReport
}

// data lends input to the handler.
func (l *Loop) data(c *Conn, b []byte) {
	if c.flags&flagDeaf != 0 {
		c.deafTo(len(b))
		return
	}
	l.current = c
	defer l.contain(c)
	l.handler.Data(c, b)
}

// readInVain notes a report without input. A peer can make one last: with a byte marked urgent in a
// segment behind a hole, which the kernel reports and does not give out before the hole is filled.
func (c *Conn) readInVain() {
	if c.vain++; c.vain > maxVain {
		_ = c.nb.Close()
	}
}

// contain ends a call of the handler. c may be nil.
func (l *Loop) contain(c *Conn) {
	v := recover()
	if v != nil {
		l.report(v)
		if c != nil {
			c.Abort()
		}
	}
	l.current = nil
}

func (l *Loop) report(v any) {
	stack := debug.Stack()
	if l.onPanic == nil {
		l.log.Error("handler panicked", "panic", v, "stack", string(stack))
		return
	}
	l.onPanic(v, stack)
}

// written is nbio's OnWrittenSize. It runs on the loop, inside Write too, under the
// connection's lock: no call to the connection here.
func (l *Loop) written(nb *nbio.Conn, _ []byte, n int) {
	c, ok := nb.Session().(*Conn)
	if !ok {
		return
	}
	c.unsent -= int32(n)
	if c.unsent > 0 || c.flags&flagQueued == 0 {
		return
	}
	c.flags &^= flagQueued
	if c.flags&flagReported == 0 {
		c.flags |= flagReported
		l.drained = append(l.drained, c)
		l.bell.ring()
	}
}

// closed is nbio's OnClose. It runs on a goroutine of nbio.
func (l *Loop) closed(nb *nbio.Conn, _ error) {
	c, ok := nb.Session().(*Conn)
	if !ok {
		return // the bell
	}
	l.mu.Lock()
	l.hungUp = append(l.hungUp, c)
	l.mu.Unlock()
	l.bell.ring()
}

func (l *Loop) overUnsent(c *Conn, n int) {
	l.log.Error("a write exceeds MaxUnsent: connection closed", "bytes", n, "unsent", c.unsent, "max", l.maxUnsent)
	c.Abort()
}
