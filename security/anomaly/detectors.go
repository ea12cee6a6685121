package anomaly

import "weir/security/audit"

// kind is a detector's number.
type kind int

const (
	connects kind = iota
	failures
	malformed
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
// behind one address.
//
// A ban answers only what no honest client does again and again, nor can be made to
// do: a foreign page makes the browsers of its visitors ask for any path and send any
// Origin, a busy client meets limits, tokens end, and where the server or its backend
// fails everybody is refused.
var detectors = [kinds]detector{
	connects:    {name: "connects", prefix: 1200, all: 6000},
	failures:    {name: "failures", prefix: 120, all: 600},
	malformed:   {name: "malformed_requests", prefix: 30, all: 300, contain: true},
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

// noBrowser reports whether a request was refused for what no browser sends, whatever
// page it shows, and no proxy passes on.
func noBrowser(reason string) bool {
	switch reason {
	case "request_line", "http_version", "target", "bare_lf", "folding", "header_name", "header_value", "duplicate_header", "key", "missing_version":
		return true
	}
	return false
}

// kindsOf is the set of detectors that a record concerns.
func kindsOf(r *audit.Record) (set uint) {
	if r.Event.Attempt() {
		set |= 1 << connects
	}
	switch r.Event {
	case audit.UpgradeRefused:
		switch {
		case r.Reason == ReasonOrigin:
			return set | 1<<origins
		case noBrowser(r.Reason):
			set |= 1 << malformed
		}
		return set | 1<<failures
	case audit.HandshakeFailed:
		set |= 1 << failures
	case audit.AuthenticationFailed:
		if r.Reason == "invalid" || r.Reason == "revoked" {
			return set | 1<<credentials
		}
		set |= 1 << denials
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
