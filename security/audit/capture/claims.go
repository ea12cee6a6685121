package capture

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"slices"
	"time"
)

// Claims are those of a token that decide what it opens, for one that opens the same elsewhere.
// Times are seconds from when it was used. What a token says about its user besides (info, meta, data, jti)
// is left out.
type Claims struct {
	Subject   string          `json:"sub"`
	Issuer    string          `json:"iss,omitempty"`
	Audience  []string        `json:"aud,omitempty"`
	Channel   string          `json:"channel,omitempty"`
	Channels  []string        `json:"channels,omitempty"`
	Subs      []string        `json:"subs,omitempty"`
	Caps      json.RawMessage `json:"caps,omitempty"`
	Roles     []string        `json:"roles,omitempty"`
	Expires   int64           `json:"exp"`
	Issued    *int64          `json:"iat,omitempty"`
	NotBefore *int64          `json:"nbf,omitempty"`
	ExpireAt  *int64          `json:"expire_at,omitempty"` // nil: not said; the time 0, for ever, is Forever
}

// Forever is an ExpireAt that never is.
const Forever int64 = -1 << 62

// oneOrMore is a name or a list of names.
type oneOrMore []string

func (l *oneOrMore) UnmarshalJSON(b []byte) error {
	if b[0] != '[' {
		*l = []string{""}
		return json.Unmarshal(b, &(*l)[0])
	}
	return json.Unmarshal(b, (*[]string)(l))
}

// claimsOf reads the claims of a token whose signature was good; nil if they cannot be read.
func claimsOf(token []byte, at time.Time) *Claims {
	parts := bytes.Split(token, []byte{'.'})
	if len(parts) != 3 {
		return nil
	}
	payload := make([]byte, base64.RawURLEncoding.DecodedLen(len(parts[1])))
	n, err := base64.RawURLEncoding.Decode(payload, parts[1])
	if err != nil {
		return nil
	}
	var said struct {
		Subject  string                     `json:"sub"`
		Issuer   string                     `json:"iss"`
		Audience oneOrMore                  `json:"aud"`
		Channel  string                     `json:"channel"`
		Channels []string                   `json:"channels"`
		Subs     map[string]json.RawMessage `json:"subs"`
		Caps     json.RawMessage            `json:"caps"`
		Roles    oneOrMore                  `json:"roles"`
		Exp      float64                    `json:"exp"`
		Iat      *float64                   `json:"iat"`
		Nbf      *float64                   `json:"nbf"`
		ExpireAt *float64                   `json:"expire_at"`
	}
	if json.Unmarshal(payload[:n], &said) != nil {
		return nil
	}
	now := at.Unix()
	since := func(t *float64) *int64 {
		if t == nil {
			return nil
		}
		d := int64(*t) - now
		return &d
	}
	c := &Claims{
		Subject: said.Subject, Issuer: said.Issuer, Audience: said.Audience, Channel: said.Channel, Channels: said.Channels, Caps: said.Caps,
		Roles: said.Roles, Expires: int64(said.Exp) - now, Issued: since(said.Iat), NotBefore: since(said.Nbf), ExpireAt: since(said.ExpireAt),
	}
	if said.ExpireAt != nil && *said.ExpireAt == 0 {
		forever := Forever
		c.ExpireAt = &forever
	}
	for channel := range said.Subs {
		c.Subs = append(c.Subs, channel)
	}
	slices.Sort(c.Subs)
	return c
}
