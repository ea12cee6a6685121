//go:build linux

package main

import (
	"errors"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"weir/bench/internal/client"
)

// TestOverloadAFew runs everything against a real server; the figures of so few say nothing, but clients must come and get
// through, floods be seen, and nobody who was connected come to harm.
func TestOverloadAFew(t *testing.T) {
	var out, log strings.Builder
	err := run(t.Context(), strings.Fields("-established 5 -rounds 1 -together 2 -times 2 -patience 1m -stage 100ms -kinds churn,pings -flood 50ms -max-harmed 0 -share 0 -- --handshake-timeout=2m --head-timeout=2m"), &out, &log)
	if err != nil {
		t.Fatalf("%v\n%s%s", err, &out, &log)
	}
	for _, want := range []string{"capacity: ", "overload: ", "goodput: ", "0 of 5 subscribers who were connected", "churn ", "pings ", "2 floods of 50ms beside 5 subscribers"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is missing in\n%s", want, &out)
		}
	}
}

func TestJudge(t *testing.T) {
	at := time.Unix(1700000000, 0)
	begin := moment{at: at, cpu: time.Second, idle: time.Minute, done: 100, offered: 200}
	// Two seconds: 1000 handshakes for half a second of the server's time and none left over, and 960 of ten times as many for a
	// quarter, with a quarter that it did not use.
	alone := begin.until(moment{at: at.Add(2 * time.Second), cpu: 1500 * time.Millisecond, idle: time.Minute, done: 1100, offered: 1200}, 2)
	many := begin.until(moment{at: at.Add(2 * time.Second), cpu: 1250 * time.Millisecond, idle: time.Minute + 250*time.Millisecond, done: 1060, offered: 10_200}, 2)
	p := plan{together: 7}
	var out strings.Builder
	if err := p.judge([]span{alone}, []span{many}, &out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"capacity: 500 handshakes a second with 7 clients at once, 2000 for a second", "overload: 5000 hellos a second", " 10.0 times what the server's processor time then is enough for: 480 handshakes a second, 1920 for",
		"goodput: 96.0 % of the capacity", "96.0 % of it by the clock",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is missing in\n%s", want, &out)
		}
	}
	if many.cores = 0.2; many.had() != 250*time.Millisecond+150*time.Millisecond {
		t.Errorf("of a fifth of a core it had %v", many.had())
	}
	many.cores = 2
	p.minGoodput = 96.1
	if err := p.judge([]span{alone}, []span{many}, &out); err == nil {
		t.Error("too little passes")
	}
}

// TestSources: loops that share the prefix come from different addresses of it.
func TestSources(t *testing.T) {
	prefix, seen := netip.MustParsePrefix(visitorsFrom), map[netip.Addr]bool{}
	const loops, each = 2, 1 << 15
	for loop := range loops {
		v := visitors{from: prefix, number: uint32(loop), stride: loops}
		for range each {
			a := netip.AddrFrom4(v.source())
			if seen[a] = true; !prefix.Contains(a) {
				t.Fatalf("%s is not of %s", a, prefix)
			}
		}
	}
	if len(seen) < loops*each*98/100 {
		t.Errorf("%d different addresses of %d", len(seen), loops*each)
	}
}

func TestPlan(t *testing.T) {
	for _, args := range []string{"-established 0", "-rounds 0", "-times 0", "-stage 0s", "-nothing", "-share -1", "-parts none", "-kinds kindness"} {
		if _, err := parse(strings.Fields(args), new(strings.Builder)); err == nil {
			t.Errorf("%s: no error", args)
		}
	}
}

// TestHarm: who is lost, and who misses a publication, is counted once, and waited for no more.
func TestHarm(t *testing.T) {
	e := &established{seen: make([]atomic.Int64, 3)}
	e.published.Store(7)
	e.seen[0].Store(7)
	e.harm(1, errors.New("lost"))
	e.harm(2, errors.New("behind"))
	if harmed, first, err := e.check(t.Context()); harmed != 2 || first == nil || first.Error() != "lost" || err != nil {
		t.Errorf("%d, %v, %v", harmed, first, err)
	}
	e.conns = make([]*client.Conn, 3)
	p, out := plan{maxHarmed: 1, log: new(strings.Builder)}, strings.Builder{}
	if err := p.judgeHarm(t.Context(), e, &out); err == nil || !strings.Contains(out.String(), "2 of 3 subscribers") {
		t.Errorf("%v, %s", err, &out)
	}
	if p.maxHarmed = -1; p.judgeHarm(t.Context(), e, &out) != nil {
		t.Error("what should only be printed fails")
	}
	e.seen[0].Store(6)
	e.failed = errors.New("no server")
	if _, _, err := e.check(t.Context()); err == nil {
		t.Error("publishing that failed is waited for")
	}
}
