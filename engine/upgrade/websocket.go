package upgrade

import "bytes"

// WebSocket checks that the request opens a WebSocket: RFC 6455 §4.2.1. The method is GET because Parse takes no other.
func (r *Request) WebSocket() *Refusal {
	// 3, 4: "An |Upgrade| header field containing the value 'websocket' ... |Connection| ... includes the token 'Upgrade'".
	if !r.Upgrade || !r.Connection {
		return ErrNotUpgrade
	}
	// 6, and §4.4: another version is told ours. Before the key, which other versions need not have.
	if r.Version == nil {
		return ErrMissingVersion
	}
	if string(r.Version) != "13" {
		return UpgradeRequired
	}
	// 5: "a base64-encoded value that, when decoded, is 16 bytes in length".
	if !validKey(r.Key) {
		return ErrKey
	}
	return nil
}

// keyLen is the length of 16 bytes in base64.
const keyLen = 24

// validKey: 22 letters of the alphabet and two of padding. The four bits that are left over may be anything: RFC 6455's
// own example in §4.1 has a key that is not canonical.
func validKey(key []byte) bool {
	if len(key) != keyLen || string(key[keyLen-2:]) != "==" {
		return false
	}
	for _, c := range key[:keyLen-2] {
		switch {
		case 'A' <= c && c <= 'Z', 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '+', c == '/':
		default:
			return false
		}
	}
	return true
}

// bearerPrefix marks a credential among the offered protocols: the only header field a browser's page can fill.
const bearerPrefix = "bearer."

// SelectProtocol reads Sec-WebSocket-Protocol: the first offered protocol that is supported, in the client's order
// (RFC 6455 §4.2.2), and the token of a "bearer.<token>" beside it, which borrows header. selected is one of the
// supported strings or "": then the 101 names none. A bearer with nothing to select beside it is refused, for browsers
// drop a 101 without a protocol when they offered one. header nil: nothing was offered.
func SelectProtocol(header []byte, supported ...string) (selected string, bearer []byte, f *Refusal) {
	for list := header; ; {
		element, rest, ok := nextElement(list)
		if !ok {
			break
		}
		list = rest
		switch {
		case len(element) == 0: // RFC 9110 §5.6.1.2: empty elements are ignored
		case !isToken(element):
			return "", nil, ErrProtocolList
		case string(element) == "bearer":
			return "", nil, ErrBearerProtocol
		case bytes.HasPrefix(element, []byte(bearerPrefix)):
			if bearer != nil || len(element) == len(bearerPrefix) {
				return "", nil, ErrBearerProtocol
			}
			bearer = element[len(bearerPrefix):]
		case selected == "":
			selected = choose(element, supported)
		}
	}
	if bearer != nil && selected == "" {
		return "", nil, ErrBearerAlone
	}
	return selected, bearer, nil
}

// choose answers the supported protocol that is the offered one; they are compared with regard to case.
func choose(offered []byte, supported []string) string {
	for _, s := range supported {
		if string(offered) == s {
			return s
		}
	}
	return ""
}

// Bearer reads the token of an Authorization field: RFC 6750 §2.1; the scheme is without regard to case. nil: the field is
// absent. Any other scheme is refused: who sends a credential expects it to count.
func Bearer(authorization []byte) (token []byte, f *Refusal) {
	if authorization == nil {
		return nil, nil
	}
	scheme, rest, ok := bytes.Cut(authorization, []byte{' '})
	token = bytes.TrimLeft(rest, " ")
	if !ok || !foldEqual(scheme, "bearer") || len(token) == 0 || bytes.ContainsAny(token, " \t,") {
		return nil, ErrAuthorization
	}
	return token, nil
}
