package anomaly

import (
	"fmt"
	"sync/atomic"
	"time"

	"weir/security/audit"
)

// Action is what was done about an alert.
type Action string

// The actions; they are the reasons of audit.Contained too.
const (
	Told   Action = ""        // nothing: nobody can be blamed, or containment is off
	DryRun Action = "dry_run" // a ban would have been
	Banned Action = "ban"
	Spared Action = "spared" // allow-listed, or there was no room for one more ban
)

// ReasonExpired is the reason of audit.Uncontained.
const ReasonExpired = "expired"

// Report is an alert with what was done about it.
type Report struct {
	Alert
	Action Action
	Until  time.Time // of a ban
}

// Response answers alerts: it writes them into the audit log, bans where that was
// asked for, and tells. All of its fields are set before its first Take.
type Response struct {
	Bans *Bans         // nil: nothing is ever contained
	Ban  bool          // false: what would be banned is only written down
	For  time.Duration // of a ban
	Log  *audit.Log
	Now  func() time.Time
	Tell func(Report) // must not block; may be nil

	Watcher *Watcher // whose alerts these are, for its figures; may be nil

	alerts [kinds]atomic.Uint64
}

// Take answers one alert. It is for Config.Alert; one goroutine calls it.
func (r *Response) Take(a *Alert) {
	for k := range detectors {
		if detectors[k].name == a.Detector {
			r.alerts[k].Add(1)
		}
	}
	r.Log.Add(&audit.Record{
		Time: r.Now(), Event: audit.Anomaly, Reason: a.Detector, Prefix: a.Prefix,
		Message: fmt.Sprintf("%d in %v, the threshold is %d", a.Count, Window, a.Threshold),
	})
	report := Report{Alert: *a}
	if a.Contain && r.Bans != nil {
		r.contain(&report)
	}
	if r.Tell != nil {
		r.Tell(report)
	}
}

func (r *Response) contain(report *Report) {
	now := r.Now()
	report.Action = DryRun
	switch {
	case r.Bans.Spared(report.Prefix):
		report.Action = Spared
	case r.Ban && r.Bans.Add(report.Prefix, now.Add(r.For), now):
		report.Action, report.Until = Banned, now.Add(r.For)
	case r.Ban:
		report.Action = Spared
	}
	if report.Action == Spared {
		return
	}
	r.Log.Add(&audit.Record{
		Time: now, Event: audit.Contained, Reason: string(report.Action), Prefix: report.Prefix,
		Message: fmt.Sprintf("%s, for %v", report.Detector, r.For),
	})
}

// Alerts is how many alerts a detector gave, by its place in Detectors. Any goroutine.
func (r *Response) Alerts(detector int) uint64 { return r.alerts[detector].Load() }
