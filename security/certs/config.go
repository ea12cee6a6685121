package certs

import (
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/crypto/acme"
)

// TLSOptions of ServerConfig.
type TLSOptions struct {
	Store      *Store
	ACME       *ACME       // in the place of Store, if it is not nil
	MinVersion string      // --tls-min: "1.2", "1.3", or "" for 1.2
	Curves     []string    // --tls-curves: names of curves; none is Go's choice, post-quantum first
	Tickets    *TicketKeys // nil: crypto/tls makes keys and rotates them, for seven days each

	// ClientCAs are whose certificates clients may show, and must with ClientRequired; nil: none is asked
	// for. Who replaces them has each handshake use ClientCAs.Pool.
	ClientCAs      *ClientCAs
	ClientRequired bool
}

// suites12 are the TLS 1.2 suites with forward secrecy and an AEAD. TLS 1.3 has no others.
var suites12 = []uint16{
	tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
	tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
	tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
	tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
	tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
	tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
}

// curve is a key exchange by its name in --tls-curves.
type curve struct {
	name   string
	id     tls.CurveID
	only13 bool // RFC 9794 hybrids exist in TLS 1.3 only
}

var curves = [...]curve{
	{"X25519MLKEM768", tls.X25519MLKEM768, true},
	{"SecP256r1MLKEM768", tls.SecP256r1MLKEM768, true},
	{"SecP384r1MLKEM1024", tls.SecP384r1MLKEM1024, true},
	{"X25519", tls.X25519, false},
	{"P-256", tls.CurveP256, false},
	{"P-384", tls.CurveP384, false},
	{"P-521", tls.CurveP521, false},
}

// ServerConfig makes the configuration of the public listener: TLS 1.2 (ECDHE and AEAD only) and 1.3,
// HTTP/1.1 only. The errors name the flag.
func ServerConfig(o TLSOptions) (*tls.Config, error) {
	if o.Store == nil && o.ACME == nil {
		return nil, errors.New("--tls-cert and --tls-key are not set: the public listener speaks TLS only")
	}
	c := &tls.Config{
		CipherSuites: slices.Clone(suites12),
		NextProtos:   []string{"http/1.1"},
	}
	if o.ACME != nil {
		c.GetCertificate, c.NextProtos = o.ACME.Certificate, append(c.NextProtos, acme.ALPNProto)
	} else {
		c.GetCertificate = o.Store.Certificate
	}
	switch o.MinVersion {
	case "", "1.2":
		c.MinVersion = tls.VersionTLS12
	case "1.3":
		c.MinVersion = tls.VersionTLS13
	default:
		return nil, fmt.Errorf("--tls-min %q: say 1.2 or 1.3", o.MinVersion)
	}
	for12 := len(o.Curves) == 0
	for _, name := range o.Curves {
		i := slices.IndexFunc(curves[:], func(k curve) bool { return plainCurve(k.name) == plainCurve(name) })
		if i < 0 {
			return nil, fmt.Errorf("--tls-curves %q: say some of %s", name, curveNames())
		}
		c.CurvePreferences = append(c.CurvePreferences, curves[i].id)
		for12 = for12 || !curves[i].only13
	}
	if !for12 && c.MinVersion == tls.VersionTLS12 {
		return nil, errors.New("--tls-curves has only curves of TLS 1.3: add X25519, or say --tls-min 1.3")
	}
	if o.ClientCAs != nil {
		c.ClientAuth, c.ClientCAs, c.VerifyConnection = tls.VerifyClientCertIfGiven, o.ClientCAs.Pool(), verifyClient
		if o.ClientRequired {
			c.ClientAuth = tls.RequireAndVerifyClientCert
		}
	}
	if o.Tickets != nil {
		o.Tickets.serve(c)
	}
	return c, nil
}

// InternalConfig makes the configuration of the server API's listener from that of the public one:
// without tickets, so that each connection shows its certificate, and with the authorities
// of the moment. cas nil: no certificate is asked for.
func InternalConfig(store *Store, minVersion string, cas *ClientCAs) (*tls.Config, error) {
	c, err := ServerConfig(TLSOptions{Store: store, MinVersion: minVersion, ClientCAs: cas, ClientRequired: true})
	if err != nil {
		return nil, err
	}
	c.SessionTicketsDisabled = true
	if cas != nil {
		c.VerifyConnection = verifyStrength // its authority was named for nothing but this
		base := c.Clone()
		c.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
			own := base.Clone()
			own.ClientCAs = cas.Pool()
			return own, nil
		}
	}
	return c, nil
}

// plainCurve makes P-256, P256 and p-256 one name.
func plainCurve(name string) string {
	return strings.ToLower(strings.ReplaceAll(strings.TrimSpace(name), "-", ""))
}

func curveNames() string {
	names := make([]string, len(curves))
	for i, k := range curves {
		names[i] = k.name
	}
	return strings.Join(names, ", ")
}
