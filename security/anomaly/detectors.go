package anomaly

import "weir/security/audit"

// kind is a detector's number.
type kind int

const (
	connects kind = iota
	failures
	credentials
	origins
	violations
	limits
	denials
	apiKeys
	disconnects
	kinds
)

// detector is what is counted, and when it is too much: events in a Window.
type detector struct {
	name    string
	prefix  uint64 // threshold of one prefix; 0: not watched
	all     uint64 // floor of the threshold of all
	contain bool   // a ban of the prefix is an answer
}

// detectors is the closed list. The thresholds of a prefix leave room for an office
// behind one address. A ban answers what no honest client does again and again: a
// foreign page makes honest browsers send its Origin, and a busy client meets limits.
var detectors = [kinds]detector{
	connects:    {name: "connects", prefix: 1200, all: 6000},
	failures:    {name: "failures", prefix: 120, all: 600, contain: true},
	credentials: {name: "credential_stuffing", prefix: 30, all: 300, contain: true},
	origins:     {name: "unexpected_origins", prefix: 20, all: 100},
	violations:  {name: "protocol_violations", prefix: 30, all: 300, contain: true},
	limits:      {name: "limits", prefix: 600, all: 3000},
	denials:     {name: "denials", prefix: 120, all: 1000},
	apiKeys:     {name: "api_keys", prefix: 10, all: 30},
	disconnects: {name: "disconnects", all: 6000},
}

// Detectors are the names of all detectors.
func Detectors() (names []string) {
	for _, d := range detectors {
		names = append(names, d.name)
	}
	return names
}

// ReasonOrigin is the reason of an upgrade that was refused for its Origin.
const ReasonOrigin = "origin"

// kindsOf is the set of detectors that a record concerns.
func kindsOf(r *audit.Record) (set uint) {
	if r.Event.Attempt() {
		set |= 1 << connects
	}
	switch r.Event {
	case audit.UpgradeRefused:
		if r.Reason == ReasonOrigin {
			return set | 1<<origins
		}
		return set | 1<<failures
	case audit.HandshakeFailed:
		set |= 1 << failures
	case audit.AuthenticationFailed:
		set |= 1 << credentials
	case audit.ProtocolViolation:
		set |= 1 << violations
	case audit.ConnectionRefused, audit.LimitHit:
		set |= 1 << limits
	case audit.PublishRefused, audit.SubscribeRefused, audit.CommandRefused:
		set |= 1 << denials
	case audit.APIRefused:
		set |= 1 << apiKeys
	case audit.Disconnected:
		set |= 1 << disconnects
	}
	return set
}
