package ws

import (
	"testing"
)

func TestCheckTable(t *testing.T) {
	server, client := State{}, State{Client: true}
	deflate, within := State{Compression: true}, State{Fragmented: true}
	masked := func(h Header) Header { h.Masked = true; return h }
	for _, c := range []struct {
		name string
		h    Header
		s    State
		want *Violation
	}{
		{"text to a server", masked(Header{Fin: true, Opcode: OpText}), server, nil},
		{"text to a client", Header{Fin: true, Opcode: OpText}, client, nil},
		{"unmasked to a server", Header{Fin: true, Opcode: OpText}, server, ErrUnmasked},
		{"masked to a client", masked(Header{Fin: true, Opcode: OpText}), client, ErrMasked},
		{"rsv1", masked(Header{Fin: true, Opcode: OpText, Rsv1: true}), server, ErrReservedBits},
		{"rsv1 with compression", masked(Header{Fin: true, Opcode: OpText, Rsv1: true}), deflate, nil},
		{"rsv1 on a first fragment", masked(Header{Opcode: OpBinary, Rsv1: true}), deflate, nil},
		{"rsv1 on a continuation", masked(Header{Rsv1: true}), State{Compression: true, Fragmented: true}, ErrReservedBits},
		{"rsv1 on a ping", masked(Header{Fin: true, Opcode: OpPing, Rsv1: true}), deflate, ErrReservedBits},
		{"rsv2", masked(Header{Fin: true, Opcode: OpText, Rsv2: true}), deflate, ErrReservedBits},
		{"rsv3", masked(Header{Fin: true, Opcode: OpText, Rsv3: true}), deflate, ErrReservedBits},
		{"opcode 3", masked(Header{Fin: true, Opcode: 3}), server, ErrReservedOpcode},
		{"opcode 7", masked(Header{Fin: true, Opcode: 7}), server, ErrReservedOpcode},
		{"opcode 11", masked(Header{Fin: true, Opcode: 11}), server, ErrReservedOpcode},
		{"opcode 15", masked(Header{Fin: true, Opcode: 15}), server, ErrReservedOpcode},
		{"ping of 125", masked(Header{Fin: true, Opcode: OpPing, Length: 125}), server, nil},
		{"ping of 126", masked(Header{Fin: true, Opcode: OpPing, Length: 126}), server, ErrControlLength},
		{"pong of 126", masked(Header{Fin: true, Opcode: OpPong, Length: 126}), server, ErrControlLength},
		{"close of 126", masked(Header{Fin: true, Opcode: OpClose, Length: 126}), server, ErrControlLength},
		{"fragmented ping", masked(Header{Opcode: OpPing}), server, ErrControlFragment},
		{"fragmented close", masked(Header{Opcode: OpClose}), server, ErrControlFragment},
		{"empty close", masked(Header{Fin: true, Opcode: OpClose}), server, nil},
		{"close of one byte", masked(Header{Fin: true, Opcode: OpClose, Length: 1}), server, ErrCloseLength},
		{"ping of one byte", masked(Header{Fin: true, Opcode: OpPing, Length: 1}), server, nil},
		{"ping within a message", masked(Header{Fin: true, Opcode: OpPing}), within, nil},
		{"continuation", masked(Header{}), within, nil},
		{"last continuation", masked(Header{Fin: true}), within, nil},
		{"continuation of nothing", masked(Header{}), server, ErrContinuation},
		{"last continuation of nothing", masked(Header{Fin: true}), server, ErrContinuation},
		{"text within a message", masked(Header{Fin: true, Opcode: OpText}), within, ErrInterleaved},
		{"binary within a message", masked(Header{Opcode: OpBinary}), within, ErrInterleaved},
	} {
		if v := Check(c.h, c.s); v != c.want {
			t.Errorf("%s: %s, want %s", c.name, label(v), label(c.want))
		}
	}
}

// naiveLegal lists what is allowed, where Check lists what is not.
func naiveLegal(h Header, s State) bool {
	if h.Masked == s.Client || h.Rsv2 || h.Rsv3 {
		return false
	}
	switch h.Opcode {
	case 0:
		return s.Fragmented && !h.Rsv1
	case 1, 2:
		return !s.Fragmented && (s.Compression || !h.Rsv1)
	case 8:
		return h.Fin && !h.Rsv1 && (h.Length == 0 || h.Length >= 2 && h.Length <= 125)
	case 9, 10:
		return h.Fin && !h.Rsv1 && h.Length <= 125
	}
	return false
}

func TestCheckEveryHeaderInEveryState(t *testing.T) {
	for first := range 256 {
		for bits := range 16 {
			for _, length := range []uint64{0, 1, 2, 125, 126, 65536, 1<<63 - 1} {
				h := Header{Fin: first&0x80 != 0, Rsv1: first&0x40 != 0, Rsv2: first&0x20 != 0, Rsv3: first&0x10 != 0,
					Opcode: Opcode(first & 15), Masked: bits&8 != 0, Length: length}
				s := State{Client: bits&1 != 0, Compression: bits&2 != 0, Fragmented: bits&4 != 0}
				if v := Check(h, s); (v == nil) != naiveLegal(h, s) {
					t.Fatalf("%+v in %+v: %s, naive says legal %v", h, s, label(v), naiveLegal(h, s))
				}
			}
		}
	}
}

func TestCloseCodes(t *testing.T) {
	valid := map[uint16]bool{}
	for _, span := range [][2]uint16{{1000, 1003}, {1007, 1014}, {3000, 4999}} {
		for code := span[0]; code <= span[1]; code++ {
			valid[code] = true
		}
	}
	for code := range 1 << 16 {
		if ValidCloseCode(uint16(code)) != valid[uint16(code)] {
			t.Errorf("code %d: %v", code, ValidCloseCode(uint16(code)))
		}
	}
}

func TestViolationsCanBeSent(t *testing.T) {
	labels := map[string]bool{}
	for _, v := range Violations() {
		if !ValidCloseCode(v.Code) || v.Reason == "" || len(v.Reason) > 60 || v.Label == "" || labels[v.Label] {
			t.Errorf("%+v", *v)
		}
		labels[v.Label] = true
	}
	if len(labels) != 18 {
		t.Errorf("%d violations are listed, the package has 18", len(labels))
	}
}
