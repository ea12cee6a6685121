package demo

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"
)

// Feed makes up prices: each symbol walks at random and is drawn back to where it began, so it neither runs away nor
// reaches zero. The same seed gives the same prices. Not for concurrent use.
type Feed struct {
	random  *rand.Rand
	markets []market
	ticks   int
	buffer  []byte
}

// market is a channel with its symbols.
type market struct {
	channel string
	every   int // ticks from one price to the next
	quotes  []quote
}

type quote struct {
	symbol      string
	open, price float64
	unrest      float64 // standard deviation of one step, relative
}

// NewFeed starts the walk of three markets.
func NewFeed(seed uint64) *Feed {
	return &Feed{
		random: rand.New(rand.NewPCG(seed, 0x7765_6972)),
		markets: []market{
			{Channel, 1, []quote{
				{symbol: "ACME", open: 101.25, unrest: 0.0022},
				{symbol: "BROOK", open: 48.10, unrest: 0.0030},
				{symbol: "DELTA", open: 236.40, unrest: 0.0016},
				{symbol: "EDDY", open: 12.85, unrest: 0.0042},
				{symbol: "FJORD", open: 187.00, unrest: 0.0014},
				{symbol: "MILL", open: 64.75, unrest: 0.0020},
				{symbol: "RAPID", open: 31.30, unrest: 0.0048},
				{symbol: "SLUICE", open: 418.60, unrest: 0.0012},
			}},
			{"feeds:metals", 3, []quote{
				{symbol: "COPPER", open: 9412.50, unrest: 0.0011},
				{symbol: "GOLD", open: 2651.30, unrest: 0.0007},
				{symbol: "SILVER", open: 30.72, unrest: 0.0019},
				{symbol: "ZINC", open: 2968.00, unrest: 0.0015},
			}},
			{"feeds:crops", 5, []quote{
				{symbol: "BARLEY", open: 214.25, unrest: 0.0018},
				{symbol: "MAIZE", open: 438.75, unrest: 0.0014},
				{symbol: "RICE", open: 15.42, unrest: 0.0027},
				{symbol: "WHEAT", open: 571.50, unrest: 0.0016},
			}},
		},
	}
}

const pull = 0.004 // share of the way back to the opening price in one step

// next moves one symbol of a market and returns its publication, compact JSON that is valid until the next call:
//
//	{"symbol":"ACME","price":101.25,"change":-0.10,"time":1700000000000}
//
// change is the distance from the opening price, time is now in Unix milliseconds.
func (f *Feed) next(m *market, now time.Time) []byte {
	q := &m.quotes[f.random.IntN(len(m.quotes))]
	if q.price == 0 {
		q.price = q.open
	}
	q.price *= math.Exp(q.unrest*f.random.NormFloat64() + pull*math.Log(q.open/q.price))
	shown := cents(q.price)
	b := append(f.buffer[:0], `{"symbol":"`...)
	b = append(b, q.symbol...)
	b = strconv.AppendFloat(append(b, `","price":`...), shown, 'f', 2, 64)
	b = strconv.AppendFloat(append(b, `,"change":`...), cents(shown-q.open), 'f', 2, 64)
	b = strconv.AppendInt(append(b, `,"time":`...), now.UnixMilli(), 10)
	f.buffer = append(b, '}')
	return f.buffer
}

// cents rounds to two decimals, never to negative zero.
func cents(price float64) float64 { return math.Round(price*100)/100 + 0 }

// Run publishes one price of each market that is due at a tick, to the market's channel, until ctx is done, which is no error, or
// publish fails. Each call of publish gets data of its own, which it may keep.
func (f *Feed) Run(ctx context.Context, every time.Duration, publish func(ctx context.Context, channel string, data []byte) error) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-tick.C:
			if err := f.tick(ctx, now, publish); err != nil {
				if ctx.Err() != nil {
					return nil
				}
				return fmt.Errorf("publishing the sample feed: %w", err)
			}
		}
	}
}

func (f *Feed) tick(ctx context.Context, now time.Time, publish func(ctx context.Context, channel string, data []byte) error) error {
	f.ticks++
	for i := range f.markets {
		m := &f.markets[i]
		if f.ticks%m.every != 0 {
			continue
		}
		if err := publish(ctx, m.channel, slices.Clone(f.next(m, now))); err != nil {
			return err
		}
	}
	return nil
}
