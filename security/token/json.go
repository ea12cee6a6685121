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
