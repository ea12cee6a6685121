package engine

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"weir/engine/stats"
	"weir/security/audit"
	"weir/security/overload"
)

// gaugeOf is a meter that reads what the test says.
type gaugeOf struct {
	mu    sync.Mutex
	usage overload.Usage
}

func (g *gaugeOf) read(int, time.Time) overload.Usage {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.usage
}

func (g *gaugeOf) set(u overload.Usage) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.usage = u
}

// usageFor is a usage of memory that calls for each level.
var usageFor = [overload.Levels]float64{
	overload.Tighten: 0.75, overload.Plain: 0.82, overload.Shed: 0.88, overload.Refuse: 0.93, overload.Evict: 0.97,
}

// strained is a server whose memory the test says; nobody is pinged.
func strained(t testing.TB, changes ...func(*Config)) (*testServer, *gaugeOf) {
	t.Helper()
	g := &gaugeOf{}
	s := start(t, func(c *Config) {
		c.Usage, c.Limits.PingInterval = g.read, 0
		for _, change := range changes {
			change(c)
		}
	})
	return s, g
}

// level brings the node to a level, and returns when every loop is done with it.
func (s *testServer) level(g *gaugeOf, l overload.Level) {
	s.t.Helper()
	usage := usageFor[l]
	if l < s.pressure.now() {
		usage = max(usage-0.04, 0) // below what the level above is left at
	}
	g.set(overload.Usage{Memory: usage})
	eventually(s.t, "level "+l.String(), func() bool {
		if s.pressure.now() != l {
			s.clock.move(time.Second)
		}
		return s.pressure.now() == l
	})
	s.scanned(l)
}

func (s *testServer) scanned(l overload.Level) {
	s.t.Helper()
	eventually(s.t, "every loop having looked at its connections", func() bool {
		done := make(chan bool, len(s.shards))
		s.onLoops(func(sh *shard) { done <- sh.strain.level == l && !sh.strain.scanning })
		all := true
		for range s.shards {
			all = <-done && all
		}
		return all
	})
}

// ready is the answer of /ready.
func (s *testServer) ready() (status int, body string) {
	s.t.Helper()
	res, err := http.Get("http://" + s.HealthAddr().String() + "/ready")
	if err != nil {
		s.t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return res.StatusCode, strings.TrimSpace(string(b))
}

// logLines counts the records of a message.
type logLines struct {
	message string
	mu      sync.Mutex
	lines   []string
}

func (l *logLines) Enabled(context.Context, slog.Level) bool { return true }
func (l *logLines) WithAttrs([]slog.Attr) slog.Handler       { return l }
func (l *logLines) WithGroup(string) slog.Handler            { return l }
func (l *logLines) Handle(_ context.Context, r slog.Record) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if r.Message == l.message {
		line := r.Level.String()
		r.Attrs(func(a slog.Attr) bool { line += " " + a.String(); return true })
		l.lines = append(l.lines, line)
	}
	return nil
}

// TestOverloadIsSeen in /ready, in metrics, as one log line and one record of the
// audit log for each change.
func TestOverloadIsSeen(t *testing.T) {
	log := &logLines{message: "overload level"}
	var trail *auditTrail
	s, g := strained(t, func(c *Config) { c.Log, trail = slog.New(log), audited(t, c, audit.Flood{}) })
	for l := overload.Normal; l < overload.Levels; l++ {
		s.level(g, l)
		status, body := s.ready()
		want, wantBody := 200, `{"ready":true}`
		if l >= overload.Refuse {
			want, wantBody = 503, fmt.Sprintf(`{"ready":false,"reason":"overload: %v"}`, l)
		}
		if status != want || body != wantBody {
			t.Errorf("%v: /ready answers %d %s, want %d %s", l, status, body, want, wantBody)
		}
		samples := s.metrics(t)
		if got := samples["weir_overload_level"]; got != fmt.Sprint(int(l)) {
			t.Errorf("%v: weir_overload_level is %s", l, got)
		}
		if got := samples[`weir_overload_usage_ratio{resource="memory"}`]; got != fmt.Sprint(usageFor[l]) {
			t.Errorf("%v: the memory in use is %s", l, got)
		}
	}
	s.level(g, overload.Normal)
	if status, _ := s.ready(); status != 200 {
		t.Errorf("calm again: /ready answers %d", status)
	}
	samples := s.metrics(t)
	for l := overload.Tighten; l < overload.Levels; l++ {
		if got := samples[fmt.Sprintf(`weir_overload_changes_total{level="%v"}`, l)]; got != "1" {
			t.Errorf("%v was entered %s times", l, got)
		}
	}
	var told []string
	for _, e := range trail.entries(t) {
		if e.Event == audit.OverloadLevel {
			told = append(told, e.Message)
		}
	}
	if len(told) != int(overload.Levels) || told[0] != "tighten was normal" || told[5] != "normal was evict" {
		t.Errorf("the audit log has %q", told)
	}
	log.mu.Lock()
	defer log.mu.Unlock()
	if len(log.lines) != int(overload.Levels) || !strings.Contains(log.lines[0], "WARN level=tighten was=normal memory=0.75 ") ||
		!strings.Contains(log.lines[5], "INFO level=normal was=evict memory=0 ") {
		t.Errorf("logged:\n%s", strings.Join(log.lines, "\n"))
	}
}

// TestOverloadRefusesNewcomers, before TLS and nobody else: who is connected goes
// on, and so do the API and health.
func TestOverloadRefusesNewcomers(t *testing.T) {
	s, g := strained(t)
	c := s.connected(t, sign(t, "a", "feeds:*"))
	c.mustDo(`"subscribe":{"channel":"feeds:a"}`)
	s.level(g, overload.Refuse)
	for range 3 {
		if nc, err := net.Dial("tcp", s.Addr().String()); err == nil {
			_ = nc.SetDeadline(time.Now().Add(testWait))
			if n, err := nc.Read(make([]byte, 1)); n != 0 || err == nil {
				t.Errorf("a newcomer was told %d bytes, %v", n, err)
			}
			_ = nc.Close()
		}
	}
	if e := s.api("publish", `{"channel":"feeds:a","data":"still here"}`)["error"]; e != nil {
		t.Errorf("the API answers %v", e)
	}
	if line := c.mustNext(); !strings.Contains(line, "still here") {
		t.Errorf("who is connected is told %s", line)
	}
	if n := s.pressure.refused.Load(); n != 3 {
		t.Errorf("%d newcomers are counted as refused, want 3", n)
	}
	if got := s.metrics(t)[`weir_connections_refused_total{reason="overload"}`]; got != "3" {
		t.Errorf("the metric says %s", got)
	}
	s.level(g, overload.Shed)
	s.connected(t, sign(t, "b", "feeds:*"))
	if n := s.stats.LabelTotal(stats.OverloadCloses, stats.Other); n != 0 {
		t.Errorf("%d closes without a level", n)
	}
}

// TestOverloadTightens the time of those who connect and say nothing, also of
// those who did so before.
func TestOverloadTightens(t *testing.T) {
	s, g := strained(t, func(c *Config) { c.Limits.StaleCloseDelay, c.EnableEcho = time.Hour, true })
	s.rawWebSocket(t, pathProtocol)
	s.rawWebSocket(t, pathEcho)
	until := func(m moment) time.Duration {
		now := s.shared.clock()
		return time.Duration(m.ticks(now/int64(tick))*int64(tick) - now)
	}
	left := func(c *conn) time.Duration {
		if c.kind == kindEcho {
			return until(c.pingAt) * 60 // idle-timeout is a minute
		}
		return until(c.phaseBy)
	}
	within := func(n int, least, most time.Duration) bool {
		return s.every(n, func(c *conn) bool { return c.phase == phaseOpen && left(c) >= least && left(c) <= most+60*tick })
	}
	if !within(2, 59*time.Minute, time.Hour) {
		t.Error("at first they do not have their time")
	}
	s.level(g, overload.Tighten)
	if !within(2, 29*time.Minute, 30*time.Minute) {
		t.Error("they still have more than half of their time")
	}
	s.rawWebSocket(t, pathProtocol)
	s.rawWebSocket(t, pathEcho)
	if !within(4, 29*time.Minute, 30*time.Minute) {
		t.Error("newcomers have more than half of the time")
	}
	before := s.shared.clock()
	s.level(g, overload.Normal)
	passed := time.Duration(s.shared.clock() - before)
	if s.every(1, func(c *conn) bool { return left(c) > 30*time.Minute-passed }) {
		t.Error("being calm again gave them time")
	}
	s.rawWebSocket(t, pathProtocol)
	if !within(1, 59*time.Minute, time.Hour) {
		t.Error("who comes when it is calm does not have the whole time")
	}
}

// TestOverloadSendsPlain: from Plain on nothing is deflated, and again below.
func TestOverloadSendsPlain(t *testing.T) {
	s, g := strained(t, func(c *Config) { c.Compression, c.Pollers = true, 1 })
	c := s.connected(t, sign(t, "a", "feeds:*"))
	c.mustDo(`"subscribe":{"channel":"feeds:a"}`)
	deflated := func() (yes bool) {
		s.shared.hub.CompressFor(kindProtocol.form(), 1) // as if this one had asked
		defer s.shared.hub.CompressFor(kindProtocol.form(), -1)
		s.onLoops(func(sh *shard) {
			s.publish("feeds:a", `"`+strings.Repeat("x", 1000)+`"`)
			taken := sh.inbox.Take(nil)
			yes = len(taken.Deliveries) == 1 && taken.Deliveries[0].Frames[kindProtocol.form()].Deflated != nil
		})
		return yes
	}
	for _, step := range []struct {
		level overload.Level
		want  bool
	}{{overload.Tighten, true}, {overload.Plain, false}, {overload.Refuse, false}, {overload.Tighten, true}, {overload.Normal, true}} {
		if s.level(g, step.level); deflated() != step.want {
			t.Errorf("%v: deflated is %v", step.level, !step.want)
		}
	}
}

// TestOverloadShedsThoseFurthestBehind, and nobody whose socket takes what there is.
func TestOverloadShedsThoseFurthestBehind(t *testing.T) {
	s, g := strained(t, alone, func(c *Config) {
		c.Limits.MessageSize, c.Limits.MaxOutboxBytes, c.Limits.OutboxBudget = 8<<10, 4<<20, 0
		c.Limits.WriteTimeout = time.Hour
		c.Namespaces = []Namespace{{Name: "feeds"}, {Name: "fill"}}
	})
	asleep := s.sleeper(plainSub, "asleep")
	more := s.sleeper(plainSub, "further behind")
	s.clock.move(behindAfter)
	data := `"` + strings.Repeat("x", 8000) + `"`
	for range 20 {
		s.publish(more.filler, data)
	}
	awake := s.connected(t, sign(t, "awake", "feeds:*"))
	awake.mustDo(`"subscribe":{"channel":"feeds:a"}`)
	s.spread()
	s.onLoops(func(sh *shard) {
		sh.strain.closing = overload.Shed
		sh.conns.each(func(c *conn) { sh.weigh(c) })
		list := sh.strain.behind
		sortBurdens(list)
		if len(list) != 2 || sh.conns.find(list[0].of).session.User() != "further behind" || list[0].bytes <= list[1].bytes {
			t.Errorf("behind are %+v", list)
		}
		if len(list) == 2 {
			sh.closeBurdens(list, 1, overload.Shed)
		}
		sh.strain.behind, sh.strain.closing = nil, overload.Normal
	})
	s.wake(more)
	if code := more.closedWith(); code != 3008 {
		t.Errorf("the one furthest behind is closed with %d", code)
	}
	if !s.every(1, func(c *conn) bool { return c.phase == phaseOpen && c.session.User() == "asleep" }) {
		t.Error("one was to be closed, and another was too")
	}
	s.level(g, overload.Shed)
	s.wake(asleep)
	if code := asleep.closedWith(); code != 3008 {
		t.Errorf("a reader that is behind is closed with %d", code)
	}
	s.publish("feeds:a", `"still here"`)
	if line := awake.mustNext(); !strings.Contains(line, "still here") {
		t.Errorf("who reads is told %s", line)
	}
	if n := s.stats.LabelTotal(stats.OverloadCloses, "shed"); n != 2 {
		t.Errorf("%d readers are counted as shed, want 2", n)
	}
}

// TestOverloadEvictsTheMostExpensive: so many of them at a look, and with a code
// upon which clients come back.
func TestOverloadEvictsTheMostExpensive(t *testing.T) {
	s, g := strained(t, alone)
	cheap := s.connected(t, sign(t, "cheap", "feeds:*"))
	var dear []*client
	for i := range 3 {
		c := s.connected(t, sign(t, fmt.Sprint("dear ", i), "feeds:*"))
		for j := range 10 * (i + 1) {
			c.mustDo(fmt.Sprintf(`"subscribe":{"channel":"feeds:%d"}`, j))
		}
		dear = append(dear, c)
	}
	s.onLoops(func(sh *shard) {
		sh.strain.closing = overload.Evict
		sh.conns.each(func(c *conn) { sh.weigh(c) })
		sh.closeBurdens(sh.strain.heavy, 2, overload.Evict)
		sh.strain = strain{}
	})
	dear[2].wantClose(3011)
	dear[1].wantClose(3011)
	dear[0].mustDo(`"subscribe":{"channel":"feeds:still"}`)
	cheap.mustDo(`"subscribe":{"channel":"feeds:still"}`)
	s.level(g, overload.Evict)
	dear[0].wantClose(3011)
	cheap.wantClose(3011)
	eventually(t, "all being counted", func() bool { return s.stats.LabelTotal(stats.OverloadCloses, "evict") == 4 })
}

// TestOverloadEvictsTheSilentFirst: who has not said who it is, however far it came,
// the oldest of them first, and no subscriber in their place.
func TestOverloadEvictsTheSilentFirst(t *testing.T) {
	s, _ := strained(t, alone, func(c *Config) {
		c.Limits.HandshakeTimeout, c.Limits.HeadTimeout, c.Limits.StaleCloseDelay = time.Hour, time.Hour, time.Hour
	})
	honest := s.connected(t, sign(t, "honest", "feeds:*"))
	for i := range 10 {
		honest.mustDo(fmt.Sprintf(`"subscribe":{"channel":"feeds:%d"}`, i))
	}
	silent := []struct {
		phase phase
		come  func() net.Conn
	}{
		{phaseOpen, func() net.Conn { return s.rawWebSocket(t, pathProtocol) }},
		{phaseHandshake, func() net.Conn { return s.silentHello(t, "127.0.0.1") }},
		{phaseHello, func() net.Conn {
			c, err := net.Dial("tcp", s.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = c.Close() })
			return c
		}},
		{phaseHead, func() net.Conn { return s.raw(t) }},
	}
	left := func(p phase, n int) bool {
		return s.every(n, func(c *conn) bool { return c.phase == p && !c.connected() })
	}
	for _, c := range silent {
		s.clock.move(time.Second)
		c.come()
		eventually(t, "one more silent", func() bool { return left(c.phase, 1) })
	}
	evict := func(limit int) {
		s.onLoops(func(sh *shard) {
			sh.strain.closing = overload.Evict
			sh.conns.each(func(c *conn) {
				if c.phase < phaseClosing {
					sh.weigh(c)
				}
			})
			sh.closeBurdens(sh.strain.heavy, limit, overload.Evict)
			sh.strain = strain{}
		})
	}
	for i, c := range silent {
		evict(1)
		if !left(c.phase, 0) {
			t.Errorf("the oldest, in phase %d, is here still", c.phase)
		}
		for _, later := range silent[i+1:] {
			if !left(later.phase, 1) {
				t.Errorf("after %d the one in phase %d is gone too", i+1, later.phase)
			}
		}
	}
	honest.mustDo(`"subscribe":{"channel":"feeds:still"}`)
	evict(1)
	honest.wantClose(3011)
	if n := s.stats.LabelTotal(stats.OverloadCloses, "evict"); n != 5 {
		t.Errorf("%d are counted as evicted, want 5", n)
	}
}

// TestOverloadLooksInSlices: a turn looks at so many connections and no more, and
// a look closes so many and no more.
func TestOverloadLooksInSlices(t *testing.T) {
	s, _ := strained(t, alone)
	s.onLoops(func(sh *shard) {
		const n = 3*sweepConnections + 10
		far := sh.after(farthest)
		for range n {
			c := sh.conns.take()
			c.phase, c.kind, c.pingAt = phaseOpen, kindEcho, far
		}
		seen := func() (n int) {
			sh.conns.each(func(c *conn) {
				if c.pingAt != far {
					n++
				}
			})
			return n
		}
		sh.takeLevel(overload.Tighten, overload.Tighten)
		for before := 0; sh.strain.scanning; {
			sh.makeRoom()
			if after := seen(); after-before > sweepConnections {
				t.Errorf("a turn looked at %d connections", after-before)
			}
			before = seen()
		}
		if got := seen(); got != n {
			t.Errorf("%d connections of %d were looked at", got, n)
		}
		sh.takeLevel(overload.Tighten, overload.Tighten)
		sh.makeRoom()
		at := sh.strain.cursor
		if sh.takeLevel(overload.Plain, overload.Plain); sh.strain.cursor != at || sh.strain.level != overload.Plain {
			t.Error("a change of the level began the look anew: one that changes often would see only the first")
		}
		for sh.strain.scanning {
			sh.makeRoom()
		}
		sh.conns.each(func(c *conn) { sh.wheel.Cancel(c.Slot); sh.conns.give(c) })
	})
	var list []burden
	for i := range 10_000 {
		list = addBurden(list, burden{of: handle(i), bytes: (i * 7919) % 10_000}, evictPerScan)
	}
	if sortBurdens(list); cap(list) > 4*evictPerScan || list[0].bytes != 9_999 || list[evictPerScan-1].bytes != 10_000-evictPerScan {
		t.Errorf("%d of a capacity of %d are kept, the heaviest %+v", len(list), cap(list), list[0])
	}
}

// TestPanicInALookLosesNoOther: the look goes on behind the connection that it was about.
func TestPanicInALookLosesNoOther(t *testing.T) {
	s, _ := strained(t, alone)
	s.mayPanic = true
	other := s.connected(t, sign(t, "other", "feeds:*"))
	s.onLoops(func(sh *shard) {
		c := sh.conns.take()
		c.phase, c.waitings().partial = phaseOpen, make([]byte, 1<<20)
		c.frontFrom = 1 // of a publication that is not there
		sh.takeLevel(overload.Evict, overload.Evict)
		for looked := 0; looked < len(sh.conns.chunks)*slabChunk; looked += sweepConnections {
			sh.makeRoom()
		}
		if sh.strain.scanning || sh.stats == nil {
			t.Error("the look did not come to its end")
		}
		c.waiting = nil
		sh.recount(c)
		sh.conns.give(c)
	})
	if s.stats.Total(stats.Panics) == 0 {
		t.Error("there was no panic: the test does not test anything")
	}
	other.wantClose(3011)
}

// TestNeighboursCloseNobody: a cgroup that this node is in with others is full. Nobody
// new is let in, and nobody is closed, however far behind; what the node uses itself
// counts beside it.
func TestNeighboursCloseNobody(t *testing.T) {
	s, g := strained(t, alone, func(c *Config) {
		c.Limits.MessageSize, c.Limits.MaxOutboxBytes, c.Limits.OutboxBudget = 8<<10, 4<<20, 0
		c.Limits.WriteTimeout = time.Hour
		c.Namespaces = []Namespace{{Name: "feeds"}, {Name: "fill"}}
	})
	asleep := s.sleeper(plainSub, "asleep")
	s.clock.move(behindAfter)
	usage := overload.Usage{Around: 5}
	g.set(usage)
	eventually(t, "level refuse", func() bool { s.clock.move(time.Second); return s.pressure.now() == overload.Refuse })
	s.scanned(overload.Refuse)
	if n := s.stats.LabelTotal(stats.OverloadCloses, "shed"); n != 0 || !s.every(1, func(c *conn) bool { return c.phase == phaseOpen }) {
		t.Errorf("%d readers were closed for what others use", n)
	}
	if status, body := s.ready(); status != 503 || !strings.Contains(body, "refuse") {
		t.Errorf("/ready answers %d %s", status, body)
	}
	if got := s.metrics(t)[`weir_overload_usage_ratio{resource="around"}`]; got != "5" {
		t.Errorf("around is %s", got)
	}
	usage.Memory = usageFor[overload.Shed]
	g.set(usage)
	eventually(t, "the reader's end", func() bool {
		s.clock.move(time.Second)
		return s.stats.LabelTotal(stats.OverloadCloses, "shed") == 1
	})
	s.wake(asleep)
	if code := asleep.closedWith(); code != 3008 || s.pressure.now() != overload.Refuse {
		t.Errorf("closed with %d at %v", code, s.pressure.now())
	}
}
