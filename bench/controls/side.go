package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"weir/bench/internal/client"
	"weir/bench/internal/node"
)

const (
	channel = "feeds:controls"

	// maxBatch keeps a batch within what a server holds for one connection that pipelines, and for one that reads.
	maxBatch = 400

	readBufferBytes = 17 << 10

	// batchTime is how long a batch may take; over it something is lost.
	batchTime = time.Minute
)

// side is one of the two servers with its clients.
type side struct {
	name        string
	server      *node.Node
	publishers  []*client.Conn
	subscribers []*client.Conn
	batches     []time.Duration
	cpu         time.Duration // of the server, over the batches
}

func newSide(ctx context.Context, p *plan, server *node.Node, controls bool) (s *side, err error) {
	s = &side{name: "controls off", server: server}
	if controls {
		s.name = "controls on"
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.end())
		}
	}()
	for _, c := range []struct {
		conns    *[]*client.Conn
		count    int
		channels []string
	}{{&s.publishers, p.publishers, nil}, {&s.subscribers, p.subscribers, []string{channel}}} {
		target, err := server.Target("feeds:", c.channels)
		if err != nil {
			return s, err
		}
		if target.Token, err = server.Token("feeds:", "sub", "pub"); err != nil {
			return s, err
		}
		target.Origin, target.BufferBytes = origin, readBufferBytes
		dialer, err := client.NewDialer(target)
		if err != nil {
			return s, err
		}
		*c.conns = make([]*client.Conn, c.count)
		if err := dialer.Open(ctx, 0, c.count, c.count, func(i int, conn *client.Conn) { (*c.conns)[i] = conn }); err != nil {
			return s, err
		}
	}
	return s, nil
}

// end closes everything.
func (s *side) end() error {
	for _, c := range slices.Concat(s.publishers, s.subscribers) {
		if c != nil {
			_ = c.Close()
		}
	}
	return s.server.Stop()
}

// run has every publisher publish n times and waits until each is answered and every subscriber has all of them.
func (s *side) run(ctx context.Context, n int) (time.Duration, error) {
	before, err := s.server.CPU()
	if err != nil {
		return 0, err
	}
	late := time.AfterFunc(batchTime, s.cut)
	defer late.Stop()
	stop := context.AfterFunc(ctx, s.cut)
	defer stop()

	began := time.Now()
	var all sync.WaitGroup
	errs := make([]error, len(s.publishers)+len(s.subscribers))
	for i, c := range s.publishers {
		all.Go(func() { errs[i] = publish(c, n) })
	}
	for i, c := range s.subscribers {
		all.Go(func() { errs[len(s.publishers)+i] = receive(c, n*len(s.publishers)) })
	}
	all.Wait()
	took := time.Since(began)
	if err := errors.Join(errs...); err != nil {
		return 0, fmt.Errorf("%s: %w", s.name, err)
	}
	after, err := s.server.CPU()
	s.cpu += after - before
	return took, err
}

// cut ends every wait for what does not come.
func (s *side) cut() {
	for _, c := range slices.Concat(s.publishers, s.subscribers) {
		_ = c.Close()
	}
}

var command = []byte(`{"id":9,"publish":{"channel":"` + channel + `","data":` + data + `}}`)

// publish sends n publications, then reads as many replies.
func publish(c *client.Conn, n int) error {
	for range n {
		if err := c.Send(command); err != nil {
			return err
		}
	}
	return count(c, n, []byte(`{"id":9,"publish":{}}`))
}

// receive reads n publications.
func receive(c *client.Conn, n int) error {
	return count(c, n, []byte(`{"push":{"channel":"`+channel+`","pub":{`))
}

// count reads n messages, all of which begin in the same way; a frame may hold several, each on its line.
func count(c *client.Conn, n int, want []byte) error {
	for n > 0 {
		message, err := c.Next()
		if err != nil {
			return err
		}
		for line := range bytes.SplitSeq(message, []byte("\n")) {
			if !bytes.HasPrefix(line, want) {
				return fmt.Errorf("%q where %s… was due", line, want)
			}
			n--
		}
	}
	return nil
}

// median is the time of the batch in the middle.
func (s *side) median() time.Duration {
	sorted := slices.Sorted(slices.Values(s.batches))
	return sorted[len(sorted)/2]
}
