package tlsconn

import (
	"net/netip"
	"testing"
	"time"
)

func TestRoomShrinksToTheLeast(t *testing.T) {
	r, now := newRoom(2, 1000, time.Second), time.Unix(100, 0)
	if !r.takes(999, false, now) || r.takes(1000, false, now) {
		t.Error("at first as many may wait as there is memory for")
	}
	for range 300 {
		r.inVain(1000, now)
	}
	if !r.takes(699, false, now) || r.takes(700, false, now) {
		t.Errorf("%d places after 300 were lost", r.places)
	}
	for range 3000 {
		r.inVain(1000, now)
	}
	if !r.takes(2*leastPlaces-1, false, now) || r.takes(2*leastPlaces, false, now) {
		t.Errorf("%d places at the least, with 2 cores", r.places)
	}
	if small := newRoom(2, 5, time.Second); small.places != 5 || small.least != 5 {
		t.Errorf("%+v of 5", small)
	}
}

func TestRoomComesBack(t *testing.T) {
	r, now := newRoom(1, 1000, time.Second), time.Unix(100, 0)
	for range 1000 {
		r.inVain(1000, now)
	}
	r.takes(leastPlaces, false, now)
	for range 2 * servedPerPlace {
		r.turn(0, now)
	}
	if r.places != leastPlaces+2 {
		t.Errorf("%d places after %d turns", r.places, 2*servedPerPlace)
	}
	now = now.Add(calm - 1)
	if r.takes(leastPlaces+2, false, now) {
		t.Error("more may wait although somebody was turned away just now")
	}
	if now = now.Add(calm); !r.takes(2*leastPlaces+3, false, now) || r.takes(2*leastPlaces+4, false, now) {
		t.Errorf("%d places after a calm while", r.places)
	}
	if now = now.Add(time.Hour); !r.takes(999, false, now) || r.takes(1000, false, now) {
		t.Errorf("%d places after an hour", r.places)
	}
	for range 1000 {
		r.turn(0, now)
	}
	if r.places != 1000 {
		t.Errorf("%d places of 1000", r.places)
	}
}

// TestRoomForTheLight: who has fewer here than others finds a place when those are taken, up to as many again.
func TestRoomForTheLight(t *testing.T) {
	r, now := newRoom(1, 100, time.Second), time.Unix(100, 0)
	for range 100 {
		r.inVain(1000, now)
	}
	for _, c := range []struct {
		waiting int
		light   bool
		want    bool
	}{
		{leastPlaces - 1, false, true}, {leastPlaces, false, false}, {leastPlaces, true, true},
		{2*leastPlaces - 1, true, true}, {2 * leastPlaces, true, false},
	} {
		if got := r.takes(c.waiting, c.light, now); got != c.want {
			t.Errorf("%+v: %t", c, got)
		}
	}
}

// crowd is a queue of one core with a room, by virtual time: newest first, as the pool has it.
type crowd struct {
	room                          room
	now                           time.Time
	waiting                       []time.Time // oldest first: when they give up
	served, vain, turned, offered int
}

// pass lets time pass in which clients come, so many a second, and as many are served of those who wait.
func (c *crowd) pass(d time.Duration, come, serve int, patience time.Duration) {
	const step = time.Millisecond
	came, done := 0, 0
	for i := 1; i <= int(d/step); i++ {
		c.now = c.now.Add(step)
		for ; len(c.waiting) > 0 && c.now.After(c.waiting[0]); c.waiting = c.waiting[1:] {
			c.room.inVain(len(c.waiting), c.now)
			c.vain++
		}
		for ; came < come*i/1000; came++ {
			c.offered++
			if c.room.takes(len(c.waiting), false, c.now) {
				if len(c.waiting) == 0 {
					c.room.wait(c.now)
				}
				c.waiting = append(c.waiting, c.now.Add(patience))
			} else {
				c.turned++
			}
		}
		for ; done < serve*i/1000; done++ {
			if n := len(c.waiting); n > 0 {
				c.waiting = c.waiting[:n-1]
				c.room.turn(n-1, c.now)
				c.served++
			}
		}
	}
}

// TestOverloadWaitsNotInVain: of ten times as many as can be served, whatever their patience, hardly more are let in than are
// served, and none of the server's time is lost.
func TestOverloadWaitsNotInVain(t *testing.T) {
	for _, patience := range []time.Duration{300 * time.Millisecond, time.Second, 2 * time.Second, 10 * time.Second} {
		for _, rate := range []int{100, 800, 5000} {
			c := crowd{room: newRoom(2, 4096, DefaultStaleAfter), now: time.Unix(100, 0)}
			c.pass(10*patience, 10*rate, rate, patience)
			c.served, c.vain, c.turned, c.offered = 0, 0, 0, 0
			c.pass(10*patience, 10*rate, rate, patience)
			least := float64(2*leastPlaces) / patience.Seconds() / float64(rate) // that many wait in any case
			if lost := float64(c.vain) / float64(c.served); lost > 1.5/servedPerPlace+1.2*least {
				t.Errorf("patience %v, %d a second: %.3f in vain for each served", patience, rate, lost)
			}
			if want := 10 * patience.Seconds() * float64(rate); float64(c.served) < 0.99*want {
				t.Errorf("patience %v, %d a second: %d served of %.0f", patience, rate, c.served, want)
			}
			c.waiting = nil
			c.pass(time.Second, rate/2, rate, patience)
			if c.room.places != 4096 {
				t.Errorf("patience %v, %d a second: a second later %d may wait", patience, rate, c.room.places)
			}
		}
	}
}

// TestHonestCrowdIsLetIn: all that were there come back at once, and again and again.
func TestHonestCrowdIsLetIn(t *testing.T) {
	c := crowd{room: newRoom(2, 4096, DefaultStaleAfter), now: time.Unix(100, 0)}
	for range 5 {
		c.pass(100*time.Millisecond, 40_000, 2400, 10*time.Second) // 4,000
		c.pass(2*time.Second, 10, 2400, 10*time.Second)
	}
	if c.turned > 0 || c.vain > 0 || c.served < 19_900 {
		t.Errorf("%+v of %d", c.turned, c.offered)
	}
}

// TestNewcomersAreTurnedAway: a pool asks for nobody more than have their turn before they give up.
func TestNewcomersAreTurnedAway(t *testing.T) {
	g := newGate()
	now := time.Unix(100, 0)
	pool := newPool(t, g.on, func(p *PoolConfig) {
		p.Waiting = 2 * leastPlaces
		p.StaleAfter = time.Second
		p.Now = func() time.Time { return now }
		p.Exempt = func(a netip.Addr) bool { return a == addr(0) }
	})
	defer close(g.leave)
	q, hello := newQuiet(), named(t, "weir.test")
	tag := uint64(0)
	start := func(peer int) *Handshake {
		tag++
		return pool.Start(hello, addr(peer), tag, q)
	}
	welcome := func(when string, peer int, want bool) {
		t.Helper()
		if got := pool.Welcome(addr(peer), 0); got != want {
			t.Errorf("%s: %t, want %t; %+v, %d places", when, got, want, pool.Counters(), pool.room.places)
		}
	}
	start(1)
	<-g.entered
	var queued []*Handshake
	for i := range 2*leastPlaces - 1 {
		welcome("while there is room", 100+i, true)
		queued = append(queued, start(100+i))
	}
	for _, h := range queued[:3] {
		h.Abort()
	}
	if pool.room.places != 2*leastPlaces {
		t.Errorf("%d places after some of a burst left", pool.room.places)
	}
	now = now.Add(calm)
	for _, h := range queued[3 : leastPlaces+3] {
		h.Abort()
	}
	if pool.room.places != leastPlaces {
		t.Errorf("%d places after %d gave up", pool.room.places, leastPlaces)
	}
	for i := range 4 {
		welcome("a place is free", 1000+i, true)
		start(1000 + i)
	}
	welcome("none", 1010, false)
	welcome("none, of one who is here", 1000, false)
	welcome("none, of an exempt address", 0, true)
	start(1000)
	welcome("another has more", 1010, true)
	welcome("nobody has more", 1000, false)
	now = now.Add(time.Second + 1)
	start(1020) // all others are stale
	welcome("after they were dropped", 1021, true)
	if pool.room.places < leastPlaces || pool.room.places > 2*leastPlaces {
		t.Errorf("%d places", pool.room.places)
	}
}

// TestEvictedWaitedInVain: also one that gave way, if it had not begun.
func TestEvictedWaitedInVain(t *testing.T) {
	g := newGate()
	now := time.Unix(100, 0)
	pool := newPool(t, g.on, func(p *PoolConfig) {
		p.Waiting = 2 * leastPlaces
		p.Now = func() time.Time { return now }
	})
	defer close(g.leave)
	q, hello := newQuiet(), named(t, "weir.test")
	pool.Start(hello, addr(0), 0, q)
	<-g.entered
	for i := range 2*leastPlaces + 3 {
		if i == 1 {
			now = now.Add(calm)
		}
		pool.Start(hello, addr(1+i), uint64(1+i), q)
	}
	// The first to give way was computing.
	if c := pool.Counters(); c.Queued != 2*leastPlaces || pool.room.places != 2*leastPlaces-3 {
		t.Errorf("%d places, %+v", pool.room.places, c)
	}
}

// TestWelcomeAllocatesNothing: it is asked about each newcomer.
func TestWelcomeAllocatesNothing(t *testing.T) {
	pool := newPool(t)
	peer := netip.MustParseAddr("2001:db8::1")
	if n := testing.AllocsPerRun(100, func() { pool.Welcome(peer, 0) }); n > 0 {
		t.Errorf("%.1f allocations", n)
	}
}

// TestRoomIsForThoseInTime: as many may wait as had their turn, by the last queue, in the time after which they would be stale.
func TestRoomIsForThoseInTime(t *testing.T) {
	r, now := newRoom(1, 4096, 2*time.Second), time.Unix(100, 0)
	turns := func(n, waiting int, every time.Duration) {
		r.wait(now)
		for range n {
			now = now.Add(every)
			r.turn(waiting, now)
		}
	}
	turns(100, 0, 10*time.Millisecond)
	if !r.takes(4095, false, now) {
		t.Error("what is served without a queue says nothing about one")
	}
	turns(100, 50, 2*time.Millisecond)
	if n := r.inTime(); n != 1000 || r.takes(1000, false, now) || !r.takes(999, false, now) || !r.takes(1999, true, now) || r.takes(2000, true, now) {
		t.Errorf("%d are in time at 500 a second", n)
	}
	turns(10, 50, 20*time.Millisecond)
	if n := r.inTime(); n < 500 || n > 950 {
		t.Errorf("%d are in time just after it became slow", n)
	}
	turns(1000, 50, 20*time.Millisecond)
	if n := r.inTime(); n < 100 || n > 110 {
		t.Errorf("%d are in time at 50 a second", n)
	}
	turns(100, 50, time.Second)
	if n := r.inTime(); n != leastPlaces {
		t.Errorf("%d are in time at the slowest", n)
	}
	turns(200, 50, time.Millisecond)
	if n := r.inTime(); n != 2000 {
		t.Errorf("%d are in time as soon as it is fast again", n)
	}
}
