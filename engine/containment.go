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
// before it; they may come back when it is over. Any goroutine may call it while the
// server runs. It returns when the shards have begun; each goes on in slices.
func (s *Server) Expel(ctx context.Context, from netip.Prefix) error {
	if e := (node{s}).everyShard(ctx, func(sh *shard) { sh.expel(from, 0) }); e != nil {
		return errStopped
	}
	return nil
}

// bannedMeanwhile refuses a peer that was banned after it was admitted. It is asked on the loop: who comes before the ban
// is there when the walk of Expel comes by, and who comes after it is met here. Those of a proxy are admitted on the loop.
func (s *shard) bannedMeanwhile(peer netip.AddrPort) bool {
	now := s.wall()
	if !s.bans.Banned(peer.Addr(), now) {
		return false
	}
	s.banned.Add(1)
	s.gate.Release(peer.Addr())
	s.audit.Add(&audit.Record{Time: now, Event: audit.ConnectionRefused, Reason: reasonBanned, Addr: peer.Addr().Unmap(), Port: peer.Port()})
	return true
}

// expel looks at so many slots from one on, and at the rest in the next turn.
func (s *shard) expel(from netip.Prefix, slot uint32) {
	end := uint32(len(s.conns.chunks) * slabChunk)
	for stop := min(slot+sweepConnections, end); slot < stop; slot++ {
		if c := s.conns.at(slot); c.phase != phaseGone && c.link != linkProxy && from.Contains(c.peer.WithZone("")) {
			s.sendAway(c)
		}
	}
	if slot < end {
		s.post(post{order: func(s *shard) { s.expel(from, slot) }})
	}
}

func (s *shard) sendAway(c *conn) {
	defer func() { s.contain(recover(), c) }()
	if c.phase != phaseOpen {
		s.abort(c, "")
		return
	}
	s.close(c, clientproto.CloseForceReconnect)
	s.settle(c)
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
	if w := r.Watcher; w != nil {
		list = append(list, stats.Source{Name: "weir_anomaly_crowded_total", Help: "Events of prefixes that the detectors had no room to watch.",
			Kind: stats.SourceCounter, Read: func() float64 { return float64(w.Crowded()) }})
	}
	return append(list,
		stats.Source{Name: "weir_bans", Help: "Address prefixes that are banned for now.", Read: func() float64 { return float64(r.Bans.Len()) }},
		stats.Source{Name: "weir_bans_full_total", Help: "Bans for which there was no room.", Kind: stats.SourceCounter,
			Read: func() float64 { return float64(r.Bans.Full()) }})
}

// expireBans lets those back in whose time is over, and tells so.
func (s *Server) expireBans() {
	now := s.shared.wall()
	for _, p := range s.shared.bans.Expire(now) {
		s.shared.audit.Add(&audit.Record{Time: now, Event: audit.Uncontained, Reason: anomaly.ReasonExpired, Prefix: p})
	}
}
