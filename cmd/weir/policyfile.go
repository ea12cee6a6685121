package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"go.yaml.in/yaml/v3"

	"weir/security/grant"
)

const (
	maxPolicyBytes = 1 << 20

	// policyPoll is how often the policy file is looked at. It is taken once it is
	// the same in two looks, for one that is being written is not whole; so within
	// a second at the most.
	policyPoll = 300 * time.Millisecond
)

func (s *setup) loadPolicy(o *serverOptions) error {
	if o.PolicyFile == "" {
		return nil
	}
	b, err := readBounded(string(o.PolicyFile), maxPolicyBytes)
	if err != nil {
		return fmt.Errorf("--policy-file: %w", err)
	}
	s.policyText = b
	s.config.Roles, err = parsePolicy(string(o.PolicyFile), b)
	return err
}

// parsePolicy reads the roles of a policy file. Errors name the line and the mend.
func parsePolicy(file string, b []byte) (*grant.Policy, error) {
	policy, err := readPolicy(b)
	if err != nil {
		return nil, fmt.Errorf("--policy-file: %s: %w", file, err)
	}
	return policy, nil
}

func readPolicy(b []byte) (*grant.Policy, error) {
	root, err := yamlRoot(b)
	if err != nil {
		return nil, err
	}
	var policy *grant.Policy
	if root != nil {
		if written(root, maxPolicyBytes) < 0 {
			return nil, errors.New("its aliases (*) stand for more than a policy may hold; write the lists shorter, or give the grants to one role and the role to more tokens")
		}
		err = eachKey(root, []string{"roles"}, func(_ string, value *yaml.Node) (err error) {
			policy, err = readRoles(value)
			return err
		})
	}
	switch {
	case err != nil:
		return nil, err
	case policy == nil: // also a file that is about to be written: it must not take everybody's rights away
		return nil, errors.New("there are no roles; write roles: and under it the name of each (roles: {} for none)")
	}
	return policy, nil
}

// written takes from left what a node and those below it would be if every alias were written out, a unit for each. It stops
// below 0: twenty lines of aliases can stand for a billion, and one for itself.
func written(n *yaml.Node, left int) int {
	left--
	if n.Kind == yaml.AliasNode && left >= 0 {
		return written(n.Alias, left)
	}
	for _, below := range n.Content {
		if left < 0 {
			break
		}
		left = written(below, left)
	}
	return left
}

// readRoles reads the mapping under the key roles.
func readRoles(n *yaml.Node) (*grant.Policy, error) {
	granted := map[string][]grant.Capability{}
	if err := eachKey(n, nil, func(name string, value *yaml.Node) (err error) {
		if err = grant.CheckRole(name); err == nil {
			granted[name], err = readGrants(value)
		}
		return err
	}); err != nil {
		return nil, err
	}
	return grant.NewPolicy(granted)
}

// readGrants reads the list under a role's name; nothing is a role that grants nothing.
func readGrants(n *yaml.Node) ([]grant.Capability, error) {
	n = resolved(n)
	if n.Kind == yaml.ScalarNode && n.Tag == "!!null" {
		return nil, nil
	}
	if n.Kind != yaml.SequenceNode {
		return nil, errors.New(`a role needs a list of grants; write - channels: ["feeds:*"] and allow: [sub] under it`)
	}
	var caps []grant.Capability
	for _, item := range n.Content {
		c, err := readGrant(item)
		if err != nil {
			return nil, at(item.Line, err)
		}
		caps = append(caps, c)
	}
	return caps, nil
}

func readGrant(n *yaml.Node) (c grant.Capability, err error) {
	err = eachKey(n, []string{"channels", "allow", "match"}, func(key string, value *yaml.Node) (err error) {
		switch key {
		case "channels":
			c.Channels, err = words(value)
		case "allow":
			c.Allow, err = words(value)
		case "match":
			c.Match, err = scalarText(value)
		}
		return err
	})
	if err == nil && (len(c.Channels) == 0 || len(c.Allow) == 0) {
		err = errors.New("a grant needs channels and allow, as in channels: [\"feeds:*\"] and allow: [sub]")
	}
	if err == nil {
		if _, e := grant.Compile([]grant.Capability{c}); e != nil {
			err = errors.New(strings.TrimPrefix(e.Error(), "caps[0]: ")) // the line says which
		}
	}
	return c, err
}

// words reads one word or a list of words.
func words(n *yaml.Node) ([]string, error) {
	n = resolved(n)
	items := []*yaml.Node{n}
	if n.Kind == yaml.SequenceNode {
		items = n.Content
	}
	var list []string
	for _, item := range items {
		if item = resolved(item); item.Kind != yaml.ScalarNode || item.Tag == "!!null" {
			return nil, errors.New("needs a word or a list of words")
		}
		list = append(list, item.Value)
	}
	return list, nil
}

// resolved is the node that an alias stands for.
func resolved(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}

// eachKey calls read with each key of a mapping; nil knows every key. Errors name the line and the key.
func eachKey(n *yaml.Node, known []string, read func(key string, value *yaml.Node) error) error {
	n = resolved(n)
	if n.Kind != yaml.MappingNode {
		return errors.New("needs keys and values")
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		var err error
		switch {
		case known != nil && !slices.Contains(known, key.Value):
			err = unknownKey(key.Value, known)
		case seen[key.Value]:
			err = errors.New("stands there twice")
		default:
			err = read(key.Value, n.Content[i+1])
		}
		if err != nil {
			return at(key.Line, fmt.Errorf("%q: %w", key.Value, err))
		}
		seen[key.Value] = true
	}
	return nil
}

// unknownKey refuses a key that is none of the known ones and says what it may have been meant to be.
func unknownKey(key string, known []string) error {
	set := map[string]bool{}
	for _, k := range known {
		set[k] = true
	}
	if near := nearest(key, set); near != "" {
		return fmt.Errorf("is not known here; did you mean %s?", near)
	}
	return errors.New("is not known here")
}

// watchPolicy sends the policy file's text each time that it is another one than
// before, until ctx is done. Who cannot take one that it sent will be sent the next
// change. A file that cannot be read is told of
// once.
func watchPolicy(ctx context.Context, file string, seen *standing, ticks <-chan time.Time, changed chan<- []byte, log *slog.Logger) {
	complaint := ""
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticks:
		}
		b, err := readBounded(file, maxPolicyBytes)
		if err != nil {
			if err.Error() != complaint {
				complaint = err.Error()
				log.Error("policy not reloaded, the old one stays", "error", "--policy-file: "+complaint)
			}
			continue
		}
		complaint = ""
		if !seen.another(b) {
			continue
		}
		select {
		case changed <- b:
		case <-ctx.Done():
			return
		}
	}
}

// standing tells when a text that is looked at again and again is another one than is used, and is being written no
// longer: it was the same at the last look.
type standing struct {
	last []byte // owned by whoever looks

	mu   sync.Mutex
	used []byte // guarded by mu
}

// take notes what is used from now on.
func (s *standing) take(b []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.used = b
}

func (s *standing) another(b []byte) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	still := bytes.Equal(b, s.last)
	s.last = b
	if !still || bytes.Equal(b, s.used) {
		return false
	}
	s.used = b
	return true
}

// takePolicy has the server take another policy; a mistake in it changes nothing.
func (r *reloader) takePolicy(b []byte, log *slog.Logger) {
	r.policy.take(b) // SIGHUP may have taken a newer one since it was sent
	policy, err := parsePolicy(string(r.options.PolicyFile), b)
	if err == nil {
		fresh := r.s.config
		fresh.Roles = policy
		if err = r.server.Reload(context.Background(), fresh); err == nil {
			r.s.config = fresh
		}
	}
	if err != nil {
		log.Error("policy not reloaded, the old one stays", "error", err.Error())
		r.rejected(err)
		return
	}
	log.Info("policy reloaded", "roles", len(policy.Roles()))
}

// watch tells superviseSignals of another policy, until ctx is done.
func (r *reloader) watch(ctx context.Context, log *slog.Logger) {
	ticker := time.NewTicker(policyPoll)
	defer ticker.Stop()
	watchPolicy(ctx, string(r.options.PolicyFile), &r.policy, ticker.C, r.policies, log)
}
