package engine

import (
	"context"
	"log/slog"
	"net"
	"strings"
	"sync"
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
// a TLS handshake that failed quotes the peer, and is not repeated. A line's message
// is one of three, so that each counts as one fault.
type internalErrors struct{ slog.Handler }

// Handle implements slog.Handler.
func (h internalErrors) Handle(ctx context.Context, r slog.Record) error {
	said := slog.NewRecord(r.Time, r.Level, "internal listener", r.PC)
	switch {
	case strings.HasPrefix(r.Message, "http: TLS handshake error"):
		said.Message = "TLS handshake at --api-listen failed: the client shows no certificate of --api-client-ca-file, or does not trust ours"
		return h.Handler.Handle(ctx, said)
	case strings.HasPrefix(r.Message, "http: panic serving"):
		said.Message = "panic in a request to an internal listener"
	}
	said.AddAttrs(slog.String("error", r.Message))
	return h.Handler.Handle(ctx, said)
}
