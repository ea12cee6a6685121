package engine

import (
	"context"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// boundedListener holds at most so many accepted connections open. Those above
// are closed as soon as they are accepted: waiting would let who came first,
// and says nothing, keep out a scrape or a publisher for ever.
type boundedListener struct {
	net.Listener
	free chan struct{} // one for each connection that may still come
}

func newBoundedListener(ln net.Listener, connections int) *boundedListener {
	l := &boundedListener{Listener: ln, free: make(chan struct{}, connections)}
	for range connections {
		l.free <- struct{}{}
	}
	return l
}

// Accept implements net.Listener.
func (l *boundedListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		select {
		case <-l.free:
			return &boundedConn{Conn: c, free: l.free}, nil
		default:
			_ = c.Close() // nobody is told, as on the public listener
		}
	}
}

// boundedConn gives its place back when it is closed.
type boundedConn struct {
	net.Conn
	once sync.Once
	free chan<- struct{}
}

func (c *boundedConn) Close() error {
	c.once.Do(func() { c.free <- struct{}{} })
	return c.Conn.Close()
}

// internalErrors is the error log of an internal listener. What net/http says of
// a TLS handshake that failed quotes the peer: of that one line a second says
// that it was so.
type internalErrors struct {
	slog.Handler
	refused *atomic.Int64 // clock of the last such line
	now     func() int64
}

// Handle implements slog.Handler.
func (h *internalErrors) Handle(ctx context.Context, r slog.Record) error {
	if !strings.HasPrefix(r.Message, "http: TLS handshake error") {
		return h.Handler.Handle(ctx, r)
	}
	now, last := h.now(), h.refused.Load()
	if last != 0 && now-last < int64(time.Second) || !h.refused.CompareAndSwap(last, now) {
		return nil
	}
	return h.Handler.Handle(ctx, slog.NewRecord(r.Time, r.Level, "TLS handshake at --api-listen failed: the client shows no certificate of --api-client-ca-file, or does not trust ours", r.PC))
}
