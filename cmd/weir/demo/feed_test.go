package demo

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"math"
	"testing"
	"testing/synctest"
	"time"
)

type price struct {
	Symbol string  `json:"symbol"`
	Price  float64 `json:"price"`
	Change float64 `json:"change"`
	Time   int64   `json:"time"`
}

func read(t *testing.T, data []byte) (p price) {
	t.Helper()
	if err := json.Unmarshal(data, &p); err != nil {
		t.Fatalf("%s: %v", data, err)
	}
	return p
}

func TestFeedIsDeterministic(t *testing.T) {
	a, b, other := NewFeed(1), NewFeed(1), NewFeed(2)
	now := time.UnixMilli(1_700_000_000_123)
	differs := false
	for range 1000 {
		x := string(a.next(&a.markets[0], now))
		if y := string(b.next(&b.markets[0], now)); x != y {
			t.Fatalf("the same seed gives %s and %s", x, y)
		}
		differs = differs || x != string(other.next(&other.markets[0], now))
	}
	if !differs {
		t.Error("another seed gives the same prices")
	}
}

func TestFeedShape(t *testing.T) {
	f := NewFeed(3)
	now := time.UnixMilli(1_700_000_000_123)
	data := f.next(&f.markets[0], now)
	var members map[string]any
	if err := json.Unmarshal(data, &members); err != nil || len(members) != 4 {
		t.Fatalf("%s: %v", data, err)
	}
	if p := read(t, data); p.Time != 1_700_000_000_123 || p.Symbol == "" || p.Price <= 0 {
		t.Errorf("%s", data)
	}
}

// A long walk shows every symbol moving both ways, and none far from where it began.
func TestFeedWalksAndStays(t *testing.T) {
	f := NewFeed(4)
	for i := range f.markets {
		m := &f.markets[i]
		t.Run(m.channel, func(t *testing.T) { walk(t, f, m) })
	}
}

func walk(t *testing.T, f *Feed, m *market) {
	open := make(map[string]float64)
	for _, q := range m.quotes {
		open[q.symbol] = q.open
	}
	last := make(map[string]float64)
	ups, downs := make(map[string]int), make(map[string]int)
	steps := 25_000 * len(m.quotes)
	for range steps {
		p := read(t, f.next(m, time.UnixMilli(0)))
		if math.Abs(p.Price-open[p.Symbol]-p.Change) > 1e-6 {
			t.Fatalf("%+v opened at %v", p, open[p.Symbol])
		}
		if math.Abs(p.Change) > open[p.Symbol]/2 {
			t.Fatalf("%+v ran away", p)
		}
		switch before := last[p.Symbol]; {
		case before == 0:
		case p.Price > before:
			ups[p.Symbol]++
		case p.Price < before:
			downs[p.Symbol]++
		}
		last[p.Symbol] = p.Price
	}
	if len(last) != len(m.quotes) {
		t.Errorf("%d symbols, want %d", len(last), len(m.quotes))
	}
	for symbol := range open {
		if ups[symbol] < 8000 || downs[symbol] < 8000 {
			t.Errorf("%s went up %d and down %d times of about 25,000", symbol, ups[symbol], downs[symbol])
		}
	}
}

func TestRunPublishesAtEachTick(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second+time.Millisecond)
		defer cancel()
		var kept [][]byte
		var copies []string
		counts := map[string]int{}
		err := NewFeed(5).Run(ctx, 100*time.Millisecond, func(_ context.Context, channel string, data []byte) error {
			if p := read(t, data); p.Time != time.Now().UnixMilli() {
				t.Errorf("%s on %s at %d", data, channel, time.Now().UnixMilli())
			}
			counts[channel]++
			kept, copies = append(kept, data), append(copies, string(data))
			return nil
		})
		if want := map[string]int{"feeds:prices": 100, "feeds:metals": 33, "feeds:crops": 20}; err != nil || !maps.Equal(counts, want) {
			t.Fatalf("%v in ten seconds, error %v; want %v", counts, err, want)
		}
		for i := range kept {
			if string(kept[i]) != copies[i] {
				t.Fatalf("publication %d was written over: %s, was %s", i, kept[i], copies[i])
			}
		}
	})
}

func TestRunEndsWithTheError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broken := errors.New("broken")
		calls := 0
		err := NewFeed(6).Run(t.Context(), time.Second, func(context.Context, string, []byte) error {
			calls++
			return broken
		})
		if !errors.Is(err, broken) || calls != 1 {
			t.Errorf("%v after %d calls", err, calls)
		}
		ctx, cancel := context.WithCancel(t.Context())
		err = NewFeed(6).Run(ctx, time.Second, func(context.Context, string, []byte) error {
			cancel() // a publish that fails because the server stops
			return ctx.Err()
		})
		if err != nil {
			t.Errorf("a stopped feed returned %v", err)
		}
	})
}

func TestNoNegativeZero(t *testing.T) {
	if got := cents(-0.001); math.Signbit(got) || got != 0 {
		t.Errorf("cents(-0.001) = %v", got)
	}
}
