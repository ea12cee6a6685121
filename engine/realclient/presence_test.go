package realclient

import (
	"encoding/json"
	"slices"
	"testing"
	"time"

	"weir/engine"
	"weir/security/grant"
	"weir/security/token"
)

// present is a server whose namespace feeds has presence.
func present(t testing.TB, change func(*engine.Namespace)) *server {
	t.Helper()
	return serve(t, func(c *engine.Config) {
		c.Namespaces = []engine.Namespace{{Name: "feeds", Presence: true, AllowPresenceForSubscriber: true}}
		if change != nil {
			change(&c.Namespaces[0])
		}
	})
}

// signInfo makes a token for user that others see with info.
func signInfo(t testing.TB, user, info string) string {
	t.Helper()
	jwt, err := token.Sign(secret, token.SignClaims{Subject: user, ExpiresAt: time.Now().Add(time.Hour).Unix(), Info: json.RawMessage(info),
		Caps: []grant.Capability{{Channels: []string{"feeds:*"}, Match: "wildcard", Allow: []string{"sub", "pub"}}}})
	if err != nil {
		t.Fatal(err)
	}
	return jwt
}

// here asks the SDK who is in a channel: "user info" of each, sorted.
func (n *script) here(channel string) (list []string) {
	n.t.Helper()
	n.do(order{"do": "presence", "channel": channel})
	e := n.next("presence", chatter...)
	var clients map[string]struct {
		Client, User string
		ConnInfo     json.RawMessage
	}
	if err := json.Unmarshal(e.Clients, &clients); err != nil {
		n.t.Fatal(err)
	}
	for id, c := range clients {
		if id != c.Client {
			n.t.Errorf("the entry of %s is %s", id, c.Client)
		}
		list = append(list, c.User+" "+string(c.ConnInfo))
	}
	slices.Sort(list)
	return list
}

func (n *script) wantStats(channel, clients string, users int) {
	n.t.Helper()
	n.do(order{"do": "presenceStats", "channel": channel})
	if e := n.next("presence stats", chatter...); string(e.Clients) != clients || e.Users != users {
		n.t.Errorf("%s: %s clients, %d users; want %s, %d", channel, e.Clients, e.Users, clients, users)
	}
}

// TestSDKPresence: the SDK sees who is subscribed, also right after subscribing
// and after everybody had to come back.
func TestSDKPresence(t *testing.T) {
	t.Parallel()
	s := present(t, nil)
	alice := s.connected(t, order{"token": signInfo(t, "alice", `{"name":"A"}`)}, "feeds:a")
	bob := s.connected(t, order{"token": signInfo(t, "bob", `"b"`)}, "feeds:a")
	again := s.connected(t, order{"token": signInfo(t, "alice", `{"name":"A"}`)}, "feeds:a", "feeds:b")
	all := []string{`alice {"name":"A"}`, `alice {"name":"A"}`, `bob "b"`}
	for _, n := range []*script{alice, bob, again} {
		if got := n.here("feeds:a"); !slices.Equal(got, all) {
			t.Errorf("in feeds:a are %q, want %q", got, all)
		}
		n.wantStats("feeds:a", "3", 2)
	}
	if got := again.here("feeds:b"); !slices.Equal(got, all[:1]) {
		t.Errorf("in feeds:b are %q", got)
	}
	bob.do(order{"do": "presence", "channel": "feeds:b"})
	if e := bob.next("presence error", chatter...); e.Code != 103 {
		t.Errorf("presence of a channel that bob is not in: error %d, want 103", e.Code)
	}

	s.api("disconnect", `{"user":"bob","disconnect":{"code":3011,"reason":"force reconnect"}}`)
	bob.next("connecting", append(chatter, "subscribing")...)
	bob.next("connected", append(chatter, "subscribing")...)
	bob.next("subscribed", append(chatter, "subscribing")...)
	if got := bob.here("feeds:a"); !slices.Equal(got, all) {
		t.Errorf("after bob came back are in feeds:a %q, want %q", got, all)
	}
	again.do(order{"do": "unsubscribe", "channel": "feeds:a"})
	again.next("unsubscribed", chatter...)
	again.wantStats("feeds:b", "1", 1) // behind the unsubscribe
	bob.wantStats("feeds:a", "2", 2)
}

// TestSDKJoinsAndLeaves: the SDK tells its application who comes and goes, its
// own joins among them, also when all have to come back.
func TestSDKJoinsAndLeaves(t *testing.T) {
	t.Parallel()
	s := present(t, func(ns *engine.Namespace) { ns.JoinLeave = true })
	alice := s.connected(t, order{"token": signInfo(t, "alice", `{"name":"A"}`)})
	want := func(kind, user string) (client string) {
		t.Helper()
		e := alice.next(kind, append(chatter, "connecting", "connected", "subscribing", "subscribed")...)
		if e.Channel != "feeds:a" || e.Text != user {
			t.Fatalf("the SDK tells %+v, want that %s is the one to %s", e, user, kind)
		}
		return e.Client
	}
	alice.do(order{"do": "subscribe", "channel": "feeds:a", "options": order{"joinLeave": true}})
	own := want("join", "alice")
	bob := s.connected(t, order{"token": signInfo(t, "bob", `"b"`)}, "feeds:a")
	bobs := want("join", "bob")

	s.api("disconnect", `{"user":"bob","disconnect":{"code":3011,"reason":"force reconnect"}}`)
	if left := want("leave", "bob"); left != bobs {
		t.Errorf("%s left, it was %s that joined", left, bobs)
	}
	if again := want("join", "bob"); again == bobs {
		t.Error("who comes back has another client id")
	}
	s.api("disconnect", `{"user":"alice","disconnect":{"code":3011,"reason":"force reconnect"}}`)
	if again := want("join", "alice"); again == own {
		t.Error("who comes back has another client id")
	}
	bob.do(order{"do": "disconnect"})
	want("leave", "bob")
	s.mustReceive(alice, "feeds:a", `"last"`)
}
