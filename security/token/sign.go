package token

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/go-jose/go-jose/v4"

	"weir/security/grant"
)

// SignClaims is what `weir token` puts into a token. Dates are seconds since 1970; zero values are
// left out, except sub and exp.
type SignClaims struct {
	Subject   string             `json:"sub"`
	ID        string             `json:"jti,omitempty"`
	ExpiresAt int64              `json:"exp"`
	IssuedAt  int64              `json:"iat,omitempty"`
	NotBefore int64              `json:"nbf,omitempty"`
	Issuer    string             `json:"iss,omitempty"`
	Audience  []string           `json:"aud,omitempty"`
	Channel   string             `json:"channel,omitempty"` // makes it a subscription token
	Channels  []string           `json:"channels,omitempty"`
	Info      json.RawMessage    `json:"info,omitempty"`
	Caps      []grant.Capability `json:"caps,omitempty"`
	Roles     []string           `json:"roles,omitempty"`

	Subs     map[string]struct{} `json:"subs,omitempty"`      // server-side subscriptions, as Channels
	ExpireAt *int64              `json:"expire_at,omitempty"` // of the connection; 0: never
}

// Sign makes an HS256 token. It refuses what a Verifier with the same secret would refuse for
// another reason than its date; the error is for the operator.
func Sign(secret []byte, c SignClaims) (string, error) {
	key := Key{Algorithm: "HS256", Secret: secret}
	if err := key.check(); err != nil {
		return "", fmt.Errorf("%s: %w", secretFlag, err)
	}
	if c.ExpiresAt <= 0 {
		return "", errors.New("--ttl: a token needs an expiry in the future")
	}
	if _, err := grant.Compile(c.Caps); err != nil {
		return "", fmt.Errorf("--channels, --allow: %w", err)
	}
	for _, name := range append([]string{c.Channel}, c.Channels...) {
		if err := grant.CheckPattern(name); err != nil && name != "" {
			return "", fmt.Errorf("--channel, --server-channels: %w", err)
		}
	}
	payload, err := json.Marshal(c)
	if err != nil {
		return "", fmt.Errorf("claims of the token: %w", err)
	}
	if fault := new(claims).read(payload); fault != nil {
		return "", fmt.Errorf("claims of the token: %s", fault.Reason)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.HS256, Key: secret},
		(&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		return "", fmt.Errorf("%s: %w", secretFlag, err)
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		return "", fmt.Errorf("%s: %w", secretFlag, err)
	}
	text, err := signed.CompactSerialize()
	if err != nil {
		return "", err
	}
	if len(text) > MaxBytes {
		return "", fmt.Errorf("the token has %d bytes, at most %d are allowed: give fewer or shorter --channels", len(text), MaxBytes)
	}
	return text, nil
}
