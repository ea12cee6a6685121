package engine

import (
	"net"
	"strings"
	"syscall"
	"testing"

	"weir/engine/broker"
	"weir/engine/hub"
	"weir/engine/outbox"
	"weir/engine/ws"
)

// audience is n subscribers of feeds:a who read when they are told to.
type audience struct {
	*testServer
	ends []syscall.RawConn
	take func(fd uintptr) (done bool)
}

func newAudience(b *testing.B, n int) *audience {
	buf := make([]byte, 64<<10)
	a := &audience{take: func(fd uintptr) bool {
		for {
			if n, _ := syscall.Read(int(fd), buf); n <= 0 {
				return true
			}
		}
	}}
	a.testServer = start(b, func(c *Config) {
		l := &c.Limits
		c.Pollers, l.PingInterval, l.MessageRate, l.ByteRate, l.PingRate = 1, 0, 0, 0, 0
	})
	jwt := sign(b, "u", "feeds:*")
	for range n {
		c := a.rawWebSocket(b, pathProtocol)
		if _, err := c.Write(masked(ws.Header{Fin: true, Opcode: ws.OpText},
			`{"id":1,"connect":{"token":"`+jwt+`"}}`+"\n"+`{"id":2,"subscribe":{"channel":"feeds:a"}}`)); err != nil {
			b.Fatal(err)
		}
		end, err := c.NetConn().(*net.TCPConn).SyscallConn()
		if err != nil {
			b.Fatal(err)
		}
		a.ends = append(a.ends, end)
	}
	eventually(b, "all subscriptions", func() bool { return a.shared.hub.Subscribers("feeds:a") == n })
	return a
}

// drain reads what has come, without waiting for more. No allocation.
func (a *audience) drain() {
	for _, end := range a.ends {
		_ = end.Read(a.take)
	}
}

// each runs f for b, after the connections have become hot: their AEADs are kept
// from then on. What f sends fits a socket's buffers 32 times; reading it is a
// hundredth of sending it.
func (a *audience) each(b *testing.B, f func()) {
	for range 5 {
		f()
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if i%32 == 31 {
			a.drain()
		}
		f()
	}
}

// BenchmarkDelivery is one publication from the inbox to the sockets of 50 subscribers.
func BenchmarkDelivery(b *testing.B) {
	const n = 50
	s := newAudience(b, n)
	s.onLoops(func(sh *shard) {
		ch := sh.conns.at(firstOpen(sh)).session.Subs()[0].Channel
		frame := &outbox.Frame{Plain: ws.AppendFrame(nil, ws.OpText, []byte(strings.Repeat("x", 64))), Topic: ch.ID}
		d := hub.Delivery{Channel: ch, Position: broker.Position{Offset: 1 << 40}, Frames: [hub.Forms]*outbox.Frame{hub.Protocol: frame}}
		s.each(b, func() {
			if sh.spreadOut(&d) != n+1 {
				b.Error("a subscriber is gone")
			}
			sh.sweep()
		})
	})
}

// BenchmarkMessage is one message from its record's plaintext to what is answered.
func BenchmarkMessage(b *testing.B) {
	for _, c := range []struct{ name, text string }{
		{"pong", `{}`},
		{"refused", `{"id":7,"publish":{"channel":"feeds:a","data":{"a":1,"a":2}}}`},
		{"unsubscribe", `{"id":7,"unsubscribe":{"channel":"feeds:b"}}`},
	} {
		b.Run(c.name, func(b *testing.B) {
			s := newAudience(b, 1)
			frame := masked(ws.Header{Fin: true, Opcode: ws.OpText}, c.text)
			s.onLoops(func(sh *shard) {
				conn := sh.conns.at(firstOpen(sh))
				in := make([]byte, len(frame))
				s.each(b, func() {
					copy(in, frame) // it is unmasked in place
					sh.read(conn, in)
					sh.settle(conn)
				})
				if conn.phase != phaseOpen {
					b.Error("the connection was closed")
				}
			})
		})
	}
}
