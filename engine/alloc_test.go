package engine

import (
	"strings"
	"testing"

	"weir/engine/broker"
	"weir/engine/hub"
	"weir/engine/outbox"
	"weir/engine/ws"
)

// subscribers connects n clients that subscribe to channel and then only let
// the kernel collect what they are sent.
func (s *testServer) subscribers(t testing.TB, n int, channel string) {
	t.Helper()
	jwt := sign(t, "u", "feeds:*")
	for range n {
		c := s.rawWebSocket(t, pathProtocol)
		if _, err := c.Write(masked(ws.Header{Fin: true, Opcode: ws.OpText},
			`{"id":1,"connect":{"token":"`+jwt+`"}}`+"\n"+`{"id":2,"subscribe":{"channel":"`+channel+`"}}`)); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "all subscriptions", func() bool { return s.shared.hub.Subscribers(channel) == n })
}

// TestNoAllocationPerDelivery runs the whole way from the inbox to the socket
// (sweep over subscribers, outbox, seal, write) on the loop itself.
func TestNoAllocationPerDelivery(t *testing.T) {
	if raceEnabled {
		t.Skip("skipped: the race detector allocates")
	}
	s := start(t, func(c *Config) { c.Pollers, c.Limits.PingInterval = 1, 0 })
	s.subscribers(t, 50, "feeds:a")
	s.onLoops(func(sh *shard) {
		ch := sh.conns.at(firstOpen(sh)).session.Subs()[0].Channel
		frame := &outbox.Frame{Plain: ws.AppendFrame(nil, ws.OpText, []byte(strings.Repeat("x", 64))), Topic: ch.ID}
		d := hub.Delivery{Channel: ch, Position: broker.Position{Offset: 1 << 40}, Frames: [hub.Forms]*outbox.Frame{hub.Protocol: frame}}
		deliver := func() {
			if n := sh.spreadOut(&d); n != 51 {
				t.Errorf("spread to %d subscribers, want 50", n-1)
			}
			sh.sweep()
		}
		for range 5 {
			deliver() // the connections become hot: their AEADs are kept from now on
		}
		if n := testing.AllocsPerRun(100, deliver); n != 0 {
			t.Errorf("%v allocations for 50 deliveries, want 0", n)
		}
	})
}

func firstOpen(s *shard) (slot uint32) {
	s.conns.each(func(c *conn) {
		if c.phase == phaseOpen {
			slot = c.Slot
		}
	})
	return slot
}

// TestNoAllocationPerMessage: whole messages, accepted and refused, through
// frames, commands, replies, seal and write.
func TestNoAllocationPerMessage(t *testing.T) {
	if raceEnabled {
		t.Skip("skipped: the race detector allocates")
	}
	s := start(t, func(c *Config) {
		l := &c.Limits
		c.Pollers, l.PingInterval, l.MessageRate, l.ByteRate, l.PingRate = 1, 0, 0, 0, 0
	})
	s.subscribers(t, 1, "feeds:a")
	for name, frame := range map[string][]byte{
		"pong":                     masked(ws.Header{Fin: true, Opcode: ws.OpText}, `{}`),
		"WebSocket ping":           masked(ws.Header{Fin: true, Opcode: ws.OpPing}, `ping`),
		"unknown method":           masked(ws.Header{Fin: true, Opcode: ws.OpText}, `{"id":7,"nonsense":{}}`),
		"not available":            masked(ws.Header{Fin: true, Opcode: ws.OpText}, `{"id":7,"rpc":{"method":"m"}}`),
		"payload refused: depth":   masked(ws.Header{Fin: true, Opcode: ws.OpText}, `{"id":7,"publish":{"channel":"feeds:a","data":`+strings.Repeat("[", 20)+strings.Repeat("]", 20)+`}}`),
		"payload refused: members": masked(ws.Header{Fin: true, Opcode: ws.OpText}, `{"id":7,"publish":{"channel":"feeds:a","data":{"a":1,"a":2}}}`),
		"unsubscribe of nothing":   masked(ws.Header{Fin: true, Opcode: ws.OpText}, `{"id":7,"unsubscribe":{"channel":"feeds:b"}}`),
	} {
		s.onLoops(func(sh *shard) {
			c := sh.conns.at(firstOpen(sh))
			in := make([]byte, len(frame))
			receive := func() {
				copy(in, frame) // it is unmasked in place
				sh.read(c, in)
				sh.settle(c)
			}
			for range 5 {
				receive()
			}
			if n := testing.AllocsPerRun(100, receive); n != 0 {
				t.Errorf("%s: %v allocations, want 0", name, n)
			}
			if c.phase != phaseOpen {
				t.Errorf("%s: the connection was closed", name)
			}
		})
	}
}

// TestNoAllocationPerRefusedFrame: what breaks the frame rules ends the
// connection; telling the peer why allocates nothing either.
func TestNoAllocationPerRefusedFrame(t *testing.T) {
	if raceEnabled {
		t.Skip("skipped: the race detector allocates")
	}
	s := start(t, func(c *Config) { c.Pollers, c.Limits.PingInterval = 1, 0 })
	const n = 40
	s.subscribers(t, n, "feeds:a")
	s.onLoops(func(sh *shard) {
		var open []*conn
		sh.conns.each(func(c *conn) { open = append(open, c) })
		for _, c := range open { // warm: control buffers, AEADs
			for range 3 {
				sh.reply(c, ws.OpPing, nil)
				sh.settle(c)
			}
		}
		frame := masked(ws.Header{Fin: true, Rsv2: true, Opcode: ws.OpText}, "{}")
		in := make([]byte, len(frame))
		i := 0
		allocs := testing.AllocsPerRun(n-1, func() {
			copy(in, frame)
			sh.read(open[i], in)
			sh.settle(open[i])
			if open[i].phase != phaseFinished {
				t.Error("the frame was accepted")
			}
			i++
		})
		if allocs != 0 {
			t.Errorf("%v allocations per refused frame, want 0", allocs)
		}
	})
}
