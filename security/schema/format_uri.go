package schema

import "bytes"

// charClass says what an ASCII character may be in an address; a set.
type charClass uint8

const (
	charHex    charClass = 1 << iota
	charScheme           // of a URI, behind its first letter
	charHost             // unreserved and sub-delims of RFC 3986
	charLabel            // of a host name
	charAtom             // atext of RFC 5322
	charQuery            // pchar of RFC 3986, and slash and question mark
	charLetter
	charDigit
)

const (
	classDigit  = charHex | charScheme | charHost | charLabel | charAtom | charQuery | charDigit
	classHex    = classLetter | charHex
	classLetter = charScheme | charHost | charLabel | charAtom | charQuery | charLetter
	classSub    = charHost | charQuery
)

// classOf is what a byte may be.
var classOf = [256]charClass{
	'0': classDigit, '1': classDigit, '2': classDigit, '3': classDigit, '4': classDigit,
	'5': classDigit, '6': classDigit, '7': classDigit, '8': classDigit, '9': classDigit,
	'a': classHex, 'b': classHex, 'c': classHex, 'd': classHex, 'e': classHex, 'f': classHex,
	'A': classHex, 'B': classHex, 'C': classHex, 'D': classHex, 'E': classHex, 'F': classHex,
	'g': classLetter, 'h': classLetter, 'i': classLetter, 'j': classLetter, 'k': classLetter,
	'l': classLetter, 'm': classLetter, 'n': classLetter, 'o': classLetter, 'p': classLetter,
	'q': classLetter, 'r': classLetter, 's': classLetter, 't': classLetter, 'u': classLetter,
	'v': classLetter, 'w': classLetter, 'x': classLetter, 'y': classLetter, 'z': classLetter,
	'G': classLetter, 'H': classLetter, 'I': classLetter, 'J': classLetter, 'K': classLetter,
	'L': classLetter, 'M': classLetter, 'N': classLetter, 'O': classLetter, 'P': classLetter,
	'Q': classLetter, 'R': classLetter, 'S': classLetter, 'T': classLetter, 'U': classLetter,
	'V': classLetter, 'W': classLetter, 'X': classLetter, 'Y': classLetter, 'Z': classLetter,
	'-': charScheme | classSub | charLabel | charAtom, '.': charScheme | classSub, '_': classSub | charAtom, '~': classSub | charAtom,
	'+': charScheme | classSub | charAtom, '!': classSub | charAtom, '$': classSub | charAtom, '&': classSub | charAtom,
	'\'': classSub | charAtom, '*': classSub | charAtom, '=': classSub | charAtom,
	'(': classSub, ')': classSub, ',': classSub, ';': classSub,
	'#': charAtom, '%': charAtom, '^': charAtom, '`': charAtom, '{': charAtom, '|': charAtom, '}': charAtom,
	'/': charQuery | charAtom, '?': charQuery | charAtom, ':': charQuery, '@': charQuery,
}

// isURI is URI of RFC 3986 §3: with a scheme, in ASCII.
func isURI(text []byte) bool {
	colon := bytes.IndexByte(text, ':')
	if colon < 1 || classOf[text[0]]&charLetter == 0 || !isOf(text[:colon], charScheme) {
		return false
	}
	rest := text[colon+1:]
	if behind, ok := bytes.CutPrefix(rest, []byte("//")); ok {
		end := bytes.IndexAny(behind, "/?#")
		if end < 0 {
			end = len(behind)
		}
		if !isAuthority(behind[:end]) {
			return false
		}
		rest = behind[end:]
	}
	if hash := bytes.IndexByte(rest, '#'); hash >= 0 {
		if !isEncoded(rest[hash+1:], charQuery) {
			return false
		}
		rest = rest[:hash]
	}
	return isEncoded(rest, charQuery)
}

// isAuthority is authority of RFC 3986 §3.2.
func isAuthority(text []byte) bool {
	if at := bytes.IndexByte(text, '@'); at >= 0 {
		user := text[:at]
		for len(user) > 0 {
			colon := bytes.IndexByte(user, ':')
			if colon < 0 {
				colon = len(user)
			}
			if !isEncoded(user[:colon], charHost) {
				return false
			}
			user = user[min(colon+1, len(user)):]
		}
		text = text[at+1:]
	}
	if len(text) > 0 && text[0] == '[' {
		end := bytes.IndexByte(text, ']')
		if end < 0 || !isLiteral(text[1:end]) {
			return false
		}
		rest := text[end+1:]
		return len(rest) == 0 || rest[0] == ':' && isOf(rest[1:], charDigit)
	}
	host, port, _ := bytes.Cut(text, []byte(":"))
	return isEncoded(host, charHost) && isOf(port, charDigit)
}

// isLiteral is what stands in brackets in IP-literal of RFC 3986 §3.2.2.
func isLiteral(text []byte) bool {
	if len(text) == 0 || text[0]|0x20 != 'v' {
		return isIPv6(text)
	}
	version, address, _ := bytes.Cut(text[1:], []byte("."))
	if len(version) == 0 || len(address) == 0 || !isOf(version, charHex) {
		return false
	}
	for _, c := range address {
		if c != ':' && classOf[c]&charHost == 0 {
			return false
		}
	}
	return true
}

// isOf reports whether all of text is of a class.
func isOf(text []byte, class charClass) bool {
	for _, c := range text {
		if classOf[c]&class == 0 {
			return false
		}
	}
	return true
}

// isEncoded reports whether all of text is of a class or percent-encoded.
func isEncoded(text []byte, class charClass) bool {
	for i := 0; i < len(text); i++ {
		if text[i] == '%' {
			if i+2 >= len(text) || !isOf(text[i+1:i+3], charHex) {
				return false
			}
			i += 2
		} else if classOf[text[i]]&class == 0 {
			return false
		}
	}
	return true
}

// isIPv4 is four decimals without leading zeros, RFC 2673 §3.2.
func isIPv4(text []byte) bool {
	parts := 0
	for i := 0; ; i++ {
		start, value := i, 0
		for ; i < len(text) && classOf[text[i]]&charDigit != 0 && i-start < 4; i++ {
			value = value*10 + int(text[i]-'0')
		}
		if i == start || value > 255 || text[start] == '0' && i > start+1 {
			return false
		}
		if parts++; i == len(text) {
			return parts == 4
		}
		if text[i] != '.' || parts == 4 {
			return false
		}
	}
}

// isIPv6 is an address of RFC 4291 §2.2, without a zone.
func isIPv6(text []byte) bool {
	const all = 8
	groups, short := 0, false
	if len(text) >= 2 && text[0] == ':' && text[1] == ':' {
		short, text = true, text[2:]
		if len(text) == 0 {
			return true
		}
	}
	for {
		n := 0
		for n < len(text) && n <= 4 && classOf[text[n]]&charHex != 0 {
			n++
		}
		if n < len(text) && text[n] == '.' {
			groups += 2
			return isIPv4(text) && (groups == all && !short || groups < all && short)
		}
		if n == 0 || n > 4 {
			return false
		}
		groups++
		if text = text[n:]; len(text) == 0 {
			return groups == all && !short || groups < all && short
		}
		if text[0] != ':' || len(text) == 1 {
			return false
		}
		if text = text[1:]; text[0] == ':' {
			if short {
				return false
			}
			if short, text = true, text[1:]; len(text) == 0 {
				return groups < all
			}
		}
	}
}
