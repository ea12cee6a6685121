package engine

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"weir/engine/broker"
	"weir/engine/hub"
	"weir/engine/outbox"
	"weir/engine/stats"
	"weir/engine/ws"
	"weir/security/token"
)

// halves sends every write in two segments, the second when the server has
// read the first: what a head longer than one packet looks like.
type halves struct {
	net.Conn
	s  *testServer
	on bool
}

func (h *halves) Write(b []byte) (int, error) {
	if !h.on {
		return h.Conn.Write(b)
	}
	for _, part := range [][]byte{b[:len(b)/2], b[len(b)/2:]} {
		before := h.s.stats.Total(stats.BytesIn)
		if _, err := h.Conn.Write(part); err != nil {
			return 0, err
		}
		eventually(h.s.t, "the server reading a segment", func() bool {
			return h.s.stats.Total(stats.BytesIn) >= before+uint64(len(part))
		})
	}
	return len(b), nil
}

func TestRecordsThatComeInTwoReads(t *testing.T) {
	s := start(t, nil)
	tcp, err := net.Dial("tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer tcp.Close()
	_ = tcp.SetDeadline(time.Now().Add(testWait))
	h := &halves{Conn: tcp, s: s}
	conn := tls.Client(h, s.tlsConfig())
	if err := conn.Handshake(); err != nil {
		t.Fatal(err)
	}
	h.on = true
	if _, err := fmt.Fprintf(conn, rawUpgrade, pathProtocol); err != nil {
		t.Fatal(err)
	}
	if head := readHead(t, conn); !strings.HasPrefix(head, "HTTP/1.1 101 ") {
		t.Fatalf("the answer is %q", head)
	}
	text := ws.Header{Fin: true, Opcode: ws.OpText}
	for i, line := range []string{`{"id":1,"connect":{"token":"` + sign(t, "a", "feeds:*") + `"}}`, `{"id":2,"subscribe":{"channel":"feeds:a"}}`} {
		if _, err := conn.Write(masked(text, line)); err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 4096)
		if n, err := conn.Read(buf); err != nil || !bytes.Contains(buf[:n], fmt.Appendf(nil, `{"id":%d,`, i+1)) {
			t.Fatalf("%s: %q, %v", line, buf[:n], err)
		}
	}
}

// TestBadRecordLeavesNoCipherBehind: the cache of ciphers must not keep a
// connection whose keys are gone; the next one in its slot is another peer's.
func TestBadRecordLeavesNoCipherBehind(t *testing.T) {
	s := start(t, func(c *Config) { c.Pollers = 1 })
	conn := s.rawWebSocket(t, pathProtocol)
	held := func() (n int) {
		s.onLoops(func(sh *shard) { n = sh.tls.Held() })
		return n
	}
	for held() == 0 {
		if _, err := conn.Write(masked(ws.Header{Fin: true, Opcode: ws.OpText}, `{}`)); err != nil {
			t.Fatalf("no cipher was kept before the end: %v", err)
		}
	}
	if _, err := conn.NetConn().Write(append([]byte("\x17\x03\x03\x00\x20"), make([]byte, 32)...)); err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, conn)
	_ = conn.Close()
	eventually(t, "the connection being gone", func() bool { return s.connections() == 0 })
	if n := held(); n != 0 {
		t.Errorf("%d bytes of ciphers are kept for nobody", n)
	}
	s.onLoops(func(sh *shard) {
		for i := range 8 {
			sh.tls.Tick(time.Now().Add(time.Duration(10*i)*time.Second), false)
		}
	})
}

// TestHeldInputIsCountedBack: whatever ends a connection, the budget for input
// that is not whole is what it was.
func TestHeldInputIsCountedBack(t *testing.T) {
	s := start(t, func(c *Config) { c.Pollers, c.Limits.PingRate = 1, 1 })
	partial := func() (n int) {
		s.onLoops(func(sh *shard) { n = sh.partial })
		return n
	}
	conn := s.rawWebSocket(t, pathProtocol)
	if _, err := conn.Write(masked(ws.Header{Opcode: ws.OpText}, strings.Repeat("x", 5000))); err != nil {
		t.Fatal(err)
	}
	eventually(t, "half a message being counted", func() bool { return partial() >= 5000 })
	_, _ = conn.Write(bytes.Repeat(masked(ws.Header{Fin: true, Opcode: ws.OpPing}, ""), 20))
	if answer, _ := io.ReadAll(conn); !bytes.Contains(answer, []byte{0x0b, 0xc5}) { // 3013
		t.Fatalf("20 pings: %x, want close 3013", answer)
	}
	_ = conn.Close()
	eventually(t, "the connection being gone", func() bool { return s.connections() == 0 })
	if n := partial(); n != 0 {
		t.Fatalf("%d bytes are counted and nobody holds any", n)
	}
}

// TestWholeRecordsAreHeldWithinTheBudgetToo: a message that comes record by
// record is held by the frame reader, and costs the same budget.
func TestWholeRecordsAreHeldWithinTheBudgetToo(t *testing.T) {
	s := start(t, func(c *Config) {
		c.Pollers, c.Limits.PartialBytes, c.Limits.MessageRate, c.Limits.ByteRate = 1, 1<<20, 0, 0
	})
	half := masked(ws.Header{Opcode: ws.OpText}, strings.Repeat("x", 60_000))
	var held []*tls.Conn
	for range 40 {
		conn := s.rawWebSocket(t, pathProtocol)
		for b := half; len(b) > 0; b = b[min(1000, len(b)):] {
			if _, err := conn.Write(b[:min(1000, len(b))]); err != nil {
				break
			}
		}
		held = append(held, conn)
	}
	most := 0
	eventually(t, "somebody being closed for it", func() bool {
		s.onLoops(func(sh *shard) {
			n := 0
			sh.conns.each(func(c *conn) { n += c.held() })
			most = max(most, n)
		})
		return s.stats.LabelTotal(stats.ProtocolErrors, labelPartialBudget) > 0
	})
	if most > 1<<20+128<<10 {
		t.Errorf("%d bytes were held, the budget is %d", most, 1<<20)
	}
	_ = held
}

// TestInputBehindACommandIsCounted: lines and records that wait for a worker
// are held as much as half a message is.
func TestInputBehindACommandIsCounted(t *testing.T) {
	s := start(t, func(c *Config) { c.Pollers = 1 })
	release := s.occupyWorkers()
	defer release()
	conn := s.rawWebSocket(t, pathProtocol)
	message := `{"id":1,"connect":{"token":"` + sign(t, "a", "feeds:*") + `"}}` + "\n" +
		`{"id":2,"publish":{"channel":"feeds:a","data":"x"}}` + "\n" +
		`{"id":3,"publish":{"channel":"feeds:a","data":"` + strings.Repeat("x", 50_000) + `"}}`
	if _, err := conn.Write(masked(ws.Header{Fin: true, Opcode: ws.OpText}, message)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the lines behind publish being counted", func() (ok bool) {
		s.onLoops(func(sh *shard) { ok = sh.partial >= 50_000 })
		return ok
	})
	release()
	_ = conn.SetReadDeadline(time.Now().Add(testWait))
	for got := ""; !strings.Contains(got, `{"id":3,"publish":{}}`); {
		buf := make([]byte, 4096)
		n, err := conn.Read(buf)
		if err != nil {
			t.Fatalf("%v after %q", err, got)
		}
		got += string(buf[:n])
	}
	s.onLoops(func(sh *shard) {
		if sh.partial != 0 {
			t.Errorf("%d bytes are counted and nobody holds any", sh.partial)
		}
	})
}

// TestTokenByASecretNeedsNoWorker: it is checked on the loop, so that busy workers keep nobody out.
func TestTokenByASecretNeedsNoWorker(t *testing.T) {
	s := start(t, nil)
	release := s.occupyWorkers()
	defer release()
	conn := s.rawWebSocket(t, pathProtocol)
	if _, err := conn.Write(masked(ws.Header{Fin: true, Opcode: ws.OpText}, `{"id":1,"connect":{"token":"`+sign(t, "a", "feeds:*")+`"}}`)); err != nil {
		t.Fatal(err)
	}
	_ = conn.SetReadDeadline(time.Now().Add(testWait))
	for got := ""; !strings.Contains(got, `{"id":1,"connect":{`); {
		buf := make([]byte, 4096)
		n, err := conn.Read(buf)
		if err != nil {
			t.Fatalf("%v after %q", err, got)
		}
		got += string(buf[:n])
	}
}

type blockingJob struct{ until chan struct{} }

func (j blockingJob) Run() { <-j.until }

// occupyWorkers keeps every worker busy until the function returned is called.
func (s *testServer) occupyWorkers() (release func()) {
	until := make(chan struct{})
	for range 1024 { // more than there are workers; the rest of the queue stays free
		s.shared.work.Try(blockingJob{until})
	}
	released := false
	return func() {
		if !released {
			released = true
			close(until)
		}
	}
}

// TestBurstWithinTheByteRate: a publisher that stays within its byte rate is
// not closed because the workers are slow.
func TestBurstWithinTheByteRate(t *testing.T) {
	s := start(t, func(c *Config) { c.Pollers = 1 })
	c := s.connected(t, sign(t, "a", "feeds:*"))
	release := s.occupyWorkers()
	defer release()
	const n = 20
	before := s.stats.Total(stats.BytesIn)
	for i := range n {
		c.send(fmt.Sprintf(`{"id":%d,"publish":{"channel":"feeds:a","data":"%s"}}`, 100+i, strings.Repeat("x", 60_000)))
	}
	eventually(t, "the server having read it all", func() bool { return s.stats.Total(stats.BytesIn) > before+n*60_000 })
	release()
	for i := range n {
		if line := c.mustNext(); line != fmt.Sprintf(`{"id":%d,"publish":{}}`, 100+i) {
			t.Fatalf("reply %d is %s", i, line)
		}
	}
}

// TestBurstOverTheOutboxBound: what comes in one turn may exceed the bound, if
// the socket takes it.
func TestBurstOverTheOutboxBound(t *testing.T) {
	s := start(t, func(c *Config) {
		c.Pollers, c.Limits.MessageSize, c.Limits.MaxOutboxBytes = 1, 16<<10, 20<<10
	})
	c := s.connected(t, sign(t, "a", "feeds:*"))
	c.mustDo(`"subscribe":{"channel":"feeds:a"}`)
	const n = 4
	s.onLoops(func(*shard) { // nothing is spread before all are there
		for range n {
			if _, _, err := s.Publish(t.Context(), "feeds:a", []byte(`"`+strings.Repeat("x", 12_000)+`"`)); err != nil {
				t.Error(err)
			}
		}
	})
	for i := range n {
		if line := c.mustNext(); !strings.Contains(line, fmt.Sprintf(`"offset":%d}`, i+1)) {
			t.Fatalf("publication %d: %.80s", i+1, line)
		}
	}
}

// TestPanicInOneOrderLosesNoOther: what else was left for the loop is done.
func TestPanicInOneOrderLosesNoOther(t *testing.T) {
	s := start(t, func(c *Config) { c.Pollers = 1 })
	s.mayPanic = true
	done := make(chan struct{}, 100)
	s.onLoops(func(sh *shard) { // all of these are of one turn
		for i := range 100 {
			sh.post(post{order: func(*shard) {
				done <- struct{}{}
				if i%10 == 0 {
					panic("of one order")
				}
			}})
		}
	})
	for i := range 100 {
		select {
		case <-done:
		case <-time.After(testWait):
			t.Fatalf("%d orders were carried out, want 100", i)
		}
	}
	s.connected(t, sign(t, "a", "feeds:*"))
}

// TestPanicAtADeadlineLosesNoOther: one connection's broken state costs that
// connection, not the deadlines of those that are due with it.
func TestPanicAtADeadlineLosesNoOther(t *testing.T) {
	s := start(t, func(c *Config) { c.Pollers, c.Limits.PingInterval = 1, 0 })
	s.mayPanic = true
	s.subscribers(t, 10, "feeds:a")
	s.onLoops(func(sh *shard) {
		i := 0
		sh.conns.each(func(c *conn) {
			if i++; i%2 == 0 {
				c.tls.Wipe(sh.tls) // nothing can be sealed
				c.pingAt = 1
			} else {
				c.endAt = 1
			}
			sh.arm(c)
		})
	})
	s.clock.move(time.Second)
	eventually(t, "every connection being gone", func() bool {
		return s.shared.hub.Subscribers("feeds:a") <= 5 && s.stats.CodeTotal(stats.Closes, 3011) == 5
	})
}

// TestWriteTimeoutStartsAnew with each batch, also when the loop had no turn
// between the end of one and the beginning of the next.
func TestWriteTimeoutStartsAnew(t *testing.T) {
	s := start(t, func(c *Config) { c.Pollers, c.Limits.PingInterval = 1, 0 })
	s.subscribers(t, 1, "feeds:a")
	s.onLoops(func(sh *shard) {
		c := sh.conns.at(firstOpen(sh))
		c.writeBy, c.unsentMark = sh.after(1), 1 // of a batch that has gone out; Writable was not told
		for c.Unsent() == 0 {
			frame := &outbox.Frame{Plain: make([]byte, 64<<10)}
			c.out.Push(&sh.blocks, frame, 1<<20)
			sh.queued += int64(len(frame.Plain))
			sh.flush(c)
		}
		if left := sh.at(c.writeBy) - sh.now; left < int64(sh.limits.WriteTimeout) {
			t.Errorf("the new batch has %v left", time.Duration(left))
		}
	})
}

// TestTheKernelOutlastsTheWriteTimeout: or it would cut readers off before they
// are told that they were too slow.
func TestTheKernelOutlastsTheWriteTimeout(t *testing.T) {
	for write, least := range map[time.Duration]time.Duration{
		time.Second: userTimeout, userTimeout: userTimeout + time.Second, time.Hour: time.Hour + time.Second,
	} {
		if got := kernelTimeout(write); got < least || got > write+userTimeout {
			t.Errorf("--write-timeout %v: the kernel gives up after %v", write, got)
		}
	}
}

// TestTokensThatNeverEnd: operators write "never" as the year 9999.
func TestTokensThatNeverEnd(t *testing.T) {
	s := start(t, func(c *Config) { c.Pollers = 1 })
	c := s.connected(t, signClaims(t, token.SignClaims{Subject: "a", ExpiresAt: 253402300799}))
	s.onLoops(func(sh *shard) {
		if left := sh.conns.at(firstOpen(sh)).expireBy - sh.now; left < int64(24*time.Hour) {
			t.Errorf("the session ends in %v", time.Duration(left))
		}
	})
	c.mustDo(`"unsubscribe":{"channel":"x"}`)
}

// TestAbortAmidACompressedFrame that is longer than the plain one.
func TestAbortAmidACompressedFrame(t *testing.T) {
	s := start(t, func(c *Config) { c.Pollers, c.Limits.PingInterval = 1, 0 })
	s.subscribers(t, 1, "feeds:a")
	s.onLoops(func(sh *shard) {
		c := sh.conns.at(firstOpen(sh))
		frame := &outbox.Frame{Plain: make([]byte, 10), Deflated: make([]byte, 20), Topic: c.session.Subs()[0].Channel.ID}
		c.compress = true
		sh.hub.CompressFor(hub.Protocol, 1)
		c.out.Push(&sh.blocks, frame, 1<<20)
		sh.queued += 10
		c.frontFrom = 15
		sh.abort(c, "")
	})
	eventually(t, "the connection being gone", func() bool { return s.connections() == 0 })
	s.onLoops(func(sh *shard) {
		if sh.queued != 0 {
			t.Errorf("%d bytes are counted and nobody waits for any", sh.queued)
		}
	})
}

// TestVanishingWithAFullOutbox: forgetting a connection must not walk its
// outbox once for each subscription. One walk is the measure; of several
// attempts the best counts, which no pause of the machine makes worse.
func TestVanishingWithAFullOutbox(t *testing.T) {
	s := start(t, func(c *Config) {
		c.Pollers, c.Limits.PingInterval, c.Limits.SubscribeRate, c.Limits.MessageRate = 1, 0, 0, 0
	})
	const attempts, channels = 5, 128
	for range attempts {
		c := s.connected(t, sign(t, "a", "feeds:*"))
		for i := range channels {
			c.mustDo(fmt.Sprintf(`"subscribe":{"channel":"feeds:%d"}`, i))
		}
	}
	walk, end := time.Hour, time.Hour
	s.onLoops(func(sh *shard) {
		frame := &outbox.Frame{Plain: make([]byte, 60), Topic: 1 << 60}
		for range attempts {
			c := sh.conns.at(firstOpen(sh))
			for range 17_000 {
				c.out.Push(&sh.blocks, frame, 1<<20)
				sh.queued += 60
			}
			began := time.Now()
			sh.takeOut(c, 1<<61)
			walk = min(walk, time.Since(began))
			began = time.Now()
			sh.abort(c, "")
			end = min(end, time.Since(began))
		}
	})
	if end > channels/3*walk {
		t.Errorf("closing one connection took the loop %v, one look through its outbox %v", end, walk)
	}
}

func TestUnsolicitedPongsAreCharged(t *testing.T) {
	s := start(t, func(c *Config) { c.Limits.PingRate = 2 })
	conn := s.rawWebSocket(t, pathProtocol)
	_, _ = conn.Write(bytes.Repeat(masked(ws.Header{Fin: true, Opcode: ws.OpPong}, ""), 1000))
	answer, err := io.ReadAll(conn)
	if err != nil || len(answer) < 4 || binary.BigEndian.Uint16(answer[2:]) != 3013 {
		t.Fatalf("1,000 pongs: %x, %v; want close 3013", answer, err)
	}
}

// TestConnectionsAreOfTheNode also when each shard has a listener of its own.
func TestConnectionsAreOfTheNode(t *testing.T) {
	s := start(t, func(c *Config) { c.ReusePort, c.Limits.Connections = true, 4 })
	served := 0
	for range 24 {
		tcp, err := net.Dial("tcp", s.Addr().String())
		if err != nil {
			continue
		}
		t.Cleanup(func() { _ = tcp.Close() })
		_ = tcp.SetDeadline(time.Now().Add(testWait))
		if tls.Client(tcp, s.tlsConfig()).Handshake() == nil {
			served++
		}
	}
	if served == 0 || served > 4 {
		t.Fatalf("%d connections of 4 are served", served)
	}
}

// TestBudgetIsPaidByThoseWhoOwe: over --outbox-budget the readers with the
// longest queues are closed, not whoever is written to at that moment.
func TestBudgetIsPaidByThoseWhoOwe(t *testing.T) {
	s := start(t, func(c *Config) {
		c.Pollers, c.Limits.PingInterval, c.Limits.OutboxBudget = 1, 0, 4<<20
	})
	s.subscribers(t, 10, "feeds:a")
	s.onLoops(func(sh *shard) {
		var all []*conn
		sh.conns.each(func(c *conn) { all = append(all, c) })
		ch := all[0].session.Subs()[0].Channel
		owe := func(c *conn, n int) {
			for range n {
				c.out.Push(&sh.blocks, &outbox.Frame{Plain: make([]byte, 32<<10), Topic: ch.ID}, 1<<20)
				sh.queued += 32 << 10
			}
		}
		for _, c := range all { // nobody reads: the kernel takes some, the rest waits
			for c.Unsent() == 0 {
				owe(c, 1)
				sh.flush(c)
			}
		}
		for _, c := range all[:4] {
			owe(c, 30)
		}
		d := hub.Delivery{Channel: ch, Position: broker.Position{Offset: 1 << 40}, Frames: [hub.Forms]*outbox.Frame{
			hub.Protocol: {Plain: make([]byte, 32<<10), Topic: ch.ID},
		}}
		sh.spreadOut(&d)
		sh.closeSlow()
		if sh.queued > int64(sh.perShard.outbox) {
			t.Errorf("%d bytes still wait, the budget is %d", sh.queued, sh.perShard.outbox)
		}
		for i, c := range all {
			if i >= 4 && c.phase != phaseOpen {
				t.Errorf("connection %d owed next to nothing and was closed", i)
			}
		}
	})
}

// TestRepliesNobodyReadsAreCounted in the same budget as publications.
func TestRepliesNobodyReadsAreCounted(t *testing.T) {
	s := start(t, func(c *Config) {
		c.Pollers, c.Limits.PingInterval, c.Limits.MessageRate, c.Limits.ByteRate = 1, 0, 0, 0
	})
	s.subscribers(t, 1, "feeds:a")
	frame := masked(ws.Header{Fin: true, Opcode: ws.OpText}, `{"id":7,"rpc":{"method":"m"}}`)
	s.onLoops(func(sh *shard) {
		c := sh.conns.at(firstOpen(sh))
		for c.control.len() < 100_000 {
			sh.read(c, bytes.Clone(frame))
			sh.settle(c)
		}
		if sh.queued < 100_000 {
			t.Errorf("%d bytes are counted, %d wait", sh.queued, c.control.len())
		}
		sh.abort(c, "")
	})
	eventually(t, "the connection being gone", func() bool { return s.connections() == 0 })
	s.onLoops(func(sh *shard) {
		if sh.queued != 0 {
			t.Errorf("%d bytes are counted and nobody waits for any", sh.queued)
		}
	})
}

// TestGapsAreTold: the inbox was full. A client's own subscription is ended
// with 2500, which it answers by subscribing again; a subscription of the
// server's, which it would not, costs the connection.
func TestGapsAreTold(t *testing.T) {
	s := start(t, func(c *Config) { c.Pollers = 1 })
	own := s.connected(t, sign(t, "a", "feeds:*"))
	own.mustDo(`"subscribe":{"channel":"feeds:a"}`)
	servers := s.client(t)
	servers.mustDo(`"connect":{"token":"` + signClaims(t, token.SignClaims{Subject: "b", ExpiresAt: time.Now().Add(time.Hour).Unix(), Channels: []string{"feeds:a"}}) + `"}`)
	const n = inboxEntries + 10
	s.onLoops(func(*shard) { // nothing is spread before all are there
		for range n {
			if _, _, err := s.Publish(t.Context(), "feeds:a", []byte("1")); err != nil {
				t.Error(err)
			}
		}
	})
	for i := range n {
		line := own.mustNext()
		if strings.Contains(line, `"unsubscribe":{"code":2500`) {
			break
		}
		if i >= inboxEntries || !strings.Contains(line, fmt.Sprintf(`"offset":%d}`, i+1)) {
			t.Fatalf("%.80s where publication %d or an unsubscribe push was due", line, i+1)
		}
	}
	servers.wantClose(3010)
	if reply := own.mustDo(`"subscribe":{"channel":"feeds:a","positioned":true}`); !strings.Contains(reply, fmt.Sprintf(`"offset":%d`, n)) {
		t.Errorf("subscribed again: %s, want offset %d", reply, n)
	}
}
