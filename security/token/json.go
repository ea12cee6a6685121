package token

import (
	"bytes"
	"encoding/json"
	"strconv"
	"unicode/utf8"
)

// maxDepth bounds nesting in a header or payload.
const maxDepth = 16

// maxDate is the last second of the year 9999: no date claim goes beyond it.
const maxDate = 253402300799

// wellFormed reports whether b is one JSON object in UTF-8, no deeper than maxDepth, in which no
// object, at any depth, has two members of the same name: parsers differ in which one they keep.
func wellFormed(b []byte) bool {
	if !utf8.Valid(b) || !json.Valid(b) || bytes.TrimLeft(b, " \t\r\n")[0] != '{' {
		return false
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	return distinct(d, 0)
}

// distinct walks one value.
func distinct(d *json.Decoder, depth int) bool {
	t, err := d.Token()
	if err != nil {
		return false
	}
	open, ok := t.(json.Delim)
	if !ok {
		return true
	}
	if depth == maxDepth {
		return false
	}
	var seen map[string]struct{}
	for d.More() {
		if open == '{' {
			if seen, ok = another(d, seen); !ok {
				return false
			}
		}
		if !distinct(d, depth+1) {
			return false
		}
	}
	_, err = d.Token()
	return err == nil
}

// another reads a member's name and adds it to seen.
func another(d *json.Decoder, seen map[string]struct{}) (map[string]struct{}, bool) {
	t, err := d.Token()
	name, ok := t.(string)
	if err != nil || !ok {
		return seen, false
	}
	if _, twice := seen[name]; twice {
		return seen, false
	}
	if seen == nil {
		seen = make(map[string]struct{})
	}
	seen[name] = struct{}{}
	return seen, true
}

// members calls each with the members of an object that is part of wellFormed text, in order and
// with exact names, until it returns false. Value belongs to the callee.
func members(b []byte, each func(name string, value []byte) bool) bool {
	d := json.NewDecoder(bytes.NewReader(b))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return false
	}
	for d.More() {
		t, err := d.Token()
		name, ok := t.(string)
		if err != nil || !ok {
			return false
		}
		var value json.RawMessage
		if d.Decode(&value) != nil || !each(name, value) {
			return false
		}
	}
	return true
}

// text reads a string; null is none.
func text(value []byte) (s string, ok bool) {
	return s, value[0] == '"' && json.Unmarshal(value, &s) == nil
}

// texts reads an array of strings.
func texts(value []byte) (list []string, ok bool) {
	var raw []json.RawMessage
	if value[0] != '[' || json.Unmarshal(value, &raw) != nil {
		return nil, false
	}
	for _, v := range raw {
		s, ok := text(v)
		if !ok {
			return nil, false
		}
		list = append(list, s)
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
