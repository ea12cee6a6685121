package session

import (
	"fmt"
	"testing"

	"weir/engine/clientproto"
	"weir/engine/hub"
	"weir/security/grant"
	"weir/security/token"
)

// lines has each method of the protocol once, as a client may write it.
var lines = map[clientproto.Method]string{
	clientproto.Pong: `{}`, clientproto.Connect: `{"id":2,"connect":{"token":"x"}}`,
	clientproto.Subscribe: `{"id":2,"subscribe":{"channel":"open:a"}}`, clientproto.Unsubscribe: `{"id":2,"unsubscribe":{"channel":"open:a"}}`,
	clientproto.Publish: `{"id":2,"publish":{"channel":"open:a","data":1}}`, clientproto.Presence: `{"id":2,"presence":{"channel":"open:a"}}`,
	clientproto.PresenceStats: `{"id":2,"presence_stats":{"channel":"open:a"}}`, clientproto.History: `{"id":2,"history":{"channel":"open:a"}}`,
	clientproto.RPC: `{"id":2,"rpc":{"method":"connect"}}`, clientproto.Refresh: `{"id":2,"refresh":{"token":"x"}}`,
	clientproto.SubRefresh: `{"id":2,"sub_refresh":{"channel":"open:a","token":"x"}}`, clientproto.Send: `{"send":{"data":1}}`,
}

// TestStateMachine: every state × every method × handshake with and without a credential. What is out of order ends the
// connection with 3501, does nothing and is not answered; what is in order never does.
func TestStateMachine(t *testing.T) {
	states := map[string]struct {
		reach func(s *Session)
		legal func(m clientproto.Method) bool
	}{
		"new": {func(*Session) {}, func(m clientproto.Method) bool { return m == clientproto.Connect }},
		"connecting": {func(s *Session) { s.Command(nil, parse(t, lines[clientproto.Connect]), rules()) },
			func(clientproto.Method) bool { return false }},
		"rejected": {func(s *Session) {
			s.Command(nil, parse(t, lines[clientproto.Connect]), rules())
			s.Rejected(nil, 2, clientproto.ErrTokenExpired)
		}, func(m clientproto.Method) bool { return m == clientproto.Connect }},
		"connected": {func(s *Session) {
			s.Command(nil, parse(t, lines[clientproto.Connect]), rules())
			s.Authenticated(claims(t, "u"), rules())
			s.Welcome(nil, 2, testClient, nil, nil, rules(), now)
		}, func(m clientproto.Method) bool { return m != clientproto.Connect }},
		"/feed": {func(s *Session) { s.Authenticated(claims(t, "u"), rules()); s.Opened(testClient) },
			func(m clientproto.Method) bool { return m != clientproto.Connect }},
	}
	for m := clientproto.Pong; m <= clientproto.Send; m++ {
		if lines[m] == "" {
			t.Errorf("no line for the method %s", m)
			continue
		}
		for name, state := range states {
			for _, vouched := range []bool{false, true} {
				s := new(Session)
				if vouched {
					s.Vouch()
				}
				state.reach(s)
				before := *s
				out, step := s.Command(nil, parse(t, lines[m]), rules())
				switch legal := state.legal(m) || m == clientproto.Pong; {
				case legal && step.Close != nil:
					t.Errorf("%s, %s (vouched %v): closed with %d", name, m, vouched, step.Close.Code)
				case !legal && (step.Close != clientproto.CloseBadRequest || step.Kind != Done || len(out) > 0):
					t.Errorf("%s, %s (vouched %v): %+v and %q, want close 3501 and nothing else", name, m, vouched, step, out)
				case !legal && (s.state != before.state || s.user != before.user || len(s.Subs()) != len(before.Subs())):
					t.Errorf("%s, %s (vouched %v): the session changed", name, m, vouched)
				}
			}
		}
	}
	// A method that is none of the list, should the parser ever let one through.
	s := connectedAs(t, claims(t, "u"))
	if out, step := s.Command(nil, &clientproto.Command{ID: 3, Method: clientproto.Send + 1}, rules()); step.Kind != Done || step.Error != clientproto.ErrNotAvailable {
		t.Errorf("an unknown method: %s, %+v", out, step)
	}
}

// TestRefreshRaisesNothing: whatever a newer token names, a refresh makes no subscription, lifts no bound and leaves no room
// that was not there (P2).
func TestRefreshRaisesNothing(t *testing.T) {
	r := rules()
	s := connectedAs(t, claims(t, "u", feeds))
	for i := range r.Channels {
		s.Add(Sub{Channel: &hub.Channel{Name: fmt.Sprint("feeds:", i), ID: uint64(i)}})
	}
	for i := range 100 {
		c := claims(t, "u", everything)
		c.Channels = make([]string, 50)
		for n := range c.Channels {
			c.Channels[n] = fmt.Sprint("feeds:more", i, n)
		}
		c.Subs = map[string]token.Subscribe{"feeds:sub": {}}
		c.Roles = []string{"admin"}
		c.ExpiresAt += int64(i)
		if _, end := s.Refreshed(nil, 2, c, r, now); end != nil {
			t.Fatal(end.Reason)
		}
		if len(s.Subs()) != r.Channels || s.Room("feeds:new", r) != clientproto.ErrLimitExceeded {
			t.Fatalf("after %d refreshes: %d subscriptions, room: %v", i+1, len(s.Subs()), s.Room("feeds:new", r))
		}
	}
	if s.User() != "u" || s.Client() != testClient {
		t.Errorf("it is %q, %q", s.User(), s.Client())
	}
}

// permission is a session with a role and grants of its own, and rules with namespaces of every kind.
func permission(t testing.TB) (*Session, *Rules) {
	t.Helper()
	compile := func(caps ...grant.Capability) *grant.Set {
		set, err := grant.Compile(caps)
		if err != nil {
			t.Fatal(err)
		}
		return set
	}
	policy, err := grant.NewPolicy(map[string][]grant.Capability{"reader": {{Channels: []string{"feeds:*", "news:*"}, Allow: []string{"sub", "hst"}}}})
	if err != nil {
		t.Fatal(err)
	}
	r := &Rules{Policy: policy, Namespaces: map[string]Namespace{"": {}, "feeds": {}, "news": {}, "open": {Subscribe: true}}}
	s := new(Session)
	s.Authenticated(&token.Claims{Subject: "u", Grant: compile(grant.Capability{Channels: []string{"chat:lobby"}, Allow: []string{"sub"}}), Roles: []string{"reader"}}, r)
	return s, r
}

// TestPermissionDoesNotAllocate: what every command asks.
func TestPermissionDoesNotAllocate(t *testing.T) {
	if raceEnabled {
		t.Skip("skipped: allocations are counted without -race")
	}
	s, r := permission(t)
	for _, channel := range []string{"feeds:prices", "open:a", "chat:lobby", "feeds:*", "nowhere:a", "feeds:a#u", "feeds:a#v", "$feeds:a"} {
		if n := testing.AllocsPerRun(100, func() {
			s.MaySubscribe(channel, r)
			s.mayPublish(channel, r)
			s.maySee(channel, false, r)
		}); n != 0 {
			t.Errorf("%s: %v allocations", channel, n)
		}
	}
}

func BenchmarkMaySubscribe(b *testing.B) {
	s, r := permission(b)
	for b.Loop() {
		if s.MaySubscribe("news:prices", r) != nil {
			b.Fatal("refused")
		}
	}
}
