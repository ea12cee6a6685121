package client

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"weir/engine/ws"
)

// stream is a connection with what the server says, and room for what we say.
type stream struct {
	io.Reader
	bytes.Buffer
}

func (s *stream) Read(b []byte) (int, error) { return s.Reader.Read(b) }

func conn(said []byte, by func(io.Reader) io.Reader) (*Conn, *stream) {
	s := &stream{Reader: by(bytes.NewReader(said))}
	return &Conn{stream: s, buf: make([]byte, 8)}, s
}

// TestNextHoweverItArrives: messages come out whole and in order, pings are
// answered and not returned, and the close code is told.
func TestNextHoweverItArrives(t *testing.T) {
	long := strings.Repeat("x", 70_000)
	said := ws.AppendFrame(nil, ws.OpText, []byte(`{"a":1}`))
	said = ws.AppendFrame(said, ws.OpText, []byte(`{}`))
	said = ws.AppendFrame(said, ws.OpText, []byte(long))
	said = ws.AppendFrame(said, ws.OpPing, []byte("p"))
	said = ws.AppendClose(said, 3008, "slow")
	for name, by := range map[string]func(io.Reader) io.Reader{
		"at once":         func(r io.Reader) io.Reader { return r },
		"byte by byte":    iotest.OneByteReader,
		"with the error":  iotest.DataErrReader,
		"half of the ask": iotest.HalfReader,
	} {
		c, s := conn(said, by)
		for _, want := range []string{`{"a":1}`, long} {
			got, err := c.Next()
			if err != nil || string(got) != want {
				t.Fatalf("%s: %.20q, %v; want %.20q", name, got, err, want)
			}
		}
		if _, err := c.Next(); !errors.Is(err, ErrClosed) || !strings.Contains(err.Error(), "3008 slow") {
			t.Fatalf("%s: %v; want the close with its code", name, err)
		}
		for _, want := range []string{"{}", "p"} {
			h, n, v := ws.ParseHeader(s.Bytes())
			if v != nil || !h.Masked {
				t.Fatalf("%s: the answer to a ping is %+v, %v", name, h, v)
			}
			answer := s.Next(n + int(h.Length))[n:]
			if ws.Mask(answer, h.Mask, 0); string(answer) != want {
				t.Fatalf("%s: a ping was answered %q, want %q", name, answer, want)
			}
		}
	}
}

func TestNextRefuses(t *testing.T) {
	for name, said := range map[string][]byte{
		"over the bound": ws.AppendHeader(nil, ws.Header{Fin: true, Opcode: ws.OpText, Length: maxMessageBytes + 1}),
		"binary":         ws.AppendFrame(nil, ws.OpBinary, []byte("b")),
		"a fragment":     ws.AppendFragment(nil, false, ws.OpText, []byte("b")),
		"masked":         ws.AppendMasked(nil, ws.OpText, [4]byte{1}, []byte("b")),
		"cut":            ws.AppendFrame(nil, ws.OpText, []byte("abc"))[:3],
	} {
		c, _ := conn(said, func(r io.Reader) io.Reader { return r })
		if got, err := c.Next(); err == nil {
			t.Errorf("%s: returned %q", name, got)
		}
	}
}

func TestNextAllocatesNothing(t *testing.T) {
	frame := ws.AppendFrame(nil, ws.OpText, bytes.Repeat([]byte("x"), 300))
	said := bytes.Repeat(frame, 2000)
	c, _ := conn(said, func(r io.Reader) io.Reader { return r })
	c.buf = make([]byte, 4096)
	if n := testing.AllocsPerRun(1000, func() {
		if _, err := c.Next(); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations per message", n)
	}
}
