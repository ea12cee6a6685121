package anomaly

import (
	"maps"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"weir/security/audit"
)

// maxBans is how many prefixes may be banned at once. Attack: one that makes us ban
// without end. Over it nobody else is banned, which is counted.
const maxBans = 4096

// Bans are the prefixes that may not connect, each for a time. Any goroutine. A nil
// Bans bans nobody.
type Bans struct {
	allow atomic.Pointer[[]netip.Prefix]
	now   atomic.Pointer[map[netip.Prefix]time.Time] // until; replaced, never changed
	full  atomic.Uint64

	mu sync.Mutex // held by who replaces
}

// NewBans makes Bans that spare the addresses of allow.
func NewBans(allow []netip.Prefix) *Bans {
	b := new(Bans)
	allow = slices.Clone(allow)
	b.allow.Store(&allow)
	b.now.Store(&map[netip.Prefix]time.Time{})
	return b
}

// Spared reports whether p has an address that is never banned.
func (b *Bans) Spared(p netip.Prefix) bool {
	return slices.ContainsFunc(*b.allow.Load(), p.Overlaps)
}

// Spare takes others to spare, and lifts the bans that concern them.
func (b *Bans) Spare(allow []netip.Prefix) {
	b.mu.Lock()
	defer b.mu.Unlock()
	allow = slices.Clone(allow)
	b.allow.Store(&allow)
	next := maps.Clone(*b.now.Load())
	maps.DeleteFunc(next, func(p netip.Prefix, _ time.Time) bool { return b.Spared(p) })
	b.now.Store(&next)
}

// Add bans a prefix as audit.PrefixOf makes it, until then. It returns false if p is
// spared or there is no room.
func (b *Bans) Add(p netip.Prefix, until, now time.Time) bool {
	if b.Spared(p) {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	next := b.alive(now)
	if _, again := next[p]; !again && len(next) >= maxBans {
		b.full.Add(1)
		return false
	}
	next[p] = until
	b.now.Store(&next)
	return true
}

// Expire forgets the bans that are over and returns them.
func (b *Bans) Expire(now time.Time) (over []netip.Prefix) {
	if b == nil {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	next := b.alive(now)
	for p := range *b.now.Load() {
		if _, still := next[p]; !still {
			over = append(over, p)
		}
	}
	if len(over) > 0 {
		b.now.Store(&next)
	}
	return over
}

// alive copies the bans that are not over. b.mu is held.
func (b *Bans) alive(now time.Time) map[netip.Prefix]time.Time {
	next := make(map[netip.Prefix]time.Time, len(*b.now.Load())+1)
	for p, until := range *b.now.Load() {
		if until.After(now) {
			next[p] = until
		}
	}
	return next
}

// Banned reports whether an address may not connect. It takes no lock and
// allocates nothing.
func (b *Bans) Banned(a netip.Addr, now time.Time) bool {
	if b == nil {
		return false
	}
	bans := *b.now.Load()
	if len(bans) == 0 {
		return false
	}
	until, banned := bans[audit.PrefixOf(a)]
	return banned && until.After(now)
}

// Len is how many prefixes are banned, also those just over.
func (b *Bans) Len() int {
	if b == nil {
		return 0
	}
	return len(*b.now.Load())
}

// Full is how many found no room.
func (b *Bans) Full() uint64 {
	if b == nil {
		return 0
	}
	return b.full.Load()
}
