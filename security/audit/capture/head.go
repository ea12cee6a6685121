package capture

import (
	"bytes"
	"net/url"
	"strings"
)

// Head is what a request head says, borrowed. Nil fields are absent.
type Head struct {
	Path, Query   []byte // as they stand, the query without its question mark
	Origin        []byte
	Protocols     []byte // Sec-WebSocket-Protocol
	Authorization []byte
	HasOrigin     bool
}

// headTextBytes bounds each text of a head. A head has 8 KiB.
const headTextBytes = 8 << 10

// Request is a head as a capture has it: what decided about it, with names in the place of
// secrets. Of a head that was malformed there is nothing but the answer.
type Request struct {
	Peer          string `json:"peer"` // address of the client
	Why           string `json:"why"`  // address, user, anomaly or the event that chose it
	Path          *Text  `json:"path,omitempty"`
	Query         *Text  `json:"query,omitempty"`
	Origin        *Text  `json:"origin,omitempty"`
	Protocols     *Text  `json:"protocols,omitempty"`
	Authorization *Text  `json:"authorization,omitempty"`
}

// request writes a head anew.
func (h *hider) request(head *Head, o *Request) {
	if head.Path == nil {
		return
	}
	o.Path = h.redact(head.Path, (*redaction).path)
	if head.Query != nil {
		o.Query = h.redact(head.Query, (*redaction).query)
	}
	if head.HasOrigin {
		o.Origin = h.redact(head.Origin, (*redaction).origin)
	}
	if head.Protocols != nil {
		o.Protocols = h.redact(head.Protocols, (*redaction).protocols)
	}
	if head.Authorization != nil {
		o.Authorization = h.redact(head.Authorization, (*redaction).authorization)
	}
}

func (h *hider) redact(b []byte, how func(*redaction, []byte)) *Text {
	r := redaction{hider: h}
	how(&r, bytes.ToValidUTF8(b, []byte("?"))) // marks are places in a JSON string
	t := r.text()
	return &t
}

// path keeps the paths that the server knows; of others, only short words.
func (r *redaction) path(b []byte) {
	switch string(b) {
	case "/connection/websocket", "/feed":
		r.keep(b...)
		return
	}
	for len(b) > 0 {
		n := bytes.IndexByte(b[1:], '/') + 1
		if n == 0 {
			n = len(b)
		}
		r.keep(b[0])
		if part := b[1:n]; len(part) >= longWord || bytes.IndexByte(part, '.') >= 0 {
			r.hide(KindPath, part)
		} else {
			r.keep(part...)
		}
		b = b[n:]
	}
}

// query keeps channels and positions, and the short names of other parameters.
func (r *redaction) query(b []byte) {
	for i, pair := range bytes.Split(b, []byte{'&'}) {
		if i > 0 {
			r.keep('&')
		}
		name, value, assigned := bytes.Cut(pair, []byte{'='})
		if len(name) < longWord && wordLen(name, tokenLetter) == len(name) {
			r.keep(name...)
		} else {
			r.hide(KindQuery, name)
		}
		if assigned {
			r.keep('=')
			r.parameter(string(name), value)
		}
	}
}

func (r *redaction) parameter(name string, value []byte) {
	plain := value
	if decoded, err := url.QueryUnescape(string(value)); err == nil {
		plain = []byte(decoded)
	}
	switch {
	case name == "token":
		r.hide(KindToken, plain)
	case name == "ticket":
		r.hide(KindTicket, plain)
	case name == "channel" || name == "since":
		if hasJWT(plain) {
			r.hide(KindQuery, plain)
		} else {
			r.keep(value...)
		}
	default:
		r.hide(KindQuery, plain)
	}
}

// origin keeps one that is as browsers write it (RFC 6454 §6.2).
func (r *redaction) origin(b []byte) {
	if bytes.IndexByte(b, '@') >= 0 {
		r.hide(KindSecret, b) // user and password; no browser sends them
		return
	}
	r.scrub(b)
}

// protocols keeps the names that the server knows, the beginning of a bearer, and what
// makes a list malformed.
func (r *redaction) protocols(b []byte) {
	for i, element := range bytes.Split(b, []byte{','}) {
		if i > 0 {
			r.out = append(r.out, ", "...)
		}
		element = bytes.Trim(element, " \t")
		switch secret, bearer := bytes.CutPrefix(element, []byte("bearer.")); {
		case bearer:
			r.out = append(r.out, "bearer."...)
			r.hide(KindToken, secret)
		case knownProtocol(string(element)):
			r.keep(element...)
			continue
		default:
			r.hide(KindProtocol, element)
		}
		if wordLen(element, protocolLetter) < len(element) {
			r.keep('@') // a list that was malformed still is
		}
	}
}

func knownProtocol(s string) bool {
	return s == "centrifuge-json" || s == "centrifuge-protobuf" || s == "weir-feed" || s == "bearer"
}

// protocolLetter tells those of a token of RFC 9110 §5.6.2.
func protocolLetter(c byte) bool {
	return tokenLetter(c) || strings.IndexByte("!#$%&'*+^`|~", c) >= 0
}

// authorization keeps the scheme, and what makes it malformed.
func (r *redaction) authorization(b []byte) {
	scheme, rest, spaced := bytes.Cut(b, []byte{' '})
	switch secret := bytes.TrimLeft(rest, " "); strings.ToLower(string(scheme)) {
	case "bearer":
		r.keep(scheme...)
		if spaced {
			r.keep(' ')
		}
		r.hide(KindToken, secret)
		if bytes.ContainsAny(secret, " \t,") {
			r.keep(',')
		}
	case "basic", "digest":
		r.keep(scheme...)
		r.keep(' ')
		r.hide(KindSecret, secret)
	default:
		r.hide(KindSecret, b)
	}
}
