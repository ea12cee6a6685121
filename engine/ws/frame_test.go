package ws

import (
	"bytes"
	"strings"
	"testing"
	"unicode/utf8"
)

// RFC 6455 §5.7 and RFC 7692 §7.2.3: the examples, byte by byte.
func TestFramesOfTheRFC(t *testing.T) {
	key := [4]byte{0x37, 0xfa, 0x21, 0x3d}
	for _, c := range []struct {
		name, want string
		got        []byte
	}{
		{"text", "81 05 48656c6c6f", AppendFrame(nil, OpText, []byte("Hello"))},
		{"masked text", "81 85 37fa213d 7f9f4d5158", AppendMasked(nil, OpText, key, []byte("Hello"))},
		{"first fragment", "01 03 48656c", AppendFragment(nil, false, OpText, []byte("Hel"))},
		{"last fragment", "80 02 6c6f", AppendFragment(nil, true, OpContinuation, []byte("lo"))},
		{"ping", "89 05 48656c6c6f", AppendFrame(nil, OpPing, []byte("Hello"))},
		{"masked pong", "8a 85 37fa213d 7f9f4d5158", AppendMasked(nil, OpPong, key, []byte("Hello"))},
		{"compressed", "c1 07 f248cdc9c90700", AppendCompressed(nil, OpText, []byte(hello))},
		{"compressed empty", "c1 01 00", AppendCompressed(nil, OpText, NewDeflater().Append(nil, nil))},
		{"close", "88 05 03e9 627965", AppendClose(nil, 1001, "bye")},
		{"close without code", "88 00", AppendClose(nil, NoStatus, "unseen")},
		{"masked first fragment", "41 85 37fa213d 7f9f4d5158", AppendMaskedFragment(nil, Header{Rsv1: true, Opcode: OpText, Mask: key}, []byte("Hello"))},
	} {
		if want := unhex(t, c.want); !bytes.Equal(c.got, want) {
			t.Errorf("%s: %x, want %x", c.name, c.got, want)
		}
	}
	for n, head := range map[int]string{256: "82 7e 0100", 65536: "82 7f 0000000000010000"} {
		if got := AppendFrame(nil, OpBinary, make([]byte, n)); !bytes.HasPrefix(got, unhex(t, head)) || len(got) != n+len(unhex(t, head)) {
			t.Errorf("%d bytes: %x…", n, got[:10])
		}
	}
}

func TestAppendCloseCutsBetweenCharacters(t *testing.T) {
	for n := range 130 {
		reason := strings.Repeat("a", n) + strings.Repeat("é€😀", 20)
		frame := AppendClose([]byte("x"), 3000, reason)[1:]
		h, head, v := ParseHeader(frame)
		body := frame[head:]
		if v != nil || uint64(len(body)) != h.Length || len(body) > 125 || len(body) < 122 {
			t.Fatalf("%d: a close frame of %d bytes", n, len(body))
		}
		if !utf8.Valid(body[2:]) || !strings.HasPrefix(reason, string(body[2:])) {
			t.Fatalf("%d: the reason became %q", n, body[2:])
		}
	}
}

func TestAppendClosePanicsUponCodesThatMayNotBeSent(t *testing.T) {
	for _, code := range []uint16{0, 999, 1004, 1006, 1015, 2999, 5000} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("code %d was written", code)
				}
			}()
			AppendClose(nil, code, "")
		}()
	}
}

// Messages are compressed each by itself: the same one always gives the same bytes.
func TestDeflaterHasNoContext(t *testing.T) {
	d := NewDeflater()
	z := newInflater()
	texts := samples(5000)
	first := map[string][]byte{}
	for round := range 3 {
		for name, text := range texts {
			out := d.Append([]byte("dst"), text)
			if !bytes.HasPrefix(out, []byte("dst")) {
				t.Fatal("what stood in dst is lost")
			}
			if round == 0 {
				first[name] = bytes.Clone(out)
			} else if !bytes.Equal(out, first[name]) {
				t.Fatalf("%s: round %d gave other bytes", name, round)
			}
			if got, v := z.inflate(nil, out[3:], len(text)); v != nil || !bytes.Equal(got, text) {
				t.Fatalf("%s: %s", name, label(v))
			}
			if got, ok := inflateStd(out[3:]); !ok || !bytes.Equal(got, text) {
				t.Fatalf("%s: compress/flate reads something else", name)
			}
		}
	}
	if n := len(first["words"]); n > 2500 {
		t.Fatalf("5000 bytes of JSON became %d", n)
	}
}

// What one side writes the other reads.
func FuzzRoundTrip(f *testing.F) {
	f.Add([]byte("Hello"), uint8(1), true, uint8(2))
	f.Add(bytes.Repeat([]byte("weir "), 100), uint8(3), false, uint8(0))
	d := NewDeflater()
	s := new(Scratch)
	lim := &Limits{Message: 1 << 20, Compression: true}
	f.Fuzz(func(t *testing.T, payload []byte, how uint8, toClient bool, parts uint8) {
		w := side{toClient}
		var stream []byte
		if how%2 == 0 {
			stream = w.frame(Header{Fin: true, Rsv1: true, Opcode: OpBinary}, d.Append(nil, payload))
		} else {
			size := len(payload)/(int(parts%8)+1) + 1
			op, rest := OpBinary, payload
			for len(rest) > size {
				stream = append(stream, w.frame(Header{Opcode: op}, rest[:size])...)
				op, rest = OpContinuation, rest[size:]
			}
			stream = append(stream, w.frame(Header{Fin: true, Opcode: op}, rest)...)
		}
		r, of := Reader{}, *lim
		of.Client = toClient
		ev, rest, v := r.Next(stream, &of, s)
		if v != nil || ev.Kind != Binary || !bytes.Equal(ev.Payload, payload) || len(rest) != 0 || r.Partial() {
			t.Fatalf("%d bytes came back as %d, %s", len(payload), len(ev.Payload), label(v))
		}
	})
}
