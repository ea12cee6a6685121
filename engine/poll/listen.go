package poll

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// ListenConfig configures a Listener. All of it is immutable after Listen.
type ListenConfig struct {
	Addr         string // host:port; without a host, every IPv4 and IPv6 address
	Flag         string // the option that Addr came from, for error messages; "": --listen
	Door         uint8  // told to Handler.Open with each connection, so that it knows the listener
	ReusePort    bool   // SO_REUSEPORT: several listeners on one address
	Congestion   string // TCP congestion control by name; "": the system's
	NotSentLowat int    // bytes, TCP_NOTSENT_LOWAT; 0: the system's
	// UserTimeout is TCP_USER_TIMEOUT: how long sent data may stay unacknowledged, and how long a
	// peer that does not read may keep its window shut; 0: the system's.
	UserTimeout time.Duration
	// MaxConns is the number of connections of all loops together above which a newcomer is
	// closed; 0: Capacity.
	MaxConns int
	// Admit decides about a peer before anything is spent on it; nil admits all. It is called by
	// Serve's goroutine.
	Admit func(peer netip.Addr) bool
	// Release is told of a peer that Admit let in and that no loop took (out of descriptors,
	// loop stopped), so Open is not called for it. May be nil.
	Release func(peer netip.Addr)
	// TurnedAway is told of each peer that was accepted by the kernel and that no loop
	// took. It is called by Serve's goroutine. May be nil.
	TurnedAway func(peer netip.AddrPort, why Refusal)
	Log        *slog.Logger
}

// Listener accepts TCP connections and spreads them over loops.
type Listener struct {
	// Immutable.
	cfg   ListenConfig
	ln    *os.File        // the listening socket: a net.Listener's own does not let others accept
	raw   syscall.RawConn // of ln
	local netip.AddrPort
	try   func(fd uintptr) bool // tryAccept, made once

	done chan struct{}
	once sync.Once

	accepted, refused, full, exhausted, failed atomic.Uint64

	spareMu sync.Mutex
	spare   *os.File // guarded by spareMu; see shed

	// Owned by Serve.
	got     arrival // of try
	gotErr  error
	pause   time.Duration
	nextLog time.Time
}

// Refusal is why a peer was turned away.
type Refusal uint8

// The refusals, as ListenCounters counts them.
const (
	NotAdmitted Refusal = iota
	Full
	Exhausted
	Failed
)

func (r Refusal) String() string {
	return [...]string{"refused", "full", "descriptors", "failed"}[min(r, Failed)]
}

// ListenCounters are totals since Listen.
type ListenCounters struct {
	Accepted  uint64 // handed to a loop
	Refused   uint64 // by Admit
	Full      uint64 // MaxConns reached
	Exhausted uint64 // closed for want of descriptors (EMFILE, ENFILE)
	Failed    uint64 // accept failed otherwise
}

// Listen binds the address. Errors name the option and what to do.
func Listen(ctx context.Context, cfg ListenConfig) (*Listener, error) {
	if cfg.Flag == "" {
		cfg.Flag = "--listen"
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if err := cfg.capacity(); err != nil {
		return nil, err
	}
	ln, err := listenTCP(ctx, cfg)
	if err != nil {
		return nil, err
	}
	l := &Listener{cfg: cfg, local: addrPort(ln.Addr().(*net.TCPAddr)), done: make(chan struct{})}
	l.try = l.tryAccept
	l.ln, err = ln.File() // duplicates it
	_ = ln.Close()
	if err == nil {
		l.raw, err = l.ln.SyscallConn()
	}
	if err != nil {
		_ = l.ln.Close() // does nothing if there is none
		return nil, fmt.Errorf("%s %s: %w", cfg.Flag, cfg.Addr, err)
	}
	if l.spare, err = os.Open(os.DevNull); err != nil {
		_ = l.ln.Close()
		return nil, fmt.Errorf("%s %s: no descriptor to spare: %w", cfg.Flag, cfg.Addr, err)
	}
	return l, nil
}

func listenTCP(ctx context.Context, cfg ListenConfig) (*net.TCPListener, error) {
	var optErr error
	lc := net.ListenConfig{
		KeepAlive: -1, // the protocols have pings of their own; it would be three system calls per accept
		Control: func(_, _ string, rc syscall.RawConn) error {
			if err := rc.Control(func(fd uintptr) { optErr = cfg.setOptions(int(fd)) }); err != nil {
				return err
			}
			return optErr
		},
	}
	lc.SetMultipathTCP(false) // options of an MPTCP listener are not those of its connections
	ln, err := lc.Listen(ctx, "tcp", cfg.Addr)
	switch {
	case optErr != nil:
		return nil, optErr
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("%s %s: another process has this address; stop it, or choose another port: %w", cfg.Flag, cfg.Addr, err)
	case errors.Is(err, syscall.EACCES):
		return nil, fmt.Errorf("%s %s: ports below 1024 need CAP_NET_BIND_SERVICE; grant it, or choose another port: %w", cfg.Flag, cfg.Addr, err)
	case err != nil:
		return nil, fmt.Errorf("%s %s: must be host:port with an address of this machine: %w", cfg.Flag, cfg.Addr, err)
	}
	return ln.(*net.TCPListener), nil
}

// setOptions sets what accepted sockets inherit from the listening one.
func (cfg *ListenConfig) setOptions(fd int) error {
	if cfg.ReusePort {
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1); err != nil {
			return fmt.Errorf("--reuse-port: this system refuses SO_REUSEPORT; leave the option out: %w", err)
		}
	}
	// What goes out is whole: a flush has all that is pending in one write.
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1); err != nil {
		return fmt.Errorf("TCP_NODELAY: %w", err)
	}
	return SocketOptions{Congestion: cfg.Congestion, NotSentLowat: cfg.NotSentLowat, UserTimeout: cfg.UserTimeout}.set(fd)
}

// Addr is the bound address, with the real port.
func (l *Listener) Addr() netip.AddrPort { return l.local }

// SetUserTimeout sets TCP_USER_TIMEOUT for the connections that come from now on. Any goroutine.
func (l *Listener) SetUserTimeout(d time.Duration) error {
	var failed error
	if err := l.raw.Control(func(fd uintptr) { failed = SocketOptions{UserTimeout: d}.set(int(fd)) }); err != nil {
		return err
	}
	return failed
}

// Counters may be called by any goroutine.
func (l *Listener) Counters() ListenCounters {
	return ListenCounters{
		Accepted:  l.accepted.Load(),
		Refused:   l.refused.Load(),
		Full:      l.full.Load(),
		Exhausted: l.exhausted.Load(),
		Failed:    l.failed.Load(),
	}
}

// Close stops accepting; Serve returns. Connections handed over stay. Any goroutine
// may call it, more than once.
func (l *Listener) Close() error {
	var err error
	l.once.Do(func() {
		close(l.done)
		err = l.ln.Close()
		l.spareMu.Lock()
		defer l.spareMu.Unlock()
		if l.spare != nil {
			_ = l.spare.Close()
			l.spare = nil
		}
	})
	return err
}
