package record

import (
	"bytes"
	"testing"
)

func TestSplit(t *testing.T) {
	long := make([]byte, MaxRecord+1)
	copy(long, []byte{23, 3, 3, 0x41, 0x00})
	cases := []struct {
		name string
		in   []byte
		n    int
		v    *Violation
	}{
		{"nothing", nil, 0, nil},
		{"type only", []byte{23}, 0, nil},
		{"header only", []byte{23, 3, 3, 0, 1}, 0, nil},
		{"one byte short", []byte{23, 3, 3, 0, 2, 9}, 0, nil},
		{"whole", []byte{23, 3, 3, 0, 2, 9, 9}, 7, nil},
		{"whole and more", []byte{23, 3, 3, 0, 2, 9, 9, 23, 3}, 7, nil},
		{"empty fragment", []byte{23, 3, 3, 0, 0, 1}, 5, nil},
		{"another version is ignored", []byte{22, 3, 1, 0, 1, 1}, 6, nil},
		{"change_cipher_spec", []byte{20, 3, 3, 0, 1, 1}, 6, nil},
		{"alert", []byte{21, 3, 3, 0, 2, 1, 0}, 7, nil},
		{"type 19", []byte{19}, 0, ErrUnexpectedMessage},
		{"type 24, heartbeat", []byte{24, 3, 3, 0, 1, 1}, 0, ErrUnexpectedMessage},
		{"HTTP", []byte("GET / HTTP/1.1\r\n"), 0, ErrUnexpectedMessage},
		{"the longest", long, MaxRecord, nil},
		{"the longest, a byte short", long[:MaxRecord-1], 0, nil},
		{"one over the limit, header only", []byte{23, 3, 3, 0x41, 0x01}, 0, ErrRecordOverflow},
		{"65535", []byte{22, 3, 3, 0xff, 0xff}, 0, ErrRecordOverflow},
	}
	for _, c := range cases {
		if n, v := Split(c.in); n != c.n || v != c.v {
			t.Errorf("%s: %d %v, want %d %v", c.name, n, v, c.n, c.v)
		}
	}
}

// Cut short anywhere, a record is never taken for whole, and a refusal never comes and goes again.
func TestSplitEveryPrefix(t *testing.T) {
	for _, stream := range [][]byte{testStream(t), {23, 3, 3, 0x41, 0x01, 0, 0}, {24, 3, 3, 0, 1, 1}} {
		whole, verdict := Split(stream)
		refused := false
		for i := range stream {
			n, v := Split(stream[:i])
			switch {
			case v != nil && v != verdict, refused && v == nil:
				t.Fatalf("prefix %d of % x…: violation %v, whole input %v", i, stream[:5], v, verdict)
			case verdict == nil && i < whole && n != 0, verdict == nil && i >= whole && n != whole:
				t.Fatalf("prefix %d: record of %d bytes, whole input %d", i, n, whole)
			}
			refused = v != nil
		}
	}
}

// testStream is five records of the naive peer: text, empty, padded, close_notify, text.
func testStream(t testing.TB) []byte {
	_, peer := pair(t, suiteAES128GCMSHA256)
	var stream []byte
	for _, inner := range []string{"one\x17", "\x17", "three\x17\x00\x00\x00\x00\x00\x00\x00\x00\x00", "\x01\x00\x15", "\x00\x17"} {
		stream = append(stream, peer.seal([]byte(inner))...)
	}
	return stream
}

// drain opens all whole records of *buf and appends what they say to out.
func drain(t testing.TB, k *Key, buf *[]byte, out []byte) []byte {
	var s Scratch
	aead := k.AEAD()
	for {
		n, v := Split(*buf)
		if v != nil {
			t.Fatal(v.Reason)
		}
		if n == 0 {
			return out
		}
		typ, plain, v := k.Open(&s, aead, (*buf)[:n])
		if v != nil {
			t.Fatal(v.Reason)
		}
		out = append(append(append(out, byte(typ), '<'), plain...), '>')
		*buf = (*buf)[n:]
	}
}

// However the stream is cut in two, and byte by byte, the same records come out.
func TestEverySplitOfTheStream(t *testing.T) {
	const want = "\x17<one>\x17<>\x17<three>\x15<\x01\x00>\x17<\x00>"
	stream := testStream(t)
	for cut := range len(stream) + 1 {
		k, _ := pair(t, suiteAES128GCMSHA256)
		buf := bytes.Clone(stream[:cut])
		out := drain(t, &k, &buf, nil)
		buf = append(bytes.Clone(buf), stream[cut:]...)
		if out = drain(t, &k, &buf, out); string(out) != want || len(buf) != 0 {
			t.Fatalf("cut at %d: %q, %d bytes left", cut, out, len(buf))
		}
	}
	k, _ := pair(t, suiteAES128GCMSHA256)
	var buf, out []byte
	for _, b := range stream {
		buf = append(buf, b)
		out = drain(t, &k, &buf, out)
	}
	if string(out) != want {
		t.Fatalf("byte by byte: %q", out)
	}
}

func TestSealKeepsWhatStandsBefore(t *testing.T) {
	for _, suite := range suites {
		for _, size := range []int{0, 1, 15, 16, 17, 1000, MaxPlaintext} {
			for _, room := range []int{0, innerTypeLen + tagLen, 4096} {
				k, _ := pair(t, suite)
				opener, aead := k, k.AEAD()
				var s Scratch
				plain := bytes.Repeat([]byte{0xa5}, size)
				buf := append(make([]byte, 0, 3+HeaderLen+size+room), "abc#####"...)
				got := k.Seal(&s, aead, append(buf, plain...), 3, ApplicationData)
				if string(got[:3]) != "abc" || len(got) != 3+size+Overhead {
					t.Fatalf("suite %#x size %d: %d bytes, starts %q", suite, size, len(got), got[:3])
				}
				n, v := Split(got[3:])
				if v != nil || n != size+Overhead {
					t.Fatalf("suite %#x size %d: split %d %v", suite, size, n, v)
				}
				typ, opened, v := opener.Open(&s, aead, got[3:])
				if v != nil || typ != ApplicationData || !bytes.Equal(opened, plain) {
					t.Fatalf("suite %#x size %d: opened type %d, %d bytes, %v", suite, size, typ, len(opened), v)
				}
			}
		}
	}
}

func TestSealPanicsOnALongPlaintext(t *testing.T) {
	k, _ := pair(t, suiteAES128GCMSHA256)
	aead := k.AEAD()
	mustPanic(t, "plaintext over 2^14", func() {
		k.Seal(new(Scratch), aead, make([]byte, HeaderLen+MaxPlaintext+1), 0, ApplicationData)
	})
	mustPanic(t, "no room for the header", func() { k.Seal(new(Scratch), aead, make([]byte, 4), 0, ApplicationData) })
	if k.Seq() != 0 {
		t.Errorf("a refused plaintext used sequence number %d", k.Seq())
	}
}
