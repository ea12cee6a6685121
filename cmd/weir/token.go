package main

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"weir/security/grant"
	"weir/security/token"
)

// printToken prints a token and nothing else, for use in scripts.
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
	claims, err := c.claims()
	if err != nil {
		return err
	}
	signed, err := signToken(secret, claims, time.Now(), time.Duration(c.TTL))
	if err != nil {
		return &configError{err}
	}
	_, err = fmt.Fprintln(p.stdout, signed)
	return err
}

// claims are what the token says beside its dates.
func (c *tokenCommand) claims() (token.SignClaims, error) {
	claims := token.SignClaims{Subject: string(c.Subject), Channel: string(c.Channel), Channels: c.ServerChannels, Roles: c.Roles,
		Issuer: string(c.TokenIssuer), Audience: c.TokenAudience}
	if c.Channel != "" && len(c.Channels)+len(c.ServerChannels)+len(c.Roles) > 0 {
		return claims, mistake("--channel: a subscription token is for one channel and grants nothing else; leave out --channels, --server-channels and --roles")
	}
	for _, role := range c.Roles {
		if err := grant.CheckRole(role); err != nil {
			return claims, mistake("--roles: %q: %w", role, err)
		}
	}
	if c.Info != "" {
		if !json.Valid([]byte(c.Info)) {
			return claims, mistake("--info: is not JSON; write a value, as in '{\"name\":\"Alice\"}'")
		}
		claims.Info = json.RawMessage(c.Info)
	}
	var err error
	claims.Caps, err = capabilities(c.Channels, c.Allow)
	return claims, err
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

// signToken signs a token with an identifier of its own, so that it can be
// revoked alone.
func signToken(secret []byte, claims token.SignClaims, now time.Time, ttl time.Duration) (string, error) {
	var id [16]byte
	if _, err := rand.Read(id[:]); err != nil {
		return "", err
	}
	claims.ID, claims.IssuedAt, claims.ExpiresAt = hex.EncodeToString(id[:]), now.Unix(), now.Add(ttl).Unix()
	return token.Sign(secret, claims)
}
