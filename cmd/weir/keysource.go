package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"weir/security/jwks"
	"weir/security/token"
)

// warn tells the log what check tells the operator.
func (s *setup) warn() {
	if s.warning != "" {
		s.config.Log.Warn(s.warning)
	}
}

// loadKeySource makes what fetches --jwks-url, and the set that it fills; nil if
// there is none. Messages do not hold the URL: it may be a secret.
func (s *setup) loadKeySource(o *serverOptions) (*token.KeySet, error) {
	if o.JWKSURL == "" {
		if o.JWKSCAFile != "" {
			return nil, errors.New("--jwks-ca-file: there is no --jwks-url whose server it is for; set that or leave this out")
		}
		return nil, nil
	}
	if err := jwks.CheckURL(string(o.JWKSURL)); err != nil {
		return nil, fmt.Errorf("--jwks-url: %w", err)
	}
	cfg := &tls.Config{MinVersion: tls.VersionTLS12}
	if o.JWKSCAFile != "" {
		b, err := readBounded(string(o.JWKSCAFile), maxCAFileBytes)
		if err != nil {
			return nil, fmt.Errorf("--jwks-ca-file: %w", err)
		}
		cfg.RootCAs = x509.NewCertPool()
		if !cfg.RootCAs.AppendCertsFromPEM(b) {
			return nil, fmt.Errorf("--jwks-ca-file: %s holds no certificate in PEM", o.JWKSCAFile)
		}
	}
	if len(o.TokenAudience) == 0 {
		s.warning = "--jwks-url without --token-audience: a token that the issuer signed for another application opens connections here"
	}
	keys := token.NewKeySet()
	s.keySource = jwks.New(jwks.Config{URL: string(o.JWKSURL), TLS: cfg, Keys: keys, Log: s.config.Log, Now: time.Now})
	return keys, nil
}
