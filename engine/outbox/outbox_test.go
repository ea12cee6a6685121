package outbox

import (
	"math/rand/v2"
	"testing"
	"unsafe"
)

func frame(n int, topic uint64) *Frame { return &Frame{Plain: make([]byte, n), Topic: topic} }

func TestBlockIsOneCacheLine(t *testing.T) {
	if n := unsafe.Sizeof(block{}); n != 64 {
		t.Fatalf("a block takes %d bytes, want 64", n)
	}
	if n := unsafe.Sizeof(Queue{}); n > 8 {
		t.Fatalf("a queue takes %d bytes of every connection, want at most 8", n)
	}
}

func TestPushRefusesPastTheLimit(t *testing.T) {
	for _, c := range []struct {
		name   string
		queued []int
		push   int
		limit  int
		want   bool
	}{
		{"empty, fits", nil, 10, 10, true},
		{"empty, one over", nil, 11, 10, false},
		{"exactly full", []int{4, 5}, 1, 10, true},
		{"full, one over", []int{4, 6}, 1, 10, false},
		{"no limit left", []int{10}, 0, 10, true},
		{"zero limit", nil, 1, 0, false},
	} {
		var p Pool
		var q Queue
		sum := 0
		for _, n := range c.queued {
			q.Push(&p, frame(n, 1), c.limit)
			sum += n
		}
		if got := q.Push(&p, frame(c.push, 1), c.limit); got != c.want {
			t.Errorf("%s: Push = %v, want %v", c.name, got, c.want)
		}
		if c.want {
			sum += c.push
		}
		if q.Bytes() != sum {
			t.Errorf("%s: %d bytes queued, want %d", c.name, q.Bytes(), sum)
		}
	}
}

// TestAgainstSlice drives a queue and a plain slice with the same random
// operations: same frames, same order, same sum, and every block comes back.
func TestAgainstSlice(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var p Pool
	var q Queue
	var want []*Frame
	for step := range 200_000 {
		switch r := rng.IntN(100); {
		case r < 55:
			f := frame(rng.IntN(64), rng.Uint64N(4))
			if q.Push(&p, f, 4096) {
				want = append(want, f)
			}
		case r < 97:
			got := q.Pop(&p)
			switch {
			case len(want) == 0 && got != nil:
				t.Fatalf("step %d: Pop of an empty queue gave a frame", step)
			case len(want) > 0:
				if got != want[0] {
					t.Fatalf("step %d: Pop gave another frame than was queued first", step)
				}
				want = want[1:]
			}
		case r < 99:
			topic := rng.Uint64N(4)
			kept := want[:0:0]
			for _, f := range want {
				if f.Topic != topic {
					kept = append(kept, f)
				}
			}
			if n := q.Remove(&p, topic); n != len(want)-len(kept) {
				t.Fatalf("step %d: Remove = %d, want %d", step, n, len(want)-len(kept))
			}
			want = kept
		default:
			q.Reset(&p)
			want = want[:0]
		}
		check(t, step, &q, want)
	}
	q.Reset(&p)
	if q.ring != nil {
		t.Fatal("an empty queue holds a block")
	}
}

func check(t *testing.T, step int, q *Queue, want []*Frame) {
	t.Helper()
	sum := 0
	for _, f := range want {
		sum += len(f.Plain)
	}
	if q.Len() != len(want) || q.Bytes() != sum {
		t.Fatalf("step %d: %d frames of %d bytes, want %d of %d", step, q.Len(), q.Bytes(), len(want), sum)
	}
	if len(want) > 0 && q.Front() != want[0] {
		t.Fatalf("step %d: Front is not the oldest frame", step)
	}
}

func TestPoolIsBounded(t *testing.T) {
	var p Pool
	for range poolBlocks + 10 {
		p.give(new(block))
	}
	if p.kept != poolBlocks {
		t.Fatalf("the pool keeps %d blocks, want %d", p.kept, poolBlocks)
	}
	for range poolRings + 10 {
		p.giveRing(new(ring))
	}
	if len(p.rings) != poolRings {
		t.Fatalf("the pool keeps %d rings, want %d", len(p.rings), poolRings)
	}
}

func TestNoAllocation(t *testing.T) {
	var p Pool
	var q Queue
	f := frame(10, 1)
	n := testing.AllocsPerRun(1000, func() {
		for range 20 {
			q.Push(&p, f, 1000)
		}
		if q.Push(&p, f, 100) {
			t.Fatal("pushed past the limit")
		}
		q.Reset(&p)
	})
	if n != 0 {
		t.Fatalf("%v allocations for 20 frames queued, one refused and all popped", n)
	}
}

func BenchmarkPushPop(b *testing.B) {
	var p Pool
	var q Queue
	f := frame(256, 1)
	for b.Loop() {
		q.Push(&p, f, 1<<20)
		q.Pop(&p)
	}
}
