package engine

import (
	"weir/engine/api"
	"weir/engine/clientproto"
	"weir/engine/hub"
	"weir/engine/stats"
	"weir/engine/tlsconn"
	"weir/engine/upgrade"
	"weir/engine/ws"
	"weir/security/overload"
	"weir/security/proxy"
	"weir/security/schema"
)

// Metric labels of the engine's own; those of its parts come with their errors.
const (
	labelNotTLS           = "not_tls"
	labelRecord           = "tls_record"
	labelHandshakeFlood   = "handshake_flood"
	labelHandshakeTimeout = "handshake_timeout"
	labelHeadTimeout      = "head_timeout"
	labelRecordTimeout    = "record_timeout"
	labelMessageTimeout   = "message_timeout"
	labelPartialBudget    = "partial_budget"

	limitMessages   = "message_rate"
	limitBytes      = "byte_rate"
	limitPings      = "ping_rate"
	limitFailures   = "auth_failures"
	limitSubscribes = "subscribe_rate"
	limitPublishes  = "publish_rate"
	limitHeld       = "held_input"
	limitUser       = "user_connections"

	limitUserMessages   = "user_message_rate"
	limitUserBytes      = "user_byte_rate"
	limitUserSubscribes = "user_subscribe_rate"
	limitUserConnects   = "user_connect_rate"

	labelDisconnect   = "disconnect"
	labelWriteTimeout = "write_timeout"
	labelUnsubscribe  = "unsubscribe"
	labelInboxFull    = "inbox_full"
	labelDropOldest   = "drop_oldest"
	labelDropNewest   = "drop_newest"
	labelConflated    = "conflated"
	labelConflateFull = "conflate_full"
)

// labels are the closed lists that the counters are split by.
func labels() stats.Labels {
	kinds := []string{labelNotTLS, labelRecord, labelHandshakeFlood, labelHandshakeTimeout,
		labelHeadTimeout, labelRecordTimeout, labelMessageTimeout, labelPartialBudget}
	for _, v := range ws.Violations() {
		kinds = append(kinds, v.Label)
	}
	kinds = append(kinds, clientproto.Labels()...)
	for _, f := range []*proxy.Fault{proxy.ErrHeader, proxy.ErrTooLong, proxy.ErrFamily} {
		kinds = append(kinds, f.Label)
	}
	for _, f := range upgrade.Refusals() {
		kinds = append(kinds, f.Label)
	}
	var methods []string
	for m := clientproto.Pong; m <= clientproto.Send; m++ {
		methods = append(methods, m.String())
	}
	return stats.Labels{
		stats.ProtocolErrors:   distinct(kinds),
		stats.HandshakesFailed: handshakeReasons(),
		stats.Commands:         methods,
		stats.SlowConsumers:    {labelDisconnect, labelWriteTimeout, labelUnsubscribe},
		stats.OverloadCloses:   {overload.Shed.String(), overload.Evict.String()},
		stats.OutboxDrops:      {labelInboxFull, labelDropOldest, labelDropNewest, labelConflated, labelConflateFull},
		stats.APIRequests:      api.MethodNames(),
		stats.PublishRefused:   api.RefusalReasons(),
		stats.PayloadsRefused:  schema.Keywords(),
	}
}

// dropLabels are the reasons of stats.OutboxDrops by policy.
var dropLabels = [hub.Overflows]string{
	hub.Disconnect: labelDropNewest, // of readers who were held when the policy was another
	hub.DropOldest: labelDropOldest, hub.DropNewest: labelDropNewest, hub.Conflate: labelConflated,
}

func distinct(list []string) []string {
	seen := make(map[string]bool, len(list))
	var out []string
	for _, x := range list {
		if !seen[x] {
			seen[x] = true
			out = append(out, x)
		}
	}
	return out
}

func handshakeReasons() (list []string) {
	for _, f := range []*tlsconn.Failure{
		tlsconn.ErrStale, tlsconn.ErrFull, tlsconn.ErrEvicted, tlsconn.ErrAborted, tlsconn.ErrClosed, tlsconn.ErrVersion,
		tlsconn.ErrCipher, tlsconn.ErrALPN, tlsconn.ErrPeer, tlsconn.ErrProtocol, tlsconn.ErrServer, tlsconn.ErrClient,
	} {
		list = append(list, f.Label)
	}
	return list
}
