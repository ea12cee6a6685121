package api

import (
	"bytes"
	"encoding/json"

	"weir/engine/clientproto"
	"weir/security/schema"
)

// fields are the members of a call's body, values raw. Names are compared exactly; unknown ones are ignored and null
// is the same as absent.
type fields map[string]json.RawMessage

// parse reads a body that must be one strict JSON object; an empty one is {}. levels is how many more than a call's own it
// may be deep.
func (h *Handlers) parse(body []byte, levels int) (fields, *clientproto.Error) {
	body = bytes.TrimLeft(body, " \t\r\n")
	if len(body) == 0 {
		return nil, nil
	}
	if body[0] != '{' {
		return nil, errNotObject
	}
	// One level more than a publication's data may have, for the body around it.
	if fault := h.check(body, h.cfg.Limits.Depth+1+levels); fault != nil {
		return nil, badRequest(fault.Reason)
	}
	f, ok := object(body)
	if !ok {
		panic("api: the validator let through what encoding/json refuses")
	}
	return f, nil
}

// object reads text, which is valid JSON, as an object.
func object(text []byte) (f fields, ok bool) {
	return f, json.Unmarshal(text, &f) == nil
}

// badRequest makes an error 107. why is a constant of ours, or names where in the caller's data a schema refuses something;
// never a value of it.
func badRequest(why string) *clientproto.Error {
	return &clientproto.Error{Code: clientproto.ErrBadRequest.Code, Message: "bad request: " + why}
}

func (f fields) has(name string) bool {
	raw, ok := f[name]
	return ok && string(raw) != "null"
}

// given reports whether a field says something: libraries send the zero value of what is left out.
func (f fields) given(name string) bool {
	switch raw, _ := f[name]; string(raw) {
	case "", "null", `""`, "0", "false", "{}":
		return false
	}
	return true
}

// text reads a string; absent is "".
func (f fields) text(name string) (s string, err *clientproto.Error) {
	if f.has(name) && json.Unmarshal(f[name], &s) != nil {
		return "", badRequest(name + " must be a string")
	}
	return s, nil
}

// flag reads a boolean; absent is false.
func (f fields) flag(name string) (b bool, err *clientproto.Error) {
	if f.has(name) && json.Unmarshal(f[name], &b) != nil {
		return false, badRequest(name + " must be true or false")
	}
	return b, nil
}

// texts reads an array of strings; absent is empty. A null among them is refused.
func (f fields) texts(name string) ([]string, *clientproto.Error) {
	if !f.has(name) {
		return nil, nil
	}
	var list []*string
	if json.Unmarshal(f[name], &list) != nil {
		return nil, badRequest(name + " must be an array of strings")
	}
	texts := make([]string, len(list))
	for i, s := range list {
		if s == nil {
			return nil, badRequest(name + " must be an array of strings")
		}
		texts[i] = *s
	}
	return texts, nil
}

// compact returns a raw value without insignificant white space, in memory of its own.
func compact(raw []byte) []byte {
	return schema.Compact(make([]byte, 0, len(raw)), raw)
}
