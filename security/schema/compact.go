package schema

// Compact appends b without insignificant white space to dst, hence without a
// raw newline. b must be valid JSON (Check accepted it); the result is at most
// as long. dst must not overlap b.
func Compact(dst, b []byte) []byte {
	start := 0
	for i := 0; i < len(b); i++ {
		switch b[i] {
		case '"':
			i = stringEnd(b, i)
		case ' ', '\t', '\n', '\r':
			dst = append(dst, b[start:i]...)
			start = i + 1
		}
	}
	if start < len(b) {
		dst = append(dst, b[start:]...)
	}
	return dst
}

// stringEnd is the index of the quote that closes the string opened at i, or
// the last index of a text that ends before.
func stringEnd(b []byte, i int) int {
	for i++; i < len(b); i++ {
		switch b[i] {
		case '\\':
			i++
		case '"':
			return i
		}
	}
	return len(b) - 1
}
