package demo

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"
)

const (
	// Busy is a channel with more prices than the slow reader can take. It is fed only while somebody follows that.
	Busy = "feeds:busy"
	// SlowReader is where the slow reader tells how it gets on.
	SlowReader = "feeds:slow-reader"

	busyEvery = 20 * time.Millisecond
	busyBurst = 10 // publications each time: 500 a second
	nap       = 5 * time.Second
	watch     = 500 * time.Millisecond // between two looks whether somebody follows

	// Shown is the symbol whose prices a report lists one by one, and maxShown how many of them.
	shown    = "ACME"
	maxShown = 100
)

// Slow shows what a reader gets that is too slow for a channel. While somebody is subscribed to [SlowReader] it publishes to [Busy]
// and follows that with a connection of its own, from which it reads nothing for five seconds, then all up to the newest
// publication. A page cannot do that: its browser reads whatever the page does.
type Slow struct {
	// Publish publishes and returns the offset.
	Publish func(ctx context.Context, channel string, data []byte) (uint64, error)
	// Followed reports whether somebody is subscribed to a channel.
	Followed func(ctx context.Context, channel string) (bool, error)
	// Dial connects to /feed for a channel, with little room for what is not read.
	Dial func(ctx context.Context, channel string) (Messages, error)
}

// Messages are those of one connection to /feed.
type Messages interface {
	Next(ctx context.Context) ([]byte, error) // valid until the next call
	Close()
}

// Run demonstrates, whenever somebody follows, until ctx is done.
func (s *Slow) Run(ctx context.Context, seed uint64) {
	feed := NewFeed(seed)
	for ctx.Err() == nil {
		followed, err := s.Followed(ctx, SlowReader)
		pause := watch
		if err == nil && followed {
			err = s.show(ctx, feed)
		}
		if err != nil && ctx.Err() == nil {
			s.fail(ctx, err)
			pause = nap
		}
		wait(ctx, pause)
	}
}

// fail tells those who follow why the reader is gone, for example that the channel's policy is to disconnect it.
func (s *Slow) fail(ctx context.Context, err error) {
	report, err := json.Marshal(map[string]string{"failed": err.Error()})
	if err == nil {
		_, _ = s.Publish(ctx, SlowReader, report) // who can be told nothing sees that nothing comes
	}
}

// show lasts until nobody follows any more.
func (s *Slow) show(ctx context.Context, feed *Feed) error {
	messages, err := s.Dial(ctx, Busy)
	if err != nil {
		return fmt.Errorf("connecting the slow reader: %w", err)
	}
	defer messages.Close()
	r := &reading{Prices: make(map[string]float64), Nap: nap.Milliseconds()}
	for {
		top, err := s.nap(ctx, feed)
		if err != nil || top == 0 {
			return err
		}
		if err := r.readTo(ctx, messages, top); err != nil {
			return err
		}
		report, err := json.Marshal(r)
		if err != nil {
			return err
		}
		if _, err := s.Publish(ctx, SlowReader, report); err != nil {
			return err
		}
		r.begin()
	}
}

// nap publishes to Busy while the reader does not read, and returns the offset of the last publication. Nothing more comes while it
// reads, so that what it has then can be compared. 0: nobody follows any more, or ctx is done.
func (s *Slow) nap(ctx context.Context, feed *Feed) (top uint64, err error) {
	tick := time.NewTicker(busyEvery)
	defer tick.Stop()
	for i := range nap / busyEvery {
		select {
		case <-ctx.Done():
			return 0, nil
		case now := <-tick.C:
			if top, err = s.burst(ctx, feed, now); err != nil {
				return 0, err
			}
		}
		if (i+1)%(watch/busyEvery) != 0 {
			continue
		}
		if followed, err := s.Followed(ctx, SlowReader); err != nil || !followed {
			return 0, err
		}
	}
	return top, nil
}

func (s *Slow) burst(ctx context.Context, feed *Feed, now time.Time) (top uint64, err error) {
	for range busyBurst {
		if top, err = s.Publish(ctx, Busy, slices.Clone(feed.next(&feed.markets[0], now))); err != nil {
			return 0, fmt.Errorf("publishing to %s: %w", Busy, err)
		}
	}
	return top, nil
}

// reading is what the slow reader has read after one nap, as it is reported.
type reading struct {
	From     uint64             `json:"from"`     // offset up to which it had read before
	To       uint64             `json:"to"`       // and has now
	Received uint64             `json:"received"` // of the publications in between
	LeftOut  uint64             `json:"left_out"` // of them, by the server: the jumps in the offsets
	Prices   map[string]float64 `json:"prices"`   // the newest of each symbol, also from before
	Shown    [][2]float64       `json:"shown"`    // time and price of those received for one symbol
	Nap      int64              `json:"nap"`      // until the next report, ms
}

// begin makes room for what comes after the next nap.
func (r *reading) begin() {
	r.From, r.Received, r.LeftOut, r.Shown = r.To, 0, 0, r.Shown[:0]
}

// message is one of /feed.
type message struct {
	Offset uint64 `json:"offset"`
	Gap    bool   `json:"gap"`
	Data   struct {
		Symbol string  `json:"symbol"`
		Price  float64 `json:"price"`
		Time   float64 `json:"time"`
	} `json:"data"`
}

// readTo reads until the publication at offset top has come, or one behind it.
func (r *reading) readTo(ctx context.Context, messages Messages, top uint64) error {
	for r.To < top {
		text, err := messages.Next(ctx)
		if err != nil {
			return fmt.Errorf("reading slowly: %w", err)
		}
		var m message
		if err := json.Unmarshal(text, &m); err != nil {
			return fmt.Errorf("reading slowly: %w", err)
		}
		r.take(&m)
	}
	return nil
}

func (r *reading) take(m *message) {
	if r.To == 0 {
		r.From, r.To = m.Offset-1, m.Offset-1
	}
	r.LeftOut += m.Offset - r.To
	r.To = m.Offset
	if m.Gap {
		return
	}
	r.LeftOut--
	r.Received++
	r.Prices[m.Data.Symbol] = m.Data.Price
	if m.Data.Symbol != shown {
		return
	}
	if len(r.Shown) == maxShown { // the newest is always among them
		r.Shown = r.Shown[:maxShown-1]
	}
	r.Shown = append(r.Shown, [2]float64{m.Data.Time, m.Data.Price})
}

func wait(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
