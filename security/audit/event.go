package audit

import (
	"fmt"
	"slices"
)

// Event is a stable id: a number keeps its meaning through all versions, and is
// never given to another event.
type Event uint16

// How an attempt to connect ends. Each attempt has exactly one of these.
const (
	ConnectionRefused  Event = 101 // by admission, before TLS
	HandshakeFailed    Event = 102 // no TLS came about
	UpgradeRefused     Event = 103 // the request had no 101; Status says what it had, 0 nothing
	ConnectionAccepted Event = 104 // 101
	PageServed         Event = 105 // the page of --dev
)

// What happens to an accepted connection.
const (
	Disconnected         Event = 110
	Authenticated        Event = 201
	AuthenticationFailed Event = 202
	TokenRefreshed       Event = 203
	PublishRefused       Event = 301
	SubscribeRefused     Event = 302
	LimitHit             Event = 303
	ProtocolViolation    Event = 304
	CommandRefused       Event = 305 // any other command
)

// What the operator's side does through the server API.
const (
	DisconnectOrdered Event = 401
	UserBlocked       Event = 402
	UserUnblocked     Event = 403
	TokenRevoked      Event = 404
	TokensInvalidated Event = 405
	TicketIssued      Event = 406
	APIRefused        Event = 407 // wrong or missing key
)

// What happens to the node.
const (
	Started           Event = 501
	Stopped           Event = 502
	PolicyReloaded    Event = 503
	PolicyRejected    Event = 504 // a reload that was refused
	OverloadLevel     Event = 505
	CertificateAlert  Event = 506
	CertificateLoaded Event = 507
)

// What detectors say.
const (
	Anomaly     Event = 601
	Contained   Event = 602 // a ban or a kick, or what would have been one
	Uncontained Event = 603
)

// What the log says of itself.
const (
	LogOpened  Event = 901 // first of each file
	Checkpoint Event = 902
	LogClosed  Event = 903 // last of a file that was ended in order
)

// about is what the formats say of an event.
type about struct {
	event    Event
	name     string // event.action
	category string // of ECS
	kind     string // event.type of ECS
	outcome  string
	severity uint8 // of CEF, 0 to 10

	// single is never counted together with others: rare, or not a peer's.
	single bool
	// keyed is counted together by prefix as soon as one has too many of it.
	keyed bool
}

// events is the closed list.
var events = [...]about{
	{event: ConnectionRefused, name: "connection-refused", category: "network", kind: "denied", outcome: "failure", severity: 4, keyed: true},
	{event: HandshakeFailed, name: "handshake-failed", category: "network", kind: "denied", outcome: "failure", severity: 4, keyed: true},
	{event: UpgradeRefused, name: "upgrade-refused", category: "network", kind: "denied", outcome: "failure", severity: 5, keyed: true},
	{event: ConnectionAccepted, name: "connection-accepted", category: "network", kind: "start", outcome: "success", severity: 1},
	{event: PageServed, name: "page-served", category: "network", kind: "access", outcome: "success", severity: 1, keyed: true},
	{event: Disconnected, name: "disconnected", category: "network", kind: "end", outcome: "unknown", severity: 1},
	{event: Authenticated, name: "authenticated", category: "authentication", kind: "start", outcome: "success", severity: 1},
	{event: AuthenticationFailed, name: "authentication-failed", category: "authentication", kind: "denied", outcome: "failure", severity: 6, keyed: true},
	{event: TokenRefreshed, name: "token-refreshed", category: "authentication", kind: "info", outcome: "success", severity: 1},
	{event: PublishRefused, name: "publish-refused", category: "network", kind: "denied", outcome: "failure", severity: 4, keyed: true},
	{event: SubscribeRefused, name: "subscribe-refused", category: "network", kind: "denied", outcome: "failure", severity: 4, keyed: true},
	{event: LimitHit, name: "limit-hit", category: "network", kind: "denied", outcome: "failure", severity: 5, keyed: true},
	{event: ProtocolViolation, name: "protocol-violation", category: "network", kind: "protocol", outcome: "failure", severity: 5, keyed: true},
	{event: CommandRefused, name: "command-refused", category: "network", kind: "denied", outcome: "failure", severity: 3, keyed: true},
	{event: DisconnectOrdered, name: "disconnect-ordered", category: "session", kind: "end", outcome: "success", severity: 3, single: true},
	{event: UserBlocked, name: "user-blocked", category: "iam", kind: "change", outcome: "success", severity: 5, single: true},
	{event: UserUnblocked, name: "user-unblocked", category: "iam", kind: "change", outcome: "success", severity: 3, single: true},
	{event: TokenRevoked, name: "token-revoked", category: "iam", kind: "change", outcome: "success", severity: 5, single: true},
	{event: TokensInvalidated, name: "tokens-invalidated", category: "iam", kind: "change", outcome: "success", severity: 5, single: true},
	{event: TicketIssued, name: "ticket-issued", category: "iam", kind: "creation", outcome: "success", severity: 1},
	{event: APIRefused, name: "api-refused", category: "authentication", kind: "denied", outcome: "failure", severity: 7, keyed: true},
	{event: Started, name: "started", category: "process", kind: "start", outcome: "success", severity: 1, single: true},
	{event: Stopped, name: "stopped", category: "process", kind: "end", outcome: "success", severity: 1, single: true},
	{event: PolicyReloaded, name: "policy-reloaded", category: "configuration", kind: "change", outcome: "success", severity: 3, single: true},
	{event: PolicyRejected, name: "policy-rejected", category: "configuration", kind: "change", outcome: "failure", severity: 5, single: true},
	{event: OverloadLevel, name: "overload-level", category: "host", kind: "change", outcome: "unknown", severity: 6, single: true},
	{event: CertificateAlert, name: "certificate-alert", category: "configuration", kind: "error", outcome: "failure", severity: 7, single: true},
	{event: CertificateLoaded, name: "certificate-loaded", category: "configuration", kind: "change", outcome: "success", severity: 2, single: true},
	{event: Anomaly, name: "anomaly", category: "intrusion_detection", kind: "info", outcome: "unknown", severity: 7, single: true},
	{event: Contained, name: "contained", category: "intrusion_detection", kind: "denied", outcome: "success", severity: 7, single: true},
	{event: Uncontained, name: "uncontained", category: "intrusion_detection", kind: "allowed", outcome: "success", severity: 3, single: true},
	{event: LogOpened, name: "log-opened", category: "process", kind: "start", outcome: "success", severity: 0, single: true},
	{event: Checkpoint, name: "checkpoint", category: "process", kind: "info", outcome: "success", severity: 0, single: true},
	{event: LogClosed, name: "log-closed", category: "process", kind: "end", outcome: "success", severity: 0, single: true},
}

// index is the event's place in events; false for one that is not in the list.
// They stand in the order of their numbers.
func (e Event) index() (int, bool) {
	return slices.BinarySearchFunc(events[:], e, func(a about, e Event) int { return int(a.event) - int(e) })
}

// ours reports whether it is not a peer's: an order, an alert, or of the node itself.
// Peers cannot make many of these.
func (e Event) ours() bool {
	i, ok := e.index()
	return ok && events[i].single
}

// String is the event's stable name.
func (e Event) String() string {
	i, ok := e.index()
	if !ok {
		return fmt.Sprintf("event-%d", uint16(e))
	}
	return events[i].name
}

// EventNamed returns the event of that name or number; false if there is none.
func EventNamed(name string) (Event, bool) {
	for i := range events {
		if events[i].name == name || fmt.Sprint(uint16(events[i].event)) == name {
			return events[i].event, true
		}
	}
	return 0, false
}

// Events is the closed list, in the order of their numbers.
func Events() (list []Event) {
	for i := range events {
		list = append(list, events[i].event)
	}
	return list
}

// Attempt reports whether the event is the end of an attempt to connect, of which
// each attempt has exactly one.
func (e Event) Attempt() bool { return e >= ConnectionRefused && e <= PageServed }
