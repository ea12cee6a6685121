package upgrade

import "bytes"

// The answers to an offer of permessage-deflate (RFC 7692 §7.1): no context is kept in either direction, so a
// connection holds no compressor between messages. The second repeats the only window this server can promise.
const (
	deflateName           = "permessage-deflate"
	deflateResponse       = deflateName + "; server_no_context_takeover; client_no_context_takeover"
	deflateWindowResponse = deflateResponse + "; server_max_window_bits=15"
)

// The parameters seen in one offer, a bit each.
const (
	serverWindow uint8 = 1 << iota
	clientWindow
	serverTakeover
	clientTakeover
)

// NegotiateDeflate reads Sec-WebSocket-Extensions (RFC 6455 §9.1) in one pass and accepts the first offer of
// permessage-deflate that this server can serve. response is one of two constants. ok is false if there is none: an unknown
// parameter, one given twice, bad window bits, or a smaller window for the server decline that offer (RFC 7692 §7), and the
// next one is looked at. A list against the grammar is refused. nil: nothing was offered.
func NegotiateDeflate(extensions []byte) (response string, ok bool, f *Refusal) {
	for list := extensions; ; {
		offer, rest, more := nextElement(list)
		if !more {
			return response, response != "", nil
		}
		list = rest
		if len(offer) == 0 {
			continue
		}
		answer, f := readOffer(offer)
		if f != nil {
			return "", false, f
		}
		if response == "" {
			response = answer
		}
	}
}

// readOffer reads extension-token *( ";" extension-param ). answer is "" for what is not accepted.
func readOffer(offer []byte) (answer string, f *Refusal) {
	name, params, more := bytes.Cut(offer, []byte{';'})
	name = trimSpace(name)
	if !isToken(name) {
		return "", ErrExtensionList
	}
	acceptable := string(name) == deflateName
	var seen uint8
	for more {
		var param []byte
		param, params, more = bytes.Cut(params, []byte{';'})
		key, value, assigned := bytes.Cut(param, []byte{'='})
		key, value = trimSpace(key), trimSpace(value)
		if !isToken(key) || assigned && !validValue(value) {
			return "", ErrExtensionList
		}
		bit := deflateParameter(key, unquote(value), assigned)
		if bit == 0 || seen&bit != 0 {
			acceptable = false
		}
		seen |= bit
	}
	switch {
	case !acceptable:
		return "", nil
	case seen&serverWindow != 0:
		return deflateWindowResponse, nil
	}
	return deflateResponse, nil
}

// deflateParameter answers the bit of a parameter that is known, has a legal value and can be served, else 0.
func deflateParameter(key, value []byte, assigned bool) uint8 {
	switch string(key) {
	case "server_no_context_takeover": // RFC 7692 §7.1.1.1: no value
		if !assigned {
			return serverTakeover
		}
	case "client_no_context_takeover": // §7.1.1.2: no value
		if !assigned {
			return clientTakeover
		}
	case "server_max_window_bits": // §7.1.2.1: a value; of 8 to 15 the compressor here has 15
		if string(value) == "15" {
			return serverWindow
		}
	case "client_max_window_bits": // §7.1.2.2: with or without a value; any window can be inflated
		if !assigned || windowBits(value) {
			return clientWindow
		}
	}
	return 0
}

// windowBits: 8 to 15 without leading zeros (RFC 7692 §7.1.2).
func windowBits(value []byte) bool {
	switch len(value) {
	case 1:
		return value[0] == '8' || value[0] == '9'
	case 2:
		return value[0] == '1' && '0' <= value[1] && value[1] <= '5'
	}
	return false
}

// validValue: a token, or a quoted-string of token bytes, which may be escaped (RFC 6455 §9.1).
func validValue(value []byte) bool {
	if len(value) < 2 || value[0] != '"' {
		return isToken(value)
	}
	if value[len(value)-1] != '"' {
		return false
	}
	inner := value[1 : len(value)-1]
	for i := 0; i < len(inner); i++ {
		if inner[i] == '\\' {
			i++
		}
		if i == len(inner) || !tokenByte[inner[i]] {
			return false
		}
	}
	return len(inner) > 0
}

// unquote takes the quotes off. Escapes stay: no legal value of a parameter here needs one, so it is declined.
func unquote(value []byte) []byte {
	if len(value) >= 2 && value[0] == '"' {
		return value[1 : len(value)-1]
	}
	return value
}
