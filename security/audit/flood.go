package audit

import (
	"cmp"
	"net/netip"
	"time"
)

// Flood says when records are counted together: for each turn, by default a second,
// of the log. Zero is the default.
type Flood struct {
	Each    int // of one prefix, event and reason that have a line each: 10
	All     int // of all events that have a line each: 2,000
	Entries int // prefixes, events and reasons that are told apart; those over it only by event: 1,024
}

// flood counts together what is too much for a line each. Every record is either
// admitted or in exactly one count. Owned by the writer.
type flood struct {
	cfg     Flood
	left    int // lines of this turn
	tallies map[tallyKey]*tally
	rest    [len(events)]tally // of those that found no entry
}

type tallyKey struct {
	prefix netip.Prefix
	event  Event
	reason string
}

// tally is a key's turn.
type tally struct {
	seen  int // had a line each
	count uint64
	first Record // of those counted, so that one alone loses nothing
	last  time.Time
}

func newFlood(cfg Flood) flood {
	cfg.Each, cfg.All, cfg.Entries = cmp.Or(cfg.Each, 10), cmp.Or(cfg.All, 2000), cmp.Or(cfg.Entries, 1024)
	return flood{cfg: cfg, left: cfg.All, tallies: make(map[tallyKey]*tally)}
}

// admit reports whether the record has a line of its own; if not it is counted.
func (f *flood) admit(r *Record) bool {
	i, known := r.Event.index()
	if !known || events[i].single {
		return true
	}
	if !events[i].keyed && f.left > 0 {
		f.left--
		return true
	}
	t := f.entry(tallyKey{prefix: PrefixOf(r.Addr), event: r.Event, reason: r.Reason}, i)
	if f.left > 0 && t.seen < f.cfg.Each && t.count == 0 {
		f.left--
		t.seen++
		return true
	}
	if t.count == 0 {
		t.first = *r
	}
	t.count += r.N()
	t.last = r.Time
	return false
}

func (f *flood) entry(k tallyKey, event int) *tally {
	if t := f.tallies[k]; t != nil {
		return t
	}
	if len(f.tallies) >= f.cfg.Entries {
		return &f.rest[event]
	}
	t := new(tally)
	f.tallies[k] = t
	return t
}

// settle ends a turn: what was counted is emitted.
func (f *flood) settle(emit func(*Record)) {
	for k, t := range f.tallies {
		if t.count > 0 {
			emit(t.record(k))
		}
	}
	for i := range f.rest {
		if t := &f.rest[i]; t.count > 0 {
			emit(t.record(tallyKey{event: events[i].event, reason: "several"}))
		}
	}
	clear(f.tallies)
	clear(f.rest[:])
	f.left = f.cfg.All
}

func (t *tally) record(k tallyKey) *Record {
	if t.count == 1 {
		return &t.first
	}
	return &Record{Time: t.last, Since: t.first.Time, Event: k.event, Reason: k.reason, Count: t.count, Prefix: k.prefix}
}

// PrefixOf is what an attacker has for nothing, by which events are counted together,
// watched and banned: an IPv4 address, an IPv6 /64. That of the zero Addr is none.
func PrefixOf(a netip.Addr) netip.Prefix {
	if !a.IsValid() {
		return netip.Prefix{}
	}
	a = a.Unmap().WithZone("")
	bits := 32
	if a.Is6() {
		bits = 64
	}
	p, _ := a.Prefix(bits) // the bits fit
	return p
}
