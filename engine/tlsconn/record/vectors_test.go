package record

import (
	"bytes"
	"encoding/hex"
	"os"
	"strings"
	"testing"
)

// vectors reads a file of testdata: "name: hex", a value going on in lines that start with a space.
func vectors(t *testing.T, file string) map[string][]byte {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	joined := strings.ReplaceAll(string(text), "\n ", "")
	values := make(map[string][]byte)
	for _, line := range strings.Split(joined, "\n") {
		name, digits, ok := strings.Cut(line, ": ")
		if !ok || strings.HasPrefix(line, "#") {
			continue
		}
		if values[name], err = hex.DecodeString(digits); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	return values
}

type rfc8448Record struct {
	sender  string
	record  string
	content string
	typ     Type
}

var rfc8448Records = []rfc8448Record{
	{"server", "server ticket record", "server ticket", Handshake},
	{"client", "client data record", "payload", ApplicationData},
	{"server", "server data record", "payload", ApplicationData},
	{"client", "client alert record", "alert", Alert},
	{"server", "server alert record", "alert", Alert},
}

func TestRFC8448(t *testing.T) {
	values := vectors(t, "testdata/rfc8448-simple-1rtt.txt")
	var s Scratch
	for _, sender := range []string{"client", "server"} {
		seal, err := NewKey(suiteAES128GCMSHA256, values[sender+" secret"], 0)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(seal.key[:16], values[sender+" key"]) || !bytes.Equal(seal.iv[:], values[sender+" iv"]) {
			t.Fatalf("%s: key %x iv %x", sender, seal.key[:16], seal.iv)
		}
		open, aead := seal, seal.AEAD()
		for _, r := range rfc8448Records {
			if r.sender != sender {
				continue
			}
			buf := append(make([]byte, HeaderLen), values[r.content]...)
			if got := seal.Seal(&s, aead, buf, 0, r.typ); !bytes.Equal(got, values[r.record]) {
				t.Errorf("%s sealed\n%x\nwant\n%x", r.record, got, values[r.record])
			}
			typ, plain, v := open.Open(&s, aead, bytes.Clone(values[r.record]))
			if v != nil || typ != r.typ || !bytes.Equal(plain, values[r.content]) {
				t.Errorf("%s opened: type %d %x %v", r.record, typ, plain, v)
			}
		}
		if seal.Seq() != open.Seq() || seal.Seq() == 0 {
			t.Errorf("%s: sequence numbers %d and %d", sender, seal.Seq(), open.Seq())
		}
	}
}

// A server that takes over after the handshake starts its sealing key at the number of tickets sent.
func TestSequenceStartsAfterTickets(t *testing.T) {
	values := vectors(t, "testdata/rfc8448-simple-1rtt.txt")
	key, err := NewKey(suiteAES128GCMSHA256, values["server secret"], 1)
	if err != nil {
		t.Fatal(err)
	}
	buf := append(make([]byte, HeaderLen), values["payload"]...)
	if got := key.Seal(new(Scratch), key.AEAD(), buf, 0, ApplicationData); !bytes.Equal(got, values["server data record"]) {
		t.Errorf("record %x", got)
	}
}
