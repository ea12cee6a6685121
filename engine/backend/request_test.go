package backend

import (
	"encoding/json"
	"testing"
)

func TestAppendRequest(t *testing.T) {
	const head = `{"client":"c1","transport":"websocket","protocol":"json","encoding":"json"`
	for _, c := range []struct {
		kind Kind
		req  Request
		want string
	}{
		{Connect, Request{Client: "c1"}, head + `}`},
		{Connect, Request{Client: "c1", User: "not told", Name: []byte("js"), Version: []byte("5"), Channels: []string{"a", "b\n"}, Data: []byte(`{"a":1}`)},
			head + `,"name":"js","version":"5","channels":["a","b\n"],"data":{"a":1}}`},
		{RPC, Request{Client: "c1", User: "u", Method: []byte("m\"x"), Data: []byte(`[]`)}, head + `,"user":"u","method":"m\"x","data":[]}`},
		{RPC, Request{Client: "c1", User: ""}, head + `,"user":""}`},
		{Send, Request{Client: "c1", User: "u", Method: []byte("m"), Data: []byte(`1`)}, head + `,"user":"u","data":1}`},
		{Subscribe, Request{Client: "c1", User: "u", Channel: "feeds:a", Data: []byte(`null`)}, head + `,"user":"u","channel":"feeds:a","data":null}`},
		{Publish, Request{Client: "c1", User: "u", Channel: "feeds:a", Data: []byte(`"x"`)}, head + `,"user":"u","channel":"feeds:a","data":"x"}`},
	} {
		if got := string(AppendRequest([]byte("+"), c.kind, &c.req)); got != "+"+c.want {
			t.Errorf("%s:\n%s, want\n%s", c.kind, got, c.want)
		}
	}
}

// FuzzAppendRequest: whatever a peer's bytes are, the body is one object with the members that we wrote.
func FuzzAppendRequest(f *testing.F) {
	f.Add("c", "u", "feeds:a", []byte("m"))
	f.Add("\"", "\\", "\",\"user\":\"root\"}", []byte("\xff\x00\n"))
	f.Fuzz(func(t *testing.T, client, user, channel string, text []byte) {
		req := Request{Client: client, User: user, Name: text, Version: text, Channels: []string{channel, channel}, Channel: channel, Method: text, Data: []byte(`{"a":[1]}`)}
		for k := range Kinds {
			body := AppendRequest(nil, k, &req)
			var m map[string]json.RawMessage
			if err := json.Unmarshal(body, &m); err != nil {
				t.Fatalf("%s: %v", body, err)
			}
			if most := 9; len(m) < 5 || len(m) > most || string(m["data"]) != `{"a":[1]}` || string(m["protocol"]) != `"json"` {
				t.Fatalf("%s: %s", k, body)
			}
			if _, has := m["user"]; has == (k == Connect) {
				t.Fatalf("%s: %s", k, body)
			}
		}
	})
}
