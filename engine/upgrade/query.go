package upgrade

import "bytes"

// QueryValue answers the value of the one parameter of that name, decoded as a form: %XX, and + for a space. The value is
// appended to dst and is that part of it; with len(rawQuery) bytes of room nothing is allocated. ok tells whether the name
// is there. A name that comes twice, a bad escape and a control character are refused: a credential is not to be guessed.
// Names are compared as they stand, without decoding.
func QueryValue(rawQuery []byte, name string, dst []byte) (value []byte, ok bool, f *Refusal) {
	for rest := rawQuery; len(rest) > 0; {
		var key, raw []byte
		key, raw, rest = NextParameter(rest)
		if string(key) != name {
			continue
		}
		if ok {
			return nil, false, ErrQueryDuplicate
		}
		if value, f = Unescape(dst, raw); f != nil {
			return nil, false, f
		}
		ok = true
	}
	return value, ok, nil
}

// NextParameter cuts the first name=value off a query; both as they stand. For parameters that may come several times:
// go on until rest is empty.
func NextParameter(rawQuery []byte) (name, raw, rest []byte) {
	pair, rest, _ := bytes.Cut(rawQuery, []byte{'&'})
	name, raw, _ = bytes.Cut(pair, []byte{'='})
	return name, raw, rest
}

// Unescape decodes a value of a query, as QueryValue does, and answers the part of dst that it appended.
func Unescape(dst, raw []byte) (value []byte, f *Refusal) {
	start := len(dst)
	for i := 0; i < len(raw); i++ {
		c := raw[i]
		switch c {
		case '+':
			c = ' '
		case '%':
			if i+2 >= len(raw) {
				return nil, ErrQuery
			}
			high, low := hexDigit[raw[i+1]], hexDigit[raw[i+2]]
			if high == 0 || low == 0 {
				return nil, ErrQuery
			}
			c, i = (high-1)<<4|(low-1), i+2
		}
		if c < ' ' || c == 0x7f {
			return nil, ErrQuery
		}
		dst = append(dst, c)
	}
	return dst[start:len(dst):len(dst)], nil
}

// hexDigit is the value of a hexadecimal digit plus one. Constant.
var hexDigit = [256]byte{
	'0': 1, '1': 2, '2': 3, '3': 4, '4': 5, '5': 6, '6': 7, '7': 8, '8': 9, '9': 10,
	'a': 11, 'b': 12, 'c': 13, 'd': 14, 'e': 15, 'f': 16, 'A': 11, 'B': 12, 'C': 13, 'D': 14, 'E': 15, 'F': 16,
}
