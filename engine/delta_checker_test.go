package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/coder/websocket"
)

// deltaChecker is a run of the checker of deltas: publishers of JSON that
// changes, and subscribers with deltas that come, go and stop reading. What each
// makes of what it gets must be what was published under that offset.
type deltaChecker struct {
	*testServer
	jwt     string
	last    uint64
	recover bool // subscribers miss nothing, or are told; else they may miss anything and are not

	mu        sync.Mutex
	moved     *sync.Cond
	published map[uint64]string // by offset; guarded by mu
	top       uint64            // guarded by mu
	reading   uint64            // how far the steady reader has come; guarded by mu

	done                                                             atomic.Int64 // readers
	deltas, fulls, recovered, lost, skipped, stalls, closed, evicted atomic.Int64
}

// TestDeltaChecker: under every policy of slow consumers, for subscribers that
// recover and for those that take what comes.
func TestDeltaChecker(t *testing.T) {
	for _, c := range []struct {
		policy  string
		recover bool
		shows   func(k *deltaChecker) bool // what the run is about came about
	}{
		{"disconnect", true, func(k *deltaChecker) bool { return k.recovered.Load() > 0 && k.closed.Load() > 0 }},
		{"drop_oldest", true, func(k *deltaChecker) bool { return k.recovered.Load() > 0 && k.evicted.Load() > 0 }},
		{"drop_oldest", false, func(k *deltaChecker) bool { return k.skipped.Load() > 0 }},
		{"drop_newest", false, func(k *deltaChecker) bool { return k.skipped.Load() > 0 }},
		{"conflate", false, func(k *deltaChecker) bool { return k.skipped.Load() > 0 }},
	} {
		t.Run(fmt.Sprintf("%s, recovering %v", c.policy, c.recover), func(t *testing.T) {
			k := &deltaChecker{jwt: sign(t, "u", "feeds:*"), last: 8000, recover: c.recover, published: map[uint64]string{}}
			if raceEnabled {
				k.last = 3000
			}
			k.moved = sync.NewCond(&k.mu)
			k.testServer = quotes(t, func(cfg *Config) {
				ns := &cfg.Namespaces[0]
				ns.HistorySize, ns.SlowConsumer = 200, c.policy
				if c.policy == "conflate" {
					ns.ConflateKey = "/key"
				}
				cfg.Limits.MessageRate, cfg.Limits.SubscribeRate, cfg.Limits.IPConnections = 0, 0, 0
				cfg.Limits.MessageSize, cfg.Limits.MaxOutboxBytes = 8<<10, 300<<10
			})
			k.run()
			t.Logf("%d deltas, %d in full, %d recovered, %d gaps told, %d jumps, %d stalls, %d closed as slow, %d unsubscribed",
				k.deltas.Load(), k.fulls.Load(), k.recovered.Load(), k.lost.Load(), k.skipped.Load(), k.stalls.Load(), k.closed.Load(), k.evicted.Load())
			if k.deltas.Load() == 0 || k.fulls.Load() == 0 || !c.shows(k) {
				t.Error("the run shows nothing")
			}
		})
	}
}

func (k *deltaChecker) run() {
	const readers = 5
	var reading, publishing sync.WaitGroup
	for i := range readers {
		reading.Go(func() {
			defer k.moved.Broadcast() // it may have failed
			defer k.done.Add(1)
			f := deltaFollower{deltaChecker: k, rng: rand.New(rand.NewPCG(3, uint64(i))), steady: i == 0}
			f.read()
		})
	}
	for i := range 2 {
		publishing.Go(func() { k.publishAll(rand.New(rand.NewPCG(4, uint64(i)))) })
	}
	publishing.Wait()
	eventually(k.t, "every reader at the end", func() bool {
		k.publishOne(quote(k.done.Load())) // whoever missed the last gets this one
		return k.done.Load() == readers
	})
	reading.Wait()
}

// publishAll publishes up to the last offset, not far ahead of the steady reader.
func (k *deltaChecker) publishAll(rng *rand.Rand) {
	rows := make([]int, 20)
	for {
		for range 1 + rng.IntN(3) {
			rows[rng.IntN(len(rows))] = rng.IntN(100_000)
		}
		parts := make([]string, 0, len(rows))
		for i, v := range rows[:10+rng.IntN(2)*10*rng.IntN(2)] {
			parts = append(parts, fmt.Sprintf(`{"symbol":"S%d","note":"ż😀\"%s","price":%d}`, i, strings.Repeat("ę", rng.IntN(2)), v))
		}
		data := fmt.Sprintf(`{"key":%d,"rows":[%s]}`, rng.IntN(20), strings.Join(parts, ","))
		switch rng.IntN(40) {
		case 0:
			data = fmt.Sprint(rng.IntN(10))
		case 1, 2, 3, 4: // like no other
			data = fmt.Sprintf(`"%x"`, rng.Perm(600))
		}
		k.mu.Lock()
		for k.top > k.reading+100 && !k.t.Failed() {
			k.moved.Wait()
		}
		over := k.top >= k.last || k.t.Failed()
		k.mu.Unlock()
		if over {
			return
		}
		k.publishOne(data)
	}
}

// publishOne holds the lock while it publishes: a reader that has it can look up
// what it got.
func (k *deltaChecker) publishOne(data string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	offset, _, err := k.Publish(context.Background(), "feeds:x", []byte(data))
	if err != nil {
		k.t.Errorf("publish: %v", err)
	}
	k.published[offset] = data
	k.top = max(k.top, offset)
	k.moved.Broadcast()
}

// deltaFollower is one subscriber.
type deltaFollower struct {
	*deltaChecker
	rng    *rand.Rand
	steady bool // never stops reading
	slept  bool // has stopped reading once

	offset uint64 // of the last that it got; 0: unknown
	before reader
}

// read follows feeds:x to the end, over as many connections as it takes.
func (f *deltaFollower) read() {
	epoch := ""
	for f.offset < f.last && !f.t.Failed() {
		c := f.connected(f.t, f.jwt)
		more := withDelta
		if f.recover {
			more += fmt.Sprintf(`,"recover":true,"recoverable":true,"offset":%d,"epoch":"%s"`, f.offset, epoch)
		}
		got := c.subscribe("feeds:x", more).Subscribe
		f.before = reader{}
		switch epoch = got.Epoch; {
		case !f.recover:
			f.reached(f.newest())
			f.offset = 0
		case !got.Recovered:
			f.lost.Add(1)
			f.reached(got.Offset)
		}
		for _, p := range got.Publications {
			f.recovered.Add(1)
			f.take(&deltaPub{Offset: p.Offset, Data: p.Data})
		}
		f.follow(c)
		f.deltas.Add(int64(f.before.deltas))
		_ = c.ws.CloseNow()
	}
}

// follow reads what is published, for a while.
func (f *deltaFollower) follow(c *client) {
	for stay := f.rng.IntN(300); stay > 0 && f.offset < f.last && !f.t.Failed(); stay-- {
		line, err := c.next()
		switch {
		case websocket.CloseStatus(err) == 3008:
			f.closed.Add(1)
			return
		case strings.Contains(line, `"unsubscribe":{"code":2500`):
			f.evicted.Add(1)
			return
		}
		var p push
		if err == nil {
			err = json.Unmarshal([]byte(line), &p)
		}
		if err != nil {
			f.t.Errorf("%.200s, %v", line, err)
			return
		}
		f.take(&p.Push.Pub)
		if !f.steady && (!f.slept || f.rng.IntN(300) == 0) {
			f.slept = true
			f.stall(4000)
			stay += 10_000 // behind what the kernel has stands the close, or the jump
		}
	}
}

// take wants p to be what was published under its offset: the one that is due, or,
// where some may be missing, one behind.
func (f *deltaFollower) take(p *deltaPub) {
	text, err := f.before.take(p)
	f.mu.Lock()
	want := f.published[p.Offset]
	f.mu.Unlock()
	if due := f.offset + 1; err != nil || p.Offset < due || p.Offset > due && f.recover || text != want {
		f.t.Errorf("offset %d where %d was due, %v:\n%.300s was published as\n%.300s", p.Offset, due, err, text, want)
	}
	if !p.Delta {
		f.fulls.Add(1)
	}
	if f.offset > 0 && p.Offset > f.offset+1 {
		f.skipped.Add(1)
	}
	f.reached(p.Offset)
}

func (f *deltaFollower) reached(offset uint64) {
	f.offset = offset
	if f.steady {
		f.mu.Lock()
		f.deltaChecker.reading = offset
		f.moved.Broadcast()
		f.mu.Unlock()
	}
}

func (k *deltaChecker) newest() uint64 {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.top
}

// stall reads nothing while so many publications are made, or the last.
func (k *deltaChecker) stall(n uint64) {
	k.stalls.Add(1)
	k.mu.Lock()
	defer k.mu.Unlock()
	for until := min(k.top+n, k.last); k.top < until && !k.t.Failed(); {
		k.moved.Wait()
	}
}
