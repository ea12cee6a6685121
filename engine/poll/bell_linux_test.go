package poll

import (
	"io"
	"testing"
	"time"
)

// TestLoopRests: a loop with nothing to do rests outside epoll_wait and takes no turns, and is woken by input and by
// rings alike, whatever came first.
func TestLoopRests(t *testing.T) {
	s := &server{data: func(c *Conn, b []byte) { _ = c.Write(b) }}
	turns := 0
	s.wake = func(time.Time) { turns++ }
	l := s.start(t, LoopConfig{})
	resting := func() {
		t.Helper()
		for end := time.Now().Add(patience); l.bell.state.Load() != resting; {
			if time.Now().After(end) {
				t.Fatal("the loop does not rest")
			}
		}
	}
	client := dial(t, serve(t, ListenConfig{}, l).Addr())
	for range 200 {
		resting()
		roundTrip(t, client, "input")
		resting()
		s.run(func() {})
	}
	before := 0
	s.run(func() { before = turns })
	for range 100 {
		roundTrip(t, client, "more input")
	}
	after := 0
	s.run(func() { after = turns })
	if after != before+1 {
		t.Errorf("%d turns that nobody asked for", after-before-1)
	}
	resting()
	_ = client.Close()
	s.await(func() bool { return len(s.conns) == 0 })
}

// TestRingAndInputAtOnce: neither hides the other.
func TestRingAndInputAtOnce(t *testing.T) {
	s := &server{data: func(c *Conn, b []byte) { _ = c.Write(b) }}
	l := s.start(t, LoopConfig{})
	client := dial(t, serve(t, ListenConfig{}, l).Addr())
	b := make([]byte, 1)
	for range 2000 {
		sent := make(chan error, 1)
		go func() {
			_, err := client.Write(b)
			sent <- err
		}()
		s.run(func() {})
		if err := <-sent; err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(client, b); err != nil {
			t.Fatal(err)
		}
	}
}
