package engine

import (
	"context"
	"net/netip"

	"weir/engine/clientproto"
	"weir/engine/stats"
	"weir/security/anomaly"
	"weir/security/audit"
	"weir/security/limit"
)

// What is done about an alert (SECURITY.md R4): a prefix is banned for a time, which
// admission asks before anything is spent on a peer, and those of it that are
// connected are sent away.

// reasonBanned is the reason of a refusal.
const reasonBanned = "banned"

// objection decides about a client's address: bans, then what one address may do. The
// reason of a refusal is "" if there is none.
func (sh *shared) objection(client netip.Addr) (reason string) {
	now := sh.wall()
	if sh.bans.Banned(client, now) {
		sh.banned.Add(1)
		return reasonBanned
	}
	if d := sh.gate.Decide(client, now); d != limit.Admitted {
		return admission(d)
	}
	return ""
}

// Expel closes every connection from a prefix, as a ban does with those who were in
// before it. Any goroutine may call it while the server runs.
func (s *Server) Expel(ctx context.Context, from netip.Prefix) error {
	e := (node{s}).everyShard(ctx, func(sh *shard) {
		sh.conns.each(func(c *conn) {
			if c.link == linkProxy || !from.Contains(c.peer.Unmap()) {
				return
			}
			if c.phase == phaseOpen {
				sh.close(c, clientproto.CloseForceNoReconnect)
				sh.settle(c)
				return
			}
			sh.abort(c, "")
		})
	})
	if e != nil {
		return errStopped
	}
	return nil
}

// anomalySources are the figures of the detectors.
func anomalySources(r *anomaly.Response) (list []stats.Source) {
	if r == nil {
		return nil
	}
	for i, name := range anomaly.Detectors() {
		list = append(list, stats.Source{Name: "weir_anomalies_total", Help: "Alerts, by detector.", Kind: stats.SourceCounter,
			Label: [2]string{"detector", name}, Read: func() float64 { return float64(r.Alerts(i)) }})
	}
	return append(list, stats.Source{Name: "weir_bans", Help: "Address prefixes that are banned for now.",
		Read: func() float64 { return float64(r.Bans.Len()) }})
}

// expireBans lets those back in whose time is over, and tells so.
func (s *Server) expireBans() {
	now := s.shared.wall()
	for _, p := range s.shared.bans.Expire(now) {
		s.shared.audit.Add(&audit.Record{Time: now, Event: audit.Uncontained, Reason: anomaly.ReasonExpired, Prefix: p})
	}
}
