package certs

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// minRSABits is what clients demand (CA/Browser Forum Baseline Requirements §6.1.5).
const minRSABits = 2048

// parsePair reads both files and holds them against each other.
func (s *Store) parsePair(certPEM, keyPEM []byte) ([]*x509.Certificate, crypto.Signer, error) {
	chain, err := parseChain(certPEM)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %s: %w", s.options.CertFlag, s.certFile, err)
	}
	key, err := parseKey(keyPEM)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %s: %w", s.options.KeyFlag, s.keyFile, err)
	}
	public, comparable := key.Public().(interface{ Equal(crypto.PublicKey) bool })
	if !comparable || !public.Equal(chain[0].PublicKey) {
		return nil, nil, fmt.Errorf("%s: %s does not belong to the first certificate in %s %s: give the key that it was issued for",
			s.options.KeyFlag, s.keyFile, s.options.CertFlag, s.certFile)
	}
	return chain, key, nil
}

// certificate is a chain with its key, for crypto/tls.
func certificate(chain []*x509.Certificate, key crypto.Signer) *tls.Certificate {
	c := &tls.Certificate{PrivateKey: key, Leaf: chain[0]}
	for _, link := range chain {
		c.Certificate = append(c.Certificate, link.Raw)
	}
	return c
}

// parse turns the contents of both files into a pair that clients will accept.
func (s *Store) parse(certPEM, keyPEM []byte) (*pair, error) {
	chain, key, err := s.parsePair(certPEM, keyPEM)
	if err != nil {
		return nil, err
	}
	if err := s.options.check(chain); err != nil {
		return nil, fmt.Errorf("%s: %s: %w", s.options.CertFlag, s.certFile, err)
	}
	p := &pair{cert: certificate(chain, key), notAfter: chain[0].NotAfter, digest: digest(certPEM, keyPEM)}
	for _, c := range chain {
		if c.NotAfter.Before(p.notAfter) {
			p.notAfter = c.NotAfter
		}
	}
	return p, nil
}

// parseChain reads all certificates of a file, the server's first. Other blocks are passed over: a
// key may stand in the same file.
func parseChain(b []byte) ([]*x509.Certificate, error) {
	var chain []*x509.Certificate
	keys := 0
	for {
		var block *pem.Block
		if block, b = pem.Decode(b); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			if strings.HasSuffix(block.Type, "PRIVATE KEY") {
				keys++
			}
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("certificate %d in the file does not parse (%w): export it again as PEM", len(chain)+1, err)
		}
		chain = append(chain, c)
	}
	switch {
	case len(chain) > 0:
		return chain, nil
	case keys > 0:
		return nil, errors.New("it holds a private key and no certificate: the options of certificate and key may be swapped")
	}
	return nil, errors.New("it holds no PEM certificate: give a file with `-----BEGIN CERTIFICATE-----`")
}

// parseKey reads the first private key of a file.
func parseKey(b []byte) (crypto.Signer, error) {
	certificates := 0
	for {
		var block *pem.Block
		if block, b = pem.Decode(b); block == nil {
			break
		}
		if block.Type == "CERTIFICATE" {
			certificates++
		}
		if !strings.HasSuffix(block.Type, "PRIVATE KEY") {
			continue
		}
		if block.Type == "ENCRYPTED PRIVATE KEY" || block.Headers["DEK-Info"] != "" {
			return nil, errors.New("the key is encrypted: store it in the clear, mode 0600 (`openssl pkey -in … -out …`)")
		}
		return parseKeyBlock(block)
	}
	if certificates > 0 {
		return nil, errors.New("it holds a certificate and no private key: name the file with the key, or swap the options of certificate and key")
	}
	return nil, errors.New("it holds no PEM private key: give a file with `-----BEGIN PRIVATE KEY-----`")
}

func parseKeyBlock(block *pem.Block) (crypto.Signer, error) {
	var key any
	var err error
	switch block.Type {
	case "RSA PRIVATE KEY":
		key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	case "EC PRIVATE KEY":
		key, err = x509.ParseECPrivateKey(block.Bytes)
	default:
		key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	}
	if err != nil {
		return nil, errors.New("the private key does not parse: export it again as PKCS #8 (`openssl pkey`)") // err might quote it
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, errors.New("the private key cannot sign: use ECDSA P-256, Ed25519 or RSA")
	}
	return signer, nil
}

// check refuses a chain that clients would refuse, in the order in which a mend makes sense.
func (o *Options) check(chain []*x509.Certificate) error {
	leaf, now := chain[0], o.Now()
	for i, c := range chain {
		if err := checkOne(i, c, now); err != nil {
			return err
		}
	}
	if len(leaf.DNSNames)+len(leaf.IPAddresses) == 0 {
		return errors.New("the certificate has no subject alternative name, and clients ignore the common name: have it issued with the host's names as SAN")
	}
	if leaf.KeyUsage != 0 && leaf.KeyUsage&x509.KeyUsageDigitalSignature == 0 {
		return errors.New("the certificate's key usage lacks digitalSignature, which every ECDHE handshake needs: have it issued with it")
	}
	if !forServers(leaf) {
		return errors.New("the certificate's extended key usage lacks serverAuth: have it issued for a TLS server")
	}
	if selfSigned(leaf) {
		if !o.AllowSelfSigned {
			return errors.New("the certificate is self-signed: use one from an authority, or say --allow-self-signed")
		}
		return nil
	}
	if leaf.IsCA {
		return errors.New("the first certificate is an authority's: put the server's own certificate first")
	}
	return o.checkChain(chain, now)
}

// checkOne checks what must hold for each certificate that is sent.
func checkOne(i int, c *x509.Certificate, now time.Time) error {
	name := "the certificate"
	if i > 0 {
		name = fmt.Sprintf("certificate %d of the chain", i+1)
	}
	if why := weakKey(c); why != "" {
		return fmt.Errorf("%s has %s", name, why)
	}
	if broken(c.SignatureAlgorithm) {
		return fmt.Errorf("%s is signed with %v: have it issued with SHA-256 or better", name, c.SignatureAlgorithm)
	}
	if now.After(c.NotAfter) {
		return fmt.Errorf("%s expired at %s: renew it", name, c.NotAfter.UTC().Format(time.RFC3339))
	}
	if now.Before(c.NotBefore) {
		return fmt.Errorf("%s is not valid before %s: check this machine's clock, or wait", name, c.NotBefore.UTC().Format(time.RFC3339))
	}
	return nil
}

// weakKey is what is wrong with a certificate's key, and the mend; "" if nothing is.
func weakKey(c *x509.Certificate) string {
	switch key := c.PublicKey.(type) {
	case *rsa.PublicKey:
		if bits := key.N.BitLen(); bits < minRSABits {
			return fmt.Sprintf("an RSA key of %d bits: make one of %d or more, or ECDSA P-256", bits, minRSABits)
		}
	case *ecdsa.PublicKey:
		if key.Curve != elliptic.P256() && key.Curve != elliptic.P384() && key.Curve != elliptic.P521() {
			return fmt.Sprintf("a key on curve %s: use P-256, P-384 or P-521", key.Curve.Params().Name)
		}
	case ed25519.PublicKey:
	default:
		return fmt.Sprintf("a key of an unsupported kind (%v): use ECDSA P-256, Ed25519 or RSA", c.PublicKeyAlgorithm)
	}
	return ""
}

func broken(a x509.SignatureAlgorithm) bool {
	switch a {
	case x509.SHA1WithRSA, x509.ECDSAWithSHA1, x509.DSAWithSHA1, x509.MD5WithRSA, x509.MD2WithRSA:
		return true
	}
	return false
}

func forServers(c *x509.Certificate) bool {
	return len(c.ExtKeyUsage)+len(c.UnknownExtKeyUsage) == 0 ||
		slices.Contains(c.ExtKeyUsage, x509.ExtKeyUsageServerAuth) ||
		slices.Contains(c.ExtKeyUsage, x509.ExtKeyUsageAny)
}

// selfSigned reports whether c is its own issuer.
func selfSigned(c *x509.Certificate) bool {
	return bytes.Equal(c.RawSubject, c.RawIssuer) &&
		c.CheckSignature(c.SignatureAlgorithm, c.RawTBSCertificate, c.Signature) == nil
}

// checkChain checks that each certificate is signed by the next, and that the last one leads to an
// authority: it is one, or this machine knows its issuer.
func (o *Options) checkChain(chain []*x509.Certificate, now time.Time) error {
	for i, c := range chain[:len(chain)-1] {
		if c.CheckSignatureFrom(chain[i+1]) == nil {
			continue
		}
		if slices.ContainsFunc(chain, func(other *x509.Certificate) bool { return c.CheckSignatureFrom(other) == nil }) {
			return fmt.Errorf("the chain is out of order: put the issuer of certificate %d right after it", i+1)
		}
		return fmt.Errorf("certificate %d of the chain did not sign certificate %d: remove what does not belong to the chain", i+2, i+1)
	}
	last := chain[len(chain)-1]
	roots, between := o.Roots, x509.NewCertPool()
	if roots == nil {
		roots, _ = x509.SystemCertPool()
	}
	if selfSigned(last) {
		roots = x509.NewCertPool()
		roots.AddCert(last)
	}
	if roots == nil {
		roots = x509.NewCertPool() // a machine without authorities
	}
	for _, c := range chain[1:] {
		between.AddCert(c)
	}
	_, err := chain[0].Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, CurrentTime: now})
	var unknown x509.UnknownAuthorityError
	switch {
	case err == nil, errors.As(err, &unknown) && o.AllowSelfSigned:
		return nil
	case errors.As(err, &unknown):
		return fmt.Errorf("the chain is incomplete: append the certificate of issuer %q, up to one that this machine trusts (for an authority of your own: up to its root), or say --allow-self-signed",
			last.Issuer.String())
	}
	return fmt.Errorf("the chain does not verify (%w): have it issued again", err)
}
