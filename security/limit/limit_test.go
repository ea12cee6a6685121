package limit

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/cespare/xxhash/v2"
)

const ms = second / 1000

// take is one of the three buckets, as a function of the rate, the cost and the clock.
type take func(r Rate, cost, now int64) bool

// buckets makes one of each kind; the rule is the same for all.
func buckets() map[string]take {
	var b Bucket
	var s Shared
	t := NewTable(8, 1)
	return map[string]take{
		"bucket": func(r Rate, cost, now int64) bool { return b.Take(&r, cost, now) },
		"shared": func(r Rate, cost, now int64) bool { return s.Take(r, int(cost), now) },
		"table":  func(r Rate, cost, now int64) bool { return t.Take(User("a"), r.pace(), int(cost), now) },
	}
}

func TestBurstThenRate(t *testing.T) {
	const start = 1_800_000_000 * second
	for name, take := range buckets() {
		r := Rate{PerSecond: 100, Burst: 5}
		for _, step := range []struct {
			at   int64 // milliseconds after start
			cost int64
			want bool
		}{
			{0, 1, true}, {0, 1, true}, {0, 1, true}, {0, 1, true}, {0, 1, true}, {0, 1, false}, {9, 1, false},
			{10, 1, true}, {10, 1, false}, {19, 1, false}, {20, 1, true}, {50, 3, true}, {50, 1, false},
			{50, 0, true}, {1000, 6, false}, {1000, 5, true}, {1000, 1, false}, {1030, 4, false}, {1030, 3, true}, {1030, -1, false},
		} {
			if got := take(r, step.cost, start+step.at*ms); got != step.want {
				t.Errorf("%s: at %d ms, cost %d: %v", name, step.at, step.cost, got)
			}
		}
	}
}

func TestRatesAtTheEdges(t *testing.T) {
	for _, c := range []struct {
		name string
		rate Rate
		cost int64
		want bool
	}{
		{"no limit", Rate{}, 1 << 40, true},
		{"no limit, burst ignored", Rate{Burst: -1}, 1, true},
		{"no burst", Rate{PerSecond: 10}, 1, false},
		{"negative burst", Rate{PerSecond: 10, Burst: -1}, 0, false},
		{"negative rate", Rate{PerSecond: -1, Burst: 10}, 1, false},
		{"NaN", Rate{PerSecond: math.NaN(), Burst: 10}, 1, false},
		{"infinite", Rate{PerSecond: math.Inf(1), Burst: 10}, 10, true},
		{"once in a thousand years", Rate{PerSecond: 1.0 / (1000 * 365 * 86400), Burst: 1}, 1, true},
		{"two where the burst is one", Rate{PerSecond: 1.0 / (1000 * 365 * 86400), Burst: 1}, 2, false},
		{"largest burst", Rate{PerSecond: 1, Burst: math.MaxInt}, 1 << 40, true},
		{"a third a second", Rate{PerSecond: 3, Burst: 1}, 1, true}, // a period is no whole number of nanoseconds
		{"seven, burst of three", Rate{PerSecond: 7, Burst: 3}, 3, true},
	} {
		for name, take := range buckets() {
			if got := take(c.rate, c.cost, 1_800_000_000*second); got != c.want {
				t.Errorf("%s, %s: %v", name, c.name, got)
			}
		}
	}
}

// A rested bucket gives its whole burst at one instant, whatever the rate, one by one or at once, and
// after a steady rate of takes no more than rate·t + burst, and at least 99 % of it.
func TestAdmittedIsRateTimesTimeAndBurst(t *testing.T) {
	for _, rate := range []float64{0.3, 1, 3, 7, 50, 99.9, 1000, 12345, 1e6, 1<<20 + 1, 3e6, 7e6, 9.9e6, 1e7} {
		for _, burst := range []int{1, 2, 7, 200} {
			r := Rate{rate, burst}
			for name, take := range buckets() {
				start := int64(1_800_000_000 * second)
				admitted := 0
				for admitted <= 10*burst && take(r, 1, start) {
					admitted++
				}
				if admitted != burst {
					t.Errorf("%s, %v a second, burst %d: %d at once", name, rate, burst, admitted)
				}
				// from empty: ask 400 times as often as the rate admits
				span := int64(100 / rate * second)
				rest := 0
				for i := range int64(40_000) {
					if take(r, 1, start+span*i/40_000) {
						rest++
					}
				}
				if bound := rate * float64(span) / second; float64(rest) > bound+1e-3 || float64(rest) < 0.99*bound-1 {
					t.Errorf("%s, %v a second, burst %d: %d of %.1f", name, rate, burst, rest, bound)
				}
			}
		}
	}
}

// Bytes at rates where a token is less than a nanosecond, in messages of many sizes.
func TestFastRatesOfBytes(t *testing.T) {
	for _, rate := range []float64{1 << 20, 33e6, 100 << 20, 600e6, 3e9, 1e12} {
		r := Rate{PerSecond: rate, Burst: int(rate * 2)}
		for name, take := range buckets() {
			start := int64(1_800_000_000 * second)
			if !take(r, int64(r.Burst), start) || take(r, int64(rate/1e6)+1, start) {
				t.Errorf("%s, %v: not one whole burst", name, rate)
			}
			var taken int64
			for i := range int64(100_000) { // one second, twice the rate
				cost := int64(rate/50_000) * (1 + i%3) / 2
				if take(r, cost, start+(i+1)*10_000) {
					taken += cost
				}
			}
			if float64(taken) > rate+rate/second+1 || float64(taken) < 0.99*rate {
				t.Errorf("%s, %v a second: %d taken", name, rate, taken)
			}
		}
	}
}

// Bursts of more than a minute and of so many tokens that one is worth few units of an entry's time: the worst are those that have
// just come into a longer unit. Never more than the rate, and as much of it as pace.span promises.
func TestLongBurstsOfManyTokens(t *testing.T) {
	for _, burst := range []int{20_000_000, 21_400_000, 22_000_000, 50_000_000, 300_000_000, 1 << 31} {
		for _, span := range []float64{1<<36 - 1e6, 1<<36 + 1e6, 1<<37 - 1e6, 1<<41 + 1e6} { // ns
			r := Rate{PerSecond: float64(burst) / span * second, Burst: burst}
			for _, cost := range []int64{1, 3, 40, 1000, int64(burst / 1000)} {
				start := int64(1_800_000_000 * second)
				table, user, p := NewTable(8, 1), User("a"), r.pace()
				if !table.Take(user, p, burst, start) || table.Take(user, p, 1, start) {
					t.Fatalf("%v: not one whole burst", r)
				}
				all := float64(cost) / r.PerSecond * 10_000 * second // time for 10,000 takes
				var taken int64
				for i := range int64(40_000) {
					if table.Take(user, p, int(cost), start+int64(all/40_000*float64(i))) {
						taken += cost
					}
				}
				have, least := r.PerSecond*all/second, float64(cost)/(float64(cost)+float64(burst)/(1<<31))
				if float64(taken) > have+1e-3 || float64(taken) < min(0.99, least)*have-2*float64(cost) {
					t.Errorf("burst %d in %.0f s, takes of %d: %.2f %% of the rate, at least %.2f %% are promised", burst, span/second, cost, 100*float64(taken)/have, 100*least)
				}
			}
		}
	}
}

// FuzzAgainstTokens compares with a bucket of tokens in floating point, for any schedule.
func FuzzAgainstTokens(f *testing.F) {
	f.Add(uint64(1), 100.0, uint16(20))
	f.Add(uint64(2), 1048576.0, uint16(60000))
	f.Add(uint64(3), 0.5, uint16(1))
	f.Add(uint64(4), 1e7, uint16(1))
	f.Add(uint64(5), 9999999.999999998, uint16(65535)) // the shortest interval that is made whole
	f.Add(uint64(6), 0.001, uint16(65535))
	f.Add(uint64(7), 1.0/3, uint16(3))
	f.Fuzz(func(t *testing.T, seed uint64, rate float64, size uint16) {
		if !(rate >= 0.001 && rate <= 1e7) || size == 0 {
			return
		}
		r := Rate{rate, int(size)}
		rng := rand.New(rand.NewPCG(seed, 0))
		var b Bucket
		now := int64(1_800_000_000 * second)
		first := now
		var taken int64
		tokens := float64(size) // of a bucket that gives whatever ours gives
		fewer := float64(size)  // of one that fills at 99 % of the rate
		for range 300 {
			step := int64(rng.ExpFloat64() * second / rate * float64(size) / 4)
			now += step
			tokens = min(float64(size), tokens+float64(step)*rate/second)
			fewer = min(float64(size), fewer+float64(step)*rate*0.99/second)
			cost := rng.Int64N(int64(size) + 2)
			ok := b.Take(&r, cost, now)
			if ok {
				taken += cost
				tokens -= float64(cost)
				fewer -= float64(cost)
			}
			if tokens < -1e-3 {
				t.Fatalf("%v: %v tokens more than there are", r, -tokens)
			}
			if !ok && cost <= int64(size) && fewer-float64(cost) > 1e-3 {
				t.Fatalf("%v: cost %d is refused with %v tokens left", r, cost, fewer)
			}
		}
		if bound := float64(now-first)*rate/second + float64(size); float64(taken) > bound+1e-3 {
			t.Fatalf("%v: took %d of %v", r, taken, bound)
		}
	})
}

func TestClockSteps(t *testing.T) {
	r := Rate{PerSecond: 10, Burst: 20}
	const start = 1_800_000_000 * second
	for name, take := range buckets() {
		if !take(r, 20, start) || take(r, 1, start) {
			t.Fatalf("%s: not empty", name)
		}
		// a reader whose clock is a little behind neither gains nor loses
		if take(r, 1, start-second/2) {
			t.Errorf("%s: a stale clock gives a token", name)
		}
		if take(r, 1, start-50*second) || !take(r, 1, start+100*ms) || take(r, 1, start+100*ms) {
			t.Errorf("%s: a stale clock has moved the bucket", name)
		}
		// an hour back: empty, and full again after the time of one burst
		back := int64(start - 3600*second)
		if take(r, 1, back) {
			t.Errorf("%s: a step back gives a token at once", name)
		}
		if !take(r, 1, back+100*ms) {
			t.Errorf("%s: refuses for an hour after a step back", name)
		}
		if !take(r, 19, back+2000*ms) {
			t.Errorf("%s: not full again after a burst's time", name)
		}
		// a day on: one burst, no more
		on := int64(start + 86400*second)
		if !take(r, 20, on) || take(r, 1, on) {
			t.Errorf("%s: a step on gives more than a burst", name)
		}
	}
}

func TestSizesAndAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("skipped: allocations are counted without -race")
	}
	r := Rate{PerSecond: 1000, Burst: 10}
	table, p := NewTable(1024, 1), r.pace()
	gate := NewGate(GateConfig{ConnectRate: r, Connections: 2, Exempt: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, Entries: 64})
	peer, user := netip.MustParseAddr("2001:db8::1"), User("alice")
	failures, other := NewFailures(r, 64), netip.MustParseAddr("192.0.2.1")
	perUser := NewPerUser(r, nil)
	var b Bucket
	var s Shared
	now, at := int64(second), timeAt(1)
	for name, f := range map[string]func(){
		"bucket":   func() { b.Take(&r, 1, now) },
		"shared":   func() { s.Take(r, 1, now) },
		"table":    func() { table.Take(user, p, 1, now); table.Take(IP(peer), p, 100, now); now += second },
		"per user": func() { perUser.Take("alice", 1, now); perUser.Take("", 1, now) },
		"failures": func() { failures.Note(peer, now); failures.May(peer, now); failures.May(other, now) },
		"gate":     func() { gate.Admit(peer, at); gate.Release(peer); gate.Exempt(peer) },
	} { // accepted at first, refused after the burst
		if n := testing.AllocsPerRun(100, f); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

// An address hashes as the library hashes its eight bytes.
func TestHashIsXXH64(t *testing.T) {
	for i := range uint64(10_000) {
		v, seed := i*0x9e3779b97f4a7c15, i*i*0xbf58476d1ce4e5b9
		d := xxhash.NewWithSeed(seed)
		if err := binary.Write(d, binary.LittleEndian, v); err != nil {
			t.Fatal(err)
		}
		if got := hash64(v, seed); got != d.Sum64() {
			t.Fatalf("%#x with seed %#x: %#x, and the library says %#x", v, seed, got, d.Sum64())
		}
	}
}

func BenchmarkTake(b *testing.B) {
	r := Rate{PerSecond: 1e6, Burst: 100}
	p := r.pace()
	b.Run("bucket", func(b *testing.B) {
		var k Bucket
		for now := int64(0); b.Loop(); now += 100 {
			k.Take(&r, 1, now)
		}
	})
	b.Run("table/hot", func(b *testing.B) {
		t, key := NewTable(1<<16, 1), IP(netip.MustParseAddr("2001:db8::1"))
		for now := int64(0); b.Loop(); now += 1000 {
			t.Take(key, p, 1, now)
		}
	})
	b.Run("table/cold", func(b *testing.B) {
		t, now := NewTable(1<<20, 1), int64(0)
		for i := uint64(0); b.Loop(); i++ {
			t.Take(Key{kind: ipv6, prefix: i * 0x9e3779b97f4a7c15 >> 45}, p, 1, now)
			now += 1000
		}
	})
	b.Run("table/users", func(b *testing.B) {
		t, now := NewTable(1<<16, 1), int64(0)
		keys := make([]Key, 1<<15)
		for i := range keys {
			keys[i] = User(fmt.Sprint(i))
		}
		for i := 0; b.Loop(); i++ {
			t.Take(keys[i&(1<<15-1)], p, 1, now)
			now += 100
		}
	})
	b.Run("gate", func(b *testing.B) {
		g, peer, at := NewGate(GateConfig{ConnectRate: r, Connections: 100}), netip.MustParseAddr("2001:db8::1"), timeAt(1)
		for b.Loop() {
			if g.Admit(peer, at) {
				g.Release(peer)
			}
		}
	})
}

// TestBucketFull: from when all that was taken has come back, and not before.
func TestBucketFull(t *testing.T) {
	var b Bucket
	r := Rate{PerSecond: 10, Burst: 5}
	const start = 7 * second
	if !b.Full(0) || !b.Full(start) {
		t.Error("a new bucket is not full")
	}
	if !b.Take(&r, 3, start) {
		t.Fatal("refused")
	}
	for _, x := range []struct {
		at   int64
		want bool
	}{{start, false}, {start + second*3/10 - 1, false}, {start + second*3/10, true}, {start + second, true}} {
		if got := b.Full(x.at); got != x.want {
			t.Errorf("%d ns after 3 tokens were taken: full is %v", x.at-start, got)
		}
	}
}
