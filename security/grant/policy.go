package grant

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
)

// Bounds of roles.
const (
	MaxRoles     = 64   // that one session may have: each costs the walk of its grants
	MaxRoleBytes = 64   // of a role's name
	maxPolicy    = 1024 // roles of one Policy
)

var errRoleName = errors.New("the name of a role has 1 to 64 bytes of printable ASCII")

// Policy is what each role grants. Immutable, any goroutine; a nil Policy knows no role.
type Policy struct {
	roles map[string]*Set // each with that role alone: shared by the sessions that have no more
}

// held are the roles of one session under one Policy. Immutable.
type held struct {
	names []string // also those that the Policy does not know: the next one may
	sets  []*Set   // of those that it does
}

// NewPolicy compiles the grants of each role. The error names the role, the position and the mend.
func NewPolicy(roles map[string][]Capability) (*Policy, error) {
	if len(roles) > maxPolicy {
		return nil, fmt.Errorf("%d roles, at most %d are allowed", len(roles), maxPolicy)
	}
	p := &Policy{roles: make(map[string]*Set, len(roles))}
	var errs []error
	for name, caps := range roles {
		set, err := Compile(caps)
		if err == nil {
			err = CheckRole(name)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("role %q: %w", name, err))
			continue
		}
		p.roles[name] = &Set{roles: &held{names: []string{name}, sets: []*Set{set}}}
	}
	slices.SortFunc(errs, func(a, b error) int { return cmp.Compare(a.Error(), b.Error()) })
	return p, errors.Join(errs...)
}

// CheckRole tells whether name can be the name of a role.
func CheckRole(name string) error {
	if len(name) > MaxRoleBytes || CheckPattern(name) != nil {
		return errRoleName
	}
	return nil
}

// Roles returns the names of the roles, sorted.
func (p *Policy) Roles() []string {
	if p == nil {
		return nil
	}
	names := make([]string, 0, len(p.roles))
	for name := range p.roles {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Grant returns what a session may that has own grants (nil: none) and these roles. A role that the
// Policy does not know grants nothing. The Set keeps roles.
func (p *Policy) Grant(own *Set, roles []string) *Set {
	switch {
	case len(roles) == 0:
		return own
	case len(roles) == 1 && (own == nil || len(own.rules) == 0) && p != nil && p.roles[roles[0]] != nil:
		return p.roles[roles[0]]
	}
	all := &held{names: roles}
	for _, name := range roles {
		if p != nil && p.roles[name] != nil {
			all.sets = append(all.sets, p.roles[name].roles.sets...)
		}
	}
	set := &Set{roles: all}
	if own != nil {
		set.rules, set.exact = own.rules, own.exact
	}
	return set
}

// Regrant returns what the session with this Set may under the Policy, which replaces another.
func (p *Policy) Regrant(set *Set) *Set {
	if set == nil || set.roles == nil {
		return set
	}
	return p.Grant(set, set.roles.names)
}
