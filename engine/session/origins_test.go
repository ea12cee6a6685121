package session

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"weir/engine/clientproto"
	"weir/engine/hub"
	"weir/security/grant"
	"weir/security/origin"
	"weir/security/token"
)

// byOrigin are rules in which the namespace inside is for one page, and what IDs its page, another that
// may connect and a client without an Origin have.
func byOrigin(t *testing.T) (r *Rules, inside, outside, none origin.ID) {
	t.Helper()
	var g origin.Ledger
	index := func(words ...string) *origin.Index {
		l, err := origin.Parse(words)
		if err != nil {
			t.Fatal(err)
		}
		return g.Index(l)
	}
	all := index("https://in.example", "https://out.example")
	inside, _ = all.Find([]byte("https://in.example"))
	outside, _ = all.Find([]byte("https://out.example"))
	r = rules()
	r.ByOrigin = true
	open := Namespace{Subscribe: true, Publish: true, HistoryIfSubscribed: true, PresenceIfSubscribed: true, Presence: true, JoinLeave: true}
	open.Keep.Size, open.Keep.TTL = 5, 1e9
	closed := open
	closed.Origins = index("https://in.example")
	hooked := closed
	hooked.SubscribeHook, hooked.PublishHook = true, true
	r.Namespaces = map[string]Namespace{"": {}, "out": open, "in": closed, "hook": hooked}
	return r, inside, outside, 0
}

// TestOrigins: every verb × every origin × granted, open to clients or neither × namespace. What an origin may
// not is answered as a channel that there is not.
func TestOrigins(t *testing.T) {
	r, inside, outside, none := byOrigin(t)
	commands := []string{
		`"subscribe":{"channel":%q}`, `"subscribe":{"channel":%q,"token":"t"}`, `"publish":{"channel":%q,"data":1}`,
		`"history":{"channel":%q,"limit":1}`, `"presence":{"channel":%q}`, `"presence_stats":{"channel":%q}`,
	}
	all := grant.Capability{Channels: []string{"*"}, Match: "wildcard", Allow: []string{"sub", "pub", "hst", "prs"}}
	ok := 0
	for _, from := range []origin.ID{inside, outside, none} {
		for _, caps := range [][]grant.Capability{nil, {all}} {
			for _, command := range commands {
				for _, ns := range []string{"in", "out", "hook"} {
					s := new(Session)
					s.From(from)
					s.Command(nil, parse(t, `{"id":1,"connect":{"token":"x"}}`), r)
					s.Authenticated(claims(t, "u", caps...), r)
					s.Welcome(nil, 1, testClient, nil, nil, r, now)
					out, step := s.Command(nil, parse(t, fmt.Sprintf(`{"id":2,`+command+`}`, ns+":a")), r)
					mayBe := from == inside || ns == "out"
					switch {
					case !mayBe && (step.Kind != Done || string(out) != `{"id":2,"error":{"code":103,"message":"permission denied"}}`):
						t.Errorf("origin %d, %v, "+command+": %s, %+v", from, caps, ns, out, step)
					case mayBe && (len(caps) > 0 || strings.Contains(command, "subscribe")) && step.Kind == Done:
						t.Errorf("origin %d, %v, "+command+": refused %s", from, caps, ns, out)
					case step.Kind != Done:
						ok++
					}
				}
			}
		}
	}
	if ok < 20 {
		t.Errorf("%d were let through: the table tests one side only", ok)
	}
}

// TestOriginsOfPatterns: a pattern that may reach into a namespace is closed where that is.
func TestOriginsOfPatterns(t *testing.T) {
	r, inside, outside, none := byOrigin(t)
	delete(r.Namespaces, "hook")
	for _, c := range []struct {
		pattern string
		from    origin.ID
		want    bool
	}{
		{"in:*", inside, true}, {"in:*", outside, false}, {"in:*", none, false}, {"out:*", outside, true}, {"*", inside, true},
		{"*", outside, false}, {"i*", outside, false}, {"o*", outside, false}, {"$*", outside, false}, {"$in:a", outside, false}, {"$in:*", inside, true},
	} {
		s := new(Session)
		s.From(c.from)
		if got := s.Admitted(c.pattern, r); got != c.want {
			t.Errorf("%s from %d: %v", c.pattern, c.from, got)
		}
	}
}

// TestOriginsChangeMeanwhile: what was permitted when it was asked for is not when the answer comes.
func TestOriginsChangeMeanwhile(t *testing.T) {
	r, _, outside, _ := byOrigin(t)
	before := rules()
	before.Namespaces = map[string]Namespace{"": {}, "in": {Subscribe: true}, "hook": {SubscribeHook: true}}
	s := connectedAs(t, claims(t, "u"))
	s.From(outside)
	_, step := s.Command(nil, parse(t, `{"id":2,"subscribe":{"channel":"in:a","token":"t"}}`), before)
	out, step := s.SubChecked(nil, step, &token.SubClaims{Subject: "u", Channel: "in:a", ExpiresAt: now.Unix() + 60}, nil, r, now)
	if step.Error != clientproto.ErrPermissionDenied {
		t.Errorf("a subscription token: %s, %+v", out, step)
	}
	_, step = s.Command(nil, parse(t, `{"id":3,"subscribe":{"channel":"hook:a"}}`), before)
	if step.Kind != AskSubscribe {
		t.Fatalf("%+v", step)
	}
	if out, step = s.Approved(nil, step, &Approval{Data: json.RawMessage("1")}, r, now); step.Error != clientproto.ErrPermissionDenied {
		t.Errorf("the backend's yes: %s, %+v", out, step)
	}
	for _, by := range []Permit{ByGrant, ByToken, ByOrder, ByHook} {
		i := s.Add(Sub{Channel: &hub.Channel{Name: "in:a"}, By: by})
		if s.Permitted(i, r) {
			t.Errorf("a subscription by %d goes on", by)
		}
		s.Drop(i)
	}
}
