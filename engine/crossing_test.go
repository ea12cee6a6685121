package engine

import (
	"bytes"
	"context"
	crand "crypto/rand"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"weir/engine/stats"
	"weir/engine/ws"
)

// Nothing crosses connections (SECURITY.md D3): each subscriber has a channel of
// its own, and its own canary is in the name and in all that is published there.
// Connections come and go at any moment, with much that waits for them, so that
// slots, descriptors, buffers and ciphers pass from one to the next. Nobody may
// ever see another's canary.

var crossings = flag.Int64("crossings", 1_000_000, "messages of TestNothingCrosses")

const (
	crossingSeats = 48
	crossingBurst = 32 // publications that are awaited together
	crossingLife  = 8  // bursts of one connection, at most
	canaryMark    = "canary-"
)

// crossing is one run.
type crossing struct {
	*testServer
	jwt   string
	total int64
	seen  atomic.Int64
	lives atomic.Int64

	mu   sync.Mutex
	last [crossingSeats]string // the canaries of the connections before, whose numbers others have now; guarded by mu
}

// seat is one connection of the run.
type seat struct {
	conn   *tls.Conn
	canary string
	buf    []byte // what was read
	used   int    // of it, by the last message
}

func TestNothingCrosses(t *testing.T) {
	total := *crossings
	if raceEnabled {
		total = min(total, 40_000)
	}
	x := &crossing{total: total, jwt: sign(t, "u", "feeds:*")}
	x.testServer = start(t, func(c *Config) {
		c.Pollers, c.Compression = 4, true
		c.Limits.MessageRate, c.Limits.SubscribeRate, c.Limits.IPConnections, c.Limits.IPHandshakes = 0, 0, 0, 0
		c.Limits.TLSKeyCache = 16 << 10 // ciphers change hands too
	})
	var all sync.WaitGroup
	failed := make(chan error, crossingSeats)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for i := range crossingSeats {
		all.Go(func() {
			for x.seen.Load() < x.total && ctx.Err() == nil {
				if err := x.live(ctx, i); err != nil {
					failed <- err
					cancel()
					return
				}
			}
		})
	}
	all.Wait()
	select {
	case err := <-failed:
		t.Fatal(err)
	default:
	}
	t.Logf("%d messages over %d connections, none foreign", x.seen.Load(), x.lives.Load())
	if n := x.stats.Total(stats.Deliveries); n < uint64(x.total) || x.lives.Load() < x.total/(crossingBurst*crossingLife) {
		t.Errorf("%d deliveries to %d connections", n, x.lives.Load())
	}
	eventually(t, "all gone", func() bool { return x.connections() == 0 })
}

// live is one connection from its beginning to an end that comes in one of
// several ways.
func (x *crossing) live(ctx context.Context, i int) error {
	st, err := x.sit(i%2 == 1)
	if err != nil {
		return fmt.Errorf("a connection: %w", err)
	}
	defer st.conn.Close()
	defer context.AfterFunc(ctx, func() { _ = st.conn.NetConn().Close() })() // nobody waits when one has failed
	x.lives.Add(1)
	for range 1 + rand.IntN(crossingLife) {
		if err := x.burst(ctx, st.canary, i); err != nil {
			return err
		}
		if err := x.read(st); err != nil {
			return err
		}
		if x.seen.Load() >= x.total || ctx.Err() != nil {
			break
		}
	}
	if rand.IntN(2) == 0 { // what waits for it goes with it
		if err := x.burst(ctx, st.canary, i); err != nil {
			return err
		}
	}
	x.mu.Lock()
	x.last[i] = st.canary
	x.mu.Unlock()
	switch rand.IntN(3) {
	case 0:
		_ = st.conn.NetConn().(*net.TCPConn).SetLinger(0)
		_ = st.conn.NetConn().Close()
	case 1:
		_, _ = st.conn.Write(masked(ws.Header{Fin: true, Opcode: ws.OpClose}, "\x03\xe8"))
	}
	return nil
}

// burst publishes to the connection, and to one that is gone.
func (x *crossing) burst(ctx context.Context, canary string, i int) error {
	x.mu.Lock()
	gone := x.last[(i+1)%crossingSeats]
	x.mu.Unlock()
	for n := range crossingBurst {
		to := []string{canary}
		if n == crossingBurst/2 && gone != "" {
			to = append(to, gone)
		}
		for _, to := range to {
			if _, _, err := x.Publish(ctx, "feeds:"+to, fmt.Appendf(nil, `{"for":"%s","pad":"%s"}`, to, strings.Repeat("-", rand.IntN(200)))); err != nil {
				return err
			}
		}
	}
	return nil
}

// sit connects, by the protocol or by /feed, and subscribes.
func (x *crossing) sit(feed bool) (*seat, error) {
	st := &seat{canary: canaryMark + crand.Text(), buf: make([]byte, 0, 16<<10)}
	d := tls.Dialer{NetDialer: &net.Dialer{Timeout: testWait}, Config: x.tlsConfig()}
	conn, err := d.Dial("tcp", x.Addr().String())
	if err != nil {
		return nil, err
	}
	st.conn = conn.(*tls.Conn)
	_ = conn.SetDeadline(time.Now().Add(testWait))
	said := fmt.Appendf(nil, rawUpgrade, pathProtocol)
	if feed {
		head := strings.TrimSuffix(fmt.Sprintf(rawUpgrade, pathFeed+"?channel=feeds:"+st.canary), "\r\n")
		said = []byte(head + "Authorization: Bearer " + x.jwt + "\r\n\r\n")
	} else {
		said = append(said, masked(ws.Header{Fin: true, Opcode: ws.OpText}, `{"id":1,"connect":{"token":"`+x.jwt+`"}}`+"\n"+
			`{"id":2,"subscribe":{"channel":"feeds:`+st.canary+`"}}`)...)
	}
	if _, err := conn.Write(said); err != nil {
		return st, errors.Join(err, conn.Close())
	}
	for !bytes.Contains(st.buf, []byte("\r\n\r\n")) {
		if err := st.fill(); err != nil {
			return st, errors.Join(err, conn.Close())
		}
	}
	answer, rest, _ := bytes.Cut(st.buf, []byte("\r\n\r\n"))
	if !bytes.HasPrefix(answer, []byte("HTTP/1.1 101 ")) {
		return st, errors.Join(fmt.Errorf("answered %.100q", answer), conn.Close())
	}
	st.buf = st.buf[:copy(st.buf, rest)]
	if feed { // subscribed with the 101
		return st, nil
	}
	for {
		message, err := st.next()
		if err != nil {
			return st, errors.Join(err, conn.Close())
		}
		if bytes.Contains(message, []byte(`"id":2,"subscribe"`)) {
			return st, nil
		}
	}
}

// fill reads once, behind what is there.
func (st *seat) fill() error {
	if len(st.buf) == cap(st.buf) {
		st.buf = append(st.buf, 0)[:len(st.buf)]
	}
	n, err := st.conn.Read(st.buf[len(st.buf):cap(st.buf)])
	st.buf = st.buf[:len(st.buf)+n]
	return err
}

// next is the next message; it is good until the one after.
func (st *seat) next() ([]byte, error) {
	st.buf = st.buf[:copy(st.buf, st.buf[st.used:])]
	st.used = 0
	for {
		h, n, v := ws.ParseHeader(st.buf)
		switch {
		case v != nil || n > 0 && (h.Opcode != ws.OpText || h.Masked || !h.Fin || h.Rsv1):
			return nil, fmt.Errorf("no frame of a message: %.200q", st.buf)
		case n > 0 && uint64(len(st.buf)-n) >= h.Length:
			st.used = n + int(h.Length)
			return st.buf[n:st.used], nil
		}
		if err := st.fill(); err != nil {
			return nil, err
		}
	}
}

// read takes one burst. Each canary in it must be the connection's own.
func (x *crossing) read(st *seat) error {
	for range crossingBurst {
		message, err := st.next()
		if err != nil {
			return fmt.Errorf("%s: %w", st.canary, err)
		}
		own := 0
		for rest := message; ; own++ {
			i := bytes.Index(rest, []byte(canaryMark))
			if i < 0 {
				break
			}
			if rest = rest[i:]; !bytes.HasPrefix(rest, []byte(st.canary)) {
				return fmt.Errorf("%s sees %s", st.canary, message)
			}
			rest = rest[len(st.canary):]
		}
		if own != 2 { // as the channel, and in the data
			return fmt.Errorf("%s sees %s", st.canary, message)
		}
		x.seen.Add(1)
	}
	return nil
}
