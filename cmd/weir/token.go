package main

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"weir/security/grant"
	"weir/security/token"
)

// printToken prints a connection token and nothing else, for use in scripts.
func printToken(p *process, c *tokenCommand) error {
	secret, err := c.secret()
	if err != nil {
		return err
	}
	if len(secret) == 0 {
		return mistake("--token-hmac-secret: no secret; give the server's with --token-hmac-secret-file, --token-hmac-secret or WEIR_TOKEN_HMAC_SECRET")
	}
	if c.TTL == 0 {
		return mistake("--ttl: a token must end; write a duration, as in 1h")
	}
	caps, err := capabilities(c.Channels, c.Allow)
	if err != nil {
		return err
	}
	signed, err := signToken(secret, string(c.Subject), caps, time.Now(), time.Duration(c.TTL))
	if err != nil {
		return &configError{err}
	}
	_, err = fmt.Fprintln(p.stdout, signed)
	return err
}

// capabilities grants the verbs on the channels; no channels grant nothing.
func capabilities(channels, allow []string) ([]grant.Capability, error) {
	for _, verb := range allow {
		if _, err := grant.ParseVerb(verb); err != nil {
			return nil, mistake("--allow: %q is not a verb; write one or more of sub, pub, hst, prs", verb)
		}
	}
	if len(channels) == 0 {
		return nil, nil
	}
	c := grant.Capability{Channels: channels, Allow: allow}
	for _, channel := range channels {
		if strings.Contains(channel, "*") {
			c.Match = "wildcard"
		}
	}
	return []grant.Capability{c}, nil
}

// signToken signs a connection token with an identifier of its own, so that it
// can be revoked alone.
func signToken(secret []byte, user string, caps []grant.Capability, now time.Time, ttl time.Duration) (string, error) {
	var id [16]byte
	if _, err := rand.Read(id[:]); err != nil {
		return "", err
	}
	return token.Sign(secret, token.SignClaims{
		Subject:   user,
		ID:        hex.EncodeToString(id[:]),
		IssuedAt:  now.Unix(),
		ExpiresAt: now.Add(ttl).Unix(),
		Caps:      caps,
	})
}
