package brokertest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"weir/engine/broker"
)

var keep = broker.Retention{Size: 10, TTL: time.Hour}

// publish publishes so many messages, whose data is their offset.
func publish(t *testing.T, b broker.Broker, channel string, n int, r broker.Retention) (top broker.Position) {
	t.Helper()
	for range n {
		pos, err := b.Publish(context.Background(), channel, broker.Message{Data: fmt.Appendf(nil, "%d", top.Offset+1)}, r)
		if err != nil {
			t.Fatal(err)
		}
		top = pos
	}
	return top
}

func offsetsOf(list []broker.Publication) (out []uint64) {
	for _, p := range list {
		out = append(out, p.Offset)
	}
	return out
}

func historyOf(t *testing.T, open func(*testing.T, broker.Sink) broker.Broker) {
	b := open(t, &recorder{})
	defer b.Close()
	ctx := context.Background()
	top := publish(t, b, "a", 15, keep) // 6 to 15 are kept
	at := func(offset uint64) *broker.Position { return &broker.Position{Offset: offset, Epoch: top.Epoch} }
	for _, c := range []struct {
		name   string
		filter broker.Filter
		want   string
	}{
		{"none", broker.Filter{}, "[]"},
		{"all", broker.Filter{Limit: -1}, "[6 7 8 9 10 11 12 13 14 15]"},
		{"first", broker.Filter{Limit: 3}, "[6 7 8]"},
		{"last", broker.Filter{Limit: 3, Reverse: true}, "[15 14 13]"},
		{"as many as fit", broker.Filter{Limit: -1, Bytes: 150}, "[6 7]"},
		{"as many as fit, newest first", broker.Filter{Limit: -1, Bytes: 150, Reverse: true}, "[15 14]"},
		{"since", broker.Filter{Limit: -1, Since: at(12)}, "[13 14 15]"},
		{"since, some", broker.Filter{Limit: 2, Since: at(12)}, "[13 14]"},
		{"since the top", broker.Filter{Limit: -1, Since: at(15)}, "[]"},
		{"since what is gone", broker.Filter{Limit: -1, Since: at(2)}, "[6 7 8 9 10 11 12 13 14 15]"},
		{"before", broker.Filter{Limit: -1, Since: at(8), Reverse: true}, "[7 6]"},
		{"before, some", broker.Filter{Limit: 1, Since: at(8), Reverse: true}, "[7]"},
		{"before the oldest", broker.Filter{Limit: -1, Since: at(6), Reverse: true}, "[]"},
		{"before what is gone", broker.Filter{Limit: -1, Since: at(2), Reverse: true}, "[]"},
	} {
		pos, list, err := b.History(ctx, "a", c.filter)
		if err != nil || pos != top || fmt.Sprint(offsetsOf(list)) != c.want {
			t.Errorf("%s: %v at %+v, %v; want %s at %+v", c.name, offsetsOf(list), pos, err, c.want, top)
		}
		for _, p := range list {
			if string(p.Data) != fmt.Sprint(p.Offset) || p.Epoch != top.Epoch || p.Channel != "a" {
				t.Errorf("%s: %+v is not what was published", c.name, p)
			}
		}
	}
	for name, since := range map[string]*broker.Position{"another epoch": {Offset: 9, Epoch: "other"}, "beyond the top": at(16)} {
		if _, _, err := b.History(ctx, "a", broker.Filter{Limit: -1, Since: since}); !errors.Is(err, broker.ErrUnrecoverable) {
			t.Errorf("%s: %v, want ErrUnrecoverable", name, err)
		}
	}
	if err := b.RemoveHistory(ctx, "a"); err != nil {
		t.Fatal(err)
	}
	if pos, list, err := b.History(ctx, "a", broker.Filter{Limit: -1}); err != nil || len(list) != 0 || pos != top {
		t.Errorf("after RemoveHistory: %d kept at %+v, %v; want none, and the position stays", len(list), pos, err)
	}
}

func recovery(t *testing.T, open func(*testing.T, broker.Sink) broker.Broker) {
	b := open(t, &recorder{})
	defer b.Close()
	top := publish(t, b, "a", 15, keep)
	gap := publish(t, b, "gap", 5, keep)
	publish(t, b, "gap", 1, broker.Retention{}) // not kept: what was kept does not reach the top
	for _, c := range []struct {
		name, channel string
		since         broker.Since
		recovered     bool
		want          string
	}{
		{"nothing missed", "a", broker.Since{Position: top, Limit: 100, Bytes: 1 << 20}, true, "[]"},
		{"three missed", "a", broker.Since{Position: broker.Position{Offset: 12, Epoch: top.Epoch}, Limit: 100, Bytes: 1 << 20}, true, "[13 14 15]"},
		{"without an epoch", "a", broker.Since{Position: broker.Position{Offset: 12}, Limit: 100, Bytes: 1 << 20}, true, "[13 14 15]"},
		{"all that is kept", "a", broker.Since{Position: broker.Position{Offset: 5, Epoch: top.Epoch}, Limit: 100, Bytes: 1 << 20}, true, "[6 7 8 9 10 11 12 13 14 15]"},
		{"one is gone", "a", broker.Since{Position: broker.Position{Offset: 4, Epoch: top.Epoch}, Limit: 100, Bytes: 1 << 20}, false, "[]"},
		{"more than the limit", "a", broker.Since{Position: broker.Position{Offset: 12, Epoch: top.Epoch}, Limit: 2, Bytes: 1 << 20}, false, "[]"},
		{"more than the bytes", "a", broker.Since{Position: broker.Position{Offset: 12, Epoch: top.Epoch}, Limit: 100, Bytes: 150}, false, "[]"},
		{"another epoch", "a", broker.Since{Position: broker.Position{Offset: 12, Epoch: "other"}, Limit: 100, Bytes: 1 << 20}, false, "[]"},
		{"beyond the top", "a", broker.Since{Position: broker.Position{Offset: 16, Epoch: top.Epoch}, Limit: 100, Bytes: 1 << 20}, false, "[]"},
		{"a new stream", "new", broker.Since{Limit: 100, Bytes: 1 << 20}, true, "[]"},
		{"behind a gap", "gap", broker.Since{Position: gap, Limit: 100, Bytes: 1 << 20}, false, "[]"},
	} {
		a, err := b.Attach(context.Background(), c.channel, &c.since)
		if err != nil || a.Recovered != c.recovered || fmt.Sprint(offsetsOf(a.Missed)) != c.want {
			t.Errorf("%s: %v, recovered %v, %v; want %s, %v", c.name, offsetsOf(a.Missed), a.Recovered, err, c.want, c.recovered)
		}
	}
}

func latest(t *testing.T, open func(*testing.T, broker.Sink) broker.Broker) {
	b := open(t, &recorder{})
	defer b.Close()
	top := publish(t, b, "a", 3, keep)
	for _, c := range []struct {
		name      string
		channel   string
		since     broker.Position
		recovered bool
		want      string
	}{
		{"new to it", "a", broker.Position{}, true, "[3]"},
		{"behind", "a", broker.Position{Offset: 1, Epoch: top.Epoch}, true, "[3]"},
		{"another epoch", "a", broker.Position{Offset: 3, Epoch: "other"}, true, "[3]"},
		{"has it", "a", top, true, "[]"},
		{"there is none", "empty", broker.Position{}, false, "[]"},
	} {
		a, err := b.Attach(context.Background(), c.channel, &broker.Since{Position: c.since, Latest: true, Bytes: 1 << 20})
		if err != nil || a.Recovered != c.recovered || fmt.Sprint(offsetsOf(a.Missed)) != c.want {
			t.Errorf("%s: %v, recovered %v, %v; want %s, %v", c.name, offsetsOf(a.Missed), a.Recovered, err, c.want, c.recovered)
		}
	}
}

// meet recovers at random moments of a busy stream: what was missed and what
// is delivered from then on meet without a gap and without a double.
func meet(t *testing.T, open func(*testing.T, broker.Sink) broker.Broker) {
	var r recorder
	b := open(t, &r)
	defer b.Close()
	const total = 3000
	r3000 := broker.Retention{Size: total, TTL: time.Hour}
	publish(t, b, "a", 1, r3000)
	var wg sync.WaitGroup
	wg.Go(func() {
		for range total - 1 {
			if _, err := b.Publish(context.Background(), "a", broker.Message{}, r3000); err != nil {
				t.Error(err)
			}
		}
	})
	a, err := b.Attach(context.Background(), "a", &broker.Since{Position: broker.Position{Offset: 1}, Limit: total, Bytes: 1 << 30})
	if err != nil || !a.Recovered {
		t.Fatalf("%+v, %v", a.Position, err)
	}
	wg.Wait()
	next := uint64(2)
	for _, p := range append(a.Missed, r.of("a")...) {
		if p.Offset != next {
			t.Fatalf("offset %d where %d was due, attached at %d", p.Offset, next, a.Offset)
		}
		next++
	}
	if next != total+1 {
		t.Fatalf("the last is %d, want %d", next-1, total)
	}
}

func skipped(t *testing.T, open func(*testing.T, broker.Sink) broker.Broker) {
	var r recorder
	b := open(t, &r)
	defer b.Close()
	ctx := context.Background()
	if _, err := b.Attach(ctx, "a", nil); err != nil {
		t.Fatal(err)
	}
	top := publish(t, b, "a", 2, keep)
	if pos, err := b.Publish(ctx, "a", broker.Message{Data: []byte(`"aside"`)}, broker.Retention{Skip: true}); err != nil || pos != top {
		t.Fatalf("a skipped publication moved the stream from %+v to %+v, %v", top, pos, err)
	}
	if got := r.of("a"); len(got) != 3 || got[2].Offset != 0 || string(got[2].Data) != `"aside"` {
		t.Fatalf("delivered %v", offsetsOf(got))
	}
	if _, list, _ := b.History(ctx, "a", broker.Filter{Limit: -1}); fmt.Sprint(offsetsOf(list)) != "[1 2]" {
		t.Fatalf("kept %v, want 1 and 2", offsetsOf(list))
	}
}
