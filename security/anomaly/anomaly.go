// Package anomaly watches the audit log for what is not usual: sudden changes of
// connects, failures and rates, strangers' origins, broken protocol, guessed
// credentials; of one address prefix and of all together (SECURITY.md R4).
//
// A Watcher is a function of the records as they were written, in their order,
// and of nothing else: no clock, no chance. So it gives the same alerts beside the
// running server and later, from the files.
//
// How it counts: each detector has a window of six buckets of ten seconds, one
// for all and one for each prefix. The window of a prefix has a fixed threshold.
// That of all has a floor, and above it so many times what was usual; what is
// usual follows slowly, and an attack moves it no faster than its threshold.
// Crossing a threshold is one alert, and then silence until the window has been
// below it for Quiet.
package anomaly

import (
	"net/netip"
	"sync/atomic"
	"time"

	"weir/security/audit"
)

// Sizes.
const (
	buckets = 6
	bucket  = 10 * time.Second

	// Window is what detectors count over.
	Window = buckets * bucket

	// Quiet is how long a window must stay below its threshold before it alerts again.
	Quiet = 5 * time.Minute

	// maxPrefixes are watched one by one. Attack: a flood from 2^20 addresses. Those
	// over it count among all only, and in Crowded.
	maxPrefixes = 4096
)

// Alert is a threshold that was crossed.
type Alert struct {
	Time      time.Time    // of the record that crossed it, in milliseconds
	Detector  string       // out of Detectors
	Prefix    netip.Prefix // the zero Prefix: all together
	Count     uint64       // in the Window that ended then
	Threshold uint64
	Contain   bool // a ban of Prefix would stop it, and hurts few others
}

// Config says how a Watcher watches. The zero value is usable.
type Config struct {
	Scale float64      // multiplies every threshold: 2 is half as sensitive; 0: 1
	Alert func(*Alert) // is called inside Observe; may be nil
}

// Watcher is one run of the detectors. It belongs to one goroutine.
type Watcher struct {
	cfg      Config
	all      scope
	usual    [kinds]usual
	prefixes map[netip.Prefix]*scope // at most maxPrefixes
	order    []*scope                // those of prefixes; the hand goes round
	hand     int
	now      int64 // the bucket of the newest record
	crowded  atomic.Uint64
}

// New makes a Watcher.
func New(cfg Config) *Watcher {
	if cfg.Scale <= 0 {
		cfg.Scale = 1
	}
	w := &Watcher{cfg: cfg}
	w.begin()
	return w
}

// begin forgets everything but what is usual.
func (w *Watcher) begin() {
	w.all = scope{}
	w.prefixes, w.order, w.hand, w.now = make(map[netip.Prefix]*scope), nil, 0, 0
}

// Crowded is how many events came from prefixes that found no room to be watched.
// Any goroutine may ask.
func (w *Watcher) Crowded() uint64 { return w.crowded.Load() }

// Watched is how many prefixes are watched one by one.
func (w *Watcher) Watched() int { return len(w.prefixes) }

// Observe takes the next record of a log. Records of the log about itself and of
// detectors change nothing. What is older than the newest one counts as that, but
// after a clock that went back by more than a Window all counting begins anew.
func (w *Watcher) Observe(r *audit.Record) {
	if r.Event == audit.Started {
		w.usual = [kinds]usual{}
		w.begin()
		return
	}
	which := kindsOf(r)
	if which == 0 {
		return
	}
	at := r.Time.Truncate(time.Millisecond)
	w.advance(at)
	var one *scope
	if p := prefixOf(r); p.IsValid() {
		if one = w.scope(p); one == nil {
			w.crowded.Add(r.N())
		}
	}
	for k := range kinds {
		if which&(1<<k) == 0 {
			continue
		}
		d := &detectors[k]
		if one != nil && d.prefix > 0 {
			w.count(one, k, r.N(), at, w.scaled(d.prefix), d.contain)
		}
		if d.all > 0 {
			w.count(&w.all, k, r.N(), at, max(w.scaled(d.all), w.usual[k].threshold()), false)
		}
	}
}

func (w *Watcher) scaled(threshold uint64) uint64 {
	return max(uint64(float64(threshold)*w.cfg.Scale), 1)
}

// advance closes the buckets that have ended since the last record.
func (w *Watcher) advance(at time.Time) {
	now := at.Unix() / int64(bucket/time.Second)
	if now < w.now-buckets {
		w.begin()
	}
	if w.now == 0 {
		w.now = now
	}
	// After a silence of more windows than one, nothing was usual but silence.
	for steps := min(now-w.now, 100*buckets); steps > 0; steps-- {
		w.now = now - steps + 1
		for k := range kinds {
			w.usual[k].learn(w.all.windows[k].sum(w.now-1), max(w.scaled(detectors[k].all), w.usual[k].threshold()))
		}
	}
}

// count adds n events to a window and alerts if that crosses the threshold.
func (w *Watcher) count(s *scope, k kind, n uint64, at time.Time, threshold uint64, contain bool) {
	v := &s.windows[k]
	v.add(w.now, n)
	if v.sum(w.now) < threshold {
		return
	}
	again := v.alerted != 0 && w.now-v.alerted <= int64(Quiet/bucket)
	v.alerted = w.now
	if !again && w.cfg.Alert != nil {
		w.cfg.Alert(&Alert{
			Time: at, Detector: detectors[k].name, Prefix: s.prefix, Count: v.sum(w.now), Threshold: threshold,
			Contain: contain && s.prefix.IsValid(),
		})
	}
}

// scope finds a prefix's windows, or makes room for them: of the next few, those go
// that count least and have no alert to remember. nil: all of these are alerting.
func (w *Watcher) scope(p netip.Prefix) *scope {
	if s := w.prefixes[p]; s != nil {
		return s
	}
	var s *scope
	if len(w.order) < maxPrefixes {
		s = new(scope)
		w.order = append(w.order, s)
	} else if s = w.least(); s == nil {
		return nil
	}
	delete(w.prefixes, s.prefix)
	*s = scope{prefix: p}
	w.prefixes[p] = s
	return s
}

func (w *Watcher) least() (least *scope) {
	const steps = 16
	var fewest uint64
	for range steps {
		s := w.order[w.hand]
		w.hand = (w.hand + 1) % len(w.order)
		if n := s.total(w.now); !s.alerting(w.now) && (least == nil || n < fewest) {
			least, fewest = s, n
		}
	}
	return least
}

// prefixOf is whom a record counts for: an IPv4 address, an IPv6 /64.
func prefixOf(r *audit.Record) netip.Prefix {
	if !r.Addr.IsValid() {
		return r.Prefix
	}
	return audit.PrefixOf(r.Addr)
}
