package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"weir/security/token"
)

// together is how many handshakes share one message between the two processes.
const together = 100

// cryptoOrder is one of two: get ready, or make so many handshakes.
type cryptoOrder struct {
	Cert, Key string
	Secret    []byte
	Token     string

	Count int
}

// cryptoFloor is the floor of a connect: the server's end of handshakes, and the token.
type cryptoFloor struct {
	peer     *child
	config   *tls.Config
	verifier *token.Verifier
	token    []byte
}

func (f *cryptoFloor) obey(ctx context.Context, o cryptoOrder) (int, error) {
	if o.Cert != "" {
		return 0, f.ready(ctx, o)
	}
	for done := 0; done < o.Count; done += together {
		if err := f.handshakes(min(together, o.Count-done)); err != nil {
			return done, err
		}
	}
	return o.Count, nil
}

func (f *cryptoFloor) ready(ctx context.Context, o cryptoOrder) error {
	pair, err := tls.LoadX509KeyPair(o.Cert, o.Key)
	if err != nil {
		return err
	}
	f.config = &tls.Config{Certificates: []tls.Certificate{pair}, NextProtos: []string{"http/1.1"}, MinVersion: tls.VersionTLS12}
	f.token = []byte(o.Token)
	if f.verifier, err = token.New(token.Config{HMACSecrets: [][]byte{o.Secret}}); err != nil {
		return err
	}
	if f.peer, err = startChild(ctx, roleHellos, os.Stderr); err != nil {
		return err
	}
	_, err = ask[[][]byte](f.peer, helloOrder{Authority: o.Cert})
	return err
}

// handshakes makes n of them.
func (f *cryptoFloor) handshakes(n int) error {
	hellos, err := ask[[][]byte](f.peer, helloOrder{Count: n})
	if err != nil {
		return err
	}
	servers := make([]*stepper, n)
	flights := make([][]byte, n)
	for i := range servers {
		servers[i] = newStepper(func(c net.Conn) error { return f.serve(tls.Server(c, f.config)) })
		flights[i] = servers[i].step(hellos[i])
	}
	finished, err := ask[[][]byte](f.peer, helloOrder{Flights: flights})
	if err != nil {
		return err
	}
	for i, s := range servers {
		s.step(finished[i])
		if !s.done || s.err != nil {
			return fmt.Errorf("a handshake of the floor did not end: %w", s.err)
		}
	}
	return nil
}

func (f *cryptoFloor) serve(c *tls.Conn) error {
	if err := c.Handshake(); err != nil {
		return err
	}
	_, err := f.verifier.Connection(f.token, time.Now())
	return err
}

// helloOrder is one of three: get ready, begin so many, or go on with what the server sent.
type helloOrder struct {
	Authority string
	Count     int
	Flights   [][]byte
}

// hellos is the client's end.
type hellos struct {
	config  *tls.Config
	clients []*stepper
}

func (h *hellos) obey(o helloOrder) ([][]byte, error) {
	switch {
	case o.Authority != "":
		pem, err := os.ReadFile(o.Authority)
		if err != nil {
			return nil, err
		}
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM(pem)
		h.config = &tls.Config{
			RootCAs: roots, ServerName: "localhost", NextProtos: []string{"http/1.1"}, MinVersion: tls.VersionTLS13,
		}
		return nil, nil
	case o.Count > 0:
		h.clients = make([]*stepper, o.Count)
		out := make([][]byte, o.Count)
		for i := range h.clients {
			h.clients[i] = newStepper(func(c net.Conn) error { return tls.Client(c, h.config).Handshake() })
			out[i] = h.clients[i].step(nil)
		}
		return out, nil
	}
	var failure error
	for i, c := range h.clients {
		o.Flights[i] = c.step(o.Flights[i])
		failure = errors.Join(failure, c.err)
	}
	return o.Flights, failure
}

// stepper runs one end of a handshake, which reads and writes memory, step by step.
type stepper struct {
	net.Conn // nil: crypto/tls only reads and writes

	feed    chan []byte
	parked  chan struct{}
	in, out []byte
	done    bool
	err     error
}

func newStepper(run func(net.Conn) error) *stepper {
	s := &stepper{feed: make(chan []byte), parked: make(chan struct{})}
	go func() {
		s.in = <-s.feed
		s.err = run(s)
		s.done = true
		s.parked <- struct{}{}
	}()
	return s
}

// step gives it bytes, lets it go as far as it can, and returns what it wrote.
func (s *stepper) step(in []byte) []byte {
	if s.done {
		return nil
	}
	s.feed <- in
	<-s.parked
	out := s.out
	s.out = nil
	return out
}

func (s *stepper) Read(b []byte) (int, error) {
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

func (s *stepper) Write(b []byte) (int, error) {
	s.out = append(s.out, b...)
	return len(b), nil
}
