package hub

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"weir/engine/broker"
	"weir/engine/broker/memory"
	"weir/security/grant"
)

func payload(frame []byte) string { return string(frame[2:]) }

// TestPatternFrames: a pattern's subscribers get the channel's own name, and no
// position; the channel's subscribers get what they always do.
func TestPatternFrames(t *testing.T) {
	h, in := newHub(1, 10, 1<<20)
	for _, form := range []Form{Protocol, Feed} {
		h.Join(0, "feeds:*", form)
		h.Join(0, "feeds:a", form)
	}
	h.Join(0, "news:*", Protocol)
	h.Deliver(&broker.Publication{Channel: "feeds:a", Position: broker.Position{Offset: 7, Epoch: "e"},
		Message: broker.Message{Data: []byte(`{"p":1}`), Info: []byte(`{"user":"u"}`), Tags: []byte(`{"k":"v"}`)}})
	got := map[string][2]string{}
	for _, d := range in[0].Take(nil).Deliveries {
		got[d.Channel.Name] = [2]string{payload(d.Frames[Protocol].Plain), payload(d.Frames[Feed].Plain)}
		if d.Channel.Pattern && d.Position != (broker.Position{}) {
			t.Errorf("%s has a position: %+v", d.Channel.Name, d.Position)
		}
		if d.Frames[Protocol].Topic != d.Channel.ID || d.Frames[Feed].Topic != d.Channel.ID {
			t.Errorf("%s: a frame cannot be taken out with its subscription", d.Channel.Name)
		}
	}
	want := map[string][2]string{
		"feeds:a": {`{"push":{"channel":"feeds:a","pub":{"data":{"p":1},"offset":7,"info":{"user":"u"},"tags":{"k":"v"}}}}`,
			`{"channel":"feeds:a","offset":7,"epoch":"e","data":{"p":1}}`},
		"feeds:*": {`{"push":{"channel":"feeds:*","pub":{"channel":"feeds:a","data":{"p":1},"info":{"user":"u"},"tags":{"k":"v"}}}}`,
			`{"channel":"feeds:a","data":{"p":1}}`},
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("delivered\n%v, want\n%v", got, want)
	}
}

// TestPatternsAgainstEveryOne adds and removes at random and compares what the
// trie finds, and what it says of overlaps, with a look at every pattern.
func TestPatternsAgainstEveryOne(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	text := func(alphabet string, most int) string {
		b := make([]byte, 1+rng.IntN(most))
		for i := range b {
			b[i] = alphabet[rng.IntN(len(alphabet))]
		}
		return string(b)
	}
	h, _ := newHub(1, 10, 1<<20)
	var held []*Channel
	for range 20_000 {
		if name := text("ab:$#", 5) + "*" + text("ab*", 2); rng.IntN(100) < 52 {
			if !slices.ContainsFunc(held, func(c *Channel) bool { return c.Name == name }) {
				if c := h.Join(0, name, Protocol); c != nil {
					held = append(held, c)
				}
			}
		} else if len(held) > 0 {
			i := rng.IntN(len(held))
			h.Leave(0, held[i], Protocol)
			held = slices.Delete(held, i, i+1)
		}
		channel := text("ab:$#", 7)
		var want, got []string
		for _, c := range held {
			if grant.Delivers(c.Name, channel) {
				want = append(want, c.Name)
			}
		}
		for _, c := range h.patterns.appendMatching(nil, channel) {
			got = append(got, c.Name)
		}
		slices.Sort(want)
		if slices.Sort(got); !slices.Equal(got, want) {
			t.Fatalf("%q comes through %q, want %q", channel, got, want)
		}
		if got, want := h.patterns.begins.through(channel), heaviest(held, channel); got != want {
			t.Fatalf("names that begin with %q may meet %d patterns, want %d", channel, got, want)
		}
	}
	for _, c := range held {
		h.Leave(0, c, Protocol)
	}
	if b := h.patterns.begins; len(b.children)+len(b.patterns)+b.most != 0 || h.Patterns() != 0 || h.Channels() != 0 {
		t.Errorf("left behind: %+v, %d patterns, %d channels", b, h.Patterns(), h.Channels())
	}
}

// heaviest is the most patterns that a name which begins with literal may meet.
func heaviest(held []*Channel, literal string) (most int) {
	names := []string{literal}
	for _, c := range held {
		if l := grant.Literal(c.Name); strings.HasPrefix(l, literal) {
			names = append(names, l)
		}
	}
	for _, name := range names {
		n := 0
		for _, c := range held {
			if strings.HasPrefix(name, grant.Literal(c.Name)) {
				n++
			}
		}
		most = max(most, n)
	}
	return most
}

// TestPatternLimits: who fills a limit keeps others from new patterns that meet
// the same channels, and from nothing else.
func TestPatternLimits(t *testing.T) {
	inbox := NewInbox(1000, 1<<20, func() {})
	h := New([]*Inbox{inbox}, Limits{Patterns: 10, Overlap: 4})
	mine := h.Join(0, "feeds:a*", Protocol)
	for _, name := range []string{"feeds:a*1", "feeds:a*2", "feeds:a*3"} {
		if h.Join(0, name, Protocol) == nil {
			t.Fatalf("%s is refused", name)
		}
	}
	for _, name := range []string{"feeds:a*4", "*", "feeds:*", "fe*", "feeds:ab*"} {
		if h.Join(0, name, Protocol) != nil {
			t.Fatalf("%s is a fifth for some channel", name)
		}
	}
	for _, name := range []string{"feeds:b*", "feeds:b*1", "news:*", "feeds:a*1"} {
		if h.Join(0, name, Protocol) == nil {
			t.Fatalf("%s is refused, though it meets none of the others, or is there", name)
		}
	}
	if h.Patterns() != 7 || h.Subscribers("feeds:a*1") != 2 || h.Subscribers("*") != 0 {
		t.Fatalf("%d patterns, want 7", h.Patterns())
	}
	h.Leave(0, mine, Protocol)
	if h.Join(0, "feeds:*", Protocol) == nil || h.Join(0, "x*", Protocol) == nil || h.Join(0, "y*", Protocol) == nil || h.Join(0, "z*", Protocol) == nil {
		t.Fatal("refused though there is room again")
	}
	if h.Join(0, "w*", Protocol) != nil {
		t.Fatal("an eleventh of ten patterns")
	}
}

// TestPatternsFillHalfAnInbox: what channels need of the room stays theirs, and
// a pattern is never behind.
func TestPatternsFillHalfAnInbox(t *testing.T) {
	h, in := newHub(1, 100, 1<<20)
	for i := range 10 {
		h.Join(0, fmt.Sprintf("a*%s", strings.Repeat("*", i)), Protocol)
	}
	h.Join(0, "ab", Protocol)
	for i := range uint64(40) {
		h.Deliver(publication("ab", i+1))
	}
	taken := in[0].Take(nil)
	named := 0
	for _, d := range taken.Deliveries {
		if !d.Channel.Pattern {
			named++
		}
	}
	if named != 40 || len(taken.Deliveries) > 90 || taken.Behind != nil || taken.Lost != uint64(440-len(taken.Deliveries)) {
		t.Errorf("%d of 40 for the channel, %d in all, behind %v, %d lost", named, len(taken.Deliveries), taken.Behind, taken.Lost)
	}
	h.Deliver(publication("ab", 41))
	if n := len(in[0].Take(nil).Deliveries); n != 11 {
		t.Errorf("%d deliveries once there is room, want 11", n)
	}
}

// TestPatternCost: a publication costs what its patterns cost, not what their
// subscribers do, and nothing where no pattern matches.
func TestPatternCost(t *testing.T) {
	allocations := func(h *Hub, in []*Inbox, channel string) float64 {
		p := publication(channel, 1)
		spare := make([]Delivery, 0, 1024)
		return testing.AllocsPerRun(100, func() {
			h.Deliver(p)
			for i := range in {
				spare = in[i].Take(spare).Deliveries
			}
		})
	}
	join := func(name string, n int) (*Hub, []*Inbox) {
		h, in := newHub(2, 1000, 1<<20)
		for i := range n {
			h.Join(i%2, name, Protocol)
		}
		return h, in
	}
	h, in := join("feeds:*", 10_000)
	h.Deliver(publication("feeds:a", 1))
	first, second := in[0].Take(nil).Deliveries, in[1].Take(nil).Deliveries
	if len(first) != 1 || len(second) != 1 || first[0].Frames != second[0].Frames {
		t.Fatalf("%d and %d deliveries; want one each, of the same frame", len(first), len(second))
	}
	many := allocations(h, in, "feeds:a")
	h, in = join("feeds:*", 2)
	few := allocations(h, in, "feeds:a")
	h, in = join("feeds:a", 10_000)
	if named := allocations(h, in, "feeds:a"); many != named || few != named {
		t.Errorf("%v allocations for 10,000 subscribers of a pattern, %v for 2, %v for 10,000 of a channel", many, few, named)
	}
	h, in = newHub(1, 10, 1<<20)
	for i := range 127 {
		h.Join(0, fmt.Sprintf("feeds:%s*x%d", strings.Repeat("a", i), i), Protocol)
	}
	if n := allocations(h, in, "feeds:"+strings.Repeat("a", 200)); n != 0 {
		t.Errorf("%v allocations to find that no pattern matches", n)
	}
	h, _ = join("feeds:a", 1)
	h.patterns.mu.Lock() // a node without patterns does not ask for it
	h.Deliver(publication("feeds:a", 1))
	h.patterns.mu.Unlock()
}

// TestWatchThenNothingIsMissed joins and leaves patterns beside publishers: a
// pattern that is joined and then watched gets all that is published from then
// on, each once and in each channel's order.
func TestWatchThenNothingIsMissed(t *testing.T) {
	const publishers, each = 4, 500
	h, in := newHub(1, 1<<20, 1<<30)
	b := memory.New(h, memory.Options{Streams: 10, IdleAfter: time.Hour})
	ctx := context.Background()
	watched, stop := make(chan struct{}), make(chan struct{})
	var others, wg sync.WaitGroup
	others.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			c := h.Join(0, fmt.Sprintf("feeds:%d*%s", i%3, strings.Repeat("*", i%50)), Protocol)
			h.Leave(0, c, Protocol)
		}
	})
	var marks [publishers]uint64 // the position when all was watched
	for i := range publishers {
		wg.Go(func() {
			for n := range 2 * each {
				if n == each {
					<-watched
				}
				pos, err := b.Publish(ctx, fmt.Sprint("feeds:", i), broker.Message{Data: fmt.Appendf(nil, `%d`, n)}, broker.Retention{})
				if err != nil {
					t.Error(err)
				}
				if n == each {
					marks[i] = pos.Offset
				}
			}
		})
	}
	ch := h.Join(0, "feeds:*", Protocol)
	if err := b.Watch(ctx, "feeds:*"); err != nil {
		t.Fatal(err)
	}
	close(watched)
	wg.Wait()
	close(stop)
	others.Wait()
	next := map[string]int{}
	for _, d := range in[0].Take(nil).Deliveries {
		if d.Channel != ch {
			continue
		}
		var channel string
		var n int
		if _, err := fmt.Sscanf(payload(d.Frames[Protocol].Plain), `{"push":{"channel":"feeds:*","pub":{"channel":"feeds:%1s","data":%d`, &channel, &n); err != nil {
			t.Fatalf("%v: %s", err, d.Frames[Protocol].Plain)
		}
		if due, begun := next[channel]; begun && n != due || !begun && n > each {
			t.Fatalf("channel %s: %d where %d was due", channel, n, due)
		}
		next[channel] = n + 1
	}
	for i := range publishers {
		if n := next[fmt.Sprint(i)]; n != 2*each || marks[i] != each+1 {
			t.Errorf("channel %d: the last is %d, want %d", i, n-1, 2*each-1)
		}
	}
}
