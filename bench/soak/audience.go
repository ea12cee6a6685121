package main

import (
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"weir/bench/internal/client"
)

// latenciesKept bounds the latencies in memory, at four bytes each. Beyond it
// only every so many-th subscriber writes its own down.
const latenciesKept = 32 << 20

// audience is everybody who is subscribed. Each subscriber has a goroutine,
// which owns what it saw until dismiss has waited for it.
type audience struct {
	seats    []*subscriber
	stride   int // one subscriber in so many writes latencies down
	perSeat  int // publications that each will see
	start    atomic.Int64
	gone     atomic.Int64 // connections that ended before dismiss
	leaving  atomic.Bool
	watching sync.WaitGroup
	closing  sync.Once
}

// subscriber is one connection and what it saw.
type subscriber struct {
	conn      *client.Conn
	seen      atomic.Int64 // publications so far
	ledger    ledger
	latencies []uint32 // microseconds; nil if this one writes none down
	err       error    // why it ended, if not by us
}

func newAudience(p *plan) *audience {
	all := p.subscribers * p.publications()
	return &audience{
		seats: make([]*subscriber, p.subscribers), stride: 1 + all/latenciesKept, perSeat: p.publications(),
	}
}

// seat takes in connection i and begins to read it.
func (a *audience) seat(i int, conn *client.Conn) {
	s := &subscriber{conn: conn}
	if i%a.stride == 0 {
		s.latencies = make([]uint32, 0, a.perSeat)
	}
	a.seats[i] = s
	a.watching.Go(func() {
		if err := a.watch(s); !a.leaving.Load() {
			s.err = err
			a.gone.Add(1)
		}
	})
}

// begin tells the zero of the publications' times.
func (a *audience) begin(start time.Time) { a.start.Store(start.UnixNano()) }

// watch reads publications until the connection ends.
func (a *audience) watch(s *subscriber) error {
	var now int64
	for {
		fresh := s.conn.Buffered() == 0
		message, err := s.conn.Next()
		if err != nil {
			return err
		}
		p, ok := parsePublication(message)
		if !ok {
			return fmt.Errorf("a message that is no publication: %.200s", message)
		}
		s.ledger.enter(p.channel, p.offset)
		if s.latencies != nil {
			if fresh || now == 0 { // what came in one read came at one time
				now = time.Now().UnixNano() - a.start.Load()
			}
			s.latencies = append(s.latencies, uint32(max(now-p.at, 0)/1000))
		}
		s.seen.Add(1)
	}
}

// delivered is how many publications everybody together has seen.
func (a *audience) delivered() (n int64) {
	for _, s := range a.seats {
		n += s.seen.Load()
	}
	return n
}

// dismiss closes every connection and waits until nobody watches.
func (a *audience) dismiss() {
	a.closing.Do(func() {
		a.leaving.Store(true)
		for _, s := range a.seats {
			if s != nil {
				_ = s.conn.Close()
			}
		}
	})
	a.watching.Wait()
}

// judge prints what was seen and fails unless it is everything, once, in order.
func (a *audience) judge(p *plan, published *published, cpu time.Duration, out io.Writer) error {
	var lost, repeated, delivered int64
	var gone error
	for _, s := range a.seats {
		for i := range p.channels {
			s.ledger.enter(i, published.top(i)+1) // as if one more had come
		}
		lost, repeated = lost+s.ledger.lost, repeated+s.ledger.repeated
		delivered += s.seen.Load()
		if gone == nil {
			gone = s.err
		}
	}
	refused, failure := published.refused()
	fmt.Fprintf(out, "publications  %d due, %d acknowledged, %d refused\n", p.publications(), published.acknowledged.Load(), refused)
	fmt.Fprintf(out, "deliveries    %d of %d; %d lost, %d repeated or out of order, %d disconnects\n", delivered,
		int64(p.subscribers)*published.acknowledged.Load(), lost, repeated, a.gone.Load())
	a.printLatency(out)
	fmt.Fprintf(out, "server CPU    %.1f s, %.2f µs a delivery\n", cpu.Seconds(), float64(cpu.Microseconds())/float64(max(delivered, 1)))
	switch {
	case gone != nil:
		return fmt.Errorf("%d disconnects, the first: %w", a.gone.Load(), gone)
	case refused > 0:
		return fmt.Errorf("%d publications were refused, the first: %w", refused, failure)
	case lost+repeated > 0:
		return fmt.Errorf("%d publications were lost and %d repeated or out of order", lost, repeated)
	}
	return nil
}

func (a *audience) printLatency(out io.Writer) {
	var all []uint32
	for _, s := range a.seats {
		all = append(all, s.latencies...)
	}
	if len(all) == 0 {
		return
	}
	slices.Sort(all)
	at := func(share float64) float64 { return float64(all[int(share*float64(len(all)-1))]) / 1000 }
	fmt.Fprintf(out, "latency       p50 %.1f ms, p99 %.1f ms, p99.9 %.1f ms, most %.1f ms (of %d, from the time each was due)\n",
		at(0.5), at(0.99), at(0.999), at(1), len(all))
}
