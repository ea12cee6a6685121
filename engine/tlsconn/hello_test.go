package tlsconn

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"testing"

	"weir/engine/tlsconn/record"
)

// clientHello is a real one, in one record.
func clientHello(t testing.TB, config *tls.Config) []byte {
	t.Helper()
	near, far := newMemory()
	client := tls.Client(far, config)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = client.Handshake() // ends with the pipe
	}()
	b := make([]byte, MaxHello)
	n, err := near.Read(b)
	_ = near.Close()
	<-done
	if err != nil {
		t.Fatal(err)
	}
	return b[:n]
}

// inRecords cuts the message of a hello into records of at most size bytes.
func inRecords(hello []byte, size int) (out []byte) {
	for message := hello[record.HeaderLen:]; len(message) > 0; {
		n := min(size, len(message))
		out = append(out, hello[:3]...)
		out = binary.BigEndian.AppendUint16(out, uint16(n))
		out = append(out, message[:n]...)
		message = message[n:]
	}
	return out
}

// handshakeRecord is one record of one handshake message with a body of zeros.
func handshakeRecord(typ byte, declared, body int) []byte {
	b := []byte{22, 3, 1, 0, 0, typ, byte(declared >> 16), byte(declared >> 8), byte(declared)}
	b = append(b, make([]byte, body)...)
	binary.BigEndian.PutUint16(b[3:], uint16(len(b)-record.HeaderLen))
	return b
}

func TestHelloTable(t *testing.T) {
	real := clientHello(t, clientConfig())
	cases := []struct {
		name  string
		in    []byte
		whole bool
		v     *record.Violation
	}{
		{"nothing", nil, false, nil},
		{"real", real, true, nil},
		{"real and more", append(bytes.Clone(real), 0xff), true, nil},
		{"in pieces of 100", inRecords(real, 100), true, nil},
		{"message header cut", inRecords(real[:record.HeaderLen+400], 3), false, ErrHelloLength},
		{"GET", []byte("GET / HTTP/1.1\r\n"), false, ErrNotTLS},
		{"SSLv2", []byte{0x80, 0x2e, 1}, false, ErrNotTLS},
		{"alert", []byte{21, 3, 1, 0, 2, 1, 0}, false, ErrNotTLS},
		{"application data", []byte{23, 3, 3}, false, ErrNotTLS},
		{"version", []byte{22, 2}, false, ErrHelloVersion},
		{"empty record", []byte{22, 3, 1, 0, 0}, false, ErrHelloEmpty},
		{"longest record", []byte{22, 3, 1, 0x3f, 0xfb}, false, nil},
		{"record too long", []byte{22, 3, 1, 0x3f, 0xfc}, false, ErrHelloLength},
		{"a second record too long", append(handshakeRecord(1, 1000, 100), 22, 3, 1, 0x3f, 0xfb), false, ErrHelloLength},
		{"no room for a second record", append(handshakeRecord(1, MaxHello-4, MaxHello-14), 22), false, ErrHelloLength},
		{"second record is something else", append(inRecords(real, 100)[:105], 21), false, ErrNotTLS},
		{"other message", handshakeRecord(2, 100, 100), false, ErrNotHello},
		{"declared over the limit", handshakeRecord(1, MaxHello-3, 1), false, ErrHelloLength},
		{"declared 16 MB", handshakeRecord(1, 1<<24-1, 1), false, ErrHelloLength},
		{"declared at the limit", handshakeRecord(1, MaxHello-4, 1), false, nil},
		{"64 records", inRecords(handshakeRecord(1, 252, 252), 4), true, nil},
		{"65 records", inRecords(handshakeRecord(1, 256, 256), 4), false, ErrHelloLength},
		{"over the bytes without an end", handshakeRecord(1, MaxHello-4, MaxHello-5), false, ErrHelloLength},
		{"last record not whole", handshakeRecord(1, 10, 30)[:20], false, nil},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			whole, v := Hello(c.in)
			if whole != c.whole || v != c.v {
				t.Errorf("whole %v, violation %+v", whole, v)
			}
			if !raceDetector {
				if n := testing.AllocsPerRun(10, func() { Hello(c.in) }); n != 0 {
					t.Errorf("%v allocations", n)
				}
			}
		})
	}
}

func TestHelloCutShort(t *testing.T) {
	for _, size := range []int{1 << 14, 300, 30} {
		hello := inRecords(clientHello(t, clientConfig()), size)
		for n := range hello {
			if whole, v := Hello(hello[:n]); whole || v != nil {
				t.Fatalf("records of %d, %d of %d bytes: whole %v, violation %v", size, n, len(hello), whole, v)
			}
		}
		if whole, v := Hello(hello); !whole || v != nil {
			t.Fatalf("whole %v, violation %v", whole, v)
		}
	}
}

// TestHelloEverySplit: the message cut into two records at every place, in the message header too.
func TestHelloEverySplit(t *testing.T) {
	hello := clientHello(t, clientConfig())
	for n := 1; n < len(hello)-record.HeaderLen; n++ {
		b := append(inRecords(hello[:record.HeaderLen+n], 1<<14), hello[:3]...)
		b = binary.BigEndian.AppendUint16(b, uint16(len(hello)-record.HeaderLen-n))
		b = append(b, hello[record.HeaderLen+n:]...)
		if whole, v := Hello(b); !whole || v != nil {
			t.Fatalf("cut at %d: whole %v, violation %v", n, whole, v)
		}
		if whole, _ := Hello(b[:len(b)-1]); whole {
			t.Fatalf("cut at %d: whole without its last byte", n)
		}
	}
}

// naiveHello joins the records first and looks then. It knows no violation.
func naiveHello(b []byte) (whole bool) {
	var message []byte
	for len(b) >= record.HeaderLen {
		n := int(binary.BigEndian.Uint16(b[3:]))
		if len(b) < record.HeaderLen+n {
			return false
		}
		message = append(message, b[record.HeaderLen:record.HeaderLen+n]...)
		b = b[record.HeaderLen+n:]
		if len(message) >= 4 && len(message)-4 >= int(message[1])<<16|int(message[2])<<8|int(message[3]) {
			return true
		}
	}
	return false
}

func FuzzHello(f *testing.F) {
	hello := clientHello(f, clientConfig())
	f.Add(hello)
	f.Add(inRecords(hello, 50))
	f.Add(handshakeRecord(1, 10, 30))
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"))
	f.Add(handshakeRecord(1, MaxHello-messageHeaderLen, MaxHello-record.HeaderLen)) // as long as may be, and not whole
	f.Fuzz(func(t *testing.T, b []byte) {
		whole, v := Hello(b)
		if v == nil && whole != naiveHello(b) {
			t.Fatalf("whole %v, naive says %v", whole, !whole)
		}
		if whole && v != nil {
			t.Fatal("whole and a violation")
		}
		if v == nil && !whole && len(b) >= MaxHello {
			t.Fatal("need more past the limit")
		}
		// What is refused stays refused, what is whole stays whole.
		if w, u := Hello(append(bytes.Clone(b), 0)); (v != nil && u != v) || (whole && !w) {
			t.Fatalf("one byte more: whole %v then %v, violation %v then %v", whole, w, v, u)
		}
	})
}
