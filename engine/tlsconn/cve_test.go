package tlsconn

import (
	"bytes"
	"crypto/tls"
	"testing"
	"time"

	"weir/engine/tlsconn/record"
)

// Attacks that were found in other servers. docs/security.md lists all of them.

// TestCVE_2026_32283_KeyUpdatesInOneRecord (crypto/tls): several messages in one
// record, of which only the last could be read with the key that it makes. The
// first that something follows ends the connection (RFC 8446 §5.1).
func TestCVE_2026_32283_KeyUpdatesInOneRecord(t *testing.T) {
	update := []byte{24, 0, 0, 1, 1}
	for _, suite := range suites13() {
		for _, n := range []int{2, 3, 100, 3000} {
			server, client := pair(t, suite, 0)
			o := server.Open(server.s, client.send(record.Handshake, bytes.Repeat(update, n)...), nil)
			if o.Violation != ErrKeyBoundary {
				t.Errorf("%d in one record: %v", n, o.Violation)
			}
		}
		server, client := pair(t, suite, 0)
		if o := server.take(t, client.send(record.Handshake, update...)); len(o.Out) == 0 {
			t.Error("one is not answered")
		}
	}
}

// TestCVE_2026_56862_KeyUpdateFlood: in a minute sixteen are made, whether
// answers are asked for or not, and whatever comes between them.
func TestCVE_2026_56862_KeyUpdateFlood(t *testing.T) {
	for _, answer := range []byte{0, 1} {
		server, client := pair(t, tls.TLS_AES_128_GCM_SHA256, 0)
		server.s.Tick(time.Unix(1e9, 0), false)
		made, out := 0, 0
		var v *record.Violation
		for ; v == nil && made < 1000; made++ {
			server.take(t, client.seal([]byte("honest"))) // resets no count
			in := client.send(record.Handshake, 24, 0, 0, 1, answer)
			client.keys[writing].Update()
			client.s.forget(&client.Conn, writing)
			o := server.Open(server.s, in, nil)
			v, out = o.Violation, out+len(o.Out)
		}
		if v != ErrKeyUpdates || made != maxKeyUpdates+1 {
			t.Errorf("answers %d: %v after %d", answer, v, made)
		}
		if out > (maxKeyUpdates+1)*64 {
			t.Errorf("answers %d: %d bytes of answers", answer, out)
		}
	}
}
