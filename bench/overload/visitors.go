//go:build linux

package main

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"weir/bench/internal/stepper"
)

const (
	// visitorsFrom is where they come from: each from another address, again and again, so that no limit of one holds them.
	visitorsFrom = "127.2.0.0/15"
	// visitsAtOnce is how many of a loop may be open: descriptors are few. Who would be one more is not offered.
	visitsAtOnce = 8000
	// turnTime is how long a loop waits for the server at most before it looks at who is due.
	turnTime = time.Millisecond
	// perTurn is how many may come before the loop looks again at those that are there: what the server says should not wait.
	perTurn = 32
)

// stage is how clients come. Exactly one of together and rate is above 0.
type stage struct {
	together int           // at any time; another comes when one is through
	rate     float64       // a second, whatever becomes of those before
	patience time.Duration // from the connect until one who is not through gives up
}

// tally is what became of visits.
type tally struct {
	offered   atomic.Int64 // connected, or on the way, with a hello
	completed atomic.Int64 // TLS and upgrade
	refused   atomic.Int64 // closed by the server, not answered
	gaveUp    atomic.Int64 // not answered in time
	broken    atomic.Int64 // answered, and not completed
	skipped   atomic.Int64 // due, and not offered for want of descriptors
}

// visitors is one loop of clients that make a TLS handshake, upgrade and leave. Their hellos are made before they come, and who was not
// answered leaves his to another: an overload costs the machine that it comes from little more than its connects. Owned by
// the goroutine of run.
type visitors struct {
	tally  *tally // shared with other loops
	config *tls.Config
	server unix.SockaddrInet4
	from   netip.Prefix
	number uint32 // of the next source address
	stride uint32 // loops that share the prefix
	epoll  int
	ready  []*begun
	visits map[int32]*visit
	order  []*visit // by when they came; those that are over are skipped
	buf    [16 << 10]byte
}

// begun is a handshake whose hello is made, and nothing was answered yet.
type begun struct {
	client *stepper.Stepper
	hello  []byte
}

// visit is one connection.
type visit struct {
	fd    int
	since time.Time
	begun *begun
	state state
}

type state byte

// The states of a visit.
const (
	connecting state = iota // the hello is not sent
	asking                  // it is
	answered                // something came back
	over
)

func newVisitors(t *tally, config *tls.Config, server netip.AddrPort, loop, loops int) (*visitors, error) {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, err
	}
	return &visitors{
		tally: t, config: config, server: unix.SockaddrInet4{Port: int(server.Port()), Addr: server.Addr().As4()},
		from: netip.MustParsePrefix(visitorsFrom), number: uint32(loop), stride: uint32(loops), epoll: epoll, visits: map[int32]*visit{},
	}, nil
}

// prepare makes hellos until there are n.
func (v *visitors) prepare(n int) {
	for len(v.ready) < n {
		v.ready = append(v.ready, v.begin())
	}
}

func (v *visitors) begin() *begun {
	b := &begun{client: stepper.New(func(c net.Conn) error { return enter(tls.Client(c, v.config)) })}
	b.hello = b.client.Step(nil)
	return b
}

// request asks for a WebSocket. The key is any 16 bytes.
const request = "GET /connection/websocket HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
	"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"

// enter is all that a client does. Only what the server says last tells that its end of the handshake is done too.
func enter(c *tls.Conn) error {
	if err := c.Handshake(); err != nil {
		return err
	}
	if _, err := c.Write([]byte(request)); err != nil {
		return err
	}
	answer := make([]byte, 1024)
	for n := 0; !bytes.Contains(answer[:n], []byte("\r\n\r\n")); {
		more, err := c.Read(answer[n:])
		if n += more; err != nil {
			return err
		}
	}
	if !bytes.HasPrefix(answer, []byte("HTTP/1.1 101 ")) {
		return fmt.Errorf("answered %.30q", answer)
	}
	return nil
}

// run lets clients come until stop is closed, and then ends those that are there. An error is one of this machine.
func (v *visitors) run(s stage, stop <-chan struct{}) error {
	began, came := time.Now(), 0
	events := make([]unix.EpollEvent, 512)
	for {
		select {
		case <-stop:
			for _, at := range v.visits {
				v.leave(at, nil)
			}
			v.order = v.order[:0]
			return nil
		default:
		}
		now := time.Now()
		due := int(s.rate * now.Sub(began).Seconds())
		if s.together > 0 {
			came, due = len(v.visits), s.together
		}
		for end := min(due, came+perTurn); came < end; came++ {
			if err := v.arrive(now); err != nil {
				return err
			}
		}
		v.giveUp(now.Add(-s.patience))
		wait := turnTime
		if came < due {
			wait = 0
		}
		n, err := unix.EpollWait(v.epoll, events, int(wait.Milliseconds()))
		if err != nil && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("epoll_wait: %w", err)
		}
		for _, e := range events[:max(n, 0)] {
			if at := v.visits[e.Fd]; at != nil {
				v.attend(at, e.Events)
			}
		}
	}
}

// arrive is the next client.
func (v *visitors) arrive(now time.Time) error {
	if len(v.visits) >= visitsAtOnce {
		v.tally.skipped.Add(1)
		return nil
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("socket: %w", err)
	}
	at := &visit{fd: fd, since: now}
	err = errors.Join(
		unix.SetsockoptString(fd, unix.IPPROTO_TCP, unix.TCP_CONGESTION, "cubic"),
		unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1),
		unix.Bind(fd, &unix.SockaddrInet4{Addr: v.source()}),
		unix.EpollCtl(v.epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLOUT | unix.EPOLLET, Fd: int32(fd)}),
	)
	if err == nil {
		if err = unix.Connect(fd, &v.server); errors.Is(err, unix.EINPROGRESS) {
			err = nil
		}
	}
	if err != nil {
		return errors.Join(err, unix.Close(fd))
	}
	if len(v.ready) == 0 {
		v.prepare(1)
	}
	at.begun = v.ready[len(v.ready)-1]
	v.ready = v.ready[:len(v.ready)-1]
	v.visits[int32(fd)] = at
	v.order = append(v.order, at)
	v.tally.offered.Add(1)
	v.attend(at, 0) // on loopback it is connected already
	return nil
}

// source is another address for each until all have had their turn.
func (v *visitors) source() (a [4]byte) {
	n := v.number & (1<<(32-v.from.Bits()) - 1)
	v.number += v.stride
	a = v.from.Addr().As4()
	binary.BigEndian.PutUint32(a[:], binary.BigEndian.Uint32(a[:])|n)
	if a[3] == 0 || a[3] == 255 {
		a[3] = 1
	}
	return a
}

// attend goes on with a visit as far as the server lets it.
func (v *visitors) attend(at *visit, events uint32) {
	if at.state == connecting {
		n, err := unix.Write(at.fd, at.begun.hello)
		switch {
		case errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.ENOTCONN):
			return
		case n != len(at.begun.hello):
			v.leave(at, &v.tally.refused)
			return
		}
		at.state = asking
	}
	if events&^unix.EPOLLOUT == 0 {
		return
	}
	for at.state != over {
		n, err := unix.Read(at.fd, v.buf[:])
		switch {
		case errors.Is(err, unix.EAGAIN):
			return
		case n <= 0 && at.state == asking:
			v.leave(at, &v.tally.refused)
		case n <= 0:
			v.leave(at, &v.tally.broken)
		default:
			v.answer(at, v.buf[:n])
		}
	}
}

// answer takes what the server says to its hello, and says what is left to say.
func (v *visitors) answer(at *visit, said []byte) {
	at.state = answered
	out := at.begun.client.Step(said)
	done, err := at.begun.client.Done()
	if err == nil && len(out) > 0 {
		_, err = unix.Write(at.fd, out) // a new socket has room for it
	}
	switch {
	case err != nil:
		v.leave(at, &v.tally.broken)
	case done:
		v.leave(at, &v.tally.completed)
	}
}

// giveUp ends those that came before then.
func (v *visitors) giveUp(then time.Time) {
	for len(v.order) > 0 && (v.order[0].state == over || v.order[0].since.Before(then)) {
		at := v.order[0]
		v.order = v.order[1:]
		switch at.state {
		case connecting, asking:
			v.leave(at, &v.tally.gaveUp)
		case answered:
			v.leave(at, &v.tally.broken)
		case over:
		}
	}
}

// leave closes a visit and counts it; nil: it counts as nothing. It closes with a reset: a million ports in TIME_WAIT would be
// the next thing to run out.
func (v *visitors) leave(at *visit, as *atomic.Int64) {
	if as != nil {
		as.Add(1)
	}
	_ = unix.SetsockoptLinger(at.fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
	_ = unix.Close(at.fd)
	delete(v.visits, int32(at.fd))
	if at.state == connecting || at.state == asking {
		v.ready = append(v.ready, at.begun)
	} else {
		at.begun.client.End()
	}
	at.state, at.begun = over, nil
}

// end frees what is left.
func (v *visitors) end() error {
	for _, b := range v.ready {
		b.client.End()
	}
	v.ready = nil
	return unix.Close(v.epoll)
}
