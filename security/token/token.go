// Package token verifies JSON Web Tokens (RFC 7519, signed as RFC 7515 compact) and turns them into
// the claims that a session lives by.
//
// A token is refused for the cheapest reason first: size, shape, header, key, and only then the
// signature and the claims. The header is read by this package's own strict reader before the JOSE
// library sees the token, and the library is then given exactly one algorithm and one key: what the
// peer wrote can neither choose an algorithm for a key nor bring a key of its own. A code made with a shared secret
// is compared here, without the library.
//
//	bytes → shape (4 KiB, two dots, canonical base64url) → header (alg, kid, no jwk/jku/x5u/crit/zip)
//	      → key by kid and algorithm → signature → claims (typed, no duplicates) → dates, issuer, audience
//
// There are two kinds of token and neither passes for the other: a subscription token has the claim
// "channel", a connection token must not.
//
// Errors about tokens are static values that never hold a byte of the token; errors about keys
// are for the operator and name the flag.
package token

import (
	"bytes"
	"crypto"
	"crypto/hmac"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"weir/security/grant"

	"github.com/go-jose/go-jose/v4"
)

// MaxBytes bounds a token. It also bounds everything that is decoded from one (CVE-2025-30204).
const MaxBytes = 4096

// atOnceBytes bounds a token that ConnectionAtOnce looks at.
const atOnceBytes = 1 << 10

// MaxLeeway bounds how far the clocks of issuer and server may differ.
const MaxLeeway = 60 * time.Second

// ErrExpired says that the token was good and its time is over: the client may ask for a new one.
var ErrExpired = errors.New("token is expired")

// ErrInvalid is what every other refusal is, by [errors.Is].
var ErrInvalid = errors.New("token is invalid")

// ErrCostly is ConnectionAtOnce's answer about a token that it left alone.
var ErrCostly = errors.New("the token may take long to check")

// Fault is a refusal of a token other than ErrExpired. All Faults are static values.
type Fault struct {
	Label  string // metric label, out of a closed list
	Reason string // for the log of the operator; holds nothing of the token
}

func (f *Fault) Error() string { return "token is invalid: " + f.Reason }

// Is makes every Fault an ErrInvalid.
func (f *Fault) Is(target error) bool { return target == ErrInvalid }

// What a token is refused for.
var (
	errNoKeys    = &Fault{"no_keys", "no key is configured"}
	errSize      = &Fault{"size", "longer than 4096 bytes"}
	errShape     = &Fault{"shape", "not three parts of base64url"}
	errHeader    = &Fault{"header", "header is not a JSON object of known, well typed members"}
	errForbidden = &Fault{"header_forbidden", "header has jwk, jku, x5u, x5c, crit, zip, b64, enc or cty"}
	errType      = &Fault{"type", "header typ is not that of a JWT"}
	errAlgorithm = &Fault{"algorithm", "no key for this algorithm and kid"}
	errSignature = &Fault{"signature", "signature does not match"}
	errClaims    = &Fault{"claims", "claims are not a JSON object of well typed members, each once"}
	errNoExpiry  = &Fault{"no_expiry", "claim exp is missing"}
	errNoSubject = &Fault{"no_subject", "claim sub is missing"}
	errNotYet    = &Fault{"not_yet", "claim nbf or iat is in the future"}
	errAudience  = &Fault{"audience", "claim aud does not name this server"}
	errIssuer    = &Fault{"issuer", "claim iss is another issuer"}
	errPurpose   = &Fault{"purpose", "a subscription token where a connection token is needed, or the other way round"}
	errChannel   = &Fault{"channel", "a channel name is not valid"}
	errGrant     = &Fault{"caps", "claim caps does not compile"}
	errRoles     = &Fault{"roles", "claim roles has more than 64 names"}
)

// Config says which tokens are good. The zero value has no key and is refused by New.
type Config struct {
	HMACSecrets [][]byte           // --token-hmac-secret, current and previous: HS256, 32 bytes or more each
	PublicKeys  []crypto.PublicKey // RSA is RS256, ECDSA P-256 is ES256, Ed25519 is EdDSA
	Keys        []Key              // from ParseKeys: each names its algorithm and perhaps its kid
	KeySet      *KeySet            // keys that come later; nil: none do. It stays with the Verifier that New makes
	Audiences   []string           // one must be in aud; none accepts any
	Issuer      string             // must be iss; "" accepts any
	Leeway      time.Duration      // allowed difference of clocks, 0 to MaxLeeway
}

// Verifier checks tokens against its present keys. Any goroutine; a nil Verifier refuses all.
type Verifier struct {
	rules  atomic.Pointer[rules]
	later  *KeySet       // immutable
	grants *grant.Shared // of connection tokens; immutable
}

// rules is one immutable configuration.
type rules struct {
	keys      ring
	audiences []string
	issuer    string
	leeway    int64 // seconds
}

// New checks the configuration; the error names the flag and the mend.
func New(cfg Config) (*Verifier, error) {
	v := &Verifier{later: cfg.KeySet, grants: grant.NewShared()}
	if err := v.Replace(cfg); err != nil {
		return nil, err
	}
	return v, nil
}

// Replace takes a new configuration for all tokens from now on: rotation of keys. On an error the
// old one stays.
func (v *Verifier) Replace(cfg Config) error {
	if cfg.Leeway < 0 || cfg.Leeway > MaxLeeway {
		return fmt.Errorf("token leeway %v: must be between 0 and %v", cfg.Leeway, MaxLeeway)
	}
	keys, err := newRing(cfg)
	if err != nil {
		return err
	}
	v.rules.Store(&rules{
		keys:      keys,
		audiences: slices.Clone(cfg.Audiences),
		issuer:    cfg.Issuer,
		leeway:    int64(cfg.Leeway / time.Second),
	})
	return nil
}

// KeySet returns the keys that come later; nil: none do.
func (v *Verifier) KeySet() *KeySet { return v.later }

// Adopt takes the configuration that other has now, but for its KeySet; nil refuses all tokens.
func (v *Verifier) Adopt(other *Verifier) {
	if other == nil {
		v.rules.Store(nil)
		return
	}
	v.rules.Store(other.rules.Load())
}

// Connection verifies a connection token. The error is ErrExpired, ErrUnknownKey or a *Fault. The claims alias
// nothing of token.
func (v *Verifier) Connection(token []byte, now time.Time) (*Claims, error) {
	return v.connection(token, now, true)
}

// ConnectionAtOnce is Connection for who must not be kept: a token by a public key gets ErrCostly, and so does one of more than
// 1 KiB, whatever it is. Others take a few microseconds, at worst some 15: forged, with claims made to take long.
func (v *Verifier) ConnectionAtOnce(token []byte, now time.Time) (*Claims, error) {
	return v.connection(token, now, false)
}

func (v *Verifier) connection(token []byte, now time.Time, patient bool) (*Claims, error) {
	c, err := v.verify(token, now, patient)
	if err != nil {
		return nil, err
	}
	if c.hasChannel {
		return nil, errPurpose
	}
	c.Grant = v.grants.Same(c.Grant)
	return &c.Claims, nil
}

// Subscription verifies a subscription token, as Connection does. Whether its channel and subject
// are those of the session is for the caller to compare.
func (v *Verifier) Subscription(token []byte, now time.Time) (*SubClaims, error) {
	c, err := v.verify(token, now, true)
	if err != nil {
		return nil, err
	}
	if !c.hasChannel {
		return nil, errPurpose
	}
	return &SubClaims{
		Subject: c.Subject, ID: c.ID, Channel: c.channel,
		ExpiresAt: c.ExpiresAt, IssuedAt: c.IssuedAt, ExpireAt: c.ExpireAt,
		Info: c.Info,
	}, nil
}

// verify does what both kinds of token have in common.
func (v *Verifier) verify(token []byte, now time.Time, patient bool) (*claims, error) {
	var r *rules
	if v != nil {
		r = v.rules.Load()
	}
	if r == nil {
		return nil, errNoKeys
	}
	if !patient && len(token) > atOnceBytes && len(token) <= MaxBytes {
		return nil, ErrCostly
	}
	h, fault := readHeader(token)
	if fault != nil {
		return nil, fault
	}
	if !patient && asymmetric(h.algorithm) { // also one without a key: what may come of it reads the claims
		return nil, ErrCostly
	}
	payload, fault := r.payload(token, h, v.later.ring())
	if fault != nil {
		if (fault == errAlgorithm || fault == errSignature) && r.keys.byID[h.keyID] == nil && v.later.mayCome(h, token) {
			return nil, ErrUnknownKey
		}
		return nil, fault
	}
	var c claims
	if fault := c.read(payload); fault != nil {
		return nil, fault
	}
	return &c, r.accept(&c, now.Unix())
}

// payload returns the signed bytes of a token whose signature is good, by one of our keys or of the later ones.
func (r *rules) payload(token []byte, h header, later *ring) ([]byte, *Fault) {
	var tried [2 * maxAnonymous]*Key
	keys := r.candidates(h, later, tried[:0])
	if len(keys) == 0 {
		return nil, errAlgorithm
	}
	if keys[0].Secret != nil {
		return bySecret(token, keys)
	}
	signed, err := jose.ParseSignedCompact(string(token), []jose.SignatureAlgorithm{keys[0].algorithm()})
	if err != nil {
		return nil, errHeader
	}
	for _, k := range keys {
		if payload, err := signed.Verify(k.Public); err == nil {
			return payload, nil
		}
	}
	return nil, errSignature
}

// bySecret is payload for keys that are shared secrets, all for one algorithm. RFC 7518 §3.2. The token has the shape and the
// header that readHeader asks for: there is nothing else for a library to look at.
func bySecret(token []byte, keys []*Key) ([]byte, *Fault) {
	first, last := bytes.IndexByte(token, '.'), bytes.LastIndexByte(token, '.')
	var given, code [sha512.Size]byte
	if base64.RawURLEncoding.DecodedLen(len(token)-last-1) > len(given) {
		return nil, errSignature
	}
	n, ok := decode(given[:], token[last+1:])
	if !ok {
		return nil, errShape
	}
	for _, k := range keys {
		mac := hmac.New(k.hash(), k.Secret)
		mac.Write(token[:last])
		if !hmac.Equal(mac.Sum(code[:0]), given[:n]) {
			continue
		}
		payload := make([]byte, base64.RawURLEncoding.DecodedLen(last-first-1))
		if n, ok = decode(payload, token[first+1:last]); !ok {
			return nil, errShape
		}
		return payload[:n], nil
	}
	return nil, errSignature
}

// accept compares the claims with the clock and the configuration. RFC 7519 §4.1.
func (r *rules) accept(c *claims, now int64) error {
	switch {
	case !c.hasExpiry: // §4.1.4 has it optional; here a token without an end is none
		return errNoExpiry
	case !c.hasSubject: // §4.1.2
		return errNoSubject
	case c.notBefore > now+r.leeway: // §4.1.5
		return errNotYet
	case c.IssuedAt > now+r.leeway: // §4.1.6; "issued before" of a revocation must mean something
		return errNotYet
	case r.issuer != "" && c.issuer != r.issuer: // §4.1.1
		return errIssuer
	case len(r.audiences) > 0 && !slices.ContainsFunc(r.audiences, c.audience.holds): // §4.1.3
		return errAudience
	case now-r.leeway >= c.ExpiresAt: // §4.1.4, last: all else was good
		return ErrExpired
	}
	return nil
}
