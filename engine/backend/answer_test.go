package backend

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"weir/engine/clientproto"
	"weir/security/grant"
	"weir/security/schema"
)

var limits = schema.Limits{Depth: 4, Members: 8}

// good are whole answers, and what they mean.
var good = []struct {
	kind  Kind
	body  string
	means func(*Answer) bool
}{
	{Connect, `{"result":{"user":"56"}}`, func(a *Answer) bool { return a.Claims.Subject == "56" && *a.Claims.ExpireAt == 0 && a.Data == nil }},
	{Connect, ` {"result": {"user": "", "data": {"a": [1, 2]}, "expire_at": 7, "caps": [{"channels": ["a"], "allow": ["sub"]}]}, "error": null}` + "\n",
		func(a *Answer) bool {
			return a.Claims.Subject == "" && *a.Claims.ExpireAt == 7 && string(a.Data) == `{"a":[1,2]}` && a.Claims.Grant.Allows(grant.Sub, "a")
		}},
	{Connect, `{"error":{"code":1000,"message":"custom error"}}`, func(a *Answer) bool { return *a.Error == clientproto.Error{Code: 1000, Message: "custom error"} }},
	{Connect, `{"error":{"code":1000,"temporary":true},"result":{"user":"56"}}`, func(a *Answer) bool { return a.Error.Temporary && a.Error.Message != "" && a.Claims == nil }},
	{Connect, `{"disconnect":{"code":4501,"reason":"unauthorized"}}`, func(a *Answer) bool { return *a.Close == clientproto.Close{Code: 4501, Reason: "unauthorized"} }},
	{RPC, `{"disconnect":{"code":3000},"error":{"code":5},"result":{"data":1}}`, func(a *Answer) bool { return a.Close.Code == 3000 && a.Error == nil && a.Data == nil }},
	{RPC, `{"disconnect":{"code":4000,"reason":"{\"reconnect\":true}"}}`, func(a *Answer) bool { return clientproto.ValidReason(a.Close.Reason) }},
	{RPC, `{"result":{"data":{"answer":"2019"}}}`, func(a *Answer) bool { return string(a.Data) == `{"answer":"2019"}` && a.Error == nil && a.Close == nil }},
	{RPC, `{"result":{}}`, func(a *Answer) bool { return a.Data == nil }},
	{RPC, `{"result":{"data":null,"b64data":"eyJhIjogMX0=","unknown":[{}]},"more":1}`, func(a *Answer) bool { return string(a.Data) == `{"a":1}` }},
	{RPC, `{"result":{"data":[[[1]]]}}`, func(a *Answer) bool { return string(a.Data) == `[[[1]]]` }},
	{Send, `{"result":{}}`, func(a *Answer) bool { return *a.Error == clientproto.Error{} }},
	{Subscribe, `{"result":{"info":{"r":1},"data":"d","expire_at":9,"override":{"presence":{"value":true}}}}`,
		func(a *Answer) bool { return string(a.Info) == `{"r":1}` && string(a.Data) == `"d"` && a.ExpireAt == 9 }},
	{Subscribe, `{"result":{"b64info":"IngiCg==","expire_at":null}}`, func(a *Answer) bool { return string(a.Info) == `"x"` && a.ExpireAt == 0 }},
	{Publish, `{"result":{"data":{"input":"checked"},"skip_history":true}}`, func(a *Answer) bool { return string(a.Data) == `{"input":"checked"}` && a.SkipHistory }},
	{Publish, `{"result":{}}`, func(a *Answer) bool { return a.Data == nil && !a.SkipHistory }},
}

func TestParse(t *testing.T) {
	for _, c := range good {
		a, ok := parse(c.kind, []byte(c.body), limits)
		if c.kind == Send {
			a.Error = &clientproto.Error{}
		}
		if !ok || !c.means(&a) {
			t.Errorf("%s %s: %+v, %v", c.kind, c.body, a, ok)
		}
		whole := strings.TrimRight(c.body, "\n")
		for n := range len(whole) {
			if _, ok := parse(c.kind, []byte(whole[:n]), limits); ok {
				t.Errorf("%s: the first %d bytes are taken for an answer: %s", c.kind, n, whole[:n])
			}
		}
	}
}

// TestParseRefuses: what is no answer permits nothing.
func TestParseRefuses(t *testing.T) {
	for _, body := range []string{
		``, ` `, `null`, `true`, `[]`, `"result"`, `{}`, `{"result":null}`, `{"result":true}`, `{"result":[]}`, `{"result":"{}"}`, `{"Result":{}}`, `ok`, `<html>`,
		`{"result":{}}{}`, `{"result":{}} x`, `{"result":{},"result":{}}`, `{"result":{},"error":{"code":1,"code":2}}`, "{\"result\":{\"data\":\"\xff\"}}",
		`{"result":{"data":[[[[[1]]]]]}}`, `{"result":{"a":1,"b":2,"c":3,"d":4,"e":5,"f":6,"g":7,"h":8,"i":9}}`,
		`{"result":{"data":NaN}}`, `{"result":{"b64data":"%%"}}`, `{"result":{"b64data":"eA=="}}`, `{"result":{"b64data":1}}`, `{"result":{"b64data":"W1tbW1sxXV1dXV0="}}`,
		`{"error":{}}`, `{"error":{"code":0}}`, `{"error":{"code":-1}}`, `{"error":{"code":1.5}}`, `{"error":{"code":"1"}}`, `{"error":{"code":4294967295}}`, `{"error":"no"}`,
		`{"error":{"code":1,"message":2}}`, `{"error":{"code":1,"temporary":"yes"}}`, `{"error":{"code":1,"message":"` + strings.Repeat("x", messageBytes+1) + `"}}`, `{"error":[]}`,
		`{"disconnect":{}}`, `{"disconnect":{"code":1000}}`, `{"disconnect":{"code":5000}}`, `{"disconnect":{"code":70000}}`, `{"disconnect":{"code":"4000"}}`, `{"disconnect":true}`,
		`{"disconnect":{"code":4000,"reason":1}}`,
		`{"disconnect":{"code":1},"result":{}}`, `{"error":{"code":0},"result":{}}`,
	} {
		for k := range Kinds {
			if a, ok := parse(k, []byte(body), limits); ok {
				t.Errorf("%s: %s is taken for an answer: %+v", k, body, a)
			}
		}
	}
	for body, kind := range map[string]Kind{
		`{"result":{}}`:                                                       Connect,
		`{"result":{"user":null}}`:                                            Connect,
		`{"result":{"user":56}}`:                                              Connect,
		`{"result":{"user":"u","expire_at":-1}}`:                              Connect,
		`{"result":{"user":"u","channels":["a",]}}`:                           Connect,
		`{"result":{"user":"u","channels":"a"}}`:                              Connect,
		`{"result":{"user":"u","caps":[{"channels":["a"],"allow":["own"]}]}}`: Connect,
		`{"result":{"expire_at":-1}}`:                                         Subscribe,
		`{"result":{"expire_at":"1"}}`:                                        Subscribe,
		`{"result":{"expire_at":1e99}}`:                                       Subscribe,
		`{"result":{"b64info":"x"}}`:                                          Subscribe,
		`{"result":{"skip_history":1}}`:                                       Publish,
		`{"result":{"skip_history":"true"}}`:                                  Publish,
	} {
		if a, ok := parse(kind, []byte(body), limits); ok {
			t.Errorf("%s: %s is taken for an answer: %+v", kind, body, a)
		}
	}
}

// FuzzParse: an answer is a refusal or a result, its payloads are one line of valid JSON, its codes are those that may be
// passed on, and encoding/json agrees that the text is an object with the member that was used.
func FuzzParse(f *testing.F) {
	for _, c := range good {
		f.Add(uint8(c.kind), []byte(c.body))
	}
	f.Fuzz(func(t *testing.T, kind uint8, body []byte) {
		k := Kind(kind % uint8(Kinds))
		a, ok := parse(k, body, limits)
		if !ok {
			return
		}
		var m map[string]json.RawMessage
		if err := json.Unmarshal(body, &m); err != nil {
			t.Fatalf("%q: %v", body, err)
		}
		used := "result"
		switch {
		case a.Close != nil:
			used = "disconnect"
			if a.Error != nil || a.Claims != nil || a.Close.Code < 3000 || a.Close.Code > 4999 || !clientproto.ValidReason(a.Close.Reason) {
				t.Fatalf("%q: %+v", body, a)
			}
		case a.Error != nil:
			used = "error"
			if a.Claims != nil || a.Error.Code == 0 || len(a.Error.Message) > messageBytes {
				t.Fatalf("%q: %+v", body, a)
			}
		case k == Connect && a.Claims == nil:
			t.Fatalf("%q: nobody connects", body)
		}
		if raw := m[used]; len(raw) == 0 || raw[0] != '{' {
			t.Fatalf("%q has no object %s", body, used)
		}
		for _, payload := range [][]byte{a.Data, a.Info} {
			if payload != nil && (!json.Valid(payload) || bytes.ContainsAny(payload, "\r\n")) {
				t.Fatalf("%q: payload %q", body, payload)
			}
		}
	})
}
