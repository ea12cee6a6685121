package record

import (
	"bytes"
	"testing"
)

func zeros(n int) string { return string(make([]byte, n)) }

// openCases: what an inner plaintext (content, type, padding) opens to.
var openCases = []struct {
	name  string
	inner string
	typ   Type
	plain string
	v     *Violation
}{
	{"text", "hello\x17", ApplicationData, "hello", nil},
	{"empty", "\x17", ApplicationData, "", nil},
	{"empty, padded", "\x17" + zeros(30), ApplicationData, "", nil},
	{"padded by one", "x\x17\x00", ApplicationData, "x", nil},
	{"padded by eight", "x\x17" + zeros(8), ApplicationData, "x", nil},
	{"padded to the limit", "x\x17" + zeros(MaxPlaintext-1), ApplicationData, "x", nil},
	{"content of zeros", zeros(64) + "\x17", ApplicationData, zeros(64), nil},
	{"content of zeros, padded", zeros(9) + "\x17" + zeros(9), ApplicationData, zeros(9), nil},
	{"the longest content", zeros(MaxPlaintext) + "\x17", ApplicationData, zeros(MaxPlaintext), nil},
	{"key update", "\x18\x00\x00\x01\x01\x16", Handshake, "\x18\x00\x00\x01\x01", nil},
	{"a part of a handshake message", "\x18\x16", Handshake, "\x18", nil},
	{"close_notify", "\x01\x00\x15", Alert, "\x01\x00", nil},
	{"close_notify, padded", "\x01\x00\x15\x00\x00", Alert, "\x01\x00", nil},

	{"one over the limit", zeros(MaxPlaintext+1) + "\x17", 0, "", ErrRecordOverflow},
	{"padded over the limit", "x\x17" + zeros(MaxPlaintext), 0, "", ErrRecordOverflow},
	{"over the limit and nothing but padding", zeros(MaxPlaintext + 2), 0, "", ErrRecordOverflow},
	{"nothing but padding", zeros(1), 0, "", ErrUnexpectedMessage},
	{"much padding and nothing else", zeros(MaxPlaintext), 0, "", ErrUnexpectedMessage},
	{"empty handshake", "\x16", 0, "", ErrEmptyMessage},
	{"empty alert", "\x15\x00\x00", 0, "", ErrEmptyMessage},
	{"half an alert", "\x01\x15", 0, "", ErrDecode},
	{"an alert and a half", "\x01\x00\x01\x15", 0, "", ErrDecode},
	{"two alerts", "\x01\x00\x01\x00\x15", 0, "", ErrDecode},
	{"protected change_cipher_spec", "\x01\x14", 0, "", ErrUnexpectedMessage},
	{"type 0 is padding, type 1", "x\x01\x00", 0, "", ErrUnexpectedMessage},
	{"heartbeat", "x\x18", 0, "", ErrUnexpectedMessage},
	{"type 255", "x\xff", 0, "", ErrUnexpectedMessage},
}

func TestOpen(t *testing.T) {
	for _, suite := range suites {
		for _, c := range openCases {
			k, peer := pair(t, suite)
			typ, plain, v := k.Open(new(Scratch), k.AEAD(), peer.seal([]byte(c.inner)))
			if typ != c.typ || string(plain) != c.plain || v != c.v {
				t.Errorf("suite %#x, %s: type %d, %d bytes, %v", suite, c.name, typ, len(plain), v)
			}
		}
	}
}

// plain may be grown by its borrower without writing over what follows it.
func TestOpenedPlaintextHasNoRoomBehind(t *testing.T) {
	k, peer := pair(t, suiteAES128GCMSHA256)
	rec := append(peer.seal([]byte("hello\x17")), "next"...)
	_, plain, v := k.Open(new(Scratch), k.AEAD(), rec[:len(rec)-4])
	if v != nil || cap(plain) != len(plain) {
		t.Errorf("%d bytes, capacity %d, %v", len(plain), cap(plain), v)
	}
	_ = append(plain, "overrun, overrun, overrun"...)
	if string(rec[len(rec)-4:]) != "next" {
		t.Error("append to the plaintext wrote into the next record")
	}
}

// Records that are refused before any cryptography.
func TestOpenOuter(t *testing.T) {
	cases := []struct {
		name string
		rec  string
		typ  Type
		v    *Violation
	}{
		{"change_cipher_spec", "\x14\x03\x03\x00\x01\x01", ChangeCipherSpec, nil},
		{"change_cipher_spec 0", "\x14\x03\x03\x00\x01\x00", 0, ErrUnexpectedMessage},
		{"change_cipher_spec 2", "\x14\x03\x03\x00\x01\x02", 0, ErrUnexpectedMessage},
		{"empty change_cipher_spec", "\x14\x03\x03\x00\x00", 0, ErrUnexpectedMessage},
		{"long change_cipher_spec", "\x14\x03\x03\x00\x02\x01\x01", 0, ErrUnexpectedMessage},
		{"plain alert", "\x15\x03\x03\x00\x02\x01\x00", 0, ErrUnexpectedMessage},
		{"plain handshake", "\x16\x03\x03\x00\x05\x18\x00\x00\x01\x01", 0, ErrUnexpectedMessage},
		{"type 0", "\x00\x03\x03\x00\x00", 0, ErrUnexpectedMessage},
		{"empty", "\x17\x03\x03\x00\x00", 0, ErrBadRecordMAC},
		{"a tag alone", "\x17\x03\x03\x00\x10" + zeros(16), 0, ErrBadRecordMAC},
		{"zeros", "\x17\x03\x03\x00\x11" + zeros(17), 0, ErrBadRecordMAC},
		{"too long", "\x17\x03\x03\x41\x01" + zeros(maxFragment+1), 0, ErrRecordOverflow},
	}
	k, _ := pair(t, suiteAES128GCMSHA256)
	aead := k.AEAD()
	for _, c := range cases {
		typ, plain, v := k.Open(new(Scratch), aead, []byte(c.rec))
		if typ != c.typ || len(plain) != 0 || v != c.v {
			t.Errorf("%s: type %d, % x, %v", c.name, typ, plain, v)
		}
	}
	if k.Seq() != 0 {
		t.Errorf("sequence number %d", k.Seq())
	}
	for _, rec := range []string{"", "\x17\x03\x03\x00", "\x17\x03\x03\x00\x01", "\x17\x03\x03\x00\x01\x01\x01"} {
		mustPanic(t, "not exactly one record", func() { k.Open(new(Scratch), aead, []byte(rec)) })
	}
}

// Any bit that changes, any record that is dropped, repeated or cut short, is bad_record_mac and costs no sequence number.
func TestOpenRefusesTampering(t *testing.T) {
	for _, suite := range suites {
		k, peer := pair(t, suite)
		var s Scratch
		aead := k.AEAD()
		first, second := peer.seal([]byte("first\x17")), peer.seal([]byte("second\x17"))
		for bit := range 8 * len(first) {
			rec := bytes.Clone(first)
			rec[bit/8] ^= 1 << (bit % 8)
			if bit/8 == 0 || bit/8 == 3 || bit/8 == 4 {
				continue // type and length: TestOpenOuter, and below
			}
			if _, plain, v := k.Open(&s, aead, rec); v != ErrBadRecordMAC || plain != nil {
				t.Fatalf("suite %#x bit %d: %q %v", suite, bit, plain, v)
			}
		}
		for size := HeaderLen; size < len(first); size++ {
			rec := bytes.Clone(first[:size])
			rec[4] = byte(size - HeaderLen)
			if _, _, v := k.Open(&s, aead, rec); v != ErrBadRecordMAC {
				t.Fatalf("suite %#x cut to %d: %v", suite, size, v)
			}
		}
		if _, _, v := k.Open(&s, aead, bytes.Clone(second)); v != ErrBadRecordMAC {
			t.Fatalf("suite %#x: second record first: %v", suite, v)
		}
		if _, plain, v := k.Open(&s, aead, bytes.Clone(first)); v != nil || string(plain) != "first" || k.Seq() != 1 {
			t.Fatalf("suite %#x: after refusals: %q %v, sequence number %d", suite, plain, v, k.Seq())
		}
		if _, _, v := k.Open(&s, aead, bytes.Clone(first)); v != ErrBadRecordMAC {
			t.Fatalf("suite %#x: first record again: %v", suite, v)
		}
	}
}

func TestTrimZeros(t *testing.T) {
	for size := range 40 {
		for last := -1; last < size; last++ {
			b := make([]byte, size)
			if last >= 0 {
				b[last] = 1
			}
			if n := trimZeros(b); n != last+1 {
				t.Fatalf("%d bytes, last non-zero %d: %d", size, last, n)
			}
		}
	}
}
