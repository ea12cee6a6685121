package engine

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"weir/engine/broker"
	"weir/engine/hub"
	"weir/engine/stats"
)

// overfilled is a server of one shard whose channels of feeds keep so many
// publications.
func overfilled(t testing.TB, history int) *testServer {
	t.Helper()
	return start(t, func(c *Config) {
		c.Pollers, c.Limits.MaxOutboxBytes, c.Limits.PingInterval, c.Limits.OutboxBudget = 1, 64<<20, 0, 0
		ns := Namespace{Name: "feeds", AllowDelta: true, DeltaPublish: true}
		if history > 0 {
			ns.HistorySize, ns.HistoryTTL = history, time.Hour
		}
		c.Namespaces = []Namespace{ns, {Name: "fill"}}
	})
}

// readers of feeds:a, one of each kind, that read from the beginning.
func (s *testServer) readers() (all []*sleeper) {
	s.t.Helper()
	for i, kind := range []string{plainSub, positionedSub, serverSub, feedSub, deltaSub} {
		z := s.awake(kind, fmt.Sprint("r", i))
		s.wake(z)
		all = append(all, z)
	}
	return all
}

// flood publishes n to feeds:a while no loop turns.
func (s *testServer) flood(n int) {
	s.t.Helper()
	s.onLoops(func(*shard) {
		for range n {
			last, _, err := s.memory.History(s.t.Context(), "feeds:a", broker.Filter{})
			if err != nil {
				s.t.Fatal(err)
			}
			s.publish("feeds:a", quote(last.Offset+1))
		}
	})
}

// wantAll wants every offset up to last once, in order, and nothing else.
func (z *sleeper) wantAll(last uint64) {
	z.t.Helper()
	list := z.toldUntil("pub", last)
	for i, e := range list {
		if e.kind != "pub" || e.offset != uint64(i+1) || e.data != quote(e.offset) {
			z.t.Fatalf("%s: %+v in place %d", z.user, e, i+1)
		}
	}
}

// TestRefill: what a full inbox lost comes back from the history, behind what came
// before it and before what came after, each once, in every form; nobody is told
// anything.
func TestRefill(t *testing.T) {
	s := overfilled(t, refillPublications)
	all := s.readers()
	const lost = 1000
	var wg sync.WaitGroup
	wg.Go(func() { // meanwhile others come
		for i := range 10 {
			s.connected(t, sign(t, fmt.Sprint("guest", i), "feeds:*")).mustDo(`"subscribe":{"channel":"feeds:a"}`)
		}
	})
	for range 2 {
		s.flood(inboxEntries + lost)
		s.spread() // or what comes meanwhile is lost too, and too much
	}
	wg.Wait()
	s.flood(1)
	for _, z := range all {
		z.wantAll(2*(inboxEntries+lost) + 1)
	}
	if n, m := s.Server.stats.Total(stats.MailboxRefilled), s.dropped("inbox_full"); n != 2*lost || m != 0 {
		t.Errorf("%d came back, %d are counted as lost; want %d and none", n, m, 2*lost)
	}
	if n := s.Server.stats.Total(stats.MailboxBehind); n != 2 {
		t.Errorf("%d times behind, want 2", n)
	}
}

// TestRefillThatCannotBe: a run that is not whole in the history, or longer than a
// shard brings back, is told as ever; not to who came behind it.
func TestRefillThatCannotBe(t *testing.T) {
	for _, c := range []struct {
		name          string
		history, lost int
	}{
		{"no history", 0, 10}, {"too short a history", 999, 1000}, {"too long a run", 2 * refillPublications, refillPublications + 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := overfilled(t, c.history)
			all := s.readers()
			last := uint64(inboxEntries + c.lost)
			s.flood(int(last))
			for i, z := range all {
				switch {
				case z.feed:
					list := z.toldUntil("gap", last)
					if got := offsets(t, list); len(got) != inboxEntries || len(list) != inboxEntries+1 {
						t.Errorf("%d publications and %d things in all", len(got), len(list))
					}
				case i == 2:
					if code := z.closedWith(); code != 3010 {
						t.Errorf("the server's subscription: close %d, want 3010", code)
					}
				default:
					z.toldUntil("unsubscribe 2500", 0)
				}
			}
			if n, m := s.Server.stats.Total(stats.MailboxRefilled), s.dropped("inbox_full"); n != 0 || m != c.lost {
				t.Errorf("%d came back, %d are counted as lost; want none and %d", n, m, c.lost)
			}
		})
	}
}

// TestRefillBesideGaps: channels are refilled or not each by itself, within one
// bound for all; what is lost beside the stream is counted, and who came behind a
// gap is not told of it.
func TestRefillBesideGaps(t *testing.T) {
	s := overfilled(t, 2*refillPublications)
	jwt := sign(t, "u", "feeds:*", "fill:*")
	clients := map[string]*client{}
	for _, channel := range []string{"feeds:a", "feeds:b", "fill:c", "feeds:d"} {
		clients[channel] = s.connected(t, jwt)
		clients[channel].mustDo(`"subscribe":{"channel":"` + channel + `"}`)
	}
	s.onLoops(func(*shard) {
		for range inboxEntries {
			s.publish("feeds:d", "1")
		}
		for i := range refillPublications/2 + 1 { // either of a and b fits, not both
			s.publish("feeds:a", fmt.Sprint(i))
			s.publish("feeds:b", fmt.Sprint(i))
		}
		s.publish("fill:c", "1")
		s.api("publish", `{"channel":"feeds:d","data":"aside","skip_history":true}`)
	})
	s.publish("feeds:d", "2")
	for i := range uint64(inboxEntries) {
		clients["feeds:d"].wantPush(fmt.Sprintf(`"offset":%d}`, i+1))
	}
	clients["feeds:d"].wantPush(fmt.Sprintf(`"data":2,"offset":%d}`, inboxEntries+1))
	clients["fill:c"].wantPush(`"unsubscribe":{"code":2500`)
	refilled := 0
	for _, channel := range []string{"feeds:a", "feeds:b"} {
		s.publish(channel, `"end"`)
		if line := clients[channel].mustNext(); line == `{"push":{"channel":"`+channel+`","pub":{"data":0,"offset":1}}}` {
			refilled++
			for i := range uint64(refillPublications / 2) {
				clients[channel].wantPush(fmt.Sprintf(`"offset":%d}`, i+2))
			}
			clients[channel].wantPush(`"data":"end"`)
		} else if line != `{"push":{"channel":"`+channel+`","unsubscribe":{"code":2500,"reason":"insufficient state"}}}` {
			t.Errorf("%s", line)
		}
	}
	const each = refillPublications/2 + 1
	if n, m := s.Server.stats.Total(stats.MailboxRefilled), s.dropped("inbox_full"); refilled != 1 || n != each || m != each+2 {
		t.Errorf("%d channels and %d publications came back, %d are lost", refilled, n, m)
	}
}

// TestWhoCameBehindAGapStays: its subscription began with all of it.
func TestWhoCameBehindAGapStays(t *testing.T) {
	s := overfilled(t, 0)
	before, behind := s.connected(t, sign(t, "u", "feeds:*")), s.connected(t, sign(t, "v", "feeds:*"))
	before.mustDo(`"subscribe":{"channel":"feeds:a"}`)
	s.publishN("feeds:a", 5)
	behind.mustDo(`"subscribe":{"channel":"feeds:a"}`)
	to := broker.Position{Offset: 5, Epoch: s.epochOf("feeds:a")}
	s.onLoops(func(sh *shard) { // as if the inbox had been full when the last three came
		sh.conns.each(func(c *conn) {
			sh.fanout.taken.Behind = map[*hub.Channel]hub.Gap{c.session.Sub(0).Channel: {From: 3, To: to}}
		})
	})
	s.publish("feeds:a", "6")
	for range 5 {
		before.wantPush(`"pub"`)
	}
	before.wantPush(`"unsubscribe":{"code":2500`)
	behind.wantPush(`"data":6`)
}

// forgetful is a broker whose histories are not what they were.
type forgetful struct {
	broker.Broker
	answer func(run []broker.Publication) ([]broker.Publication, error)
}

func (b *forgetful) History(ctx context.Context, channel string, f broker.Filter) (broker.Position, []broker.Publication, error) {
	at, run, err := b.Broker.History(ctx, channel, f)
	if err != nil || f.Since == nil {
		return at, run, err
	}
	run, err = b.answer(run)
	return at, run, err
}

// TestRefillIsWholeOrNone: what the history answers is not the run that was lost.
func TestRefillIsWholeOrNone(t *testing.T) {
	for name, answer := range map[string]func([]broker.Publication) ([]broker.Publication, error){
		"nothing":            func([]broker.Publication) ([]broker.Publication, error) { return nil, nil },
		"an error":           func(run []broker.Publication) ([]broker.Publication, error) { return run, broker.ErrUnrecoverable },
		"the end is missing": func(run []broker.Publication) ([]broker.Publication, error) { return run[:len(run)-1], nil },
		"it begins too late": func(run []broker.Publication) ([]broker.Publication, error) { return append(run[1:], run[0]), nil },
		"the first is gone":  func(run []broker.Publication) ([]broker.Publication, error) { return run[1:], nil },
	} {
		t.Run(name, func(t *testing.T) {
			s := overfilled(t, 1000)
			s.shared.broker = &forgetful{s.shared.broker, answer}
			c := s.connected(t, sign(t, "u", "feeds:*"))
			c.mustDo(`"subscribe":{"channel":"feeds:a"}`)
			s.onLoops(func(*shard) {
				for range inboxEntries + 10 {
					s.publish("feeds:a", "1")
				}
			})
			for line := ""; !strings.Contains(line, `"unsubscribe":{"code":2500`); {
				if line = c.mustNext(); strings.Contains(line, fmt.Sprintf(`"offset":%d}`, inboxEntries+1)) {
					t.Fatalf("%s: behind a gap", line)
				}
			}
		})
	}
}
