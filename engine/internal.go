package engine

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
)

// boundedListener holds at most so many accepted connections open. One more takes
// the place of that which has said nothing for longest: whoever holds connections
// and asks nothing must not keep out a scrape or a publisher. Where all are asking,
// it is closed as soon as it is accepted: waiting would keep it out as well, and
// says nothing. All methods may be called from any goroutine.
type boundedListener struct {
	net.Listener
	most int // immutable

	mu   sync.Mutex
	open map[*boundedConn]uint64 // guarded by mu: since which turn it waits for a request; 0: it does not
	turn uint64                  // guarded by mu
}

func newBoundedListener(ln net.Listener, connections int) *boundedListener {
	return &boundedListener{Listener: ln, most: connections, open: make(map[*boundedConn]uint64)}
}

// Accept implements net.Listener.
func (l *boundedListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		held := &boundedConn{Conn: c, listener: l}
		if l.hold(held) {
			return held, nil
		}
		_ = c.Close() // nobody is told, as on the public listener
	}
}

// hold gives c a place, if there is one or one can be had.
func (l *boundedListener) hold(c *boundedConn) bool {
	l.mu.Lock()
	var gone *boundedConn
	if len(l.open) >= l.most {
		for other, since := range l.open {
			if since > 0 && (gone == nil || since < l.open[gone]) {
				gone = other
			}
		}
		if gone == nil {
			l.mu.Unlock()
			return false
		}
		delete(l.open, gone)
	}
	l.turn++
	l.open[c] = l.turn
	l.mu.Unlock()
	if gone != nil {
		_ = gone.Conn.Close() // its server's goroutine notices
	}
	return true
}

// state is for http.Server's ConnState: it tells who waits for a request.
func (l *boundedListener) state(conn net.Conn, state http.ConnState) {
	if secure, ok := conn.(*tls.Conn); ok {
		conn = secure.NetConn()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	c, ok := conn.(*boundedConn)
	if _, held := l.open[c]; !ok || !held {
		return
	}
	switch state {
	case http.StateIdle:
		l.turn++
		l.open[c] = l.turn
	case http.StateActive:
		l.open[c] = 0
	}
}

// boundedConn gives its place back when it is closed.
type boundedConn struct {
	net.Conn
	listener *boundedListener
}

func (c *boundedConn) Close() error {
	c.listener.mu.Lock()
	delete(c.listener.open, c)
	c.listener.mu.Unlock()
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
