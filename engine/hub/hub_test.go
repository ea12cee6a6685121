package hub

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
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
	return New(inboxes, Limits{Patterns: 1 << 16, Overlap: 128, BaseBytes: 1 << 20}), inboxes
}

func publication(channel string, offset uint64) *broker.Publication {
	return &broker.Publication{Channel: channel, Position: broker.Position{Offset: offset, Epoch: "e"},
		Message: broker.Message{Data: fmt.Appendf(nil, `{"n":%d}`, offset)}}
}

func TestFrameIsTheWireFormat(t *testing.T) {
	h, in := newHub(1, 10, 1<<20)
	h.Join(0, "feeds:a", Protocol)
	h.Deliver(&broker.Publication{Channel: "feeds:a", Position: broker.Position{Offset: 7},
		Message: broker.Message{Data: []byte(`{"p":1}`), Tags: []byte(`{"k":"v"}`)}})
	got := string(in[0].Take(nil).Deliveries[0].Frames[Protocol].Plain)
	payload := `{"push":{"channel":"feeds:a","pub":{"data":{"p":1},"offset":7,"tags":{"k":"v"}}}}`
	if want := "\x81" + string(rune(len(payload))) + payload; got != want {
		t.Fatalf("the frame is\n%q, want\n%q", got, want)
	}
}

func TestLongFrameHasTheLongHeader(t *testing.T) {
	h, in := newHub(1, 10, 1<<20)
	h.Join(0, "a", Protocol)
	for _, n := range []int{0, 80, 90, 200, 65000, 66000} {
		data := make([]byte, n+2)
		for i := range data {
			data[i] = 'x'
		}
		data[0], data[n+1] = '"', '"'
		h.Deliver(&broker.Publication{Channel: "a", Message: broker.Message{Data: data}})
		f := in[0].Take(nil).Deliveries[0].Frames[Protocol].Plain
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
	h.Join(0, "a", Protocol)
	h.Join(0, "a", Protocol)
	h.Join(2, "a", Protocol)
	h.Deliver(publication("a", 1))
	first, second, third := in[0].Take(nil), in[1].Take(nil), in[2].Take(nil)
	if len(first.Deliveries) != 1 || len(second.Deliveries) != 0 || len(third.Deliveries) != 1 {
		t.Fatalf("%d, %d, %d deliveries; want one for each shard with subscribers", len(first.Deliveries), len(second.Deliveries), len(third.Deliveries))
	}
	if first.Deliveries[0].Frames[Protocol] != third.Deliveries[0].Frames[Protocol] {
		t.Fatal("the frame was encoded twice")
	}
}

func TestChannelLivesWhileItHasSubscribers(t *testing.T) {
	h, in := newHub(2, 10, 1<<20)
	a, b := h.Join(0, "a", Protocol), h.Join(1, "a", Protocol)
	if a != b || h.Channels() != 1 || h.Subscribers("a") != 2 {
		t.Fatalf("two subscribers make %d channels with %d subscribers", h.Channels(), h.Subscribers("a"))
	}
	h.Leave(0, a, Protocol)
	h.Deliver(publication("a", 1))
	if in[0].Len() != 0 || in[1].Len() != 1 {
		t.Fatalf("%d and %d deliveries after one left; want 0 and 1", in[0].Len(), in[1].Len())
	}
	h.Leave(1, b, Protocol)
	if h.Channels() != 0 {
		t.Fatal("a channel without subscribers stays")
	}
	if again := h.Join(0, "a", Protocol); again.ID == a.ID {
		t.Fatal("the topic of a channel that is gone was given again")
	}
	defer func() {
		if recover() == nil {
			t.Error("a Leave too many did not panic")
		}
	}()
	h.Leave(1, b, Protocol)
}

// TestInboxBound: over either bound nothing of the channel follows until the
// loop has been told of the gap, and others are still served.
func TestInboxBound(t *testing.T) {
	for _, c := range []struct {
		name           string
		entries, bytes int
	}{{"entries", 3, 1 << 20}, {"bytes", 100, 150}} {
		h, in := newHub(1, c.entries, c.bytes)
		a := h.Join(0, "a", Protocol)
		for i := range uint64(10) {
			h.Deliver(publication("a", i+1))
		}
		taken := in[0].Take(nil)
		kept := uint64(len(taken.Deliveries))
		if kept == 0 || kept > 3 {
			t.Fatalf("%s: %d kept, want 1 to 3", c.name, kept)
		}
		want := Gap{From: kept + 1, To: broker.Position{Offset: 10, Epoch: "e"}}
		if gap, ok := taken.Behind[a]; !ok || gap != want || taken.Lost != 10-kept {
			t.Fatalf("%s: gap %+v (%v), %d lost; want %+v, %d lost", c.name, gap, ok, taken.Lost, want, 10-kept)
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
	deliver := func(ch *Channel, offset uint64, size int) {
		frames := [Forms]*outbox.Frame{Protocol: {Plain: make([]byte, size/2)}, Feed: {Plain: make([]byte, size-size/2)}}
		in.append(Delivery{Channel: ch, Position: broker.Position{Offset: offset}, Frames: frames})
	}
	deliver(b, 1, 90)
	deliver(a, 1, 20) // no room
	in.Take(nil)
	deliver(b, 2, 90)
	deliver(a, 2, 20) // no room again
	deliver(a, 3, 5)
	taken := in.Take(nil)
	if len(taken.Deliveries) != 1 || taken.Behind[a].From != 2 || taken.Behind[a].To.Offset != 3 || taken.Lost != 2 {
		t.Fatalf("%d kept, gap %+v, %d lost: an offset stands behind a gap", len(taken.Deliveries), taken.Behind[a], taken.Lost)
	}
}

// TestGapBeginsInTheStream, whatever was lost before: what has no offset is in no
// history, and alone leaves nothing to bring back.
func TestGapBeginsInTheStream(t *testing.T) {
	for _, c := range []struct {
		lost []uint64
		want Gap
	}{
		{[]uint64{5, 6}, Gap{From: 5, To: broker.Position{Offset: 6, Epoch: "e"}}},
		{[]uint64{0, 5, 0, 6, 0}, Gap{From: 5, To: broker.Position{Offset: 6, Epoch: "e"}}},
		{[]uint64{0, 0}, Gap{To: broker.Position{Epoch: "e"}}},
	} {
		h, in := newHub(1, 1, 1<<20)
		a := h.Join(0, "a", Protocol)
		h.Deliver(publication("a", 4))
		for _, offset := range c.lost {
			h.Deliver(publication("a", offset))
		}
		if got := in[0].Take(nil).Behind[a]; got != c.want {
			t.Errorf("%d were lost: %+v, want %+v", c.lost, got, c.want)
		}
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
// a publisher, for subscribers of both forms that come one after the other: what
// each gets is exactly what follows its position, in its form.
func TestJoinThenAttachMissesNothing(t *testing.T) {
	const total, subscribers = 5000, 40
	h, in := newHub(1, 2*total, 1<<30)
	b := memory.New(h, memory.Options{Streams: 10, IdleAfter: time.Hour})
	ctx := context.Background()
	var published atomic.Int64
	var wg sync.WaitGroup
	wg.Go(func() {
		for range total {
			if _, err := b.Publish(ctx, "a", broker.Message{Data: []byte("1")}, broker.Retention{}); err != nil {
				t.Error(err)
			}
			published.Add(1)
		}
	})
	var from [subscribers]broker.Attached
	var err error
	for i := range from {
		for published.Load() < int64(i*total/subscribers/2) {
			runtime.Gosched()
		}
		h.Join(0, "a", Form(i%2))
		if from[i], err = b.Attach(ctx, "a", nil); err != nil {
			t.Fatal(err)
		}
	}
	wg.Wait()
	deliveries := in[0].Take(nil).Deliveries
	for i, start := range from {
		next := start.Offset + 1
		for _, d := range deliveries {
			if d.Offset <= start.Offset {
				continue
			}
			if d.Offset != next || d.Frames[i%2] == nil || d.Epoch != start.Epoch {
				t.Fatalf("subscriber %d from %d: offset %d (frame %v) where %d was due", i, start.Offset, d.Offset, d.Frames[i%2], next)
			}
			next++
		}
		if next != total+1 {
			t.Fatalf("subscriber %d: the last offset is %d, want %d", i, next-1, total)
		}
	}
}

// TestFormsThatAreTaken: a form is encoded while somebody takes it, once for
// all shards, and not otherwise.
func TestFormsThatAreTaken(t *testing.T) {
	h, in := newHub(2, 10, 1<<20)
	check := func(protocol, feed bool) {
		t.Helper()
		h.Deliver(publication("a", 7))
		first, second := in[0].Take(nil).Deliveries, in[1].Take(nil).Deliveries
		if len(first) != 1 || len(second) != 1 || first[0].Frames != second[0].Frames {
			t.Fatalf("%d and %d deliveries; want one each, with the same frames", len(first), len(second))
		}
		if f := first[0].Frames; (f[Protocol] != nil) != protocol || (f[Feed] != nil) != feed {
			t.Fatalf("encoded: protocol %v, feed %v; want %v, %v", f[Protocol] != nil, f[Feed] != nil, protocol, feed)
		}
	}
	a := h.Join(0, "a", Protocol)
	h.Join(1, "a", Protocol)
	check(true, false)
	h.Join(1, "a", Feed)
	h.Join(0, "a", Feed)
	check(true, true)
	if n := h.Subscribers("a"); n != 4 {
		t.Fatalf("%d subscribers, want 4", n)
	}
	h.Leave(0, a, Protocol)
	h.Leave(1, a, Protocol)
	check(false, true)
	if h.Leave(0, a, Feed); h.Channels() != 1 {
		t.Fatal("the channel is gone while somebody takes its feed")
	}
	if h.Leave(1, a, Feed); h.Channels() != 0 {
		t.Fatal("a channel without subscribers stays")
	}
}

func TestFeedFrames(t *testing.T) {
	h, in := newHub(1, 10, 1<<20)
	a := h.Join(0, "a", Feed)
	h.Deliver(publication("a", 7))
	f := in[0].Take(nil).Deliveries[0].Frames[Feed]
	payload := `{"channel":"a","offset":7,"epoch":"e","data":{"n":7}}`
	if want := "\x81" + string(rune(len(payload))) + payload; string(f.Plain) != want || f.Topic != a.ID {
		t.Fatalf("the frame is\n%q, want\n%q", f.Plain, want)
	}
	f = h.GapFrame(a, Gap{From: 8, To: broker.Position{Offset: 9, Epoch: "e"}})
	payload = `{"channel":"a","gap":true,"offset":9,"epoch":"e"}`
	if want := "\x81" + string(rune(len(payload))) + payload; string(f.Plain) != want || f.Topic != a.ID {
		t.Fatalf("the gap is\n%q, want\n%q", f.Plain, want)
	}
}

// TestDeflatedOnceWhileSomebodyAsks: and only in the form in which they ask.
func TestDeflatedOnceWhileSomebodyAsks(t *testing.T) {
	h, in := newHub(1, 10, 1<<20)
	h.Join(0, "a", Protocol)
	h.Join(0, "a", Feed)
	for _, step := range []struct {
		form Form
		n    int
		want [Forms]bool
	}{
		{Protocol, 0, [Forms]bool{}}, {Protocol, 1, [Forms]bool{true, false}}, {Feed, 1, [Forms]bool{true, true}},
		{Protocol, -1, [Forms]bool{false, true}}, {Feed, -1, [Forms]bool{}},
	} {
		h.CompressFor(step.form, step.n)
		h.Deliver(publication("a", 1))
		frames := in[0].Take(nil).Deliveries[0].Frames
		for form, f := range frames[:Delta] {
			if got := f.Deflated != nil; got != step.want[form] {
				t.Fatalf("after %+d connections of form %d: form %d deflated is %v", step.n, step.form, form, got)
			}
			if f.Deflated != nil && f.Deflated[0] != 0xC1 {
				t.Fatalf("a compressed text frame starts with %#x, want 0xc1", f.Deflated[0])
			}
		}
	}
}

func TestAllListsWhatHasSubscribers(t *testing.T) {
	h, _ := newHub(2, 10, 1<<20)
	gone := h.Join(0, "gone", Protocol)
	h.Join(0, "a", Protocol)
	h.Join(1, "a", Feed)
	for i := range 200 {
		h.Join(i%2, fmt.Sprint("b", i), Protocol)
	}
	h.Leave(0, gone, Protocol)
	found := map[string]int{}
	for name, n := range h.All() {
		h.Join(0, name, Feed) // no lock is held
		found[name] += n
	}
	if len(found) != 201 || found["a"] != 2 || found["b7"] != 1 {
		t.Fatalf("%d channels, a has %d and b7 %d", len(found), found["a"], found["b7"])
	}
	n := 0
	for range h.All() {
		if n++; n == 5 {
			break
		}
	}
	if n != 5 {
		t.Fatalf("%d after a break at 5", n)
	}
}

// What a crowd took is given back when it has gone: a channel of ten thousand that keeps one costs what one costs.
func TestMembersShrink(t *testing.T) {
	var m Members
	for i := range uint32(10_000) {
		m.Add(Member{Slot: i})
	}
	for i := uint32(9_999); i > 0; i-- {
		m.Remove(i)
	}
	if len(m.All()) != 1 || m.All()[0].Slot != 0 || cap(m.All()) > 64 {
		t.Errorf("%v left, in a list with room for %d", m.All(), cap(m.All()))
	}
}
