package audit

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"weir/security/certs/certstest"
	"weir/security/oplog/logtest"
)

// collector reads octet-counted messages from a TLS listener, as RFC 5425 says.
type collector struct {
	ln       net.Listener
	roots    *x509.CertPool
	messages chan string
}

func newCollector(t *testing.T) *collector {
	t.Helper()
	pair := certstest.NewServer(t)
	ln, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{pair.TLS}})
	if err != nil {
		t.Fatal(err)
	}
	c := &collector{ln: ln, roots: pair.Pool, messages: make(chan string, 1<<16)}
	t.Cleanup(func() { _ = ln.Close() })
	return c
}

// serve takes one connection and reads it to its end.
func (c *collector) serve(t *testing.T) {
	conn, err := c.ln.Accept()
	if err != nil {
		return
	}
	defer conn.Close()
	r := bufio.NewReader(conn)
	for {
		count, err := r.ReadString(' ')
		if err != nil {
			return
		}
		n, err := strconv.Atoi(strings.TrimSpace(count))
		if err != nil {
			t.Errorf("octet count %q", count)
			return
		}
		b := make([]byte, n)
		if _, err := io.ReadFull(r, b); err != nil {
			return
		}
		c.messages <- string(b)
	}
}

var rfc5424 = regexp.MustCompile(`^<(\d+)>1 \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z my_host weir 42 ([a-z-]+) - (.*)$`)

func TestSyslogOverTLS(t *testing.T) {
	c := newCollector(t)
	served := make(chan struct{})
	go func() { defer close(served); c.serve(t) }()
	d, err := DialSyslog(SyslogOptions{Address: c.ln.Addr().String(), TLS: &tls.Config{RootCAs: c.roots}, Host: "my host", PID: 42, Key: testKey()})
	if err != nil {
		t.Fatal(err)
	}
	l := quiet(Config{Destinations: []Destination{d}})
	for i := range 500 {
		l.Add(&Record{Time: at(i), Event: AuthenticationFailed, User: fmt.Sprintf("user %d\n<1>1 forged", i), Reason: fmt.Sprint(i)})
	}
	l.Close()
	<-served
	close(c.messages)
	var n uint64
	for m := range c.messages {
		match := rfc5424.FindStringSubmatch(m)
		if match == nil {
			t.Fatalf("not RFC 5424: %q", m)
		}
		e, err := ParseLine([]byte(match[3]))
		if err != nil {
			t.Fatal(err)
		}
		if n++; e.Seq != n || e.Event.String() != match[2] {
			t.Fatalf("message %d: %q", n, m)
		}
		if e.Event == AuthenticationFailed && match[1] != "108" {
			t.Errorf("priority %s", match[1])
		}
	}
	if n != 502 { // with the first and the last of the log
		t.Errorf("%d messages", n)
	}
}

// TestSyslogVerifiesItsCollector: one that nobody vouches for is told nothing.
func TestSyslogVerifiesItsCollector(t *testing.T) {
	c := newCollector(t)
	served := make(chan struct{})
	go func() { defer close(served); c.serve(t) }()
	var said logtest.Log
	d, err := DialSyslog(SyslogOptions{Address: c.ln.Addr().String(), TLS: &tls.Config{RootCAs: x509.NewCertPool()}, Log: textLog(&said)})
	if err != nil {
		t.Fatal(err)
	}
	l := quiet(Config{Destinations: []Destination{d}})
	l.Add(&Record{Time: at(0), Event: UserBlocked})
	l.Flush()
	<-served
	l.Close()
	if len(c.messages) > 0 || !strings.Contains(said.String(), "certificate") {
		t.Errorf("%d messages, said %s", len(c.messages), said.String())
	}
}

// TestDeadCollectorDoesNotBlock: what it cannot be told is counted.
func TestDeadCollectorDoesNotBlock(t *testing.T) {
	var dials atomic.Int32
	var said logtest.Log
	d, err := DialSyslog(SyslogOptions{Address: "collector.example:6514", Log: textLog(&said), Dial: func(context.Context, string) (net.Conn, error) {
		dials.Add(1)
		return nil, errors.New("nobody is there")
	}})
	if err != nil {
		t.Fatal(err)
	}
	l := quiet(Config{Destinations: []Destination{d}, Log: textLog(&said)})
	const events = 20_000
	for i := range events {
		l.Add(&Record{Time: at(0), Event: UserBlocked, UserAgent: strings.Repeat("x", 200)})
		if i%queueRecords == 0 {
			l.Flush()
		}
	}
	l.Close()
	c := l.Counters()
	if c.Lost == 0 || c.Failures == 0 {
		t.Errorf("%+v", c)
	}
	if n := int32(strings.Count(said.String(), "nobody is there")); n == 0 || n > dials.Load() {
		t.Errorf("said %d times, dialled %d times", n, dials.Load())
	}
}

// cutting breaks its first connection in the middle of a message.
type cutting struct {
	net.Conn
	left int
}

func (c *cutting) Write(b []byte) (int, error) {
	if c.left < 0 || len(b) <= c.left {
		c.left -= len(b)
		return c.Conn.Write(b)
	}
	n, _ := c.Conn.Write(b[:c.left])
	_ = c.Conn.Close()
	return n, io.ErrUnexpectedEOF
}

// TestSyslogReconnects: a message that was cut is sent again, whole.
func TestSyslogReconnects(t *testing.T) {
	c := newCollector(t)
	served := make(chan struct{})
	go func() { defer close(served); c.serve(t); c.serve(t) }()
	first := true
	d, err := DialSyslog(SyslogOptions{Address: c.ln.Addr().String(), Host: "h", Key: testKey(), Dial: func(ctx context.Context, address string) (net.Conn, error) {
		dialer := tls.Dialer{Config: &tls.Config{RootCAs: c.roots, ServerName: "localhost"}}
		conn, err := dialer.DialContext(ctx, "tcp", address)
		if err == nil && first {
			first = false
			return &cutting{conn, 5000}, nil
		}
		return conn, err
	}})
	if err != nil {
		t.Fatal(err)
	}
	l := quiet(Config{Destinations: []Destination{d}})
	for i := range 100 {
		l.Add(&Record{Time: at(i), Event: UserBlocked})
	}
	seen := map[uint64]bool{}
	for len(seen) < 101 {
		m := <-c.messages
		e, err := ParseLine([]byte(m[strings.Index(m, " - ")+3:]))
		if err != nil {
			t.Fatalf("%v in %q", err, m)
		}
		if seen[e.Seq] {
			t.Errorf("record %d twice", e.Seq)
		}
		seen[e.Seq] = true
	}
	l.Close()
	<-served
}
