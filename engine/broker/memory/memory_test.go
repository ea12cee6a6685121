package memory

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"weir/engine/broker"
	"weir/engine/broker/brokertest"
)

func TestConformance(t *testing.T) {
	brokertest.Run(t, func(_ *testing.T, sink broker.Sink) broker.Broker {
		return New(sink, Options{Streams: 1 << 16, IdleAfter: time.Hour, Bytes: 1 << 20})
	})
}

type discard struct{}

func (discard) Deliver(*broker.Publication) {}

func TestStreamsAreBounded(t *testing.T) {
	b := New(discard{}, Options{Streams: 3, IdleAfter: time.Minute})
	ctx := context.Background()
	for i := range 3 {
		if _, err := b.Publish(ctx, fmt.Sprint(i), broker.Message{}, broker.Retention{}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := b.Publish(ctx, "one more", broker.Message{}, broker.Retention{}); !errors.Is(err, broker.ErrFull) {
		t.Fatalf("a fourth stream: %v, want ErrFull", err)
	}
	if _, err := b.Attach(ctx, "one more", nil); !errors.Is(err, broker.ErrFull) {
		t.Fatalf("a fourth stream by Attach: %v, want ErrFull", err)
	}
	if _, err := b.Publish(ctx, "1", broker.Message{}, broker.Retention{}); err != nil {
		t.Fatalf("a stream that is held: %v", err)
	}
}

func TestSweepForgetsOnlyWhatIsIdleAndAlone(t *testing.T) {
	b := New(discard{}, Options{Streams: 3, IdleAfter: time.Minute})
	ctx := context.Background()
	first, _ := b.Publish(ctx, "idle", broker.Message{}, broker.Retention{})
	attached, _ := b.Attach(ctx, "attached", nil)
	if n := b.Sweep(time.Now()); n != 0 {
		t.Fatalf("%d streams forgotten at once, want none", n)
	}
	if n := b.Sweep(time.Now().Add(2 * time.Minute)); n != 1 || b.Streams() != 1 {
		t.Fatalf("%d forgotten, %d held, want 1 and 1", n, b.Streams())
	}
	again, _ := b.Publish(ctx, "idle", broker.Message{}, broker.Retention{})
	if again.Offset != 1 || again.Epoch == first.Epoch {
		t.Fatalf("the numbering starts anew as %+v after %+v: want offset 1 and another epoch", again, first)
	}
	if now, _ := b.Attach(ctx, "attached", nil); now.Position != attached.Position {
		t.Fatalf("an attached stream moved from %+v to %+v", attached, now)
	}
}

// TestNamesThatWereOnlyAskedForTakeNoRoom: a client that subscribes to ever new channels, or asks for their history, must
// neither keep others from theirs nor grow the broker. To him it makes no difference.
func TestNamesThatWereOnlyAskedForTakeNoRoom(t *testing.T) {
	b := New(discard{}, Options{Streams: 2, IdleAfter: time.Minute, Bytes: 1 << 20})
	ctx := context.Background()
	attach := func(since *broker.Since) broker.Attached {
		t.Helper()
		a, err := b.Attach(ctx, "once", since)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	first := attach(nil)
	attach(nil)
	b.Detach("once")
	if n := b.Streams(); n != 1 {
		t.Fatalf("%d streams while somebody is attached to one", n)
	}
	b.Detach("once")
	if pos, _, err := b.History(ctx, "once", broker.Filter{Limit: -1}); err != nil || pos != first.Position {
		t.Errorf("asked for, the stream is at %+v, %v; want %+v", pos, err, first.Position)
	}
	if err := b.RemoveHistory(ctx, "once"); err != nil {
		t.Error(err)
	}
	if pos, err := b.Publish(ctx, "once", broker.Message{}, broker.Retention{Skip: true}); err != nil || pos != first.Position {
		t.Errorf("a publication aside left it at %+v, %v; want %+v", pos, err, first.Position)
	}
	if n := b.Streams(); n != 0 {
		t.Errorf("%d streams that nobody uses are held", n)
	}
	for i := range b.stripes {
		if n := len(b.stripes[i].streams); n != 0 {
			t.Errorf("stripe %d holds %d", i, n)
		}
	}
	since := &broker.Since{Position: first.Position, Limit: 10, Bytes: 1 << 20}
	if again := attach(since); !again.Recovered || again.Position != first.Position {
		t.Errorf("who comes back is at %+v, recovered %v; want %+v", again.Position, again.Recovered, first.Position)
	}
	b.Detach("once")
	keep := broker.Retention{Size: 5, TTL: time.Second}
	if pos, err := b.Publish(ctx, "once", broker.Message{Data: []byte("1")}, keep); err != nil || pos.Offset != 1 || pos.Epoch != first.Epoch {
		t.Errorf("the first publication is %+v, %v", pos, err)
	}
	if again := attach(since); !again.Recovered || len(again.Missed) != 1 {
		t.Errorf("who comes back after the first publication has missed %d, recovered %v", len(again.Missed), again.Recovered)
	}
	b.Detach("once")
	if n := b.Sweep(time.Now().Add(time.Hour)); n != 1 {
		t.Fatalf("%d forgotten", n)
	}
	if again := attach(since); again.Recovered || again.Epoch == first.Epoch {
		t.Errorf("a stream that lost a publication passes for the one before: %+v", again)
	}
}

func TestHistoryExpires(t *testing.T) {
	now := time.Unix(1000, 0)
	b := New(discard{}, Options{Streams: 3, IdleAfter: time.Minute, Bytes: 1 << 20, Now: func() time.Time { return now }})
	ctx := context.Background()
	keep := broker.Retention{Size: 5, TTL: time.Minute}
	for range 3 {
		if _, err := b.Publish(ctx, "a", broker.Message{Data: []byte("1")}, keep); err != nil {
			t.Fatal(err)
		}
	}
	for _, step := range []struct {
		after time.Duration
		want  int
	}{{0, 3}, {59 * time.Second, 3}, {time.Second, 0}} {
		now = now.Add(step.after)
		if _, list, err := b.History(ctx, "a", broker.Filter{Limit: -1}); err != nil || len(list) != step.want {
			t.Fatalf("at %v: %d kept, %v; want %d", now.Sub(time.Unix(1000, 0)), len(list), err, step.want)
		}
	}
	if b.Bytes() != 0 {
		t.Fatalf("%d bytes are still counted", b.Bytes())
	}
}

// TestSweepKeepsHistory: a stream with history is not idle until that is over.
func TestSweepKeepsHistory(t *testing.T) {
	start := time.Now()
	b := New(discard{}, Options{Streams: 3, IdleAfter: time.Minute, Bytes: 1 << 20})
	if _, err := b.Publish(context.Background(), "a", broker.Message{}, broker.Retention{Size: 1, TTL: time.Hour}); err != nil {
		t.Fatal(err)
	}
	if n := b.Sweep(start.Add(30 * time.Minute)); n != 0 {
		t.Fatal("a stream was forgotten with its history")
	}
	if n := b.Sweep(start.Add(2 * time.Hour)); n != 1 || b.Bytes() != 0 {
		t.Fatalf("%d forgotten, %d bytes counted after the history's time", n, b.Bytes())
	}
}

// TestHistoriesAreBoundedTogether: over the budget the publishing stream gives
// up its oldest, and what is counted is what is there.
func TestHistoriesAreBoundedTogether(t *testing.T) {
	const budget = 10_000
	b := New(discard{}, Options{Streams: 100, IdleAfter: time.Minute, Bytes: budget})
	ctx := context.Background()
	keep := broker.Retention{Size: 1000, TTL: time.Hour}
	for i := range 500 {
		channel := fmt.Sprint(i % 7)
		if _, err := b.Publish(ctx, channel, broker.Message{Data: make([]byte, i)}, keep); err != nil {
			t.Fatal(err)
		}
		if b.Bytes() > budget {
			t.Fatalf("%d bytes of history, the budget is %d", b.Bytes(), budget)
		}
	}
	sum := 0
	for i := range 7 {
		pos, list, _ := b.History(ctx, fmt.Sprint(i), broker.Filter{Limit: -1})
		for k := range list {
			sum += cost(&list[k])
			if want := pos.Offset - uint64(len(list)) + uint64(k) + 1; list[k].Offset != want {
				t.Fatalf("channel %d: offset %d at place %d, want %d: a history has no gap", i, list[k].Offset, k, want)
			}
		}
	}
	if sum != b.Bytes() {
		t.Fatalf("%d bytes are kept, %d counted", sum, b.Bytes())
	}
}

// TestHistoriesHaveTheirShare: who fills the room of all histories first, in however many channels,
// leaves a share of it to those who publish later.
func TestHistoriesHaveTheirShare(t *testing.T) {
	const budget, channels = 64 << 10, 40
	keep := broker.Retention{Size: 1000, TTL: time.Hour}
	ctx := context.Background()
	for _, first := range []int{1, channels} { // one that has all of it, or many that have the same
		b := New(discard{}, Options{Streams: 1000, IdleAfter: time.Hour, Bytes: budget})
		publish := func(channel string, bytes int) {
			t.Helper()
			if _, err := b.Publish(ctx, channel, broker.Message{Data: make([]byte, bytes)}, keep); err != nil {
				t.Fatal(err)
			}
			if b.Bytes() > budget {
				t.Fatalf("%d bytes of history, the budget is %d", b.Bytes(), budget)
			}
		}
		for i := range 1000 {
			publish(fmt.Sprint("first ", i%first), 512)
		}
		share := budget / (first + 1)
		for range 200 {
			publish("late", 40)
		}
		_, list, err := b.History(ctx, "late", broker.Filter{Limit: -1})
		if want := min(200, share/(40+overhead)); err != nil || len(list) < want {
			t.Errorf("beside %d channels %d publications are kept, %v; the share has room for %d", first, len(list), err, want)
		}
		kept := 0
		for i := range first {
			_, list, err := b.History(ctx, fmt.Sprint("first ", i), broker.Filter{Limit: -1})
			if err != nil || len(list) == 0 || list[len(list)-1].Offset != uint64((1000-i+first-1)/first) {
				t.Errorf("a channel that had more than its share lost its newest: %d left, %v", len(list), err)
			}
			kept += len(list)
		}
		if first == channels && kept < channels {
			t.Errorf("%d publications of %d channels are left", kept, channels)
		}
	}
}

// TestSharesUnderContention: streams that take from each other at the same time neither wait for each
// other nor miscount.
func TestSharesUnderContention(t *testing.T) {
	const budget = 32 << 10
	b := New(discard{}, Options{Streams: 1000, IdleAfter: time.Hour, Bytes: budget})
	ctx := context.Background()
	var all sync.WaitGroup
	for g := range 8 {
		all.Go(func() {
			for i := range 2000 {
				channel := fmt.Sprint((i*7 + g) % 50)
				_, err := b.Publish(ctx, channel, broker.Message{Data: make([]byte, i%700)}, broker.Retention{Size: 1000, TTL: time.Hour})
				if err == nil && i%100 == 0 {
					err = b.RemoveHistory(ctx, channel)
				}
				if err != nil {
					t.Error(err)
				}
				if g == 0 && i%200 == 0 {
					b.Sweep(time.Now())
				}
			}
		})
	}
	all.Wait()
	sum, keeping := 0, 0
	for i := range 50 {
		_, list, _ := b.History(ctx, fmt.Sprint(i), broker.Filter{Limit: -1})
		for k := range list {
			sum += cost(&list[k])
		}
		if len(list) > 0 {
			keeping++
		}
	}
	if sum != b.Bytes() || sum > budget || keeping != int(b.keeping.Load()) {
		t.Errorf("%d bytes in %d streams, counted are %d in %d; the budget is %d", sum, keeping, b.Bytes(), b.keeping.Load(), budget)
	}
}

// TestNamesThatWerePublishedToGiveWay: who publishes to ever new channels keeps others from theirs for a
// minute at most, where nothing is kept of them.
func TestNamesThatWerePublishedToGiveWay(t *testing.T) {
	const held = 64 * stripes
	now := time.Unix(1000, 0)
	b := New(discard{}, Options{Streams: held, IdleAfter: time.Hour, Bytes: 1 << 20, Now: func() time.Time { return now }})
	ctx := context.Background()
	attached, err := b.Attach(ctx, "0", nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Publish(ctx, "1", broker.Message{}, broker.Retention{Size: 1, TTL: time.Hour}); err != nil {
		t.Fatal(err)
	}
	for i := range held - 2 {
		if _, err := b.Publish(ctx, fmt.Sprint(i+2), broker.Message{}, broker.Retention{}); err != nil {
			t.Fatal(err)
		}
	}
	now = now.Add(giveWayAfter - time.Second)
	if _, err := b.Publish(ctx, "early", broker.Message{}, broker.Retention{}); !errors.Is(err, broker.ErrFull) {
		t.Errorf("a position that counts was given up: %v", err)
	}
	now = now.Add(2 * time.Second)
	for i := range 100 {
		if _, err := b.Publish(ctx, fmt.Sprint("late ", i), broker.Message{}, broker.Retention{}); err != nil {
			t.Fatalf("channel %d behind %d that nobody uses: %v", i, held, err)
		}
	}
	if again, _ := b.Attach(ctx, "0", nil); again.Position != attached.Position {
		t.Errorf("a stream that is attached moved from %v to %v", attached.Position, again.Position)
	}
	if _, list, _ := b.History(ctx, "1", broker.Filter{Limit: -1}); len(list) != 1 {
		t.Error("a stream was forgotten with its history")
	}
}
