package tlsconn

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
	"unsafe"

	"weir/engine/tlsconn/record"
)

func suites13() []uint16 {
	return []uint16{tls.TLS_AES_128_GCM_SHA256, tls.TLS_AES_256_GCM_SHA384, tls.TLS_CHACHA20_POLY1305_SHA256}
}

// end is a Conn with its Shared.
type end struct {
	Conn
	s *Shared
}

// pair is a server and a client with each other's keys, without a handshake before. Their sequence numbers begin at seq.
func pair(t testing.TB, suite uint16, seq uint64) (server, client *end) {
	t.Helper()
	server, client = &end{s: NewShared(1 << 20)}, &end{s: NewShared(1 << 20)}
	for i, k := range []*record.Key{&server.keys[reading], &client.keys[writing], &server.keys[writing], &client.keys[reading]} {
		n := 32
		if suite == tls.TLS_AES_256_GCM_SHA384 {
			n = 48
		}
		key, err := record.NewKey(suite, bytes.Repeat([]byte{byte(1 + i/2)}, n), seq)
		if err != nil {
			t.Fatal(err)
		}
		*k = key
	}
	return server, client
}

// seal is a record of application data.
func (e *end) seal(plain []byte) []byte {
	return e.Seal(e.s, append(make([]byte, record.HeaderLen, len(plain)+64), plain...), 0)
}

// send is a record of any type.
func (e *end) send(typ record.Type, content ...byte) []byte {
	return e.appendRecord(e.s, nil, typ, content...)
}

// take opens one record and fails the test on a violation.
func (e *end) take(t testing.TB, in []byte) Opened {
	t.Helper()
	o := e.Open(e.s, in, nil)
	if o.Violation != nil {
		t.Fatalf("violation: %s", o.Violation.Reason)
	}
	return o
}

// TestConnSize: every connection has a Conn, so a byte more is a megabyte for a million.
func TestConnSize(t *testing.T) {
	if n := unsafe.Sizeof(Conn{}); n > 176 {
		t.Errorf("Conn takes %d bytes", n)
	}
}

func TestConnBothWays(t *testing.T) {
	for _, suite := range suites13() {
		server, client := pair(t, suite, 0)
		for i := range 50 {
			message := pattern(i * 331 % record.MaxPlaintext)
			up, down := client.seal(message), server.seal(message)
			if got := server.take(t, up).Plain; !bytes.Equal(got, message) {
				t.Fatalf("up: %d bytes for %d", len(got), len(message))
			}
			if got := client.take(t, down).Plain; !bytes.Equal(got, message) {
				t.Fatalf("down: %d bytes for %d", len(got), len(message))
			}
		}
	}
}

// TestSealKeepsWhatStandsBefore: records are gathered in one buffer.
func TestSealKeepsWhatStandsBefore(t *testing.T) {
	server, client := pair(t, tls.TLS_AES_128_GCM_SHA256, 0)
	var buf []byte
	for i := range 5 {
		start := len(buf)
		buf = append(append(buf, make([]byte, record.HeaderLen)...), pattern(100+i)...)
		buf = server.Seal(server.s, buf, start)
	}
	for i := range 5 {
		o := client.take(t, buf)
		if !bytes.Equal(o.Plain, pattern(100+i)) {
			t.Fatalf("record %d differs", i)
		}
		buf = buf[o.N:]
	}
	if len(buf) != 0 {
		t.Errorf("%d bytes left", len(buf))
	}
}

// TestOpenCutShort: a record that is not whole changes nothing.
func TestOpenCutShort(t *testing.T) {
	server, client := pair(t, tls.TLS_CHACHA20_POLY1305_SHA256, 0)
	rec := client.seal(pattern(200))
	for n := range rec {
		b := bytes.Clone(rec[:n])
		out := []byte("x")
		o := server.Open(server.s, b, out)
		if o.N != 0 || o.Violation != nil || !bytes.Equal(o.Out, out) || !bytes.Equal(b, rec[:n]) {
			t.Fatalf("%d bytes: %+v", n, o)
		}
	}
	if got := server.take(t, rec).Plain; !bytes.Equal(got, pattern(200)) {
		t.Error("differs after all")
	}
}

// TestOpenChanged: no bit of a record can be changed. The alert that answers it arrives.
func TestOpenChanged(t *testing.T) {
	for _, suite := range suites13() {
		_, client := pair(t, suite, 0)
		rec := client.seal(pattern(60))
		for i := range rec {
			for bit := range 8 {
				server, client := pair(t, suite, 0)
				b := append(bytes.Clone(rec), make([]byte, 300)...)
				b[i] ^= 1 << bit
				o := server.Open(server.s, b, nil)
				if o.Violation == nil && o.N == 0 {
					continue // a length that has not arrived yet
				}
				if o.Violation == nil || len(o.Plain) != 0 {
					t.Fatalf("byte %d bit %d: %+v", i, bit, o)
				}
				if a := client.Open(client.s, o.Out, nil); a.Violation != ErrPeerAlert || len(a.Out) != 0 {
					t.Fatalf("byte %d bit %d: the answer opens to %+v", i, bit, a)
				}
			}
		}
	}
}

func TestKeyUpdate(t *testing.T) {
	for _, suite := range suites13() {
		server, client := pair(t, suite, 0)
		for i := range 10 {
			requested := byte(i % 2)
			in := client.send(record.Handshake, 24, 0, 0, 1, requested)
			client.keys[writing].Update()
			client.s.forget(&client.Conn, writing)
			in = append(in, client.seal(pattern(10+i))...)
			o := server.take(t, in)
			if len(o.Plain) != 0 {
				t.Fatal("a KeyUpdate with data")
			}
			if got := server.take(t, in[o.N:]).Plain; !bytes.Equal(got, pattern(10+i)) {
				t.Fatal("data under the next key differs")
			}
			if (len(o.Out) > 0) != (requested == 1) {
				t.Fatalf("requested %d: answer of %d bytes", requested, len(o.Out))
			}
			// The answer is under our old key, what follows it under the next.
			down := append(o.Out, server.seal(pattern(20+i))...)
			if len(o.Out) > 0 {
				down = down[client.take(t, down).N:]
			}
			if got := client.take(t, down).Plain; !bytes.Equal(got, pattern(20+i)) {
				t.Fatal("data behind the answer differs")
			}
		}
	}
}

func TestKeyUpdateCutOverRecords(t *testing.T) {
	server, client := pair(t, tls.TLS_AES_128_GCM_SHA256, 0)
	message := []byte{24, 0, 0, 1, 0}
	for cut := range 1 << 4 { // every way to cut five bytes
		var in, piece []byte
		for i, b := range message {
			piece = append(piece, b)
			if cut&(1<<i) != 0 || i == len(message)-1 {
				in = append(in, client.send(record.Handshake, piece...)...)
				piece = nil
			}
		}
		client.keys[writing].Update()
		client.s.forget(&client.Conn, writing)
		in = append(in, client.seal([]byte("next"))...)
		var got []byte
		for len(in) > 0 {
			o := server.take(t, in)
			got = append(got, o.Plain...)
			in = in[o.N:]
		}
		if string(got) != "next" {
			t.Fatalf("cut %04b: %q", cut, got)
		}
		server.updates = 0
	}
}

// TestOurKeyUpdate: at the cipher's limit the record is followed by a KeyUpdate and the next key.
func TestOurKeyUpdate(t *testing.T) {
	const limit = 1 << 24
	server, client := pair(t, tls.TLS_AES_128_GCM_SHA256, limit-2)
	down := server.seal([]byte("one"))
	down = append(down, server.seal([]byte("two"))...)
	down = append(down, server.seal([]byte("three"))...)
	if server.keys[writing].Seq() != 1 {
		t.Errorf("sequence number %d: the key did not roll", server.keys[writing].Seq())
	}
	var got []string
	for len(down) > 0 {
		o := client.take(t, down)
		got = append(got, string(o.Plain))
		if len(o.Out) != 0 {
			t.Error("an answer nobody asked for")
		}
		down = down[o.N:]
	}
	if fmt.Sprint(got) != "[one two  three]" {
		t.Errorf("got %q", got)
	}
}

func TestPostHandshakeRefused(t *testing.T) {
	type step struct {
		typ     record.Type
		content []byte
	}
	message := func(content ...byte) step { return step{record.Handshake, content} }
	data := step{record.ApplicationData, []byte("x")}
	ticket := message(append([]byte{4, 0, 0, 20}, make([]byte, 20)...)...)
	cases := []struct {
		name  string
		steps []step
		want  *record.Violation
		alert uint8
	}{
		{"ticket from a client", []step{ticket}, ErrPostHandshake, 10},
		{"certificate", []step{message(11, 0, 0, 4, 0, 0, 0, 0)}, ErrPostHandshake, 10},
		{"ClientHello", []step{message(1)}, ErrPostHandshake, 10},
		{"length 0", []step{message(24, 0, 0, 0)}, ErrKeyUpdate, 50},
		{"length 2", []step{message(24, 0, 0, 2, 0, 0)}, ErrKeyUpdate, 50},
		{"length 16 MB", []step{message(24, 0xff, 0xff, 0xff)}, ErrKeyUpdate, 50},
		{"unknown kind", []step{message(24, 0, 0, 1, 2)}, ErrKeyUpdateKind, 47},
		{"two in one record", []step{message(24, 0, 0, 1, 0, 24, 0, 0, 1, 0)}, ErrKeyBoundary, 10},
		{"one byte behind it", []step{message(24, 0, 0, 1, 0, 24)}, ErrKeyBoundary, 10},
		{"data inside", []step{message(24, 0), data}, ErrInterleaved, 10},
		{"alert inside", []step{message(24), {record.Alert, []byte{1, 0}}}, ErrInterleaved, 10},
		{"empty message", []step{message()}, record.ErrEmptyMessage, 10},
		{"fatal alert", []step{{record.Alert, []byte{2, 40}}}, ErrPeerAlert, 0},
		{"warning that is none", []step{{record.Alert, []byte{1, 40}}}, ErrPeerAlert, 0},
		{"short alert", []step{{record.Alert, []byte{1}}}, record.ErrDecode, 50},
		{"protected CCS", []step{{record.ChangeCipherSpec, []byte{1}}}, record.ErrUnexpectedMessage, 10},
		{"unknown type", []step{{99, []byte{1}}}, record.ErrUnexpectedMessage, 10},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			server, client := pair(t, tls.TLS_AES_128_GCM_SHA256, 0)
			var in []byte
			for _, s := range c.steps {
				in = append(in, client.send(s.typ, s.content...)...)
			}
			var o Opened
			for len(in) > 0 && o.Violation == nil {
				o = server.Open(server.s, in, nil)
				in = in[o.N:]
				if o.Violation != nil {
					break
				}
			}
			if o.Violation != c.want || o.Violation.Alert != c.alert {
				t.Fatalf("%+v", o.Violation)
			}
			if c.want == ErrPeerAlert {
				if len(o.Out) != 0 {
					t.Error("an alert was answered")
				}
				return
			}
			_, plain, v := client.keys[reading].Open(&client.s.scratch, client.s.cipher(&client.Conn, reading), o.Out)
			if v != nil || !bytes.Equal(plain, []byte{2, c.alert}) {
				t.Errorf("alert on the wire: % x %v", plain, v)
			}
		})
	}
}

func TestLateCCS(t *testing.T) {
	server, client := pair(t, tls.TLS_AES_128_GCM_SHA256, 0)
	o := server.Open(server.s, []byte{20, 3, 3, 0, 1, 1}, nil)
	if o.Violation != ErrLateCCS {
		t.Fatalf("%+v", o)
	}
	if a := client.Open(client.s, o.Out, nil); a.Violation != ErrPeerAlert {
		t.Errorf("answer: %+v", a)
	}
}

func TestPlainRecordAfterHandshake(t *testing.T) {
	for _, in := range [][]byte{{21, 3, 3, 0, 2, 1, 0}, {22, 3, 3, 0, 5, 24, 0, 0, 1, 0}, {0}, {24}, {128}} {
		server, _ := pair(t, tls.TLS_AES_128_GCM_SHA256, 0)
		if o := server.Open(server.s, in, nil); o.Violation == nil || o.Violation.Alert != 10 {
			t.Errorf("% x: %+v", in, o)
		}
	}
}

func TestCloseNotify(t *testing.T) {
	server, client := pair(t, tls.TLS_AES_128_GCM_SHA256, 0)
	o := server.take(t, client.AppendCloseNotify(client.s, nil))
	if !o.CloseNotify || o.N == 0 || len(o.Out) != 0 {
		t.Errorf("%+v", o)
	}
}

func TestKeyUpdateFlood(t *testing.T) {
	server, client := pair(t, tls.TLS_AES_128_GCM_SHA256, 0)
	now := time.Unix(1e9, 0)
	server.s.Tick(now, false)
	update := func() *record.Violation {
		in := client.send(record.Handshake, 24, 0, 0, 1, 1)
		client.keys[writing].Update()
		client.s.forget(&client.Conn, writing)
		return server.Open(server.s, in, nil).Violation
	}
	for range maxKeyUpdates {
		if v := update(); v != nil {
			t.Fatal(v.Reason)
		}
	}
	server.s.Tick(now.Add(time.Minute), false)
	for range maxKeyUpdates {
		if v := update(); v != nil {
			t.Fatal(v.Reason)
		}
	}
	if v := update(); v != ErrKeyUpdates {
		t.Errorf("one more: %v", v)
	}
}

func TestUselessRecords(t *testing.T) {
	for name, useless := range map[string]func(*end) []byte{
		"empty":         func(c *end) []byte { return c.seal(nil) },
		"user_canceled": func(c *end) []byte { return c.send(record.Alert, 1, 90) },
	} {
		server, client := pair(t, tls.TLS_AES_128_GCM_SHA256, 0)
		for range 3 {
			for range maxUseless {
				if o := server.take(t, useless(client)); len(o.Plain) != 0 || o.CloseNotify {
					t.Fatalf("%s: %+v", name, o)
				}
			}
			server.take(t, client.seal([]byte("x")))
		}
		var v *record.Violation
		for range maxUseless + 1 {
			v = server.Open(server.s, useless(client), nil).Violation
		}
		if v != ErrUseless {
			t.Errorf("%s: %v", name, v)
		}
	}
}

func TestWipe(t *testing.T) {
	server, client := pair(t, tls.TLS_AES_128_GCM_SHA256, 0)
	for range 3 {
		client.take(t, server.seal([]byte("x")))
		server.take(t, client.seal([]byte("x")))
	}
	if server.s.Held() == 0 {
		t.Fatal("nothing kept: the test shows nothing")
	}
	server.Wipe(server.s)
	if server.Conn != (Conn{}) || server.s.Held() != 0 || len(server.s.kept) != 0 {
		t.Errorf("left: %d bytes, %d listed", server.s.Held(), len(server.s.kept))
	}
}

// TestViolationKeepsNoCipher: a connection that is over holds no place among those with a cipher, whatever becomes of its
// memory then.
func TestViolationKeepsNoCipher(t *testing.T) {
	server, client := pair(t, tls.TLS_AES_128_GCM_SHA256, 0)
	for range 3 {
		client.take(t, server.seal([]byte("x")))
		server.take(t, client.seal([]byte("x")))
	}
	if server.s.Held() == 0 {
		t.Fatal("nothing kept: the test shows nothing")
	}
	if o := server.Open(server.s, []byte{20, 3, 3, 0, 1, 1}, nil); o.Violation == nil {
		t.Fatal("accepted")
	}
	if server.s.Held() != 0 {
		t.Errorf("%d bytes still kept", server.s.Held())
	}
	server.Conn = Conn{}
	server.s.Tick(time.Unix(1e9, 0), false)
}

// FuzzOpen: bytes of a stranger, and of a peer with the keys, never panic, and an outcome is one of the three.
func FuzzOpen(f *testing.F) {
	f.Add([]byte{23, 3, 3, 0, 20}, true)
	f.Add([]byte{23, 24, 0, 0, 1, 1, 22, 5}, true)
	f.Add([]byte{20, 3, 3, 0, 1, 1}, false)
	f.Fuzz(func(t *testing.T, b []byte, sealed bool) {
		server, client := pair(t, tls.TLS_AES_128_GCM_SHA256, 0)
		in := b
		if sealed { // each piece: a type, a length, content
			in = nil
			for len(b) >= 2 {
				n := min(int(b[1])%8, len(b)-2)
				in = append(in, client.send(record.Type(20+b[0]%6), b[2:2+n]...)...)
				b = b[2+n:]
			}
		}
		for range 100 {
			before := len(in)
			o := server.Open(server.s, in, nil)
			if o.Violation != nil {
				if o.N != 0 || len(o.Plain) != 0 || o.CloseNotify {
					t.Fatalf("a violation and more: %+v", o)
				}
				return
			}
			if o.N < 0 || o.N > before || len(o.Plain) > o.N {
				t.Fatalf("%+v of %d bytes", o, before)
			}
			if o.N == 0 || o.CloseNotify {
				return
			}
			in = in[o.N:]
		}
	})
}

// TestConnAllocations: hot paths with the cipher kept, accepted and refused.
func TestConnAllocations(t *testing.T) {
	if raceDetector {
		t.Skip("skipped: allocation counts mean nothing under the race detector")
	}
	for _, suite := range suites13() {
		server, client := pair(t, suite, 0)
		const runs = 200
		buf := make([]byte, record.HeaderLen+256, 1024)
		records := make([][]byte, 0, runs+3)
		for range runs + 3 {
			records = append(records, client.seal(pattern(256)))
		}
		for range 2 {
			server.Seal(server.s, buf, 0)
			server.take(t, records[0])
			records = records[1:]
		}
		if n := testing.AllocsPerRun(runs, func() { server.Seal(server.s, buf, 0) }); n != 0 {
			t.Errorf("%#x: Seal allocates %v", suite, n)
		}
		out := make([]byte, 0, 256)
		next := 0
		if n := testing.AllocsPerRun(runs, func() {
			if server.Open(server.s, records[next], out).Violation != nil {
				t.Fatal("refused")
			}
			next++
		}); n != 0 {
			t.Errorf("%#x: Open allocates %v", suite, n)
		}
		bad := make([]byte, 100)
		copy(bad, []byte{23, 3, 3, 0, 95})
		room, kept := server.extra, server.extra.aeads
		if n := testing.AllocsPerRun(runs, func() {
			server.extra = room
			for d, a := range kept { // a refusal drops them
				server.s.keep(&server.Conn, direction(d), a)
			}
			if server.Open(server.s, bad, out).Violation == nil {
				t.Fatal("accepted")
			}
		}); n != 0 {
			t.Errorf("%#x: Open of a bad record allocates %v", suite, n)
		}
	}
}

func BenchmarkSeal(b *testing.B) {
	for _, suite := range suites13() {
		for _, cache := range []int{1 << 20, 0} {
			b.Run(fmt.Sprintf("%s/cache=%d", tls.CipherSuiteName(suite), cache), func(b *testing.B) {
				server, _ := pair(b, suite, 0)
				server.s = NewShared(cache)
				buf := make([]byte, record.HeaderLen+256, 1024)
				b.ReportAllocs()
				b.SetBytes(256)
				for b.Loop() {
					server.Seal(server.s, buf, 0)
				}
			})
		}
	}
}

// TestRandomTraffic mixes data, updates of both kinds and cuts of the stream, both ways at once.
func TestRandomTraffic(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, suite := range suites13() {
		server, client := pair(t, suite, 0)
		var up, sent, got []byte
		for range 2000 {
			switch r.IntN(10) {
			case 0:
				up = append(up, client.send(record.Handshake, 24, 0, 0, 1, byte(r.IntN(2)))...)
				client.keys[writing].Update()
				client.s.forget(&client.Conn, writing)
			default:
				message := pattern(1 + r.IntN(400))
				sent = append(sent, message...)
				up = append(up, client.seal(message)...)
			}
			for cut := up[:r.IntN(len(up)+1)]; ; {
				server.updates, client.updates = 0, 0
				o := server.take(t, cut)
				got = append(got, o.Plain...)
				if len(o.Out) > 0 {
					client.take(t, o.Out)
				}
				cut, up = cut[o.N:], up[o.N:]
				if o.N == 0 {
					break
				}
			}
			client.take(t, server.seal([]byte("down")))
		}
		for len(up) > 0 {
			server.updates, client.updates = 0, 0
			o := server.take(t, up)
			if got, up = append(got, o.Plain...), up[o.N:]; len(o.Out) > 0 {
				client.take(t, o.Out)
			}
		}
		if !bytes.Equal(got, sent) {
			t.Errorf("%#x: %d bytes of %d, or different ones", suite, len(got), len(sent))
		}
	}
}
