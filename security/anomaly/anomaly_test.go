package anomaly_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"weir/security/anomaly"
	"weir/security/audit"
)

var noon = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)

// addr is the n-th address of a documentation network.
func addr(n int) netip.Addr { return netip.AddrFrom4([4]byte{198, 18, byte(n >> 8), byte(n)}) }

// watch is a Watcher that writes its alerts down.
func watch(scale float64) (*anomaly.Watcher, *[]anomaly.Alert) {
	alerts := new([]anomaly.Alert)
	return anomaly.New(anomaly.Config{Scale: scale, Alert: func(a *anomaly.Alert) { *alerts = append(*alerts, *a) }}), alerts
}

// cases has, for each detector, a record that it counts.
var cases = map[string]audit.Record{
	"connects":            {Event: audit.ConnectionAccepted},
	"failures":            {Event: audit.HandshakeFailed, Reason: "protocol"},
	"malformed_requests":  {Event: audit.UpgradeRefused, Reason: "bare_lf"},
	"credential_stuffing": {Event: audit.AuthenticationFailed, Reason: "invalid"},
	"unexpected_origins":  {Event: audit.UpgradeRefused, Reason: anomaly.ReasonOrigin, Origin: "https://evil.example"},
	"protocol_violations": {Event: audit.ProtocolViolation, Reason: "unmasked"},
	"limits":              {Event: audit.LimitHit, Reason: "messages"},
	"denials":             {Event: audit.SubscribeRefused, Reason: "permission_denied"},
	"api_keys":            {Event: audit.APIRefused},
	"disconnects":         {Event: audit.Disconnected},
}

// TestEachDetector: one prefix that does it too often is told once, with a count
// of its threshold; one event less is nothing. Many prefixes are told of together.
func TestEachDetector(t *testing.T) {
	if len(cases) != len(anomaly.Detectors()) {
		t.Fatalf("%d cases for %v", len(cases), anomaly.Detectors())
	}
	for _, name := range anomaly.Detectors() {
		record := cases[name]
		one, alerts := watch(1)
		found := func() []anomaly.Alert {
			return slices.DeleteFunc(slices.Clone(*alerts), func(a anomaly.Alert) bool { return a.Detector != name })
		}
		fed := 0
		for ; fed < 10_000 && len(found()) == 0; fed++ {
			record.Time, record.Addr = noon.Add(time.Duration(fed)*time.Millisecond), addr(1)
			one.Observe(&record)
		}
		if len(found()) != 1 {
			t.Errorf("%s: no alert after %d events", name, fed)
			continue
		}
		a := found()[0]
		if a.Count != uint64(fed) || a.Threshold != uint64(fed) || !a.Time.Equal(record.Time) {
			t.Errorf("%s: %+v after %d events", name, a, fed)
		}
		if a.Prefix.IsValid() && a.Prefix != audit.PrefixOf(addr(1)) || a.Contain && !a.Prefix.IsValid() {
			t.Errorf("%s: %+v", name, a)
		}

		var of []anomaly.Alert
		many := anomaly.New(anomaly.Config{Alert: func(a *anomaly.Alert) { of = append(of, *a) }})
		for i := range 8000 {
			record.Time, record.Addr = noon.Add(time.Duration(i)*time.Millisecond), addr(i)
			many.Observe(&record)
		}
		of = slices.DeleteFunc(of, func(a anomaly.Alert) bool { return a.Detector != name })
		if len(of) != 1 || of[0].Prefix.IsValid() || of[0].Contain {
			t.Errorf("%s from 8,000 addresses: %+v", name, of)
		}
	}
}

// TestOrdinaryDay: what is always so is no alert, four times as much is one.
func TestOrdinaryDay(t *testing.T) {
	w, alerts := watch(1)
	at, n := noon, 0
	minute := func(events int) {
		for i := range events {
			r := audit.Record{Event: audit.ConnectionAccepted, Addr: addr(n % 50_000), Time: at.Add(time.Duration(i) * time.Minute / time.Duration(events))}
			n++
			w.Observe(&r)
		}
		at = at.Add(time.Minute)
	}
	for range 60 {
		minute(5000)
	}
	minute(10_000)
	if len(*alerts) != 0 {
		t.Fatalf("an ordinary day: %+v", *alerts)
	}
	minute(25_000)
	if len(*alerts) != 1 || (*alerts)[0].Detector != "connects" || (*alerts)[0].Threshold < 18_000 {
		t.Errorf("five times as many: %+v", *alerts)
	}
	minute(1_000_000)
	for range 10 {
		minute(5000)
	}
	if minute(60_000); len(*alerts) != 2 {
		t.Errorf("after an attack of a minute, which is not the usual now: %+v", *alerts)
	}
}

// TestOneAlertForOneAttack: also if it lasts an hour; and another for the next.
func TestOneAlertForOneAttack(t *testing.T) {
	w, alerts := watch(1)
	attack := func(from time.Time, long time.Duration) {
		for d := time.Duration(0); d < long; d += time.Second {
			w.Observe(&audit.Record{Event: audit.AuthenticationFailed, Reason: "invalid", Addr: addr(7), Time: from.Add(d)})
		}
	}
	attack(noon, time.Hour)
	if len(*alerts) != 1 {
		t.Fatalf("%d alerts in an hour", len(*alerts))
	}
	attack(noon.Add(time.Hour+anomaly.Quiet/2), time.Minute)
	if len(*alerts) != 1 {
		t.Fatalf("%d alerts before the quiet was over", len(*alerts))
	}
	attack(noon.Add(2*time.Hour), time.Hour)
	if len(*alerts) != 2 || !(*alerts)[1].Contain {
		t.Errorf("%+v", *alerts)
	}
}

// TestSlowIsNoAttack: what is spread over more than a window never adds up.
func TestSlowIsNoAttack(t *testing.T) {
	w, alerts := watch(1)
	for i := range 10_000 {
		w.Observe(&audit.Record{Event: audit.ProtocolViolation, Addr: addr(7), Time: noon.Add(time.Duration(i) * 3 * time.Second)})
	}
	if len(*alerts) != 0 {
		t.Errorf("%+v", *alerts)
	}
	half, alerts := watch(0.5)
	for i := range 100 {
		half.Observe(&audit.Record{Event: audit.ProtocolViolation, Addr: addr(7), Time: noon.Add(time.Duration(i) * 3 * time.Second)})
	}
	if len(*alerts) != 1 {
		t.Errorf("twice as sensitive: %+v", *alerts)
	}
}

// TestPrefixesAreBounded: a flood of addresses takes no more room than so many, and
// is told of as one; who attacks in the midst of it is found all the same.
func TestPrefixesAreBounded(t *testing.T) {
	w, alerts := watch(1)
	for i := range 200_000 {
		a := netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 0, byte(i >> 16), byte(i >> 8), byte(i), 15: 1})
		w.Observe(&audit.Record{Event: audit.HandshakeFailed, Addr: a, Time: noon.Add(time.Duration(i) * 100 * time.Microsecond)})
	}
	if len(*alerts) != 2 || (*alerts)[0].Prefix.IsValid() || (*alerts)[1].Prefix.IsValid() { // failures, connects
		t.Fatalf("%+v", *alerts)
	}
	if n := w.Watched(); n != 4096 {
		t.Errorf("%d prefixes are watched, want 4,096", n)
	}
	for i := range 300_000 {
		at := noon.Add(5*time.Minute + time.Duration(i)*time.Millisecond)
		n := i % 20_000
		w.Observe(&audit.Record{Event: audit.ConnectionAccepted, Addr: netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 1, byte(n >> 16), byte(n >> 8), byte(n), 15: 1}), Time: at})
		if i%250 == 0 {
			w.Observe(&audit.Record{Event: audit.AuthenticationFailed, Reason: "invalid", Addr: addr(1), Time: at})
		}
	}
	if !slices.ContainsFunc(*alerts, func(a anomaly.Alert) bool { return a.Prefix == audit.PrefixOf(addr(1)) && a.Contain }) {
		t.Errorf("who guesses in the midst of a flood is not found: %+v", *alerts)
	}
}

// TestCrowdOfAttackers: those who alert are not forgotten for others.
func TestCrowdOfAttackers(t *testing.T) {
	w, alerts := watch(1)
	for n := range 5000 {
		for range 30 {
			w.Observe(&audit.Record{Event: audit.ProtocolViolation, Reason: "unmasked", Addr: netip.AddrFrom4([4]byte{10, 0, byte(n >> 8), byte(n)}), Time: noon})
		}
	}
	if len(*alerts) != 4097 || w.Crowded() != 904*30 {
		t.Errorf("%d alerts, %d events of prefixes without room", len(*alerts), w.Crowded())
	}
}

// TestNobodyIsBlamedFor what the server itself, a foreign page or time does.
func TestNobodyIsBlamedFor(t *testing.T) {
	blameless := map[audit.Event][]string{
		audit.AuthenticationFailed: {"expired", "internal", "too_many_requests", "missing", "unauthorized", "unknown_key"},
		audit.HandshakeFailed:      {"full", "evicted", "stale", "aborted", "server", "not_tls", "protocol", "peer_alert", "handshake_timeout"},
		audit.UpgradeRefused: {"overload", "key_pending", "rate", "connection_limit", "not_found", "not_upgrade", "method", "body", "query",
			"protocol_list", "bearer_alone", "unauthorized", "origin", "head_too_long", "too_many_headers", "hung_up", "closed", "head_timeout"},
		audit.ConnectionRefused: {"rate", "connections", "full", "banned", "overload"},
		audit.Disconnected:      {"closed", "slow", "expired"},
		audit.LimitHit:          {"message_rate"},
	}
	for event, reasons := range blameless {
		for _, reason := range reasons {
			w, alerts := watch(1)
			for i := range 10_000 {
				w.Observe(&audit.Record{Event: event, Reason: reason, Addr: addr(1), Time: noon.Add(time.Duration(i) * time.Millisecond)})
			}
			for _, a := range *alerts {
				if a.Contain {
					t.Errorf("%v, %s: %+v", event, reason, a)
				}
			}
		}
	}
}

// TestClockGoesBack: by an hour, and one failure a minute is still nothing.
func TestClockGoesBack(t *testing.T) {
	w, alerts := watch(1)
	w.Observe(&audit.Record{Event: audit.ConnectionAccepted, Addr: addr(9), Time: noon.Add(time.Hour)})
	for d := time.Duration(0); d < time.Hour; d += time.Minute {
		w.Observe(&audit.Record{Event: audit.AuthenticationFailed, Reason: "invalid", Addr: addr(1), Time: noon.Add(d)})
	}
	if len(*alerts) != 0 {
		t.Errorf("%+v", *alerts)
	}
}

// TestOldAndStrangeRecords: a clock that steps back, and records about nobody.
func TestOldAndStrangeRecords(t *testing.T) {
	w, alerts := watch(1)
	for i := range 40 {
		w.Observe(&audit.Record{Event: audit.AuthenticationFailed, Reason: "invalid", Time: noon.Add(-time.Duration(i) * time.Second), Addr: addr(3)})
		w.Observe(&audit.Record{Event: audit.Anomaly, Time: noon, Addr: addr(3)})
		w.Observe(&audit.Record{Event: audit.Checkpoint})
		w.Observe(&audit.Record{Event: 9999, Time: noon})
	}
	if len(*alerts) != 1 || (*alerts)[0].Prefix != audit.PrefixOf(addr(3)) {
		t.Errorf("%+v", *alerts)
	}
	w.Observe(&audit.Record{Event: audit.AuthenticationFailed, Reason: "invalid", Time: noon, Count: 1 << 40, Prefix: audit.PrefixOf(addr(4))})
	if a := (*alerts)[1]; a.Prefix != audit.PrefixOf(addr(4)) || a.Count < 1<<31 {
		t.Errorf("%+v", a)
	}
	if n := len(*alerts); n != 3 { // the count of 2^40 was one of all, too
		t.Errorf("%+v", *alerts)
	}
}

// TestStartForgets: as the server's own Watcher begins with it.
func TestStartForgets(t *testing.T) {
	w, alerts := watch(1)
	for range 10 {
		w.Observe(&audit.Record{Event: audit.Started, Time: noon})
		for range 29 {
			w.Observe(&audit.Record{Event: audit.AuthenticationFailed, Reason: "invalid", Time: noon, Addr: addr(3)})
		}
	}
	if len(*alerts) != 0 {
		t.Errorf("%+v", *alerts)
	}
}

// pipe is a destination of a log.
type pipe struct{ bytes.Buffer }

// TestOfflineIsOnline: from the lines of a log come the alerts that came beside the
// running server, whatever the format, however much was counted together.
func TestOfflineIsOnline(t *testing.T) {
	for _, format := range []audit.Format{audit.ECS, audit.Logfmt, audit.CEF} {
		var lines pipe
		online, heard := watch(1)
		l := audit.New(audit.Config{
			Destinations: []audit.Destination{audit.Writer(&lines, format)}, Every: time.Hour, Written: online.Observe,
		})
		rng := rand.New(rand.NewPCG(1, uint64(format)))
		at := noon
		for range 400 { // turns of the log, each a flood of another kind
			kind := anomaly.Detectors()[rng.IntN(len(anomaly.Detectors()))]
			for range 1 + rng.IntN(200) {
				r := cases[kind]
				at = at.Add(time.Duration(rng.IntN(20_000)) * time.Microsecond)
				r.Time, r.Addr = at, addr(rng.IntN(3))
				l.Add(&r)
			}
			l.Flush()
			at = at.Add(time.Duration(rng.IntN(2000)) * time.Millisecond)
		}
		l.Close()
		if c := l.Counters(); c.Dropped > 0 || c.Counted < 1000 {
			t.Fatalf("%+v", c)
		}
		offline, found := watch(1)
		for e, err := range audit.Entries(strings.NewReader(lines.String())) {
			if err != nil {
				t.Fatal(err)
			}
			offline.Observe(&e.Record)
		}
		if len(*heard) < 20 || !slices.Equal(*heard, *found) {
			t.Errorf("%v: %d alerts beside the server, %d from its log\n%v\n%v", format, len(*heard), len(*found), *heard, *found)
		}
	}
}

func TestBans(t *testing.T) {
	b := anomaly.NewBans([]netip.Prefix{netip.MustParsePrefix("198.18.5.0/24"), netip.MustParsePrefix("2001:db8:1::/48")})
	bad, good := audit.PrefixOf(addr(1)), audit.PrefixOf(addr(5<<8|9))
	if !b.Add(bad, noon.Add(time.Minute), noon) || b.Add(good, noon.Add(time.Minute), noon) {
		t.Fatal("one is banned, one is spared")
	}
	mapped := netip.AddrFrom16(addr(1).As16())
	for _, c := range []struct {
		addr   netip.Addr
		at     time.Duration
		banned bool
	}{
		{addr(1), 0, true}, {mapped, 0, true}, {addr(2), 0, false}, {addr(5<<8 | 9), 0, false},
		{addr(1), time.Minute - 1, true}, {addr(1), time.Minute, false}, {netip.Addr{}, 0, false},
	} {
		if got := b.Banned(c.addr, noon.Add(c.at)); got != c.banned {
			t.Errorf("%v after %v: %t", c.addr, c.at, got)
		}
	}
	if n := testing.AllocsPerRun(100, func() { b.Banned(addr(1), noon) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if b.Expire(noon.Add(time.Minute-1)) != nil || fmt.Sprint(b.Expire(noon.Add(time.Minute))) != fmt.Sprint([]netip.Prefix{bad}) || b.Len() != 0 {
		t.Error("a ban that is over is told once")
	}
	for i := range 5000 {
		b.Add(audit.PrefixOf(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)})), noon.Add(time.Minute), noon)
	}
	if b.Len() != 4096 || b.Full() != 904 {
		t.Errorf("%d bans, %d had no room", b.Len(), b.Full())
	}
	b.Spare([]netip.Prefix{netip.MustParsePrefix("10.0.0.0/24")})
	if b.Len() != 4096-256 || b.Banned(netip.MustParseAddr("10.0.0.7"), noon) || !b.Banned(netip.MustParseAddr("10.0.1.7"), noon) {
		t.Errorf("%d bans after some were spared", b.Len())
	}
	var none *anomaly.Bans
	if none.Banned(addr(1), noon) {
		t.Error("no bans ban")
	}
}

// Without detectors nobody is banned.
func TestNoBans(t *testing.T) {
	var none *anomaly.Bans
	if none.Banned(netip.MustParseAddr("192.0.2.1"), time.Unix(1, 0)) || none.Len() != 0 || none.Full() != 0 {
		t.Error("a ban out of nothing")
	}
}
