package backend

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"math"

	"weir/engine/clientproto"
	"weir/security/schema"
	"weir/security/token"
)

const (
	// envelopeDepth is what stands around a payload: the answer and its result.
	envelopeDepth = 2

	// messageBytes bounds the message of an error, which is passed on to the client.
	messageBytes = 1 << 10

	minCloseCode = 3000 // what an application may close with: RFC 6455 §7.4.2
	maxCloseCode = 4999
)

// Answer is what the backend said. With Error or Close it refused; else the rest holds, as far as the kind of question
// has it. Payloads are compact JSON, nil if absent; they alias nothing.
type Answer struct {
	Error *clientproto.Error
	Close *clientproto.Close

	Claims      *token.Claims // of Connect
	Data        []byte        // for the client; of Publish: in the place of what it published
	Info        json.RawMessage
	ExpireAt    int64 // of Subscribe, in unix seconds; 0: never
	SkipHistory bool  // of Publish
}

// parse reads a whole answer, whose payloads keep to limits. What it does not know it ignores; what it knows must be of
// the right type.
func parse(k Kind, body []byte, limits schema.Limits) (a Answer, ok bool) {
	whole := limits
	if whole.Depth > 0 {
		whole.Depth += envelopeDepth
	}
	var v schema.Validator
	if v.Check(body, whole) != nil {
		return a, false
	}
	f, ok := object(body)
	switch {
	case !ok:
		return a, false
	case f.has("disconnect"): // whatever stands beside it, nothing is permitted
		a.Close, ok = f.disconnect()
	case f.has("error"):
		a.Error, ok = f.failure()
	default:
		var result fields
		if result, ok = object(f["result"]); !ok {
			return a, false
		}
		ok = a.read(k, result, limits)
	}
	return a, ok
}

// read takes what a result of this kind may hold.
func (a *Answer) read(k Kind, f fields, limits schema.Limits) (ok bool) {
	if a.Data, ok = f.payload("data", limits); !ok {
		return false
	}
	switch k {
	case Connect:
		var err error
		a.Claims, err = token.Vouched(f)
		return err == nil
	case Subscribe:
		if a.Info, ok = f.payload("info", limits); !ok {
			return false
		}
		return f.read("expire_at", &a.ExpireAt) && a.ExpireAt >= 0
	case Publish:
		return f.read("skip_history", &a.SkipHistory)
	}
	return true
}

// fields are the members of an object in valid text, values raw. Names are compared exactly, null is the same as absent.
type fields map[string]json.RawMessage

func object(text []byte) (f fields, ok bool) {
	if text = bytes.TrimLeft(text, " \t\r\n"); len(text) == 0 || text[0] != '{' {
		return nil, false
	}
	return f, json.Unmarshal(text, &f) == nil
}

func (f fields) has(name string) bool {
	raw, ok := f[name]
	return ok && string(raw) != "null"
}

// read takes a value of into's type; absent leaves it.
func (f fields) read(name string, into any) bool {
	return !f.has(name) || json.Unmarshal(f[name], into) == nil
}

// payload takes a JSON value, or the text of one under the name with b64 before it.
func (f fields) payload(name string, limits schema.Limits) (value []byte, ok bool) {
	if f.has(name) {
		return schema.Compact(nil, f[name]), true
	}
	var text string
	if !f.read("b64"+name, &text) {
		return nil, false
	}
	if text == "" {
		return nil, true
	}
	raw, err := base64.StdEncoding.DecodeString(text)
	var v schema.Validator
	if err != nil || v.Check(raw, limits) != nil {
		return nil, false
	}
	return schema.Compact(nil, raw), true
}

func (f fields) failure() (*clientproto.Error, bool) {
	inner, ok := object(f["error"])
	e := &clientproto.Error{}
	ok = ok && inner.read("code", &e.Code) && inner.read("message", &e.Message) && inner.read("temporary", &e.Temporary)
	if e.Message == "" {
		e.Message = "refused by the application"
	}
	return e, ok && e.Code > 0 && e.Code <= math.MaxInt32 && len(e.Message) <= messageBytes
}

func (f fields) disconnect() (*clientproto.Close, bool) {
	inner, ok := object(f["disconnect"])
	c := &clientproto.Close{}
	if !ok || !inner.read("code", &c.Code) || !inner.read("reason", &c.Reason) || c.Code < minCloseCode || c.Code > maxCloseCode {
		return nil, false
	}
	if !clientproto.ValidReason(c.Reason) { // SDKs would read it otherwise, or it holds a peer's bytes
		c.Reason = "disconnected by the application"
	}
	return c, true
}
