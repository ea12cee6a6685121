package dialect

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"weir/engine/clientproto"
	"weir/loadtest/payload"
)

func TestNames(t *testing.T) {
	for _, name := range Names() {
		d, err := Parse(name)
		if err != nil || d.String() != name || !strings.HasPrefix(d.Path(), "/") {
			t.Errorf("%s: %s, %v", name, d, err)
		}
	}
	if _, err := Parse("none"); err == nil || Dialect(0).String() != "none" {
		t.Error("none is a protocol")
	}
}

// What is said is what the server's own parser reads.
func TestHelloIsRead(t *testing.T) {
	subs := []Subscription{{Channel: `a"b`}, {Channel: "b", Recover: true, Offset: 7, Epoch: "e"}}
	hello := Weir.AppendHello(nil, "token", subs)
	var p clientproto.Parser
	var lines []clientproto.Method
	for i := 0; ; i++ {
		var line []byte
		if line, hello = NextLine(hello); line == nil {
			break
		}
		var cmd clientproto.Command
		if v := p.Parse(line, &cmd); v != nil {
			t.Fatalf("%s: %v", line, v)
		}
		lines = append(lines, cmd.Method)
		switch i {
		case 0:
			if cmd.ID != 1 || string(cmd.Connect.Token) != "token" {
				t.Errorf("%s", line)
			}
		default:
			s := cmd.Subscribe
			got := Subscription{string(s.Channel), s.Recover, s.Offset, string(s.Epoch)}
			if at, ok := SubscriptionOf(cmd.ID, len(subs)); !ok || got != subs[at] {
				t.Errorf("%s: subscription %d, %t", line, at, ok)
			}
		}
	}
	if len(lines) != 3 {
		t.Errorf("%v", lines)
	}
	for _, id := range []uint32{0, 1, 4, PublishID(0), PublishID(1 << 16)} {
		if at, ok := SubscriptionOf(id, len(subs)); ok {
			t.Errorf("%d is subscription %d", id, at)
		}
	}
	for _, d := range []Dialect{Feed, Echo} {
		if len(d.AppendHello(nil, "token", subs)) > 0 {
			t.Errorf("%s says hello", d)
		}
	}
}

func TestRequest(t *testing.T) {
	query, header := Feed.Request("jwt", []Subscription{{Channel: "a b"}, {Channel: "c&d", Recover: true, Offset: 7, Epoch: "e"}})
	if query != "?channel=a+b&channel=c%26d&since=c%26d%3A7%40e" || header != "Authorization: Bearer jwt\r\n" {
		t.Errorf("%q %q", query, header)
	}
	for _, d := range []Dialect{Weir, Centrifugo, Echo} {
		if query, header := d.Request("jwt", []Subscription{{Channel: "a"}}); query+header != "" {
			t.Errorf("%s: %q %q", d, query, header)
		}
	}
}

func TestKinds(t *testing.T) {
	data := payload.Append(nil, payload.Publication{Stream: 1, Seq: 2}, 100)
	for _, c := range []struct {
		d    Dialect
		line string
		want Kind
	}{
		{Weir, "{}", Ping},
		{Weir, string(clientproto.AppendPublication(nil, "c", &clientproto.Publication{Data: data, Offset: 5})), Delivery},
		{Weir, string(clientproto.AppendUnsubscribePush(nil, "c", 2500, "x")), Other},
		{Weir, string(clientproto.AppendEmpty(nil, 3, clientproto.Publish)), Other},
		{Weir, string(clientproto.AppendSubscribe(nil, 2, &clientproto.SubscribeResult{Recovered: true, Publications: []clientproto.Publication{{Data: data}}})), Other},
		{Feed, string(clientproto.AppendFeed(nil, "c", 7, "e", data)), Delivery},
		{Feed, string(clientproto.AppendFeedGap(nil, "c", 7, "e")), Other},
		{Echo, string(data), Delivery},
		{Echo, "{}", Delivery},
		{Weir, "garbage", Other},
	} {
		if got := c.d.Kind([]byte(c.line)); got != c.want {
			t.Errorf("%s %s: %d, wanted %d", c.d, c.line, got, c.want)
		}
	}
}

func TestOffsets(t *testing.T) {
	data := payload.Append(nil, payload.Publication{Stream: 1, Seq: 2}, 100)
	pubs := []clientproto.Publication{{Data: data, Offset: 5}, {Data: data}, {Data: data, Offset: 1<<53 - 1}}
	line := clientproto.AppendSubscribe(nil, 2, &clientproto.SubscribeResult{Recoverable: true, Recovered: true, Offset: 4, Epoch: "e", Publications: pubs})
	rest, err := line, error(nil)
	for i := range pubs {
		if _, rest, err = payload.Next(rest); err != nil {
			t.Fatal(err)
		}
		if got := Weir.Offset(line, rest); got != pubs[i].Offset {
			t.Errorf("publication %d: offset %d", i, got)
		}
	}
	line = clientproto.AppendFeed(nil, "c", 7, "e", data)
	if _, rest, err = payload.Next(line); err != nil || Feed.Offset(line, rest) != 7 {
		t.Errorf("offset %d, %v", Feed.Offset(line, rest), err)
	}
	if n := Weir.Offset(nil, []byte(`,"offset":99999999999999999999999}`)); n == 0 {
		t.Error("a long offset is none")
	}
}

// What the server's encoder writes is understood.
func TestRead(t *testing.T) {
	for _, c := range []struct {
		d    Dialect
		line []byte
		want Event
	}{
		{Weir, clientproto.AppendConnect(nil, 1, &clientproto.ConnectResult{Client: "c", Ping: 25, Pong: true}), Event{ID: 1}},
		{Weir, clientproto.AppendError(nil, 2, clientproto.ErrPermissionDenied), Event{ID: 2, Error: 103}},
		{Weir, clientproto.AppendSubscribe(nil, 2, &clientproto.SubscribeResult{}), Event{ID: 2, Subscribed: true}},
		{Weir, clientproto.AppendSubscribe(nil, 2, &clientproto.SubscribeResult{Recoverable: true, Offset: 5, Epoch: "e"}),
			Event{ID: 2, Subscribed: true, Positioned: true, Offset: 5, Epoch: "e"}},
		{Weir, clientproto.AppendSubscribe(nil, 2, &clientproto.SubscribeResult{Recoverable: true, WasRecovering: true, Recovered: true, Offset: 5, Epoch: "e"}),
			Event{ID: 2, Subscribed: true, Positioned: true, Offset: 5, Epoch: "e", Recovering: true, Recovered: true}},
		{Weir, clientproto.AppendSubscribe(nil, 2, &clientproto.SubscribeResult{Recoverable: true, WasRecovering: true, Offset: 5, Epoch: "f"}),
			Event{ID: 2, Subscribed: true, Positioned: true, Offset: 5, Epoch: "f", Recovering: true}},
		{Centrifugo, clientproto.AppendEmpty(nil, PublishID(3), clientproto.Publish), Event{ID: PublishID(3)}},
		{Weir, clientproto.AppendUnsubscribePush(nil, "c", 2500, "x"), Event{Channel: "c", Unsubscribed: 2500}},
		{Weir, []byte(`{"push":{"disconnect":{"code":3001,"reason":"x"}}}`), Event{Disconnected: 3001}},
		{Feed, clientproto.AppendFeedGap(nil, "c", 7, "e"), Event{Channel: "c", Gap: true, Offset: 7, Epoch: "e", Positioned: true}},
	} {
		got, ok := c.d.Read(c.line)
		if !ok || got != c.want {
			t.Errorf("%s: %+v, %t", c.line, got, ok)
		}
		for i := range c.line { // nothing that is cut is understood
			if got, ok := c.d.Read(c.line[:i]); ok {
				t.Errorf("%s: %+v", c.line[:i], got)
			}
		}
	}
	for _, line := range []string{"", "{}", "[]", "null", `{"id":-1}`, `{"error":{"code":1}}`, `{"id":1,"error":{}}`} {
		if got, ok := Weir.Read([]byte(line)); ok {
			t.Errorf("%s: %+v", line, got)
		}
	}
}

func FuzzLine(f *testing.F) {
	f.Add(clientproto.AppendSubscribe(nil, 2, &clientproto.SubscribeResult{Recoverable: true, Offset: 5, Epoch: "e"}))
	f.Add(clientproto.AppendFeedGap(nil, "c", 7, "e"))
	f.Add([]byte("{}\n{\"id\":1}"))
	f.Fuzz(func(t *testing.T, message []byte) {
		whole := bytes.Clone(message)
		for rest := message; ; {
			var line []byte
			if line, rest = NextLine(rest); line == nil {
				break
			}
			for d := Weir; d <= Echo; d++ {
				_ = d.Kind(line)
				for i := range line {
					_ = d.Offset(line, line[i:])
				}
				if _, ok := d.Read(line); ok && !json.Valid(line) {
					t.Fatalf("%q is understood", line)
				}
			}
		}
		if !bytes.Equal(whole, message) {
			t.Fatal("the message was changed")
		}
	})
}
