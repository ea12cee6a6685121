package token

import (
	"bytes"
	"encoding/json"
	"strconv"

	"weir/security/schema"
)

// maxDepth bounds nesting in a header or payload.
const maxDepth = 16

// maxDate is the last second of the year 9999: no date claim goes beyond it.
const maxDate = 253402300799

// wellFormed reports whether b is one JSON object, no deeper than maxDepth, that means the same to every reader: in
// which, among others, no object at any depth has two members of the same name.
func wellFormed(b []byte) bool {
	var v schema.Validator
	return v.Check(b, schema.Limits{Depth: maxDepth}) == nil && bytes.TrimLeft(b, " \t\r\n")[0] == '{'
}

// members calls each with the members of an object that is part of wellFormed text, in order and
// with exact names, until it returns false. Value is the text of b.
func members(b []byte, each func(name string, value []byte) bool) bool {
	return listed(b, '{', '}', func(b []byte) (rest []byte, ok bool) {
		end := valueEnd(b)
		name, ok := text(b[:end])
		if !ok {
			return nil, false
		}
		b = afterSpace(b[end:])
		if len(b) == 0 || b[0] != ':' {
			return nil, false
		}
		b = afterSpace(b[1:])
		end = valueEnd(b)
		return b[end:], end > 0 && each(name, b[:end:end])
	})
}

// elements is members for an array.
func elements(b []byte, each func(value []byte) bool) bool {
	return listed(b, '[', ']', func(b []byte) (rest []byte, ok bool) {
		end := valueEnd(b)
		return b[end:], end > 0 && each(b[:end:end])
	})
}

// listed takes off, with one, what stands between commas. Text that is not wellFormed ends it with false.
func listed(b []byte, open, shut byte, one func(b []byte) (rest []byte, ok bool)) bool {
	if b = afterSpace(b); len(b) == 0 || b[0] != open {
		return false
	}
	b = afterSpace(b[1:])
	if len(b) > 0 && b[0] == shut {
		return true
	}
	for ok := true; ; b = afterSpace(b[1:]) {
		if b, ok = one(b); !ok {
			return false
		}
		switch b = afterSpace(b); {
		case len(b) > 0 && b[0] == shut:
			return true
		case len(b) == 0 || b[0] != ',':
			return false
		}
	}
}

// afterSpace is b without the white space at its beginning. RFC 8259 §2.
func afterSpace(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t' || b[0] == '\n' || b[0] == '\r') {
		b = b[1:]
	}
	return b
}

// valueEnd is the length of the value at the beginning of b, which is part of wellFormed text; 0: there is none.
func valueEnd(b []byte) int {
	depth, quoted := 0, false
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			if quoted = !quoted; !quoted && depth == 0 {
				return i + 1
			}
		case quoted:
		case c == '{' || c == '[':
			depth++
		case depth == 0 && (c == ',' || c == ':' || c == '}' || c == ']' || c <= ' '):
			return i
		case c == '}' || c == ']':
			if depth--; depth == 0 {
				return i + 1
			}
		}
	}
	return len(b)
}

// text reads a string of wellFormed text; null is none.
func text(value []byte) (s string, ok bool) {
	if len(value) < 2 || value[0] != '"' {
		return "", false
	}
	if bytes.IndexByte(value, '\\') < 0 {
		return string(value[1 : len(value)-1]), true
	}
	return s, json.Unmarshal(value, &s) == nil
}

// texts reads an array of strings.
func texts(value []byte) (list []string, ok bool) {
	ok = elements(value, func(v []byte) bool {
		s, ok := text(v)
		list = append(list, s)
		return ok
	})
	if !ok {
		return nil, false
	}
	return list, true
}

// date reads a NumericDate in whole seconds, rounded down. RFC 7519 §2.
func date(value []byte) (seconds int64, ok bool) {
	if value[0] < '0' || value[0] > '9' {
		return 0, false
	}
	f, err := strconv.ParseFloat(string(value), 64)
	if err != nil || f > maxDate {
		return 0, false
	}
	return int64(f), true
}

// compact reads any value, without insignificant white space: what goes into a frame of lines may
// hold no line break. null is nil.
func compact(value []byte) (json.RawMessage, bool) {
	if string(value) == "null" {
		return nil, true
	}
	var b bytes.Buffer
	if json.Compact(&b, value) != nil {
		return nil, false
	}
	return b.Bytes(), true
}
