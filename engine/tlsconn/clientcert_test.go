package tlsconn

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// issuer is an authority of client certificates.
type issuer struct {
	t    testing.TB
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pool *x509.CertPool
}

func newIssuer(t testing.TB, name string) *issuer {
	t.Helper()
	i := &issuer{t: t, pool: x509.NewCertPool()}
	i.cert, i.key = i.sign(&x509.Certificate{
		Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	})
	i.pool.AddCert(i.cert)
	return i
}

// sign issues a certificate; the first is the issuer's own.
func (i *issuer) sign(c *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	i.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		i.t.Fatal(err)
	}
	c.SerialNumber = big.NewInt(time.Now().UnixNano())
	if c.NotAfter.IsZero() {
		c.NotBefore, c.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(24*time.Hour)
	}
	parent, signer := i.cert, i.key
	if parent == nil {
		parent, signer = c, key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, key.Public(), signer)
	if err != nil {
		i.t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		i.t.Fatal(err)
	}
	return cert, key
}

// client is a certificate for a client, changed by change.
func (i *issuer) client(change func(*x509.Certificate)) []tls.Certificate {
	i.t.Helper()
	c := &x509.Certificate{DNSNames: []string{"client.test"}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	if change != nil {
		change(c)
	}
	cert, key := i.sign(c)
	return []tls.Certificate{{Certificate: [][]byte{cert.Raw}, PrivateKey: key}}
}

// TestClientCertificates is row T5: who shows none, or one that is not good, does not get in; who shows a good one is known
// by it, over TLS 1.2 and 1.3.
func TestClientCertificates(t *testing.T) {
	ours, theirs := newIssuer(t, "ours"), newIssuer(t, "theirs")
	expired := func(c *x509.Certificate) {
		c.NotBefore, c.NotAfter = time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour)
	}
	later := func(c *x509.Certificate) {
		c.NotBefore, c.NotAfter = time.Now().Add(time.Hour), time.Now().Add(2*time.Hour)
	}
	forServers := func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }
	required, optional := tls.RequireAndVerifyClientCert, tls.VerifyClientCertIfGiven
	for _, c := range []struct {
		name  string
		auth  tls.ClientAuthType
		shows []tls.Certificate
		want  *Failure // nil: it gets in
		known bool
		alert string
	}{
		{"none", required, nil, ErrClient, false, ""}, // TLS 1.2 and 1.3 have other alerts
		{"none, optional", optional, nil, nil, false, ""},
		{"good", required, ours.client(nil), nil, true, ""},
		{"good, optional", optional, ours.client(nil), nil, true, ""},
		{"of another authority", required, theirs.client(nil), ErrClient, false, "unknown certificate authority"},
		{"of another authority, optional", optional, theirs.client(nil), ErrClient, false, "unknown certificate authority"},
		{"expired", required, ours.client(expired), ErrClient, false, "expired certificate"},
		{"not yet good", required, ours.client(later), ErrClient, false, "expired certificate"},
		{"for servers", required, ours.client(forServers), ErrClient, false, "bad certificate"},
		{"signs itself", required, []tls.Certificate{testAuthority().ecdsa}, ErrClient, false, ""},
	} {
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			pool := newPool(t, func(p *PoolConfig) {
				p.TLS.ClientAuth, p.ClientCAs = c.auth, func() *x509.CertPool { return ours.pool }
			})
			config := onlyVersion(version)
			config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { // whatever is asked for
				if c.shows == nil {
					return &tls.Certificate{}, nil
				}
				return &c.shows[0], nil
			}
			s, client := dial(t, pool, config)
			name := tls.VersionName(version) + ", " + c.name
			if c.want == nil {
				echo(t, client, pattern(1000))
				within(t, s.handshaken, "handshake")
				if known := len(s.info.PeerCertificates) == 1; s.err != nil || known != c.known {
					t.Errorf("%s: %v, known %v", name, s.err, known)
				}
				finish(t, client, s)
				continue
			}
			_, err := client.Read(make([]byte, 1)) // a TLS 1.3 client is done before the server judges
			within(t, s.handshaken, "handshake")
			if s.err != error(c.want) || err == nil || !strings.Contains(err.Error(), c.alert) {
				t.Errorf("%s: server %v, client %v", name, s.err, err)
			}
			if pool.Counters().Completed != 0 {
				t.Errorf("%s: completed", name)
			}
		}
	}
}

// TestResumedClientIsKnown: a resumed session has the certificate of the first, as long as its authority is one of ours and
// it has not expired; then the whole handshake judges it again.
func TestResumedClientIsKnown(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		ours, theirs := newIssuer(t, "ours"), newIssuer(t, "theirs")
		var trusted atomic.Pointer[x509.CertPool]
		trusted.Store(ours.pool)
		var late atomic.Int64 // how far the server's clock is ahead
		pool := newPool(t, func(p *PoolConfig) {
			p.TLS.ClientAuth, p.ClientCAs = tls.RequireAndVerifyClientCert, trusted.Load
			p.TLS.Time = func() time.Time { return time.Now().Add(time.Duration(late.Load())) }
		})
		config := onlyVersion(version)
		config.Certificates = ours.client(nil)
		config.ClientSessionCache = tls.NewLRUClientSessionCache(1)
		connect := func(what string, resumed bool, want error) {
			t.Helper()
			s, client := dial(t, pool, config)
			_, _ = client.Write(pattern(10))
			_, err := client.Read(make([]byte, 10))
			within(t, s.handshaken, "handshake")
			if s.err != want || (err == nil) != (want == nil) || s.info.Resumed != resumed {
				t.Errorf("%s, %s: %v, %v, resumed %v", tls.VersionName(version), what, s.err, err, s.info.Resumed)
			}
			if want == nil && (len(s.info.PeerCertificates) != 1 || s.info.PeerCertificates[0].DNSNames[0] != "client.test") {
				t.Errorf("%s, %s: nobody is known", tls.VersionName(version), what)
			}
		}
		connect("first", false, nil)
		connect("again", true, nil)
		trusted.Store(theirs.pool)
		connect("its authority is gone", false, ErrClient)
		trusted.Store(ours.pool)
		config.ClientSessionCache = tls.NewLRUClientSessionCache(1) // some clients forget a session that was refused
		connect("it is back", false, nil)
		connect("and again", true, nil)
		late.Store(int64(25 * time.Hour))
		connect("expired", false, ErrClient)
	}
}
