package delta

import "errors"

// What Apply says of a delta that it refuses.
var (
	ErrSyntax   = errors.New("delta: not a delta")
	ErrLength   = errors.New("delta: the target has another length than was said")
	ErrRange    = errors.New("delta: it copies what the source does not have")
	ErrTooLong  = errors.New("delta: the target would be too long")
	ErrChecksum = errors.New("delta: wrong checksum, most likely of another source")
)

// Apply appends to dst the target that delta makes of source, of limit bytes at
// most. With an error dst comes back as it was. The length that a hostile delta
// says is compared and not believed: nothing is reserved for it.
func Apply(dst, source, delta []byte, limit int) ([]byte, error) {
	start := len(dst)
	length, rest, ok := number(delta, '\n')
	switch {
	case !ok:
		return dst, ErrSyntax
	case int64(length) > int64(limit):
		return dst, ErrTooLong
	}
	for out := dst; ; {
		var n uint32
		if n, rest, ok = number(rest, 0); !ok || len(rest) == 0 {
			return dst, ErrSyntax
		}
		operator, left := rest[0], int64(length)-int64(len(out)-start)
		rest = rest[1:]
		switch operator {
		case '@':
			var from uint32
			if from, rest, ok = number(rest, ','); !ok {
				return dst, ErrSyntax
			}
			if int64(n) > left {
				return dst, ErrLength
			}
			if int64(from)+int64(n) > int64(len(source)) {
				return dst, ErrRange
			}
			out = append(out, source[from:from+n]...)
		case ':':
			if int64(n) > left {
				return dst, ErrLength
			}
			if int64(n) > int64(len(rest)) {
				return dst, ErrSyntax
			}
			out = append(out, rest[:n]...)
			rest = rest[n:]
		case ';':
			return end(dst, out, start, n, left, rest)
		default:
			return dst, ErrSyntax
		}
	}
}

// end looks at the whole: left is how much of the length is missing, rest what
// follows the trailer.
func end(dst, out []byte, start int, sum uint32, left int64, rest []byte) ([]byte, error) {
	switch {
	case len(rest) > 0:
		return dst, ErrSyntax
	case left != 0:
		return dst, ErrLength
	case sum != checksum(out[start:]):
		return dst, ErrChecksum
	}
	return out, nil
}

// number takes a number from the beginning of b, and the byte after, which must
// stand there (0: none has to).
func number(b []byte, after byte) (n uint32, rest []byte, ok bool) {
	i := 0
	var wide uint64
	for ; i < len(b); i++ {
		v := digit(b[i])
		if v < 0 {
			break
		}
		if i == maxDigits {
			return 0, b, false
		}
		wide = wide<<6 | uint64(v)
	}
	if i == 0 || wide > 1<<32-1 {
		return 0, b, false
	}
	if after == 0 {
		return uint32(wide), b[i:], true
	}
	if i == len(b) || b[i] != after {
		return 0, b, false
	}
	return uint32(wide), b[i+1:], true
}

// digit is the value of c, or -1.
func digit(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'A' <= c && c <= 'Z':
		return int(c-'A') + 10
	case c == '_':
		return 36
	case 'a' <= c && c <= 'z':
		return int(c-'a') + 37
	case c == '~':
		return 63
	default:
		return -1
	}
}
