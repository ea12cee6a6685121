package hub

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"weir/engine/broker"
	"weir/engine/broker/memory"
	"weir/engine/outbox"
)

func newHub(shards, entries, bytes int) (*Hub, []*Inbox) {
	inboxes := make([]*Inbox, shards)
	for i := range inboxes {
		inboxes[i] = NewInbox(entries, bytes, func() {})
	}
	return New(inboxes), inboxes
}

func publication(channel string, offset uint64) *broker.Publication {
	return &broker.Publication{Channel: channel, Position: broker.Position{Offset: offset, Epoch: "e"},
		Message: broker.Message{Data: fmt.Appendf(nil, `{"n":%d}`, offset)}}
}

func TestFrameIsTheWireFormat(t *testing.T) {
	h, in := newHub(1, 10, 1<<20)
	h.Join(0, "feeds:a")
	h.Deliver(&broker.Publication{Channel: "feeds:a", Position: broker.Position{Offset: 7},
		Message: broker.Message{Data: []byte(`{"p":1}`), Tags: []byte(`{"k":"v"}`)}})
	got := string(in[0].Take(nil).Deliveries[0].Frame.Plain)
	payload := `{"push":{"channel":"feeds:a","pub":{"data":{"p":1},"offset":7,"tags":{"k":"v"}}}}`
	if want := "\x81" + string(rune(len(payload))) + payload; got != want {
		t.Fatalf("the frame is\n%q, want\n%q", got, want)
	}
}

func TestLongFrameHasTheLongHeader(t *testing.T) {
	h, in := newHub(1, 10, 1<<20)
	h.Join(0, "a")
	for _, n := range []int{0, 80, 90, 200, 65000, 66000} {
		data := make([]byte, n+2)
		for i := range data {
			data[i] = 'x'
		}
		data[0], data[n+1] = '"', '"'
		h.Deliver(&broker.Publication{Channel: "a", Message: broker.Message{Data: data}})
		f := in[0].Take(nil).Deliveries[0].Frame.Plain
		header, length := 2, int(f[1])
		switch length {
		case 126:
			header, length = 4, int(f[2])<<8|int(f[3])
		case 127:
			header, length = 10, int(f[6])<<24|int(f[7])<<16|int(f[8])<<8|int(f[9])
		}
		if len(f) != header+length {
			t.Errorf("%d bytes of data: header says %d, the frame has %d behind it", n, length, len(f)-header)
		}
	}
}

func TestOneFrameForAllShards(t *testing.T) {
	h, in := newHub(3, 10, 1<<20)
	h.Join(0, "a")
	h.Join(0, "a")
	h.Join(2, "a")
	h.Deliver(publication("a", 1))
	first, second, third := in[0].Take(nil), in[1].Take(nil), in[2].Take(nil)
	if len(first.Deliveries) != 1 || len(second.Deliveries) != 0 || len(third.Deliveries) != 1 {
		t.Fatalf("%d, %d, %d deliveries; want one for each shard with subscribers", len(first.Deliveries), len(second.Deliveries), len(third.Deliveries))
	}
	if first.Deliveries[0].Frame != third.Deliveries[0].Frame {
		t.Fatal("the frame was encoded twice")
	}
}

func TestChannelLivesWhileItHasSubscribers(t *testing.T) {
	h, in := newHub(2, 10, 1<<20)
	a, b := h.Join(0, "a"), h.Join(1, "a")
	if a != b || h.Channels() != 1 || h.Subscribers("a") != 2 {
		t.Fatalf("two subscribers make %d channels with %d subscribers", h.Channels(), h.Subscribers("a"))
	}
	h.Leave(0, a)
	h.Deliver(publication("a", 1))
	if in[0].Len() != 0 || in[1].Len() != 1 {
		t.Fatalf("%d and %d deliveries after one left; want 0 and 1", in[0].Len(), in[1].Len())
	}
	h.Leave(1, b)
	if h.Channels() != 0 {
		t.Fatal("a channel without subscribers stays")
	}
	if again := h.Join(0, "a"); again.ID == a.ID {
		t.Fatal("the topic of a channel that is gone was given again")
	}
	defer func() {
		if recover() == nil {
			t.Error("a Leave too many did not panic")
		}
	}()
	h.Leave(1, b)
}

// TestInboxBound: over either bound nothing of the channel follows until the
// loop has been told of the gap, and others are still served.
func TestInboxBound(t *testing.T) {
	for _, c := range []struct {
		name           string
		entries, bytes int
	}{{"entries", 3, 1 << 20}, {"bytes", 100, 150}} {
		h, in := newHub(1, c.entries, c.bytes)
		a := h.Join(0, "a")
		for i := range uint64(10) {
			h.Deliver(publication("a", i+1))
		}
		taken := in[0].Take(nil)
		kept := uint64(len(taken.Deliveries))
		if kept == 0 || kept > 3 {
			t.Fatalf("%s: %d kept, want 1 to 3", c.name, kept)
		}
		if from, ok := taken.Behind[a]; !ok || from != kept+1 || taken.Lost != 10-kept {
			t.Fatalf("%s: gap at %d (%v), %d lost; want at %d, %d lost", c.name, from, ok, taken.Lost, kept+1, 10-kept)
		}
		h.Deliver(publication("a", 11))
		if taken = in[0].Take(nil); len(taken.Deliveries) != 1 || taken.Behind != nil {
			t.Fatalf("%s: the gap was told once and stays", c.name)
		}
	}
}

func TestNothingFollowsAGap(t *testing.T) {
	in := NewInbox(100, 100, func() {})
	a, b := &Channel{Name: "a"}, &Channel{Name: "b"}
	big, small := &outbox.Frame{Plain: make([]byte, 90)}, &outbox.Frame{Plain: make([]byte, 20)}
	in.append(Delivery{Channel: b, Offset: 1, Frame: big})
	in.append(Delivery{Channel: a, Offset: 1, Frame: small}) // no room
	in.Take(nil)
	in.append(Delivery{Channel: b, Offset: 2, Frame: big})
	in.append(Delivery{Channel: a, Offset: 2, Frame: small}) // no room again
	in.append(Delivery{Channel: a, Offset: 3, Frame: &outbox.Frame{Plain: make([]byte, 5)}})
	taken := in.Take(nil)
	if len(taken.Deliveries) != 1 || taken.Behind[a] != 2 || taken.Lost != 2 {
		t.Fatalf("%d kept, gap at %d, %d lost: an offset stands behind a gap", len(taken.Deliveries), taken.Behind[a], taken.Lost)
	}
}

// TestMembersAgainstMap removes and adds at random; every member must be found
// where its owner was told that it is.
func TestMembersAgainstMap(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	var m Members
	index := map[uint32]uint32{} // slot → index
	for step := range 100_000 {
		if slot := rng.Uint32N(300); rng.IntN(2) == 0 {
			if _, in := index[slot]; !in {
				index[slot] = m.Add(Member{Slot: slot})
			}
		} else if i, in := index[slot]; in {
			delete(index, slot)
			if moved, ok := m.Remove(i); ok {
				index[moved.Slot] = i
			}
		}
		if len(m.All()) != len(index) {
			t.Fatalf("step %d: %d members, want %d", step, len(m.All()), len(index))
		}
	}
	for slot, i := range index {
		if m.All()[i].Slot != slot {
			t.Fatalf("slot %d is told to be at %d, where %d is", slot, i, m.All()[i].Slot)
		}
	}
}

// TestJoinThenAttachMissesNothing runs the subscriber's order of steps against
// a publisher: what it gets is exactly what follows its position.
func TestJoinThenAttachMissesNothing(t *testing.T) {
	const total = 5000
	h, in := newHub(1, 2*total, 1<<30)
	b := memory.New(h, memory.Options{Streams: 10, IdleAfter: time.Hour})
	ctx := context.Background()
	var wg sync.WaitGroup
	wg.Go(func() {
		for range total {
			if _, err := b.Publish(ctx, "a", broker.Message{Data: []byte("1")}); err != nil {
				t.Error(err)
			}
		}
	})
	h.Join(0, "a")
	from, err := b.Attach(ctx, "a")
	if err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	next := from.Offset + 1
	for _, d := range in[0].Take(nil).Deliveries {
		if d.Offset <= from.Offset {
			continue
		}
		if d.Offset != next {
			t.Fatalf("offset %d where %d was due", d.Offset, next)
		}
		next++
	}
	if next != total+1 {
		t.Fatalf("the last offset is %d, want %d", next-1, total)
	}
}

func TestDeflatedOnceWhileSomebodyAsks(t *testing.T) {
	h, in := newHub(1, 10, 1<<20)
	h.Join(0, "a")
	for _, step := range []struct {
		n    int
		want bool
	}{{0, false}, {1, true}, {-1, false}} {
		h.CompressFor(step.n)
		h.Deliver(publication("a", 1))
		f := in[0].Take(nil).Deliveries[0].Frame
		if got := f.Deflated != nil; got != step.want {
			t.Fatalf("after %+d connections: deflated is %v", step.n, got)
		}
		if step.want && f.Deflated[0] != 0xC1 {
			t.Fatalf("a compressed text frame starts with %#x, want 0xc1", f.Deflated[0])
		}
	}
}
