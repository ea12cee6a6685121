package fleet

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"weir/engine/ws"
	"weir/loadtest/client"
	"weir/loadtest/dialect"
)

// defaultAtOnce is how many dials are in flight if nobody says.
const defaultAtOnce = 64

// maxEarly is how many bytes a server may send before it has answered the hello: what
// every channel of a connection kept for it, and no more than many dials at once can hold.
const maxEarly = 32 << 20

// job is one dial of a wave.
type job struct {
	tag    int // of the member; -1: it has none
	number int // in the fleet
	subs   []dialect.Subscription
	due    time.Time // when it should have begun; zero: now
	resume bool
	again  bool
}

// openWave begins a wave, which goes on behind the order.
func (c *crew) openWave(w Wave) error {
	if w.AtOnce <= 0 {
		w.AtOnce = defaultAtOnce
	}
	if w.Brief {
		return c.goOn(w, nil)
	}
	var tags []int
	if w.Slow > 0 {
		for range w.N {
			tags = append(tags, -1)
		}
	} else if err := c.choose(w, &tags); err != nil {
		return err
	}
	c.mu.Lock()
	c.pending += len(tags)
	c.mu.Unlock()
	return c.goOn(w, tags)
}

// choose takes the members that are to be opened.
func (c *crew) choose(w Wave, tags *[]int) error {
	c.on(func() {
		for tag := 0; w.Again && tag < c.used && len(*tags) < w.N; tag++ {
			if m := &c.members[tag]; m.phase == left || m.phase == lost {
				m.phase = dialing
				*tags = append(*tags, tag)
			}
		}
	})
	if w.Again {
		return nil
	}
	if w.N > len(c.members)-c.used {
		return fmt.Errorf("%d connections more than the %d of %d that are ordered", w.N, c.used, len(c.members))
	}
	for range w.N {
		*tags = append(*tags, c.used)
		c.used++
	}
	return nil
}

// goOn dials behind the order: tags, or as long as a brief wave lasts.
func (c *crew) goOn(w Wave, tags []int) error {
	jobs := make(chan job)
	var dialers sync.WaitGroup
	for range w.AtOnce {
		dialers.Go(func() {
			for j := range jobs {
				c.dial(w, j)
			}
		})
	}
	if w.Brief {
		c.mu.Lock()
		c.pending++ // the wave itself
		c.mu.Unlock()
	}
	c.running.Go(func() {
		c.feed(w, tags, jobs)
		close(jobs)
		dialers.Wait()
		if w.Brief {
			c.settled(1)
		}
	})
	return nil
}

// feed hands the jobs out, each when it is due. What is due waits for a dialer,
// and its time counts from then on.
func (c *crew) feed(w Wave, tags []int, jobs chan<- job) {
	began := time.Now()
	pause := time.NewTimer(0)
	defer pause.Stop()
	for i := 0; ; i++ {
		if w.Brief && time.Since(began) >= w.For || !w.Brief && i >= len(tags) {
			return
		}
		j := job{tag: -1, number: c.number(i), resume: share(w.Resume, i)}
		if !w.Brief {
			j.tag, j.again = tags[i], w.Again
			if j.tag >= 0 {
				j.number = c.number(j.tag)
			}
		}
		if w.Rate > 0 {
			j.due = began.Add(time.Duration(float64(i) / w.Rate * float64(time.Second)))
			pause.Reset(time.Until(j.due))
			select {
			case <-pause.C:
			case <-c.ctx.Done():
			}
		}
		select {
		case jobs <- j:
		case <-c.ctx.Done():
			c.settled(len(tags) - i)
			return
		}
	}
}

// share spreads a share evenly over numbers: whether i is one of them.
func share(of float64, i int) bool { return int(float64(i+1)*of) > int(float64(i)*of) }

// settled takes n off those that are neither open nor failed.
func (c *crew) settled(n int) {
	c.mu.Lock()
	c.pending -= n
	c.mu.Unlock()
}

// dial does one job.
func (c *crew) dial(w Wave, j job) {
	if j.due.IsZero() {
		j.due = time.Now()
	}
	j.subs = c.subscriptions(j)
	c.mu.Lock()
	c.dials.Dialed++
	local := c.dialled
	c.dialled++
	c.mu.Unlock()
	dialers := c.dialers
	switch {
	case w.Slow > 0:
		dialers = c.narrow
	case j.resume:
		dialers = c.resuming
	}
	line, a, took, err := c.connect(dialers[j.number%len(dialers)], j, local)
	if err == nil {
		c.mu.Lock()
		c.opening.Record(time.Since(j.due))
		c.handshake.Record(took.Handshake)
		c.mu.Unlock()
	}
	switch {
	case err != nil:
		c.refused(w, j, err)
	case w.Brief:
		c.mu.Lock()
		c.dials.Opened++
		c.dials.Left++
		if a.resumed {
			c.dials.Resumed++
		}
		c.mu.Unlock()
		_ = line.Close()
	case w.Slow > 0:
		c.running.Go(func() { c.crawl(line, w.Slow) })
	default:
		a.first = w.First
		c.mu.Lock()
		c.arriving[uint32(j.tag)] = a
		c.mu.Unlock()
		if err := c.loop.Adopt(line, uint32(j.tag)); err != nil {
			c.mu.Lock()
			delete(c.arriving, uint32(j.tag))
			c.mu.Unlock()
			c.refused(w, j, err)
		}
	}
}

// refused books a dial that came to nothing.
func (c *crew) refused(w Wave, j job, err error) {
	if c.ctx.Err() == nil {
		c.failed(err)
		c.mu.Lock()
		if refusedBy(err) {
			c.dials.Refused++
		} else {
			c.dials.DialFailed++
		}
		c.dials.Closed(reason(err))
		c.mu.Unlock()
	}
	if j.tag >= 0 {
		c.on(func() { c.members[j.tag].phase = lost })
	}
	if !w.Brief {
		c.settled(1)
	}
}

// subscriptions are the channels of a connection, with positions if it comes again.
func (c *crew) subscriptions(j job) []dialect.Subscription {
	subs := make([]dialect.Subscription, c.plan.Each)
	for i := range subs {
		subs[i].Channel = c.plan.Name(c.plan.channelOf(j.number, i))
	}
	if j.again && c.plan.Recover {
		c.on(func() {
			for i, at := range c.members[j.tag].at {
				if at.epoch != "" {
					subs[i].Recover, subs[i].Offset, subs[i].Epoch = true, at.offset, at.epoch
				}
			}
		})
	}
	return subs
}

// connect opens a connection up to the last reply.
func (c *crew) connect(d *client.Dialer, j job, local int) (*client.Line, *arrival, client.Timing, error) {
	query, header := c.plan.dialect.Request(c.plan.Token, j.subs)
	line, took, err := d.With(query).Dial(c.ctx, local, header)
	if err != nil {
		return nil, nil, took, err
	}
	a := &arrival{resumed: took.Resumed}
	if err := c.greet(line, j.subs, a); err != nil {
		_ = line.Close()
		return nil, nil, took, err
	}
	return line, a, took, nil
}

// greet says hello and waits for the answers. What the loop must know of them goes into a.
func (c *crew) greet(line *client.Line, subs []dialect.Subscription, a *arrival) error {
	hello := c.plan.dialect.AppendHello(nil, c.plan.Token, subs)
	if len(hello) == 0 {
		return nil
	}
	if err := line.Send(ws.OpText, hello); err != nil {
		return err
	}
	answered := make([]bool, 1+len(subs)) // by the command's id, from 1 on
	for awaited := len(answered); awaited > 0; {
		if len(a.lines) > maxEarly {
			return errors.New("no end of messages before the replies")
		}
		message, err := line.Next()
		if err != nil {
			return err
		}
		a.at = time.Now()
		for {
			var one []byte
			if one, message = dialect.NextLine(message); one == nil {
				break
			}
			id, err := c.greeting(line, one, a)
			if err != nil {
				return err
			}
			if id == 0 {
				continue
			}
			if id > uint32(len(answered)) || answered[id-1] {
				return errors.New("a reply that answers nothing")
			}
			answered[id-1] = true
			awaited--
		}
	}
	return nil
}

// greeting takes a line before the connection is ready; id is that of the command that it answers, 0 if none.
func (c *crew) greeting(line *client.Line, one []byte, a *arrival) (id uint32, err error) {
	switch c.plan.dialect.Kind(one) {
	case dialect.Ping:
		return 0, line.Send(ws.OpText, []byte(dialect.Pong))
	case dialect.Other:
		e, ok := c.plan.dialect.Read(one)
		switch {
		case !ok:
			return 0, errors.New("a reply that cannot be understood")
		case e.Error > 0:
			return 0, &refusal{e.Error}
		case e.ID > 0 && e.Subscribed != (e.ID > 1): // 1 is connect, all others subscribe
			return 0, errors.New("a reply to another command than was sent")
		case e.ID > 0 && !e.Subscribed:
			return e.ID, nil
		}
		id = e.ID
	case dialect.Delivery:
	}
	a.lines = append(append(a.lines, one...), '\n')
	return id, nil
}

// crawl is a slow reader: one message in a while, until the server has enough.
func (c *crew) crawl(line *client.Line, each time.Duration) {
	stop := context.AfterFunc(c.ctx, func() { _ = line.Close() })
	defer stop()
	c.mu.Lock()
	c.pending--
	c.slow++
	c.mu.Unlock()
	tick := time.NewTicker(each)
	defer tick.Stop()
	err := line.SetDeadline(time.Time{})
	for err == nil {
		select {
		case <-tick.C:
			_, err = line.Next()
		case <-c.ctx.Done():
			err = c.ctx.Err()
		}
	}
	_ = line.Close()
	c.mu.Lock()
	c.slow--
	if c.ctx.Err() == nil {
		c.slowEnds[reason(err)]++
	}
	c.mu.Unlock()
}
