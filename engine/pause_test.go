package engine

import (
	"context"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"github.com/coder/websocket"

	"weir/engine/broker"
	"weir/engine/ws"
	"weir/security/token"
)

func TestPause(t *testing.T) {
	at := func(ms int) time.Time { return time.Unix(1000, 0).Add(time.Duration(ms) * time.Millisecond) }
	var p pause
	for i, c := range []struct {
		ms   int
		want bool
	}{
		{0, true}, {50, true}, {1050, true}, {5000, false}, {6990, false}, {7000, true}, {7050, true},
		{9000, false}, {20_000, true}, // stopped again while it read: deadlines count once
		{30_000, false}, {29_000, false}, {32_000, true},
	} {
		if got := p.over(at(c.ms)); got != c.want {
			t.Errorf("turn %d, at %d ms: deadlines count is %v", i, c.ms, got)
		}
	}
}

// TestAPauseOfTheServerClosesNobody who has answered, though it was not read in
// time: SIGSTOP for longer than a ping interval is no fault of clients. Who has not
// answered is closed all the same.
func TestAPauseOfTheServerClosesNobody(t *testing.T) {
	s := start(t, alone)
	jwt := sign(t, "a", "feeds:*")
	honest := s.connected(t, jwt)
	silent := s.rawWebSocket(t, pathProtocol)
	_, _ = silent.Write(masked(ws.Header{Fin: true, Opcode: ws.OpText}, `{"id":1,"connect":{"token":"`+jwt+`"}}`))
	eventually(t, "both sessions", func() bool { return s.every(2, (*conn).connected) })
	s.pings(2)
	ctx, cancel := context.WithTimeout(t.Context(), testWait)
	defer cancel()
	if _, _, err := honest.ws.Read(ctx); err != nil { // the ping
		t.Fatal(err)
	}
	s.onLoops(func(sh *shard) { // which stands still from here on
		if err := honest.ws.Write(ctx, websocket.MessageText, []byte("{}")); err != nil {
			t.Error(err)
		}
		s.clock.move(time.Hour / 2)
		sh.now = sh.clock()
		sh.pause.turned = time.Now().Add(-time.Hour)
		sh.deadlines(time.Now())
		if n := len(sh.conns.free); sh.conns.used != 2 {
			t.Errorf("%d connections are left, %d slots free", sh.conns.used, n)
		}
		sh.conns.each(func(c *conn) {
			if c.phase != phaseOpen {
				t.Error("a connection was closed before what it sent was read")
			}
		})
	})
	if t.Failed() {
		return
	}
	eventually(t, "the silent one's end", func() bool { return s.every(1, (*conn).connected) })
	honest.mustDo(`"subscribe":{"channel":"feeds:a"}`)
}

// stepped is at with the clock on the wall set by d; the monotonic reading stays.
// Nothing of package time makes such a value but the machine's own clock.
func stepped(at time.Time, d time.Duration) time.Time {
	const nanosecondBits = 30 // of time.Time.wall, below the seconds
	wall := (*uint64)(unsafe.Pointer(&at))
	*wall += uint64(int64(d/time.Second)) << nanosecondBits
	return at
}

// TestStepsOfTheWallClock: nobody is closed by one, but for a token that is over, and
// histories are kept for as long as was promised.
func TestStepsOfTheWallClock(t *testing.T) {
	for name, step := range map[string]time.Duration{"ahead": time.Hour, "back": -time.Hour} {
		t.Run(name, func(t *testing.T) {
			clock := &testClock{at: time.Now()}
			var set atomic.Int64 // by how much the clock on the wall was set
			read := func() time.Time { return stepped(clock.now(), time.Duration(set.Load())) }
			if a, b := stepped(clock.now(), step), clock.now(); a.Sub(b) != 0 || a.Round(0).Sub(b.Round(0)) != step {
				t.Fatal("the test's clock does not step as one on a wall")
			}
			s := start(t, func(c *Config) {
				c.Now = read
				c.Namespaces = []Namespace{{Name: "kept", HistorySize: 10, HistoryTTL: 40 * time.Minute}}
				c.Limits.PingInterval, c.Limits.SessionMax, c.Limits.IPConnectRate, c.Limits.IPConnectBurst = 0, 0, 1, 10
			})
			s.clock = clock
			long := s.connected(t, signClaims(t, token.SignClaims{Subject: "long", ExpiresAt: time.Now().Add(10 * time.Hour).Unix()}))
			short := s.connected(t, signClaims(t, token.SignClaims{Subject: "short", ExpiresAt: time.Now().Add(30 * time.Minute).Unix()}))
			s.publish("kept:a", "1")
			keeps := func(want int) {
				t.Helper()
				if _, list, err := s.memory.History(t.Context(), "kept:a", broker.Filter{Limit: -1}); err != nil || len(list) != want {
					t.Errorf("%d publications are kept, want %d: %v", len(list), want, err)
				}
			}
			set.Store(int64(step))
			s.memory.Sweep(read())
			keeps(1)
			clock.move(time.Second)
			s.onLoops(func(sh *shard) {
				sh.now = sh.clock()
				sh.expire()
			})
			long.do(`"history":{"channel":"open:a"}`) // any answer will do
			s.connected(t, signClaims(t, token.SignClaims{Subject: "new", ExpiresAt: time.Now().Add(10 * time.Hour).Unix()}))
			clock.move(31 * time.Minute)
			if step > 0 {
				short.wantClose(3005)
			} else {
				eventually(t, "three sessions, all looked at", func() bool { return s.every(3, (*conn).connected) })
			}
			long.do(`"history":{"channel":"open:a"}`)
			keeps(1)
			clock.move(9 * time.Minute)
			keeps(0)
		})
	}
}
