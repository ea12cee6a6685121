package clientproto

import (
	"bytes"
	"encoding/json"
	"reflect"
	"testing"
	"unicode/utf8"

	"weir/security/schema"
)

// nasty is a string that must not break out of its line or its quotes.
const nasty = "a\"\\\n\r\t\x00\x1f\x7fé漢😀\xff\xed\xa0\x80\u2028"

// appended are all Append functions beside what they must write.
var appended = []struct {
	name string
	got  []byte
	want string
}{
	{"error", AppendError(nil, 7, ErrBadRequest), `{"id":7,"error":{"code":107,"message":"bad request"}}`},
	{"error temporary", AppendError(nil, 4294967295, ErrInternal),
		`{"id":4294967295,"error":{"code":100,"message":"internal server error","temporary":true}}`},
	{"error with a pointer", AppendError(nil, 7, &Error{Code: 107, Message: "/a\"b\n: minimum"}),
		`{"id":7,"error":{"code":107,"message":"/a\"b\n: minimum"}}`},
	{"publish", AppendEmpty(nil, 1, Publish), `{"id":1,"publish":{}}`},
	{"unsubscribe", AppendEmpty(nil, 1, Unsubscribe), `{"id":1,"unsubscribe":{}}`},

	{"connect", AppendConnect(nil, 1, &ConnectResult{Client: "c1", Version: "weir 1"}),
		`{"id":1,"connect":{"client":"c1","version":"weir 1"}}`},
	{"connect whole", AppendConnect(nil, 1, &ConnectResult{Client: "c1", Version: "v", Node: "n", Expires: true, TTL: 60,
		Ping: 25, Pong: true, Data: b(`{"a":1}`), Subs: []ServerSub{
			{Channel: "a", SubscribeResult: SubscribeResult{Recoverable: true, Recovered: true, WasRecovering: true, Epoch: "e",
				Offset: 4, Publications: []Publication{{Offset: 5, Data: b("1")}}}},
			{Channel: "b\n"},
		}}),
		`{"id":1,"connect":{"client":"c1","version":"v","expires":true,"ttl":60,"data":{"a":1},"subs":{` +
			`"a":{"recoverable":true,"offset":4,"epoch":"e","was_recovering":true,"recovered":true,"publications":[{"data":1,"offset":5}]},` +
			`"b\n":{}},"ping":25,"pong":true,"node":"n"}}`},

	{"subscribe", AppendSubscribe(nil, 2, &SubscribeResult{Offset: 9, Epoch: "not told"}), `{"id":2,"subscribe":{}}`},
	{"subscribe at the beginning", AppendSubscribe(nil, 2, &SubscribeResult{Positioned: true}),
		`{"id":2,"subscribe":{"positioned":true,"offset":0,"epoch":""}}`},
	{"subscribe whole", AppendSubscribe(nil, 2, &SubscribeResult{Recoverable: true, Positioned: true, Recovered: true,
		WasRecovering: true, Expires: true, TTL: 0, Delta: true, Offset: 18446744073709551615, Epoch: "e", Data: b(`[]`),
		Publications: []Publication{{Offset: 1, Data: b(`"x"`)}, {Offset: 2, Data: b(`"y"`), Delta: true}}}),
		`{"id":2,"subscribe":{"expires":true,"ttl":0,"recoverable":true,"positioned":true,"offset":18446744073709551615,"epoch":"e",` +
			`"was_recovering":true,"recovered":true,"publications":[{"data":"x","offset":1},{"data":"y","offset":2,"delta":true}],` +
			`"delta":true,"data":[]}}`},

	{"rpc", AppendRPC(nil, 3, b(`{"a":"\n"}`)), `{"id":3,"rpc":{"data":{"a":"\n"}}}`},
	{"rpc without data", AppendRPC(nil, 3, nil), `{"id":3,"rpc":{}}`},

	{"sub_refresh", AppendSubRefresh(nil, 3, &SubRefreshResult{Expires: true, TTL: 60}), `{"id":3,"sub_refresh":{"expires":true,"ttl":60}}`},
	{"sub_refresh for ever", AppendSubRefresh(nil, 3, &SubRefreshResult{TTL: 1}), `{"id":3,"sub_refresh":{}}`},

	{"publication", AppendPublication(nil, "feeds:prices", &Publication{Offset: 5, Data: b(`{"p":1}`)}),
		`{"push":{"channel":"feeds:prices","pub":{"data":{"p":1},"offset":5}}}`},
	{"publication whole", AppendPublication(nil, "feeds:*", &Publication{Channel: "feeds:a", Data: b(`1`), Tags: b(`{"k":"v"}`),
		Info: AppendClientInfo(nil, &ClientInfo{User: "u", Client: "c"})}),
		`{"push":{"channel":"feeds:*","pub":{"channel":"feeds:a","data":1,"info":{"user":"u","client":"c"},"tags":{"k":"v"}}}}`},
	{"publication with newlines", AppendPublication(nil, "c", &Publication{Data: b("{\n\"a b\":\r\n [1, 2]}\n"), Tags: b("{\t}")}),
		`{"push":{"channel":"c","pub":{"data":{"a b":[1,2]},"tags":{}}}}`},
	{"publication as text", AppendPublication(nil, "c", &Publication{Offset: 5, Text: true, Data: b(`{"a":"b\"\\ü😀` + "\x7f\u2028" + `"}`)}),
		`{"push":{"channel":"c","pub":{"data":"{\"a\":\"b\\\"\\\\ü😀` + "\x7f\u2028" + `\"}","offset":5}}}`},
	{"publication as delta", AppendPublication(nil, "c", &Publication{Offset: 5, Text: true, Delta: true, Data: b("4\n4:\"ü\"2ztw00;\r\x01")}),
		`{"push":{"channel":"c","pub":{"data":"4\n4:\"ü\"2ztw00;\r\u0001","offset":5,"delta":true}}}`},
	{"feed", AppendFeed(nil, "a", 7, "e", b(`{"p":1}`)), `{"channel":"a","offset":7,"epoch":"e","data":{"p":1}}`},
	{"feed with newlines", AppendFeed(nil, "c\n", 18446744073709551615, "e\n", b("{\n\"a b\":\r\n [1, 2]}\n")),
		`{"channel":"c\n","offset":18446744073709551615,"epoch":"e\n","data":{"a b":[1,2]}}`},
	{"feed of nothing", AppendFeed(nil, "a", 0, "e", nil), `{"channel":"a","offset":0,"epoch":"e","data":null}`},
	{"feed through a pattern", AppendFeed(nil, "a", 7, "", b(`1`)), `{"channel":"a","data":1}`},
	{"feed gap", AppendFeedGap(nil, "a", 0, "e"), `{"channel":"a","gap":true,"offset":0,"epoch":"e"}`},

	{"publication of nothing", AppendPublication(nil, "c", &Publication{}), `{"push":{"channel":"c","pub":{"data":null}}}`},

	{"presence", AppendPresence(nil, 5, AppendMember(AppendMember(nil, &ClientInfo{User: "u", Client: "x", ConnInfo: b("{\n}")}),
		&ClientInfo{Client: "y\"", ChanInfo: b("1")})),
		`{"id":5,"presence":{"presence":{"x":{"user":"u","client":"x","conn_info":{}},"y\"":{"user":"","client":"y\"","chan_info":1}}}}`},
	{"presence of nobody", AppendPresence(nil, 5, nil), `{"id":5,"presence":{"presence":{}}}`},
	{"presence stats", AppendPresenceStats(nil, 6, &PresenceStatsResult{Clients: 3, Users: 2}),
		`{"id":6,"presence_stats":{"num_clients":3,"num_users":2}}`},

	{"unsubscribe push", AppendUnsubscribePush(nil, "c", UnsubscribeInsufficient, "insufficient state"),
		`{"push":{"channel":"c","unsubscribe":{"code":2500,"reason":"insufficient state"}}}`},
	{"subscribe push", AppendSubscribePush(nil, "c", &SubscribeResult{Recoverable: true, Epoch: "e", Offset: 1}),
		`{"push":{"channel":"c","subscribe":{"recoverable":true,"offset":1,"epoch":"e"}}}`},
	{"join", AppendJoin(nil, "c", &ClientInfo{User: "u", Client: "x", ConnInfo: b(`{"a":1}`), ChanInfo: b(`2`)}),
		`{"push":{"channel":"c","join":{"info":{"user":"u","client":"x","conn_info":{"a":1},"chan_info":2}}}}`},
	{"leave", AppendLeave(nil, "c", &ClientInfo{}), `{"push":{"channel":"c","leave":{"info":{"user":"","client":""}}}}`},

	{"pong", AppendCommand(nil, &Command{Method: Pong}), `{}`},
	{"send", AppendCommand(nil, &Command{Method: Send, Send: SendRequest{Data: b("1")}}), `{"send":{"data":1}}`},
}

// TestAppend: exact bytes, one line, valid by our own validator and behind
// whatever dst holds already.
func TestAppend(t *testing.T) {
	var v schema.Validator
	for _, c := range appended {
		if string(c.got) != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.name, c.got, c.want)
		}
		if fault := v.Check(c.got, usual); fault != nil {
			t.Errorf("%s: %s", c.name, fault.Keyword)
		}
	}
	dst := []byte("x\n")
	if got := AppendError(dst, 1, ErrExpired); !bytes.HasPrefix(got, dst) {
		t.Errorf("dst is lost: %q", got)
	}
}

// everything writes one string to every place where a string can stand.
func everything(s string) [][]byte {
	raw, _ := json.Marshal(s)
	sub := SubscribeResult{Recoverable: true, Epoch: s, Publications: []Publication{{Channel: s, Data: raw}}}
	info := &ClientInfo{User: s, Client: s, ConnInfo: raw, ChanInfo: raw}
	return [][]byte{
		AppendString(nil, s),
		AppendString(nil, []byte(s)),
		AppendError(nil, 1, &Error{Code: 1, Message: s}),
		AppendConnect(nil, 1, &ConnectResult{Client: s, Version: s, Node: s, Data: raw, Subs: []ServerSub{{Channel: s, SubscribeResult: sub}}}),
		AppendSubscribe(nil, 1, &sub),
		AppendPublication(nil, s, &Publication{Data: raw, Channel: s, Info: AppendClientInfo(nil, info)}),
		AppendUnsubscribePush(nil, s, 1, s),
		AppendSubscribePush(nil, s, &sub),
		AppendJoin(nil, s, info),
		AppendLeave(nil, s, info),
		AppendPresence(nil, 1, AppendMember(nil, info)),
		AppendFeed(nil, s, 1, s, raw),
		AppendFeedGap(nil, s, 1, s),
		AppendCommand(nil, &Command{ID: 1, Method: Connect, Connect: ConnectRequest{
			Token: []byte(s), Subs: []SubRecover{{Channel: []byte(s), Epoch: []byte(s)}}}}),
	}
}

func checkOneLine(t *testing.T, s string) {
	t.Helper()
	var v schema.Validator
	for i, out := range everything(s) {
		for _, c := range out {
			if c < ' ' || c == 0x7f && i < 2 {
				t.Fatalf("%q, %d: control character in %q", s, i, out)
			}
		}
		if fault := v.Check(out, schema.Limits{}); fault != nil || !utf8.Valid(out) {
			t.Fatalf("%q, %d: %v: %q", s, i, fault, out)
		}
		var tree any
		if err := json.Unmarshal(out, &tree); err != nil {
			t.Fatalf("%q, %d: %v: %q", s, i, err, out)
		}
		if i > 1 && s != "" && !holds(tree, perByte(s)) {
			t.Fatalf("%q, %d: is not in %q", s, i, out)
		}
	}
}

// perByte replaces each byte that is not UTF-8, as encoding/json does.
func perByte(s string) string { return string([]rune(s)) }

func holds(tree any, s string) bool {
	switch v := tree.(type) {
	case string:
		return v == s
	case []any:
		for _, inner := range v {
			if holds(inner, s) {
				return true
			}
		}
	case map[string]any:
		for name, inner := range v {
			if name == s || holds(inner, s) {
				return true
			}
		}
	}
	return false
}

func TestStringsStayInTheirLine(t *testing.T) {
	for _, s := range []string{nasty, "", "plain", "\n", "\x80", "\u2028", "}\n{}", `","x":"`} {
		checkOneLine(t, s)
	}
	for c := range 256 {
		checkOneLine(t, "x"+string([]byte{byte(c)})+"y")
	}
}

func FuzzAppendString(f *testing.F) {
	f.Add(nasty)
	f.Fuzz(checkOneLine)
}

// TestRepliesRead sends replies and pushes through the parser of a client: what
// it reads is what was given.
func TestRepliesRead(t *testing.T) {
	want := SubscribeResult{Recoverable: true, Recovered: true, WasRecovering: true, Expires: true, TTL: 9, Offset: 1 << 60, Epoch: nasty[:8]}
	var got struct {
		ID        uint32
		Subscribe struct {
			Recoverable, Positioned, Recovered, Expires bool
			WasRecovering                               bool `json:"was_recovering"`
			TTL                                         uint32
			Offset                                      uint64
			Epoch                                       string
		}
	}
	if err := json.Unmarshal(AppendSubscribe(nil, 77, &want), &got); err != nil {
		t.Fatal(err)
	}
	g := got.Subscribe
	read := SubscribeResult{Recoverable: g.Recoverable, Positioned: g.Positioned, Recovered: g.Recovered, Expires: g.Expires,
		WasRecovering: g.WasRecovering, TTL: g.TTL, Offset: g.Offset, Epoch: g.Epoch}
	if got.ID != 77 || !reflect.DeepEqual(read, want) {
		t.Errorf("id %d, %+v, want %+v", got.ID, read, want)
	}
}

func TestAppendAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("skipped: the race detector allocates")
	}
	buf := make([]byte, 0, 4096)
	connect := &ConnectResult{Client: nasty, Version: "v", Ping: 25, Subs: []ServerSub{{Channel: "a"}}}
	subscribe := &SubscribeResult{Recoverable: true, Epoch: nasty, Publications: []Publication{{Offset: 1, Data: []byte("1")}}}
	pub := &Publication{Offset: 1, Data: []byte(`{"a":1}`)}
	spaced := &Publication{Offset: 1, Data: []byte("{\n}")}
	cmd := &Command{ID: 1, Method: Subscribe, Subscribe: SubscribeRequest{Channel: []byte(nasty)}}
	for name, f := range map[string]func(){
		"error":       func() { AppendError(buf, 1, ErrInternal) },
		"empty":       func() { AppendEmpty(buf, 1, Publish) },
		"connect":     func() { AppendConnect(buf, 1, connect) },
		"subscribe":   func() { AppendSubscribe(buf, 1, subscribe) },
		"publication": func() { AppendPublication(buf, "c", pub) },
		"compacted":   func() { AppendPublication(buf, "c", spaced) },
		"feed":        func() { AppendFeed(buf, "c", 1, "e", pub.Data) },
		"feed gap":    func() { AppendFeedGap(buf, "c", 1, "e") },
		"unsubscribe": func() { AppendUnsubscribePush(buf, "c", 2500, "r") },
		"command":     func() { AppendCommand(buf, cmd) },
	} {
		if n := testing.AllocsPerRun(50, f); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}
