package realclient

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"weir/engine"
	"weir/engine/ws"
	"weir/security/certs"
	"weir/security/certs/certstest"
)

// openssl starts s_client, which verifies chain and name.
func (s *server) openssl(t testing.TB, args ...string) *process {
	t.Helper()
	program, err := exec.LookPath("openssl")
	if err != nil {
		missing(t, "openssl", "install OpenSSL 3 or later")
	}
	return run(t, nil, program, append([]string{"s_client", "-connect", s.Addr().String(), "-servername", "localhost",
		"-CAfile", s.CertFile, "-verify_return_error", "-verify_hostname", "localhost"}, args...)...)
}

const upgradeHead = "GET %s HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
	"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nOrigin: " + ourOrigin + "\r\n\r\n"

// upgrade makes a WebSocket of it: RFC 6455 §1.3 has this key's answer.
func (p *process) upgrade(path string) {
	p.t.Helper()
	p.write(fmt.Appendf(nil, upgradeHead, path))
	p.await("HTTP/1.1 101 ", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
}

// text is a masked frame. Its mask has no letter that s_client takes for an order.
func text(payload string) []byte {
	return ws.AppendMasked(nil, ws.OpText, [4]byte{0x81, 0x92, 0xa3, 0xb4}, []byte(payload))
}

// echoed sends text and wants it back, which s_client writes among its own words.
func (p *process) echoed(payload string) {
	p.t.Helper()
	p.write(text(payload))
	p.await(string(ws.AppendFrame(nil, ws.OpText, []byte(payload))))
}

// key has s_client update its key: K asks us for a new one too, k does not.
func (p *process) key(letter string, so int) {
	p.t.Helper()
	p.write([]byte(letter + "\n"))
	timeout := time.After(longest)
	for {
		out, changed := p.out.Read()
		if strings.Count(out, "KEYUPDATE") == so {
			return
		}
		select {
		case <-changed:
		case <-timeout:
			p.t.Fatalf("no KEYUPDATE %d: %s", so, out)
		}
	}
}

// suites are what both sides can; OpenSSL's name of the protocol goes before.
var suites = []struct{ protocol, suite string }{
	{"TLSv1.3", "TLS_AES_128_GCM_SHA256"},
	{"TLSv1.3", "TLS_AES_256_GCM_SHA384"},
	{"TLSv1.3", "TLS_CHACHA20_POLY1305_SHA256"},
	{"TLSv1.2", "ECDHE-ECDSA-AES128-GCM-SHA256"},
	{"TLSv1.2", "ECDHE-ECDSA-AES256-GCM-SHA384"},
	{"TLSv1.2", "ECDHE-ECDSA-CHACHA20-POLY1305"},
}

// only are the arguments for one protocol and suite.
func only(protocol, suite string) []string {
	if protocol == "TLSv1.2" {
		return []string{"-tls1_2", "-cipher", suite}
	}
	return []string{"-tls1_3", "-ciphersuites", suite}
}

func TestOpenSSLBrief(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	for _, c := range suites {
		t.Run(c.protocol+" "+c.suite, func(t *testing.T) {
			p := s.openssl(t, append(only(c.protocol, c.suite), "-brief", "-alpn", "h2,http/1.1")...)
			p.await("CONNECTION ESTABLISHED\n", "Protocol version: "+c.protocol+"\n", "Ciphersuite: "+c.suite+"\n", "Verification: OK\n",
				"Verified peername: localhost\n")
			p.upgrade(echoPath)
			p.echoed("hello over " + c.suite)
			p.echoed(strings.Repeat("long ", 5000))
			p.write(ws.AppendMasked(nil, ws.OpClose, [4]byte{}, []byte{0x03, 0xe8}))
			if out := p.exit(); !strings.Contains(out, "\x88\x02\x03\xe8") || strings.Contains(out, "error") {
				t.Errorf("after the closing handshake it said %q", out)
			}
		})
	}
}

// TestOpenSSLProtocol: the client protocol of a session, by hand.
func TestOpenSSLProtocol(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	p := s.openssl(t, "-brief")
	p.upgrade(wsPath)
	p.write(text(`{"id":1,"connect":{"token":"` + sign(t, "alice", time.Hour) + `"}}` + "\n" + `{"id":2,"subscribe":{"channel":"feeds:a"}}`))
	p.await(`{"id":1,"connect":{`, `{"id":2,"subscribe":{}}`)
	s.publish("feeds:a", `"by hand"`)
	p.await(`{"push":{"channel":"feeds:a","pub":{"data":"by hand","offset":1}}}`)
}

// TestOpenSSLRefusals: what must not be spoken is refused with an alert that says so.
func TestOpenSSLRefusals(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	for _, c := range []struct {
		name, alert string
		args        []string
	}{
		{"TLS 1.1", "alert protocol version", []string{"-tls1_1", "-cipher", "ALL:@SECLEVEL=0"}},
		{"TLS 1.0", "alert protocol version", []string{"-tls1", "-cipher", "ALL:@SECLEVEL=0"}},
		{"CBC", "handshake failure", []string{"-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA256:ECDHE-ECDSA-AES256-SHA:@SECLEVEL=0"}},
		{"DHE", "handshake failure", []string{"-tls1_2", "-cipher", "DHE:@SECLEVEL=0"}},
		{"CBC with SHA-384", "handshake failure", []string{"-tls1_2", "-cipher", "ECDHE-ECDSA-AES256-SHA384:@SECLEVEL=0"}},
		{"CCM", "handshake failure", []string{"-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-CCM:@SECLEVEL=0"}},
		{"CCM over TLS 1.3", "handshake failure", []string{"-tls1_3", "-ciphersuites", "TLS_AES_128_CCM_SHA256"}},
		{"nobody's key", "handshake failure", []string{"-tls1_2", "-cipher", "aNULL:@SECLEVEL=0"}},
		{"no forward secrecy", "handshake failure", []string{"-tls1_2", "-cipher", "AES128-GCM-SHA256:@SECLEVEL=0"}},
		{"h2 alone", "no application protocol", []string{"-alpn", "h2"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if out := s.openssl(t, c.args...).exit(); !strings.Contains(out, c.alert) {
				t.Errorf("it said %s", out)
			}
		})
	}
}

// TestOpenSSLRenegotiation: asked to renegotiate over TLS 1.2 we end the connection.
func TestOpenSSLRenegotiation(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	p := s.openssl(t, "-tls1_2")
	p.await("Verify return code: 0 (ok)")
	p.write([]byte("R\n"))
	p.await("RENEGOTIATING")
	if out := p.exit(); strings.Contains(out, "HTTP/1.1") || strings.Count(out, "Verify return code") > 1 {
		t.Errorf("it went on: %s", out)
	}
}

// TestOpenSSLOffers: compression is not taken up, and tickets allow no early data.
func TestOpenSSLOffers(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	dir := t.TempDir()
	session, early := filepath.Join(dir, "session.pem"), filepath.Join(dir, "early")
	if err := os.WriteFile(early, fmt.Appendf(nil, upgradeHead, echoPath), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"-tls1_2", "-comp"}, {"-tls1_3", "-comp", "-sess_out", session}, {"-tls1_3", "-sess_in", session, "-early_data", early}} {
		p := s.openssl(t, args...)
		p.upgrade(echoPath) // it is answered once: what was to go early was not sent
		p.echoed("hello")
		if err := p.stdin.Close(); err != nil {
			t.Fatal(err)
		}
		out := p.exit()
		if strings.Contains(out, "Compression: zlib") || strings.Contains(out, "Early data was accepted") || strings.Count(out, "HTTP/1.1 101") != 1 {
			t.Errorf("%v: %s", args, out)
		}
		if strings.Contains(strings.Join(args, " "), "-early_data") && (!strings.Contains(out, "Reused") || !strings.Contains(out, "Max Early Data: 0") && !strings.Contains(out, "Early data was not sent")) {
			t.Errorf("%v: %s", args, out)
		}
	}
}

// TestOpenSSLResumption: a session of one connection shortens the next one's
// handshake, at a server that was not told about it.
func TestOpenSSLResumption(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	for _, c := range suites {
		t.Run(c.protocol+" "+c.suite, func(t *testing.T) {
			session := filepath.Join(t.TempDir(), "session.pem")
			for i, want := range []string{"New, " + c.protocol, "Reused, " + c.protocol, "Reused, " + c.protocol} {
				args := append(only(c.protocol, c.suite), "-sess_out", session)
				if i > 0 {
					args = append(args, "-sess_in", session)
				}
				p := s.openssl(t, args...)
				p.await(want + ", Cipher is " + c.suite)
				p.upgrade(echoPath) // the tickets stand before the answer
				p.echoed("hello again")
				if err := p.stdin.Close(); err != nil {
					t.Fatal(err)
				}
				if out := p.exit(); !strings.Contains(out, "Verify return code: 0 (ok)") {
					t.Errorf("connection %d: %s", i, out)
				}
			}
		})
	}
}

// TestOpenSSLSharedTickets: a session of one server is resumed by another that has the same ticket keys, and not by one
// that has others.
func TestOpenSSLSharedTickets(t *testing.T) {
	t.Parallel()
	id := newIdentity(t)
	start := func(keyFile string) *server {
		store, err := certs.Load(id.CertFile, id.KeyFile, certs.Options{AllowSelfSigned: true})
		if err != nil {
			t.Fatal(err)
		}
		keys, err := certs.LoadTicketKeys(keyFile, nil)
		if err != nil {
			t.Fatal(err)
		}
		config, err := certs.ServerConfig(certs.TLSOptions{Store: store, Tickets: keys})
		if err != nil {
			t.Fatal(err)
		}
		return id.serve(t, func(c *engine.Config) { c.TLS = config })
	}
	keyFile := filepath.Join(t.TempDir(), "tickets.key")
	if err := os.WriteFile(keyFile, []byte("a key as it is, of 32 bytes: \x00\x01\x02"), 0o600); err != nil {
		t.Fatal(err)
	}
	first, second, other := start(keyFile), start(keyFile), start("")
	for _, c := range []struct{ protocol, suite string }{suites[0], suites[3]} {
		t.Run(c.protocol, func(t *testing.T) {
			session := filepath.Join(t.TempDir(), "session.pem")
			for i, s := range []*server{first, second, first, other} {
				args, want := append(only(c.protocol, c.suite), "-sess_out", session), "Reused, "
				if i > 0 {
					args = append(args, "-sess_in", session)
				}
				if i == 0 || s == other {
					want = "New, "
				}
				p := s.openssl(t, args...)
				p.await(want + c.protocol + ", Cipher is " + c.suite)
				p.upgrade(echoPath)
				p.echoed("hello again")
				if err := p.stdin.Close(); err != nil {
					t.Fatal(err)
				}
				p.exit()
			}
		})
	}
}

// TestOpenSSLClientCertificate is row T5: no certificate or another authority's gets an alert that says so; a good one is
// the user, also when the session is resumed without showing it again.
func TestOpenSSLClientCertificate(t *testing.T) {
	t.Parallel()
	ours, theirs := certstest.NewAuthority(t), certstest.NewAuthority(t)
	shows := func(a *certstest.Authority) []string {
		cert, key := a.ClientFiles("alice.test")
		return []string{"-cert", cert, "-key", key}
	}
	s := serve(t, func(c *engine.Config) {
		c.TLS.ClientAuth, c.ClientCAs = tls.RequireAndVerifyClientCert, func() *x509.CertPool { return ours.Pool }
		c.Namespaces = append(c.Namespaces, engine.Namespace{Name: "open", AllowSubscribeForClient: true})
	})
	for _, c := range []struct {
		protocol, alert string
		args            []string
	}{
		{"-tls1_3", "alert certificate required", nil},
		{"-tls1_2", "alert handshake failure", nil},
		{"-tls1_3", "alert unknown ca", shows(theirs)},
		{"-tls1_2", "alert unknown ca", shows(theirs)},
	} {
		p := s.openssl(t, append(c.args, c.protocol)...) // over TLS 1.3 it is connected before it is refused
		if out := p.exit(); !strings.Contains(out, c.alert) {
			t.Errorf("%s, want %s: %s", c.protocol, c.alert, out)
		}
	}
	for _, protocol := range []string{"-tls1_3", "-tls1_2"} {
		session := filepath.Join(t.TempDir(), "session.pem")
		for i, args := range [][]string{append(shows(ours), "-sess_out", session), {"-sess_in", session}} {
			p := s.openssl(t, append(args, protocol)...)
			p.await([]string{"New, ", "Reused, "}[i])
			p.upgrade(wsPath)
			p.write(text(`{"id":1,"connect":{}}` + "\n" + `{"id":2,"subscribe":{"channel":"open:a#alice.test"}}` + "\n" + `{"id":3,"subscribe":{"channel":"open:a#bob"}}`))
			p.await(`{"id":1,"connect":{`, `{"id":2,"subscribe":{}}`, `{"id":3,"error":{"code":103`)
			if err := p.stdin.Close(); err != nil {
				t.Fatal(err)
			}
			p.exit()
		}
	}
}

// TestOpenSSLKeyUpdates: new keys, of its own and asked of us, under a suite
// each, before the request and between messages. What follows goes through.
func TestOpenSSLKeyUpdates(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	for _, c := range suites[:3] {
		t.Run(c.suite, func(t *testing.T) {
			record := filepath.Join(t.TempDir(), "messages")
			p := s.openssl(t, append(only(c.protocol, c.suite), "-msg", "-msgfile", record)...)
			p.await("Verify return code: 0 (ok)")
			p.key("K", 1)
			p.upgrade(echoPath)
			for i, letter := range []string{"k", "K", "K", "k", "k", "K"} {
				p.key(letter, i+2)
				p.echoed(fmt.Sprintf("message %d after %s", i, letter))
			}
			p.echoed(strings.Repeat("long ", 10_000))
			if err := p.stdin.Close(); err != nil {
				t.Fatal(err)
			}
			p.exit()
			messages, err := os.ReadFile(record)
			if err != nil {
				t.Fatal(err)
			}
			const update = " TLS 1.3, Handshake [length 0005], KeyUpdate"
			if asked, answered := bytes.Count(messages, []byte(">>>"+update)), bytes.Count(messages, []byte("<<<"+update)); asked != 7 || answered != 4 {
				t.Errorf("%d key updates and %d of ours, want 7 and, for those that asked, 4:\n%s", asked, answered, messages)
			}
		})
	}
}
