package hub

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"weir/engine/broker"
	"weir/engine/broker/memory"
	"weir/engine/delta"
	"weir/engine/outbox"
)

// quote is a publication of some length that changes little, with the wish for deltas.
func quote(channel string, offset uint64, price string) *broker.Publication {
	p := publication(channel, offset)
	p.Data = []byte(`{"symbol":"ACME","venue":"XNYS","currency":"USD","status":"open","price":"` + price + `"}`)
	p.Delta = true
	return p
}

// message is what stands behind a frame's header.
func message(f *outbox.Frame) string {
	if f.Plain[1] == 126 {
		return string(f.Plain[4:])
	}
	return string(f.Plain[2:])
}

func TestDeltaIsTheWireFormat(t *testing.T) {
	h, in := newHub(1, 10, 1<<20)
	a := h.Join(0, "a", Delta)
	h.Deliver(quote("a", 7, "1.5"))
	next := quote("a", 8, "ü")
	next.Info, next.Tags = []byte(`{"user":"u"}`), []byte(`{"k":"v"}`)
	h.Deliver(next)
	d := in[0].Take(nil).Deliveries
	if len(d) != 2 || d[0].Frames[Protocol] != nil || d[0].Delta != nil {
		t.Fatalf("%d deliveries, the first %+v", len(d), d[0])
	}
	for i, c := range []struct{ got, want string }{
		{message(d[0].Frames[Delta]), `{"push":{"channel":"a","pub":{"data":"{\"symbol\":\"ACME\",\"venue\":\"XNYS\",\"currency\":\"USD\",\"status\":\"open\",\"price\":\"1.5\"}","offset":7}}}`},
		{message(d[1].Frames[Delta]), `{"push":{"channel":"a","pub":{"data":"{\"symbol\":\"ACME\",\"venue\":\"XNYS\",\"currency\":\"USD\",\"status\":\"open\",\"price\":\"ü\"}","offset":8,` +
			`"info":{"user":"u"},"tags":{"k":"v"}}}}`},
		{message(d[1].Delta), `{"push":{"channel":"a","pub":{"data":"1E\n1A@0,4:ü\"}3mi1Kf;","offset":8,"info":{"user":"u"},"tags":{"k":"v"},"delta":true}}}`},
	} {
		if c.got != c.want {
			t.Errorf("frame %d is\n%s, want\n%s", i, c.got, c.want)
		}
	}
	for _, f := range []*outbox.Frame{d[1].Frames[Delta], d[1].Delta} {
		if f.Topic != a.ID {
			t.Errorf("topic %d, want %d", f.Topic, a.ID)
		}
	}
	if sum := len(d[1].Frames[Delta].Plain) + len(d[1].Delta.Plain); d[1].Bytes() != sum {
		t.Errorf("the delivery counts %d bytes, it has %d", d[1].Bytes(), sum)
	}
}

// TestWhereADeltaIsMade: against the publication right before, and no other.
func TestWhereADeltaIsMade(t *testing.T) {
	plain := func(p *broker.Publication) *broker.Publication { p.Delta = false; return p }
	of := func(p *broker.Publication, epoch string) *broker.Publication { p.Epoch = epoch; return p }
	text := func(channel string, offset uint64, parts ...string) *broker.Publication {
		p := publication(channel, offset)
		p.Data, p.Delta = []byte(`"`+strings.Join(parts, "")+`"`), true
		return p
	}
	escapes := func(offset uint64, tail string) *broker.Publication {
		p := publication("a", offset)
		p.Data, p.Delta = []byte(`"0123456789`+strings.Repeat(`\"`, 20)+tail+`"`), true
		return p
	}
	for _, c := range []struct {
		name string
		list []*broker.Publication
		want string // of each: f in full only, d also as a delta
	}{
		{"one after the other", []*broker.Publication{quote("a", 1, "1"), quote("a", 2, "2"), quote("a", 3, "3")}, "fdd"},
		{"the same again", []*broker.Publication{quote("a", 1, "1"), quote("a", 2, "1")}, "fd"},
		{"nobody asks", []*broker.Publication{plain(quote("a", 1, "1")), plain(quote("a", 2, "2"))}, "ff"},
		{"one in between does not ask", []*broker.Publication{quote("a", 1, "1"), plain(quote("a", 2, "2")), quote("a", 3, "3")}, "ffd"},
		{"an offset is left out", []*broker.Publication{quote("a", 1, "1"), quote("a", 3, "3"), quote("a", 4, "4")}, "ffd"},
		{"an offset again", []*broker.Publication{quote("a", 1, "1"), quote("a", 1, "2")}, "ff"},
		{"another epoch", []*broker.Publication{quote("a", 1, "1"), of(quote("a", 2, "2"), "f")}, "ff"},
		{"one beside the stream", []*broker.Publication{quote("a", 1, "1"), quote("a", 0, "x"), quote("a", 2, "2"), quote("a", 3, "3")}, "fffd"},
		{"first ever", []*broker.Publication{quote("a", 0, "1"), quote("a", 1, "2")}, "ff"},
		{"not shorter", []*broker.Publication{publication("a", 1), publication("a", 2)}, "ff"},
		{"shorter, but for what a delta needs beside it", []*broker.Publication{text("a", 1, "same same same same!", "1"), text("a", 2, "same same same same!", "2")}, "ff"},
		{"shorter by its escapes", []*broker.Publication{escapes(1, "0123"), escapes(2, "3210")}, "fd"},
	} {
		h, in := newHub(1, 10, 1<<20)
		h.Join(0, "a", Delta)
		for _, p := range c.list {
			h.Deliver(p)
		}
		got := ""
		for _, d := range in[0].Take(nil).Deliveries {
			switch {
			case d.Frames[Delta] == nil:
				got += "-"
			case d.Delta == nil:
				got += "f"
			default:
				got += "d"
				if len(d.Delta.Plain) >= len(d.Frames[Delta].Plain) {
					t.Errorf("%s: a delta of %d bytes for %d", c.name, len(d.Delta.Plain), len(d.Frames[Delta].Plain))
				}
			}
		}
		if got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

// TestBaseLivesWhileSomebodyTakesDeltas, and is counted.
func TestBaseLivesWhileSomebodyTakesDeltas(t *testing.T) {
	h, in := newHub(2, 10, 1<<20)
	last := func() Delivery {
		t.Helper()
		d := in[0].Take(nil).Deliveries
		return d[len(d)-1]
	}
	length := int64(len(quote("a", 1, "1").Data))
	held := func(want int64) {
		t.Helper()
		if got := h.bases.held.Load(); got != want {
			t.Fatalf("%d bytes of bases, want %d", got, want)
		}
	}
	a := h.Join(0, "a", Protocol)
	h.Deliver(quote("a", 1, "1"))
	held(0)
	h.Join(1, "a", Delta)
	h.Join(0, "a", Delta)
	h.Deliver(quote("a", 2, "2"))
	if d := last(); d.Delta != nil || d.Frames[Protocol] == nil || d.Frames[Delta] == nil {
		t.Fatalf("%+v: nobody took deltas before", d)
	}
	held(length)
	h.Leave(1, a, Delta)
	h.Deliver(quote("a", 3, "3"))
	if last().Delta == nil {
		t.Fatal("no delta while one is there who takes them")
	}
	h.Leave(0, a, Delta)
	held(0)
	h.Deliver(quote("a", 4, "4"))
	held(0)
	h.Join(0, "a", Delta)
	h.Deliver(quote("a", 5, "5"))
	if last().Delta != nil {
		t.Fatal("a delta against what nobody with deltas got")
	}
	h.Deliver(quote("a", 6, "6"))
	if last().Delta == nil {
		t.Fatal("no delta")
	}
	h.Leave(0, a, Delta)
	// The last one leaves while a publication is on its way.
	p := quote("a", 7, "7")
	h.delta(p, a, h.encoder.publication(p, Delta, a))
	held(0)
	h.Leave(0, a, Protocol)
}

// TestBasesAreBounded: over the limit channels do without, and are served.
func TestBasesAreBounded(t *testing.T) {
	h, in := newHub(1, 1000, 1<<20)
	h.bases.limit = 3 * int64(len(quote("a", 1, "1").Data))
	for i := range 5 {
		h.Join(0, fmt.Sprint(i), Delta)
	}
	deltas := 0
	for offset := range uint64(10) {
		for i := range 5 {
			h.Deliver(quote(fmt.Sprint(i), offset+1, fmt.Sprint(offset)))
			if held := h.bases.held.Load(); held > h.bases.limit {
				t.Fatalf("%d bytes of bases, the limit is %d", held, h.bases.limit)
			}
		}
	}
	for _, d := range in[0].Take(nil).Deliveries {
		if d.Frames[Delta] == nil {
			t.Fatal("a publication is not served")
		}
		if d.Delta != nil {
			deltas++
		}
	}
	if deltas == 0 || deltas > 3*9 {
		t.Errorf("%d deltas with room for three bases", deltas)
	}
}

func TestDeltasAreDeflated(t *testing.T) {
	h, in := newHub(1, 10, 1<<20)
	h.CompressFor(Protocol, 1)
	h.Join(0, "a", Delta)
	h.Deliver(quote("a", 1, "1"))
	h.Deliver(quote("a", 2, "2"))
	for _, d := range in[0].Take(nil).Deliveries {
		if d.Frames[Delta].Deflated == nil || d.Delta != nil && d.Delta.Deflated == nil {
			t.Fatalf("%+v: not deflated", d)
		}
	}
}

func TestNoDeltasThroughPatterns(t *testing.T) {
	h, in := newHub(1, 10, 1<<20)
	h.Join(0, "a*", Delta)
	h.Deliver(quote("ab", 1, "1"))
	h.Deliver(quote("ac", 2, "2"))
	for _, d := range in[0].Take(nil).Deliveries {
		if d.Delta != nil || h.bases.held.Load() != 0 {
			t.Fatal("a delta from one channel to another")
		}
	}
}

// TestDeltasMakeWhatWasPublished: publishers at work, subscribers that come and
// go; whoever applies each delta to what came before it has what was published,
// and when all have left nothing is held.
func TestDeltasMakeWhatWasPublished(t *testing.T) {
	const publishers, each = 3, 1000
	h, in := newHub(1, 2*publishers*each, 1<<30)
	b := memory.New(h, memory.Options{Streams: 10, IdleAfter: time.Hour})
	ctx := context.Background()
	h.Join(0, "a", Protocol)
	if _, err := b.Attach(ctx, "a", nil); err != nil {
		t.Fatal(err)
	}
	var published sync.Map // by offset
	var wg sync.WaitGroup
	for i := range publishers {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(1, uint64(i)))
			for range each {
				p := quote("a", 0, fmt.Sprint(rng.IntN(1000), strings.Repeat("ü", rng.IntN(5))))
				at, err := b.Publish(ctx, "a", p.Message, broker.Retention{})
				if err != nil {
					t.Error(err)
				}
				published.Store(at.Offset, string(p.Data))
			}
		})
	}
	wg.Go(func() {
		for range 2000 {
			h.Leave(0, h.Join(0, "a", Delta), Delta)
		}
		h.Join(0, "a", Delta)
	})
	wg.Wait()
	for range 10 {
		if _, err := b.Publish(ctx, "a", quote("a", 0, "last").Message, broker.Retention{}); err != nil {
			t.Fatal(err)
		}
	}
	deltas := 0
	for _, d := range in[0].Take(nil).Deliveries {
		if d.Delta == nil {
			continue
		}
		deltas++
		before, known := published.Load(d.Offset - 1)
		want, stored := published.Load(d.Offset)
		if !known || !stored {
			continue // of the last ten
		}
		text := strings.Split(message(d.Delta), `"data":"`)[1]
		text = strings.NewReplacer(`\n`, "\n", `\"`, `"`, `\\`, `\`).Replace(text[:strings.Index(text, `;","offset"`)+1])
		if got, err := delta.Apply(nil, []byte(before.(string)), []byte(text), 1<<16); err != nil || string(got) != want {
			t.Fatalf("offset %d: %q of %s makes %s, %v; want %s", d.Offset, text, before, got, err, want)
		}
	}
	if deltas < 5 {
		t.Errorf("%d deltas", deltas)
	}
	for range h.Subscribers("a") - 1 {
		h.Leave(0, h.stripe("a").channels["a"], Delta)
	}
	if held := h.bases.held.Load(); held != 0 {
		t.Errorf("%d bytes of bases with nobody there", held)
	}
}
