package fleet

import (
	"errors"
	"time"

	"weir/engine/ws"
	"weir/loadtest/dialect"
	"weir/loadtest/payload"
)

// sender is a connection that publishes. One of its publications is under way at
// a time: what is refused is tried again as the next, so that no number is lost.
// Over echo nothing is refused, and nothing waits.
type sender struct {
	tag     int
	stream  int // counted from 0
	channel string
	due     uint64 // publications that are due so far
	begun   uint64 // of these, sent or given up
	seq     uint64 // the newest acknowledged number
	waiting bool   // for an answer
	sentDue int64  // when the one under way was due
	id      uint32 // of its command

	began int64   // when the first is due, nanoseconds since 1970
	every float64 // nanoseconds between two
	size  int
}

// dueAt is when publication i is due.
func (s *sender) dueAt(i uint64) int64 { return s.began + int64(float64(i)*s.every) }

// publish begins to publish by connections.
func (c *crew) publish(p Publish) error {
	if p.Publishers < 1 || p.Rate <= 0 {
		return errors.New("publishing by connections needs publishers and a rate")
	}
	if err := payload.CheckSize(p.Size, 60_000); err != nil {
		return err
	}
	var senders []*sender
	every := float64(p.Publishers) / p.Rate * float64(time.Second)
	for tag := 0; tag < len(c.members) && c.number(tag) < p.Publishers; tag++ {
		n := c.number(tag)
		stream, channel := c.plan.streamOf(n)
		senders = append(senders, &sender{
			tag: tag, stream: stream, channel: c.plan.Name(channel), every: every, size: p.Size,
			began: p.Began + int64(float64(n)/p.Rate*float64(time.Second)),
		})
	}
	c.on(func() {
		c.hushed = false
		for _, s := range senders {
			c.members[s.tag].out = s
		}
	})
	c.mu.Lock()
	c.sending = true
	c.mu.Unlock()
	c.running.Go(func() {
		c.pace(senders, p)
		c.mu.Lock()
		c.sending = false
		c.mu.Unlock()
	})
	return nil
}

// pace lets every publication be sent when it is due.
func (c *crew) pace(senders []*sender, p Publish) {
	const step = time.Millisecond // what is due in it goes out together
	tick := time.NewTicker(step)
	defer tick.Stop()
	end := p.Began + int64(p.For)
	for more := len(senders) > 0; more; {
		select {
		case <-tick.C:
		case <-c.ctx.Done():
			return
		}
		now := time.Now()
		c.on(func() {
			more = false
			for _, s := range senders {
				for at := s.dueAt(s.due); at < end && !c.hushed; at = s.dueAt(s.due) {
					more = true
					if at > now.UnixNano() {
						break
					}
					s.due++
					c.counters.Due++
				}
				c.advance(s, now)
			}
		})
	}
}

// advance sends what is due and may be sent.
func (c *crew) advance(s *sender, now time.Time) {
	conn := c.members[s.tag].conn
	for conn != nil && !s.waiting && s.begun < s.due && c.members[s.tag].phase == open {
		s.sentDue = s.dueAt(s.begun)
		s.begun++
		s.id++
		data := payload.Append(nil, payload.Publication{Stream: c.plan.Stream0 + uint32(s.stream), Seq: s.seq + 1, Due: s.sentDue}, s.size)
		c.scratch = c.plan.dialect.AppendPublish(c.scratch[:0], dialect.PublishID(s.id), s.channel, data)
		conn.Send(ws.OpText, c.scratch)
		if c.plan.dialect == dialect.Echo {
			c.acknowledged(s)
			continue
		}
		s.waiting = true
		c.awaiting++
	}
}

func (c *crew) acknowledged(s *sender) {
	s.seq++
	c.heads[s.stream] = s.seq
	c.counters.Published++
}

// answered takes the reply to a publish command.
func (c *crew) answered(s *sender, e dialect.Event, now time.Time) {
	if !s.waiting || e.ID != dialect.PublishID(s.id) {
		return
	}
	s.waiting = false
	c.awaiting--
	if e.Error > 0 {
		c.counters.PublishErr++
	} else {
		c.acknowledged(s)
		c.ack.Record(elapsed(now, s.sentDue))
	}
	c.advance(s, now)
}

// interrupted ends waiting for an answer that will not come: whether it was
// published is not known, so its number is not given again.
func (c *crew) interrupted(s *sender) {
	if s.waiting {
		s.waiting = false
		c.awaiting--
		s.seq++
		c.counters.PublishErr++
	}
}
