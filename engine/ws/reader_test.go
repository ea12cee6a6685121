package ws

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
	"unsafe"
)

var generous = Limits{Message: 1 << 20, Fragments: 64, Compression: true}

// side writes frames as one side would send them.
type side struct{ toClient bool }

func (w side) frame(h Header, payload []byte) []byte {
	if w.toClient {
		h.Length = uint64(len(payload))
		return append(AppendHeader(nil, h), payload...)
	}
	h.Mask = [4]byte{0x37, 0xfa, 0x21, 0x3d}
	return AppendMaskedFragment(nil, h, payload)
}

// spell writes frames from a short notation: fin or more, rsv1, opcode digit, colon, payload.
//
//	"F1:abc" whole text, "M1:abc" first fragment, "F0:abc" last, "C1:…" whole compressed text
func (w side) spell(frames ...string) []byte {
	var out []byte
	for _, f := range frames {
		h := Header{Fin: f[0] == 'F' || f[0] == 'C', Rsv1: f[0] == 'C' || f[0] == 'D'}
		fmt.Sscanf(f[1:2], "%x", &h.Opcode)
		out = append(out, w.frame(h, []byte(f[3:]))...)
	}
	return out
}

// read feeds stream in pieces that end at the cuts and tells what came of it. Each piece is wiped before
// the next: whatever the Reader keeps must be its own.
func read(r *Reader, s *Scratch, lim *Limits, stream []byte, cuts ...int) []string {
	var got []string
	at := 0
	for len(stream) > 0 || len(cuts) > 0 {
		n := len(stream)
		if len(cuts) > 0 {
			n, cuts = cuts[0]-at, cuts[1:]
		}
		piece := append(make([]byte, 0, n), stream[:n]...)
		stream = stream[n:]
		at += n
		in := piece
		for {
			ev, rest, v := r.Next(in, lim, s)
			if v != nil {
				got = append(got, fmt.Sprintf("!%d", v.Code))
			}
			if ev.Kind == None {
				break
			}
			got = append(got, tell(ev.Kind, ev.Code, ev.Payload))
			in = rest
		}
		for i := range piece {
			piece[i] = 0xEE
		}
	}
	return got
}

func tell(kind Kind, code uint16, payload []byte) string {
	name := [...]string{"", "text", "binary", "ping", "pong", "close"}[kind]
	if kind == Close {
		name = fmt.Sprint(name, code)
	}
	return fmt.Sprintf("%s:%s", name, payload)
}

const hello = "\xf2\x48\xcd\xc9\xc9\x07\x00" // RFC 7692 §7.2.3.1

// The sections of RFC 6455 §5 to §8 and RFC 7692, in the manner of the Autobahn test suite.
var conversations = []struct {
	name   string
	frames []string
	want   string // events and violations, joined by " | "
}{
	{"empty text", []string{"F1:"}, "text:"},
	{"text", []string{"F1:Hello"}, "text:Hello"},
	{"text of 125, 126, 127", []string{"F1:" + strings.Repeat("*", 125), "F1:" + strings.Repeat("*", 126), "F1:" + strings.Repeat("*", 127)},
		"text:" + strings.Repeat("*", 125) + " | text:" + strings.Repeat("*", 126) + " | text:" + strings.Repeat("*", 127)},
	{"binary", []string{"F2:\x00\xff\xfe"}, "binary:\x00\xff\xfe"},
	{"pings and pongs", []string{"F9:", "F9:p", "Fa:unasked", "F9:" + strings.Repeat("\xfe", 125)},
		"ping: | ping:p | pong:unasked | ping:" + strings.Repeat("\xfe", 125)},
	{"long ping", []string{"F9:" + strings.Repeat("*", 126)}, "!1002"},
	{"fragmented ping", []string{"M9:p"}, "!1002"},
	{"reserved opcodes", []string{"F1:a", "F3:", "F1:b"}, "text:a | !1002"},
	{"reserved control opcode", []string{"F1:a", "Fb:", "F1:b"}, "text:a | !1002"},
	{"reserved opcode within a message", []string{"M1:a", "F5:x"}, "!1002"},
	{"two fragments", []string{"M1:fragment1", "F0:fragment2"}, "text:fragment1fragment2"},
	{"empty fragments", []string{"M1:", "M0:", "F0:"}, "text:"},
	{"empty fragments around", []string{"M2:", "M0:middle", "F0:"}, "binary:middle"},
	{"ping between fragments", []string{"M1:one", "F9:ping", "F0:two", "F1:next"}, "ping:ping | text:onetwo | text:next"},
	{"many pings between fragments", []string{"M1:1", "M0:2", "F9:a", "M0:3", "M0:4", "F9:b", "Fa:", "F0:5"}, "ping:a | ping:b | pong: | text:12345"},
	{"continuation of nothing", []string{"F0:x", "F1:y"}, "!1002"},
	{"continuation without end of nothing", []string{"M0:x"}, "!1002"},
	{"continuation after the end", []string{"M1:a", "F0:b", "F0:c"}, "text:ab | !1002"},
	{"text within a message", []string{"M1:a", "F1:b"}, "!1002"},
	{"fragment within a message", []string{"M1:a", "M2:b"}, "!1002"},
	{"good UTF-8", []string{"F1:Hello-µ@ßöäüàá-UTF-8!!"}, "text:Hello-µ@ßöäüàá-UTF-8!!"},
	{"UTF-8 across fragments", []string{"M1:\xce", "M0:\xba\xe1", "M0:\xbd", "F0:\xb9"}, "text:\xce\xba\xe1\xbd\xb9"},
	{"UTF-8 with pings between", []string{"M1:\xf0\x9f", "F9:\xff", "F0:\x98\x80"}, "ping:\xff | text:\xf0\x9f\x98\x80"},
	{"bad UTF-8", []string{"F1:ab\xffcd"}, "!1007"},
	{"bad UTF-8 across fragments", []string{"M1:\xce", "F0:\xce"}, "!1007"},
	{"UTF-8 cut at the end", []string{"F1:\xe1\xbd"}, "!1007"},
	{"UTF-8 cut at the end of fragments", []string{"M1:a\xe1", "F0:\xbd"}, "!1007"},
	{"UTF-8 cut at the end, last fragment empty", []string{"M1:a\xe1\xbd", "F0:"}, "!1007"},
	{"surrogate", []string{"F1:\xed\xa0\x80"}, "!1007"},
	{"overlong", []string{"F1:\xc0\x80"}, "!1007"},
	{"beyond Unicode", []string{"F1:\xf4\x90\x80\x80"}, "!1007"},
	{"bad UTF-8 fails before the end", []string{"M1:\xf4\x90"}, "!1007"},
	{"bad UTF-8 is fine in binary", []string{"M2:\xf4", "F0:\x90"}, "binary:\xf4\x90"},
	{"close", []string{"F8:\x03\xe8bye"}, "close1000:bye"},
	{"close without code", []string{"F8:"}, "close1005:"},
	{"close of one byte", []string{"F8:\x03"}, "!1002"},
	{"close without reason", []string{"F8:\x0b\xb8"}, "close3000:"},
	{"close with the longest reason", []string{"F8:\x03\xe8" + strings.Repeat("*", 123)}, "close1000:" + strings.Repeat("*", 123)},
	{"close too long", []string{"F8:\x03\xe8" + strings.Repeat("*", 124)}, "!1002"},
	{"close with bad reason", []string{"F8:\x03\xe8\xce\xba\xff"}, "!1007"},
	{"close 0", []string{"F8:\x00\x00"}, "!1002"},
	{"close 999", []string{"F8:\x03\xe7"}, "!1002"},
	{"close 1004", []string{"F8:\x03\xec"}, "!1002"},
	{"close 1005", []string{"F8:\x03\xed"}, "!1002"},
	{"close 1006", []string{"F8:\x03\xee"}, "!1002"},
	{"close 1015", []string{"F8:\x03\xf7"}, "!1002"},
	{"close 2999", []string{"F8:\x0b\xb7"}, "!1002"},
	{"close 5000", []string{"F8:\x13\x88"}, "!1002"},
	{"close 65535", []string{"F8:\xff\xff"}, "!1002"},
	{"fragmented close", []string{"M8:\x03\xe8"}, "!1002"},
	// CVE-2024-23672: what comes after the close is neither answered nor kept.
	{"anything after close", []string{"F8:\x03\xe8", "F1:x", "F9:", "F8:\x03\xe8", "F3:"}, "close1000:"},
	{"close within a message", []string{"M1:a", "F8:\x03\xe9", "F0:b"}, "close1001:"},
	{"anything after a violation", []string{"F3:", "F1:x", "F8:"}, "!1002"},
	{"compressed", []string{"C1:" + hello, "C2:" + hello, "F1:plain"}, "text:Hello | binary:Hello | text:plain"},
	{"compressed in fragments", []string{"D1:" + hello[:3], "M0:", "F9:p", "F0:" + hello[3:]}, "ping:p | text:Hello"},
	{"compressed bit on a continuation", []string{"D1:" + hello[:3], "C0:" + hello[3:]}, "!1002"},
	{"compressed ping", []string{"C9:" + hello}, "!1002"},
	{"compressed, empty", []string{"C1:\x00", "C1:"}, "text: | text:"},
	{"compressed bad UTF-8", []string{"C1:\x00\x02\x00\xfd\xff\xc3\x28\x00"}, "!1007"},
	{"compressed bad UTF-8 in fragments", []string{"D1:\x00\x02\x00\xfd", "F0:\xff\xc3\x28\x00"}, "!1007"},
	{"compressed garbage", []string{"C2:\x06\x00"}, "!1007"},
}

func TestConversations(t *testing.T) {
	for _, toClient := range []bool{false, true} {
		s := new(Scratch)
		for _, c := range conversations {
			stream := side{toClient}.spell(c.frames...)
			check := func(how string, cuts ...int) {
				t.Helper()
				r, lim := Reader{}, generous
				lim.Client = toClient
				got := strings.Join(read(&r, s, &lim, stream, cuts...), " | ")
				if got != c.want {
					t.Fatalf("%s, to client %v, %s: got %q, want %q", c.name, toClient, how, got, c.want)
				}
				if want := !r.ended() && partialAt(stream); r.Partial() != want {
					t.Fatalf("%s, to client %v, %s: Partial %v at the end", c.name, toClient, how, r.Partial())
				}
				r.Release(s)
			}
			check("at once")
			var each []int
			for cut := range stream {
				check(fmt.Sprintf("split at %d", cut), cut)
				each = append(each, cut)
			}
			check("byte by byte", each...)
		}
	}
}

// Every prefix of every conversation yields a beginning of what the whole yields, and says that it
// is partial exactly when a frame or a message is not whole.
func TestPrefixes(t *testing.T) {
	s := new(Scratch)
	for _, c := range conversations {
		stream := side{}.spell(c.frames...)
		whole := read(new(Reader), s, &generous, stream)
		for cut := range stream {
			r := new(Reader)
			got := read(r, s, &generous, stream[:cut])
			if len(got) > len(whole) || !slices.Equal(got, whole[:len(got)]) {
				t.Fatalf("%s cut to %d: %q, whole %q", c.name, cut, got, whole)
			}
			wantPartial := !r.ended() && partialAt(stream[:cut])
			if r.Partial() != wantPartial || (r.Buffered() > 0) != wantPartial {
				t.Fatalf("%s cut to %d: Partial %v, Buffered %d, want %v", c.name, cut, r.Partial(), r.Buffered(), wantPartial)
			}
			r.Release(s)
			if r.Partial() || r.Buffered() != 0 {
				t.Fatalf("%s cut to %d: something is held after Release", c.name, cut)
			}
		}
	}
}

// partialAt walks whole frames and tells whether the stream ends within a frame or a message.
func partialAt(b []byte) bool {
	within := false
	for len(b) > 0 {
		h, n, ok := naiveHeader(b)
		if !ok || uint64(len(b)-n) < h.Length {
			return true
		}
		b = b[n+int(h.Length):]
		if !h.Opcode.Control() {
			within = !h.Fin
		}
	}
	return within
}

func TestReaderSide(t *testing.T) {
	s := new(Scratch)
	if got := read(new(Reader), s, &generous, side{toClient: true}.spell("F1:a")); !slices.Equal(got, []string{"!1002"}) {
		t.Errorf("a server read an unmasked frame: %q", got)
	}
	if got := read(new(Reader), s, &Limits{Message: 1, Client: true}, side{}.spell("F1:a")); !slices.Equal(got, []string{"!1002"}) {
		t.Errorf("a client read a masked frame: %q", got)
	}
	if got := read(new(Reader), s, &Limits{Message: 100}, side{}.spell("C1:"+hello)); !slices.Equal(got, []string{"!1002"}) {
		t.Errorf("compression without negotiation: %q", got)
	}
}

func TestLimits(t *testing.T) {
	s := new(Scratch)
	ten := &Limits{Message: 10, Fragments: 3, Compression: true}
	noise := string(deflateStd(t, []byte("\x00\x91\xf3\x7c\x05\xb8\xdd\x21\xfe\x6a"), 9))
	if len(noise) <= 10 {
		t.Fatalf("noise went into %d bytes", len(noise))
	}
	deflated := func(n int) string { return string(deflateStd(t, bytes.Repeat([]byte("a"), n), 9)) }
	for _, c := range []struct {
		name   string
		frames []string
		want   string
	}{
		{"at the limit", []string{"F1:0123456789"}, "text:0123456789"},
		{"over it", []string{"F1:0123456789a"}, "!1009"},
		{"fragments at the limit", []string{"M1:0123", "F0:456789"}, "text:0123456789"},
		{"fragments over it", []string{"M1:0123", "F0:456789a"}, "!1009"},
		{"two messages at the limit", []string{"F1:0123456789", "M1:01234", "F0:56789"}, "text:0123456789 | text:0123456789"},
		{"a ping is no part of a message", []string{"F9:0123456789abcdef", "M1:0", "F9:0123456789abcdef", "F0:1"}, "ping:0123456789abcdef | ping:0123456789abcdef | text:01"},
		{"inflated at the limit", []string{"C1:" + deflated(10)}, "text:aaaaaaaaaa"},
		{"noise at the limit, longer when compressed", []string{"C2:" + noise}, "binary:\x00\x91\xf3\x7c\x05\xb8\xdd\x21\xfe\x6a"},
		{"inflated over it", []string{"C1:" + deflated(11)}, "!1009"},
		{"inflated over it in fragments", []string{"D1:" + deflated(11)[:2], "F0:" + deflated(11)[2:]}, "!1009"},
		{"compressed payload over all sense", []string{"C1:" + strings.Repeat("\x00", 100)}, "!1009"},
		{"three fragments", []string{"M1:", "M0:", "F0:"}, "text:"},
		{"four fragments", []string{"M1:", "M0:", "M0:", "F0:"}, "!1008"},
		{"fragments are counted by message", []string{"M1:", "M0:", "F0:", "M1:", "M0:", "F0:"}, "text: | text:"},
	} {
		stream := side{}.spell(c.frames...)
		for cut := range stream {
			if got := strings.Join(read(new(Reader), s, ten, stream, cut), " | "); got != c.want {
				t.Errorf("%s, split at %d: %q, want %q", c.name, cut, got, c.want)
			}
		}
	}
	r := new(Reader)
	read(r, s, ten, side{}.spell("M1:01234"))
	if got := read(r, s, &Limits{Message: 4}, side{}.spell("F0:5")); !slices.Equal(got, []string{"!1009"}) {
		t.Errorf("a limit lowered amid a message: %q", got)
	}
	if got := read(new(Reader), s, &Limits{}, side{}.spell("F1:", "F1:a")); !slices.Equal(got, []string{"text:", "!1009"}) {
		t.Errorf("no limits given: %q", got)
	}
}

// CVE-2020-27813, CVE-2026-5740: a declared length is judged on the header and reserves nothing.
func TestDeclaredLengthReservesNothing(t *testing.T) {
	s := new(Scratch)
	for _, length := range []uint64{1 << 20, 1<<20 + 1, 1 << 31, 1 << 32, 1<<63 - 1} {
		r := new(Reader)
		head := AppendHeader(nil, Header{Fin: true, Opcode: OpBinary, Masked: true, Length: length})
		_, _, v := r.Next(head, &generous, s)
		if over := length > 1<<20; (v == ErrTooBig) != over {
			t.Fatalf("length %d: %s", length, label(v))
		}
		if r.Buffered() > 512 {
			t.Fatalf("length %d: %d bytes held before any came", length, r.Buffered())
		}
	}
	r := new(Reader)
	r.Next(AppendHeader(nil, Header{Fin: true, Opcode: OpBinary, Masked: true, Length: 1 << 20}), &generous, s)
	for came := 1; came < 1<<20; came++ {
		r.Next([]byte{0}, &generous, s)
		if held := r.Buffered(); held > 2*came+512 || held < came {
			t.Fatalf("%d bytes held when %d had come", held, came)
		}
	}
}

// CVE-2014-0193, CVE-2026-48779: a message of endless continuations, full or empty.
func TestContinuationFlood(t *testing.T) {
	s := new(Scratch)
	for _, payload := range []string{"", "0123456789abcdef"} {
		r := new(Reader)
		stream := side{}.spell("M2:" + payload)
		more := side{}.spell("M0:" + payload)
		frames, lim := 1, &Limits{Message: 65536, Fragments: 64}
		_, _, v := r.Next(stream, lim, s)
		for ; v == nil; frames++ {
			_, _, v = r.Next(bytes.Clone(more), lim, s)
		}
		if v != ErrTooManyFragments || frames != 65 {
			t.Fatalf("payload %q: %s after %d frames", payload, label(v), frames)
		}
	}
}

// RFC 6455 §8.1: bad text fails with its first impossible byte, wherever the cuts lie.
func TestTextFailsAtItsFirstBadByte(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 3))
	s := new(Scratch)
	pieces := []string{"a", "é", "€", "😀", "\u07ff", "\ud7ff", "\ue000", "\U0010ffff", "\x7f", "\u0800"}
	for range 2000 {
		var text []byte
		for range rng.IntN(8) {
			text = append(text, pieces[rng.IntN(len(pieces))]...)
		}
		text = append(text, byte(rng.Uint32()), byte(rng.Uint32()|0x80), byte(rng.Uint32()|0x80), 'x')
		bad := len(text) // the length of the shortest prefix that nothing can mend
		for n := range len(text) + 1 {
			if !mendable(text[:n]) {
				bad = n
				break
			}
		}
		frame := side{}.frame(Header{Opcode: OpText}, text)
		head := len(frame) - len(text)
		r := new(Reader)
		for i := range frame {
			_, _, v := r.Next(frame[i:i+1:i+1], &generous, s)
			if want := i+1 == head+bad && !mendable(text[:bad]); (v == ErrText) != want {
				t.Fatalf("%q: byte %d gave %s, the bad one is %d", text, i-head, label(v), bad-1)
			}
		}
		r.Release(s)
	}
}

// mendable tells whether some continuation makes b valid UTF-8, by trying.
func mendable(b []byte) bool {
	for _, rest := range []string{"", "\x80", "\x80\x80", "\x80\x80\x80", "\xa0\x80", "\x90\x80\x80"} {
		if utf8.Valid(append(b[:len(b):len(b)], rest...)) {
			return true
		}
	}
	return false
}

// naive reads a whole stream at once, the simple way.
func naive(stream []byte, client bool, lim Limits) (got []string) {
	var msg []byte
	var first Header
	within, frames := false, 0
	for {
		h, n, v := ParseHeader(stream)
		if v != nil {
			return append(got, "!1002")
		}
		if n == 0 {
			return got
		}
		if !naiveLegal(h, State{Client: client, Compression: lim.Compression, Fragmented: within}) {
			return append(got, "!1002")
		}
		if !h.Opcode.Control() {
			if !within {
				msg, first, frames = nil, h, 0
			}
			room := lim.Message
			if first.Rsv1 {
				room = room*9/8 + 64
			}
			if h.Length > uint64(room-len(msg)) {
				return append(got, "!1009")
			}
			if frames++; lim.Fragments > 0 && frames > lim.Fragments {
				return append(got, "!1008")
			}
		}
		payload := bytes.Clone(stream[n:][:min(uint64(len(stream)-n), h.Length)])
		for i := range payload {
			if h.Masked {
				payload[i] ^= h.Mask[i%4]
			}
		}
		whole := uint64(len(payload)) == h.Length
		stream = stream[n+len(payload):]
		switch {
		case h.Opcode.Control() && !whole:
			return got
		case h.Opcode == OpClose:
			return append(got, naiveClose(payload))
		case h.Opcode.Control():
			got = append(got, tell(Ping+Kind(h.Opcode-OpPing), 0, payload))
			continue
		}
		msg = append(msg, payload...)
		within = !h.Fin || !whole
		if first.Opcode == OpText && !first.Rsv1 && (within && !mendable(msg) || !within && !utf8.Valid(msg)) {
			return append(got, "!1007")
		}
		if !whole {
			return got
		}
		if h.Fin {
			if first.Rsv1 {
				text, ok := inflateStd(msg)
				if !ok || first.Opcode == OpText && len(text) <= lim.Message && !utf8.Valid(text) {
					return append(got, "!1007")
				}
				if len(text) > lim.Message {
					return append(got, "!1009")
				}
				msg = text
			}
			got = append(got, tell(Kind(first.Opcode), 0, msg))
		}
	}
}

func naiveClose(payload []byte) string {
	if len(payload) == 0 {
		return "close1005:"
	}
	code := binary.BigEndian.Uint16(payload)
	if code < 1000 || code >= 1004 && code <= 1006 || code >= 1015 && code < 3000 || code >= 5000 {
		return "!1002"
	}
	if !utf8.Valid(payload[2:]) {
		return "!1007"
	}
	return fmt.Sprintf("close%d:%s", code, payload[2:])
}

// Any bytes, cut anywhere, are read as the simple way reads them at once.
func FuzzReader(f *testing.F) {
	for i, c := range conversations {
		f.Add(side{}.spell(c.frames...), uint64(i), false)
		f.Add(side{toClient: true}.spell(c.frames...), uint64(i), true)
	}
	lim := Limits{Message: 300, Fragments: 4, Compression: true}
	s := new(Scratch)
	f.Fuzz(func(t *testing.T, stream []byte, seed uint64, client bool) {
		want := naive(stream, client, lim)
		rng := rand.New(rand.NewPCG(seed, 1))
		var cuts []int
		for at := rng.IntN(8); at < len(stream); at += 1 + rng.IntN(40) {
			cuts = append(cuts, at)
		}
		r, of := new(Reader), lim
		of.Client = client
		got := read(r, s, &of, stream, cuts...)
		r.Release(s)
		// Compressed garbage may be refused as too big before it is seen to be garbage.
		if n := len(got); n == len(want) && n > 0 && got[n-1] == "!1009" && want[n-1] == "!1007" {
			got[n-1] = "!1007"
		}
		if !slices.Equal(got, want) {
			t.Fatalf("%x cut at %v: %q, naive %q", stream, cuts, got, want)
		}
	})
}

// A payload that lies in the input ends there: appending to it must not write over what follows.
func TestPayloadEndsWhereItEnds(t *testing.T) {
	stream := side{}.spell("F1:one", "F1:two")
	r, s := new(Reader), new(Scratch)
	ev, rest, _ := r.Next(stream, &generous, s)
	_ = append(ev.Payload, "xxxxxxxxx"...)
	if got := read(r, s, &generous, rest); !slices.Equal(got, []string{"text:two"}) {
		t.Fatalf("after an append to the payload before: %q", got)
	}
}

func TestIdleReaderIsSmall(t *testing.T) {
	if size := unsafe.Sizeof(Reader{}); size > 8 {
		t.Fatalf("a Reader costs %d bytes", size)
	}
}

// What a Scratch keeps for reuse is bounded, and a large message does not stay.
func TestScratchIsBounded(t *testing.T) {
	s := new(Scratch)
	lim := &Limits{Message: 4 << 20, Compression: true}
	readers := make([]Reader, 1000)
	chunk := make([]byte, 20<<10)
	for i := range readers {
		r := &readers[i]
		r.Next(AppendHeader(nil, Header{Fin: true, Opcode: OpBinary, Masked: true, Length: 1 << 20}), lim, s)
		r.Next(chunk, lim, s)
	}
	for i := range readers {
		readers[i].Release(s)
	}
	big := side{}.spell("M2:"+strings.Repeat("x", 2<<20), "F0:", "C2:"+string(deflateStd(t, make([]byte, 2<<20), 1)))
	read(new(Reader), s, lim, big)
	s.reclaim()
	fresh := new(Scratch)
	read(new(Reader), fresh, lim, side{}.spell("M2:"+strings.Repeat("x", keepBuffer+1), "F0:"))
	fresh.reclaim()
	if fresh.freeBytes != 0 {
		t.Fatalf("a buffer of %d bytes is kept", fresh.freeBytes)
	}
	held := cap(s.inflated)
	for _, p := range s.free {
		held += cap(p.msg)
	}
	if held > keepFreeBytes+keepBuffer || len(s.free) > keepFree || s.freeBytes > keepFreeBytes {
		t.Fatalf("%d bytes in %d buffers are kept", held, len(s.free))
	}
	for range len(s.free) {
		s.borrow()
	}
	if s.freeBytes != 0 {
		t.Fatalf("the account is off by %d bytes", s.freeBytes)
	}
}
