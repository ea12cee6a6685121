package memory

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"weir/engine/broker"
	"weir/engine/broker/brokertest"
)

func TestConformance(t *testing.T) {
	brokertest.Run(t, func(_ *testing.T, sink broker.Sink) broker.Broker {
		return New(sink, Options{Streams: 1 << 16, IdleAfter: time.Hour})
	})
}

type discard struct{}

func (discard) Deliver(*broker.Publication) {}

func TestStreamsAreBounded(t *testing.T) {
	b := New(discard{}, Options{Streams: 3, IdleAfter: time.Minute})
	ctx := context.Background()
	for i := range 3 {
		if _, err := b.Publish(ctx, fmt.Sprint(i), broker.Message{}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := b.Publish(ctx, "one more", broker.Message{}); !errors.Is(err, broker.ErrFull) {
		t.Fatalf("a fourth stream: %v, want ErrFull", err)
	}
	if _, err := b.Attach(ctx, "one more"); !errors.Is(err, broker.ErrFull) {
		t.Fatalf("a fourth stream by Attach: %v, want ErrFull", err)
	}
	if _, err := b.Publish(ctx, "1", broker.Message{}); err != nil {
		t.Fatalf("a stream that is held: %v", err)
	}
}

func TestSweepForgetsOnlyWhatIsIdleAndAlone(t *testing.T) {
	b := New(discard{}, Options{Streams: 3, IdleAfter: time.Minute})
	ctx := context.Background()
	first, _ := b.Publish(ctx, "idle", broker.Message{})
	attached, _ := b.Attach(ctx, "attached")
	if n := b.Sweep(time.Now()); n != 0 {
		t.Fatalf("%d streams forgotten at once, want none", n)
	}
	if n := b.Sweep(time.Now().Add(2 * time.Minute)); n != 1 || b.Streams() != 1 {
		t.Fatalf("%d forgotten, %d held, want 1 and 1", n, b.Streams())
	}
	again, _ := b.Publish(ctx, "idle", broker.Message{})
	if again.Offset != 1 || again.Epoch == first.Epoch {
		t.Fatalf("the numbering starts anew as %+v after %+v: want offset 1 and another epoch", again, first)
	}
	if now, _ := b.Attach(ctx, "attached"); now != attached {
		t.Fatalf("an attached stream moved from %+v to %+v", attached, now)
	}
}

// TestNamesThatWereOnlySubscribedToGiveWay: a client that subscribes to ever
// new channels must not keep others from theirs.
func TestNamesThatWereOnlySubscribedToGiveWay(t *testing.T) {
	const held = 64 * stripes // so that every stripe has some
	b := New(discard{}, Options{Streams: held, IdleAfter: time.Hour})
	ctx := context.Background()
	for i := range held {
		name := fmt.Sprint("once ", i)
		if _, err := b.Attach(ctx, name); err != nil {
			t.Fatal(err)
		}
		b.Detach(name)
	}
	for i := range 100 {
		name := fmt.Sprint("kept ", i)
		if _, err := b.Publish(ctx, name, broker.Message{}); err != nil {
			t.Fatalf("channel %d after %d that nobody uses: %v", i, held, err)
		}
	}
	if n := b.Streams(); n != held {
		t.Errorf("%d streams are counted, want %d", n, held)
	}
	for i := range 100 {
		if pos, err := b.Publish(ctx, fmt.Sprint("kept ", i), broker.Message{}); err != nil || pos.Offset != 2 {
			t.Errorf("what was published to is at %+v, %v; want offset 2", pos, err)
		}
	}
}
