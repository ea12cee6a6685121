package poll

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"sync/atomic"
	"syscall"
	"time"
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
		tc, err := l.ln.AcceptTCP()
		switch {
		case err == nil:
			err = l.take(tc, loops)
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

func (l *Listener) isClosed() bool {
	select {
	case <-l.done:
		return true
	default:
		return false
	}
}

// take decides about one connection. The cheap bound comes first: Admit may charge the peer.
func (l *Listener) take(tc *net.TCPConn, loops []*Loop) error {
	loop, open := fewest(loops)
	if open >= l.cfg.MaxConns {
		l.turnAway(tc, &l.full, Full)
		return nil
	}
	remote, ok := tc.RemoteAddr().(*net.TCPAddr)
	if !ok {
		l.turnAway(tc, &l.failed, Failed)
		return nil
	}
	peer := addrPort(remote).Addr()
	if l.cfg.Admit != nil && !l.cfg.Admit(peer) {
		l.turnAway(tc, &l.refused, NotAdmitted)
		return nil
	}
	if err := loop.add(tc, l.cfg.Door); err != nil {
		why := Failed
		if outOfDescriptors(err) {
			why = Exhausted
			l.exhausted.Add(1)
		} else {
			l.failed.Add(1)
		}
		l.release(peer)
		if l.cfg.TurnedAway != nil {
			l.cfg.TurnedAway(addrPort(remote), why)
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
func (l *Listener) turnAway(tc *net.TCPConn, n *atomic.Uint64, why Refusal) {
	n.Add(1)
	l.tell(tc, why)
	_ = tc.SetLinger(0)
	_ = tc.Close()
}

func (l *Listener) tell(tc *net.TCPConn, why Refusal) {
	if l.cfg.TurnedAway == nil {
		return
	}
	var peer netip.AddrPort
	if remote, ok := tc.RemoteAddr().(*net.TCPAddr); ok {
		peer = addrPort(remote)
	}
	l.cfg.TurnedAway(peer, why)
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
		_ = l.ln.SetDeadline(time.Now().Add(shedFor))
		for {
			tc, err := l.ln.AcceptTCP()
			if err != nil {
				break
			}
			l.turnAway(tc, &l.exhausted, Exhausted)
		}
		_ = l.ln.SetDeadline(time.Time{})
	}
	// Another goroutine may have taken the number; then the next shed tries again.
	if f, err := os.Open(os.DevNull); err == nil {
		l.spare = f
	}
}
