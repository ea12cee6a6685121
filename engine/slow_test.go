package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"

	"weir/engine/broker"
	"weir/engine/stats"
	"weir/security/grant"
	"weir/security/token"
)

// slowly is a server whose namespace feeds treats slow consumers by ns; fill is
// there to make readers stand still.
func slowly(t testing.TB, ns Namespace, changes ...func(*Config)) *testServer {
	t.Helper()
	ns.Name = "feeds"
	return start(t, func(c *Config) {
		l := &c.Limits
		l.MessageSize, l.MaxOutboxBytes, l.OutboxBudget = 8<<10, 4<<20, 0
		l.PingInterval, l.WriteTimeout, l.ByteRate, l.MessageRate, l.SubscribeRate = 0, time.Hour, 0, 0, 0
		l.RecoveryMax = 100_000
		c.Namespaces = []Namespace{ns, {Name: "fill"}}
		for _, change := range changes {
			change(c)
		}
	})
}

// alone gives a server one loop.
func alone(c *Config) { c.Pollers = 1 }

// inOneTurn runs f while the only loop stands still: what it publishes is spread
// in one turn.
func (s *testServer) inOneTurn(f func()) {
	s.t.Helper()
	s.onLoops(func(*shard) { f() })
	s.spread()
}

// slowDial is dial for a client whose kernel takes next to nothing for it.
func (s *testServer) slowDial(path string, header http.Header) (*websocket.Conn, *net.TCPConn) {
	s.t.Helper()
	var tcp *net.TCPConn
	transport := &http.Transport{
		TLSClientConfig: s.tlsConfig(), DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := new(net.Dialer).DialContext(ctx, network, addr)
			if err == nil {
				tcp = conn.(*net.TCPConn)
				err = tcp.SetReadBuffer(128 << 10)
			}
			return conn, err
		},
	}
	header.Set("Origin", testOrigin)
	ctx, cancel := context.WithTimeout(context.Background(), testWait)
	defer cancel()
	conn, _, err := websocket.Dial(ctx, s.url(path), &websocket.DialOptions{HTTPClient: &http.Client{Transport: transport}, HTTPHeader: header})
	if err != nil {
		s.t.Fatal(err)
	}
	conn.SetReadLimit(32 << 20)
	s.t.Cleanup(func() { _ = conn.CloseNow() })
	return conn, tcp
}

// kinds of subscriptions to feeds:a, as the tests of the policies tell them apart.
const (
	plainSub      = "plain"
	positionedSub = "positioned"
	serverSub     = "by the server"
	feedSub       = "/feed"
	deltaSub      = "with deltas, also to feeds:b"
	patternSub    = "feeds:*"
	byServerSub   = "feeds:*, by the server"
)

// sleeper is a subscriber to feeds:a, and to a channel of its own that keeps its
// socket full, which reads nothing until its test does.
type sleeper struct {
	*client
	tcp    *net.TCPConn
	feed   bool
	filler string
	user   string

	deltas *reader // of deltaSub; read by one goroutine

	ended  chan struct{}
	mu     sync.Mutex
	events []seen // guarded by mu
	err    error  // guarded by mu until ended
}

// sleeper connects one and fills its socket.
func (s *testServer) sleeper(kind, user string) *sleeper {
	s.t.Helper()
	z := s.awake(kind, user)
	data := []byte(`"` + strings.Repeat("x", 8000) + `"`)
	// Full is when nothing was taken of the last rounds: a kernel that has said no
	// may yet find room for some more.
	const round, rounds = 8, 5
	for waiting, still := 0, 0; still < rounds; {
		for range round {
			if _, _, err := s.Publish(s.t.Context(), z.filler, data); err != nil {
				s.t.Fatal(err)
			}
		}
		s.spread()
		before := waiting
		s.of(user, func(_ *shard, c *conn) { waiting = c.out.Len() })
		if still++; waiting != before+round {
			still = 0
		}
	}
	return z
}

// awake connects one whose socket is empty.
func (s *testServer) awake(kind, user string) *sleeper {
	s.t.Helper()
	z := &sleeper{user: user, filler: "fill:" + user, feed: kind == feedSub}
	claims := token.SignClaims{Subject: user, ExpiresAt: time.Now().Add(time.Hour).Unix(),
		Caps: []grant.Capability{{Channels: []string{"feeds:*", "fill:*"}, Match: "wildcard", Allow: []string{"sub"}}}}
	switch kind {
	case serverSub:
		claims.Channels = []string{"feeds:a"}
	case byServerSub:
		claims.Channels = []string{patternSub}
	}
	jwt := signClaims(s.t, claims)
	if z.feed {
		ws, tcp := s.slowDial(pathFeed+"?channel=feeds:a&channel="+z.filler, bearer(jwt))
		z.client, z.tcp = &client{t: s.t, ws: ws}, tcp
	} else {
		ws, tcp := s.slowDial(pathProtocol, http.Header{})
		z.client, z.tcp = &client{t: s.t, ws: ws}, tcp
		z.mustDo(`"connect":{"token":"` + jwt + `"}`)
		z.mustDo(`"subscribe":{"channel":"` + z.filler + `"}`)
		switch kind {
		case plainSub:
			z.mustDo(`"subscribe":{"channel":"feeds:a"}`)
		case positionedSub:
			z.mustDo(`"subscribe":{"channel":"feeds:a","positioned":true,"recoverable":true}`)
		case patternSub:
			z.mustDo(`"subscribe":{"channel":"feeds:*","positioned":true}`)
		case deltaSub:
			z.deltas = new(reader)
			z.mustDo(`"subscribe":{"channel":"feeds:a"` + withDelta + `}`)
			z.mustDo(`"subscribe":{"channel":"feeds:b"` + withDelta + `}`)
		}
	}
	return z
}

// of runs f with the connection of a user, on its loop.
func (s *testServer) of(user string, f func(*shard, *conn)) {
	s.t.Helper()
	s.onLoops(func(sh *shard) {
		sh.conns.each(func(c *conn) {
			if c.seated && c.session.User() == user {
				f(sh, c)
			}
		})
	})
}

// spread waits until all that was published is in the outboxes or was dropped.
func (s *testServer) spread() {
	s.t.Helper()
	eventually(s.t, "everything being spread", func() bool {
		var waiting atomic.Bool
		s.onLoops(func(sh *shard) {
			if sh.fanout.next < len(sh.fanout.taken.Deliveries) || len(sh.fanout.refills) > 0 || sh.inbox.Len() > 0 {
				waiting.Store(true)
			}
		})
		return !waiting.Load()
	})
	s.onLoops(func(*shard) {}) // the turn is over
}

// seen is what a subscriber was told of feeds:a.
type seen struct {
	kind   string // pub, gap, unsubscribe
	offset uint64
	data   string
}

// wake has z read from now on, and waits until the server has nothing left for it,
// or has closed it.
func (s *testServer) wake(z *sleeper) {
	s.t.Helper()
	_ = z.tcp.SetReadBuffer(4 << 20)
	z.ended = make(chan struct{})
	go func() {
		defer close(z.ended)
		for {
			line, err := z.next()
			z.mu.Lock()
			if err != nil {
				z.err = err
				z.mu.Unlock()
				return
			}
			if e, ok := z.parse(line); ok {
				z.events = append(z.events, e)
			}
			z.mu.Unlock()
		}
	}()
	s.t.Cleanup(func() {
		_ = z.ws.CloseNow()
		<-z.ended
	})
	eventually(s.t, "the reader being level", func() bool {
		level := true
		s.of(z.user, func(_ *shard, c *conn) {
			level = c.out.Len() == 0 && c.Unsent() == 0 && c.control.len() == 0 && !c.behind
		})
		return level
	})
}

// told is what z was told so far.
func (z *sleeper) told() []seen {
	z.mu.Lock()
	defer z.mu.Unlock()
	return slices.Clone(z.events)
}

// toldUntil waits until that is the last that z was told, and returns all of it.
func (z *sleeper) toldUntil(kind string, offset uint64) []seen {
	z.t.Helper()
	last := seen{}
	eventually(z.t, fmt.Sprintf("%s %d", kind, offset), func() bool {
		if list := z.told(); len(list) > 0 {
			last = list[len(list)-1]
		}
		return last.kind == kind && last.offset == offset
	})
	return z.told()
}

// closedWith waits for the end of the connection and returns its code.
func (z *sleeper) closedWith() int {
	<-z.ended
	return int(websocket.CloseStatus(z.err))
}

func (z *sleeper) parse(line string) (seen, bool) {
	z.t.Helper()
	var m struct {
		Channel string
		Gap     bool
		Offset  uint64
		Data    json.RawMessage
		Push    struct {
			Channel     string
			Pub         *deltaPub
			Unsubscribe *struct{ Code int }
		}
	}
	if err := json.Unmarshal([]byte(line), &m); err != nil {
		z.t.Fatalf("%.100q: %v", line, err)
	}
	switch {
	case m.Channel == "feeds:a" && m.Gap:
		return seen{"gap", m.Offset, ""}, true
	case m.Channel == "feeds:a":
		return seen{"pub", m.Offset, string(m.Data)}, true
	case m.Push.Channel == "feeds:a" && m.Push.Pub != nil && z.deltas != nil:
		whole, err := z.deltas.take(m.Push.Pub)
		if err != nil {
			z.t.Errorf("offset %d: %v", m.Push.Pub.Offset, err)
		}
		return seen{"pub", m.Push.Pub.Offset, whole}, true
	case (m.Push.Channel == "feeds:a" || m.Push.Channel == patternSub) && m.Push.Pub != nil:
		return seen{"pub", m.Push.Pub.Offset, string(m.Push.Pub.Data)}, true
	case m.Push.Channel == "feeds:a" && m.Push.Unsubscribe != nil:
		return seen{fmt.Sprint("unsubscribe ", m.Push.Unsubscribe.Code), 0, ""}, true
	}
	return seen{}, false
}

// offsets are those of the publications among events, which must grow.
func offsets(t testing.TB, list []seen) (all []uint64) {
	t.Helper()
	for _, e := range list {
		if e.kind != "pub" || e.offset == 0 { // 0 is no part of the stream
			continue
		}
		if len(all) > 0 && e.offset <= all[len(all)-1] {
			t.Fatalf("offset %d behind %d", e.offset, all[len(all)-1])
		}
		all = append(all, e.offset)
	}
	return all
}

func (s *testServer) dropped(reason string) int {
	return int(s.stats.LabelTotal(stats.OutboxDrops, reason))
}

// wantDropped waits for a counter and checks that nothing leaks: once nobody is
// connected no loop has anything queued or owed.
func (s *testServer) wantDropped(reason string, want int) {
	s.t.Helper()
	eventually(s.t, fmt.Sprintf("%d publications being counted as %s", want, reason), func() bool {
		return s.dropped(reason) >= want
	})
	if got := s.dropped(reason); got != want {
		s.t.Errorf("%d publications are counted as %s, want %d", got, reason, want)
	}
}

// wantNothingLeft ends these readers: a loop without connections has nothing
// queued or owed.
func (s *testServer) wantNothingLeft(all ...*sleeper) {
	s.t.Helper()
	for _, z := range all {
		_ = z.ws.CloseNow()
	}
	eventually(s.t, "every connection being gone", func() bool { return s.connections() == 0 })
	s.onLoops(func(sh *shard) {
		if sh.queued != 0 {
			s.t.Errorf("%d bytes are counted and nobody waits for any", sh.queued)
		}
	})
	if n := s.shared.hub.Channels(); n != 0 {
		s.t.Errorf("%d channels are left", n)
	}
}

const (
	slowPublications = 500
	slowData         = `"yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy"`
)

// publishSlow publishes to feeds:a what does not fit into max_outbox_bytes.
func (s *testServer) publishSlow() {
	s.t.Helper()
	for range slowPublications {
		s.publish("feeds:a", slowData)
	}
	s.spread()
}

// dropping is a namespace that drops, with room for some 100 publications.
func dropping(policy string) Namespace {
	return Namespace{SlowConsumer: policy, MaxOutboxBytes: 16 << 10, HistorySize: 1000, HistoryTTL: time.Hour}
}

// TestDropNewest: what waits is kept, in order; what follows is passed over until
// there is room again.
func TestDropNewest(t *testing.T) {
	s := slowly(t, dropping(SlowDropNewest))
	z, f := s.sleeper(plainSub, "z"), s.sleeper(feedSub, "f")
	s.publishSlow()
	for _, x := range []*sleeper{z, f} {
		s.of(x.user, func(_ *shard, c *conn) {
			if n := c.out.Held(1); n > 16<<10 || n < 15<<10 {
				t.Errorf("%s: %d bytes of feeds wait, at most 16 KiB may", x.user, n)
			}
		})
		s.wake(x)
	}
	last, _ := s.publish("feeds:a", `"last"`)
	missed := 0
	for _, x := range []*sleeper{z, f} {
		list := x.toldUntil("pub", last)
		got := offsets(t, list)
		for i, offset := range got[:len(got)-1] {
			if offset != uint64(i+1) {
				t.Fatalf("%s: offset %d where %d was due", x.user, offset, i+1)
			}
		}
		missed += int(last) - len(got)
		notices := len(list) - len(got)
		if x.feed && (notices != 1 || list[len(list)-2] != seen{"gap", last - 1, ""}) || !x.feed && notices != 0 {
			t.Fatalf("%s: %d notices, and %+v before the last publication", x.user, notices, list[len(list)-2])
		}
	}
	s.wantDropped("drop_newest", missed)
	s.wantNothingLeft(z, f)
}

// TestDropOldest: the newest are kept, in order. /feed is told of the others
// before the first that it gets.
func TestDropOldest(t *testing.T) {
	s := slowly(t, dropping(SlowDropOldest))
	z, f := s.sleeper(plainSub, "z"), s.sleeper(feedSub, "f")
	s.publishSlow()
	missed := 0
	for _, x := range []*sleeper{z, f} {
		s.of(x.user, func(_ *shard, c *conn) {
			if n := c.out.Held(1); n > 16<<10 || n < 11<<10 {
				t.Errorf("%s: %d bytes of feeds wait, at most 16 KiB may", x.user, n)
			}
		})
		s.wake(x)
		list := x.toldUntil("pub", slowPublications)
		got := offsets(t, list)
		missed += slowPublications - len(got)
		for i, offset := range got {
			if want := uint64(slowPublications - len(got) + i + 1); offset != want {
				t.Fatalf("%s: offset %d where %d was due", x.user, offset, want)
			}
		}
		if notices := len(list) - len(got); x.feed && (notices != 1 || list[0] != seen{"gap", got[0] - 1, ""}) || !x.feed && notices != 0 {
			t.Fatalf("%s: %d notices, the first thing is %+v", x.user, notices, list[0])
		}
	}
	s.wantDropped("drop_oldest", missed)
	s.wantNothingLeft(z, f)
}

// TestDroppingEndsPositions: who goes by positions gets up to what was dropped,
// then an unsubscribe push 2500 and no more; subscribed again, history brings the
// rest. To what the server subscribed it to a client would not come back: that
// costs the connection.
func TestDroppingEndsPositions(t *testing.T) {
	for _, policy := range []string{SlowDropOldest, SlowDropNewest} {
		t.Run(policy, func(t *testing.T) {
			s := slowly(t, dropping(policy), alone)
			z, other := s.sleeper(positionedSub, "z"), s.sleeper(serverSub, "other")
			s.inOneTurn(func() {
				for range slowPublications {
					s.publish("feeds:a", slowData)
				}
			})
			if n := s.shared.hub.Subscribers("feeds:a"); n != 0 {
				t.Fatalf("%d subscribers are left", n)
			}
			s.wake(z)
			list := z.toldUntil("unsubscribe 2500", 0)
			got := offsets(t, list)
			if len(list) != len(got)+1 || list[len(list)-1].kind != "unsubscribe 2500" {
				t.Fatalf("%d publications, %+v", len(got), list[max(0, len(list)-3):])
			}
			for i, offset := range got {
				if offset != uint64(i+1) {
					t.Fatalf("offset %d where %d was due: a client takes that for its position", offset, i+1)
				}
			}
			s.wake(other)
			if code := other.closedWith(); code != 3010 {
				t.Errorf("the server's subscription: close %d, want 3010", code)
			}
			s.wantDropped(policy, 2*slowPublications-len(got)-len(offsets(t, other.told())))
			if n := s.stats.LabelTotal(stats.SlowConsumers, labelUnsubscribe); n != 1 {
				t.Errorf("%d subscriptions ended, want 1", n)
			}
			c := s.connected(t, sign(t, "again", "feeds:*"))
			if back := c.subscribe("feeds:a", fmt.Sprintf(`,"recoverable":true,"recover":true,"offset":%d`, len(got))).Subscribe; !back.Recovered || len(back.Publications) != slowPublications-len(got) {
				t.Errorf("%d came back, recovered %v", len(back.Publications), back.Recovered)
			}
			_ = c.ws.CloseNow()
			s.wantNothingLeft(z, other)
		})
	}
}

// TestOwnBoundOfANamespace: over max_outbox_bytes a connection is closed, though
// it may have far more waiting in all; whatever it subscribes by.
func TestOwnBoundOfANamespace(t *testing.T) {
	s := slowly(t, Namespace{MaxOutboxBytes: 16 << 10})
	var all []*sleeper
	for _, kind := range []string{plainSub, positionedSub, serverSub, feedSub} {
		all = append(all, s.sleeper(kind, fmt.Sprint("u", len(all))))
	}
	awake := s.connected(t, sign(t, "awake", "feeds:*"))
	awake.mustDo(`"subscribe":{"channel":"feeds:a"}`)
	for i := range 50 {
		s.publish("feeds:a", `"`+strings.Repeat("y", 500)+`"`)
		if line := awake.mustNext(); !strings.Contains(line, fmt.Sprintf(`"offset":%d}`, i+1)) {
			t.Fatalf("the reader that is awake got %s", line)
		}
	}
	for _, z := range all {
		s.wake(z)
		if code := z.closedWith(); code != 3008 {
			t.Errorf("%s: close %d, want 3008", z.user, code)
		}
	}
	if n := s.stats.LabelTotal(stats.SlowConsumers, labelDisconnect); n != uint64(len(all)) {
		t.Errorf("%d slow consumers, want %d", n, len(all))
	}
	_ = awake.ws.CloseNow()
	s.wantNothingLeft(all...)
}

// TestDroppingWithDeltas: what comes after something that was dropped stands by
// itself.
func TestDroppingWithDeltas(t *testing.T) {
	for _, policy := range []string{SlowDropOldest, SlowDropNewest, SlowConflate} {
		t.Run(policy, func(t *testing.T) {
			ns := dropping(policy)
			ns.AllowDelta, ns.DeltaPublish, ns.HistorySize, ns.HistoryTTL = true, true, 0, 0
			if policy == SlowConflate {
				ns.ConflateKey = "/symbol"
			}
			s := slowly(t, ns)
			z := s.sleeper(deltaSub, "z")
			last := uint64(0)
			publish := func(n int) {
				for range n {
					last, _ = s.publish("feeds:a", quote(last+1))
				}
				s.spread()
			}
			publish(1000)
			s.wake(z)
			publish(5)
			list := z.toldUntil("pub", last)
			for _, e := range list {
				if e.data != quote(e.offset) {
					t.Fatalf("offset %d is %s", e.offset, e.data)
				}
			}
			if n := len(offsets(t, list)); n < 5 || n > 900 || z.deltas.deltas < 4 {
				t.Errorf("%d publications came, %d of them as deltas", n, z.deltas.deltas)
			}
			s.wantNothingLeft(z)
		})
	}
}

// TestDroppingWithDeltasBehindAJoin: a join that waits is no publication, so it is
// not what stands by itself behind what was dropped.
func TestDroppingWithDeltasBehindAJoin(t *testing.T) {
	ns := dropping(SlowDropOldest)
	ns.AllowDelta, ns.DeltaPublish, ns.HistorySize, ns.HistoryTTL, ns.JoinLeave = true, true, 0, 0, true
	s := slowly(t, ns)
	z := s.sleeper(deltaSub, "z")
	waiting := 0
	s.of("z", func(sh *shard, c *conn) {
		sh.watch(c, c.session.Find("feeds:a")) // as by "join_leave":true
		waiting = c.out.Len()
	})
	s.connected(t, sign(t, "other", "feeds:*")).subscribe("feeds:a", "")
	eventually(t, "the join waiting", func() bool {
		n := 0
		s.of("z", func(_ *shard, c *conn) { n = c.out.Len() })
		return n > waiting
	})
	s.publishQuotes(1000)
	s.wake(z)
	z.wantQuotes(s.publishQuotes(5))
}

// TestDroppingWithDeltasAfterReload: what was encoded before the namespace had a
// bound waits, older and newer than what is dropped.
func TestDroppingWithDeltasAfterReload(t *testing.T) {
	s := slowly(t, Namespace{AllowDelta: true, DeltaPublish: true})
	z := s.sleeper(deltaSub, "z")
	drop := func(policy string, most int) {
		s.reload(func(c *Config) { c.Namespaces[0].SlowConsumer, c.Namespaces[0].MaxOutboxBytes = policy, most })
	}
	s.publishQuotes(10)
	drop(SlowDropOldest, 16<<10)
	s.publishQuotes(10)
	drop(SlowDisconnect, 0)
	s.publishQuotes(10)
	drop(SlowDropOldest, 16<<10)
	s.publishQuotes(1000)
	if s.dropped("drop_oldest") == 0 {
		t.Fatal("nothing was dropped")
	}
	s.wake(z)
	z.wantQuotes(s.publishQuotes(5))
}

// TestNoticesAfterReload: of what is dropped from between publications that stay,
// a reader is told in its place.
func TestNoticesAfterReload(t *testing.T) {
	s := slowly(t, Namespace{})
	f := s.sleeper(feedSub, "f")
	for range 2 {
		s.reload(func(c *Config) { c.Namespaces[0].SlowConsumer, c.Namespaces[0].MaxOutboxBytes = SlowDropOldest, 16<<10 })
		s.publishQuotes(10)
		s.reload(func(c *Config) { c.Namespaces[0].SlowConsumer, c.Namespaces[0].MaxOutboxBytes = SlowDisconnect, 0 })
		s.publishQuotes(10)
	}
	s.reload(func(c *Config) { c.Namespaces[0].SlowConsumer, c.Namespaces[0].MaxOutboxBytes = SlowDropOldest, 16<<10 })
	s.publishQuotes(1000)
	s.wake(f)
	position, gaps := uint64(0), 0
	for _, e := range f.toldUntil("pub", s.publishQuotes(1)) {
		if e.offset <= position {
			t.Errorf("%s %d behind %d", e.kind, e.offset, position)
		}
		if e.kind == "pub" && e.offset != position+1 {
			t.Errorf("offset %d behind %d, and no notice", e.offset, position)
		}
		if e.kind == "gap" {
			gaps++
		}
		position = e.offset
	}
	if gaps == 0 {
		t.Error("nothing was dropped")
	}
}

// publishQuotes publishes so many to feeds:a, and returns the last one's offset.
func (s *testServer) publishQuotes(n int) (last uint64) {
	s.t.Helper()
	top, _, err := s.memory.History(s.t.Context(), "feeds:a", broker.Filter{})
	if err != nil {
		s.t.Fatal(err)
	}
	last = top.Offset
	for range n {
		last, _ = s.publish("feeds:a", quote(last+1))
	}
	s.spread()
	return last
}

// wantQuotes wants all that came up to the last to be what was published.
func (z *sleeper) wantQuotes(last uint64) {
	z.t.Helper()
	for _, e := range z.toldUntil("pub", last) {
		if e.data != quote(e.offset) {
			z.t.Fatalf("offset %d is %s", e.offset, e.data)
		}
	}
}
