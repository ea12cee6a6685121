package token

import (
	"errors"
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"
)

// ErrRevocations refuses to note one more revocation: as many as may be are in
// force.
var ErrRevocations = errors.New("token: too many revocations are in force")

// Identity is what a session must keep of its token so that Revocations can be
// asked again: 12 bytes, without the texts.
type Identity struct {
	tokenID [2]uint32 // hash of the jti, never 0; 0: the token has none
	issued  uint32    // iat in seconds since 1970; 0: the token has none
}

// Revocations are the users that are blocked and the tokens that are no longer
// good, until the time that each entry is kept. Any goroutine.
//
// A hot path keeps the Epoch of its last look and compares: only after a
// change is there something to look up.
type Revocations struct {
	seed  maphash.Seed
	most  int
	epoch atomic.Uint32 // of the last change; changed under mu, or before there is a second goroutine

	mu      sync.RWMutex
	blocked map[string]int64    // user → until; guarded by mu
	tokens  map[[2]uint32]int64 // Identity.tokenID → until; guarded by mu
	before  map[string]cutoff   // user → what is no longer good; guarded by mu
}

// cutoff ends the tokens of a user that were issued before a time, in seconds
// since 1970, until.
type cutoff struct{ issuedBefore, until int64 }

// forever is the until of an entry that stays: the largest.
const forever = 1<<63 - 1

// NewRevocations returns an empty set of at most so many entries of each kind.
func NewRevocations(most int) *Revocations {
	r := &Revocations{
		seed: maphash.MakeSeed(), most: most,
		blocked: make(map[string]int64), tokens: make(map[[2]uint32]int64), before: make(map[string]cutoff),
	}
	r.changed()
	return r
}

// changed makes a new epoch.
func (r *Revocations) changed() {
	if r.epoch.Add(1) == 0 {
		r.epoch.Add(1)
	}
}

// Epoch changes with each change. It is never 0.
func (r *Revocations) Epoch() uint32 { return r.epoch.Load() }

// Identify returns what a session keeps of its claims.
func (r *Revocations) Identify(c *Claims) Identity {
	id := Identity{issued: uint32(min(max(c.IssuedAt, 0), 1<<32-1))}
	if c.ID != "" {
		id.tokenID = r.hash(c.ID)
	}
	return id
}

func (r *Revocations) hash(jti string) [2]uint32 {
	h := max(maphash.String(r.seed, jti), 1)
	return [2]uint32{uint32(h >> 32), uint32(h)}
}

// Revoked reports whether a session of user with this token must end.
func (r *Revocations) Revoked(user string, id Identity, now time.Time) bool {
	at := now.Unix()
	r.mu.RLock()
	defer r.mu.RUnlock()
	if until, ok := r.blocked[user]; ok && at < until {
		return true
	}
	if until, ok := r.tokens[id.tokenID]; ok && at < until {
		return true
	}
	// A token without iat may have been issued at any time: it is not spared.
	cut, ok := r.before[user]
	return ok && at < cut.until && int64(id.issued) < cut.issuedBefore
}

// Block ends all sessions of user and refuses new ones until then (zero: until
// Unblock).
func (r *Revocations) Block(user string, until, now time.Time) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return change(r, r.blocked, user, unix(until), now)
}

// Unblock takes Block back.
func (r *Revocations) Unblock(user string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.blocked, user)
	r.changed()
}

// RevokeToken ends the sessions of the token with this jti. The entry is kept
// until then (zero: for ever); after the token's own end it is of no use. What is
// in force is never weakened: orders may come twice, or in another order.
func (r *Revocations) RevokeToken(jti string, until, now time.Time) error {
	id := r.hash(jti)
	r.mu.Lock()
	defer r.mu.Unlock()
	return change(r, r.tokens, id, max(unix(until), r.tokens[id]), now)
}

// RevokeIdentity is RevokeToken for who knows the token by a session of it. ok is false if the token has no jti: then nothing is
// noted.
func (r *Revocations) RevokeIdentity(id Identity, until, now time.Time) (ok bool, _ error) {
	if id.tokenID == ([2]uint32{}) {
		return false, nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return true, change(r, r.tokens, id.tokenID, max(unix(until), r.tokens[id.tokenID]), now)
}

// InvalidateUser ends the sessions of those tokens of user that were issued
// before that time, or have no iat. The entry is kept as RevokeToken's is, and not
// weakened either.
func (r *Revocations) InvalidateUser(user string, issuedBefore, until, now time.Time) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	fresh := cutoff{issuedBefore.Unix(), unix(until)}
	if old, ok := r.before[user]; ok && now.Unix() < old.until {
		fresh = cutoff{max(fresh.issuedBefore, old.issuedBefore), max(fresh.until, old.until)}
	}
	return change(r, r.before, user, fresh, now)
}

// Entries returns how many revocations are kept.
func (r *Revocations) Entries() int {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return len(r.blocked) + len(r.tokens) + len(r.before)
}

func unix(until time.Time) int64 {
	if until.IsZero() {
		return forever
	}
	return until.Unix()
}

// change notes value under key in m, one of r's maps. It is called with mu held.
func change[K comparable, V int64 | cutoff](r *Revocations, m map[K]V, key K, value V, now time.Time) error {
	if _, known := m[key]; !known && len(m) >= r.most {
		for k, v := range m {
			if over(v) <= now.Unix() {
				delete(m, k)
			}
		}
		if len(m) >= r.most {
			return ErrRevocations
		}
	}
	m[key] = value
	r.changed()
	return nil
}

// over is until when an entry is kept.
func over[V int64 | cutoff](v V) int64 {
	switch v := any(v).(type) {
	case int64:
		return v
	case cutoff:
		return v.until
	}
	return forever
}
