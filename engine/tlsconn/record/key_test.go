package record

import (
	"bytes"
	"math"
	"reflect"
	"strings"
	"testing"
	"unsafe"
)

func TestNewKeyRefuses(t *testing.T) {
	cases := []struct {
		name   string
		suite  uint16
		secret int
		want   string
	}{
		{"TLS 1.2 suite", 0xc02f, 32, "0xc02f"},
		{"CCM", 0x1304, 32, "0x1304"},
		{"no suite", 0, 32, "0x0000"},
		{"empty secret", suiteAES128GCMSHA256, 0, "0 bytes"},
		{"SHA-384 secret for SHA-256", suiteChaCha20Poly1305SHA256, 48, "48 bytes"},
		{"SHA-256 secret for SHA-384", suiteAES256GCMSHA384, 32, "32 bytes"},
	}
	for _, c := range cases {
		k, err := NewKey(c.suite, make([]byte, c.secret), 0)
		if err == nil || !strings.Contains(err.Error(), c.want) || k != (Key{}) {
			t.Errorf("%s: key %v, error %v", c.name, k.Suite(), err)
		}
	}
}

// One Key stands twice in every connection: DESIGN.md's 0.5 to 0.7 KB for an idle connection hang on its size, and the
// garbage collector must have nothing to scan in it.
func TestKeyIsSmallAndFlat(t *testing.T) {
	if size := unsafe.Sizeof(Key{}); size > 120 {
		t.Errorf("Key has %d bytes", size)
	}
	typ := reflect.TypeFor[Key]()
	for i := range typ.NumField() {
		switch f := typ.Field(i); f.Type.Kind() {
		case reflect.Uint8, reflect.Uint16, reflect.Uint64, reflect.Array:
		default:
			t.Errorf("field %s is a %s", f.Name, f.Type.Kind())
		}
	}
}

func TestUpdateAgainstNaive(t *testing.T) {
	for _, suite := range suites {
		k, peer := pair(t, suite)
		var s Scratch
		for generation := range 4 {
			if k.Seq() != 0 {
				t.Fatalf("suite %#x: sequence number %d after an update", suite, k.Seq())
			}
			aead := k.AEAD()
			for i := range 300 { // over 255: the nonce's second byte too
				buf := append(make([]byte, HeaderLen), "some text"...)
				want := peer.seal(append([]byte("some text"), byte(ApplicationData)))
				if got := k.Seal(&s, aead, buf, 0, ApplicationData); !bytes.Equal(got, want) {
					t.Fatalf("suite %#x generation %d record %d: %x, want %x", suite, generation, i, got, want)
				}
			}
			k.Update()
			peer.update()
		}
	}
}

func TestUpdateAndWipeLeaveNothing(t *testing.T) {
	for _, suite := range suites {
		k, peer := pair(t, suite)
		old := k
		k.Update()
		if bytes.Equal(k.secret[:32], old.secret[:32]) || k.key == old.key || k.iv == old.iv {
			t.Errorf("suite %#x: update kept a part of the old key", suite)
		}
		peer.update()
		if !bytes.Equal(k.secret[:len(peer.secret)], peer.secret) {
			t.Errorf("suite %#x: secret %x", suite, k.secret)
		}
		k.Wipe()
		if k != (Key{}) {
			t.Errorf("suite %#x: wiped key is %+v", suite, k)
		}
		mustPanic(t, "AEAD of a wiped key", func() { k.AEAD() })
		mustPanic(t, "Update of a wiped key", func() { k.Update() })
	}
}

func TestNeedsUpdate(t *testing.T) {
	cases := []struct {
		suite uint16
		seq   uint64
		want  bool
	}{
		{suiteAES128GCMSHA256, 0, false},
		{suiteAES128GCMSHA256, 1<<24 - 1, false},
		{suiteAES128GCMSHA256, 1 << 24, true},
		{suiteAES256GCMSHA384, 1<<24 - 1, false},
		{suiteAES256GCMSHA384, 1 << 24, true},
		{suiteChaCha20Poly1305SHA256, 1 << 25, false},
		{suiteChaCha20Poly1305SHA256, 1 << 48, true},
	}
	for _, c := range cases {
		k, err := NewKey(c.suite, testSecret(c.suite), c.seq)
		if err != nil {
			t.Fatal(err)
		}
		if k.NeedsUpdate() != c.want {
			t.Errorf("suite %#x at %d: %v", c.suite, c.seq, k.NeedsUpdate())
		}
	}
}

// A sequence number never repeats: RFC 8446 §5.3.
func TestLastSequenceNumber(t *testing.T) {
	k, err := NewKey(suiteChaCha20Poly1305SHA256, testSecret(suiteChaCha20Poly1305SHA256), math.MaxUint64-1)
	if err != nil {
		t.Fatal(err)
	}
	var s Scratch
	opener, aead := k, k.AEAD()
	rec := k.Seal(&s, aead, make([]byte, HeaderLen, 64), 0, ApplicationData)
	mustPanic(t, "Seal past the last sequence number", func() { k.Seal(&s, aead, make([]byte, HeaderLen), 0, ApplicationData) })
	if _, _, v := opener.Open(&s, aead, bytes.Clone(rec)); v != nil {
		t.Error(v.Reason)
	}
	last := (&naive{suite: k.suite, secret: testSecret(k.suite), seq: math.MaxUint64}).seal([]byte("x\x17"))
	if _, _, v := opener.Open(&s, aead, last); v != ErrBadRecordMAC || opener.Seq() != math.MaxUint64 {
		t.Errorf("record past the last sequence number: %v, sequence number %d", v, opener.Seq())
	}
}

func mustPanic(t *testing.T, what string, f func()) {
	t.Helper()
	defer func() {
		if recover() == nil {
			t.Errorf("%s: no panic", what)
		}
	}()
	f()
}
