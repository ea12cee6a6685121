package audit

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// Query says which records are wanted. A zero field is any.
type Query struct {
	From, To time.Time // To is the first moment no longer wanted
	Events   []Event
	User     string
	Within   netip.Prefix // of the address, or of the prefix of a count
	Conn     ConnID
	Reason   string
	Channel  string
}

// Matches reports whether a record is wanted.
func (q *Query) Matches(r *Record) bool {
	switch {
	case !q.From.IsZero() && r.Time.Before(q.From), !q.To.IsZero() && !r.Time.Before(q.To):
	case len(q.Events) > 0 && !slices.Contains(q.Events, r.Event):
	case q.User != "" && r.User != q.User:
	case q.Conn != (ConnID{}) && r.Conn != q.Conn:
	case q.Reason != "" && r.Reason != q.Reason:
	case q.Channel != "" && r.Channel != q.Channel:
	case q.Within.IsValid() && !within(q.Within, r):
	default:
		return true
	}
	return false
}

func within(p netip.Prefix, r *Record) bool {
	addr := r.Addr
	if !addr.IsValid() {
		addr = r.Prefix.Addr()
	}
	return addr.IsValid() && p.Contains(addr.Unmap())
}

// Grouping is what records are counted by.
type Grouping string

// groupings are the closed list.
var groupings = []Grouping{"event", "reason", "user", "address", "prefix", "origin", "path", "channel", "hour", "minute"}

// ParseGrouping refuses what records are not counted by.
func ParseGrouping(s string) (Grouping, error) {
	if !slices.Contains(groupings, Grouping(s)) {
		return "", fmt.Errorf("%q is nothing to count by; write one of %v", s, groupings)
	}
	return Grouping(s), nil
}

func (g Grouping) of(r *Record) string {
	switch g {
	case "reason":
		return r.Reason
	case "user":
		return r.User
	case "address":
		if r.Addr.IsValid() {
			return r.Addr.String()
		}
		fallthrough
	case "prefix":
		switch {
		case r.Prefix.IsValid():
			return r.Prefix.String()
		case r.Addr.IsValid():
			return PrefixOf(r.Addr).String()
		}
		return ""
	case "origin":
		return r.Origin
	case "path":
		return r.Path
	case "channel":
		return r.Channel
	case "hour":
		return r.Time.Format("2006-01-02T15")
	case "minute":
		return r.Time.Format("2006-01-02T15:04")
	default:
		return r.Event.String()
	}
}

// Count is one group's number of events.
type Count struct {
	Group string
	N     uint64
}

// Tally counts records by group. Its zero value counts by event.
type Tally struct {
	by     Grouping
	counts map[string]uint64
	Total  uint64
}

// NewTally counts by g.
func NewTally(g Grouping) *Tally { return &Tally{by: g} }

// Add counts a record for as many events as it stands for.
func (t *Tally) Add(r *Record) {
	if t.counts == nil {
		t.counts = make(map[string]uint64)
	}
	t.counts[t.by.of(r)] += r.N()
	t.Total += r.N()
}

// Counts lists the groups, the largest first.
func (t *Tally) Counts() (list []Count) {
	for group, n := range t.counts {
		list = append(list, Count{group, n})
	}
	slices.SortFunc(list, func(a, b Count) int { return cmp.Or(cmp.Compare(b.N, a.N), cmp.Compare(a.Group, b.Group)) })
	return list
}
