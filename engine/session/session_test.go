package session

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"weir/engine/clientproto"
	"weir/engine/hub"
	"weir/security/grant"
	"weir/security/token"
)

var now = time.Unix(1_800_000_000, 0)

// testClient is the id of a test's connection, and testClientText how it is shown.
var testClient = ClientID{0xc1, 0x1e, 15: 1}

const testClientText = "c11e0000-0000-0000-0000-000000000001"

func rules() *Rules {
	return &Rules{Channels: 3, PingSeconds: 25, Node: "n", Version: "v", Namespaces: map[string]Namespace{
		"": {}, "feeds": {}, "open": {Subscribe: true, Publish: true}, "room": {Subscribe: true, PublishIfSubscribed: true},
	}}
}

func parse(t *testing.T, line string) *clientproto.Command {
	t.Helper()
	p := &clientproto.Parser{}
	p.Limits.Depth, p.Limits.Members = 16, 1024
	cmd := new(clientproto.Command)
	if v := p.Parse([]byte(line), cmd); v != nil {
		t.Fatalf("%s: refused as %s", line, v.Label)
	}
	return cmd
}

func claims(t *testing.T, user string, caps ...grant.Capability) *token.Claims {
	t.Helper()
	set, err := grant.Compile(caps)
	if err != nil {
		t.Fatal(err)
	}
	return &token.Claims{Subject: user, ExpiresAt: now.Unix() + 60, Grant: set}
}

func connectedAs(t *testing.T, c *token.Claims) *Session {
	t.Helper()
	s := new(Session)
	s.Command(nil, parse(t, `{"id":1,"connect":{"token":"x"}}`), rules())
	s.Authenticated(c, rules())
	s.Welcome(nil, 1, testClient, nil, nil, rules(), now)
	return s
}

var feeds = grant.Capability{Channels: []string{"feeds:*", "gone:*"}, Match: "wildcard", Allow: []string{"sub", "pub"}}

// TestOrderOfCommands: nothing but connect before connected, connect once.
func TestOrderOfCommands(t *testing.T) {
	early := []string{
		`{"id":2,"subscribe":{"channel":"open:a"}}`, `{"id":2,"unsubscribe":{"channel":"a"}}`,
		`{"id":2,"publish":{"channel":"open:a","data":1}}`, `{"id":2,"presence":{"channel":"a"}}`,
		`{"id":2,"presence_stats":{"channel":"a"}}`, `{"id":2,"history":{"channel":"a"}}`, `{"id":2,"rpc":{"method":"a"}}`,
		`{"id":2,"refresh":{"token":"a"}}`, `{"id":2,"sub_refresh":{"channel":"a","token":"a"}}`, `{"send":{"data":1}}`,
	}
	for _, line := range early {
		out, step := new(Session).Command(nil, parse(t, line), rules())
		if step.Close != clientproto.CloseBadRequest || len(out) != 0 || step.Kind != Done {
			t.Errorf("%s before connect: %+v, %q; want close 3501 and no reply", line, step, out)
		}
	}
	s := connectedAs(t, claims(t, "u"))
	if _, step := s.Command(nil, parse(t, `{"id":9,"connect":{"token":"x"}}`), rules()); step.Close != clientproto.CloseBadRequest {
		t.Errorf("a second connect: %+v, want close 3501", step)
	}
	s = new(Session)
	s.Command(nil, parse(t, `{"id":1,"connect":{"token":"x"}}`), rules())
	if _, step := s.Command(nil, parse(t, `{"id":2,"subscribe":{"channel":"open:a"}}`), rules()); step.Close != clientproto.CloseBadRequest {
		t.Errorf("a command while connecting: %+v, want close 3501", step)
	}
}

func TestConnect(t *testing.T) {
	r := rules()
	out, step := new(Session).Command(nil, parse(t, `{"id":1,"connect":{}}`), r)
	if step.Error != clientproto.ErrUnauthorized || !strings.Contains(string(out), `"code":101`) {
		t.Fatalf("no token: %+v %s; want error 101", step, out)
	}
	r.AllowAnonymous = true
	if _, step = new(Session).Command(nil, parse(t, `{"id":1,"connect":{}}`), r); step.Kind != Authenticate || len(step.Token) != 0 {
		t.Fatalf("anonymous: %+v; want Authenticate without a token", step)
	}
	vouched := new(Session)
	vouched.Vouch()
	if _, step = vouched.Command(nil, parse(t, `{"id":1,"connect":{}}`), rules()); step.Kind != Authenticate {
		t.Fatalf("vouched for by the handshake: %+v; want Authenticate", step)
	}
	s := new(Session)
	if _, step = s.Command(nil, parse(t, `{"id":1,"connect":{"token":"tok"}}`), rules()); step.Kind != Authenticate || string(step.Token) != "tok" {
		t.Fatalf("%+v; want Authenticate with the token", step)
	}
	c := claims(t, "u")
	c.Channels = []string{"feeds:a"}
	if channels := s.Authenticated(c, rules()); len(channels) != 1 || channels[0] != "feeds:a" {
		t.Fatalf("server-side subscriptions are %q", channels)
	}
	out = s.Welcome(nil, 1, testClient, nil, nil, rules(), now)
	want := `{"id":1,"connect":{"client":"` + testClientText + `","version":"v","expires":true,"ttl":60,"ping":25,"pong":true,"node":"n"}}`
	if string(out) != want {
		t.Fatalf("the reply is\n%s, want\n%s", out, want)
	}
}

func TestRejectedMayTryAgain(t *testing.T) {
	s := new(Session)
	s.Command(nil, parse(t, `{"id":1,"connect":{"token":"old"}}`), rules())
	if out := s.Rejected(nil, 1, clientproto.ErrTokenExpired); !strings.Contains(string(out), `"code":109`) {
		t.Fatalf("the reply is %s", out)
	}
	if _, step := s.Command(nil, parse(t, `{"id":2,"connect":{"token":"new"}}`), rules()); step.Kind != Authenticate {
		t.Fatalf("a second try: %+v", step)
	}
}

func TestMaySubscribe(t *testing.T) {
	for _, c := range []struct {
		user, channel string
		caps          []grant.Capability
		want          *clientproto.Error
	}{
		{"u", "feeds:a", []grant.Capability{feeds}, nil},
		{"u", "feeds:a", nil, clientproto.ErrPermissionDenied},
		{"u", "open:a", nil, nil},
		{"", "open:a", nil, nil},
		{"", "feeds:a", nil, clientproto.ErrPermissionDenied},
		{"u", "gone:a", []grant.Capability{feeds}, clientproto.ErrUnknownChannel},
		{"u", "gone:a", nil, clientproto.ErrPermissionDenied},
		{"u", "$open:a", nil, clientproto.ErrPermissionDenied},
		{"u", "open:a#u", nil, nil},
		{"u", "open:a#v", nil, clientproto.ErrPermissionDenied},
		{"", "open:a#", nil, clientproto.ErrPermissionDenied},
		{"u", "plain", nil, clientproto.ErrPermissionDenied},
		{"u", "op\u00e9n:a", nil, clientproto.ErrBadRequest},
		{"u", "", nil, clientproto.ErrBadRequest},
	} {
		s := connectedAs(t, claims(t, c.user, c.caps...))
		line, _ := json.Marshal(map[string]any{"id": 2, "subscribe": map[string]any{"channel": c.channel}})
		_, step := s.Command(nil, parse(t, string(line)), rules())
		if step.Error != c.want || (c.want == nil) != (step.Kind == Subscribe) {
			t.Errorf("user %q subscribes %q: %+v, want %+v", c.user, c.channel, step, c.want)
		}
	}
}

func TestSubscribeTwiceAndTooMuch(t *testing.T) {
	s := connectedAs(t, claims(t, "u"))
	for i, name := range []string{"open:a", "open:b", "open:c"} {
		if got := s.Add(Sub{Channel: &hub.Channel{Name: name}}); got != i {
			t.Fatalf("subscription %d has index %d", i, got)
		}
	}
	if _, step := s.Command(nil, parse(t, `{"id":2,"subscribe":{"channel":"open:b"}}`), rules()); step.Error != clientproto.ErrAlreadySubscribed {
		t.Errorf("twice: %+v, want 105", step)
	}
	if _, step := s.Command(nil, parse(t, `{"id":2,"subscribe":{"channel":"open:d"}}`), rules()); step.Error != clientproto.ErrLimitExceeded {
		t.Errorf("a fourth of three: %+v, want 106", step)
	}
	if _, step := s.Command(nil, parse(t, `{"id":3,"unsubscribe":{"channel":"open:a"}}`), rules()); step.Kind != Unsubscribe || step.Sub != 0 {
		t.Errorf("unsubscribe: %+v", step)
	}
	if !s.Drop(0) || s.Sub(0).Channel.Name != "open:c" || len(s.Subs()) != 2 {
		t.Error("the last subscription did not take the place of the one dropped")
	}
	if out, step := s.Command(nil, parse(t, `{"id":4,"unsubscribe":{"channel":"open:x"}}`), rules()); string(out) != `{"id":4,"unsubscribe":{}}` || step.Kind != Done {
		t.Errorf("unsubscribing from what is not subscribed: %s %+v, want no error", out, step)
	}
}

func TestMayPublish(t *testing.T) {
	for _, c := range []struct {
		channel string
		caps    []grant.Capability
		sub     bool
		want    *clientproto.Error
	}{
		{"feeds:a", []grant.Capability{feeds}, false, nil},
		{"feeds:a", nil, false, clientproto.ErrPermissionDenied},
		{"open:a", nil, false, nil},
		{"room:a", nil, false, clientproto.ErrPermissionDenied},
		{"room:a", nil, true, nil},
		{"gone:a", []grant.Capability{feeds}, false, clientproto.ErrUnknownChannel},
		{"open:*", nil, false, clientproto.ErrBadRequest},
		{"open:a#v", nil, false, clientproto.ErrPermissionDenied},
	} {
		s := connectedAs(t, claims(t, "u", c.caps...))
		if c.sub {
			s.Add(Sub{Channel: &hub.Channel{Name: c.channel}})
		}
		_, step := s.Command(nil, parse(t, `{"id":2,"publish":{"channel":"`+c.channel+`","data":{"a":1}}}`), rules())
		if step.Error != c.want || (c.want == nil) != (step.Kind == Publish) {
			t.Errorf("publish to %q (subscribed: %v): %+v, want %+v", c.channel, c.sub, step, c.want)
		}
	}
}

func TestWhatIsNotThereSaysSo(t *testing.T) {
	s := connectedAs(t, claims(t, "u", grant.Capability{Channels: []string{"open:*"}, Match: "wildcard", Allow: []string{"hst", "prs"}}))
	for _, line := range []string{`{"id":2,"presence":{"channel":"open:a"}}`, `{"id":2,"presence_stats":{"channel":"open:a"}}`,
		`{"id":2,"history":{"channel":"open:a"}}`, `{"id":2,"rpc":{"method":"m"}}`} {
		if _, step := s.Command(nil, parse(t, line), rules()); step.Error != clientproto.ErrNotAvailable {
			t.Errorf("%s: %+v, want 108", line, step)
		}
	}
}

func TestExpireAtWinsOverExp(t *testing.T) {
	c := claims(t, "u")
	never := int64(0)
	c.ExpireAt = &never
	if s := connectedAs(t, c); s.Expires() != 0 {
		t.Fatalf("expire_at 0 is never, the session ends at %d", s.Expires())
	}
}

// TestOpenedWithoutConnect: a push-only connection has a user, an id and
// permissions like any other.
func TestOpenedWithoutConnect(t *testing.T) {
	r := rules()
	s := new(Session)
	s.Authenticated(claims(t, "u", feeds), rules())
	for channel, want := range map[string]*clientproto.Error{
		"feeds:a": nil, "open:a": nil, "feeds:a#u": nil,
		"feeds:a#v": clientproto.ErrPermissionDenied, "$feeds:a": clientproto.ErrPermissionDenied,
		"a": clientproto.ErrPermissionDenied, "nowhere:a": clientproto.ErrPermissionDenied,
		"gone:a": clientproto.ErrUnknownChannel,
	} {
		if e := s.MaySubscribe(channel, r); e != want {
			t.Errorf("%s: %v, want %v", channel, e, want)
		}
	}
	if s.Connected() {
		t.Error("connected before it was opened")
	}
	if s.Opened(testClient); !s.Connected() || s.Client() != testClient || s.User() != "u" || s.Expires() != now.Unix()+60 {
		t.Errorf("%+v", s)
	}
	anonymous := new(Session)
	anonymous.Authenticated(nil, rules())
	if e := anonymous.MaySubscribe("open:a", r); e != nil {
		t.Errorf("anonymous, where clients may subscribe: %v", e)
	}
	if e := anonymous.MaySubscribe("feeds:a", r); e != clientproto.ErrPermissionDenied {
		t.Errorf("anonymous, without a grant: %v", e)
	}
}
