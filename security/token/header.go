package token

import (
	"bytes"
	"encoding/base64"
	"strings"
)

// maxKeyIDBytes bounds kid, which is only ever a map key.
const maxKeyIDBytes = 256

// header is what a token says about its signature.
type header struct {
	algorithm string
	keyID     string
}

// readHeader checks the shape of the whole token and reads its first part.
func readHeader(token []byte) (h header, _ *Fault) {
	if len(token) > MaxBytes {
		return h, errSize
	}
	first := bytes.IndexByte(token, '.')
	last := bytes.LastIndexByte(token, '.')
	if first < 0 || first == last {
		return h, errShape
	}
	scratch := make([]byte, base64.RawURLEncoding.DecodedLen(len(token)))
	for _, part := range [][]byte{token[last+1:], token[first+1 : last]} {
		if n, ok := decode(scratch, part); !ok || n == 0 {
			return h, errShape
		}
	}
	n, ok := decode(scratch, token[:first])
	if !ok || n == 0 {
		return h, errShape
	}
	return h, h.read(scratch[:n])
}

// decode accepts only the one canonical base64url text of some bytes (RFC 7515 §2, RFC 4648 §3.5);
// the library would skip line breaks and ignore trailing bits. A dot is no such text either, so that
// the five parts of a JWE are refused.
func decode(dst, src []byte) (n int, ok bool) {
	for _, c := range src {
		switch {
		case c >= 'A' && c <= 'Z', c >= 'a' && c <= 'z', c >= '0' && c <= '9', c == '-', c == '_':
		default:
			return 0, false
		}
	}
	n, err := base64.RawURLEncoding.Strict().Decode(dst, src)
	return n, err == nil
}

// read takes the members of the header. RFC 7515 §4.1.
func (h *header) read(b []byte) *Fault {
	fault := errHeader
	ok := wellFormed(b) && members(b, func(name string, value []byte) bool {
		ok := true
		switch name {
		case "alg": // §4.1.1
			h.algorithm, ok = text(value)
		case "kid": // §4.1.4
			h.keyID, ok = text(value)
			ok = ok && len(h.keyID) <= maxKeyIDBytes
		case "typ": // §4.1.9
			var typ string
			if typ, ok = text(value); ok && !isJWT(typ) {
				fault, ok = errType, false
			}
		case "jku", "jwk", "x5u", "x5c", // §4.1.2, 3, 5, 6: a key that the peer brings along
			"crit", "b64", // §4.1.11, RFC 7797: rules that the peer brings along
			"zip", "enc", // RFC 7516: an encrypted or compressed token
			"cty": // §4.1.10: a token in a token
			fault, ok = errForbidden, false
		}
		return ok
	})
	if !ok {
		return fault
	}
	if h.algorithm == "" {
		return errHeader
	}
	return nil
}

// isJWT reports whether typ is that of a plain or an access token; another type (a logout token, a
// proof of possession) was issued for another purpose. RFC 8725 §3.11, RFC 9068 §2.1.
func isJWT(typ string) bool {
	typ = strings.TrimPrefix(strings.ToLower(typ), "application/")
	return typ == "jwt" || typ == "at+jwt"
}
