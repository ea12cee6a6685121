package engine

import (
	"errors"

	"weir/engine/clientproto"
	"weir/engine/stats"
	"weir/security/audit"
	"weir/security/limit"
	"weir/security/token"
)

// Why a credential is refused.
const (
	reasonExpired = "expired"
	reasonInvalid = "invalid"
	reasonRevoked = "revoked"
	reasonMissing = "missing"
	reasonSchema  = "schema" // of a publication
	reasonUnknown = "unknown_key"
)

func authReason(err error) string {
	if errors.Is(err, token.ErrExpired) {
		return reasonExpired
	}
	if errors.Is(err, token.ErrUnknownKey) {
		return reasonUnknown
	}
	return reasonInvalid
}

// errorReason is the label of an error of PROTOCOL.md §2; the backend may have others.
func errorReason(code uint32) string {
	names := [...]string{"internal", "unauthorized", "unknown_channel", "permission_denied", "method_not_found", "already_subscribed",
		"limit_exceeded", "bad_request", "not_available", "token_expired", "expired", "too_many_requests", "unrecoverable_position"}
	if code >= 100 && code < 100+uint32(len(names)) {
		return names[code-100]
	}
	return stats.Other
}

// closeReason is the label of a close code that is ours.
func closeReason(code uint16) string {
	switch code {
	case clientproto.CloseShutdown.Code:
		return "shutdown"
	case clientproto.CloseExpired.Code:
		return reasonExpired
	case clientproto.CloseSlow.Code:
		return "slow"
	case clientproto.CloseNoPong.Code:
		return "no_pong"
	case clientproto.CloseTooManyRequests.Code:
		return "too_many_requests"
	case clientproto.CloseInvalidToken.Code:
		return "invalid_token"
	case clientproto.CloseBadRequest.Code:
		return "bad_request"
	case clientproto.CloseStale.Code:
		return "stale"
	case clientproto.CloseConnectionLimit.Code:
		return "connection_limit"
	case clientproto.CloseChannelLimit.Code:
		return "channel_limit"
	}
	if code < 3000 {
		return "protocol"
	}
	return "closed"
}

// Why the end of a connection was not ours.
const (
	endByPeer = "by_peer" // with a close frame
	endHungUp = "hung_up" // with TLS's
	endGone   = "gone"    // with neither
	endOurs   = "closed"
)

// admission is the reason why the gate let a peer in or not.
func admission(d limit.Decision) string {
	return [...]string{limit.Admitted: "", limit.OverRate: "rate", limit.OverCount: "connections"}[d]
}

// channelOf is the channel that a command names.
func channelOf(cmd *clientproto.Command) string {
	switch cmd.Method {
	case clientproto.Subscribe:
		return string(cmd.Subscribe.Channel)
	case clientproto.Publish:
		return string(cmd.Publish.Channel)
	case clientproto.Presence, clientproto.PresenceStats:
		return string(cmd.Presence.Channel)
	case clientproto.History:
		return string(cmd.History.Channel)
	}
	return ""
}

// auditSources are the figures of the log.
func auditSources(l *audit.Log) []stats.Source {
	if l == nil {
		return nil
	}
	source := func(name, help string, of func(audit.Counters) uint64) stats.Source {
		return stats.Source{Name: name, Help: help, Kind: stats.SourceCounter, Read: func() float64 { return float64(of(l.Counters())) }}
	}
	return []stats.Source{
		source("weir_audit_records_total", "Lines of the audit log.", func(c audit.Counters) uint64 { return c.Written }),
		source("weir_audit_counted_total", "Events that share a line of the audit log with others.", func(c audit.Counters) uint64 { return c.Counted }),
		source("weir_audit_dropped_total", "Events of which the audit log has only the number: its queue was full.", func(c audit.Counters) uint64 { return c.Dropped }),
		source("weir_audit_lost_total", "Events whose line a destination of the audit log could not take.", func(c audit.Counters) uint64 { return c.Lost }),
		source("weir_audit_failures_total", "Writes of the audit log that failed.", func(c audit.Counters) uint64 { return c.Failures }),
	}
}
