package engine

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"weir/engine/broker"
)

// TestPolicyIsReloaded while readers are behind under another: whatever they were
// owed they get, or are told of, and nothing is left behind.
func TestPolicyIsReloaded(t *testing.T) {
	for _, order := range [][]string{
		{SlowDropNewest, SlowConflate, SlowDropOldest}, {SlowConflate, SlowDropNewest, SlowDisconnect},
		{SlowDisconnect, SlowDropOldest, SlowConflate}, {SlowDropOldest, SlowDropNewest, SlowConflate},
	} {
		t.Run(strings.Join(order, " "), func(t *testing.T) {
			namespaces := func(policy string) []Namespace {
				ns := Namespace{Name: "feeds", SlowConsumer: policy}
				if policy != SlowDisconnect { // under which the bound is not reached
					ns.MaxOutboxBytes = 16 << 10
				}
				if policy == SlowConflate {
					ns.ConflateKey = "/symbol"
				}
				return []Namespace{{Name: "fill"}, ns}
			}
			s := slowly(t, namespaces(order[0])[1])
			all := []*sleeper{s.sleeper(plainSub, "p"), s.sleeper(feedSub, "f"), s.sleeper(positionedSub, "o")}
			m := s.market(10)
			for _, policy := range order {
				s.reload(func(cfg *Config) { cfg.Namespaces = namespaces(policy) })
				m.publish(300)
				s.spread()
				s.wantArrears()
				s.of("p", func(_ *shard, c *conn) {
					got := c.session.Sub(c.session.Find("feeds:a")).Channel.Policy().Overflow
					if want := dropLabels[got]; policy != SlowDisconnect && policy != SlowConflate && want != policy {
						t.Errorf("policy %q, want %q", want, policy)
					}
				})
			}
			for _, z := range all {
				s.wake(z)
			}
			m.publish(1)
			for _, z := range all[:2] {
				offsets(t, z.toldUntil("pub", m.last))
			}
			s.wantArrears()
			s.wantNothingLeft(all...)
		})
	}
}

// TestPatternsMissWithoutNotice: what comes through a pattern has no position, so
// what is dropped of it is counted and no more.
func TestPatternsMissWithoutNotice(t *testing.T) {
	for _, policy := range []string{SlowDropOldest, SlowDropNewest} {
		s := slowly(t, dropping(policy))
		z := s.sleeper(patternSub, "z")
		s.publishSlow()
		s.wake(z)
		s.publish("feeds:a", `"last"`)
		got := 0
		eventually(t, "the last publication", func() bool {
			list := z.told()
			got = len(list)
			return got > 0 && list[got-1] == seen{"pub", 0, `"last"`}
		})
		s.wantDropped(policy, slowPublications+1-got)
		if n := s.shared.hub.Subscribers(patternSub); n != 1 {
			t.Errorf("%s: %d subscribers, want the one", policy, n)
		}
		s.wantNothingLeft(z)
	}
}

// TestNothingLeftToChange: under drop_oldest all that a delta could be applied to
// was taken out.
func TestNothingLeftToChange(t *testing.T) {
	ns := dropping(SlowDropOldest)
	ns.AllowDelta, ns.DeltaPublish, ns.MaxOutboxBytes = true, true, 10<<10
	s := slowly(t, ns)
	z := s.sleeper(deltaSub, "z")
	rng := rand.New(rand.NewPCG(13, 14))
	constant := strings.Repeat("x", 3400)
	published := []string{""}
	for range 40 {
		changing := make([]byte, 4000)
		for i := range changing {
			changing[i] = byte('a' + rng.IntN(26))
		}
		data := fmt.Sprintf(`"%s%s"`, constant, changing)
		published = append(published, data)
		s.publish("feeds:a", data)
	}
	s.spread()
	s.wake(z)
	for _, e := range z.toldUntil("pub", 40) {
		if e.data != published[e.offset] {
			t.Errorf("offset %d is %.20q…", e.offset, e.data)
		}
	}
	s.wantNothingLeft(z)
}

// TestNoAllocationUnderPolicies: for publications that are queued by class, that are
// passed over, and that take the place of others.
func TestNoAllocationUnderPolicies(t *testing.T) {
	if raceEnabled {
		t.Skip("skipped: the race detector allocates")
	}
	for _, policy := range []string{SlowDropOldest, SlowDropNewest, SlowConflate} {
		ns := Namespace{SlowConsumer: policy, MaxOutboxBytes: 64 << 10}
		if policy == SlowConflate {
			ns.ConflateKey = "/k"
		}
		s := slowly(t, ns, alone)
		s.onLoops(func(sh *shard) {
			for range 20 { // no socket takes anything
				if _, e := sh.join(socketless(sh), "feeds:a", nil); e != nil {
					t.Fatal(e.Message)
				}
			}
			d := sh.hub.Encode(sh.conns.at(firstOpen(sh)).session.Sub(0).Channel, &broker.Publication{Message: broker.Message{Data: []byte(`{"k":1}`)}})
			deliver := func() {
				sh.spreadOut(&d)
				sh.dirty = sh.dirty[:0]
			}
			for range 10_000 { // into the bound
				deliver()
			}
			if n := testing.AllocsPerRun(1000, deliver); n != 0 {
				t.Errorf("%s: %v allocations for 20 subscribers", policy, n)
			}
			sh.conns.each(func(c *conn) {
				sh.leave(c, 0)
				sh.queued -= int64(c.out.Bytes())
				c.out.Reset(&sh.blocks)
				sh.conns.give(c)
			})
			if sh.queued != 0 {
				t.Errorf("%s: %d bytes are counted and nobody waits for any", policy, sh.queued)
			}
		})
	}
}
