package limit

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"sync"
	"testing"
	"time"
	"unsafe"
)

func timeAt(seconds int64) time.Time { return time.Unix(1_800_000_000+seconds, 0) }

func TestGateCountsConnections(t *testing.T) {
	g := NewGate(GateConfig{Connections: 2})
	a, b := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("::ffff:192.0.2.1")
	other := netip.MustParseAddr("192.0.2.2")
	steps := []struct {
		peer netip.Addr
		open bool
		want bool
	}{
		{a, true, true}, {b, true, true}, {a, true, false}, {b, true, false}, {other, true, true},
		{b, false, true}, {a, true, true}, {a, true, false}, {a, false, true}, {a, false, true}, {a, true, true}, {a, true, true}, {a, true, false},
	}
	for i, s := range steps {
		if !s.open {
			g.Release(s.peer)
		} else if got := g.Admit(s.peer, timeAt(0)); got != s.want {
			t.Errorf("step %d: %v", i, got)
		}
	}
	if c := g.Counters(); c.Admitted != 6 || c.OverCount != 4 || c.OverRate != 0 || c.Unmatched != 0 {
		t.Errorf("counters %+v", c)
	}
	g.Release(netip.MustParseAddr("192.0.2.77"))
	if g.Counters().Unmatched != 1 {
		t.Error("a release of nobody is not noticed")
	}
}

func TestGateRate(t *testing.T) {
	g := NewGate(GateConfig{ConnectRate: Rate{PerSecond: 10, Burst: 3}})
	home := netip.MustParseAddr("2001:db8::1")
	for i, want := range []bool{true, true, true, false} {
		peer := home
		if i%2 == 1 {
			peer = netip.MustParseAddr("2001:db8::2") // the same /64
		}
		if got := g.Admit(peer, timeAt(0)); got != want {
			t.Errorf("connect %d: %v", i, got)
		}
	}
	if !g.Admit(netip.MustParseAddr("2001:db8:0:1::1"), timeAt(0)) {
		t.Error("another /64 is refused")
	}
	if !g.Admit(home, timeAt(0).Add(100*time.Millisecond)) || g.Admit(home, timeAt(0).Add(100*time.Millisecond)) {
		t.Error("not one more after a tenth of a second")
	}
	if g.Admit(netip.Addr{}, timeAt(0)) {
		t.Error("a peer without address is admitted")
	}
	if NewGate(GateConfig{}).Admit(netip.Addr{}, timeAt(0)) {
		t.Error("a peer without address is admitted where there are no limits")
	}
	if c := g.Counters(); c.OverRate != 3 || c.Admitted != 5 {
		t.Errorf("counters %+v", c)
	}
}

// wallBack returns t with its wall clock set back and its monotonic reading as it was: what time.Now
// gives after somebody has set the clock. Seconds stand above 30 bits of nanoseconds.
func wallBack(t time.Time, seconds uint64) time.Time {
	*(*uint64)(unsafe.Pointer(&t)) -= seconds << 30
	return t
}

// Steps of the wall clock are not seen where there is a monotonic one; where there is none, a step of
// a day costs one burst.
func TestGateClockSteps(t *testing.T) {
	g := NewGate(GateConfig{ConnectRate: Rate{PerSecond: 10, Burst: 2}})
	peer, start := netip.MustParseAddr("192.0.2.1"), time.Now()
	if back := wallBack(start, 50); !back.Equal(start) || start.Unix()-back.Unix() != 50 {
		t.Fatalf("%v is no step back from %v", back, start)
	}
	wall := start.Round(0) // without the monotonic reading
	for i, step := range []struct {
		now  time.Time
		want bool
	}{
		{start, true}, {start, true}, {start, false}, {start.Add(100 * time.Millisecond), true}, {start.Add(100 * time.Millisecond), false},
		{wallBack(start.Add(200*time.Millisecond), 50), true}, {wallBack(start.Add(200*time.Millisecond), 50), false},
		{wall.Add(-24 * time.Hour), false}, {wall.Add(-24*time.Hour + 200*time.Millisecond), true}, {wall.Add(24 * time.Hour), true},
	} {
		if got := g.Admit(peer, step.now); got != step.want {
			t.Errorf("step %d: %v", i, got)
		}
	}
}

func TestGateExempt(t *testing.T) {
	prefixes := []netip.Prefix{netip.MustParsePrefix("127.0.0.1/8"), netip.MustParsePrefix("::ffff:198.51.100.0/120"), netip.MustParsePrefix("2001:db8::/32")}
	g := NewGate(GateConfig{ConnectRate: Rate{PerSecond: 1, Burst: 1}, Connections: 1, Exempt: prefixes})
	for peer, want := range map[string]bool{
		"127.0.0.1": true, "::ffff:127.9.9.9": true, "198.51.100.7": true, "198.51.101.7": false, "2001:db8:ffff::1": true,
		"2001:db9::1": false, "192.0.2.1": false, "::1": false, "1::": false, "2001:db8::1%eth0": true,
	} {
		a := netip.MustParseAddr(peer)
		if got := g.Exempt(a); got != want {
			t.Errorf("Exempt(%s) = %v", peer, got)
		}
		for i := range 5 {
			if got := g.Admit(a, timeAt(0)); got != (want || i == 0) {
				t.Errorf("%s: connect %d is %v", peer, i, got)
			}
		}
	}
	if g.Exempt(netip.Addr{}) || NewGate(GateConfig{}).Exempt(netip.MustParseAddr("127.0.0.1")) {
		t.Error("nobody, or anybody, is exempt")
	}
}

// What is open while the limits are replaced is counted back, whoever was exempt at its start.
func TestGateReplace(t *testing.T) {
	a := netip.MustParseAddr("192.0.2.1")
	exempt := []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
	g := NewGate(GateConfig{Connections: 1, Exempt: exempt})
	for range 3 {
		if !g.Admit(a, timeAt(0)) {
			t.Fatal("exempt peer refused")
		}
	}
	g.Replace(GateConfig{Connections: 3, ConnectRate: Rate{PerSecond: 1, Burst: 100}})
	if g.Admit(a, timeAt(0)) {
		t.Error("a fourth is admitted where three are open")
	}
	g.Release(a)
	if !g.Admit(a, timeAt(0)) || g.Admit(a, timeAt(0)) {
		t.Error("not exactly one more after a release")
	}
	g.Replace(GateConfig{Exempt: exempt})
	for range 3 {
		g.Release(a)
	}
	if c := g.Counters(); c.Unmatched != 0 {
		t.Errorf("counters %+v", c)
	}
	g.Release(a)
	if c := g.Counters(); c.Unmatched != 1 {
		t.Errorf("counters %+v", c)
	}
}

// Connections that open and close in any order leave nothing behind.
func TestGateCountsBack(t *testing.T) {
	g := NewGate(GateConfig{Connections: 3})
	rng := rand.New(rand.NewPCG(3, 3))
	var open []netip.Addr
	for range 20_000 {
		if len(open) > 0 && rng.IntN(2) == 0 {
			i := rng.IntN(len(open))
			g.Release(open[i])
			open[i] = open[len(open)-1]
			open = open[:len(open)-1]
			continue
		}
		text := fmt.Sprintf("192.0.2.%d", rng.IntN(16))
		if rng.IntN(2) == 0 {
			text = fmt.Sprintf("2001:db8:%x:%x::1", rng.IntN(3), rng.IntN(10))
		}
		if a := netip.MustParseAddr(text); g.Admit(a, timeAt(0)) {
			open = append(open, a)
		}
	}
	for _, a := range open {
		g.Release(a)
	}
	if c := g.Counters(); c.Unmatched != 0 || c.OverCount == 0 || g.counts.keys() != 0 {
		t.Errorf("counters %+v, %d keys left", c, g.counts.keys())
	}
}

func TestGateAtOnce(t *testing.T) {
	g := NewGate(GateConfig{Connections: 10, Entries: 8})
	peers := []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")}
	var open [2]int
	var mu sync.Mutex
	var wg sync.WaitGroup
	for c := range 16 {
		wg.Go(func() {
			for i := range 2000 {
				at := (c + i) % 2
				if !g.Admit(peers[at], timeAt(0)) {
					continue
				}
				mu.Lock()
				if open[at]++; open[at] > 10 {
					t.Errorf("%d open of 10", open[at])
				}
				mu.Unlock()
				mu.Lock()
				open[at]--
				mu.Unlock()
				g.Release(peers[at])
			}
		})
	}
	wg.Wait()
	if c := g.Counters(); c.Unmatched != 0 {
		t.Errorf("counters %+v", c)
	}
}

// However many addresses have connections open, nobody pays for the others: each has its own count.
func TestGateCountsEachOfManyAddresses(t *testing.T) {
	const addresses = 200_000 // three times as many as the default table of rates
	g := NewGate(GateConfig{Connections: 2})
	peer := func(i int) netip.Addr {
		return netip.AddrFrom4([4]byte{100, byte(i >> 16), byte(i >> 8), byte(i)})
	}
	for round, want := range []bool{true, true, false} {
		for i := range addresses {
			if got := g.Admit(peer(i), timeAt(0)); got != want {
				t.Fatalf("connection %d of address %d: %v", round, i, got)
			}
		}
	}
	for range 2 {
		for i := range addresses {
			g.Release(peer(i))
		}
	}
	if c := g.Counters(); c.Unmatched != 0 || g.counts.keys() != 0 {
		t.Errorf("counters %+v, %d keys left", c, g.counts.keys())
	}
}
