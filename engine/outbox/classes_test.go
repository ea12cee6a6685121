package outbox

import (
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"testing"
)

// Classes of these tests: 0 has no bound of its own.
const testLimit = 4096

func testCaps() []int { return []int{0, 1024, 512, 4096} }

// naive is what a Queue must do, written for the reader.
type naive struct {
	caps   []int
	frames []*Frame
}

func (n *naive) sum(of func(*Frame) bool) (bytes int) {
	for _, f := range n.frames {
		if of(f) {
			bytes += len(f.Plain)
		}
	}
	return bytes
}

func (n *naive) held(c Class) int { return n.sum(func(f *Frame) bool { return f.Class == c }) }

func (n *naive) bytes() int { return n.sum(func(*Frame) bool { return true }) }

func (n *naive) push(f *Frame, limit int) bool {
	held := n.held(f.Class)
	if n.bytes()+len(f.Plain) > limit || f.Class != 0 && n.any(f.Class) && held+len(f.Plain) > n.caps[f.Class] {
		return false
	}
	n.frames = append(n.frames, f)
	return true
}

func (n *naive) any(c Class) bool {
	return slices.ContainsFunc(n.frames, func(f *Frame) bool { return f.Class == c })
}

func (n *naive) dropOldest(f *Frame, limit int, begun bool) (dropped []*Frame) {
	size, most := len(f.Plain), n.caps[f.Class]
	held, total := n.held(f.Class), n.bytes()
	overClass := held+size > most
	if !overClass && held < most/4 {
		return nil
	}
	enough := func(taken int) bool {
		return taken >= most/4 && held-taken+size <= most/4*3 && total-taken+size <= limit
	}
	taken := 0
	var kept []*Frame
	for i, g := range n.frames {
		if g.Class != f.Class || enough(taken) || i == 0 && begun {
			kept = append(kept, g)
			continue
		}
		taken += len(g.Plain)
		dropped = append(dropped, g)
	}
	n.frames = kept
	return dropped
}

// mend is Queue.Mend, but for the notices.
func (n *naive) mend(gaps []Gap, limit int, begun bool) (dropped int) {
	gaps = slices.Clone(gaps)
	for i, f := range slices.Clone(n.frames) {
		k := slices.IndexFunc(gaps, func(g Gap) bool { return g.Topic == f.Topic && f.Offset >= g.From && !g.Closed })
		if i == 0 && begun || k < 0 || f.Notice {
			continue
		}
		g, i := &gaps[k], i-dropped
		g.Closed = f.Offset > g.To
		if f.Full != nil {
			n.frames[i] = f.Full
		}
		if f.Full != nil && n.bytes() > limit {
			n.frames = slices.Delete(n.frames, i, i+1)
			dropped, g.Closed, g.To = dropped+1, false, max(g.To, f.Offset)
		}
	}
	return dropped
}

// notice puts the notices where Queue.Mend is to, and takes out what they tell of.
func (n *naive) notice(gaps []Gap, class Class, begun bool) (dropped int) {
	old := n.frames
	n.frames = nil
	gaps = slices.Clone(gaps)
	put := func(which func(g *Gap) bool) {
		for i := range gaps {
			if g := &gaps[i]; g.Notice != nil && which(g) {
				n.frames = append(n.frames, g.Notice)
				g.Notice = nil
			}
		}
	}
	for i, f := range old {
		if i > 0 || !begun {
			put(func(g *Gap) bool { return f.Class == class })
			put(func(g *Gap) bool { return f.Topic == g.Topic && f.Offset > g.To && !f.Notice })
			if slices.ContainsFunc(gaps, func(g Gap) bool {
				return g.Notice != nil && f.Topic == g.Topic && f.Offset >= g.From && !f.Notice
			}) {
				dropped++
				continue
			}
		}
		n.frames = append(n.frames, f)
	}
	put(func(*Gap) bool { return true })
	return dropped
}

// pair is a queue beside the naive one, fed the same.
type pair struct {
	t    *testing.T
	pool Pool
	q    Queue
	n    naive

	offset uint64
}

func newPair(t *testing.T) *pair {
	return &pair{t: t, pool: Pool{Caps: testCaps()}, n: naive{caps: testCaps()}}
}

// step does one of the operations, chosen by op, with sizes by size.
func (p *pair) step(op, size byte, class Class, topic uint64, begun bool) {
	p.offset++
	f := &Frame{Plain: make([]byte, size), Class: class, Topic: topic, Offset: p.offset}
	if size%3 == 0 {
		f.Full = &Frame{Plain: make([]byte, 2*int(size)), Class: class, Topic: topic, Offset: p.offset}
	}
	if size%7 == 0 { // a join
		f.Offset, f.Full = 0, nil
	}
	switch {
	case op < 120:
		if got, want := p.q.Push(&p.pool, f, testLimit), p.n.push(f, testLimit); got != want {
			p.t.Fatalf("Push of %d bytes of class %d: %v, want %v", size, class, got, want)
		}
	case op < 170:
		if class == 0 {
			return
		}
		if p.q.Push(&p.pool, f, testLimit) { // only what is refused asks for room
			p.n.push(f, testLimit)
			return
		}
		got, want := p.q.DropOldest(&p.pool, f, testLimit, begun, nil), p.n.dropOldest(f, testLimit, begun)
		if !slices.Equal(got, want) {
			p.t.Fatalf("DropOldest for %d bytes of class %d took out %d, want %d", size, class, len(got), len(want))
		}
	case op < 235:
		var want *Frame
		if len(p.n.frames) > 0 {
			want, p.n.frames = p.n.frames[0], p.n.frames[1:]
		}
		if got := p.q.Pop(&p.pool); got != want {
			p.t.Fatal("Pop gave another frame than was queued first")
		}
	case op < 245:
		p.mend(size, class, topic, begun)
	case op < 254:
		kept := slices.DeleteFunc(slices.Clone(p.n.frames), func(g *Frame) bool { return g.Topic == topic })
		if n := p.q.Remove(&p.pool, topic); n != len(p.n.frames)-len(kept) {
			p.t.Fatalf("Remove = %d, want %d", n, len(p.n.frames)-len(kept))
		}
		p.n.frames = kept
	default:
		p.q.Reset(&p.pool)
		p.n.frames = nil
	}
	p.same()
}

// mend has gaps in two topics mended: in one nothing has to stand by itself, but a
// notice is due.
func (p *pair) mend(size byte, class Class, topic uint64, begun bool) {
	if p.offset < 300 {
		return
	}
	from := p.offset - uint64(size)
	gaps := []Gap{{Topic: topic, From: from, To: from + uint64(size)/4}, {Topic: topic + 1, From: from, To: from + 2}}
	if size%2 == 0 {
		for i := range gaps {
			gaps[i].Notice = &Frame{Class: class, Topic: gaps[i].Topic, Offset: gaps[i].To, Notice: true}
		}
	}
	want := p.n.notice(gaps, class, begun)
	want += p.n.mend(gaps, testLimit, begun)
	if got := p.q.Mend(&p.pool, gaps, class, testLimit, begun); got != want {
		p.t.Fatalf("Mend took out %d, want %d", got, want)
	}
}

// same compares the queues: sums, classes and, by a walk that the queue does not
// have, each frame.
func (p *pair) same() {
	check(p.t, 0, &p.q, p.n.frames)
	for c := range Class(len(p.n.caps)) {
		if got, want := p.q.Held(c), p.n.held(c); c != 0 && got != want {
			p.t.Fatalf("class %d has %d bytes, want %d", c, got, want)
		}
	}
	tallies := 0
	if r := p.q.ring; r != nil {
		for t := r.tallies; t != nil; t = t.next {
			tallies++
		}
	}
	classes := map[Class]bool{}
	for _, f := range p.n.frames {
		classes[f.Class] = true
	}
	delete(classes, 0)
	if tallies != len(classes) {
		p.t.Fatalf("%d tallies are held for %d classes", tallies, len(classes))
	}
	if len(p.n.frames) == 0 {
		return
	}
	b, i := p.q.ring.tail.next, p.q.ring.from
	for n, want := range p.n.frames {
		if i == blockFrames {
			b, i = b.next, 0
		}
		if b.frames[i] != want {
			p.t.Fatalf("frame %d of %d is another", n, len(p.n.frames))
		}
		i++
	}
}

func TestClassesAgainstNaiveQueue(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	p := newPair(t)
	for range 100_000 {
		p.step(byte(rng.UintN(256)), byte(rng.UintN(256)), Class(rng.UintN(4)), rng.Uint64N(5), rng.UintN(3) == 0)
	}
	p.step(255, 0, 0, 0, false)
	if p.q.ring != nil {
		t.Fatal("an empty queue holds a block or a tally")
	}
}

// FuzzClasses: no order of operations makes the two queues differ.
func FuzzClasses(f *testing.F) {
	f.Add([]byte{0, 200, 1, 130, 200, 1, 200, 0, 0})
	rng := rand.New(rand.NewPCG(7, 8))
	long := make([]byte, 600)
	for i := 0; i+8 <= len(long); i += 8 {
		binary.LittleEndian.PutUint64(long[i:], rng.Uint64())
	}
	f.Add(long)
	f.Fuzz(func(t *testing.T, script []byte) {
		p := newPair(t)
		for script = script[:min(len(script), 900)]; len(script) >= 3; script = script[3:] {
			p.step(script[0], script[1], Class(script[2]&3), uint64(script[2]>>2&7), script[2]&0x80 != 0)
		}
	})
}

func TestDropOldest(t *testing.T) {
	const limit = 1000
	for _, c := range []struct {
		name    string
		queued  []Frame // Plain is made of Topic bytes
		push    Frame
		begun   bool
		dropped int
		fits    bool
	}{
		{"over the class: until a quarter is free", of(1, 100, 100, 100, 100), Frame{Class: 1, Topic: 100}, false, 2, true},
		{"over the class by one byte", of(1, 100, 100, 100, 100), Frame{Class: 1, Topic: 1}, false, 2, true},
		{"one that is large", of(1, 300, 50, 50), Frame{Class: 1, Topic: 300}, false, 3, true},
		{"as large as the class may have", of(1, 300, 50, 50), Frame{Class: 1, Topic: 400}, false, 3, true},
		{"the oldest has begun", of(1, 100, 100, 100, 100), Frame{Class: 1, Topic: 100}, true, 2, true},
		{"the only one has begun", of(1, 400), Frame{Class: 1, Topic: 100}, true, 0, false},
		{"others stay", append(of(2, 300), of(1, 200, 200)...), Frame{Class: 1, Topic: 100}, false, 1, true},
		{"the queue is full, the class not", append(of(2, 700), of(1, 150, 150)...), Frame{Class: 1, Topic: 50}, false, 1, true},
		{"the queue is full of others", append(of(2, 900), of(1, 50, 49)...), Frame{Class: 1, Topic: 50}, false, 0, false},
	} {
		p := Pool{Caps: []int{0, 400, 1000}}
		var q Queue
		sum := 0
		for i := range c.queued {
			c.queued[i].Plain = make([]byte, c.queued[i].Topic)
			if !q.Push(&p, &c.queued[i], limit) {
				t.Fatalf("%s: frame %d was refused", c.name, i)
			}
			sum += int(c.queued[i].Topic)
		}
		c.push.Plain = make([]byte, c.push.Topic)
		if q.Push(&p, &c.push, limit) {
			t.Fatalf("%s: there was room", c.name)
		}
		dropped := q.DropOldest(&p, &c.push, limit, c.begun, nil)
		for _, f := range dropped {
			sum -= len(f.Plain)
			if f.Class != c.push.Class || c.begun && f == &c.queued[0] {
				t.Errorf("%s: a frame was dropped that had to stay", c.name)
			}
		}
		if len(dropped) != c.dropped || q.Bytes() != sum {
			t.Errorf("%s: %d dropped, %d bytes left; want %d, %d", c.name, len(dropped), q.Bytes(), c.dropped, sum)
		}
		if got := q.Push(&p, &c.push, limit); got != c.fits {
			t.Errorf("%s: fits afterwards: %v, want %v", c.name, got, c.fits)
		}
	}
}

func of(class Class, sizes ...uint64) (list []Frame) {
	for _, n := range sizes {
		list = append(list, Frame{Class: class, Topic: n})
	}
	return list
}

// TestDropOldestIsPaidOnce: the passes over a full queue are as many as bytes
// pushed fill a quarter of what the class may have, not as many as pushes.
func TestDropOldestIsPaidOnce(t *testing.T) {
	const most, size, pushes = 10_000, 10, 20_000
	p := Pool{Caps: []int{0, most}}
	var q Queue
	passes, dropped := 0, 0
	var scratch []*Frame
	for range pushes {
		f := &Frame{Plain: make([]byte, size), Class: 1}
		if q.Push(&p, f, most) {
			continue
		}
		passes++
		scratch = q.DropOldest(&p, f, most, false, scratch[:0])
		dropped += len(scratch)
		if !q.Push(&p, f, most) {
			t.Fatal("no room after a pass")
		}
	}
	if passes > pushes*size/(most/4)+1 {
		t.Errorf("%d passes for %d pushes", passes, pushes)
	}
	if dropped != pushes-q.Len() {
		t.Errorf("%d dropped, want %d: each that is not queued", dropped, pushes-q.Len())
	}
}

func TestTalliesAreBounded(t *testing.T) {
	var p Pool
	for range poolTallies + 10 {
		p.giveTally(new(tally))
	}
	if p.talliesKept != poolTallies {
		t.Fatalf("the pool keeps %d tallies, want %d", p.talliesKept, poolTallies)
	}
}

func TestNoAllocationWithClasses(t *testing.T) {
	p := Pool{Caps: []int{0, 1000, 1000}}
	var q Queue
	a, b := &Frame{Plain: make([]byte, 10), Class: 1}, &Frame{Plain: make([]byte, 10), Class: 2}
	scratch := make([]*Frame, 0, 100)
	n := testing.AllocsPerRun(1000, func() {
		for range 150 {
			q.Push(&p, a, 1500)
			if !q.Push(&p, b, 1500) {
				scratch = q.DropOldest(&p, b, 1500, false, scratch[:0])
			}
		}
		q.Reset(&p)
	})
	if n != 0 {
		t.Fatalf("%v allocations", n)
	}
}
