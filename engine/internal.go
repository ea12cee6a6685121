package engine

import (
	"net"
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
