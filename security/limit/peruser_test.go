package limit

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
)

func TestPerUser(t *testing.T) {
	p := NewPerUser(Rate{PerSecond: 2, Burst: 4}, nil)
	now := int64(second)
	for i, s := range []struct {
		user string
		cost int
		wait int64 // before
		want bool
	}{
		{"alice", 3, 0, true}, {"alice", 2, 0, false}, {"alice", 1, 0, true}, {"alice", 1, 0, false},
		{"bob", 4, 0, true}, {"Alice", 4, 0, true}, {"bob", 5, 3600 * second, false},
		{"alice", 4, 0, true}, {"alice", 1, second / 2, true}, {"alice", 1, 0, false},
		{"", 1000, 0, true}, {"", 1000, 0, true}, // everybody without a name
	} {
		now += s.wait
		if got := p.Take(s.user, s.cost, now); got != s.want {
			t.Errorf("step %d: %d of %q: %v", i, s.cost, s.user, got)
		}
	}
	if n := p.Refused(); n != 4 {
		t.Errorf("%d were refused, want 4", n)
	}
	if got := p.table.Bytes(); got != PerUserBytes {
		t.Errorf("the table takes %d bytes, PerUserBytes is %d", got, PerUserBytes)
	}
}

// TestPerUserOfAnotherRate: a reload gives nobody a bucket that is full again, and the zero rate is no limit.
func TestPerUserOfAnotherRate(t *testing.T) {
	now := int64(second)
	p := NewPerUser(Rate{PerSecond: 1, Burst: 2}, nil)
	p.Take("alice", 2, now)
	p = NewPerUser(Rate{PerSecond: 10, Burst: 20}, p)
	if p.Take("alice", 3, now) || !p.Take("alice", 1, now+second/5) || p.Refused() != 1 {
		t.Error("what was spent before a reload is not spent after it")
	}
	if p = NewPerUser(Rate{}, p); p != nil || !p.Take("alice", 1000, now) || p.Refused() != 0 {
		t.Error("a rate of 0 is a limit")
	}
}

// TestPerUserUnderContention: one user from everywhere at once, beside others, gets rate and burst and nothing more.
func TestPerUserUnderContention(t *testing.T) {
	for _, r := range []Rate{{50, 100}, {1000, 2000}, {30_000, 10}} {
		const seconds = 4
		p := NewPerUser(r, nil)
		var turn atomic.Int64
		got := float64(storm(seconds, func(now int64) bool {
			if n := turn.Add(1); n%8 == 0 {
				p.Take(fmt.Sprint("user", n%512), 1, now)
			}
			return p.Take("alice", 1, now)
		}))
		bound := min(r.PerSecond*seconds+float64(r.Burst), seconds*100_000)
		if got > bound || got < 0.99*bound-1 {
			t.Errorf("%v: %v admitted of %v", r, got, bound)
		}
	}
}

// TestManyUsersAtOnce: each of many users has a bucket of his own, whoever comes at the same time.
func TestManyUsersAtOnce(t *testing.T) {
	const users, goroutines = 1024, 8
	r := Rate{PerSecond: 1, Burst: 3}
	p := NewPerUser(r, nil)
	var admitted [users]atomic.Int32
	var wg sync.WaitGroup
	for range goroutines {
		wg.Go(func() {
			for i := range users {
				if p.Take(fmt.Sprint("user", i), 1, second) {
					admitted[i].Add(1)
				}
			}
		})
	}
	wg.Wait()
	for i := range admitted {
		if n := admitted[i].Load(); n != int32(r.Burst) {
			t.Errorf("user %d was admitted %d times, want %d", i, n, r.Burst)
		}
	}
}

// TestCrowdOfUsers: users who do no more than they may are let in as long as there is room anywhere, though
// by chance many have one place; who does more is not.
func TestCrowdOfUsers(t *testing.T) {
	const users = perUserEntries / 2
	p := NewPerUser(Rate{PerSecond: 0.1, Burst: 1}, nil)
	for i := range users {
		p.Take(fmt.Sprint("user", i), 1, 3600*second)
	}
	if n := p.Refused(); n > users/500 {
		t.Errorf("%d of %d users who come once are refused", n, users)
	}
	before := p.Refused()
	for i := range users {
		p.Take(fmt.Sprint("user", i), 1, 3600*second)
	}
	if n := p.Refused() - before; n < users*99/100 {
		t.Errorf("%d of %d users who come twice are refused", n, users)
	}
}
