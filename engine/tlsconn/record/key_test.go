package record

import (
	"bytes"
	"math"
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

// One Key stands twice in every connection: the memory of an idle one hangs on its size. What the other suites need
// beyond TLS_AES_128_GCM_SHA256 is theirs to pay.
func TestKeyIsSmall(t *testing.T) {
	if size := unsafe.Sizeof(Key{}); size > 80 {
		t.Errorf("Key has %d bytes", size)
	}
	for _, suite := range suites {
		k, err := NewKey(suite, testSecret(suite), 0)
		if err != nil {
			t.Fatal(err)
		}
		if (k.far == nil) != (suite == suiteAES128GCMSHA256) {
			t.Errorf("suite %#x: far is %v", suite, k.far)
		}
	}
}

func TestMove(t *testing.T) {
	for _, suite := range suites {
		k, peer := pair(t, suite)
		moved := k.Move()
		if k != (Key{}) {
			t.Errorf("suite %#x: %+v stayed behind", suite, k)
		}
		k.Wipe() // of what is left: the moved one keeps its own
		var s Scratch
		buf := append(make([]byte, HeaderLen), "some text"...)
		want := peer.seal(append([]byte("some text"), byte(ApplicationData)))
		if got := moved.Seal(&s, moved.AEAD(), buf, 0, ApplicationData); !bytes.Equal(got, want) {
			t.Errorf("suite %#x: %x, want %x", suite, got, want)
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
		old, oldFar := k, far{}
		if k.far != nil {
			oldFar = *k.far
		}
		k.Update()
		if k.secret == old.secret || k.key == old.key || k.iv == old.iv {
			t.Errorf("suite %#x: update kept a part of the old key", suite)
		}
		peer.update()
		secret, rest := k.secret[:], k.far
		if rest != nil {
			secret = append(secret[:len(secret):len(secret)], rest.secret[:len(peer.secret)-len(secret)]...)
			if rest.key == oldFar.key || len(peer.secret) > nearBytes && rest.secret == oldFar.secret {
				t.Errorf("suite %#x: update kept the end of the old key", suite)
			}
		}
		if !bytes.Equal(secret, peer.secret) {
			t.Errorf("suite %#x: secret %x", suite, secret)
		}
		k.Wipe()
		if k != (Key{}) || rest != nil && *rest != (far{}) {
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
