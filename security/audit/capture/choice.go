package capture

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"weir/security/audit"
)

// Choice says which connections are captured: those of an address, of a user, and those with which
// one of these events happens. A zero Choice is of none.
type Choice struct {
	Addresses []netip.Prefix
	Users     []string
	Events    []audit.Event // out of Rules
	Anomalies bool          // those of prefixes that a detector has named, from then on
}

// RuleAnomaly is the rule that Choice.Anomalies is.
const RuleAnomaly = "anomaly"

// Rules are the events that a connection can be chosen by.
func Rules() []audit.Event {
	return []audit.Event{
		audit.UpgradeRefused, audit.AuthenticationFailed, audit.PublishRefused, audit.SubscribeRefused, audit.LimitHit,
		audit.ProtocolViolation, audit.CommandRefused,
	}
}

// ParseRule adds a rule to the choice. Events have their names of the audit log.
func (c *Choice) ParseRule(name string) error {
	if name == RuleAnomaly {
		c.Anomalies = true
		return nil
	}
	var names []string
	for _, e := range Rules() {
		if e.String() == name {
			c.Events = append(c.Events, e)
			return nil
		}
		names = append(names, e.String())
	}
	return fmt.Errorf("%q is no rule; write one or more of %s, %s", name, strings.Join(names, ", "), RuleAnomaly)
}

// None reports whether nothing is chosen.
func (c *Choice) None() bool {
	return len(c.Addresses)+len(c.Users)+len(c.Events) == 0 && !c.Anomalies
}

// suspects bounds the prefixes that are captured for an anomaly. Attack: alerts about ever new
// prefixes. Over it the one that ends first gives way.
const suspects = 256

// Suspected is how long the connections of a prefix are captured after an alert.
const Suspected = 10 * time.Minute

// chooser is a Choice at work. Any goroutine.
type chooser struct {
	Choice // immutable
	now    atomic.Pointer[map[netip.Prefix]time.Time]

	mu sync.Mutex // held by who replaces now
}

func newChooser(c Choice) chooser { return chooser{Choice: c} }

// byAddress reports whether a connection is chosen for where it comes from, and why.
func (c *chooser) byAddress(a netip.Addr, now time.Time) (why string, chosen bool) {
	if slices.ContainsFunc(c.Addresses, func(p netip.Prefix) bool { return p.Contains(a) }) {
		return "address", true
	}
	if named := c.now.Load(); named != nil {
		if until, ok := (*named)[audit.PrefixOf(a)]; ok && now.Before(until) {
			return RuleAnomaly, true
		}
	}
	return "", false
}

// later reports whether a connection that is not chosen yet still may be.
func (c *chooser) later() bool { return len(c.Users)+len(c.Events) > 0 }

func (c *chooser) suspect(p netip.Prefix, until, now time.Time) {
	if !c.Anomalies || !p.IsValid() {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	next := map[netip.Prefix]time.Time{}
	if named := c.now.Load(); named != nil {
		next = maps.Clone(*named)
	}
	maps.DeleteFunc(next, func(_ netip.Prefix, until time.Time) bool { return !now.Before(until) })
	if _, again := next[p]; !again && len(next) >= suspects {
		delete(next, first(next))
	}
	next[p] = until
	c.now.Store(&next)
}

// first is the prefix whose time is over first.
func first(of map[netip.Prefix]time.Time) (p netip.Prefix) {
	for q, until := range of {
		if !p.IsValid() || until.Before(of[p]) {
			p = q
		}
	}
	return p
}
