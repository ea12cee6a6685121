package upgrade

import "bytes"

// tokenByte tells the bytes of a token: RFC 9110 §5.6.2. Constant.
var tokenByte = [256]bool{
	'!': true, '#': true, '$': true, '%': true, '&': true, '\'': true, '*': true, '+': true, '-': true, '.': true,
	'^': true, '_': true, '`': true, '|': true, '~': true,
	'0': true, '1': true, '2': true, '3': true, '4': true, '5': true, '6': true, '7': true, '8': true, '9': true,
	'A': true, 'B': true, 'C': true, 'D': true, 'E': true, 'F': true, 'G': true, 'H': true, 'I': true, 'J': true,
	'K': true, 'L': true, 'M': true, 'N': true, 'O': true, 'P': true, 'Q': true, 'R': true, 'S': true, 'T': true,
	'U': true, 'V': true, 'W': true, 'X': true, 'Y': true, 'Z': true,
	'a': true, 'b': true, 'c': true, 'd': true, 'e': true, 'f': true, 'g': true, 'h': true, 'i': true, 'j': true,
	'k': true, 'l': true, 'm': true, 'n': true, 'o': true, 'p': true, 'q': true, 'r': true, 's': true, 't': true,
	'u': true, 'v': true, 'w': true, 'x': true, 'y': true, 'z': true,
}

func isToken(b []byte) bool {
	for _, c := range b {
		if !tokenByte[c] {
			return false
		}
	}
	return len(b) > 0
}

// trimSpace takes optional white space off both ends: RFC 9110 §5.6.3. The result is never nil and has no room behind it.
func trimSpace(b []byte) []byte {
	start, end := 0, len(b)
	for start < end && (b[start] == ' ' || b[start] == '\t') {
		start++
	}
	for start < end && (b[end-1] == ' ' || b[end-1] == '\t') {
		end--
	}
	return b[start:end:end]
}

// foldEqual compares b with a text of lower-case ASCII, without regard to case.
func foldEqual(b []byte, lower string) bool {
	if len(b) != len(lower) {
		return false
	}
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}

// nextElement cuts the first element off a comma-separated list (RFC 9110 §5.6.1). Elements may be empty; ok is false at
// the end. A quoted-string of an extension has token bytes inside (RFC 6455 §9.1), hence never a comma.
func nextElement(list []byte) (element, rest []byte, ok bool) {
	if list == nil {
		return nil, nil, false
	}
	i := bytes.IndexByte(list, ',')
	if i < 0 {
		return trimSpace(list), nil, true
	}
	return trimSpace(list[:i]), list[i+1:], true
}

// listHas tells whether a comma-separated list names the token, in lower case.
func listHas(list []byte, lower string) bool {
	for {
		element, rest, ok := nextElement(list)
		if !ok {
			return false
		}
		if foldEqual(element, lower) {
			return true
		}
		list = rest
	}
}
