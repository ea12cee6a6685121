// Package grant answers one question: may this session use this verb on this channel?
//
// A grant is a pair of verbs and channel patterns. The patterns of one session are compiled once,
// when its token has been verified, into an immutable [Set]; every command then asks Set.Allows,
// which looks up exact names by binary search and walks the patterns, without allocating.
// A token may also name roles; what a role grants is the operator's [Policy], which is compiled when it
// is read, for all sessions, and may be replaced while they last.
//
// Nothing is allowed unless a grant says so: a nil Set, an empty Set, an unknown verb and a name
// that is not a valid channel name are all denied.
//
// A channel name has structure that the grammar of names shows ("ns:name", "$name", "name#user");
// the functions in channel.go read it. They decide nothing by themselves.
package grant

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
)

// Verb is what a session wants to do with a channel. Verbs are bits, so that several make a mask.
type Verb uint8

// The verbs of a capability. Allows takes one of them, or several that must all be granted.
const (
	Sub Verb = 1 << iota // subscribe
	Pub                  // publish
	Hst                  // read the history
	Prs                  // read the presence
)

// Bounds of one compilation. A token is at most 4 KiB, so they only bite for policies that come
// from elsewhere; they keep the walk of one command short.
const (
	maxCapabilities = 1024 // of one Set
	maxPatterns     = 1024 // patterns with a wildcard in one Set: each costs one comparison a command
)

var errNoVerb = errors.New(`verb is none of "sub", "pub", "hst", "prs"`)

// ParseVerb reads the name that a token's caps use.
func ParseVerb(name string) (Verb, error) {
	switch name {
	case "sub":
		return Sub, nil
	case "pub":
		return Pub, nil
	case "hst":
		return Hst, nil
	case "prs":
		return Prs, nil
	}
	return 0, errNoVerb
}

// Capability is one member of a token's caps claim. Match says how Channels are meant: "wildcard"
// or nothing, where `*` matches any run of characters, also none; or "exact", where a name stands
// for itself. Anything else is refused by [Compile].
type Capability struct {
	Channels []string `json:"channels"`
	Match    string   `json:"match,omitempty"`
	Allow    []string `json:"allow"`
}

// rule is one compiled pattern with everything that is allowed on it.
type rule struct {
	pattern string
	verbs   Verb
	star    uint8 // where its first `*` stands, of one that has any
}

// matches is Match for a rule with a `*`; most names are told apart by how they begin.
func (r *rule) matches(name string) bool {
	star := int(r.star)
	if len(name) < star || name[:star] != r.pattern[:star] {
		return false
	}
	return star == len(r.pattern)-1 || Match(r.pattern[star:], name[star:])
}

// Set is the compiled grants of one session: immutable, safe for any number of goroutines.
type Set struct {
	rules []rule // first those of exact names, sorted, each name once; then those that hold a `*`
	exact int    // how many of the first
	roles *held  // what else its roles grant; nil: it has none
}

// Compile checks and compiles caps. The Set keeps the strings of caps, not the slices. The error
// names the position of the capability and the mend, never a channel name.
func Compile(caps []Capability) (*Set, error) {
	if len(caps) > maxCapabilities {
		return nil, fmt.Errorf("caps: %d entries, at most %d are allowed", len(caps), maxCapabilities)
	}
	var found draft
	for i, c := range caps {
		if err := found.add(c); err != nil {
			return nil, fmt.Errorf("caps[%d]: %w", i, err)
		}
	}
	if len(found.patterns) > maxPatterns {
		return nil, fmt.Errorf("caps: %d patterns, at most %d are allowed", len(found.patterns), maxPatterns)
	}
	exact := merge(found.exact)
	return &Set{rules: slices.Concat(exact, found.patterns), exact: len(exact)}, nil
}

// draft is a Set while its capabilities are read.
type draft struct{ exact, patterns []rule }

// add appends the rules of one capability.
func (s *draft) add(c Capability) error {
	if c.Match != "" && c.Match != "wildcard" && c.Match != "exact" {
		return errors.New(`match is neither "wildcard" nor "exact"`)
	}
	var verbs Verb
	for i, name := range c.Allow {
		v, err := ParseVerb(name)
		if err != nil {
			return fmt.Errorf("allow[%d]: %w", i, err)
		}
		verbs |= v
	}
	for i, p := range c.Channels {
		if err := CheckPattern(p); err != nil {
			return fmt.Errorf("channels[%d]: %w", i, err)
		}
		if !IsPattern(p) {
			s.exact = append(s.exact, rule{pattern: p, verbs: verbs})
			continue
		}
		if c.Match == "exact" {
			return fmt.Errorf(`channels[%d]: %w; use match "wildcard"`, i, ErrWildcard)
		}
		s.patterns = append(s.patterns, rule{p, verbs, uint8(len(Literal(p)))})
	}
	return nil
}

// merge sorts rules by name and joins the verbs of equal names.
func merge(rules []rule) []rule {
	slices.SortFunc(rules, func(a, b rule) int { return cmp.Compare(a.pattern, b.pattern) })
	kept := rules[:0]
	for _, r := range rules {
		if n := len(kept); n > 0 && kept[n-1].pattern == r.pattern {
			kept[n-1].verbs |= r.verbs
			continue
		}
		kept = append(kept, r)
	}
	return kept
}

// Allows reports whether every verb of v is granted on channel. The channel may itself be a pattern
// (a wildcard subscription): then it is allowed only if the grants of one pattern cover every name
// that it matches. A nil Set denies. No allocation; any goroutine.
func (s *Set) Allows(v Verb, channel string) bool {
	if s == nil || v == 0 || CheckPattern(channel) != nil {
		return false
	}
	v = s.denied(v, channel)
	if s.roles != nil {
		for _, role := range s.roles.sets {
			if v == 0 {
				break
			}
			v = role.denied(v, channel)
		}
	}
	return v == 0
}

// denied returns the verbs of v that the Set's own rules do not grant on channel.
func (s *Set) denied(v Verb, channel string) Verb {
	v &^= s.named(channel)
	for i := s.exact; v != 0 && i < len(s.rules); i++ {
		if r := &s.rules[i]; r.verbs&v != 0 && r.matches(channel) {
			v &^= r.verbs
		}
	}
	return v
}

// named returns the verbs granted on exactly this name.
func (s *Set) named(channel string) Verb {
	exact := s.rules[:s.exact]
	if len(exact) == 0 {
		return 0
	}
	i, ok := slices.BinarySearchFunc(exact, channel, func(r rule, name string) int {
		return cmp.Compare(r.pattern, name)
	})
	if !ok {
		return 0
	}
	return exact[i].verbs
}
