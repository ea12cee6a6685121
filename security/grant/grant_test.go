package grant

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"
)

func compile(t testing.TB, caps ...Capability) *Set {
	t.Helper()
	set, err := Compile(caps)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func TestNothingIsAllowedWithoutAGrant(t *testing.T) {
	sets := map[string]*Set{
		"nil":         nil,
		"zero":        {},
		"no caps":     compile(t),
		"no verbs":    compile(t, Capability{Channels: []string{"*"}}),
		"no channels": compile(t, Capability{Allow: []string{"sub", "pub", "hst", "prs"}}),
	}
	for name, set := range sets {
		for _, v := range []Verb{Sub, Pub, Hst, Prs, Sub | Pub | Hst | Prs} {
			if set.Allows(v, "feeds:prices") {
				t.Errorf("%s: verb %d is allowed", name, v)
			}
		}
	}
	all := compile(t, Capability{Channels: []string{"*"}, Allow: []string{"sub", "pub", "hst", "prs"}})
	for _, v := range []Verb{0, 1 << 4, Sub | 1<<7} {
		if all.Allows(v, "feeds:prices") {
			t.Errorf("verb %#x, which does not exist, is allowed", v)
		}
	}
	for _, name := range []string{"", "a\nb", "\x00", "é", strings.Repeat("a", MaxChannelBytes+1)} {
		if all.Allows(Sub, name) {
			t.Errorf("%q, which is no channel name, is allowed", name)
		}
	}
}

func TestAllows(t *testing.T) {
	set := compile(t,
		Capability{Channels: []string{"feeds:prices", "feeds:*:open"}, Allow: []string{"sub"}},
		Capability{Channels: []string{"feeds:prices"}, Match: "exact", Allow: []string{"hst"}},
		Capability{Channels: []string{"feeds:p*"}, Match: "wildcard", Allow: []string{"prs"}},
		Capability{Channels: []string{"chat:*"}, Allow: []string{"sub", "pub"}},
	)
	for _, c := range []struct {
		verb    Verb
		channel string
		want    bool
	}{
		{Sub, "feeds:prices", true},
		{Hst, "feeds:prices", true},
		{Prs, "feeds:prices", true},
		{Sub | Hst | Prs, "feeds:prices", true}, // together, from three grants
		{Sub | Pub, "feeds:prices", false},
		{Sub | Prs, "feeds:px", false}, // only the second
		{Pub, "feeds:prices", false},
		{Sub, "feeds:price", false},
		{Sub, "feeds:prices2", false},
		{Sub, "Feeds:prices", false},
		{Sub, "feeds:prices ", false},
		{Hst, "feeds:pricesx", false},
		{Prs, "feeds:p", true},
		{Sub, "feeds:acme:open", true},
		{Sub, "feeds::open", true},
		{Sub, "feeds:open", false},
		{Sub | Pub, "chat:", true},
		{Sub, "chat", false},
		{Sub, "$chat:a", false},
		// wildcard subscriptions: only what one grant covers whole
		{Sub, "chat:*", true},
		{Sub, "chat:room*", true},
		{Sub, "*", false},
		{Sub, "chat*", false},
		{Sub, "feeds:*", false},
		{Prs, "feeds:p*x*", true},
		{Sub, "feeds:price*", false}, // an exact name covers no pattern
	} {
		if got := set.Allows(c.verb, c.channel); got != c.want {
			t.Errorf("Allows(%d, %q) = %v", c.verb, c.channel, got)
		}
	}
}

func TestCompileRefuses(t *testing.T) {
	many := make([]string, maxPatterns+1)
	for i := range many {
		many[i] = fmt.Sprintf("c%d*", i)
	}
	for _, c := range []struct {
		name string
		caps []Capability
		want string
	}{
		{"unknown verb", []Capability{{Channels: []string{"a"}, Allow: []string{"sub", "admin"}}}, "caps[0]: allow[1]: verb is none of"},
		{"verb in capitals", []Capability{{Channels: []string{"a"}, Allow: []string{"Sub"}}}, "caps[0]: allow[0]"},
		{"unknown match", []Capability{{}, {Channels: []string{"a"}, Match: "regex", Allow: []string{"sub"}}}, "caps[1]: match is neither"},
		{"star in an exact name", []Capability{{Channels: []string{"a*"}, Match: "exact", Allow: []string{"sub"}}}, `use match "wildcard"`},
		{"empty name", []Capability{{Channels: []string{"a", ""}, Allow: []string{"sub"}}}, "caps[0]: channels[1]: channel name is empty"},
		{"control character", []Capability{{Channels: []string{"a\n"}, Allow: []string{"sub"}}}, "not printable ASCII"},
		{"too long", []Capability{{Channels: []string{strings.Repeat("*", 256)}, Allow: []string{"sub"}}}, "longer than 255"},
		{"too many patterns", []Capability{{Channels: many, Allow: []string{"sub"}}}, "at most 1024"},
		{"too many capabilities", make([]Capability, maxCapabilities+1), "at most 1024"},
	} {
		set, err := Compile(c.caps)
		if err == nil || set != nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want an error with %q", c.name, err, c.want)
		}
	}
}

// reference is the rule of PROTOCOL.md written as plainly as possible: P1's reference.
func reference(caps []Capability, verb, channel string) bool {
	for _, c := range caps {
		verbs := " " + strings.Join(c.Allow, " ") + " "
		if !strings.Contains(verbs, " "+verb+" ") {
			continue
		}
		for _, p := range c.Channels {
			if glob(p, channel) {
				return true
			}
		}
	}
	return false
}

func glob(pattern, name string) bool {
	if pattern == "" {
		return name == ""
	}
	if pattern[0] != '*' {
		return name != "" && name[0] == pattern[0] && name[0] != '*' && glob(pattern[1:], name[1:])
	}
	return glob(pattern[1:], name) || name != "" && glob(pattern, name[1:])
}

func TestFullProductAgainstReference(t *testing.T) {
	roles := map[string][]Capability{
		"nobody": nil,
		"reader": {{Channels: []string{"TENANT:feeds:*", "TENANT:news"}, Allow: []string{"sub", "hst"}}},
		"editor": {
			{Channels: []string{"TENANT:*"}, Match: "wildcard", Allow: []string{"sub"}},
			{Channels: []string{"TENANT:news", "TENANT:feeds:*:draft"}, Allow: []string{"pub", "hst"}},
		},
		"watcher": {{Channels: []string{"*:lobby"}, Allow: []string{"prs"}}, {Channels: []string{"*:lobby", "TENANT:lobby"}, Allow: []string{"sub"}}},
		"admin":   {{Channels: []string{"*"}, Allow: []string{"sub", "pub", "hst", "prs"}}},
	}
	tenants := []string{"acme", "acm", "acmee", "umbrella", "$acme"}
	names := []string{"TENANT:news", "TENANT:news2", "TENANT:feeds:", "TENANT:feeds:a", "TENANT:feeds:a:draft",
		"TENANT:feeds", "TENANT:lobby", "TENANT:", "TENANT", "lobby", "x:TENANT:news", "TENANT:feeds:a#alice"}
	verbs := map[string]Verb{"sub": Sub, "pub": Pub, "hst": Hst, "prs": Prs}
	cases, allowed := 0, 0
	for role, caps := range roles {
		for _, home := range tenants {
			mine := make([]Capability, len(caps))
			for i, c := range caps {
				mine[i] = Capability{Match: c.Match, Allow: c.Allow}
				for _, p := range c.Channels {
					mine[i].Channels = append(mine[i].Channels, strings.ReplaceAll(p, "TENANT", home))
				}
			}
			set := compile(t, mine...)
			for _, target := range tenants {
				for _, name := range names {
					channel := strings.ReplaceAll(name, "TENANT", target)
					for word, verb := range verbs {
						want := reference(mine, word, channel)
						if got := set.Allows(verb, channel); got != want {
							t.Errorf("%s of %s: %s %s = %v", role, home, word, channel, got)
						}
						if cases++; want {
							allowed++
						}
					}
				}
			}
		}
	}
	if allowed < cases/10 || allowed > cases*9/10 {
		t.Errorf("%d of %d cases allowed: the product tests one side only", allowed, cases)
	}
}

func TestAllowsDoesNotAllocate(t *testing.T) {
	if raceEnabled {
		t.Skip("skipped: allocations are counted without -race")
	}
	set := compile(t, Capability{Channels: []string{"feeds:prices", "chat:*", "a*b*c"}, Allow: []string{"sub"}})
	for _, channel := range []string{"feeds:prices", "chat:room", "other", "a\x00", "chat:*"} {
		if n := testing.AllocsPerRun(100, func() { set.Allows(Sub, channel) }); n != 0 {
			t.Errorf("%q: %v allocations", channel, n)
		}
	}
}

func TestChannelNames(t *testing.T) {
	long := strings.Repeat("a", MaxChannelBytes)
	for _, c := range []struct {
		name             string
		channel, pattern error
	}{
		{"feeds:prices", nil, nil},
		{"$private#alice", nil, nil},
		{" ~", nil, nil},
		{long, nil, nil},
		{long + "a", ErrTooLong, ErrTooLong},
		{"", ErrEmpty, ErrEmpty},
		{"a*", ErrWildcard, nil},
		{"*", ErrWildcard, nil},
		{"a\x1f", ErrCharacter, ErrCharacter},
		{"a\x7f", ErrCharacter, ErrCharacter},
		{"a\n", ErrCharacter, ErrCharacter},
		{"caf\u00e9", ErrCharacter, ErrCharacter},
		{"\xff", ErrCharacter, ErrCharacter},
	} {
		if err := CheckChannel(c.name); !errors.Is(err, c.channel) {
			t.Errorf("CheckChannel(%q) = %v", c.name, err)
		}
		if err := CheckPattern(c.name); !errors.Is(err, c.pattern) {
			t.Errorf("CheckPattern(%q) = %v", c.name, err)
		}
	}
}

func TestStructureOfNames(t *testing.T) {
	for _, c := range []struct {
		channel, namespace string
		token              bool
	}{
		{"feeds:prices", "feeds", false},
		{"$feeds:prices", "feeds", true},
		{"prices", "", false},
		{"$prices", "", true},
		{":prices", "", false},
		{"a:b:c", "a", false},
		{"a$:b", "a$", false},
	} {
		if got := Namespace(c.channel); got != c.namespace {
			t.Errorf("Namespace(%q) = %q", c.channel, got)
		}
		if got := NeedsToken(c.channel); got != c.token {
			t.Errorf("NeedsToken(%q) = %v", c.channel, got)
		}
	}
}

func TestUserLimited(t *testing.T) {
	for _, c := range []struct {
		channel, user    string
		limited, allowed bool
	}{
		{"mail", "alice", false, true},
		{"mail", "", false, true},
		{"mail#alice", "alice", true, true},
		{"mail#alice", "bob", true, false},
		{"mail#alice", "alic", true, false},
		{"mail#alice", "alicea", true, false},
		{"mail#alice", "Alice", true, false},
		{"mail#", "", true, false}, // nobody's
		{"mail#alice", "", true, false},
		{"#alice", "alice", true, true},
		{"mail#bob#alice", "alice", true, true},
		{"mail#bob#alice", "bob", true, false},
		{"mail#alice,bob", "alice", true, false}, // one user, not a list
		{"mail#*", "*", true, false},             // patterns: a user's own, or nobody's
		{"mail#a*", "a*", true, false},
		{"mail#alice*", "alice", true, false},
		{"mail:*#alice", "alice", true, true},
		{"mail:*#alice", "bob", true, false},
		{"mail#*#alice", "alice", true, true},
		{"*", "alice", false, true},
	} {
		limited, allowed := UserLimited(c.channel, c.user)
		if limited != c.limited || allowed != c.allowed {
			t.Errorf("UserLimited(%q, %q) = %v, %v", c.channel, c.user, limited, allowed)
		}
	}
}

func TestMatch(t *testing.T) {
	for _, c := range []struct {
		pattern, name string
		want          bool
	}{
		{"", "", true}, {"", "a", false}, {"a", "", false}, {"*", "", true}, {"**", "", true},
		{"*", "anything", true}, {"a*", "a", true}, {"a*", "ab", true}, {"a*", "ba", false},
		{"*a", "ba", true}, {"*a", "ab", false}, {"a*a", "a", false}, {"a*a", "aa", true},
		{"a*b*c", "abc", true}, {"a*b*c", "axxbyyc", true}, {"a*b*c", "acb", false},
		{"*ab*ab*", "abab", true}, {"*ab*ab*", "aab", false}, {"a*bc", "abcbc", true},
		{"a.c", "abc", false}, {"a?c", "abc", false}, {"[a]", "a", false},
		{"a*", "a*", true}, {"ab", "a*", false}, {"a", "*", false},
	} {
		if got := Match(c.pattern, c.name); got != c.want {
			t.Errorf("Match(%q, %q) = %v", c.pattern, c.name, got)
		}
	}
}

// FuzzMatch compares with a regular expression, and checks that a pattern that matches another
// matches all that the other does.
func FuzzMatch(f *testing.F) {
	f.Add("feeds:*", "feeds:prices", "x")
	f.Add("*a*b", "aab", "")
	f.Add("a*b*", "a*b", "ab*b")
	f.Add(`\*\Q.*[`, `\x\Q..[`, `*\E`)
	f.Add(strings.Repeat("a*", 100)+"b", strings.Repeat("a", 200), "b")
	f.Add("**#*", "*:*#*", "#")
	f.Fuzz(func(t *testing.T, pattern, name, run string) {
		if CheckPattern(pattern) != nil || name != "" && CheckPattern(name) != nil || run != "" && CheckPattern(run) != nil {
			return
		}
		re := regexp.MustCompile(`\A` + strings.ReplaceAll(regexp.QuoteMeta(pattern), `\*`, `.*`) + `\z`)
		got := Match(pattern, name)
		if want := re.MatchString(name); got != want {
			t.Fatalf("Match(%q, %q) = %v, the regular expression says %v", pattern, name, got, want)
		}
		if filled := strings.ReplaceAll(name, "*", run); got && !Match(pattern, filled) {
			t.Fatalf("%q covers %q but not %q", pattern, name, filled)
		}
	})
}

func BenchmarkAllows(b *testing.B) {
	set := compile(b, Capability{Channels: []string{"feeds:*", "bench*", "chat:lobby"}, Allow: []string{"sub"}})
	for b.Loop() {
		set.Allows(Sub, "bench:12345")
	}
}
