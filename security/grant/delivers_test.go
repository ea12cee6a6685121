package grant

import (
	"math/rand/v2"
	"strings"
	"testing"
)

func TestDelivers(t *testing.T) {
	for _, c := range []struct {
		pattern, channel string
		want             bool
	}{
		{"feeds:*", "feeds:a", true}, {"feeds:*", "feeds:", true}, {"feeds:*", "feeds", false},
		{"*", "a", true}, {"**", "ns:a", true}, {"*a*b*", "xaxbx", true},
		// what takes a token
		{"*", "$a", false}, {"*a", "$a", false}, {"$*", "$a", true}, {"$*", "a", false}, {"$feeds:*", "$feeds:a", true}, {"$feeds:*", "feeds:a", false},
		// what is one user's
		{"*", "a#bob", false}, {"a#*", "a#bob", false}, {"*#*", "a#bob", false}, {"a*b", "a#b", false}, {"a#b*", "a#bob", false},
		{"*#bob", "a#bob", true}, {"*#bob", "a#rob", false}, {"*b", "a#b", false}, {"*ob", "a#bob", false}, {"*#bob", "#bob", true},
		{"a:*#bob", "a:x#ann#bob", true}, {"a:*#ann#bob", "a:x#ann#bob", true}, {"a:*#bob#ann", "a:x#bob", false}, {"*#", "a#", true}, {"*", "a#", false},
		{"$*", "$a#bob", false}, {"$*#bob", "$a#bob", true}, {"*#bob", "$a#bob", false},
	} {
		if got := Delivers(c.pattern, c.channel); got != c.want {
			t.Errorf("Delivers(%q, %q) = %v", c.pattern, c.channel, got)
		}
	}
}

// mayName is what a session with these caps may subscribe to by name, written as
// plainly as possible.
func mayName(caps []Capability, user, token, channel string) bool {
	if parts := strings.Split(channel, "#"); len(parts) > 1 && (user == "" || parts[len(parts)-1] != user) {
		return false
	}
	if token != "" {
		return glob(token, channel)
	}
	return channel[0] != '$' && reference(caps, "sub", channel)
}

// TestPatternsOpenNothing: whatever is delivered through a pattern that a session
// may subscribe to, by its grant or a subscription token, it might have
// subscribed to by name.
func TestPatternsOpenNothing(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	text := func(alphabet string) string {
		b := make([]byte, 1+rng.IntN(6))
		for i := range b {
			b[i] = alphabet[rng.IntN(len(alphabet))]
		}
		return string(b)
	}
	subscribed, delivered := 0, 0
	for range 400_000 {
		var caps []Capability
		for range rng.IntN(3) {
			caps = append(caps, Capability{Channels: []string{text("ab$#:**"), text("ab#*")}, Allow: []string{"sub"}})
		}
		user, pattern := text("ab*")[:rng.IntN(2)], text("ab$#:**")
		token := ""
		if rng.IntN(3) == 0 {
			token = pattern
		}
		limited, mine := UserLimited(pattern, user)
		if limited && !mine || token == "" && (NeedsToken(pattern) || !compile(t, caps...).Allows(Sub, pattern)) {
			continue
		}
		subscribed++
		for range 8 {
			channel := strings.ReplaceAll(pattern, "*", text("ab$#:"))
			if rng.IntN(4) == 0 {
				channel = text("ab$#:")
			}
			if !Delivers(pattern, channel) {
				continue
			}
			if delivered++; !mayName(caps, user, token, channel) {
				t.Fatalf("user %q with %+v, token for %q: %q delivers %q", user, caps, token, pattern, channel)
			}
		}
	}
	if subscribed < 10_000 || delivered < 10_000 {
		t.Fatalf("%d subscribed, %d delivered: the test looks at too little", subscribed, delivered)
	}
}

func TestSpans(t *testing.T) {
	for pattern, want := range map[string]bool{
		"*": true, "feeds*": true, "f*:a": true, "$*": true, "*:": true,
		"feeds:*": false, "feeds:a*": false, "$feeds:*": false, ":*": false, "feeds:a": false, "a": false,
	} {
		if got := Spans(pattern); got != want {
			t.Errorf("Spans(%q) = %v", pattern, got)
		}
		if !Spans(pattern) && Namespace(strings.ReplaceAll(pattern, "*", "x:y")) != Namespace(pattern) {
			t.Errorf("%q matches names of another namespace than its own", pattern)
		}
	}
}

// TestDeliversIsCheap: hostile patterns end (who went back at each star would
// not), and none allocates.
func TestDeliversIsCheap(t *testing.T) {
	name := strings.Repeat("a", MaxChannelBytes-2) + "#u"
	for _, c := range []struct {
		pattern string
		want    bool
	}{
		{"*#u", true},
		{strings.Repeat("*", MaxChannelBytes-2) + "#u", true},
		{strings.Repeat("*", MaxChannelBytes), false},
		{strings.Repeat("a*", 126) + "b#u", false},
		{strings.Repeat("*a", 126) + "#u", true},
		{strings.Repeat("*a", 100) + "*b*#u", false},
		{strings.Repeat("*aaaaaaaab", 25) + "#u", false},
		{"*" + strings.Repeat("a", 127) + "b*#u", false},
	} {
		got := !c.want
		if n := testing.AllocsPerRun(100, func() { got = Delivers(c.pattern, name) }); n != 0 {
			t.Errorf("%.20q: %v allocations", c.pattern, n)
		}
		if got != c.want {
			t.Errorf("%.20q delivers: %v", c.pattern, got)
		}
	}
}
