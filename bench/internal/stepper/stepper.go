// Package stepper runs one end of a handshake in memory, step by step, so that its bytes may be made before they are wanted, or
// go by the hundred.
package stepper

import (
	"io"
	"net"
)

// Stepper is one end. It belongs to one goroutine at a time.
type Stepper struct {
	feed    chan []byte
	parked  chan struct{}
	in, out []byte
	done    bool
	err     error
}

// pipe is what the end reads and writes: crypto/tls does no more than that.
type pipe struct {
	net.Conn // nil
	s        *Stepper
}

// New makes an end that is to run on a connection. It begins with the first step. One that is left before it is done keeps its
// goroutine: End it.
func New(run func(net.Conn) error) *Stepper {
	s := &Stepper{feed: make(chan []byte), parked: make(chan struct{})}
	go func() {
		s.in = <-s.feed
		s.err = run(pipe{s: s})
		s.done = true
		s.parked <- struct{}{}
	}()
	return s
}

// Step gives it bytes, lets it go as far as it can, and returns what it wrote. No bytes, except in the first step, are the end
// of what it reads.
func (s *Stepper) Step(in []byte) []byte {
	if s.done {
		return nil
	}
	s.feed <- in
	<-s.parked
	out := s.out
	s.out = nil
	return out
}

// Done tells whether it has returned, and with which error.
func (s *Stepper) Done() (bool, error) { return s.done, s.err }

// End has it return, if it still reads: it reads no more.
func (s *Stepper) End() {
	for !s.done {
		s.Step(nil)
	}
}

func (p pipe) Read(b []byte) (int, error) {
	s := p.s
	if len(s.in) == 0 {
		s.parked <- struct{}{}
		if s.in = <-s.feed; len(s.in) == 0 {
			return 0, io.EOF
		}
	}
	n := copy(b, s.in)
	s.in = s.in[n:]
	return n, nil
}

func (p pipe) Write(b []byte) (int, error) {
	p.s.out = append(p.s.out, b...)
	return len(b), nil
}
