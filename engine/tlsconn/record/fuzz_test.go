package record

import (
	"bytes"
	"testing"
)

// FuzzSplit checks Split against a reading of RFC 8446 §5.1 that looks at the header only once it is whole.
func FuzzSplit(f *testing.F) {
	f.Add(testStream(f))
	f.Add([]byte{22, 3, 1, 0xff, 0xff})
	f.Add([]byte{20, 3, 3, 0, 1, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		n, v := Split(b)
		if len(b) < 5 {
			if n != 0 || (v != nil) != (len(b) > 0 && (b[0] < 20 || b[0] > 23)) {
				t.Fatalf("%x: %d %v", b, n, v)
			}
			return
		}
		size := int(b[3])<<8 + int(b[4])
		switch {
		case b[0] < 20 || b[0] > 23:
			if v != ErrUnexpectedMessage {
				t.Fatalf("%x: %v", b[:5], v)
			}
		case size > 16384+256:
			if v != ErrRecordOverflow {
				t.Fatalf("%x: %v", b[:5], v)
			}
		case len(b) < 5+size:
			if n != 0 || v != nil {
				t.Fatalf("%x: %d %v", b[:5], n, v)
			}
		default:
			if n != 5+size || v != nil {
				t.Fatalf("%x: %d %v", b[:5], n, v)
			}
		}
	})
}

// FuzzOpen gives Open any inner plaintext under a good tag, and any bytes as a record.
func FuzzOpen(f *testing.F) {
	for _, c := range openCases {
		f.Add(byte(0), []byte(c.inner))
	}
	f.Add(byte(1), []byte("\x14\x03\x03\x00\x01\x01"))
	f.Fuzz(func(t *testing.T, choice byte, b []byte) {
		k, peer := pair(t, suites[int(choice)%len(suites)])
		var s Scratch
		if n, v := Split(b); v == nil && n > 0 {
			typ, plain, v := k.Open(&s, k.AEAD(), bytes.Clone(b[:n]))
			if v == nil && (typ != ChangeCipherSpec || len(plain) != 0) {
				t.Fatalf("opened %x without a tag: type %d", b[:n], typ)
			}
		}
		if len(b) == 0 || len(b) > maxFragment-tagLen {
			return
		}
		k, _ = pair(t, peer.suite)
		typ, plain, v := k.Open(&s, k.AEAD(), peer.seal(b))
		wantType, wantPlain, wantV := naiveInner(b)
		if typ != wantType || v != wantV || !bytes.Equal(plain, wantPlain) {
			t.Fatalf("inner %x: type %d %x %v, want %d %x %v", b, typ, plain, v, wantType, wantPlain, wantV)
		}
	})
}

// naiveInner reads an inner plaintext with no thought for speed.
func naiveInner(inner []byte) (Type, []byte, *Violation) {
	if len(inner) > 16385 {
		return 0, nil, ErrRecordOverflow
	}
	rest := bytes.TrimRight(inner, "\x00")
	if len(rest) == 0 {
		return 0, nil, ErrUnexpectedMessage
	}
	typ, content := rest[len(rest)-1], rest[:len(rest)-1]
	switch {
	case typ == 23:
		return 23, content, nil
	case typ != 21 && typ != 22:
		return 0, nil, ErrUnexpectedMessage
	case len(content) == 0:
		return 0, nil, ErrEmptyMessage
	case typ == 21 && len(content) != 2:
		return 0, nil, ErrDecode
	}
	return Type(typ), content, nil
}

// FuzzSeal: what is sealed splits and opens to itself, for every suite, and is what the naive peer seals.
func FuzzSeal(f *testing.F) {
	f.Add(byte(0), uint8(3), []byte("hello"))
	f.Add(byte(2), uint8(0), []byte{})
	f.Fuzz(func(t *testing.T, choice byte, start uint8, plain []byte) {
		if len(plain) > MaxPlaintext {
			return
		}
		k, peer := pair(t, suites[int(choice)%len(suites)])
		opener := k
		var s Scratch
		buf := append(make([]byte, int(start)+HeaderLen), plain...)
		rec := k.Seal(&s, k.AEAD(), buf, int(start), ApplicationData)[start:]
		if want := peer.seal(append(bytes.Clone(plain), 23)); !bytes.Equal(rec, want) {
			t.Fatalf("sealed %x, want %x", rec, want)
		}
		typ, opened, v := opener.Open(&s, opener.AEAD(), rec)
		if v != nil || typ != ApplicationData || !bytes.Equal(opened, plain) {
			t.Fatalf("opened type %d %x %v", typ, opened, v)
		}
	})
}
