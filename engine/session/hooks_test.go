package session

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"weir/engine/broker"
	"weir/engine/clientproto"
	"weir/engine/hub"
	"weir/security/grant"
)

// asking are rules with a backend that is asked everything; the namespace asked
// is what it decides about.
func asking() *Rules {
	r := rules()
	r.Asks = Asks{Connect: true, RPC: true, Send: true}
	r.Namespaces["asked"] = Namespace{SubscribeHook: true, PublishHook: true, Subscribe: true, Publish: true}
	return r
}

// everything is a grant that covers all names.
var everything = grant.Capability{Channels: []string{"*"}, Match: "wildcard", Allow: []string{"sub", "pub"}}

func TestAskConnect(t *testing.T) {
	vouched := new(Session)
	vouched.Vouch()
	for _, c := range []struct {
		name, line string
		s          *Session
		want       Kind
	}{
		{"no token", `{"id":1,"connect":{"name":"js","data":{"a":1}}}`, new(Session), AskConnect},
		{"a token", `{"id":1,"connect":{"token":"t"}}`, new(Session), Authenticate},
		{"a credential of the handshake", `{"id":1,"connect":{}}`, vouched, Authenticate},
	} {
		_, step := c.s.Command(nil, parse(t, c.line), asking())
		if step.Kind != c.want || step.ID != 1 {
			t.Errorf("%s: %+v", c.name, step)
		}
		if c.want == AskConnect && (string(step.Data) != `{"a":1}` || string(step.Command.Connect.Name) != "js") {
			t.Errorf("%s: %+v", c.name, step)
		}
		if _, step = c.s.Command(nil, parse(t, `{"id":2,"rpc":{"method":"m"}}`), asking()); step.Close != clientproto.CloseBadRequest {
			t.Errorf("%s: a command before the answer: %+v, want close 3501", c.name, step)
		}
	}
	s := new(Session)
	s.Command(nil, parse(t, `{"id":1,"connect":{}}`), asking())
	s.Backed()
	s.Authenticated(claims(t, "u"), rules())
	if out := string(s.Welcome(nil, 1, testClient, nil, []byte(`{"hello":1}`), asking(), now)); strings.Contains(out, "expires") || !strings.Contains(out, `"data":{"hello":1}`) || s.Expires() == 0 {
		t.Errorf("%s, ends at %d: it ends, and the client cannot do anything about it", out, s.Expires())
	}
}

func TestRPCAndSend(t *testing.T) {
	for _, c := range []struct {
		line string
		want Kind
		id   uint32
	}{
		{`{"id":2,"rpc":{"method":"m","data":[1]}}`, RPC, 2}, {`{"send":{"data":[1]}}`, Send, 0},
	} {
		s := connectedAs(t, claims(t, "u"))
		out, step := s.Command(nil, parse(t, c.line), asking())
		if len(out) > 0 || step.Kind != c.want || step.ID != c.id || string(step.Data) != "[1]" || step.Command == nil {
			t.Errorf("%s: %s, %+v", c.line, out, step)
		}
		out, step = s.Command(nil, parse(t, c.line), rules())
		if step.Kind != Done || step.Error != clientproto.ErrNotAvailable || (len(out) > 0) != (c.id > 0) {
			t.Errorf("%s, nobody to ask: %s, %+v", c.line, out, step)
		}
	}
}

// TestAskSubscribe: in a namespace with a hook that alone permits, and within the
// rules that a subscription token keeps to.
func TestAskSubscribe(t *testing.T) {
	for _, c := range []struct {
		channel, token string
		want           Kind
		refused        *clientproto.Error
	}{
		{"asked:a", "", AskSubscribe, nil},
		{"asked:a#u", "", AskSubscribe, nil},
		{"asked:a", "tok", SubToken, nil},
		{"$asked:a", "tok", SubToken, nil},
		{"$asked:a", "", Done, clientproto.ErrPermissionDenied},
		{"asked:a#v", "", Done, clientproto.ErrPermissionDenied},
		{"asked:*", "", Done, clientproto.ErrPermissionDenied},
		{"as*", "", Done, clientproto.ErrPermissionDenied},
		{"*", "", Done, clientproto.ErrPermissionDenied},
		{"asked:*", "tok", SubToken, nil},
		{"feeds:*", "", Subscribe, nil},
		{"asked:\u00e9", "", Done, clientproto.ErrBadRequest},
		{"nowhere:a", "", Done, clientproto.ErrUnknownChannel},
		{"feeds:a", "", Subscribe, nil},
	} {
		s := connectedAs(t, claims(t, "u", everything))
		_, step := s.Command(nil, parse(t, fmt.Sprintf(`{"id":2,"subscribe":{"channel":%q,"token":%q,"data":{"d":1}}}`, c.channel, c.token)), asking())
		if step.Kind != c.want || step.Error != c.refused {
			t.Errorf("%s, token %q: %+v", c.channel, c.token, step)
		}
		if c.want == AskSubscribe && (step.Channel != c.channel || string(step.Data) != `{"d":1}`) {
			t.Errorf("%s: %+v", c.channel, step)
		}
		if e := s.MaySubscribe("asked:a", asking()); e != clientproto.ErrPermissionDenied {
			t.Errorf("without asking: %v, want 103", e)
		}
	}
	s := connectedAs(t, nil) // a client without a grant may be asked about
	if _, step := s.Command(nil, parse(t, `{"id":2,"subscribe":{"channel":"asked:a"}}`), asking()); step.Kind != AskSubscribe {
		t.Errorf("anonymous: %+v", step)
	}
}

func TestApproved(t *testing.T) {
	ask := func() (*Session, Step) {
		s := connectedAs(t, claims(t, "u"))
		_, step := s.Command(nil, parse(t, `{"id":2,"subscribe":{"channel":"asked:a"}}`), asking())
		return s, step
	}
	s, step := ask()
	p := &Approval{Info: json.RawMessage(`"i"`), Data: []byte(`"d"`), Expires: now.Unix() + 60}
	_, step = s.Approved(nil, step, p, asking(), now)
	if step.Kind != Subscribe || step.ID != 2 || step.Channel != "asked:a" {
		t.Fatalf("%+v", step)
	}
	s.Add(Sub{Channel: &hub.Channel{Name: "asked:a"}})
	res := s.Subscribed(&step, &broker.Attached{}, now)
	if sub := s.Sub(0); sub.By != ByHook || string(sub.Info()) != `"i"` || s.NextExpiry() != now.Unix()+60 {
		t.Errorf("%+v", sub)
	}
	if string(res.Data) != `"d"` || res.Expires {
		t.Errorf("%+v: when it is over the client asks anew, not with a token", res)
	}
	if !s.Keeps(0, nil, asking()) {
		t.Error("a refresh takes away what the backend permitted")
	}
	if _, end := s.Command(nil, parse(t, `{"id":3,"sub_refresh":{"channel":"asked:a","token":"t"}}`), asking()); end.Error != clientproto.ErrBadRequest {
		t.Errorf("sub_refresh: %+v, want 107", end)
	}

	s, step = ask()
	if _, over := s.Approved(nil, step, &Approval{Expires: now.Unix()}, asking(), now); over.Error != clientproto.ErrExpired {
		t.Errorf("over already: %+v, want 110", over)
	}
	s.Add(Sub{Channel: &hub.Channel{Name: "asked:a"}})
	if _, twice := s.Approved(nil, step, &Approval{}, asking(), now); twice.Error != clientproto.ErrAlreadySubscribed {
		t.Errorf("subscribed meanwhile: %+v, want 105", twice)
	}
	s.Drop(0)
	for _, name := range []string{"open:a", "open:b", "open:c"} {
		s.Add(Sub{Channel: &hub.Channel{Name: name}})
	}
	if _, full := s.Approved(nil, step, &Approval{}, asking(), now); full.Error != clientproto.ErrLimitExceeded {
		t.Errorf("full meanwhile: %+v, want 106", full)
	}
}

func TestAskPublish(t *testing.T) {
	for channel, want := range map[string]struct {
		kind    Kind
		refused *clientproto.Error
	}{
		"asked:a": {AskPublish, nil}, "asked:a#u": {AskPublish, nil}, "asked:a#v": {Done, clientproto.ErrPermissionDenied},
		"asked:*": {Done, clientproto.ErrBadRequest}, "open:a": {Publish, nil}, "nowhere:a": {Done, clientproto.ErrPermissionDenied},
	} {
		s := connectedAs(t, claims(t, "u"))
		_, step := s.Command(nil, parse(t, `{"id":2,"publish":{"channel":"`+channel+`","data":{"a":1}}}`), asking())
		if step.Kind != want.kind || step.Error != want.refused || want.refused == nil && string(step.Data) != `{"a":1}` {
			t.Errorf("%s: %+v", channel, step)
		}
	}
}
