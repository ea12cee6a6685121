package schema

import (
	"bytes"
	"encoding/binary"
)

// format reports whether a text of valid UTF-8 is of a format. All of them read
// it once.
type format func(text []byte) bool

// formatNamed is the format of a name, nil if it is not supported.
func formatNamed(name string) format {
	switch name {
	case "date-time":
		return isDateTime
	case "date":
		return isDate
	case "uuid":
		return isUUID
	case "email":
		return isEmail
	case "uri":
		return isURI
	case "ipv4":
		return isIPv4
	case "ipv6":
		return isIPv6
	}
	return nil
}

// uuidBytes is the length of a UUID.
const uuidBytes = len("0b4e7a3c-5d1f-4f7e-9a51-6a0c2d9be7f1")

// isUUID is a UUID of RFC 9562 §4, of any version and case.
func isUUID(text []byte) bool { return len(text) == uuidBytes && uuidEnd(text, 0) > 0 }

// uuidEnd is where the UUID at b[i] ends, where there are uuidBytes; 0 if there is
// none. See dateEnd.
func uuidEnd(b []byte, i int) int {
	b = b[i : i+uuidBytes]
	if b[8] != '-' || b[13] != '-' || b[18] != '-' || b[23] != '-' {
		return 0
	}
	four := func(i int) uint64 { return uint64(binary.LittleEndian.Uint32(b[i:])) }
	first, last := binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[28:])
	second, third := four(9)|four(14)<<32, four(19)|four(24)<<32
	if (first|second|third|last)&tops != 0 || hexBytes(first)&hexBytes(second)&hexBytes(third)&hexBytes(last)&tops != tops {
		return 0
	}
	return i + uuidBytes
}

// hexBytes marks with its top bit each of eight bytes of ASCII that is a
// hexadecimal digit.
func hexBytes(w uint64) uint64 {
	const ones = tops >> 7
	lower := w | ones*0x20
	digit := (w + ones*(0x80-'0')) &^ (w + ones*(0x7f-'9'))
	letter := (lower + ones*(0x80-'a')) &^ (lower + ones*(0x7f-'f'))
	return digit | letter
}

// isEmail is a mailbox of RFC 5321 §4.1.2 in ASCII, without comments, quoted
// pairs and addresses other than IP.
func isEmail(text []byte) bool {
	const maxBytes, maxLocal = 254, 64
	at := bytes.LastIndexByte(text, '@')
	if at < 1 || at > maxLocal || len(text) > maxBytes {
		return false
	}
	local, domain := text[:at], text[at+1:]
	if at > 1 && local[0] == '"' && local[at-1] == '"' {
		for _, c := range local[1 : at-1] {
			if c < ' ' || c > '~' || c == '"' || c == '\\' {
				return false
			}
		}
	} else if !isDotted(local, charAtom, maxLocal) {
		return false
	}
	if n := len(domain); n > 2 && domain[0] == '[' && domain[n-1] == ']' {
		if v6, ok := bytes.CutPrefix(domain[1:n-1], []byte("IPv6:")); ok {
			return isIPv6(v6)
		}
		return isIPv4(domain[1 : n-1])
	}
	return isHost(domain)
}

// isDotted reports whether text is parts of characters of a class, at least one
// and at most a number each, with dots between.
func isDotted(text []byte, class charClass, most int) bool {
	length := 0
	for _, c := range text {
		if c == '.' && length > 0 {
			length = 0
			continue
		}
		if length++; classOf[c]&class == 0 || length > most {
			return false
		}
	}
	return length > 0
}

// isHost is a host name of RFC 1123 §2.1, without a dot at its end.
func isHost(text []byte) bool {
	const maxBytes, maxLabel = 253, 63
	if len(text) > maxBytes || !isDotted(text, charLabel, maxLabel) {
		return false
	}
	for i, c := range text {
		if c == '-' && (i == 0 || i+1 == len(text) || text[i-1] == '.' || text[i+1] == '.') {
			return false
		}
	}
	return true
}
