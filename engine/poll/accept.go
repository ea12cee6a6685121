package poll

import (
	"errors"
	"net/netip"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	shedFor    = time.Millisecond
	firstPause = time.Millisecond
	maxPause   = 50 * time.Millisecond // the longest a peer waits after descriptors have come free again
)

// Serve accepts until Close and then returns nil. Each connection goes to the loop
// with the fewest. One goroutine may call it.
func (l *Listener) Serve(loops []*Loop) error {
	if len(loops) == 0 {
		return errors.New("poll: Serve needs a loop")
	}
	for {
		a, err := l.next()
		switch {
		case err == nil:
			err = l.take(a, loops)
		case l.isClosed():
			return nil
		case !outOfDescriptors(err):
			l.failed.Add(1)
		}
		if err == nil {
			l.pause = 0
			continue
		}
		if !l.trouble(err) {
			return nil
		}
	}
}

// arrival is a connection as the kernel hands it out: a descriptor that does not block and is closed on exec, and that
// neither the runtime's poller nor a net.Conn knows of, which would be seven system calls more for each.
type arrival struct {
	fd   int
	peer netip.AddrPort
}

// next waits for a connection. Serve's goroutine only.
func (l *Listener) next() (arrival, error) {
	if err := l.raw.Read(l.try); err != nil { // closed, or the deadline of shed
		return arrival{}, err
	}
	return l.got, l.gotErr
}

// tryAccept is called by the runtime with the listening descriptor, and again when that is ready as long as it answers false.
func (l *Listener) tryAccept(fd uintptr) bool {
	for {
		n, peer, err := acceptFrom(int(fd))
		switch {
		case err == nil:
			l.got, l.gotErr = arrival{fd: n, peer: peer}, nil
		case errors.Is(err, syscall.EAGAIN):
			return false
		case errors.Is(err, syscall.EINTR), errors.Is(err, syscall.ECONNABORTED): // the second: it is gone already
			continue
		default:
			l.got, l.gotErr = arrival{}, os.NewSyscallError("accept", err)
		}
		return true
	}
}

// sockaddrPort is the peer, an IPv4 address as such; zero for no address of the internet. The zone of a link-local one is left
// out: limits are of a prefix, whatever the interface.
func sockaddrPort(sa unix.Sockaddr) netip.AddrPort {
	switch a := sa.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(a.Addr), uint16(a.Port))
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(a.Addr).Unmap(), uint16(a.Port))
	}
	return netip.AddrPort{}
}

func (l *Listener) isClosed() bool {
	select {
	case <-l.done:
		return true
	default:
		return false
	}
}

// take decides about one connection. The cheap bound comes first: Admit may charge the peer.
func (l *Listener) take(a arrival, loops []*Loop) error {
	loop, open := fewest(loops)
	if open >= l.cfg.MaxConns {
		l.turnAway(a, &l.full, Full)
		return nil
	}
	if !a.peer.IsValid() {
		l.turnAway(a, &l.failed, Failed)
		return nil
	}
	peer := a.peer.Addr()
	if l.cfg.Admit != nil && !l.cfg.Admit(peer) {
		l.turnAway(a, &l.refused, NotAdmitted)
		return nil
	}
	if err := loop.adopt(a, l.local, l.cfg.Door); err != nil {
		why := Failed
		if outOfDescriptors(err) {
			why = Exhausted
			l.exhausted.Add(1)
		} else {
			l.failed.Add(1)
		}
		l.release(peer)
		if l.cfg.TurnedAway != nil {
			l.cfg.TurnedAway(a.peer, why)
		}
		return err
	}
	l.accepted.Add(1)
	return nil
}

func (l *Listener) release(peer netip.Addr) {
	if l.cfg.Release != nil {
		l.cfg.Release(peer)
	}
}

// fewest returns the loop with the fewest connections, and the sum of all.
func fewest(loops []*Loop) (least *Loop, open int) {
	few := 0
	for _, loop := range loops {
		n := loop.Len()
		open += n
		if least == nil || n < few {
			least, few = loop, n
		}
	}
	return least, open
}

// turnAway closes with a reset: an orderly close would leave us a minute of TIME_WAIT for each.
func (l *Listener) turnAway(a arrival, n *atomic.Uint64, why Refusal) {
	n.Add(1)
	if l.cfg.TurnedAway != nil {
		l.cfg.TurnedAway(a.peer, why)
	}
	_ = unix.SetsockoptLinger(a.fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
	_ = unix.Close(a.fd)
}

// trouble deals with a failed accept and pauses, ever longer while it lasts.
// It reports false when the listener was closed meanwhile.
func (l *Listener) trouble(err error) bool {
	if outOfDescriptors(err) {
		l.shed()
	}
	if now := time.Now(); !now.Before(l.nextLog) {
		l.nextLog = now.Add(time.Second)
		l.cfg.Log.Error("cannot accept connections; for \"too many open files\" raise LimitNOFILE or lower --connections",
			"listener", l.cfg.Addr, "error", err, "exhausted", l.exhausted.Load(), "failed", l.failed.Load())
	}
	l.pause = min(max(2*l.pause, firstPause), maxPause)
	t := time.NewTimer(l.pause)
	defer t.Stop()
	select {
	case <-l.done:
		return false
	case <-t.C:
		return true
	}
}

func outOfDescriptors(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE)
}

// shed turns peers away although no descriptor is left: for shedFor the spare one is given
// up for them. Otherwise they would hang, and the queue stay ready and keep us busy.
func (l *Listener) shed() {
	l.spareMu.Lock()
	defer l.spareMu.Unlock()
	if l.isClosed() {
		return
	}
	if l.spare != nil {
		_ = l.spare.Close()
		l.spare = nil
		_ = l.ln.SetReadDeadline(time.Now().Add(shedFor))
		for {
			a, err := l.next()
			if err != nil {
				break
			}
			l.turnAway(a, &l.exhausted, Exhausted)
		}
		_ = l.ln.SetReadDeadline(time.Time{})
	}
	// Another goroutine may have taken the number; then the next shed tries again.
	if f, err := os.Open(os.DevNull); err == nil {
		l.spare = f
	}
}
