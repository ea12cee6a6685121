package fleet

import (
	"bytes"
	"time"

	"weir/engine/ws"
	"weir/loadtest/client"
	"weir/loadtest/dialect"
	"weir/loadtest/payload"
	"weir/loadtest/tally"
)

// phase is where a member is in its life.
type phase uint8

const (
	idle    phase = iota // never opened
	dialing              // ordered
	open
	leaving // the plan closed it
	left    // and it is closed
	ended   // the server ended its subscription, which is counted
	lost    // the server or the network closed it
)

// member is one connection of a worker, and what outlives it when it comes
// again. The loop owns it.
type member struct {
	conn   *client.Conn  // nil: not open
	orders []tally.Order // by place in the plan: channel of the connection, publisher in it
	at     []position    // with Plan.Recover: by channel of the connection
	out    *sender       // it publishes
	phase  phase
}

// position is where a subscription is.
type position struct {
	offset uint64
	epoch  string
}

// arrival is what a dial hands to the loop with its connection.
type arrival struct {
	lines   []byte // lines that came before, for Text to take; with their line ends
	at      time.Time
	resumed bool
	first   bool // nothing was published when it subscribed
}

// handler is a crew as its loop sees it.
type handler crew

func (h *handler) Opened(conn *client.Conn) {
	c := (*crew)(h)
	c.mu.Lock()
	a := c.arriving[conn.Tag]
	delete(c.arriving, conn.Tag)
	c.pending--
	c.mu.Unlock()
	m := &c.members[conn.Tag]
	m.conn, m.phase = conn, open
	c.open++
	c.counters.Opened++
	if a.resumed {
		c.counters.Resumed++
	}
	c.begin(m, a.first)
	if len(a.lines) > 0 {
		c.take(conn, a.lines, a.at)
	}
	if m.out != nil {
		c.advance(m.out, time.Now())
	}
}

// begin makes the books of a member that was opened. One that comes again without
// a position has missed what it was not there for.
func (c *crew) begin(m *member, first bool) {
	if m.orders == nil {
		m.orders = make([]tally.Order, c.plan.Each*c.plan.Publishers)
		if c.plan.Recover {
			m.at = make([]position, c.plan.Each)
		}
	}
	for i := range m.orders {
		if m.at == nil || m.at[i/c.plan.Publishers].epoch == "" {
			m.orders[i] = tally.Order{}
		}
	}
	if first {
		for i := range m.orders {
			m.orders[i].Start(0)
		}
	}
}

func (h *handler) Text(conn *client.Conn, message []byte, now time.Time) {
	(*crew)(h).take(conn, message, now)
}

func (h *handler) Closed(conn *client.Conn, end *client.End) {
	c := (*crew)(h)
	m := &c.members[conn.Tag]
	if m.conn != conn { // cut before it was opened
		return
	}
	m.conn = nil
	c.open--
	if m.out != nil {
		c.interrupted(m.out)
	}
	if m.phase == leaving {
		m.phase = left
		c.counters.Left++
		return
	}
	c.counters.Lost++
	if m.phase != ended {
		c.counters.Closed(reason(end))
		c.failed(end)
	}
	m.phase = lost
}

// take reads a message.
func (c *crew) take(conn *client.Conn, message []byte, now time.Time) {
	c.counters.Bytes += uint64(len(message))
	m := &c.members[conn.Tag]
	for {
		var line []byte
		if line, message = dialect.NextLine(message); line == nil {
			return
		}
		switch c.plan.dialect.Kind(line) {
		case dialect.Ping:
			conn.Send(ws.OpText, []byte(dialect.Pong))
		case dialect.Delivery:
			c.deliver(m, line, now, true)
		case dialect.Other:
			c.event(m, line, now)
		}
	}
}

// deliver counts the publications in a line. There is at least one: a line that
// holds none is one that was damaged. What a line with one alone says around it is
// looked at too; other lines were decoded.
func (c *crew) deliver(m *member, line []byte, now time.Time, alone bool) {
	for rest, found := line, 0; ; found++ {
		p, behind, err := payload.Next(rest)
		if err == payload.ErrNone {
			if found == 0 {
				c.counters.Corrupted++
			}
			return
		}
		rest = behind
		if err != nil {
			c.counters.Corrupted++
			continue
		}
		number := c.number(int(m.tag()))
		at, ok := c.plan.place(number, p.Stream)
		if !ok {
			c.counters.Foreign++
			continue
		}
		if alone && !c.enveloped(int(p.Stream-c.plan.Stream0)/c.plan.Publishers, line, behind) {
			continue
		}
		if m.orders[at].Receive(p.Seq, &c.counters) {
			c.latency.Record(elapsed(now, p.Due))
		}
		if m.at != nil {
			c.moved(&m.at[at/c.plan.Publishers], line, behind)
		}
	}
}

// enveloped checks what stands around a payload of a channel, and counts what is wrong.
func (c *crew) enveloped(channel int, line, behind []byte) bool {
	before, _, _ := bytes.Cut(line, []byte(payload.Beginning))
	whole, own := c.envelopes[channel].holds(&c.plan, channel, line, before, behind)
	switch {
	case !whole:
		c.counters.Corrupted++
	case !own:
		c.counters.Foreign++
	}
	return whole && own
}

// moved notes how far a subscription came. Where nothing is told when it begins,
// its epoch stands in each publication.
func (c *crew) moved(at *position, line, behind []byte) {
	at.offset = max(at.offset, c.plan.dialect.Offset(line, behind))
	if c.plan.dialect == dialect.Feed && at.epoch == "" {
		if e, ok := c.plan.dialect.Read(line); ok {
			at.epoch = e.Epoch
		}
	}
}

// tag is the member's number in its worker.
func (m *member) tag() uint32 { return m.conn.Tag }

// event takes a line that is more than a publication.
func (c *crew) event(m *member, line []byte, now time.Time) {
	e, ok := c.plan.dialect.Read(line)
	switch {
	case !ok:
		c.counters.Corrupted++
	case e.Subscribed:
		c.subscribed(m, &e, line, now)
	case e.Gap:
		c.counters.Unrecovered++
		for i := range m.at {
			if c.plan.Name(c.plan.channelOf(c.number(int(m.tag())), i)) == e.Channel {
				m.at[i] = position{e.Offset, e.Epoch}
			}
		}
	case e.Unsubscribed > 0: // a client would subscribe again: here it is the end
		c.counters.Closed(number(e.Unsubscribed))
		m.phase = ended
		m.conn.Cut()
	case m.out != nil && e.ID > 0:
		c.answered(m.out, e, now)
	}
}

// subscribed takes the reply to a subscribe, with what was missed.
func (c *crew) subscribed(m *member, e *dialect.Event, line []byte, now time.Time) {
	i, ok := dialect.SubscriptionOf(e.ID, c.plan.Each)
	if !ok {
		c.counters.Corrupted++
		return
	}
	if o := &m.orders[i*c.plan.Publishers]; c.plan.Numbered && e.Positioned && !o.Started() && !e.Recovering {
		o.Start(e.Offset)
	}
	switch {
	case e.Recovered:
		c.counters.Recovered++
	case e.Recovering:
		c.counters.Unrecovered++
	}
	if m.at != nil && e.Positioned {
		m.at[i] = position{e.Offset, e.Epoch}
	}
	if _, _, err := payload.Next(line); err != payload.ErrNone {
		c.deliver(m, line, now, false)
	}
}
