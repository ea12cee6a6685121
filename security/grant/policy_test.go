package grant

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

func policyOf(t testing.TB, roles map[string][]Capability) *Policy {
	t.Helper()
	p, err := NewPolicy(roles)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// allowedByRoles is P1's reference for sessions with roles: what one of them allows is allowed, a role
// that nobody wrote down allows nothing.
func allowedByRoles(own []Capability, policy map[string][]Capability, held []string, verb, channel string) bool {
	if reference(own, verb, channel) {
		return true
	}
	for _, role := range held {
		if reference(policy[role], verb, channel) {
			return true
		}
	}
	return false
}

// tenantRoles are the same three roles for each tenant, and one over all of them.
func tenantRoles(tenants []string) map[string][]Capability {
	policy := map[string][]Capability{"support": {{Channels: []string{"*:lobby", "*:help:*"}, Match: "wildcard", Allow: []string{"sub", "prs"}}}, "idle": nil}
	for _, t := range tenants {
		policy[t+"-reader"] = []Capability{{Channels: []string{t + ":news", t + ":feeds:*"}, Match: "wildcard", Allow: []string{"sub", "hst"}}}
		policy[t+"-editor"] = []Capability{
			{Channels: []string{t + ":news"}, Match: "exact", Allow: []string{"pub", "prs"}}, {Channels: []string{t + ":feeds:*:draft"}, Allow: []string{"pub"}},
		}
		policy[t+"-admin"] = []Capability{{Channels: []string{t + ":*"}, Match: "wildcard", Allow: []string{"sub", "pub", "hst", "prs"}}}
	}
	return policy
}

// TestRolesFullProduct: every set of up to two roles × own grants × verb × channel × tenant, under a
// policy from the start and under one that came later.
func TestRolesFullProduct(t *testing.T) {
	tenants := []string{"acme", "acm", "umbrella"}
	source := tenantRoles(tenants)
	policy, before := policyOf(t, source), policyOf(t, map[string][]Capability{"acme-reader": {{Channels: []string{"*"}, Allow: []string{"sub", "pub", "hst", "prs"}}}})
	names := append(policy.Roles(), "nobody", "acme", "*")
	held := [][]string{nil}
	for i, a := range names {
		held = append(held, []string{a})
		for _, b := range names[i:] {
			held = append(held, []string{a, b})
		}
	}
	var channels []string
	for _, tenant := range tenants {
		for _, name := range []string{"news", "news2", "feeds:a", "feeds:a:draft", "feeds:*", "lobby", "help:1", "x#alice"} {
			channels = append(channels, tenant+":"+name)
		}
	}
	verbs := map[string]Verb{"sub": Sub, "pub": Pub, "hst": Hst, "prs": Prs}
	cases, allowed := 0, 0
	for _, own := range [][]Capability{nil, {{Channels: []string{"umbrella:feeds:*"}, Allow: []string{"sub"}}}} {
		var mine *Set
		if own != nil {
			mine = compile(t, own...)
		}
		for _, roles := range held {
			set := policy.Grant(mine, roles)
			later := policy.Regrant(before.Grant(mine, roles))
			for _, channel := range append(channels, "lobby", "*", "acme:*") {
				for word, verb := range verbs {
					want := allowedByRoles(own, source, roles, word, channel)
					if set.Allows(verb, channel) != want || later.Allows(verb, channel) != want {
						t.Errorf("%v with %v: %s %s is %v, want %v", roles, own, word, channel, set.Allows(verb, channel), want)
					}
					if cases++; want {
						allowed++
					}
				}
			}
		}
	}
	if allowed < cases/20 || allowed > cases*19/20 {
		t.Errorf("%d of %d cases allowed: the product tests one side only", allowed, cases)
	}
}

func TestRolesDenyByDefault(t *testing.T) {
	all := []Capability{{Channels: []string{"*"}, Allow: []string{"sub", "pub", "hst", "prs"}}}
	policy := policyOf(t, map[string][]Capability{"admin": all})
	var none *Policy
	for name, set := range map[string]*Set{
		"no policy": none.Grant(nil, []string{"admin"}), "no role": policy.Grant(nil, nil), "another role": policy.Grant(nil, []string{"Admin"}),
		"the empty role": policy.Grant(nil, []string{""}), "a policy that is gone": none.Regrant(policy.Grant(nil, []string{"admin"})),
		"a role that is gone": policyOf(t, map[string][]Capability{"other": all}).Regrant(policy.Grant(nil, []string{"admin"})),
	} {
		for _, v := range []Verb{Sub, Pub, Hst, Prs} {
			if set.Allows(v, "feeds:a") {
				t.Errorf("%s: %v is allowed", name, v)
			}
		}
	}
	if none.Regrant(nil) != nil || len(none.Roles()) != 0 {
		t.Error("nobody became somebody")
	}
	if back := policy.Regrant(none.Grant(nil, []string{"admin"})); !back.Allows(Sub, "feeds:a") {
		t.Error("a role that came back grants nothing")
	}
}

// TestRolesAreShared: sessions with the same role hold the same Set, so that a role costs a connection
// nothing.
func TestRolesAreShared(t *testing.T) {
	policy := policyOf(t, map[string][]Capability{"reader": {{Channels: []string{"feeds:*"}, Allow: []string{"sub"}}}})
	if policy.Grant(nil, []string{"reader"}) != policy.Grant(compile(t), []string{"reader"}) {
		t.Error("two sets for one role")
	}
	own := compile(t, Capability{Channels: []string{"a"}, Allow: []string{"sub"}})
	if set := policy.Grant(own, []string{"reader"}); !set.Allows(Sub, "a") || !set.Allows(Sub, "feeds:a") || own.Allows(Sub, "feeds:a") {
		t.Error("own grants and those of roles are mixed up")
	}
}

func TestPolicyMistakes(t *testing.T) {
	many := map[string][]Capability{}
	for i := range maxPolicy + 1 {
		many[fmt.Sprint(i)] = nil
	}
	for name, c := range map[string]struct {
		roles map[string][]Capability
		want  []string
	}{
		"verb":     {map[string][]Capability{"a": {{}, {Allow: []string{"read"}}}}, []string{`role "a"`, "caps[1]", "allow[0]"}},
		"pattern":  {map[string][]Capability{"a": {{Channels: []string{"x", "\n"}}}}, []string{`role "a"`, "channels[1]"}},
		"match":    {map[string][]Capability{"a": {{Match: "regexp"}}}, []string{`role "a"`, "match"}},
		"empty":    {map[string][]Capability{"": nil}, []string{`role ""`, "1 to 64"}},
		"long":     {map[string][]Capability{strings.Repeat("a", 65): nil}, []string{"1 to 64"}},
		"unicode":  {map[string][]Capability{"rôle": nil}, []string{"ASCII"}},
		"too many": {many, []string{"1024"}},
		"two":      {map[string][]Capability{"a": {{Match: "x"}}, "b": {{Match: "x"}}}, []string{`role "a"`, `role "b"`}},
	} {
		_, err := NewPolicy(c.roles)
		if err == nil || slices.ContainsFunc(c.want, func(word string) bool { return !strings.Contains(err.Error(), word) }) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

// TestRoleCheckDoesNotAllocate: neither where a role grants nor where nothing does.
func TestRoleCheckDoesNotAllocate(t *testing.T) {
	if raceEnabled {
		t.Skip("skipped: allocations are counted without -race")
	}
	set := policyOf(t, tenantRoles([]string{"acme", "umbrella"})).Grant(nil, []string{"acme-reader", "umbrella-editor", "nobody", "support"})
	for _, channel := range []string{"acme:news", "acme:feeds:a", "umbrella:feeds:a:draft", "other", "a\x00", "acme:feeds:*"} {
		if n := testing.AllocsPerRun(100, func() { set.Allows(Sub, channel) }); n != 0 {
			t.Errorf("%q: %v allocations", channel, n)
		}
	}
}

func BenchmarkAllowsByRole(b *testing.B) {
	set := policyOf(b, tenantRoles([]string{"acme", "umbrella"})).Grant(nil, []string{"acme-reader", "acme-editor"})
	for b.Loop() {
		set.Allows(Sub, "acme:feeds:12345")
	}
}
