package clientproto

import (
	"bytes"
	"reflect"
	"strings"
	"testing"

	"weir/security/schema"
)

// usual are the defaults of --max-json-depth and --max-json-members.
var usual = schema.Limits{Depth: 16, Members: 1024}

func b(s string) []byte { return []byte(s) }

// accepted are lines as the SDKs write them (the JavaScript one puts the id
// last, the Python one has white space), and what they mean.
var accepted = []struct {
	line string
	want Command
}{
	{`{}`, Command{Method: Pong}},
	{" { } \r", Command{Method: Pong}},
	{`{"connect":{},"id":1}`, Command{ID: 1, Method: Connect}},
	{`{"connect":{"token":"a.b.c","data":{"x":[1, 2]},"name":"js","version":"1.2","headers":{"a":"b"},` +
		`"subs":{"feeds:a":{"recover":true,"offset":18446744073709551615,"epoch":"xyz"},"b\u0021":{},"c":null}},"id":4294967295}`,
		Command{ID: 4294967295, Method: Connect, Connect: ConnectRequest{
			Token: b("a.b.c"), Data: b(`{"x":[1,2]}`), Name: b("js"), Version: b("1.2"),
			Subs: []SubRecover{
				{Channel: b("feeds:a"), Recover: true, Offset: 18446744073709551615, Epoch: b("xyz")},
				{Channel: b("b!")}, {Channel: b("c")},
			}}}},
	{`{"connect":{"token":null,"data":null,"subs":null,"name":""},"id":2}`,
		Command{ID: 2, Method: Connect, Connect: ConnectRequest{Data: b("null"), Name: b("")}}},
	{`{"id": 3, "subscribe": {"channel": "feeds:prices", "recover": true, "epoch": null, "offset": 0}}`,
		Command{ID: 3, Method: Subscribe, Subscribe: SubscribeRequest{Channel: b("feeds:prices"), Recover: true}}},
	{`{"subscribe":{"channel":"c","token":"t","data":"d\n","positioned":true,"recoverable":true,"join_leave":true,` +
		`"flag":3,"recover":true,"offset":12,"epoch":"e","delta":"fossil","tf":{"op":"and"}},"id":3}`,
		Command{ID: 3, Method: Subscribe, Subscribe: SubscribeRequest{
			Channel: b("c"), Token: b("t"), Data: b(`"d\n"`), Positioned: true, Recoverable: true, JoinLeave: true,
			Flag: 3, Recover: true, Offset: 12, Epoch: b("e"), Delta: b("fossil")}}},
	{`{"subscribe":{"channel":"\ud83d\ude00\"\\","recover":false,"flag":-9223372036854775807},"id":3}`,
		Command{ID: 3, Method: Subscribe, Subscribe: SubscribeRequest{Channel: b("😀\"\\"), Flag: -9223372036854775807}}},
	{`{"history":{"channel":"a","limit":-9223372036854775808},"id":3}`,
		Command{ID: 3, Method: History, History: HistoryRequest{Channel: b("a"), Limit: -9223372036854775808}}},
	{`{"\u0069d":4,"un\u0073ubscribe":{"\u0063hannel":"a"}}`,
		Command{ID: 4, Method: Unsubscribe, Unsubscribe: UnsubscribeRequest{Channel: b("a")}}},
	{"{\"id\":5,\"publish\":{\"channel\":\"a\",\"data\":{ \"t\" :\t\"x y\" ,\r\"n\":[ ] }}}",
		Command{ID: 5, Method: Publish, Publish: PublishRequest{Channel: b("a"), Data: b(`{"t":"x y","n":[]}`)}}},
	{`{"id":5,"publish":{"channel":"a","data":-1.5e3}}`,
		Command{ID: 5, Method: Publish, Publish: PublishRequest{Channel: b("a"), Data: b(`-1.5e3`)}}},
	{`{"id":5,"publish":{"data":"]}\"","channel":"a"}}`,
		Command{ID: 5, Method: Publish, Publish: PublishRequest{Channel: b("a"), Data: b(`"]}\""`)}}},
	{`{"id":6,"presence":{"channel":"a"}}`, Command{ID: 6, Method: Presence, Presence: PresenceRequest{Channel: b("a")}}},
	{`{"id":7,"presence_stats":{"channel":"a"}}`,
		Command{ID: 7, Method: PresenceStats, Presence: PresenceRequest{Channel: b("a")}}},
	{`{"id":8,"history":{"channel":"a","since":{"offset":5,"epoch":"e","x":[{}]},"limit":-1,"reverse":true}}`,
		Command{ID: 8, Method: History, History: HistoryRequest{
			Channel: b("a"), Since: true, Offset: 5, Epoch: b("e"), Limit: -1, Reverse: true}}},
	{`{"id":8,"history":{"channel":"a","since":null}}`, Command{ID: 8, Method: History, History: HistoryRequest{Channel: b("a")}}},
	{`{"id":9,"rpc":{"method":"m","data":null}}`, Command{ID: 9, Method: RPC, RPC: RPCRequest{Method: b("m"), Data: b("null")}}},
	{`{"id":10,"refresh":{"token":"t"}}`, Command{ID: 10, Method: Refresh, Refresh: RefreshRequest{Token: b("t")}}},
	{`{"id":11,"sub_refresh":{"channel":"a","token":"t"}}`,
		Command{ID: 11, Method: SubRefresh, SubRefresh: SubRefreshRequest{Channel: b("a"), Token: b("t")}}},
	{`{"send":{"data":{"a":1}}}`, Command{Method: Send, Send: SendRequest{Data: b(`{"a":1}`)}}},
	{`{"id":12,"send":{"data":1,"x":2}}`, Command{ID: 12, Method: Send, Send: SendRequest{Data: b(`1`)}}},
	{`{"id":13,"x":{"id":7},"publish":null,"refresh":{"y":1,"token":"t"},"rpc":null}`,
		Command{ID: 13, Method: Refresh, Refresh: RefreshRequest{Token: b("t")}}},
	{`{"id":14,"publish":{"channel":"a","data":` + nest(16) + `}}`,
		Command{ID: 14, Method: Publish, Publish: PublishRequest{Channel: b("a"), Data: b(nest(16))}}},
}

func nest(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }

// refused are lines that get a violation: an error for id, or a close for id 0.
var refused = []struct {
	line  string
	id    uint32
	err   *Error
	label string
}{
	{``, 0, nil, "syntax"},
	{`{`, 0, nil, "syntax"},
	{`connect`, 0, nil, "syntax"},
	{`{"id":1,"connect":{}}{}`, 0, nil, "syntax"},
	{`{"id":1,"rpc":{"data":NaN}}`, 0, nil, "syntax"},
	{`{"id":1,"rpc":{"data":"` + "\n" + `"}}`, 0, nil, "syntax"},
	{"{\"id\":1,\"rpc\":{\"data\":\"\xff\"}}", 0, nil, "utf8"},
	{`5`, 0, nil, "shape"},
	{`null`, 0, nil, "shape"},
	{`"{}"`, 0, nil, "shape"},
	{`[{"id":1,"connect":{}}]`, 0, nil, "shape"},

	{`{"id":0}`, 0, nil, "method"},
	{`{"id":0,"connect":{}}`, 0, nil, "id"},
	{`{"connect":{}}`, 0, nil, "id"},
	{`{"id":null,"connect":{}}`, 0, nil, "id"},
	{`{"id":-1,"connect":{}}`, 0, nil, "id"},
	{`{"id":1.0,"connect":{}}`, 0, nil, "id"},
	{`{"id":1e0,"connect":{}}`, 0, nil, "id"},
	{`{"id":4294967296,"connect":{}}`, 0, nil, "id"},
	{`{"id":42949672960,"connect":{}}`, 0, nil, "id"},
	{`{"id":99999999999999999999999,"connect":{}}`, 0, nil, "id"},
	{`{"id":"1","connect":{}}`, 0, nil, "id"},
	{`{"id":[1],"send":{}}`, 0, nil, "id"},
	{`{"id":true}`, 0, nil, "id"},

	{`{"id":1}`, 1, ErrMethodNotFound, "method"},
	{`{"id":2,"Connect":{}}`, 2, ErrMethodNotFound, "method"},
	{`{"ping":{},"id":3}`, 3, ErrMethodNotFound, "method"},
	{`{"id":4,"__proto__":{}}`, 4, ErrMethodNotFound, "method"},
	{`{"id":4,"pong":{},"none":{},"":{}}`, 4, ErrMethodNotFound, "method"},
	{`{"id":5,"connect":null}`, 5, ErrMethodNotFound, "method"},
	{`{"ping":{}}`, 0, nil, "method"},
	{`{"x":1}`, 0, nil, "method"},

	{`{"id":6,"connect":{},"subscribe":{}}`, 6, ErrBadRequest, "methods"},
	{`{"connect":[],"subscribe":1,"id":6}`, 6, ErrBadRequest, "methods"},
	{`{"send":{},"publish":{}}`, 0, nil, "methods"},

	{`{"id":7,"connect":[]}`, 7, ErrBadRequest, "field"},
	{`{"id":7,"connect":true}`, 7, ErrBadRequest, "field"},
	{`{"send":1}`, 0, nil, "field"},
	{`{"connect":{"token":1},"id":7}`, 7, ErrBadRequest, "field"},
	{`{"id":7,"connect":{"subs":[]}}`, 7, ErrBadRequest, "field"},
	{`{"id":7,"connect":{"subs":{"a":1}}}`, 7, ErrBadRequest, "field"},
	{`{"id":7,"connect":{"subs":{"a":{"recover":1}}}}`, 7, ErrBadRequest, "field"},
	{`{"id":8,"subscribe":{"channel":["a"]}}`, 8, ErrBadRequest, "field"},
	{`{"id":8,"subscribe":{"channel":"a","recover":"true"}}`, 8, ErrBadRequest, "field"},
	{`{"id":8,"subscribe":{"channel":"a","offset":-1}}`, 8, ErrBadRequest, "field"},
	{`{"id":8,"subscribe":{"channel":"a","offset":1.5}}`, 8, ErrBadRequest, "field"},
	{`{"id":8,"subscribe":{"channel":"a","offset":18446744073709551616}}`, 8, ErrBadRequest, "field"},
	{`{"id":8,"subscribe":{"channel":"a","offset":99999999999999999999}}`, 8, ErrBadRequest, "field"},
	{`{"id":8,"subscribe":{"channel":"a","offset":"1"}}`, 8, ErrBadRequest, "field"},
	{`{"id":8,"subscribe":{"channel":"a","flag":9223372036854775808}}`, 8, ErrBadRequest, "field"},
	{`{"id":8,"subscribe":{"channel":"a","flag":-9223372036854775809}}`, 8, ErrBadRequest, "field"},
	{`{"id":8,"subscribe":{"channel":"a","flag":{}}}`, 8, ErrBadRequest, "field"},
	{`{"id":9,"publish":{"channel":"a"}}`, 9, ErrBadRequest, "field"},
	{`{"id":9,"history":{"channel":"a","since":5}}`, 9, ErrBadRequest, "field"},

	{`{"id":10,"publish":{"channel":"a","data":` + nest(17) + `}}`, 10, ErrBadRequest, "depth"},
	{`{"publish":{"channel":"a","data":` + nest(17) + `},"id":10}`, 10, ErrBadRequest, "depth"},
	{`{"id":11,"rpc":{"data":{"a":1,"a":2}}}`, 11, ErrBadRequest, "duplicate"},
	{`{"rpc":{"data":"id","x":"id"},"id":11,"z":1,"z":2}`, 11, ErrBadRequest, "duplicate"},
	{`{"id":12,"rpc":{"data":1e999}}`, 12, ErrBadRequest, "number"},
	{`{"rpc":{"data":"\ud800"}, "id" : 13 }`, 13, ErrBadRequest, "surrogate"},
	{`{"id":14,"rpc":{"data":{` + members(1025) + `}}}`, 14, ErrBadRequest, "members"},
	{`{"id":11,"id":12,"rpc":{}}`, 0, nil, "duplicate"},
	{`{"id":11,"i\u0064":12,"rpc":{}}`, 11, ErrBadRequest, "duplicate"},
	{`{"rpc":{},"rpc":{}}`, 0, nil, "duplicate"},
	{`{"id":"1","rpc":{"data":1e999}}`, 0, nil, "number"},
	{`{"rpc":{"data":1e999},"id":1`, 0, nil, "number"},
	{`{"rpc":{"data":1e999},"id":01}`, 0, nil, "number"},
	{`{"rpc":{"id":5,"data":1e999}}`, 0, nil, "number"},
	{`[{"id":5,"data":1e999}]`, 0, nil, "number"},
	{`{"send":{"data":1e999}}`, 0, nil, "number"},
	{nest(20), 0, nil, "depth"},
}

func members(n int) string {
	var w strings.Builder
	for i := range n {
		if i > 0 {
			w.WriteByte(',')
		}
		w.WriteString(`"` + strings.Repeat("x", i/26) + string(rune('a'+i%26)) + `":1`)
	}
	return w.String()
}

func newParser() *Parser { return &Parser{Limits: usual} }

func TestParse(t *testing.T) {
	p := newParser()
	var cmd Command
	for _, c := range accepted {
		if v := p.Parse([]byte(c.line), &cmd); v != nil {
			t.Errorf("%s: %s", c.line, v.Label)
		} else if !reflect.DeepEqual(normal(cmd), normal(c.want)) {
			t.Errorf("%s:\n got %+v\nwant %+v", c.line, cmd, c.want)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	p := newParser()
	var cmd Command
	known := map[string]bool{}
	for _, label := range Labels() {
		if known[label] {
			t.Errorf("label %q is listed twice", label)
		}
		known[label] = true
	}
	for _, c := range refused {
		v := p.Parse([]byte(c.line), &cmd)
		if v == nil {
			t.Errorf("%.80s: accepted", c.line)
			continue
		}
		if !known[v.Label] {
			t.Errorf("%.80s: label %q is not in Labels", c.line, v.Label)
		}
		end := v.Close
		if c.err == nil && (end != CloseBadRequest || v.Error != nil) || c.err != nil && end != nil {
			t.Errorf("%.80s: close %v, error %v", c.line, v.Close, v.Error)
		}
		if v.Error != c.err || cmd.ID != c.id || v.Label != c.label {
			t.Errorf("%.80s: id %d, %v, %q; want id %d, %v, %q", c.line, cmd.ID, v.Error, v.Label, c.id, c.err, c.label)
		}
	}
}

// normal makes empty and absent slices equal, save for payloads.
func normal(c Command) Command {
	fields := []*[]byte{
		&c.Connect.Token, &c.Connect.Name, &c.Connect.Version, &c.Subscribe.Channel, &c.Subscribe.Token,
		&c.Subscribe.Epoch, &c.Subscribe.Delta, &c.Unsubscribe.Channel, &c.Publish.Channel, &c.Presence.Channel,
		&c.History.Channel, &c.History.Epoch, &c.RPC.Method, &c.Refresh.Token, &c.SubRefresh.Channel, &c.SubRefresh.Token,
	}
	subs := c.Connect.Subs
	c.Connect.Subs = nil
	for _, s := range subs {
		fields = append(fields, &s.Channel, &s.Epoch)
		s.Channel, s.Epoch = append([]byte{}, s.Channel...), append([]byte{}, s.Epoch...)
		c.Connect.Subs = append(c.Connect.Subs, s)
	}
	for _, f := range fields {
		if len(*f) == 0 {
			*f = nil
		}
	}
	return c
}

// TestParsePrefixes cuts every accepted line short at every byte.
func TestParsePrefixes(t *testing.T) {
	p := newParser()
	var cmd Command
	for _, c := range accepted {
		line := strings.TrimSpace(c.line)
		for cut := range len(line) {
			// A copy of its own, so that reading past the cut is an index out of range.
			v := p.Parse(bytes.Clone([]byte(line[:cut])), &cmd)
			if v == nil || v.Close != CloseBadRequest {
				t.Fatalf("%s: %+v", line[:cut], v)
			}
		}
	}
}

// TestParseSplits puts the separator at every byte of every line: either white
// space stood there or neither half is a command.
func TestParseSplits(t *testing.T) {
	p := newParser()
	var cmd Command
	for _, c := range accepted {
		text := strings.TrimSpace(c.line)
		for cut := 1; cut < len(text); cut++ {
			frame := text[:cut] + "\n" + text[cut:]
			line, rest := NextLine([]byte(frame))
			if string(line) != text[:cut] || string(rest) != text[cut:] {
				t.Fatalf("%q: %q and %q", frame, line, rest)
			}
			for _, half := range [][]byte{line, rest} {
				if v := p.Parse(half, &cmd); v == nil || v.Close == nil {
					t.Fatalf("%q: half a command was read", half)
				}
			}
		}
	}
}

func TestNextLine(t *testing.T) {
	for _, c := range []struct {
		frame string
		want  []string
	}{
		{"", nil},
		{"\n", nil},
		{" \r\n\t\n\n", nil},
		{"a", []string{"a"}},
		{"a\n", []string{"a"}},
		{"a\nb", []string{"a", "b"}},
		{"\n\na\r\n\n b \n \n", []string{"a\r", " b "}},
		{"{}\n{}\n{}", []string{"{}", "{}", "{}"}},
	} {
		var got []string
		for line, rest := NextLine([]byte(c.frame)); line != nil; line, rest = NextLine(rest) {
			got = append(got, string(line))
		}
		if !reflect.DeepEqual(got, c.want) {
			t.Errorf("%q: %q, want %q", c.frame, got, c.want)
		}
	}
}

// TestParserReused has one parser read all lines in many orders: nothing of one
// line may be seen in the next, accepted or refused.
func TestParserReused(t *testing.T) {
	p := newParser()
	var cmd Command
	for step := 1; step < len(accepted); step++ {
		for i := range accepted {
			c := accepted[i*step%len(accepted)]
			bad := refused[(i+step)%len(refused)]
			if p.Parse([]byte(bad.line), &cmd) == nil {
				t.Fatalf("%s: accepted", bad.line)
			}
			if v := p.Parse([]byte(c.line), &cmd); v != nil || !reflect.DeepEqual(normal(cmd), normal(c.want)) {
				t.Fatalf("%s: %+v, %+v", c.line, v, cmd)
			}
		}
	}
}

// TestParseKeepsFirstSlices: a line with many strings to unescape must not move
// those that were read before.
func TestParseKeepsFirstSlices(t *testing.T) {
	var w strings.Builder
	w.WriteString(`{"id":1,"connect":{"token":"\u0074","name":"\u006e","data":[ "\u0064" ],"subs":{`)
	for i := range 300 {
		if i > 0 {
			w.WriteByte(',')
		}
		w.WriteString(`"\u0061` + strings.Repeat("b", i) + `":{"epoch":"\u0065"}`)
	}
	w.WriteString("}}}")
	var p Parser
	var cmd Command
	for range 2 {
		if v := p.Parse([]byte(w.String()), &cmd); v != nil {
			t.Fatal(v.Label)
		}
		c := cmd.Connect
		if string(c.Token) != "t" || string(c.Name) != "n" || string(c.Data) != `["\u0064"]` || len(c.Subs) != 300 {
			t.Fatalf("%q %q %q %d", c.Token, c.Name, c.Data, len(c.Subs))
		}
		for i, s := range c.Subs {
			if string(s.Channel) != "a"+strings.Repeat("b", i) || string(s.Epoch) != "e" {
				t.Fatalf("%d: %q %q", i, s.Channel, s.Epoch)
			}
		}
	}
}

func TestParseAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("skipped: the race detector allocates")
	}
	p := newParser()
	var cmd Command
	gate := func(text string) {
		line := []byte(text)
		p.Parse(line, &cmd)
		if n := testing.AllocsPerRun(50, func() { p.Parse(line, &cmd) }); n != 0 {
			t.Errorf("%.80s: %v allocations", text, n)
		}
	}
	for _, c := range accepted {
		gate(c.line)
	}
	for _, c := range refused {
		gate(c.line)
	}
	frame := []byte("{}\n\n{}\n")
	if n := testing.AllocsPerRun(50, func() { NextLine(frame) }); n != 0 {
		t.Errorf("NextLine: %v allocations", n)
	}
}

// What idOf is given nobody has read to its end: a text may break off in it anywhere.
func TestIDOfTextsThatBreakOff(t *testing.T) {
	whole := `{"a":[{"id":1}],"b\"":"\\","id" : 42 }`
	if got := idOf([]byte(whole)); got != 42 {
		t.Errorf("%s has the id %d", whole, got)
	}
	for n := range len(whole) {
		text := whole[:n]
		if got := idOf([]byte(text)[:n:n]); got != 0 && got != 4 && got != 42 {
			t.Errorf("%s has the id %d", text, got)
		}
	}
	for _, text := range []string{`{"id`, `{"id"`, `{"id":`, `{"id":1,"`, `{"id":1,"x\`, `{"`, `"`} {
		if got := idOf([]byte(text)); got != 0 {
			t.Errorf("%s has the id %d", text, got)
		}
	}
}
