package engine

import (
	"cmp"
	"fmt"

	"weir/engine/hub"
	"weir/engine/outbox"
	"weir/engine/pointer"
)

// Names of the slow-consumer policies (PROTOCOL.md §5).
const (
	SlowDisconnect = "disconnect"
	SlowDropOldest = "drop_oldest"
	SlowDropNewest = "drop_newest"
	SlowConflate   = "conflate"
)

// classes are those of the namespaces that have a bound of their own, for the life
// of a server: frames of a class may wait while its namespace is reloaded.
type classes map[string]outbox.Class

func (all classes) of(name string) outbox.Class {
	if _, known := all[name]; !known {
		all[name] = outbox.Class(len(all) + 1)
	}
	return all[name]
}

// outboxCaps returns what each class may have waiting for one connection.
func outboxCaps(cfg *Config, all classes) []int {
	most := map[string]int{}
	for i := range cfg.Namespaces {
		n := &cfg.Namespaces[i]
		if _, own, err := n.slow(&cfg.Limits); err == nil && own > 0 { // check has told of errors
			all.of(n.Name)
			most[n.Name] = own
		}
	}
	caps := make([]int, len(all)+1)
	for name, class := range all {
		caps[class] = cmp.Or(most[name], cfg.Limits.MaxOutboxBytes)
	}
	return caps
}

// slowPolicies returns how each namespace treats slow consumers.
func slowPolicies(cfg *Config, all classes) map[string]*hub.Policy {
	byNamespace := make(map[string]*hub.Policy, len(cfg.Namespaces))
	for i := range cfg.Namespaces {
		n := &cfg.Namespaces[i]
		policy, own, _ := n.slow(&cfg.Limits) // check has told of errors
		if own > 0 {
			policy.Class = all.of(n.Name)
		}
		byNamespace[n.Name] = &policy
	}
	return byNamespace
}

// slow returns how the namespace treats slow consumers, but for its class, and what the class may have
// waiting; 0: it needs none.
func (n *Namespace) slow(l *Limits) (policy hub.Policy, most int, err error) {
	own := l.MaxOutboxBytes
	if n.MaxOutboxBytes > 0 {
		own = n.MaxOutboxBytes
	}
	switch {
	case own > l.MaxOutboxBytes:
		return policy, 0, fmt.Errorf("max_outbox_bytes %d is more than --max-outbox-bytes %d lets wait in all: lower the one or raise the other", own, l.MaxOutboxBytes)
	case own < l.MessageSize+frameRoomBytes:
		return policy, 0, fmt.Errorf("max_outbox_bytes %d does not hold one message of --message-size-limit %d: raise it to at least %d",
			own, l.MessageSize, l.MessageSize+frameRoomBytes)
	}
	switch n.SlowConsumer {
	case "", SlowDisconnect:
		return policy, n.MaxOutboxBytes, nil
	case SlowDropOldest:
		policy.Overflow = hub.DropOldest
	case SlowDropNewest:
		policy.Overflow = hub.DropNewest
	case SlowConflate:
		policy.Overflow, policy.Bytes, policy.Entries = hub.Conflate, own, conflateEntries
		policy.Key, err = pointer.Parse(n.ConflateKey)
		return policy, min(conflateBacklogBytes, own), err
	default:
		return policy, 0, fmt.Errorf("slow_consumer %q is not a policy: write disconnect, drop_oldest, drop_newest or conflate", n.SlowConsumer)
	}
	return policy, own, nil
}
