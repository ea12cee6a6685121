// Package audit keeps the record of what happened to connections and of what
// was done to them (SECURITY.md R1 to R3): who came, from where, what was decided
// and why, and the end of it.
//
// A Record is put into a bounded queue, which never blocks; one goroutine counts
// floods together, writes lines (JSON with the names of the Elastic Common
// Schema, logfmt or CEF) and chains them, so that Verify finds a line that was
// deleted, changed or moved. Tokens, keys and payloads have no field here.
package audit

import (
	"net/netip"
	"strings"
	"time"
)

// Bounds of the texts of a record, in bytes. Attack: long heads in a small file.
const (
	maxText  = 256 // path, Origin, User-Agent, user, channel, message, server name
	maxShort = 128 // labels, identifiers, chain of proxies
)

// Record is one event. A zero field is not known or does not apply, and is not
// written. Texts may be the peer's: they are bounded, and escaped by the format.
type Record struct {
	Time   time.Time // written in milliseconds
	Event  Event
	Reason string // label out of a closed list
	Count  uint64 // attempts or events that it stands for; 0 and 1 are one

	Conn   ConnID       // joins the records of one connection
	Addr   netip.Addr   // of the client, unmapped
	Port   uint16       // the client's
	Proxy  string       // addresses of trusted proxies in between, by commas
	Prefix netip.Prefix // in place of Addr, of records counted together
	Since  time.Time    // of the first one of these

	TLSVersion, TLSSuite uint16
	Resumed              bool
	ServerName           string
	Path                 string // without the query
	Origin               string
	UserAgent            string
	Status               uint16 // HTTP status of the answer
	RequestID            string // X-Request-ID, from a trusted proxy only
	Trace                Trace

	User    string
	Auth    Auth   // what said so
	Session string // the client's id. What is written is its keyed hash
	Channel string

	Duration time.Duration // of the connection
	In, Out  uint64        // bytes of the socket, TLS included
	Code     uint16        // WebSocket close code, or code of the error reply
	Message  string        // the server's own words, for events that are not a peer's
}

// N is how many events the record stands for.
func (r *Record) N() uint64 { return max(r.Count, 1) }

// ConnID names a connection: Run is another for each start of a node, Number is
// never used twice in a run. The zero value is no connection.
type ConnID struct {
	Run    uint32
	Number uint64
}

// Trace is a W3C traceparent (Trace Context §3.2). The zero value is none.
type Trace struct {
	ID     [16]byte
	Parent [8]byte
	Flags  byte
}

// Auth is what said who a user is.
type Auth uint8

// The ways of H5, and those of other interfaces.
const (
	NoAuth       Auth = iota
	Anonymous         // nothing did, and --allow-anonymous
	ByHeader          // Authorization: Bearer
	ByProtocol        // Sec-WebSocket-Protocol
	ByTicket          // one-time ticket
	ByURL             // token in the URL
	ByConnect         // token of the connect command
	ByRefresh         // token of a refresh command
	BySubToken        // subscription token
	ByBackend         // the operator's application
	ByClientCert      // mutual TLS
	ByAPIKey          // server API
	auths
)

func (a Auth) String() string {
	return [...]string{"", "anonymous", "header", "subprotocol", "ticket", "url", "connect", "refresh", "subscription",
		"backend", "certificate", "api_key"}[min(a, auths-1)]
}

// boundedText is a field that holds text, and its bound in bytes.
type boundedText struct {
	text *string
	max  int
}

func (r *Record) texts() [11]boundedText {
	return [...]boundedText{
		{&r.Reason, maxShort}, {&r.Proxy, maxShort}, {&r.ServerName, maxText}, {&r.Path, maxText}, {&r.Origin, maxText},
		{&r.UserAgent, maxText}, {&r.RequestID, maxShort}, {&r.User, maxText}, {&r.Session, maxShort},
		{&r.Channel, maxText}, {&r.Message, maxText},
	}
}

// normalise brings a record into the form in which it is read back: texts are
// valid UTF-8 and bounded, times have milliseconds, addresses no zone.
func (r *Record) normalise() {
	for _, t := range r.texts() {
		*t.text = Bounded(*t.text, t.max)
	}
	r.Time, r.Since = milliseconds(r.Time), milliseconds(r.Since)
	r.Duration = r.Duration.Truncate(time.Millisecond)
	r.Addr = r.Addr.Unmap().WithZone("")
	if r.Count == 1 {
		r.Count = 0
	}
}

func milliseconds(t time.Time) time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	return t.UTC().Round(0).Truncate(time.Millisecond)
}

// Bounded returns s as valid UTF-8, at most limit bytes of it. A text that is cut
// ends in "…".
func Bounded[T string | []byte](s T, limit int) string {
	const ellipsis = "…"
	if len(s) <= limit {
		return strings.ToValidUTF8(string(s), "?")
	}
	return strings.ToValidUTF8(string(s[:limit-len(ellipsis)]), "?") + ellipsis
}
