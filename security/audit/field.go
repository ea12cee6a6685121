package audit

import (
	"crypto/tls"
	"encoding/hex"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// key names a field of a line.
type key uint8

const (
	keyTime key = iota
	keyReason
	keyCount
	keySince
	keyConn
	keyAddr
	keyPort
	keyProxy
	keyPrefix
	keyTLS
	keySuite
	keyResumed
	keySNI
	keyPath
	keyOrigin
	keyAgent
	keyStatus
	keyRequestID
	keyTrace
	keySpan
	keyFlags
	keyUser
	keyAuth
	keySession
	keyChannel
	keyDuration
	keyIn
	keyOut
	keyCode
	keyMessage
	keySeq
	keyPrev
	keyMAC
	keyHash
	keys
)

// names are the keys as each format has them: by Format. Those of ECS are its own
// (8.x) where it has any, those of CEF are ArcSight's dictionary.
var names = [keys][formats]string{
	keyTime:      {"@timestamp", "time", "rt"},
	keyReason:    {"event.reason", "reason", "reason"},
	keyCount:     {"weir.count", "count", "cnt"},
	keySince:     {"event.start", "since", "start"},
	keyConn:      {"weir.connection.id", "conn", "externalId"},
	keyAddr:      {"source.ip", "addr", "src"},
	keyPort:      {"source.port", "port", "spt"},
	keyProxy:     {"weir.proxy", "proxy", "weirProxy"},
	keyPrefix:    {"weir.source.prefix", "prefix", "weirPrefix"},
	keyTLS:       {"tls.version", "tls", "weirTLS"},
	keySuite:     {"tls.cipher", "cipher", "weirCipher"},
	keyResumed:   {"tls.resumed", "resumed", "weirResumed"},
	keySNI:       {"tls.client.server_name", "sni", "weirSNI"},
	keyPath:      {"url.path", "path", "request"},
	keyOrigin:    {"weir.origin", "origin", "weirOrigin"},
	keyAgent:     {"user_agent.original", "agent", "requestClientApplication"},
	keyStatus:    {"http.response.status_code", "status", "weirStatus"},
	keyRequestID: {"http.request.id", "request_id", "weirRequestID"},
	keyTrace:     {"trace.id", "trace", "weirTrace"},
	keySpan:      {"span.id", "span", "weirSpan"},
	keyFlags:     {"weir.trace_flags", "trace_flags", "weirTraceFlags"},
	keyUser:      {"user.id", "user", "suser"},
	keyAuth:      {"weir.auth", "auth", "weirAuth"},
	keySession:   {"weir.session", "session", "weirSession"},
	keyChannel:   {"weir.channel", "channel", "weirChannel"},
	keyDuration:  {"event.duration", "duration", "weirDuration"},
	keyIn:        {"source.bytes", "in", "in"},
	keyOut:       {"destination.bytes", "out", "out"},
	keyCode:      {"weir.code", "code", "weirCode"},
	keyMessage:   {"message", "message", "msg"},
	keySeq:       {"event.sequence", "seq", "weirSeq"},
	keyPrev:      {"weir.prev", "prev", "weirPrev"},
	keyMAC:       {"weir.mac", "mac", "weirMAC"},
	keyHash:      {"weir.hash", "hash", "weirHash"},
}

// fields writes the record's fields, in a fixed order, what is zero left out.
func (l *line) fields(r *Record) {
	l.text(keyReason, r.Reason)
	l.number(keyCount, r.Count)
	if !r.Since.IsZero() {
		l.time(keySince, r.Since)
	}
	if r.Conn != (ConnID{}) {
		l.text(keyConn, r.Conn.String())
	}
	if r.Addr.IsValid() {
		l.text(keyAddr, r.Addr.String())
	}
	l.number(keyPort, uint64(r.Port))
	l.text(keyProxy, r.Proxy)
	if r.Prefix.IsValid() {
		l.text(keyPrefix, r.Prefix.String())
	}
	if r.TLSVersion != 0 {
		l.text(keyTLS, tlsVersion(r.TLSVersion))
	}
	if r.TLSSuite != 0 {
		l.text(keySuite, tls.CipherSuiteName(r.TLSSuite))
	}
	if r.Resumed {
		l.literal(keyResumed, "true")
	}
	l.text(keySNI, r.ServerName)
	l.text(keyPath, r.Path)
	l.text(keyOrigin, r.Origin)
	l.text(keyAgent, r.UserAgent)
	l.number(keyStatus, uint64(r.Status))
	l.text(keyRequestID, r.RequestID)
	if r.Trace != (Trace{}) {
		l.text(keyTrace, hex.EncodeToString(r.Trace.ID[:]))
		l.text(keySpan, hex.EncodeToString(r.Trace.Parent[:]))
		l.number(keyFlags, uint64(r.Trace.Flags))
	}
	l.text(keyUser, r.User)
	l.text(keyAuth, r.Auth.String())
	l.text(keySession, r.Session)
	l.text(keyChannel, r.Channel)
	l.duration(keyDuration, r.Duration)
	l.number(keyIn, r.In)
	l.number(keyOut, r.Out)
	l.number(keyCode, uint64(r.Code))
	l.text(keyMessage, r.Message)
}

// set is the way back: it takes the text of a field's value.
func (e *Entry) set(k key, v string, f Format) (err error) {
	r := &e.Record
	switch k {
	case keyTime:
		r.Time, err = parseTime(v, f)
	case keySince:
		r.Since, err = parseTime(v, f)
	case keyCount:
		r.Count, err = strconv.ParseUint(v, 10, 64)
	case keyConn:
		r.Conn, err = ParseConnID(v)
	case keyAddr:
		r.Addr, err = netip.ParseAddr(v)
	case keyPrefix:
		r.Prefix, err = netip.ParsePrefix(v)
	case keyPort:
		r.Port, err = parse16(v)
	case keyStatus:
		r.Status, err = parse16(v)
	case keyCode:
		r.Code, err = parse16(v)
	case keyTLS:
		r.TLSVersion, err = parseTLSVersion(v)
	case keySuite:
		r.TLSSuite, err = parseSuite(v)
	case keyResumed:
		r.Resumed = v == "true"
	case keyTrace:
		err = parseHex(r.Trace.ID[:], v)
	case keySpan:
		err = parseHex(r.Trace.Parent[:], v)
	case keyFlags:
		var n uint64
		n, err = strconv.ParseUint(v, 10, 8)
		r.Trace.Flags = byte(n)
	case keyAuth:
		r.Auth, err = parseAuth(v)
	case keyDuration:
		r.Duration, err = parseDuration(v, f)
	case keyIn:
		r.In, err = strconv.ParseUint(v, 10, 64)
	case keyOut:
		r.Out, err = strconv.ParseUint(v, 10, 64)
	case keySeq:
		e.Seq, err = strconv.ParseUint(v, 10, 64)
	default:
		e.setText(k, v)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", names[k][f], err)
	}
	return nil
}

func (e *Entry) setText(k key, v string) {
	texts := map[key]*string{
		keyReason: &e.Reason, keyProxy: &e.Proxy, keySNI: &e.ServerName, keyPath: &e.Path, keyOrigin: &e.Origin,
		keyAgent: &e.UserAgent, keyRequestID: &e.RequestID, keyUser: &e.User, keySession: &e.Session,
		keyChannel: &e.Channel, keyMessage: &e.Message, keyPrev: &e.Prev, keyMAC: &e.MAC, keyHash: &e.Hash,
	}
	*texts[k] = v
}

// String is the form of an id in lines, as in 5f3a9c1e-2b00000007.
func (id ConnID) String() string { return fmt.Sprintf("%08x-%x", id.Run, id.Number) }

// ParseConnID is the way back from String.
func ParseConnID(s string) (id ConnID, err error) {
	run, number, _ := strings.Cut(s, "-")
	r, err := strconv.ParseUint(run, 16, 32)
	if err != nil {
		return ConnID{}, err
	}
	id.Run = uint32(r)
	id.Number, err = strconv.ParseUint(number, 16, 64)
	return id, err
}

func tlsVersion(v uint16) string { return strings.TrimPrefix(tls.VersionName(v), "TLS ") }

func parseTLSVersion(s string) (uint16, error) {
	for v := uint16(0x0300); v <= tls.VersionTLS13; v++ { // those that have a name, also the old ones
		if s == tlsVersion(v) {
			return v, nil
		}
	}
	return parseHex16(s)
}

func parseSuite(s string) (uint16, error) {
	for _, suite := range append(tls.CipherSuites(), tls.InsecureCipherSuites()...) {
		if suite.Name == s {
			return suite.ID, nil
		}
	}
	return parseHex16(s)
}

func parseHex16(s string) (uint16, error) {
	n, err := strconv.ParseUint(s, 0, 16)
	return uint16(n), err
}

func parse16(s string) (uint16, error) {
	n, err := strconv.ParseUint(s, 10, 16)
	return uint16(n), err
}

func parseHex(dst []byte, s string) error {
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != len(dst) {
		return fmt.Errorf("not %d bytes in hexadecimal", len(dst))
	}
	copy(dst, b)
	return nil
}

func parseAuth(s string) (Auth, error) {
	for a := NoAuth; a < auths; a++ {
		if a.String() == s {
			return a, nil
		}
	}
	return 0, fmt.Errorf("unknown way to authenticate")
}

const timeForm = "2006-01-02T15:04:05.000Z"

func parseTime(s string, f Format) (time.Time, error) {
	if f != CEF {
		return time.Parse(timeForm, s)
	}
	ms, err := strconv.ParseInt(s, 10, 64)
	return time.UnixMilli(ms).UTC(), err
}

// parseDuration reads nanoseconds in ECS, milliseconds in CEF, and in logfmt what
// people read.
func parseDuration(s string, f Format) (time.Duration, error) {
	if f == Logfmt {
		return time.ParseDuration(s)
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if f == CEF {
		return time.Duration(n) * time.Millisecond, err
	}
	return time.Duration(n), err
}
