package engine

import (
	"context"
	"time"

	"weir/engine/clientproto"
)

// drain is a shard's part in PROTOCOL.md §7: its connections are closed at a
// steady rate, so that their clients come back to other nodes spread out.
type drain struct {
	on     bool
	from   int64 // clock
	period int64
	total  int    // connections at the start
	closed int    // of these
	cursor uint32 // next slot to look at
}

// startDrain is an order to the loop.
func startDrain(period time.Duration) func(*shard) {
	return func(s *shard) {
		s.drain = drain{on: true, from: s.now, period: max(int64(period), 1), total: s.conns.used}
	}
}

// drainSome closes as many connections as are due by now.
func (s *shard) drainSome() {
	d := &s.drain
	if !d.on {
		return
	}
	share := min(float64(s.now-d.from)/float64(d.period), 1)
	due := int(share * float64(d.total))
	if share == 1 {
		due = d.total + s.conns.used // also who came in meanwhile
	}
	end := uint32(len(s.conns.chunks) * slabChunk)
	for ; d.closed < due && d.cursor < end; d.cursor++ {
		c := s.conns.at(d.cursor)
		if c.phase >= phaseClosing {
			continue
		}
		d.closed++
		s.close(c, clientproto.CloseShutdown)
		s.settle(c)
	}
	if share == 1 && s.conns.used > 0 && d.cursor == end {
		d.cursor = 0
	}
}

// Drain takes the server out of service: not ready, no new connections, open
// ones closed with 3001 over --drain-period. It returns when all are gone, or
// with ctx's error.
func (s *Server) Drain(ctx context.Context) error {
	s.draining.Store(true)
	for _, l := range s.listeners {
		_ = l.Close() // only errs when closed before
	}
	for _, sh := range s.shards {
		sh.post(post{order: startDrain(s.policy.Load().limits.DrainPeriod)})
	}
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	for s.connections() > 0 {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
	}
	return nil
}

func (s *Server) connections() (n int) {
	for _, sh := range s.shards {
		n += sh.loop.Len()
	}
	return n
}
