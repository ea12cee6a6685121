package ws

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"strings"
	"testing"
)

// unhex reads bytes written as hexadecimal digits and spaces.
func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func label(v *Violation) string {
	if v == nil {
		return "ok"
	}
	return v.Label
}

var headers = []struct {
	name, wire string
	h          Header
}{
	{"text", "81 05", Header{Fin: true, Opcode: OpText, Length: 5}},
	{"masked text", "81 85 37fa213d", Header{Fin: true, Opcode: OpText, Masked: true, Mask: [4]byte{0x37, 0xfa, 0x21, 0x3d}, Length: 5}},
	{"first fragment", "01 03", Header{Opcode: OpText, Length: 3}},
	{"last fragment", "80 02", Header{Fin: true, Opcode: OpContinuation, Length: 2}},
	{"ping", "89 00", Header{Fin: true, Opcode: OpPing}},
	{"125", "82 7d", Header{Fin: true, Opcode: OpBinary, Length: 125}},
	{"126", "82 7e 007e", Header{Fin: true, Opcode: OpBinary, Length: 126}},
	{"256", "82 7e 0100", Header{Fin: true, Opcode: OpBinary, Length: 256}},
	{"65535", "82 fe ffff 01020304", Header{Fin: true, Opcode: OpBinary, Length: 65535, Masked: true, Mask: [4]byte{1, 2, 3, 4}}},
	{"65536", "82 7f 0000000000010000", Header{Fin: true, Opcode: OpBinary, Length: 65536}},
	{"largest", "82 ff 7fffffffffffffff 00000000", Header{Fin: true, Opcode: OpBinary, Length: 1<<63 - 1, Masked: true}},
	{"every bit", "ff 80 ffffffff", Header{Fin: true, Rsv1: true, Rsv2: true, Rsv3: true, Opcode: 0xF, Masked: true, Mask: [4]byte{255, 255, 255, 255}}},
	{"rsv1", "c1 00", Header{Fin: true, Rsv1: true, Opcode: OpText}},
	{"rsv2", "21 00", Header{Rsv2: true, Opcode: OpText}},
	{"rsv3", "11 00", Header{Rsv3: true, Opcode: OpText}},
}

func TestHeaderTable(t *testing.T) {
	for _, c := range headers {
		wire := unhex(t, c.wire)
		h, n, v := ParseHeader(append(wire[:len(wire):len(wire)], "rest"...))
		if v != nil || n != len(wire) || h != c.h {
			t.Errorf("%s: parsed %+v, %d bytes, %s; want %+v, %d bytes", c.name, h, n, label(v), c.h, len(wire))
		}
		if got := AppendHeader([]byte("x"), c.h); !bytes.Equal(got[1:], wire) || got[0] != 'x' {
			t.Errorf("%s: wrote %x, want %x", c.name, got[1:], wire)
		}
		for cut := range wire { // every prefix needs more
			if h, n, v := ParseHeader(wire[:cut]); n != 0 || v != nil || h != (Header{}) {
				t.Errorf("%s cut to %d: %+v, %d bytes, %s; want need more", c.name, cut, h, n, label(v))
			}
		}
	}
}

func TestHeaderViolations(t *testing.T) {
	for _, c := range []struct {
		name, wire string
		want       *Violation
	}{
		{"16 bits for 0", "82 7e 0000", ErrLengthForm},
		{"16 bits for 125", "82 7e 007d", ErrLengthForm},
		{"64 bits for 1", "82 7f 0000000000000001", ErrLengthForm},
		{"64 bits for 65535", "82 7f 000000000000ffff", ErrLengthForm},
		{"64 bits for 65535, masked", "82 ff 000000000000ffff", ErrLengthForm},
		// CVE-2020-27813, CVE-2026-27889: a length that turns negative or overflows.
		{"2^63", "82 ff 8000000000000000", ErrLengthRange},
		{"2^63+1", "82 ff 8000000000000001", ErrLengthRange},
		{"2^64-1", "82 ff ffffffffffffffff", ErrLengthRange},
	} {
		wire := unhex(t, c.wire)
		if _, n, v := ParseHeader(wire); v != c.want || n != 0 {
			t.Errorf("%s: %d bytes, %s; want %s", c.name, n, label(v), label(c.want))
		}
		for cut := range wire {
			if _, n, v := ParseHeader(wire[:cut]); n != 0 || v != nil {
				t.Errorf("%s cut to %d: %d bytes, %s; want need more", c.name, cut, n, label(v))
			}
		}
	}
}

func TestAppendHeaderPanicsOutOfRange(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Fatal("a length of 2^63 was written")
		}
	}()
	AppendHeader(nil, Header{Length: 1 << 63})
}

// naiveHeader reads a header bit by bit; ok is false where ParseHeader must need more or refuse.
func naiveHeader(b []byte) (h Header, n int, ok bool) {
	bit := func(i int) uint64 { return uint64(b[i/8]) >> (7 - i%8) & 1 }
	number := func(from, size int) (x uint64) {
		for i := from; i < from+size; i++ {
			x = x*2 + bit(i)
		}
		return x
	}
	if len(b) < 2 {
		return h, 0, false
	}
	h = Header{Fin: bit(0) == 1, Rsv1: bit(1) == 1, Rsv2: bit(2) == 1, Rsv3: bit(3) == 1,
		Opcode: Opcode(number(4, 4)), Masked: bit(8) == 1, Length: number(9, 7)}
	n = 2
	for _, size := range map[uint64][]int{126: {2}, 127: {8}}[h.Length] {
		least := map[int]uint64{2: 126, 8: 65536}[size]
		if len(b) < n+size {
			return h, 0, false
		}
		h.Length = number(16, size*8)
		if h.Length < least || h.Length > 1<<63-1 {
			return h, 0, false
		}
		n += size
	}
	if h.Masked {
		if len(b) < n+4 {
			return h, 0, false
		}
		binary.BigEndian.PutUint32(h.Mask[:], uint32(number(n*8, 32)))
		n += 4
	}
	return h, n, true
}

func FuzzHeader(f *testing.F) {
	for _, c := range headers {
		f.Add(AppendHeader(nil, c.h))
	}
	f.Add(unhex(f, "82 ff 8000000000000000"))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, n, v := ParseHeader(b)
		ref, refN, ok := naiveHeader(b)
		if ok != (n > 0) || n != refN || ok && (h != ref || v != nil) {
			t.Fatalf("%x: parsed %+v, %d, %s; naive %+v, %d", b, h, n, label(v), ref, refN)
		}
		if ok && !bytes.Equal(AppendHeader(nil, h), b[:n]) {
			t.Fatalf("%x: written back as %x", b[:n], AppendHeader(nil, h))
		}
	})
}

func FuzzMask(f *testing.F) {
	f.Add([]byte("Hello"), uint32(0x37fa213d), uint8(0))
	f.Add(bytes.Repeat([]byte("weir"), 20), uint32(0x01020304), uint8(3))
	f.Fuzz(func(t *testing.T, b []byte, k uint32, pos uint8) {
		var key [4]byte
		binary.BigEndian.PutUint32(key[:], k)
		want := bytes.Clone(b)
		for i := range want {
			want[i] ^= key[(i+int(pos))%4]
		}
		Mask(b, key, int(pos))
		if !bytes.Equal(b, want) {
			t.Fatalf("got %x, want %x", b, want)
		}
	})
}
