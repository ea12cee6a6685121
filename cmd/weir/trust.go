package main

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"weir/cmd/option"
	"weir/security/certs"
)

const maxCAFileBytes = 4 << 20

// errPin means that the chain is good but holds none of the pinned keys.
var errPin = errors.New("no key of the server's certificate chain is one of --pin")

// tlsConfig returns how a client checks a server: chain and host name always,
// against the system's roots and --ca-file, then the pins.
func (o *chainOptions) tlsConfig() (*tls.Config, error) {
	cfg := &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}}
	if o.CAFile != "" {
		roots, err := x509.SystemCertPool()
		if err != nil {
			roots = x509.NewCertPool()
		}
		b, err := readBounded(string(o.CAFile), maxCAFileBytes)
		if err != nil {
			return nil, mistake("--ca-file: %w", err)
		}
		if !roots.AppendCertsFromPEM(b) {
			return nil, mistake("--ca-file: %s holds no certificate in PEM", o.CAFile)
		}
		cfg.RootCAs = roots
	}
	if o.ClientCert != "" || o.ClientKey != "" {
		own, err := certs.LoadClientPair(string(o.ClientCert), string(o.ClientKey))
		if err != nil {
			return nil, &configError{err}
		}
		cfg.Certificates = []tls.Certificate{*own}
	}
	pins, err := parsePins(o.Pins)
	if err != nil {
		return nil, err
	}
	if len(pins) > 0 {
		cfg.VerifyConnection = func(s tls.ConnectionState) error { return checkPins(pins, s.VerifiedChains) }
	}
	return cfg, nil
}

// parsePins reads pins of the form sha256/ and the base64 of a key's digest.
func parsePins(items []string) ([][sha256.Size]byte, error) {
	pins, err := option.Pins(items)
	return pins, asMistake(err)
}

// checkPins accepts a connection one of whose verified chains holds a pinned
// key. It runs after the chain was verified and never instead of that: without
// a verified chain there is nothing to compare with.
func checkPins(pins [][sha256.Size]byte, chains [][]*x509.Certificate) error {
	for _, chain := range chains {
		for _, cert := range chain {
			if slices.Contains(pins, sha256.Sum256(cert.RawSubjectPublicKeyInfo)) {
				return nil
			}
		}
	}
	return errPin
}

// origin returns what to send as Origin.
func (o *trustOptions) origin(u *url.URL) string {
	if o.Origin != "" {
		return string(o.Origin)
	}
	return "https://" + u.Host
}

// parseURL reads the URL of an option, which must have one of the schemes.
func parseURL(name string, s text, schemes ...string) (*url.URL, error) {
	u, err := option.URL(name, string(s), schemes...)
	return u, asMistake(err)
}

// withoutURL is what lies under an error of net/http, whose text repeats the
// whole URL: its query may hold a token.
func withoutURL(err error) error {
	var at *url.Error
	if errors.As(err, &at) {
		return at.Err
	}
	return err
}

// explainTLS puts the mend behind an error of the certificate check. explained is
// fit for a terminal: who answers in the server's place chooses the names in the
// certificate that is refused.
func explainTLS(err error) (final bool, explained error) {
	err = quotation{err}
	var unknown x509.UnknownAuthorityError
	var host x509.HostnameError
	var invalid x509.CertificateInvalidError
	switch {
	case errors.As(err, &unknown):
		return true, fmt.Errorf("%w; if it is your own, name its file with --ca-file", err)
	case errors.As(err, &host), errors.As(err, &invalid), errors.Is(err, errPin):
		return true, err
	case refusedCertificate(err):
		return true, fmt.Errorf("%w: the server asks for a certificate of an authority of its own; name yours with --client-cert and --client-key", err)
	}
	return false, err
}

// refusedCertificate tells whether the server sent an alert about our certificate
// (RFC 8446 §6.2), for which crypto/tls has no type.
func refusedCertificate(err error) bool {
	for _, alert := range []string{"certificate required", "unknown certificate authority", "bad certificate", "expired certificate"} {
		if strings.Contains(err.Error(), "remote error: tls: "+alert) {
			return true
		}
	}
	return false
}
