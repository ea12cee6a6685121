package audit

import (
	"net/netip"
	"slices"
	"testing"
)

func TestQueryMatches(t *testing.T) {
	r := full()
	r.Time = at(10)
	counted := Record{Time: at(10), Event: ConnectionRefused, Prefix: netip.MustParsePrefix("203.0.113.9/32"), Count: 7}
	for _, c := range []struct {
		q             Query
		first, second bool
	}{
		{Query{}, true, true},
		{Query{From: at(10), To: at(11)}, true, true},
		{Query{From: at(11)}, false, false},
		{Query{To: at(10)}, false, false},
		{Query{Events: []Event{UpgradeRefused, Authenticated}}, true, false},
		{Query{Events: []Event{ConnectionRefused}}, false, true},
		{Query{User: "alice"}, true, false},
		{Query{User: "alic"}, false, false},
		{Query{Within: netip.MustParsePrefix("203.0.113.0/24")}, true, true},
		{Query{Within: netip.MustParsePrefix("203.0.113.7/32")}, true, false},
		{Query{Within: netip.MustParsePrefix("::/0")}, false, false},
		{Query{Conn: r.Conn}, true, false},
		{Query{Reason: "origin"}, true, false},
		{Query{Channel: "feeds:a=b|c"}, true, false},
		{Query{User: "alice", Reason: "other"}, false, false},
	} {
		if a, b := c.q.Matches(&r), c.q.Matches(&counted); a != c.first || b != c.second {
			t.Errorf("%+v: %v, %v", c.q, a, b)
		}
	}
}

func TestTallyCountsEvents(t *testing.T) {
	list := []Record{
		{Time: at(0), Event: ConnectionRefused, Count: 40, Prefix: netip.MustParsePrefix("203.0.113.9/32"), Reason: "rate"},
		{Time: at(0), Event: ConnectionRefused, Addr: netip.MustParseAddr("203.0.113.9"), Reason: "full"},
		{Time: at(3600), Event: Authenticated, Addr: netip.MustParseAddr("2001:db8::5"), User: "alice"},
	}
	for g, want := range map[Grouping][]Count{
		"event":   {{"connection-refused", 41}, {"authenticated", 1}},
		"reason":  {{"rate", 40}, {"", 1}, {"full", 1}},
		"user":    {{"", 41}, {"alice", 1}},
		"address": {{"203.0.113.9/32", 40}, {"2001:db8::5", 1}, {"203.0.113.9", 1}},
		"prefix":  {{"203.0.113.9/32", 41}, {"2001:db8::/64", 1}},
		"hour":    {{"2025-11-22T22", 41}, {"2025-11-22T23", 1}},
	} {
		tally := NewTally(g)
		for i := range list {
			tally.Add(&list[i])
		}
		if got := tally.Counts(); !slices.Equal(got, want) || tally.Total != 42 {
			t.Errorf("%s: %v, %d", g, got, tally.Total)
		}
	}
	if _, err := ParseGrouping("colour"); err == nil {
		t.Error("colour")
	}
}
