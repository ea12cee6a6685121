package brokertest

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"weir/engine/broker"
)

// watch: what matches is delivered while anybody watches, once, also where the
// channel is attached as well, and a publication aside too.
func watch(t *testing.T, open func(*testing.T, broker.Sink) broker.Broker) {
	var r recorder
	b := open(t, &r)
	defer b.Close()
	ctx := context.Background()
	publish(t, b, "feeds:a", 1, keep)
	for _, pattern := range []string{"feeds:*", "feeds:*", "*:a"} {
		if err := b.Watch(ctx, pattern); err != nil {
			t.Fatal(err)
		}
	}
	publish(t, b, "feeds:a", 2, keep)
	if _, err := b.Attach(ctx, "feeds:a", nil); err != nil {
		t.Fatal(err)
	}
	publish(t, b, "feeds:a", 1, keep)
	b.Unwatch("*:a")
	b.Unwatch("feeds:*")
	b.Detach("feeds:a")
	publish(t, b, "feeds:a", 1, keep)
	if _, err := b.Publish(ctx, "feeds:a", broker.Message{}, broker.Retention{Skip: true}); err != nil {
		t.Fatal(err)
	}
	b.Unwatch("feeds:*")
	publish(t, b, "feeds:a", 1, keep)
	if got := r.of("feeds:a"); fmt.Sprint(offsetsOf(got)) != "[2 3 4 5 0]" {
		t.Errorf("delivered %v, want 2 to 5 and one aside: what was published while somebody watched", offsetsOf(got))
	}
	for _, p := range r.of("feeds:a") {
		if p.Channel != "feeds:a" || p.Epoch == "" {
			t.Errorf("%+v: the channel's own name and epoch are missing", p)
		}
	}
	defer func() {
		if recover() == nil {
			t.Error("an Unwatch too many did not panic")
		}
	}()
	b.Unwatch("feeds:*")
}

// watchBusy begins to watch amid publications to many channels: each channel's
// are whole from then on, and in order.
func watchBusy(t *testing.T, open func(*testing.T, broker.Sink) broker.Broker) {
	var r recorder
	b := open(t, &r)
	defer b.Close()
	const channels, each = 8, 500
	name := func(i int) string { return fmt.Sprint("feeds:", i) }
	watched := make(chan struct{})
	var wg sync.WaitGroup
	for i := range channels {
		wg.Go(func() {
			publish(t, b, name(i), each, broker.Retention{})
			<-watched
			publish(t, b, name(i), each, broker.Retention{})
		})
	}
	if err := b.Watch(context.Background(), "feeds:*"); err != nil {
		t.Fatal(err)
	}
	close(watched)
	wg.Wait()
	for i := range channels {
		next := uint64(0)
		got := r.of(name(i))
		for _, p := range got {
			if next > 0 && p.Offset != next {
				t.Fatalf("%s: offset %d where %d was due", p.Channel, p.Offset, next)
			}
			next = p.Offset + 1
		}
		if len(got) < each || next != 2*each+1 {
			t.Errorf("%s: %d delivered, the last is %d; want at least the last %d of %d", name(i), len(got), next-1, each, 2*each)
		}
	}
}
