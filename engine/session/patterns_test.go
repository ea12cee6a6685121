package session

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"weir/engine/broker"
	"weir/engine/clientproto"
	"weir/engine/hub"
	"weir/security/grant"
)

func wildcard(patterns ...string) grant.Capability {
	return grant.Capability{Channels: patterns, Match: "wildcard", Allow: []string{"sub"}}
}

func pattern(name string) Sub { return Sub{Channel: &hub.Channel{Name: name, Pattern: true}} }

func TestMaySubscribePatterns(t *testing.T) {
	for _, c := range []struct {
		user, pattern string
		caps          []grant.Capability
		want          *clientproto.Error
	}{
		{"u", "feeds:*", []grant.Capability{feeds}, nil},
		{"u", "feeds:a*b*", []grant.Capability{feeds}, nil},
		{"u", "feeds:**", []grant.Capability{feeds}, nil},
		{"u", "feeds*", []grant.Capability{feeds}, clientproto.ErrPermissionDenied},
		{"u", "*", []grant.Capability{feeds}, clientproto.ErrPermissionDenied},
		{"u", "feeds:*", []grant.Capability{wildcard("feeds:a*", "feeds:b*", "feeds:a")}, clientproto.ErrPermissionDenied},
		{"u", "feeds:*", nil, clientproto.ErrPermissionDenied},
		{"u", "*", []grant.Capability{wildcard("*")}, nil},
		{"u", "f*:a", []grant.Capability{wildcard("*")}, nil},
		{"u", strings.Repeat("*", 255), []grant.Capability{wildcard("*")}, nil},
		{"u", strings.Repeat("*", 256), []grant.Capability{wildcard("*")}, clientproto.ErrBadRequest},
		// namespaces that all may subscribe to, and that are not there
		{"u", "open:*", nil, nil},
		{"", "open:*", nil, nil},
		{"u", "open*", nil, clientproto.ErrPermissionDenied},
		{"u", "ope*:a", nil, clientproto.ErrPermissionDenied},
		{"u", "o*", nil, clientproto.ErrPermissionDenied},
		{"u", "gone:*", []grant.Capability{feeds}, clientproto.ErrUnknownChannel},
		{"u", "gone:*", nil, clientproto.ErrPermissionDenied},
		// what takes a token, and what is one user's
		{"u", "$open:*", nil, clientproto.ErrPermissionDenied},
		{"u", "$*", []grant.Capability{wildcard("*")}, clientproto.ErrPermissionDenied},
		{"u", "open:*#u", []grant.Capability{wildcard("open:*")}, nil},
		{"u", "open:*#u", nil, clientproto.ErrPermissionDenied},
		{"u", "open:**", nil, clientproto.ErrPermissionDenied},
		{"u", "open:a*", nil, clientproto.ErrPermissionDenied},
		{"u", "open:*a", nil, clientproto.ErrPermissionDenied},
		{"u", "open:*#v", nil, clientproto.ErrPermissionDenied},
		{"u", "open:a#*", nil, clientproto.ErrPermissionDenied},
		{"*", "open:a#*", nil, clientproto.ErrPermissionDenied},
		{"u*", "open:a#u*", nil, clientproto.ErrPermissionDenied},
		{"u", "*#*", []grant.Capability{wildcard("*")}, clientproto.ErrPermissionDenied},
		{"", "open:*#", nil, clientproto.ErrPermissionDenied},
	} {
		s := connectedAs(t, claims(t, c.user, c.caps...))
		_, step := s.Command(nil, parse(t, fmt.Sprintf(`{"id":2,"subscribe":{"channel":%q}}`, c.pattern)), rules())
		if step.Error != c.want || (c.want == nil) != (step.Kind == Subscribe && step.Channel == c.pattern) {
			t.Errorf("user %q subscribes to %.20q: %+v, want %+v", c.user, c.pattern, step, c.want)
		}
	}
}

// mayByName is who may subscribe to one channel without a token, as plainly as
// it can be written.
func mayByName(user string, granted []string, open map[string]bool, channel string) bool {
	if strings.HasPrefix(channel, "$") {
		return false
	}
	if i := strings.LastIndex(channel, "#"); i >= 0 && (user == "" || channel[i+1:] != user) {
		return false
	}
	for _, g := range granted {
		if glob(g, channel) {
			return true
		}
	}
	name, _, found := strings.Cut(channel, ":")
	return found && open[name] || !found && open[""]
}

func glob(pattern, name string) bool {
	if pattern == "" || name == "" {
		return strings.Trim(pattern, "*") == "" && name == ""
	}
	if pattern[0] == '*' {
		return glob(pattern[1:], name) || glob(pattern, name[1:])
	}
	return pattern[0] == name[0] && glob(pattern[1:], name[1:])
}

// TestPatternsOpenNothing: what comes through a pattern that a session may
// subscribe to, it might subscribe to by name.
func TestPatternsOpenNothing(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 10))
	text := func(alphabet string) string {
		b := make([]byte, 1+rng.IntN(6))
		for i := range b {
			b[i] = alphabet[rng.IntN(len(alphabet))]
		}
		return string(b)
	}
	delivered := 0
	for range 200_000 {
		open := map[string]bool{"": rng.IntN(2) == 0, "a": rng.IntN(2) == 0, "ab": rng.IntN(2) == 0}
		r := rules()
		r.Namespaces = map[string]Namespace{}
		for name, subscribe := range open {
			r.Namespaces[name] = Namespace{Subscribe: subscribe}
		}
		var granted []string
		for range rng.IntN(3) {
			granted = append(granted, text("ab$#:**"))
		}
		user, wild := text("ab*")[:rng.IntN(2)], text("ab$#:**")
		s := new(Session)
		s.Authenticated(claims(t, user, wildcard(granted...)), rules())
		if s.MaySubscribe(wild, r) != nil {
			continue
		}
		for range 8 {
			channel := strings.ReplaceAll(wild, "*", text("ab$#:"))
			if r.Known(channel) != nil || !grant.Delivers(wild, channel) {
				continue
			}
			if delivered++; !mayByName(user, granted, open, channel) || s.MaySubscribe(channel, r) != nil {
				t.Fatalf("user %q with %q, open %v: %q delivers %q", user, granted, open, wild, channel)
			}
		}
	}
	if delivered < 10_000 {
		t.Fatalf("%d delivered: the test looks at too little", delivered)
	}
}

// TestPatternsHaveNoPosition, whatever is asked and whatever the namespace says.
func TestPatternsHaveNoPosition(t *testing.T) {
	r := rules()
	r.RecoveryLimit = 10
	r.Namespaces["feeds"] = Namespace{Keep: broker.Retention{Size: 10, TTL: 1 << 40}, ForceRecovery: true, ForcePositioning: true, Delta: true, Presence: true, JoinLeave: true}
	s := connectedAs(t, claims(t, "u", wildcard("*")))
	for _, name := range []string{"feeds:*", "*"} {
		if ns, known := r.namespace(name); ns != (Namespace{}) || !known {
			t.Errorf("%s has options of its namespace: %+v", name, ns)
		}
		_, step := s.Command(nil, parse(t, `{"id":2,"subscribe":{"channel":"`+name+`","recover":true,"recoverable":true,"positioned":true,"offset":3,"epoch":"e","delta":"fossil","join_leave":true,"flag":2}}`), r)
		if step.Kind != Subscribe || step.Plan != (Plan{}) {
			t.Errorf("%s: %+v, want nothing of what is asked", name, step)
		}
		if plan := r.ServerPlan(name, []Recover{{Channel: name, From: broker.Position{Offset: 3}}}); plan != (Plan{}) {
			t.Errorf("%s by the server: %+v", name, plan)
		}
	}
	s.Add(pattern("feeds:*"))
	result := s.Subscribed(&Step{}, &broker.Attached{}, now)
	if got := string(clientproto.AppendSubscribe(nil, 2, &result)); got != `{"id":2,"subscribe":{}}` {
		t.Errorf("the reply is %s", got)
	}
}

func TestOverlappingPatterns(t *testing.T) {
	r := rules()
	r.Channels, r.Overlap = 0, 3
	s := connectedAs(t, claims(t, "u", wildcard("*")))
	s.Add(Sub{Channel: &hub.Channel{Name: "feeds:a"}})
	for _, name := range []string{"feeds:a*", "feeds:a*1", "feeds:abc*", "feeds:b*", "news:*"} {
		if e := s.Room(name, r); e != nil {
			t.Fatalf("%s: %+v", name, e)
		}
		s.Add(pattern(name))
	}
	for name, want := range map[string]*clientproto.Error{
		"feeds:abcd*": clientproto.ErrLimitExceeded, "feeds:*": clientproto.ErrLimitExceeded, "*": clientproto.ErrLimitExceeded,
		"feeds:ax*": nil, "feeds:abx*": nil, "feeds:b*1": nil, "x*": nil, "feeds:abcd": nil,
		"feeds:a*": clientproto.ErrAlreadySubscribed, "feeds:a": clientproto.ErrAlreadySubscribed,
	} {
		if e := s.Room(name, r); e != want {
			t.Errorf("%s: %+v, want %+v", name, e, want)
		}
	}
}

// TestSubscribedThroughAPattern: who receives a channel is its subscriber.
func TestSubscribedThroughAPattern(t *testing.T) {
	r := rules()
	r.Namespaces["room"] = Namespace{PublishIfSubscribed: true, HistoryIfSubscribed: true, Keep: broker.Retention{Size: 10, TTL: 1 << 40}}
	s := connectedAs(t, claims(t, "u"))
	s.Add(pattern("room:a*"))
	for channel, want := range map[string]*clientproto.Error{
		"room:ab": nil, "room:b": clientproto.ErrPermissionDenied, "room:a#u": clientproto.ErrPermissionDenied,
		"$room:ab": clientproto.ErrPermissionDenied, "room:a*": clientproto.ErrBadRequest,
	} {
		if _, step := s.Command(nil, parse(t, `{"id":2,"publish":{"channel":"`+channel+`","data":1}}`), r); step.Error != want {
			t.Errorf("publish to %s: %+v, want %+v", channel, step, want)
		}
		if _, step := s.Command(nil, parse(t, `{"id":2,"history":{"channel":"`+channel+`"}}`), r); step.Error != want {
			t.Errorf("history of %s: %+v, want %+v", channel, step, want)
		}
	}
}

func TestSubscribableByTheServer(t *testing.T) {
	for name, want := range map[string]*clientproto.Error{
		"feeds:a": nil, "feeds:*": nil, "*": nil, "$feeds:*": nil, "feeds:*#v": nil, "f*:a": nil,
		"nowhere:*": clientproto.ErrUnknownChannel, "feeds:a#*": clientproto.ErrBadRequest, "*#a*": clientproto.ErrBadRequest,
		"feeds:\t*": clientproto.ErrBadRequest, "": clientproto.ErrBadRequest, "nowhere:a": clientproto.ErrUnknownChannel,
	} {
		if e := rules().Subscribable(name); e != want {
			t.Errorf("%q: %+v, want %+v", name, e, want)
		}
		if e := rules().Known(name); grant.IsPattern(name) && e != clientproto.ErrBadRequest {
			t.Errorf("a publication to %q: %+v, want 107", name, e)
		}
	}
}
