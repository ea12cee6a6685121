package token

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"
	"unsafe"
)

func at(seconds int64) time.Time { return time.Unix(seconds, 0) }

func TestRevocations(t *testing.T) {
	r := NewRevocations(100)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(r.Block("blocked", time.Time{}, at(0)))
	must(r.Block("for a while", at(1000), at(0)))
	must(r.Block("forgiven", time.Time{}, at(0)))
	r.Unblock("forgiven")
	r.Unblock("never blocked")
	must(r.RevokeToken("stolen", at(2000), at(0)))
	must(r.InvalidateUser("password changed", at(500), at(2000), at(0)))
	for _, c := range []struct {
		name   string
		claims Claims
		now    int64
		want   bool
	}{
		{"somebody", Claims{Subject: "alice", ID: "x", IssuedAt: 1}, 600, false},
		{"nobody", Claims{}, 600, false},
		{"blocked", Claims{Subject: "blocked"}, 600, true},
		{"blocked, much later", Claims{Subject: "blocked"}, 1 << 40, true},
		{"blocked for a while", Claims{Subject: "for a while"}, 999, true},
		{"and no longer", Claims{Subject: "for a while"}, 1000, false},
		{"forgiven", Claims{Subject: "forgiven"}, 600, false},
		{"stolen token", Claims{Subject: "alice", ID: "stolen"}, 1999, true},
		{"stolen token, after it was kept", Claims{Subject: "alice", ID: "stolen"}, 2000, false},
		{"old token of an invalidated user", Claims{Subject: "password changed", IssuedAt: 499}, 600, true},
		{"new token of that user", Claims{Subject: "password changed", IssuedAt: 500}, 600, false},
		{"that user's token without iat", Claims{Subject: "password changed"}, 600, true},
		{"that user's old token, after it was kept", Claims{Subject: "password changed", IssuedAt: 499}, 2000, false},
		{"iat far away", Claims{Subject: "password changed", IssuedAt: 1 << 40}, 600, false},
		{"iat below zero", Claims{Subject: "password changed", IssuedAt: -1}, 600, true},
	} {
		if got := r.Revoked(c.claims.Subject, r.Identify(&c.claims), at(c.now)); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

func TestEveryRevocationIsAnEpoch(t *testing.T) {
	r := NewRevocations(1)
	last := r.Epoch()
	if last == 0 {
		t.Error("the first epoch is 0, which a session holds that never looked")
	}
	for name, do := range map[string]func(){
		"block":      func() { _ = r.Block("u", time.Time{}, at(0)) },
		"unblock":    func() { r.Unblock("u") },
		"revoke":     func() { _ = r.RevokeToken("t", time.Time{}, at(0)) },
		"invalidate": func() { _ = r.InvalidateUser("u", at(1), time.Time{}, at(0)) },
	} {
		do()
		if now := r.Epoch(); now == last {
			t.Errorf("%s is no new epoch", name)
		} else {
			last = now
		}
	}
}

// TestRevocationsAreBounded: a full set refuses, drops nothing that is in
// force, and takes the room of what is over.
func TestRevocationsAreBounded(t *testing.T) {
	r := NewRevocations(3)
	for i := range 3 {
		if err := errors.Join(r.Block(fmt.Sprint(i), at(100), at(0)), r.RevokeToken(fmt.Sprint(i), at(100), at(0)),
			r.InvalidateUser(fmt.Sprint(i), at(50), at(100), at(0))); err != nil {
			t.Fatal(err)
		}
	}
	for name, err := range map[string]error{
		"block": r.Block("one more", at(100), at(99)), "revoke": r.RevokeToken("one more", at(100), at(99)),
		"invalidate": r.InvalidateUser("one more", at(50), at(100), at(99)),
	} {
		if !errors.Is(err, ErrRevocations) {
			t.Errorf("%s: %v, want ErrRevocations", name, err)
		}
	}
	if err := r.Block("2", at(200), at(99)); err != nil {
		t.Errorf("one that is known already: %v", err)
	}
	if n := r.Entries(); n != 9 {
		t.Errorf("%d entries, want 9", n)
	}
	if err := r.Block("one more", at(200), at(100)); err != nil {
		t.Errorf("when others are over: %v", err)
	}
	if !r.Revoked("2", Identity{}, at(150)) || !r.Revoked("one more", Identity{}, at(150)) || r.Revoked("1", Identity{}, at(150)) {
		t.Error("what is in force is not what was kept")
	}
}

func TestRevocationsAtTheSameTime(t *testing.T) {
	r := NewRevocations(1000)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for n := range 100 {
				user := fmt.Sprint(i, n)
				if err := r.Block(user, time.Time{}, at(0)); err != nil {
					t.Error(err)
				}
				if !r.Revoked(user, Identity{}, at(0)) {
					t.Errorf("%s is not blocked", user)
				}
				r.Unblock(user)
			}
		})
	}
	wg.Wait()
	if n := r.Entries(); n != 0 {
		t.Errorf("%d entries are left", n)
	}
}

func TestIdentityIsSmall(t *testing.T) {
	if n := unsafe.Sizeof(Identity{}); n > 16 {
		t.Errorf("%d bytes for each session", n)
	}
	r := NewRevocations(10)
	c := Claims{Subject: "alice", ID: "some-token", IssuedAt: 5}
	id := r.Identify(&c)
	if n := testing.AllocsPerRun(100, func() { r.Revoked("alice", id, at(0)) }); n != 0 {
		t.Errorf("a look allocates %v times", n)
	}
}

func BenchmarkRevoked(b *testing.B) {
	r := NewRevocations(1 << 16)
	for i := range 1 << 15 {
		_ = r.Block(fmt.Sprint(i), time.Time{}, at(0))
	}
	id := r.Identify(&Claims{ID: "x"})
	for b.Loop() {
		r.Revoked("alice", id, at(0))
	}
}

func BenchmarkEpochUnchanged(b *testing.B) {
	r := NewRevocations(1)
	seen := r.Epoch()
	for b.Loop() {
		if r.Epoch() != seen {
			b.Fatal("changed")
		}
	}
}

// TestRevocationsAreNotWeakened: an older or shorter order, which came late or
// twice, takes nothing back.
func TestRevocationsAreNotWeakened(t *testing.T) {
	r := NewRevocations(10)
	for _, err := range []error{
		r.InvalidateUser("u", at(1950), time.Time{}, at(0)), r.InvalidateUser("u", at(1000), at(3000), at(0)),
		r.RevokeToken("t", at(5000), at(0)), r.RevokeToken("t", at(3000), at(0)),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if !r.Revoked("u", r.Identify(&Claims{IssuedAt: 1900}), at(4000)) {
		t.Error("tokens issued before 1950 are good again")
	}
	if !r.Revoked("other", r.Identify(&Claims{ID: "t"}), at(4000)) {
		t.Error("the token is good again")
	}
	if err := r.InvalidateUser("late", at(100), at(200), at(0)); err != nil {
		t.Fatal(err)
	}
	if err := r.InvalidateUser("late", at(50), at(900), at(300)); err != nil { // the first is over by then
		t.Fatal(err)
	}
	if r.Revoked("late", r.Identify(&Claims{IssuedAt: 70}), at(400)) {
		t.Error("an entry that was over counts again")
	}
}
