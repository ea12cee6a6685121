package engine

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"

	"weir/security/certs"
	"weir/security/token"
)

// certified notes whom the client's certificate names. The connection ends with
// the certificate, whatever token the session lives by.
func (s *shard) certified(c *conn, cert *x509.Certificate) {
	user, err := certs.Identity(cert)
	if err != nil {
		return // certs.ServerConfig lets none in that names nobody; another configuration may not care
	}
	digest := sha256.Sum256(cert.Raw)
	w := c.waitings()
	w.certificate = &token.Claims{
		Subject: user, ID: "sha256:" + hex.EncodeToString(digest[:]), IssuedAt: cert.NotBefore.Unix(), ExpireAt: new(int64),
	}
	w.shown = s.revoked.Identify(w.certificate)
	left := min(cert.NotAfter.Sub(s.wall()), forever)
	if end := max(s.now+int64(left), 1); c.endAt == 0 || end < c.endAt {
		c.endAt = end
	}
}

// certificate is what the client's certificate says, until the session is
// authenticated; nil: it has shown none.
func (c *conn) certificate() *token.Claims {
	if c.waiting == nil {
		return nil
	}
	return c.waiting.certificate
}

// agrees reports that claims are of the user whom the client's certificate, if
// there is one, names.
func (c *conn) agrees(claims *token.Claims) bool {
	cert := c.certificate()
	return cert == nil || cert.Subject == claims.Subject
}

// revokedNow reports whether a session of user must end: for its user, its token or, whatever token it lives by, the
// client's certificate.
func (s *shard) revokedNow(c *conn, user string) bool {
	now := s.wall()
	return s.revoked.Revoked(user, c.identity, now) ||
		c.waiting != nil && c.waiting.shown != (token.Identity{}) && s.revoked.Revoked(user, c.waiting.shown, now)
}
