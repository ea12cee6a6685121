package clientproto

import (
	"bytes"
	"strconv"
	"unicode/utf8"

	"weir/security/schema"
)

const hexDigits = "0123456789abcdef"

// AppendString appends s as a JSON string. Control characters are escaped and
// bytes that are not UTF-8 become U+FFFD, so the result is always one line of
// valid UTF-8.
func AppendString[T string | []byte](dst []byte, s T) []byte {
	dst = append(dst, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf {
			r, size := utf8.DecodeRuneInString(string(s[i:min(i+utf8.UTFMax, len(s))]))
			if r == utf8.RuneError && size == 1 {
				dst = append(append(dst, s[start:i]...), "\ufffd"...)
				start = i + 1
			}
			i += size
			continue
		}
		if c >= ' ' && c != '"' && c != '\\' && c != 0x7f {
			i++
			continue
		}
		dst = append(dst, s[start:i]...)
		dst = appendEscape(dst, c)
		i++
		start = i
	}
	return append(append(dst, s[start:]...), '"')
}

// appendText appends text, valid UTF-8, as a JSON string that holds exactly
// that. Of compact JSON it takes twice the length at most.
func appendText(dst, text []byte) []byte {
	dst = append(dst, '"')
	start := 0
	for i, c := range text {
		if c >= ' ' && c != '"' && c != '\\' {
			continue
		}
		dst = appendEscape(append(dst, text[start:i]...), c)
		start = i + 1
	}
	return append(append(dst, text[start:]...), '"')
}

func appendEscape(dst []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(dst, '\\', c)
	case '\n':
		return append(dst, '\\', 'n')
	case '\r':
		return append(dst, '\\', 'r')
	case '\t':
		return append(dst, '\\', 't')
	}
	return append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
}

// appendRaw appends a JSON value that the caller answers for. A raw control
// character can only be insignificant white space there; it is taken out, for a
// newline would end the line.
func appendRaw(dst, value []byte) []byte {
	if len(value) == 0 {
		return append(dst, "null"...)
	}
	for _, c := range []byte{'\n', '\r', '\t'} {
		if bytes.IndexByte(value, c) >= 0 {
			return schema.Compact(dst, value)
		}
	}
	return append(dst, value...)
}

// object appends members to an object; the comma is its only state.
type object struct {
	dst   []byte
	comma bool
}

func beginObject(dst []byte) object { return object{dst: append(dst, '{')} }

func (o *object) end() []byte { return append(o.dst, '}') }

// name appends a member's name, which must need no escaping.
func (o *object) name(name string) {
	if o.comma {
		o.dst = append(o.dst, ',')
	}
	o.comma = true
	o.dst = append(append(append(o.dst, '"'), name...), '"', ':')
}

func (o *object) uint(name string, v uint64) {
	o.name(name)
	o.dst = strconv.AppendUint(o.dst, v, 10)
}

func (o *object) str(name, v string) {
	o.name(name)
	o.dst = AppendString(o.dst, v)
}

// flag appends name:true, or nothing for false.
func (o *object) flag(name string, v bool) {
	if v {
		o.name(name)
		o.dst = append(o.dst, "true"...)
	}
}

// raw appends a JSON value, or nothing for an empty one.
func (o *object) raw(name string, v []byte) {
	if len(v) > 0 {
		o.name(name)
		o.dst = appendRaw(o.dst, v)
	}
}
