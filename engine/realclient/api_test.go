package realclient

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"weir/engine"
	"weir/security/grant"
	"weir/security/token"
)

// The methods of the server API as the SDK sees what they do.

// kept is a configuration whose namespace feeds keeps ten publications.
func kept(c *engine.Config) {
	c.Namespaces = []engine.Namespace{{Name: "feeds", HistorySize: 10, HistoryTTL: time.Hour, ForceRecovery: true}}
}

// signFor makes a token with server-side subscriptions and every verb on feeds:*.
func signFor(t testing.TB, user, jti string, channels ...string) string {
	t.Helper()
	jwt, err := token.Sign(secret, token.SignClaims{Subject: user, ID: jti, IssuedAt: time.Now().Add(-time.Hour).Unix(),
		ExpiresAt: time.Now().Add(time.Hour).Unix(), Channels: channels,
		Caps: []grant.Capability{{Channels: []string{"feeds:*"}, Match: "wildcard", Allow: []string{"sub", "pub", "hst", "prs"}}}})
	if err != nil {
		t.Fatal(err)
	}
	return jwt
}

// wants waits for a publication, over the SDK's other news.
func (n *script) wants(channel, data string, offset uint64) {
	n.t.Helper()
	if p := n.next("publication", append(chatter, "server subscribed")...); p.Channel != channel || string(p.Data) != data || p.Offset != offset {
		n.t.Fatalf("the SDK got %s on %s at %d, want %s on %s at %d", p.Data, p.Channel, p.Offset, data, channel, offset)
	}
}

// TestSDKServerSideSubscriptions: those of the token, one that the API adds and
// one that it ends, through a forced reconnect and an absence.
func TestSDKServerSideSubscriptions(t *testing.T) {
	t.Parallel()
	s := serve(t, kept)
	n := s.connected(t, order{"token": signFor(t, "alice", "", "feeds:token")})
	if e := n.next("server subscribed", chatter...); e.Channel != "feeds:token" {
		t.Fatalf("subscribed to %s", e.Channel)
	}
	s.publish("feeds:token", `1`)
	n.wants("feeds:token", `1`, 1)
	s.api("subscribe", `{"user":"alice","channel":"feeds:api"}`)
	if e := n.next("server subscribed", chatter...); e.Channel != "feeds:api" {
		t.Fatalf("the API subscribed to %s", e.Channel)
	}
	s.publish("feeds:api", `"a"`)
	n.wants("feeds:api", `"a"`, 1)
	s.api("unsubscribe", `{"user":"alice","channel":"feeds:api"}`)
	if e := n.next("server unsubscribed", chatter...); e.Channel != "feeds:api" {
		t.Fatalf("the API unsubscribed from %s", e.Channel)
	}

	s.api("disconnect", `{"user":"alice","disconnect":{"code":3000,"reason":"come back"}}`)
	n.next("connected", append(chatter, "connecting", "server unsubscribed")...)
	if e := n.next("server subscribed", chatter...); e.Channel != "feeds:token" || !e.Recovered {
		t.Fatalf("after a reconnect: %+v", e)
	}
	n.do(order{"do": "disconnect"})
	n.next("disconnected", chatter...)
	for i := range 3 {
		s.publish("feeds:token", fmt.Sprint(100+i))
	}
	n.do(order{"do": "connect"})
	n.next("connected", append(chatter, "connecting")...)
	for i := range 3 {
		n.wants("feeds:token", fmt.Sprint(100+i), uint64(2+i))
	}
	s.publish("feeds:token", `"live"`)
	n.wants("feeds:token", `"live"`, 5)
}

// TestSDKHistory: the SDK reads what is kept, and what the API published and
// removed.
func TestSDKHistory(t *testing.T) {
	t.Parallel()
	s := serve(t, kept)
	n := s.connected(t, order{"token": signFor(t, "alice", "")})
	s.api("broadcast", `{"channels":["feeds:a","feeds:b"],"data":{"n":1},"tags":{"k":"v"}}`)
	s.api("batch", `{"commands":[{"publish":{"channel":"feeds:a","data":{"n":2}}},{"publish":{"channel":"feeds:a","data":{"n":3}}}]}`)
	s.api("publish", `{"channel":"feeds:a","data":{"n":4},"skip_history":true}`)
	read := func(options order) (out struct {
		event
		list []struct {
			Offset uint64
			Data   struct{ N int }
			Tags   map[string]string
		}
	}) {
		n.do(order{"do": "history", "channel": "feeds:a", "options": options})
		out.event = n.next("history", chatter...)
		if err := json.Unmarshal(out.Data, &out.list); err != nil {
			t.Fatal(err)
		}
		return out
	}
	all := read(order{"limit": 100})
	if len(all.list) != 3 || all.Offset != 3 || all.Epoch == "" || all.list[0].Data.N != 1 || all.list[0].Tags["k"] != "v" || all.list[2].Offset != 3 {
		t.Fatalf("the history is %+v", all)
	}
	if last := read(order{"limit": 1, "reverse": true}); len(last.list) != 1 || last.list[0].Data.N != 3 {
		t.Errorf("the newest is %+v", last.list)
	}
	if since := read(order{"limit": 100, "since": order{"offset": 2, "epoch": all.Epoch}}); len(since.list) != 1 || since.list[0].Offset != 3 {
		t.Errorf("since 2: %+v", since.list)
	}
	n.do(order{"do": "history", "channel": "feeds:a", "options": order{"limit": 1, "since": order{"offset": 2, "epoch": "other"}}})
	if e := n.next("history error", chatter...); e.Code != 112 {
		t.Errorf("another epoch: %d %s, want 112", e.Code, e.Text)
	}
	var api struct{ Publications []json.RawMessage }
	if err := json.Unmarshal(s.api("history", `{"channel":"feeds:a","limit":100}`), &api); err != nil || len(api.Publications) != 3 {
		t.Errorf("the API's history: %v, %v", api, err)
	}
	s.api("history_remove", `{"channel":"feeds:a"}`)
	if none := read(order{"limit": 100}); len(none.list) != 0 || none.Offset != 3 {
		t.Errorf("removed: %+v", none)
	}
}

// TestSDKListings: the API lists the SDK's connection and channels, and no more
// when it is gone.
func TestSDKListings(t *testing.T) {
	t.Parallel()
	s := serve(t, kept)
	n := s.connected(t, order{"token": signFor(t, "alice", "")}, "feeds:a", "feeds:b")
	for method, want := range map[string]string{
		"channels": `"feeds:a":{"num_clients":1}`, "connections": `"user":"alice"`, "info": `"num_clients":1`,
	} {
		if got := string(s.api(method, `{}`)); !strings.Contains(got, want) {
			t.Errorf("%s: %s, want %s", method, got, want)
		}
	}
	if got := string(s.api("connections", `{"user":"bob"}`)); strings.Contains(got, "alice") {
		t.Errorf("bob's connections: %s", got)
	}
	n.do(order{"do": "unsubscribe", "channel": "feeds:b"})
	n.next("unsubscribed", chatter...)
	n.answered()
	if got := string(s.api("channels", `{}`)); strings.Contains(got, "feeds:b") || !strings.Contains(got, "feeds:a") {
		t.Errorf("after an unsubscribe: %s", got)
	}
}

// TestSDKKeptOut: whom the API blocks or whose token it revokes is disconnected
// for good, and let in again when it says so.
func TestSDKKeptOut(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ method, body string }{
		{"block_user", `{"user":"mallory"}`},
		{"revoke_token", `{"jti":"stolen"}`},
		{"invalidate_user_tokens", `{"user":"mallory"}`},
		{"refresh", `{"user":"mallory","expired":true}`},
	} {
		s := serve(t, nil)
		bystander := s.connected(t, order{}, "feeds:a")
		n := s.connected(t, order{"token": signFor(t, "mallory", "stolen")})
		s.api(c.method, c.body)
		if c.method == "refresh" { // its token is not refused: it may bring another
			if e := n.next("connecting", chatter...); e.Code != 3005 {
				t.Errorf("%s: code %d, want 3005", c.method, e.Code)
			}
			continue
		}
		if e := n.next("disconnected", chatter...); e.Code != 3500 || e.Reason == "" {
			t.Errorf("%s: disconnected with %d %q, want 3500", c.method, e.Code, e.Reason)
		}
		n.do(order{"do": "connect"})
		if e := n.next("disconnected", append(chatter, "connecting")...); e.Code != 3500 {
			t.Errorf("%s: again with %d, want 3500", c.method, e.Code)
		}
		s.mustReceive(bystander, "feeds:a", `1`)
		if c.method == "block_user" {
			s.api("unblock_user", `{"user":"mallory"}`)
			n.do(order{"do": "connect"})
			n.next("connected", append(chatter, "connecting")...)
			continue
		}
		if c.method == "revoke_token" {
			s.connected(t, order{"token": signFor(t, "mallory", "another")})
		}
	}
}

// TestSDKTicket: a one-time ticket in the URL connects the SDK, once.
func TestSDKTicket(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	var issued struct{ Ticket string }
	if err := json.Unmarshal(s.api("issue_ticket", `{"sub":"alice","caps":[{"channels":["feeds:*"],"match":"wildcard","allow":["sub"]}],"channels":["feeds:server"]}`), &issued); err != nil {
		t.Fatal(err)
	}
	url := s.url(wsPath) + "?ticket=" + issued.Ticket
	n := s.sdk(t, order{"url": url})
	n.do(order{"do": "connect"})
	n.next("connected", append(chatter, "connecting")...)
	if e := n.next("server subscribed", chatter...); e.Channel != "feeds:server" {
		t.Errorf("subscribed to %s", e.Channel)
	}
	again := s.sdk(t, order{"url": url})
	again.do(order{"do": "connect"})
	again.next("error", "connecting")
}

// TestSDKClientKeptOut: of two clients of a user one is sent away by its id; what it has shown is then revoked by the id
// of another that has it, and that ends for good. The token of the first stays good.
func TestSDKClientKeptOut(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	join := func(jti string) (*script, string) {
		n := s.sdk(t, order{"token": signFor(t, "mallory", jti)})
		n.do(order{"do": "connect"})
		return n, n.next("connected", append(chatter, "connecting")...).Client
	}
	first, id := join("hers")
	second, stolen := join("stolen")
	s.api("disconnect", `{"client":"`+id+`"}`)
	if e := first.next("disconnected", chatter...); e.Code != 3503 {
		t.Errorf("disconnected with %d, want 3503", e.Code)
	}
	second.answered()
	first.do(order{"do": "connect"})
	first.next("connected", append(chatter, "connecting")...)

	s.api("revoke_token", `{"client":"`+stolen+`"}`)
	for range 2 {
		if e := second.next("disconnected", append(chatter, "connecting")...); e.Code != 3500 {
			t.Errorf("disconnected with %d, want 3500", e.Code)
		}
		second.do(order{"do": "connect"})
	}
	first.answered()
}
