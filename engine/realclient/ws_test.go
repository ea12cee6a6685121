package realclient

import (
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
	"time"

	"weir/engine"
)

// ws starts the library ws from npm.
func (s *server) ws(t testing.TB) *script {
	t.Helper()
	return s.node(t, "ws.mjs", nil)
}

// opened starts it and opens a WebSocket.
func (s *server) opened(t testing.TB, path string, o order) (*script, event) {
	t.Helper()
	n := s.ws(t)
	all := order{"do": "open", "path": path}
	for k, v := range o {
		all[k] = v
	}
	n.do(all)
	return n, n.next("open")
}

// echoed wants back what the script has just sent.
func (n *script) echoed(what string, binary bool) {
	n.t.Helper()
	n.compare(what, binary, n.next("sending"), n.next("message"))
}

func (n *script) compare(what string, binary bool, sent, back event) {
	n.t.Helper()
	if back.Length != sent.Length || back.SHA256 != sent.SHA256 || back.Binary != binary {
		n.t.Fatalf("%s: %d bytes came back as %d, binary %v, or with other content", what, sent.Length, back.Length, back.Binary)
	}
}

// lengths are those around which frames, records and buffers change.
var lengths = []int{0, 1, 2, 125, 126, 127, 1000, 16383, 16384, 16385, 65535, 65536, 65537, 1 << 20}

// deflates are ways to offer permessage-deflate; nil is none.
var deflates = map[string]order{
	"plain":        nil,
	"deflate":      {},
	"no takeover":  {"clientNoContextTakeover": true, "serverNoContextTakeover": true},
	"small window": {"clientMaxWindowBits": 9},
	"level 1":      {"zlibDeflateOptions": order{"level": 1}},
}

func TestWsEcho(t *testing.T) {
	t.Parallel()
	for _, server := range []struct {
		name       string
		compressed bool
	}{{"off", false}, {"on", true}} {
		s := serve(t, func(c *engine.Config) { c.Compression = server.compressed })
		for offer, deflate := range deflates {
			t.Run("compression "+server.name+", "+offer, func(t *testing.T) {
				n, o := s.opened(t, echoPath, order{"compression": deflate})
				if got, want := o.Extensions != "", server.compressed && deflate != nil; got != want {
					t.Errorf("negotiated %q, want compression %v", o.Extensions, want)
				}
				for _, length := range lengths {
					n.do(order{"do": "send", "bytes": length})
					n.echoed(fmt.Sprintf("binary of %d", length), true)
					n.do(order{"do": "send", "text": "ü", "times": length / 2})
					n.echoed(fmt.Sprintf("text of %d", length), false)
				}
				for _, pieces := range []int{2, 3, 40} {
					n.do(order{"do": "fragments", "text": "a löng störy ", "times": 10_000, "pieces": pieces})
					sent, _ := n.next("sending"), n.next("pong") // the ping stood between fragments
					n.compare(fmt.Sprintf("text in %d fragments", pieces), false, sent, n.next("message"))
					n.do(order{"do": "fragments", "bytes": 70_000, "pieces": pieces})
					sent, _ = n.next("sending"), n.next("pong")
					n.compare(fmt.Sprintf("bytes in %d fragments", pieces), true, sent, n.next("message"))
				}
				n.do(order{"do": "close", "code": 1000, "reason": "done"})
				if c := n.next("close"); c.Code != 1000 {
					t.Errorf("closed with %d %q, want the 1000 back", c.Code, c.Reason)
				}
			})
		}
	}
}

// TestWsPublicationsDeflated: to who negotiated it the same publication goes compressed.
func TestWsPublicationsDeflated(t *testing.T) {
	t.Parallel()
	s := serve(t, func(c *engine.Config) { c.Compression = true })
	text := strings.Repeat("again and ", 150)
	var received [2]int
	for i, deflate := range []order{nil, {}} {
		n, _ := s.opened(t, wsPath, order{"compression": deflate})
		n.do(order{"do": "send", "text": `{"id":1,"connect":{"token":"` + sign(t, "alice", time.Hour) + `"}}` + "\n" + `{"id":2,"subscribe":{"channel":"feeds:a"}}`})
		n.next("sending")
		n.next("message")
		before := n.next("message")
		s.publish("feeds:a", `"`+text+`"`)
		push := n.next("message")
		if !strings.HasPrefix(push.Text, `{"push":{"channel":"feeds:a","pub":{"data":"`+text+`"`) {
			t.Fatalf("the push is %s", push.Text)
		}
		received[i] = push.Received - before.Received
	}
	if plain, deflated := received[0], received[1]; plain < len(text) || deflated > plain/4 {
		t.Errorf("a publication of %d bytes came as %d bytes, deflated as %d", len(text), plain, deflated)
	}
}

// TestWsUnsubscribe: nothing of a channel comes behind the reply, which the
// SDK would not show.
func TestWsUnsubscribe(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	n, _ := s.opened(t, wsPath, nil)
	for _, command := range []string{
		`{"id":1,"connect":{"token":"` + sign(t, "alice", time.Hour) + `"}}`, `{"id":2,"subscribe":{"channel":"feeds:a"}}`,
		`{"id":3,"subscribe":{"channel":"feeds:b"}}`, `{"id":4,"unsubscribe":{"channel":"feeds:a"}}`,
	} {
		n.do(order{"do": "send", "text": command})
		n.next("message", "sending")
	}
	s.publish("feeds:a", `"unseen"`)
	s.publish("feeds:b", `"seen"`)
	if m := n.next("message"); m.Text != `{"push":{"channel":"feeds:b","pub":{"data":"seen","offset":1}}}` {
		t.Errorf("after unsubscribing came %s", m.Text)
	}
}

func TestWsLargest(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	n, _ := s.opened(t, echoPath, nil)
	n.do(order{"do": "send", "bytes": echoLimit})
	n.echoed("the largest message", true)
	n.do(order{"do": "send", "bytes": echoLimit + 1})
	n.next("sending")
	if c := n.next("close", "error"); c.Code != 1009 {
		t.Errorf("one byte more: close %d %q, want 1009", c.Code, c.Reason)
	}
}

func TestWsPings(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	n, _ := s.opened(t, echoPath, nil)
	for _, text := range []string{"", "are you there", strings.Repeat("x", 125)} {
		n.do(order{"do": "ping", "text": text})
		if p := n.next("pong"); p.Text != text {
			t.Errorf("ping %q came back as %q", text, p.Text)
		}
	}
}

// TestWsCloses: what each end of a connection looks like to ws, of which the
// closing handshake must be whole: it says 1006 where it was not.
func TestWsCloses(t *testing.T) {
	t.Parallel()
	s := serve(t, func(c *engine.Config) { c.Compression = true })
	frame := func(first byte, payload string) string { // masked with zeros
		return hex.EncodeToString(append([]byte{first, 0x80 | byte(len(payload)), 0, 0, 0, 0}, payload...))
	}
	for _, c := range []struct {
		name string
		do   order
		code int
	}{
		{"1000", order{"do": "close", "code": 1000, "reason": "bye"}, 1000},
		{"1001", order{"do": "close", "code": 1001}, 1001},
		{"an application's", order{"do": "close", "code": 4999, "reason": strings.Repeat("x", 123)}, 4999},
		{"without a code", order{"do": "close"}, 1005},
		{"not UTF-8", order{"do": "send", "hex": "c328", "binary": false}, 1007},
		{"reserved opcode", order{"do": "raw", "hex": frame(0x83, "x")}, 1002},
		{"reserved bit", order{"do": "raw", "hex": frame(0xa1, "x")}, 1002},
		{"compressed control frame", order{"do": "raw", "hex": frame(0xc9, "x")}, 1002},
		{"compressed without negotiation", order{"do": "raw", "hex": frame(0xc1, "x")}, 1002},
		{"continuation of nothing", order{"do": "raw", "hex": frame(0x80, "x")}, 1002},
		{"fragmented ping", order{"do": "raw", "hex": frame(0x09, "x")}, 1002},
		{"unmasked", order{"do": "raw", "hex": "810178"}, 1002},
		{"close code 1006", order{"do": "raw", "hex": frame(0x88, "\x03\xee")}, 1002},
		{"2^63 bytes", order{"do": "raw", "hex": "82ff8000000000000000" + "00000000"}, 1002},
		{"2^40 bytes", order{"do": "raw", "hex": "82ff0000010000000000" + "00000000"}, 1009},
	} {
		t.Run(c.name, func(t *testing.T) {
			n, _ := s.opened(t, echoPath, nil)
			n.do(c.do)
			closed := n.next("close", "sending")
			if closed.Code != c.code {
				t.Errorf("closed with %d %q, want %d", closed.Code, closed.Reason, c.code)
			}
			if c.code == 1002 || c.code == 1007 || c.code == 1009 {
				if closed.Reason == "" {
					t.Errorf("close %d without a reason", c.code)
				}
			}
		})
	}
}

// TestWsClosedByServer: the server's close reaches ws with its code and
// reason, in the middle of a message too.
func TestWsClosedByServer(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	n, _ := s.opened(t, wsPath, nil)
	n.do(order{"do": "send", "text": `{"id":1,"connect":{"token":"` + sign(t, "bob", time.Hour) + `"}}`})
	n.next("message", "sending")
	n.do(order{"do": "raw", "hex": "018100000000" + "7b"}) // the first fragment of more
	n.do(order{"do": "ping", "text": "read up to here"})
	n.next("pong")
	s.api("disconnect", `{"user":"bob","disconnect":{"code":4321,"reason":"no more"}}`)
	if c := n.next("close"); c.Code != 4321 || c.Reason != "no more" {
		t.Errorf("closed with %d %q", c.Code, c.Reason)
	}
	n.do(order{"do": "open", "path": wsPath})
	n.next("open")
	n.do(order{"do": "send", "text": "", "binary": true})
	n.next("sending")
	if c := n.next("close"); c.Code != 3501 {
		t.Errorf("an empty frame: %d %q, want 3501", c.Code, c.Reason)
	}
}

func TestWsRefused(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	n := s.ws(t)
	for _, c := range []struct {
		name, path string
		options    order
		protocols  []string
		status     int
	}{
		{"foreign origin", wsPath, order{"origin": "https://evil.example"}, nil, 403},
		{"no origin", wsPath, order{"origin": nil}, nil, 403},
		{"another path", "/nowhere", nil, nil, 404},
		{"bad token", wsPath, order{"headers": order{"Authorization": "Bearer a.b.c"}}, nil, 401},
		{"version 8", wsPath, order{"protocolVersion": 8}, nil, 426},
	} {
		n.do(order{"do": "open", "path": c.path, "options": c.options, "protocols": c.protocols})
		r := n.next("refused", "error", "close")
		if r.Status != c.status || r.Text == "" || !strings.HasPrefix(r.Headers["connection"], "close") {
			t.Errorf("%s: %d %q, headers %v; want %d", c.name, r.Status, r.Text, r.Headers, c.status)
		}
	}
	n.do(order{"do": "open", "path": wsPath, "protocols": []string{"centrifuge-protobuf", "centrifuge-json"}})
	if o := n.next("open"); o.Protocol != "centrifuge-json" {
		t.Errorf("the subprotocol is %q", o.Protocol)
	}
}

// TestWsChecksTheCertificate: without our certificate ws does not get in, so
// the other tests do prove the chain.
func TestWsChecksTheCertificate(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	n := s.node(t, "ws.mjs", order{"ca": ""})
	n.do(order{"do": "open", "path": echoPath})
	if e := n.next("error"); e.Text == "" || !strings.Contains(e.Text, "self-signed certificate") {
		t.Errorf("the error is %+v", e)
	}
}

// TestWsVanishes: a client that is cut off leaves nothing behind.
func TestWsVanishes(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	n, _ := s.opened(t, echoPath, nil)
	n.do(order{"do": "raw", "hex": "02ff0000000000100000" + "00000000" + strings.Repeat("00", 1000)})
	n.do(order{"do": "terminate"})
	if c := n.next("close", "error"); c.Code != 1006 {
		t.Errorf("terminated: %d", c.Code)
	}
	s.stop() // would wait for a connection that is left, and its test for goroutines
}
