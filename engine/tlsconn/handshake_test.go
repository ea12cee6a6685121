package tlsconn

import (
	"crypto/tls"
	"fmt"
	mathrand "math/rand/v2"
	"testing"

	"weir/engine/tlsconn/record"
)

// finish closes c properly and waits until the server saw close_notify without a violation.
func finish(t *testing.T, c *tls.Conn, s *server) {
	t.Helper()
	if err := c.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	within(t, s.finished, "connection")
	if s.result != nil {
		t.Errorf("violation: %v", s.result.Reason)
	}
	if !s.closed {
		t.Error("close_notify was not seen")
	}
}

func TestHandshakeThenEcho(t *testing.T) {
	const any13 = uint16(0)
	cases := []struct {
		version, suite uint16
		rsa            bool
	}{
		{tls.VersionTLS13, any13, false},
		{tls.VersionTLS13, any13, true},
		{tls.VersionTLS12, tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, false},
		{tls.VersionTLS12, tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, false},
		{tls.VersionTLS12, tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, false},
		{tls.VersionTLS12, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, true},
		{tls.VersionTLS12, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, true},
		{tls.VersionTLS12, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256, true},
	}
	cuts := map[string]func(int) int{
		"as it comes":  nil,
		"byte by byte": func(int) int { return 1 },
		"at random":    func(n int) int { return 1 + mathrand.IntN(min(n, 700)) },
	}
	for _, c := range cases {
		for name, cut := range cuts {
			t.Run(fmt.Sprintf("%s/%s/%s", tls.VersionName(c.version), tls.CipherSuiteName(c.suite), name), func(t *testing.T) {
				pool := newPool(t, func(p *PoolConfig) {
					if c.rsa {
						p.TLS.Certificates = []tls.Certificate{testAuthority().rsa}
					}
				})
				near, far := newMemory()
				s := serve(t, pool, near, func(s *server) { s.piece = cut })
				config := clientConfig()
				config.MinVersion, config.MaxVersion = c.version, c.version
				config.NextProtos = []string{"h2", "http/1.1"}
				if c.suite != any13 {
					config.CipherSuites = []uint16{c.suite}
				}
				client := tls.Client(far, config)
				for _, n := range []int{1, 100, 5000, record.MaxPlaintext, record.MaxPlaintext + 1, 70000} {
					echo(t, client, pattern(n))
				}
				within(t, s.handshaken, "handshake")
				if s.info.Version != c.version || s.info.ALPN != "http/1.1" || s.info.ServerName != "weir.test" ||
					s.info.Suite != client.ConnectionState().CipherSuite {
					t.Errorf("info %+v", s.info)
				}
				if c.suite != any13 && s.info.Suite != c.suite {
					t.Errorf("suite %s", tls.CipherSuiteName(s.info.Suite))
				}
				finish(t, client, s)
			})
		}
	}
}
