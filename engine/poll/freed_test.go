package poll

import (
	"net"
	"os"
	"slices"
	"testing"
	"time"
)

func TestFreedTurns(t *testing.T) {
	f := newFreed()
	f.turn()
	f.note(7) // after turn t began
	f.turn()  // t+1 may be in the same batch
	f.note(8)
	if !f.stale(7) || f.stale(9) {
		t.Error("in the next turn a number freed before it must be refused, and no other")
	}
	f.turn() // t+2 cannot be
	if f.stale(7) || !f.stale(8) {
		t.Error("a number must be refused for one turn")
	}
	for fd := range 2 * freedKeep {
		f.note(fd)
	}
	f.turn()
	f.turn()
	f.turn()
	if f.stale(1) || len(f.since)+len(f.before) != 0 {
		t.Error("something was kept")
	}
}

// TestStaleReportHitsNoNewcomer makes the hazard happen. One batch of reports holds, in this
// order, input of A, the wake-up, and a hang-up of B. While A's input is handled, B is closed,
// a newcomer gets B's number and is handed over; the wake-up then comes up with B's report
// still behind it. Registered at once, the newcomer would be closed by B's hang-up.
func TestStaleReportHitsNoNewcomer(t *testing.T) {
	for _, tc := range []struct {
		name  string
		close func(b *Conn)
	}{
		{"Abort", func(b *Conn) { b.Abort() }},
		{"failing Write", func(b *Conn) {
			if b.Write([]byte("x")) != ErrClosed {
				t.Error("the write to a reset connection did not fail")
			}
		}},
	} {
		t.Run(tc.name, func(t *testing.T) { staleReport(t, tc.close) })
	}
}

func staleReport(t *testing.T, closeIt func(b *Conn)) {
	s := &server{}
	l := s.start(t, LoopConfig{})
	add := func() (*Conn, *net.TCPConn) {
		before := make(map[*Conn]bool)
		s.run(func() {
			for c := range s.conns {
				before[c] = true
			}
		})
		ours, theirs := pair(t)
		if err := l.Add(ours); err != nil {
			t.Fatal(err)
		}
		var c *Conn
		s.await(func() bool {
			for c = range s.conns {
				if !before[c] {
					return true
				}
			}
			return false
		})
		return c, theirs
	}
	hold, holdPeer := add()
	a, aPeer := add()
	b, bPeer := add()
	ours, newcomer := pair(t)
	number, aNumber := s.descriptor(b), s.descriptor(a)

	held, release := make(chan struct{}), make(chan struct{})
	var order []string
	leaving := false
	s.data = func(c *Conn, in []byte) {
		switch c {
		case hold:
			close(held)
			<-release
		case a:
			order = append(order, "A")
			closeIt(b)
			if err := l.Add(ours); err != nil {
				t.Error(err)
			}
			l.mu.Lock()
			if got := l.arrived[0].nb.Hash(); got != number {
				t.Errorf("the newcomer has number %d, want %d", got, number)
			}
			l.mu.Unlock()
		default:
			order = append(order, "newcomer")
			_ = c.Write(in)
		}
	}
	s.closed = func(c *Conn) {
		if c != a && c != b && c != hold && !leaving {
			order = append(order, "newcomer closed")
		}
	}
	s.wake = func(time.Time) {
		if len(order) > 0 && len(order) < 3 {
			order = append(order, map[bool]string{true: "parked", false: "turn"}[len(l.parked) == 1])
		}
	}
	_, _ = holdPeer.Write([]byte("x"))
	<-held
	_, _ = aPeer.Write([]byte("x"))
	awaitReadable(t, aNumber)
	l.Wake()
	_ = bPeer.SetLinger(0)
	_ = bPeer.Close()
	awaitReadable(t, number)
	fillBelow(t, number)
	close(release)

	roundTrip(t, newcomer, "hello")
	s.run(func() {}) // a hang-up of that batch would have been delivered by now
	s.run(func() {
		if want := []string{"A", "parked", "turn", "newcomer"}; !slices.Equal(order, want) {
			t.Errorf("order %v, want %v", order, want)
		}
		leaving = true
	})
}

// TestStopRefusesWhoIsParked: Stop comes when a newcomer would have to wait.
func TestStopRefusesWhoIsParked(t *testing.T) {
	s := &server{}
	l := s.start(t, LoopConfig{})
	ours, theirs := pair(t)
	s.run(func() {
		if err := l.Add(ours); err != nil {
			t.Error(err)
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		l.freed.note(l.arrived[0].nb.Hash())
		l.stopping = true
	})
	l.Stop()
	if l.Len() != 0 || len(l.parked) != 0 {
		t.Errorf("Len is %d, %d are parked", l.Len(), len(l.parked))
	}
	refusedSoon(t, theirs)
}

// fillBelow takes every free number below fd, so that fd is the next to be given out once it is free.
func fillBelow(t *testing.T, fd int) {
	t.Helper()
	for {
		f, err := os.Open(os.DevNull)
		if err != nil {
			t.Fatal(err)
		}
		if int(f.Fd()) > fd {
			_ = f.Close()
			return
		}
		t.Cleanup(func() { _ = f.Close() })
	}
}
