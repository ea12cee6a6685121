package clientproto

// reader goes through one text that the validator accepted, so it looks at no
// more than it needs to tell where it is.
type reader struct {
	text []byte
	at   int
}

// space goes to the next byte that counts and answers it.
func (r *reader) space() byte {
	for {
		switch c := r.text[r.at]; c {
		case ' ', '\t', '\n', '\r':
			r.at++
		default:
			return c
		}
	}
}

// enter goes into the object that comes next. False: another kind of value
// comes, and the reader still stands before it.
func (r *reader) enter() bool {
	if r.space() != '{' {
		return false
	}
	r.at++
	return true
}

// member goes to the value of the object's next member; false behind its end.
// Raw is the name as it stands between the quotes.
func (r *reader) member() (raw []byte, ok bool) {
	c := r.space()
	if c == ',' {
		r.at++
		c = r.space()
	}
	if c == '}' {
		r.at++
		return nil, false
	}
	raw = r.quoted()
	r.space()
	r.at++ // the colon
	return raw, true
}

// quoted goes behind the string that begins here and answers what stands
// between its quotes.
func (r *reader) quoted() []byte {
	start := r.at + 1
	end := stringEnd(r.text, r.at)
	r.at = end + 1
	return r.text[start:end]
}

// value goes behind the value that comes next, and answers it and whether it
// has insignificant white space.
func (r *reader) value() (raw []byte, spaced bool) {
	c := r.space()
	start := r.at
	switch c {
	case '"':
		r.quoted()
	case '{', '[':
		spaced = r.nested()
	default:
		for r.at++; r.at < len(r.text) && !ends(r.text[r.at]); {
			r.at++
		}
	}
	return r.text[start:r.at], spaced
}

// nested goes behind the object or array that begins here.
func (r *reader) nested() (spaced bool) {
	for depth := 0; ; r.at++ {
		switch r.text[r.at] {
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				r.at++
				return spaced
			}
		case '"':
			r.at = stringEnd(r.text, r.at)
		case ' ', '\t', '\n', '\r':
			spaced = true
		}
	}
}

// ends reports whether c comes behind a number or literal.
func ends(c byte) bool {
	return c == ',' || c == '}' || c == ']' || c == ' ' || c == '\t' || c == '\n' || c == '\r'
}

// stringEnd is the index of the quote that closes the string opened at i, or
// the text's length.
func stringEnd(text []byte, i int) int {
	for i++; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case '"':
			return i
		}
	}
	return len(text)
}

// idOf finds the id of a command that the validator read only a part of, which
// it must not lean on: 0 if there is none, if there are two, or if it is not
// plain to see.
func idOf(text []byte) (id uint32) {
	depth := 0
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		case '"':
			start := i + 1
			i = stringEnd(text, i)
			if i >= len(text) {
				return 0
			}
			if depth != 1 || string(text[start:i]) != "id" {
				continue
			}
			r := reader{text: text, at: i + 1}
			found, ok := r.idBehind()
			if !ok || found == 0 || id != 0 {
				return 0
			}
			id = found
		}
	}
	return id
}

// idBehind reads a colon and an id out of text that may be anything.
func (r *reader) idBehind() (id uint32, ok bool) {
	rest := trimSpace(r.text[r.at:])
	if len(rest) == 0 || rest[0] != ':' {
		return 0, false
	}
	rest = trimSpace(rest[1:])
	end := 0
	for end < len(rest) && !ends(rest[end]) {
		end++
	}
	n, ok := parseUint(rest[:end], maxID)
	return uint32(n), ok && end < len(rest)
}

func trimSpace(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t' || b[0] == '\n' || b[0] == '\r') {
		b = b[1:]
	}
	return b
}

// parseUint reads digits alone, without a leading zero, up to limit.
func parseUint(b []byte, limit uint64) (n uint64, ok bool) {
	if len(b) == 0 || len(b) > 20 || b[0] == '0' && len(b) > 1 {
		return 0, false
	}
	for _, c := range b {
		if c < '0' || c > '9' || n > limit/10 || n == limit/10 && uint64(c-'0') > limit%10 {
			return 0, false
		}
		n = n*10 + uint64(c-'0')
	}
	return n, true
}
