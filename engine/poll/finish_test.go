package poll

import (
	"io"
	"testing"
)

// TestFinishLosesNothing: the peer floods us and has not read a byte when we finish. It must
// get everything and then end of file, and what it sends is no longer handed to the handler.
func TestFinishLosesNothing(t *testing.T) {
	const queued = 12 << 20
	finished, after := false, 0
	closed := make(chan struct{}, 2)
	s := &server{
		data: func(_ *Conn, b []byte) {
			if finished {
				after++
			}
		},
		writable: func(*Conn) { t.Error("Writable after Finish") },
		closed:   func(*Conn) { closed <- struct{}{} },
	}
	l := s.start(t, LoopConfig{MaxUnsent: 16 << 20, ReadBuffer: 4 << 10})
	ours, theirs := pair(t)
	if err := l.Add(ours); err != nil {
		t.Fatal(err)
	}
	c := s.only()
	s.run(func() {
		if err := c.Write(make([]byte, queued)); err != nil {
			t.Error(err)
		}
		if c.Unsent() == 0 {
			t.Error("the kernel took it all: the test shows nothing")
		}
		c.Finish()
		c.Finish()
		finished = true
		if err := c.Write([]byte("more")); err != ErrClosed {
			t.Errorf("write after Finish: %v", err)
		}
	})
	flood := make(chan error, 1)
	go func() {
		_, err := theirs.Write(make([]byte, discardBytes/4))
		flood <- err
	}()
	n, err := io.Copy(io.Discard, theirs)
	if n != queued || err != nil {
		t.Errorf("the peer got %d of %d bytes, %v", n, queued, err)
	}
	if err := receive(t, flood); err != nil {
		t.Errorf("the peer's own writing: %v", err)
	}
	_ = theirs.Close()
	receive(t, closed)
	if after != 0 {
		t.Errorf("Data came %d times after Finish", after)
	}
}

// TestFinishOverUnreadInput: our last bytes and FIN are with the kernel, the peer has read nothing
// of it, and its input and FIN come in one report, more than three reads take. Closed over
// unread input, the kernel would send a reset and drop what the peer has not got.
func TestFinishOverUnreadInput(t *testing.T) {
	const sent, input = 200 << 10, 60 << 10
	held, release := make(chan struct{}), make(chan struct{})
	s := &server{data: func(*Conn, []byte) { close(held); <-release }}
	l := s.start(t, LoopConfig{ReadBuffer: 4 << 10})
	holder, holderPeer := pair(t)
	if err := l.Add(holder); err != nil {
		t.Fatal(err)
	}
	holding := s.only()
	ours, theirs := pair(t)
	if err := l.Add(ours); err != nil {
		t.Fatal(err)
	}
	s.await(func() bool { return len(s.conns) == 2 })
	s.run(func() {
		for c := range s.conns {
			if c == holding {
				continue
			}
			if err := c.Write(make([]byte, sent)); err != nil || c.Unsent() > 0 {
				t.Errorf("%d bytes unsent, %v: the test shows nothing", c.Unsent(), err)
			}
			c.Finish()
		}
	})
	_, _ = holderPeer.Write([]byte("x"))
	<-held
	if _, err := theirs.Write(make([]byte, input)); err != nil {
		t.Fatal(err)
	}
	if err := theirs.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	close(release)
	s.await(func() bool { return len(s.conns) == 1 })
	if n, err := io.Copy(io.Discard, theirs); n != sent || err != nil {
		t.Errorf("the peer got %d of %d bytes, %v", n, sent, err)
	}
}

func TestFinishWithNothingQueued(t *testing.T) {
	closed := make(chan struct{}, 2)
	s := &server{closed: func(*Conn) { closed <- struct{}{} }}
	l := s.start(t, LoopConfig{})
	ours, theirs := pair(t)
	if err := l.Add(ours); err != nil {
		t.Fatal(err)
	}
	c := s.only()
	s.run(func() {
		_ = c.Write([]byte("bye"))
		c.Finish()
	})
	if got, err := io.ReadAll(theirs); err != nil || string(got) != "bye" {
		t.Fatalf("got %q, %v", got, err)
	}
	s.run(func() {}) // turns pass: it stays open until the peer closes too
	if len(closed) != 0 {
		t.Fatal("closed before the peer did")
	}
	_ = theirs.Close()
	receive(t, closed)
}

// TestFinishThenAbort: a peer that never closes.
func TestFinishThenAbort(t *testing.T) {
	closed := make(chan struct{}, 2)
	s := &server{closed: func(*Conn) { closed <- struct{}{} }}
	l := s.start(t, LoopConfig{MaxUnsent: 16 << 20})
	for _, queued := range []int{0, 12 << 20} {
		ours, _ := pair(t)
		if err := l.Add(ours); err != nil {
			t.Fatal(err)
		}
		c := s.only()
		s.run(func() {
			_ = c.Write(make([]byte, queued))
			c.Finish()
		})
		s.run(c.Abort)
		receive(t, closed)
	}
}

// TestFinishBeforeTelling: everything queued has gone and Writable is due, but the handler
// finishes, or queues again, before the turn that would tell it.
func TestFinishBeforeTelling(t *testing.T) {
	s := &server{writable: func(*Conn) { t.Error("Writable came") }}
	l := s.start(t, LoopConfig{MaxUnsent: 16 << 20})
	due := func(c *Conn) {
		c.flags |= flagReported
		l.drained = append(l.drained, c)
		l.Wake()
	}
	ours, theirs := pair(t)
	if err := l.Add(ours); err != nil {
		t.Fatal(err)
	}
	c := s.only()
	s.run(func() { due(c); c.Finish() })
	if _, err := theirs.Read(make([]byte, 1)); err != io.EOF {
		t.Fatalf("the peer reads %v", err)
	}
	_ = theirs.Close()
	s.await(func() bool { return len(s.conns) == 0 })

	ours, _ = pair(t)
	if err := l.Add(ours); err != nil {
		t.Fatal(err)
	}
	c = s.only()
	s.run(func() { due(c); _ = c.Write(make([]byte, 12<<20)) })
	s.run(func() {
		if c.flags&flagReported != 0 || c.flags&flagQueued == 0 {
			t.Errorf("flags %b: the queued bytes would not be told", c.flags)
		}
		due(c)
		c.Abort()
	})
	s.await(func() bool { return len(s.conns) == 0 })
}

// TestToldOnce: queued bytes going out twice between two turns is told once.
func TestToldOnce(t *testing.T) {
	told := 0
	s := &server{writable: func(*Conn) { told++ }}
	l := s.start(t, LoopConfig{})
	ours, _ := pair(t)
	if err := l.Add(ours); err != nil {
		t.Fatal(err)
	}
	c := s.only()
	s.run(func() {
		for range 2 {
			c.unsent, c.flags = 1, c.flags|flagQueued
			l.written(&c.nb, nil, 1)
		}
	})
	s.run(func() {
		if told != 1 {
			t.Errorf("Writable came %d times", told)
		}
	})
}
