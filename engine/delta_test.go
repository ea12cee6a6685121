package engine

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"weir/engine/broker"
	"weir/engine/delta"
	"weir/engine/hub"
	"weir/engine/outbox"
	"weir/engine/stats"
	"weir/engine/ws"
	"weir/security/grant"
	"weir/security/token"
)

// quotes is a server whose namespace feeds allows deltas and makes them of
// everything; news allows them and is asked; plain does not.
func quotes(t testing.TB, change func(*Config)) *testServer {
	t.Helper()
	return start(t, func(c *Config) {
		c.Namespaces = []Namespace{
			{Name: "feeds", AllowDelta: true, DeltaPublish: true, HistorySize: 10, HistoryTTL: time.Hour},
			{Name: "news", AllowDelta: true},
			{Name: "plain"},
		}
		if change != nil {
			change(c)
		}
	})
}

// quote is JSON that changes little from one price to the next.
func quote(price any) string {
	return fmt.Sprintf(`{"symbol":"ACME","venue":"XNYS","currency":"USD","note":"zażółć \"gęślą\" 😀","price":"%v"}`, price)
}

// push is a publication as a client reads it.
type push struct {
	Push struct {
		Channel string
		Pub     deltaPub
	}
}

type deltaPub struct {
	Offset uint64
	Data   json.RawMessage
	Delta  bool
}

// reader is a client's side of one subscription with deltas.
type reader struct {
	before []byte
	deltas int
}

// take returns the text of a publication, and makes it what the next one
// changes.
func (r *reader) take(p *deltaPub) (string, error) {
	var text string
	if err := json.Unmarshal(p.Data, &text); err != nil {
		return "", fmt.Errorf("data is no string: %w", err)
	}
	whole := []byte(text)
	if p.Delta {
		var err error
		if whole, err = delta.Apply(nil, r.before, whole, 1<<20); err != nil {
			return "", fmt.Errorf("%q after %q: %w", text, r.before, err)
		}
		r.deltas++
	}
	r.before = whole
	return string(whole), nil
}

// wantDelta reads the next publication, which must be want, and a delta or not.
func (c *client) wantDelta(r *reader, want string, asDelta bool) {
	c.t.Helper()
	line := c.mustNext()
	var p push
	if err := json.Unmarshal([]byte(line), &p); err != nil {
		c.t.Fatalf("%s: %v", line, err)
	}
	got, err := r.take(&p.Push.Pub)
	if err != nil || got != want || p.Push.Pub.Delta != asDelta {
		c.t.Fatalf("%s, %v\nmakes %s\nwant  %s, as a delta: %v", line, err, got, want, asDelta)
	}
}

const withDelta = `,"delta":"fossil"`

// TestDeltas is a subscription's whole story: full, deltas, full again after it
// was ended and made anew.
func TestDeltas(t *testing.T) {
	s := quotes(t, nil)
	c := s.connected(t, sign(t, "u", "feeds:*"))
	if reply := c.mustDo(`"subscribe":{"channel":"feeds:a","delta":"fossil"}`); reply != `{"id":2,"subscribe":{"delta":true}}` {
		t.Fatalf("the reply is %s", reply)
	}
	var r reader
	for i := range 5 {
		s.publish("feeds:a", quote(i))
		c.wantDelta(&r, quote(i), i > 0)
	}
	other := `"` + strings.Repeat("another text ", 10) + `"`
	s.publish("feeds:a", other)
	c.wantDelta(&r, other, false)
	s.publish("feeds:a", quote(1))
	c.wantDelta(&r, quote(1), false)
	s.connected(t, sign(t, "v", "feeds:*")).mustDo(`"publish":{"channel":"feeds:a","data":` + quote(2) + `}`)
	c.wantDelta(&r, quote(2), true) // with who published beside it

	c.mustDo(`"unsubscribe":{"channel":"feeds:a"}`)
	s.publish("feeds:a", quote(3))
	c.mustDo(`"subscribe":{"channel":"feeds:a","delta":"fossil"}`)
	for i := 4; i < 6; i++ {
		s.publish("feeds:a", quote(i))
		c.wantDelta(&r, quote(i), i > 4)
	}
}

// TestDeltaIsNegotiated: by the namespace and the subscriber; what is no delta
// stays as it was.
func TestDeltaIsNegotiated(t *testing.T) {
	s := quotes(t, nil)
	c := s.connected(t, sign(t, "u", "*"))
	for _, sub := range []struct {
		channel, more string
		negotiated    bool
	}{
		{"feeds:a", withDelta, true}, {"news:a", withDelta, true}, {"plain:a", withDelta, false},
		{"feeds:b", "", false}, {"feeds:c", `,"delta":"other"`, false}, {"feeds:d", `,"delta":null`, false},
	} {
		reply := c.mustDo(`"subscribe":{"channel":"` + sub.channel + `"` + sub.more + `}`)
		if got := strings.Contains(reply, `"delta":true`); got != sub.negotiated {
			t.Errorf("%s%s: %s, want it negotiated: %v", sub.channel, sub.more, reply, sub.negotiated)
		}
		for i := range 2 {
			s.publish(sub.channel, quote(i))
			if line := c.mustNext(); strings.Contains(line, `"data":"`) != sub.negotiated {
				t.Errorf("%s%s: %s", sub.channel, sub.more, line)
			}
		}
	}
	if reply := c.mustDo(`"subscribe":{"channel":"feeds:*"` + withDelta + `}`); strings.Contains(reply, "delta") {
		t.Errorf("a pattern: %s; its publications come from many channels", reply)
	}
}

// TestDeltaByWish: in a namespace without delta_publish the publisher says it,
// each time.
func TestDeltaByWish(t *testing.T) {
	s := quotes(t, nil)
	c := s.connected(t, sign(t, "u", "news:*"))
	c.subscribe("news:a", withDelta)
	var r reader
	for i, wish := range []string{"", "", `,"delta":true`, `,"delta":true`, `,"delta":false`, `,"delta":true`} {
		s.api("publish", `{"channel":"news:a","data":`+quote(i)+wish+`}`)
		c.wantDelta(&r, quote(i), i > 0 && strings.Contains(wish, "true"))
	}
	s.api("broadcast", `{"channels":["news:a","news:b"],"delta":true,"data":`+quote(9)+`}`)
	c.wantDelta(&r, quote(9), true)
}

// TestFormsOnOneChannel: who takes deltas, who does not, /feed, who was
// subscribed by the server, and who reads the history: each in his form.
func TestFormsOnOneChannel(t *testing.T) {
	s := quotes(t, nil)
	jwt := sign(t, "u", "feeds:*")
	plain, deltas, feed := s.connected(t, jwt), s.connected(t, jwt), s.feed(t, jwt, "channel=feeds:a")
	server := s.client(t)
	server.mustDo(`"connect":{"token":"` + signClaims(t, token.SignClaims{Subject: "v", ExpiresAt: time.Now().Add(time.Hour).Unix(), Channels: []string{"feeds:a"},
		Caps: []grant.Capability{{Channels: []string{"feeds:*"}, Match: "wildcard", Allow: []string{"hst"}}}}) + `"}`)
	plain.subscribe("feeds:a", "")
	deltas.subscribe("feeds:a", withDelta)
	var r reader
	for i := range 3 {
		s.publish("feeds:a", quote(i))
		deltas.wantDelta(&r, quote(i), i > 0)
		want := fmt.Sprintf(`{"push":{"channel":"feeds:a","pub":{"data":%s,"offset":%d}}}`, quote(i), i+1)
		for _, c := range []*client{plain, server} {
			if line := c.mustNext(); line != want {
				t.Errorf("%s, want %s", line, want)
			}
		}
		if m := feed.want("feeds:a", false, uint64(i+1)); string(m.Data) != quote(i) {
			t.Errorf("/feed: %s", m.Data)
		}
	}
	if reply := server.mustDo(`"history":{"channel":"feeds:a","limit":2}`); strings.Count(reply, `"data":{`) != 2 || strings.Contains(reply, "delta") {
		t.Errorf("the history is %s", reply)
	}
	// Several subscriptions of both forms on one connection, which change their numbers.
	for i := range 6 {
		deltas.subscribe(fmt.Sprint("feeds:", i), []string{"", withDelta}[i%2])
	}
	for i := range 5 {
		deltas.mustDo(fmt.Sprintf(`"unsubscribe":{"channel":"feeds:%d"}`, i))
	}
	s.publish("feeds:a", quote(7))
	deltas.wantDelta(&r, quote(7), true)
	_ = deltas.ws.CloseNow()
	eventually(t, "the channel's other subscribers", func() bool { return s.shared.hub.Subscribers("feeds:a") == 3 })
	s.publish("feeds:a", quote(8))
	plain.mustNext()
	if line := plain.mustNext(); !strings.Contains(line, `"price":"8"`) {
		t.Errorf("%s after the other has left", line)
	}
}

// TestDeltaRecovery: what was missed comes in full, as text, and the next one
// changes the last of it. Who missed nothing, or lost it, begins with a full one.
func TestDeltaRecovery(t *testing.T) {
	s := quotes(t, nil)
	jwt := sign(t, "u", "feeds:*")
	held := s.connected(t, jwt) // makes the server keep the last one
	held.subscribe("feeds:a", withDelta)
	var epoch string
	for i := range 15 {
		_, epoch = s.publish("feeds:a", quote(i))
	}
	top := 15
	for _, c := range []struct {
		name      string
		missed    int
		recovered bool
	}{{"three", 3, true}, {"nothing", 0, true}, {"more than is kept", 11, false}, {"all that is kept", 10, true}} {
		cl := s.connected(t, jwt)
		from := top - c.missed
		got := cl.subscribe("feeds:a", fmt.Sprintf(`,"recover":true,"recoverable":true,"offset":%d,"epoch":"%s"`+withDelta, from, epoch)).Subscribe
		if got.Recovered != c.recovered || c.recovered && len(got.Publications) != c.missed {
			t.Fatalf("%s: recovered %v with %d", c.name, got.Recovered, len(got.Publications))
		}
		var r reader
		for i, p := range got.Publications {
			if text, err := r.take(&deltaPub{Offset: p.Offset, Data: p.Data}); err != nil || text != quote(from+i) {
				t.Fatalf("%s: offset %d is %s, %v", c.name, p.Offset, text, err)
			}
		}
		for i := range 2 {
			s.publish("feeds:a", quote(top)) // under offset top+1
			cl.wantDelta(&r, quote(top), i > 0 || c.recovered && c.missed > 0)
			top++
		}
		_ = cl.ws.CloseNow()
	}
}

// TestDeltaOfTheNewest: in a cache channel a subscriber is brought the newest, and
// the next one changes that; by subscription token as by grant.
func TestDeltaOfTheNewest(t *testing.T) {
	s := quotes(t, func(c *Config) { c.Namespaces[0].RecoverLatest = true })
	s.connected(t, sign(t, "u", "feeds:*")).subscribe("feeds:a", withDelta)
	for i := range 3 {
		s.publish("feeds:a", quote(i))
	}
	jwt, err := token.Sign(testSecret, token.SignClaims{Subject: "v", Channel: "feeds:a", ExpiresAt: time.Now().Add(time.Hour).Unix()})
	if err != nil {
		t.Fatal(err)
	}
	for i, by := range []string{"", `,"token":"` + jwt + `"`} {
		c := s.connected(t, sign(t, []string{"u", "v"}[i], "feeds:*"))
		got := c.subscribe("feeds:a", `,"recover":true,"recoverable":true`+withDelta+by).Subscribe
		if !got.Recovered || len(got.Publications) != 1 {
			t.Fatalf("recovered %v with %d, want the newest", got.Recovered, len(got.Publications))
		}
		var r reader
		if text, err := r.take(&deltaPub{Data: got.Publications[0].Data}); err != nil || text != quote(i+2) {
			t.Fatalf("%s, %v; want %s", text, err, quote(i+2))
		}
		s.publish("feeds:a", quote(i+3))
		c.wantDelta(&r, quote(i+3), true)
	}
}

// TestDeltaBesideTheStream: what is published without history comes in full, and
// so does the one behind it: who subscribed meanwhile may have met them in
// another order.
func TestDeltaBesideTheStream(t *testing.T) {
	s := quotes(t, nil)
	c := s.connected(t, sign(t, "u", "feeds:*"))
	c.subscribe("feeds:a", withDelta)
	var r reader
	for i, aside := range []bool{false, false, true, false, false, true, true, false, false} {
		s.api("publish", fmt.Sprintf(`{"channel":"feeds:a","skip_history":%v,"data":%s}`, aside, quote(i)))
		c.wantDelta(&r, quote(i), i == 1 || i == 4 || i == 8)
	}
}

// TestWhoGetsADelta: whose last one was the publication before, and nobody else.
func TestWhoGetsADelta(t *testing.T) {
	s := quotes(t, func(c *Config) { c.Pollers = 1 })
	c := s.connected(t, sign(t, "u", "feeds:*"))
	c.subscribe("feeds:a", withDelta)
	frame := func(text string) *outbox.Frame {
		return &outbox.Frame{Plain: ws.AppendFrame(nil, ws.OpText, []byte(text))}
	}
	for _, step := range []struct {
		name    string
		synced  bool     // from the beginning
		offsets []uint64 // each can be had as a delta; the subscriber stands at 10
		want    string   // of each: f in full, d as a delta, - not at all
	}{
		{"nothing before", false, []uint64{11, 12, 13}, "fdd"},
		{"the reply before", true, []uint64{11, 12}, "dd"},
		{"what it has already", true, []uint64{9, 10, 11}, "--d"},
		{"what it never had", false, []uint64{9, 10, 11, 12}, "--fd"},
		{"beside the stream", true, []uint64{11, 0, 12, 13}, "ddfd"},
		{"beside the stream, before what it has already", true, []uint64{0, 9, 10, 11, 12}, "d--fd"},
		{"beside the stream, after nothing", false, []uint64{0, 11, 12}, "ffd"},
	} {
		s.onLoops(func(sh *shard) {
			conn := sh.conns.at(firstOpen(sh))
			ch := conn.session.Subs()[0].Channel
			m := &ch.Members(0, hub.Delta).All()[0]
			m.From, m.Synced = 10, step.synced
			got := ""
			for _, offset := range step.offsets {
				before := conn.out.Bytes()
				sh.spreadOut(&hub.Delivery{Channel: ch, Position: broker.Position{Offset: offset},
					Frames: [hub.Forms]*outbox.Frame{hub.Delta: frame("in full")}, Delta: frame("d")})
				got += map[int]string{0: "-", 3: "d", 9: "f"}[conn.out.Bytes()-before]
			}
			if got != step.want {
				t.Errorf("%s: %v: %s, want %s", step.name, step.offsets, got, step.want)
			}
			sh.sweep()
		})
	}
}

// TestDeltaAfterAGap: subscribers that missed something are told to subscribe
// again, whatever their form.
func TestDeltaAfterAGap(t *testing.T) {
	s := quotes(t, func(c *Config) { c.Pollers = 1 })
	c := s.connected(t, sign(t, "u", "feeds:*"))
	c.subscribe("feeds:a", withDelta)
	_, epoch := s.publish("feeds:a", quote(1))
	var r reader
	c.wantDelta(&r, quote(1), false)
	s.onLoops(func(sh *shard) {
		ch := sh.conns.at(firstOpen(sh)).session.Subs()[0].Channel
		sh.gap(ch, hub.Gap{From: 2, To: broker.Position{Offset: 5, Epoch: epoch}})
		sh.sweep()
	})
	if line := c.mustNext(); !strings.Contains(line, `"unsubscribe":{"code":2500`) {
		t.Fatalf("after a gap: %s", line)
	}
}

// TestDeltaRecoveryFitsTheReply: quotes are escaped, so what fits may become
// twice as long.
func TestDeltaRecoveryFitsTheReply(t *testing.T) {
	s := quotes(t, func(c *Config) { c.Limits.MaxOutboxBytes = 256 << 10 })
	data := `["` + strings.Repeat(`\"`, 30<<10) + `"]` // 60 KiB, as text 120
	var epoch string
	for range 4 {
		_, epoch = s.publish("feeds:a", data)
	}
	c := s.connected(t, sign(t, "u", "feeds:*"))
	for _, step := range []struct {
		offset    int
		recovered bool
	}{{0, false}, {1, false}, {2, true}} {
		got := c.subscribe("feeds:a", fmt.Sprintf(`,"recover":true,"recoverable":true,"offset":%d,"epoch":"%s"`+withDelta, step.offset, epoch)).Subscribe
		if got.Recovered != step.recovered {
			t.Fatalf("from %d: recovered %v", step.offset, got.Recovered)
		}
		c.mustDo(`"unsubscribe":{"channel":"feeds:a"}`)
	}
}

// TestDeltasNeedRoom: an outbox must hold the longest message as text.
func TestDeltasNeedRoom(t *testing.T) {
	cfg := Config{Listen: "a", Limits: DefaultLimits(), Pollers: 1, Namespaces: []Namespace{{AllowDelta: true}}}
	cfg.Limits.MaxOutboxBytes = 2*cfg.Limits.MessageSize + frameRoomBytes
	if err := cfg.checkNamespaces(); err != nil {
		t.Error(err)
	}
	cfg.Limits.MaxOutboxBytes--
	if err := cfg.checkNamespaces(); err == nil || !strings.Contains(err.Error(), "--max-outbox-bytes") {
		t.Errorf("too small: %v", err)
	}
	cfg.Namespaces[0].AllowDelta = false
	if err := cfg.checkNamespaces(); err != nil {
		t.Error(err)
	}
}

// TestNoAllocationPerDelta runs the way from the inbox to the socket for those
// who take deltas, and for those whom they follow nothing.
func TestNoAllocationPerDelta(t *testing.T) {
	if raceEnabled {
		t.Skip("skipped: the race detector allocates")
	}
	s := quotes(t, func(c *Config) { c.Pollers, c.Limits.PingInterval = 1, 0 })
	jwt := sign(t, "u", "feeds:*")
	for range 20 {
		c := s.rawWebSocket(t, pathProtocol)
		if _, err := c.Write(masked(ws.Header{Fin: true, Opcode: ws.OpText},
			`{"id":1,"connect":{"token":"`+jwt+`"}}`+"\n"+`{"id":2,"subscribe":{"channel":"feeds:a","delta":"fossil"}}`)); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "all subscriptions", func() bool { return s.shared.hub.Subscribers("feeds:a") == 20 })
	s.onLoops(func(sh *shard) {
		ch := sh.conns.at(firstOpen(sh)).session.Subs()[0].Channel
		members := ch.Members(0, hub.Delta).All()
		full := &outbox.Frame{Plain: ws.AppendFrame(nil, ws.OpText, []byte(strings.Repeat("x", 64))), Topic: ch.ID}
		small := &outbox.Frame{Plain: ws.AppendFrame(nil, ws.OpText, []byte("x")), Topic: ch.ID}
		d := hub.Delivery{Channel: ch, Position: broker.Position{Offset: 1 << 40}, Frames: [hub.Forms]*outbox.Frame{hub.Delta: full}, Delta: small}
		deliver := func() {
			members[3].Synced, members[4].Synced = false, false
			queued := sh.queued
			if n := sh.spreadOut(&d); n != 21 {
				t.Errorf("spread to %d subscribers, want 20", n-1)
			}
			if got, want := sh.queued-queued, int64(2*len(full.Plain)+18*len(small.Plain)); got != want {
				t.Errorf("%d bytes are queued, want %d: two in full, the others as a delta", got, want)
			}
			sh.sweep()
		}
		d.Delta = nil
		sh.spreadOut(&d) // all in full
		sh.sweep()
		d.Delta = small
		for range 5 {
			deliver()
		}
		if n := testing.AllocsPerRun(100, deliver); n != 0 {
			t.Errorf("%v allocations for 20 deliveries, want 0", n)
		}
	})
}

// TestDeltasOfSlowConsumers: whatever a policy takes out of an outbox or does not
// let in, of this channel or another, what is left makes what was published.
func TestDeltasOfSlowConsumers(t *testing.T) {
	for _, policy := range []string{SlowDropOldest, SlowDropNewest, SlowConflate} {
		t.Run(policy, func(t *testing.T) {
			ns := Namespace{SlowConsumer: policy, MaxOutboxBytes: 10 << 10, AllowDelta: true, DeltaPublish: true}
			if policy == SlowConflate {
				ns.ConflateKey = "/currency" // all the same: only the newest is kept
			}
			s := slowly(t, ns)
			rng := rand.New(rand.NewPCG(5, 6))
			deltas, missed := 0, 0
			for round := range 20 {
				z := s.sleeper(deltaSub, fmt.Sprint("z", round))
				published := map[uint64]string{}
				one := func(n int) (offset uint64) {
					offset, _ = s.publish("feeds:a", quote(n))
					published[offset] = quote(n)
					return offset
				}
				for n := range 150 {
					if rng.IntN(2) == 0 {
						one(n)
						continue
					}
					for range rng.IntN(6) {
						s.publish("feeds:b", fmt.Sprintf(`"%x"`, rng.Perm(600)[:rng.IntN(600)])) // like no other
					}
				}
				s.wake(z)
				one(150)
				last := one(151)
				for _, e := range z.toldUntil("pub", last) {
					if e.data != published[e.offset] {
						t.Fatalf("round %d: offset %d is %s; published was %s", round, e.offset, e.data, published[e.offset])
					}
					delete(published, e.offset)
				}
				_ = z.ws.CloseNow()
				<-z.ended
				deltas, missed = deltas+z.deltas.deltas, missed+len(published)
			}
			if t.Logf("%d deltas, %d missed", deltas, missed); deltas < 30 || missed < 30 {
				t.Error("the run shows nothing")
			}
		})
	}
}

// TestDeltaThatDropsItsBase: to make room for a delta the publication is taken out
// that it changes, so it goes out in full.
func TestDeltaThatDropsItsBase(t *testing.T) {
	s := slowly(t, Namespace{SlowConsumer: SlowDropOldest, MaxOutboxBytes: 10 << 10, AllowDelta: true, DeltaPublish: true})
	// A kernel that was full may yet find room for some more, upon which the first of three goes out. Then there is nothing to see.
	for n := 0; !s.deltaDropsItsBase(fmt.Sprint("z", n)); n++ {
	}
}

// deltaDropsItsBase is the test with a subscriber of that name; false: its socket has taken something meanwhile.
func (s *testServer) deltaDropsItsBase(user string) bool {
	s.t.Helper()
	z := s.sleeper(deltaSub, user)
	defer func() { _ = z.ws.CloseNow() }()
	flushes := s.Server.stats.Total(stats.Flushes)
	held := func() (bytes int) {
		s.spread()
		s.of(user, func(_ *shard, c *conn) { bytes = c.out.Held(1) })
		return bytes
	}
	first, _ := s.publish("feeds:a", quote(1))
	before := held()
	pad := func(n int, c string) { s.publish("feeds:b", `"`+strings.Repeat(c, n)+`"`) }
	pad(4000, "x")
	envelope := held() - before - 4000
	pad(4000, "y")
	pad(10<<10-held()-envelope-20, "z")
	room := 10<<10 - held()
	s.publish("feeds:a", quote(2))
	s.publish("feeds:a", quote(3))
	s.spread()
	if s.Server.stats.Total(stats.Flushes) != flushes {
		return false
	}
	if room != 20 {
		s.t.Fatalf("room for %d bytes is left, want 20", room)
	}
	s.wake(z)
	for i, e := range z.toldUntil("pub", first+2) {
		if e.offset != first+uint64(i+1) || e.data != quote(i+2) {
			s.t.Fatalf("%+v, want %s", e, quote(i+2))
		}
	}
	_ = z.ws.CloseNow()
	if <-z.ended; z.deltas.deltas != 1 {
		s.t.Errorf("%d deltas, want one: the first comes in full", z.deltas.deltas)
	}
	return true
}
