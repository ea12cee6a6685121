package audit

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf16"
)

// Entry is a record as it stands in a log, with its place in the chain. A log
// that is not chained has none.
type Entry struct {
	Record
	Seq  uint64 // from 1
	Prev string // hash of the record before; only in the first of a file
	MAC  string // of a checkpoint
	Hash string // in hexadecimal, over this line and the hash before it
}

// errLine is a line in none of the formats.
var errLine = errors.New("not a line of an audit log")

// FormatOf tells the format of a line by how it begins.
func FormatOf(text []byte) Format {
	switch {
	case bytes.HasPrefix(text, []byte("{")):
		return ECS
	case bytes.HasPrefix(text, []byte("CEF:")):
		return CEF
	default:
		return Logfmt
	}
}

// ParseLine reads one line, without its end, in any of the formats. Fields that
// this version does not know are passed over.
func ParseLine(text []byte) (e Entry, err error) {
	f := FormatOf(text)
	var fields map[string]string
	switch f {
	case ECS:
		fields, err = splitECS(text)
	case CEF:
		fields, err = splitCEF(string(text))
	default:
		fields, err = splitLogfmt(string(text))
	}
	if err != nil {
		return Entry{}, err
	}
	id, err := strconv.ParseUint(fields["id"], 10, 16)
	if err != nil {
		return Entry{}, fmt.Errorf("%w: no event", errLine)
	}
	e.Event = Event(id)
	for k := range keys {
		if v, ok := fields[names[k][f]]; ok {
			if err := e.set(k, v, f); err != nil {
				return Entry{}, err
			}
		}
	}
	if e.Time.IsZero() {
		return Entry{}, fmt.Errorf("%w: no time", errLine)
	}
	return e, nil
}

// splitECS returns the fields as text; the event's number is under "id".
func splitECS(text []byte) (map[string]string, error) {
	var values map[string]any
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	if err := dec.Decode(&values); err != nil || dec.InputOffset() != int64(len(text)) {
		return nil, fmt.Errorf("%w: not one JSON object", errLine)
	}
	fields := make(map[string]string, len(values))
	for name, v := range values {
		switch v := v.(type) {
		case string:
			fields[name] = v
		case json.Number:
			fields[name] = v.String()
		case bool:
			fields[name] = strconv.FormatBool(v)
		}
	}
	fields["id"] = fields["event.code"]
	return fields, nil
}

func splitLogfmt(s string) (map[string]string, error) {
	fields := map[string]string{}
	for s != "" {
		name, rest, ok := strings.Cut(s, "=")
		if !ok {
			return nil, errLine
		}
		value := rest
		if strings.HasPrefix(rest, `"`) {
			n := quotedLen(rest)
			if n == 0 || json.Unmarshal([]byte(rest[:n]), &value) != nil {
				return nil, fmt.Errorf("%w: a quote without end", errLine)
			}
			rest = rest[n:]
			if rest != "" && rest[0] != ' ' {
				return nil, errLine
			}
			rest = strings.TrimPrefix(rest, " ")
		} else {
			value, rest, _ = strings.Cut(rest, " ")
		}
		fields[name], s = value, rest
	}
	return fields, nil
}

// quotedLen is the length of the JSON string at the start of s, 0 if it has no end.
func quotedLen(s string) int {
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return 0
}

func splitCEF(s string) (map[string]string, error) {
	header := strings.SplitN(s, "|", 8)
	if len(header) != 8 {
		return nil, fmt.Errorf("%w: a CEF header has eight parts", errLine)
	}
	fields := map[string]string{}
	for ext := header[7]; ext != ""; {
		name, rest, ok := strings.Cut(ext, "=")
		if !ok {
			return nil, errLine
		}
		end, next := len(rest), len(rest)
		if i := unescaped(rest); i >= 0 { // the next field's name ends there
			if end = strings.LastIndexByte(rest[:i], ' '); end < 0 {
				return nil, errLine
			}
			next = end + 1
		}
		fields[name], ext = unescapeCEF(rest[:end]), rest[next:]
	}
	fields["id"] = header[4]
	return fields, nil
}

// unescaped is where the first '=' without a backslash stands, -1 if nowhere.
func unescaped(s string) int {
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '=':
			return i
		}
	}
	return -1
}

func unescapeCEF(s string) string {
	if strings.IndexByte(s, '\\') < 0 {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 == len(s) {
			b.WriteByte(s[i])
			continue
		}
		i++
		switch s[i] {
		case 'n':
			b.WriteByte('\n')
		case 'r':
			b.WriteByte('\r')
		case 'u':
			r, n := readEscape(s[i-1:])
			b.WriteRune(r)
			i += n - 2
		default:
			b.WriteByte(s[i])
		}
	}
	return b.String()
}

// readEscape reads one \uXXXX, or two that are one rune, and returns its length.
func readEscape(s string) (r rune, n int) {
	unit := func(s string) rune {
		if len(s) < 6 || s[:2] != `\u` {
			return -1
		}
		v, err := strconv.ParseUint(s[2:6], 16, 16)
		if err != nil {
			return -1
		}
		return rune(v)
	}
	high := unit(s)
	if high < 0 {
		return 'u', 2
	}
	if utf16.IsSurrogate(high) {
		if both := utf16.DecodeRune(high, unit(s[6:])); both != '\uFFFD' {
			return both, 12
		}
	}
	return high, 6
}
