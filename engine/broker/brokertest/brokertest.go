// Package brokertest is the conformance suite of broker.Broker.
package brokertest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"weir/engine/broker"
)

// Run checks the broker that open makes. open is called once a test; the broker
// must have room for a few hundred streams and publications.
func Run(t *testing.T, open func(t *testing.T, sink broker.Sink) broker.Broker) {
	t.Run("offsets", func(t *testing.T) { offsets(t, open) })
	t.Run("order under contention", func(t *testing.T) { order(t, open) })
	t.Run("attach misses nothing", func(t *testing.T) { attach(t, open) })
	t.Run("history", func(t *testing.T) { historyOf(t, open) })
	t.Run("recovery", func(t *testing.T) { recovery(t, open) })
	t.Run("latest", func(t *testing.T) { latest(t, open) })
	t.Run("missed and live meet", func(t *testing.T) { meet(t, open) })
	t.Run("skipped", func(t *testing.T) { skipped(t, open) })
	t.Run("detach", func(t *testing.T) { detach(t, open) })
	t.Run("watch", func(t *testing.T) { watch(t, open) })
	t.Run("watch misses nothing", func(t *testing.T) { watchBusy(t, open) })
	t.Run("close", func(t *testing.T) { closed(t, open) })
}

// recorder keeps what was delivered, by channel.
type recorder struct {
	mu  sync.Mutex
	got map[string][]broker.Publication
}

func (r *recorder) Deliver(p *broker.Publication) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.got == nil {
		r.got = make(map[string][]broker.Publication)
	}
	r.got[p.Channel] = append(r.got[p.Channel], *p)
}

func (r *recorder) of(channel string) []broker.Publication {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]broker.Publication(nil), r.got[channel]...)
}

func offsets(t *testing.T, open func(*testing.T, broker.Sink) broker.Broker) {
	var r recorder
	b := open(t, &r)
	defer b.Close()
	ctx := context.Background()
	start, err := b.Attach(ctx, "a", nil)
	if err != nil || start.Offset != 0 || start.Epoch == "" {
		t.Fatalf("a new stream stands at %+v, %v; want offset 0 and an epoch", start, err)
	}
	for i := uint64(1); i <= 3; i++ {
		pos, err := b.Publish(ctx, "a", broker.Message{Data: fmt.Appendf(nil, "%d", i)}, broker.Retention{})
		if err != nil || pos != (broker.Position{Offset: i, Epoch: start.Epoch}) {
			t.Fatalf("publication %d: %+v, %v", i, pos, err)
		}
	}
	if pos, _ := b.Publish(ctx, "b", broker.Message{}, broker.Retention{}); pos.Offset != 1 {
		t.Fatalf("another channel starts at %d, want 1", pos.Offset)
	}
	for i, p := range r.of("a") {
		if p.Offset != uint64(i+1) || string(p.Data) != fmt.Sprint(i+1) {
			t.Fatalf("delivery %d is offset %d with %q", i, p.Offset, p.Data)
		}
	}
	if n := len(r.of("a")); n != 3 {
		t.Fatalf("%d delivered, want 3", n)
	}
	if n := len(r.of("b")); n != 0 {
		t.Fatalf("%d delivered of a channel that nobody attached", n)
	}
}

func order(t *testing.T, open func(*testing.T, broker.Sink) broker.Broker) {
	var r recorder
	b := open(t, &r)
	defer b.Close()
	ctx := context.Background()
	if _, err := b.Attach(ctx, "a", nil); err != nil {
		t.Fatal(err)
	}
	const publishers, each = 8, 500
	var wg sync.WaitGroup
	for range publishers {
		wg.Go(func() {
			for range each {
				if _, err := b.Publish(ctx, "a", broker.Message{}, broker.Retention{}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	got := r.of("a")
	if len(got) != publishers*each {
		t.Fatalf("%d delivered, want %d", len(got), publishers*each)
	}
	for i, p := range got {
		if p.Offset != uint64(i+1) {
			t.Fatalf("delivery %d has offset %d", i, p.Offset)
		}
	}
}

func attach(t *testing.T, open func(*testing.T, broker.Sink) broker.Broker) {
	var r recorder
	b := open(t, &r)
	defer b.Close()
	ctx := context.Background()
	const total = 2000
	var wg sync.WaitGroup
	wg.Go(func() {
		for range total {
			if _, err := b.Publish(ctx, "a", broker.Message{}, broker.Retention{}); err != nil {
				t.Error(err)
			}
		}
	})
	from, err := b.Attach(ctx, "a", nil)
	if err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	got := r.of("a")
	if want := total - int(from.Offset); len(got) != want {
		t.Fatalf("attached at %d of %d: %d delivered, want %d", from.Offset, total, len(got), want)
	}
	for i, p := range got {
		if p.Offset != from.Offset+uint64(i)+1 || p.Epoch != from.Epoch {
			t.Fatalf("attached at %+v: delivery %d is %+v", from, i, p.Position)
		}
	}
}

func detach(t *testing.T, open func(*testing.T, broker.Sink) broker.Broker) {
	var r recorder
	b := open(t, &r)
	defer b.Close()
	ctx := context.Background()
	for range 2 {
		if _, err := b.Attach(ctx, "a", nil); err != nil {
			t.Fatal(err)
		}
	}
	for attached := 2; attached >= 0; attached-- {
		if _, err := b.Publish(ctx, "a", broker.Message{}, broker.Retention{}); err != nil {
			t.Fatal(err)
		}
		if attached > 0 {
			b.Detach("a")
		}
	}
	if n := len(r.of("a")); n != 2 {
		t.Fatalf("%d delivered with two attached, then one, then none; want 2", n)
	}
	defer func() {
		if recover() == nil {
			t.Error("a Detach too many did not panic")
		}
	}()
	b.Detach("a")
}

func closed(t *testing.T, open func(*testing.T, broker.Sink) broker.Broker) {
	b := open(t, &recorder{})
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	if _, err := b.Publish(ctx, "a", broker.Message{}, broker.Retention{}); !errors.Is(err, broker.ErrClosed) {
		t.Errorf("Publish after Close: %v, want ErrClosed", err)
	}
	if _, err := b.Attach(ctx, "a", nil); !errors.Is(err, broker.ErrClosed) {
		t.Errorf("Attach after Close: %v, want ErrClosed", err)
	}
	if err := b.Watch(ctx, "a*"); !errors.Is(err, broker.ErrClosed) {
		t.Errorf("Watch after Close: %v, want ErrClosed", err)
	}
}
