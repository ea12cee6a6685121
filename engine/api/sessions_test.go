package api

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"weir/engine/clientproto"
	"weir/security/grant"
)

// ordered is one order to the sessions of the tests' node.
type ordered struct {
	what     string
	target   Target
	channel  string
	expireAt int64
}

func (n *memoryNode) order(o ordered) *clientproto.Error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.orders = append(n.orders, o)
	return n.refuse
}

func (n *memoryNode) Subscribe(_ context.Context, t Target, channel string) *clientproto.Error {
	return n.order(ordered{what: "subscribe", target: t, channel: channel})
}

func (n *memoryNode) Unsubscribe(_ context.Context, t Target, channel string) *clientproto.Error {
	return n.order(ordered{what: "unsubscribe", target: t, channel: channel})
}

func (n *memoryNode) Refresh(_ context.Context, t Target, expireAt int64) *clientproto.Error {
	return n.order(ordered{what: "refresh", target: t, expireAt: expireAt})
}

func (n *memoryNode) Channels(pattern string, limit int) (map[string]int, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	found := make(map[string]int)
	for name, list := range n.channels {
		if pattern == "" || grant.Match(pattern, name) {
			found[name] = len(list)
		}
	}
	return found, len(found) <= limit
}

// Connections of the tests' node all subscribe to "c".
func (n *memoryNode) Connections(_ context.Context, q ConnectionQuery) (map[string]Connection, bool, *clientproto.Error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	found := make(map[string]Connection)
	for _, c := range n.connections {
		if (q.User == "" || q.User == c.user) && (q.Pattern == "" || grant.Match(q.Pattern, "c")) {
			found[c.client] = Connection{User: c.user, Protocol: "json", Channels: []string{"c"}}
		}
	}
	return found, len(found) <= q.Limit, n.refuse
}

func TestOrdersToSessions(t *testing.T) {
	u, c1 := Target{User: "u"}, Target{Client: "c1"}
	for _, c := range []struct {
		method, body string
		want         ordered
	}{
		{"subscribe", `{"user":"u","channel":"c"}`, ordered{what: "subscribe", target: u, channel: "c"}},
		{"subscribe", `{"client":"c1","channel":"c"}`, ordered{what: "subscribe", target: c1, channel: "c"}},
		{"subscribe", `{"user":"u","client":"c1","channel":"c"}`, ordered{what: "subscribe", target: Target{User: "u", Client: "c1"}, channel: "c"}},
		{"subscribe", `{"user":"u","channel":"c","expire_at":0,"info":null,"b64info":"","data":{},"session":""}`, ordered{what: "subscribe", target: u, channel: "c"}},
		{"unsubscribe", `{"user":"u","channel":"c"}`, ordered{what: "unsubscribe", target: u, channel: "c"}},
		{"unsubscribe", `{"client":"c1","channel":"c"}`, ordered{what: "unsubscribe", target: c1, channel: "c"}},
		{"refresh", `{"user":"u","expire_at":1700000000}`, ordered{what: "refresh", target: u, expireAt: 1700000000}},
		{"refresh", `{"client":"c1","expired":true}`, ordered{what: "refresh", target: c1}},
		{"refresh", `{"user":"u","expired":true,"expire_at":1700000000}`, ordered{what: "refresh", target: u}},
	} {
		s := newService(t, nil)
		if r := s.call(t, c.method, c.body); r.raw != `{"result":{}}` {
			t.Errorf("%s %s: %s", c.method, c.body, r.raw)
			continue
		}
		got := s.node.orders[0]
		if got.what != c.want.what || got.channel != c.want.channel || got.expireAt != c.want.expireAt ||
			got.target.User != c.want.target.User || got.target.Client != c.want.target.Client || len(got.target.Whitelist) != 0 {
			t.Errorf("%s %s: the node was told %+v", c.method, c.body, got)
		}
		s.node.refuse = clientproto.ErrLimitExceeded
		if r := s.call(t, c.method, c.body); r.code() != 106 {
			t.Errorf("%s that the node refuses: %s, want error 106", c.method, r.raw)
		}
	}
}

func TestOrdersThatAreRefused(t *testing.T) {
	s := newService(t, nil)
	long := strings.Repeat("x", 256)
	for _, method := range []string{"subscribe", "unsubscribe"} {
		for body, code := range map[string]int{
			`{}`: 107, `{"channel":"c"}`: 107, `{"user":"","client":"","channel":"c"}`: 107, `{"user":null,"channel":"c"}`: 107,
			`{"user":"u"}`: 107, `{"user":"u","channel":""}`: 107, `{"user":"u","channel":"` + long + `"}`: 107,
			`{"user":"u","channel":"\n"}`: 107, `{"user":7,"channel":"c"}`: 107, `{"user":"u","client":[],"channel":"c"}`: 107,
			`{"user":"u","channel":["c"]}`: 107, `{"user":"u","channel":"c","session":"s"}`: 108, `[]`: 107,
			`{"user":"u","user":"v","channel":"c"}`: 107,
		} {
			if r := s.call(t, method, body); r.code() != code {
				t.Errorf("%s %.80s: %s, want error %d", method, body, r.raw, code)
			}
		}
	}
	for _, option := range []string{`"expire_at":5`, `"info":{"a":1}`, `"b64info":"e30="`, `"data":{"a":1}`, `"b64data":"e30="`,
		`"recover_since":{"offset":1,"epoch":"e"}`, `"override":{"presence":{"value":true}}`} {
		if r := s.call(t, "subscribe", `{"user":"u","channel":"c",`+option+`}`); r.code() != 108 {
			t.Errorf("subscribe with %s: %s, want error 108", option, r.raw)
		}
	}
	for body, code := range map[string]int{
		`{"expired":true}`: 107, `{"user":"u"}`: 107, `{"user":"u","expire_at":0}`: 107, `{"user":"u","expired":false}`: 107,
		`{"user":"u","expire_at":-1}`: 107, `{"user":"u","expire_at":253402300800}`: 107, `{"user":"u","expire_at":1e300}`: 107,
		`{"user":"u","expire_at":1.5}`: 107, `{"user":"u","expire_at":"1"}`: 107, `{"user":"u","expired":1}`: 107,
		`{"user":"u","expired":true,"session":"s"}`: 108, `{"user":"u","expired":true,"info":{"a":1}}`: 108,
	} {
		if r := s.call(t, "refresh", body); r.code() != code {
			t.Errorf("refresh %s: %s, want error %d", body, r.raw, code)
		}
	}
	if r := s.call(t, "disconnect", `{"user":"u","session":"s"}`); r.code() != 108 {
		t.Errorf("disconnect of a session: %s, want error 108", r.raw)
	}
	if len(s.node.orders) != 0 || len(s.node.closed) != 0 {
		t.Errorf("carried out: %+v, %+v", s.node.orders, s.node.closed)
	}
}

func TestListings(t *testing.T) {
	s := newService(t, func(c *Config) { c.Limits.Listed = 3 })
	s.node.connections = []connection{{"u", "c1"}, {"u", "c2"}, {"", "c3"}}
	for _, name := range []string{"feeds:a", "feeds:b", "open:c"} {
		s.call(t, "publish", `{"channel":"`+name+`","data":1}`)
	}
	anyone := func(client, user string) string {
		return `"` + client + `":{"transport":"websocket","protocol":"json","user":"` + user + `","state":{"channels":{"c":{}}}}`
	}
	connections := func(list ...string) string {
		return `{"result":{"connections":{` + strings.Join(list, ",") + `}}}`
	}
	for _, c := range []struct{ method, body, want string }{
		{"channels", `{}`, `{"result":{"channels":{"feeds:a":{"num_clients":1},"feeds:b":{"num_clients":1},"open:c":{"num_clients":1}}}}`},
		{"channels", `{"pattern":"open:*"}`, `{"result":{"channels":{"open:c":{"num_clients":1}}}}`},
		{"channels", `{"pattern":"none"}`, `{"result":{"channels":{}}}`},
		{"connections", `{}`, connections(anyone("c1", "u"), anyone("c2", "u"), anyone("c3", ""))},
		{"connections", `{"user":"u","pattern":"*"}`, connections(anyone("c1", "u"), anyone("c2", "u"))},
		{"connections", `{"pattern":"d*"}`, connections()},
	} {
		if r := s.call(t, c.method, c.body); r.raw != c.want {
			t.Errorf("%s %s:\n%s, want\n%s", c.method, c.body, r.raw, c.want)
		}
	}
	for _, method := range []string{"channels", "connections"} {
		for _, body := range []string{`{"pattern":7}`, `{"pattern":"\u0000"}`, `{"pattern":"` + strings.Repeat("*", 256) + `"}`} {
			if r := s.call(t, method, body); r.code() != 107 {
				t.Errorf("%s %.40s: %s, want error 107", method, body, r.raw)
			}
		}
	}
	if r := s.call(t, "connections", `{"user":1}`); r.code() != 107 {
		t.Errorf("a user that is no string: %s", r.raw)
	}
	if r := s.call(t, "connections", `{"expression":"true"}`); r.code() != 108 {
		t.Errorf("an expression: %s, want error 108", r.raw)
	}
	s.node.connections = append(s.node.connections, connection{"v", "c4"})
	s.call(t, "publish", `{"channel":"open:d","data":1}`)
	for _, method := range []string{"channels", "connections"} {
		if r := s.call(t, method, `{}`); r.code() != 106 {
			t.Errorf("more %s than may be listed: %s, want error 106", method, r.raw)
		}
	}
	s.node.refuse = clientproto.ErrInternal
	if r := s.call(t, "connections", `{"user":"u"}`); r.code() != 100 {
		t.Errorf("a node that does not answer: %s, want error 100", r.raw)
	}
}

func TestBatch(t *testing.T) {
	s := newService(t, nil)
	r := s.call(t, "batch", `{"parallel":true,"commands":[
		{"publish":{"channel":"c","data":{"a":1}}},
		{"publish":{"channel":"","data":1}},
		{"presence":{"channel":"none"}},
		{"nosuch":{}},
		{"publish":{"channel":"c","data":2}},
		{"broadcast":{"channels":["c","d"],"data":3}},
		{"history":{"channel":"c","limit":1}},
		{"disconnect":{"user":"u"}},
		{"batch":{"commands":[{"info":{}}]}},
		{"info":{},"channels":{}},
		{}, 7, null, {"info":null}, {"info":[]}]}`)
	const badCommand = `{"error":{"code":107,"message":"bad request: a command must be an object with one method"}}`
	want := `{"replies":[{"publish":{"offset":1,"epoch":"e-c"}},{"error":{"code":107,"message":"bad request: channel must be 1 to 255 bytes of printable ASCII"}},` +
		`{"error":{"code":108,"message":"not available"}},{"error":{"code":104,"message":"method not found"}},` +
		`{"publish":{"offset":2,"epoch":"e-c"}},` +
		`{"broadcast":{"responses":[{"result":{"offset":3,"epoch":"e-c"}},{"result":{"offset":1,"epoch":"e-d"}}]}},` +
		`{"history":{"publications":[{"data":{"a":1},"offset":1}],"offset":3,"epoch":"e-c"}},{"disconnect":{}},` +
		`{"error":{"code":107,"message":"bad request: a batch cannot hold a batch"}},` +
		strings.Repeat(badCommand+",", 4) +
		strings.Repeat(`,{"error":{"code":107,"message":"bad request: body must be a JSON object"}}`, 2)[1:] + `]}`
	if r.raw != want || r.status != 200 {
		t.Errorf("%d\n%s, want\n%s", r.status, r.raw, want)
	}
	if got := s.node.published("c"); !slices.Equal(got, []string{`{"a":1}`, `2`, `3`}) {
		t.Errorf("published %q", got)
	}
}

func TestBatchBounds(t *testing.T) {
	s := newService(t, func(c *Config) {
		c.Limits.Commands, c.Limits.BatchAnswer, c.Limits.Depth = 3, 300, 4
	})
	nested := func(depth int) string {
		return `{"publish":{"channel":"c","data":` + strings.Repeat("[", depth) + strings.Repeat("]", depth) + `}}`
	}
	for body, code := range map[string]int{
		`{}`: 107, `{"commands":null}`: 107, `{"commands":[]}`: 107, `{"commands":{}}`: 107, `{"commands":"x"}`: 107,
		`{"commands":[{"info":{}}],"parallel":1}`:                     107,
		`{"commands":[{"info":{}},{"info":{}},{"info":{}},{"x":{}}]}`: 106,
		`{"commands":[` + nested(5) + `]}`:                            107, // as in a call of its own
	} {
		if r := s.call(t, "batch", body); r.code() != code {
			t.Errorf("%s: %s, want error %d", body, r.raw, code)
		}
	}
	if s.node.total() != 0 {
		t.Fatal("a batch that was refused was carried out")
	}
	r := s.call(t, "batch", `{"commands":[`+nested(4)+`]}`)
	if r.raw != `{"replies":[{"publish":{"offset":1,"epoch":"e-c"}}]}` {
		t.Errorf("4 levels of data: %s", r.raw)
	}
	// What follows a full answer is not carried out.
	s.call(t, "publish", fmt.Sprintf(`{"channel":"c","data":"%0300d"}`, 0))
	r = s.call(t, "batch", `{"commands":[{"history":{"channel":"c","limit":-1}},{"publish":{"channel":"c","data":1}},{"info":{}}]}`)
	if n := strings.Count(r.raw, `{"error":{"code":106`); n != 2 || s.node.total() != 2 {
		t.Errorf("a full answer: %d publications, %s", s.node.total(), r.raw)
	}
}
