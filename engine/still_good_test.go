package engine

import (
	"testing"
	"time"

	"weir/engine/session"
	"weir/security/token"
)

// messenger is a shard with a loop of nobody's and a session that is good for an hour.
func messenger(t testing.TB) (*shard, *conn) {
	t.Helper()
	sh, _ := crowd(1)
	at := time.Unix(1_800_000_000, 0)
	sh.wall, sh.revoked, sh.now = func() time.Time { return at }, token.NewRevocations(10), 1
	c := sh.conns.at(0)
	claims := &token.Claims{Subject: "alice", ID: "t1", ExpiresAt: at.Add(time.Hour).Unix(), IssuedAt: at.Unix()}
	if !sh.identify(c, claims) {
		t.Fatal("refused")
	}
	c.phase = phaseOpen
	c.session.Authenticated(claims, sh.rules)
	c.session.Opened(session.NewClientID())
	sh.expiry(c)
	return sh, c
}

// TestStillGoodDoesNotAllocate: what every message asks about expiry and revocation, and what the first message after a
// change of the revocations does.
func TestStillGoodDoesNotAllocate(t *testing.T) {
	if raceEnabled {
		t.Skip("skipped: allocations are counted without -race")
	}
	sh, c := messenger(t)
	if c.expireBy == 0 {
		t.Fatal("the session never ends")
	}
	if n := testing.AllocsPerRun(1000, func() {
		if !sh.stillGood(c) {
			t.Error("it ended")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if n := testing.AllocsPerRun(1000, func() {
		c.revocations++ // as if something had been revoked since
		if !sh.stillGood(c) {
			t.Error("it ended")
		}
	}); n != 0 {
		t.Errorf("%v allocations after a change", n)
	}
	c.waitings().shown = sh.revoked.Identify(&token.Claims{ID: "sha256:00", IssuedAt: 1})
	if n := testing.AllocsPerRun(1000, func() {
		c.revocations++
		if !sh.stillGood(c) {
			t.Error("it ended")
		}
	}); n != 0 {
		t.Errorf("%v allocations with a certificate", n)
	}
	sh.now = c.expireBy - 1
	if !sh.stillGood(c) || c.phase != phaseOpen {
		t.Error("it ends a nanosecond early")
	}
}

// BenchmarkStillGood is the price of row A4 for each message: a time and an epoch compared.
func BenchmarkStillGood(b *testing.B) {
	sh, c := messenger(b)
	for b.Loop() {
		if !sh.stillGood(c) {
			b.Fatal("it ended")
		}
	}
}

// BenchmarkStillGoodAfterARevocation is that price for the first message after somebody was revoked.
func BenchmarkStillGoodAfterARevocation(b *testing.B) {
	sh, c := messenger(b)
	if err := sh.revoked.Block("mallory", time.Time{}, sh.wall()); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		c.revocations = 0
		if !sh.stillGood(c) {
			b.Fatal("it ended")
		}
	}
}
