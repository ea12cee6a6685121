package engine

import (
	"runtime/debug"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"weir/engine/poll"
	"weir/engine/stats"
	"weir/security/overload"
	"weir/security/token"
)

// housekeeper does what the node has to do now and then. Owned by the ticker's
// goroutine.
type housekeeper struct {
	second     time.Time // of the last round
	handshakes uint64    // completed or failed at the last round
	busy       time.Time // when that number last grew
	garbage    uint64    // handshakes since memory was last handed back
	swept      time.Time
	collector  collector
}

// releaseHandshakes is how many handshakes leave enough garbage (100 KB each,
// see [Collection]) to be worth a collection of its own.
const releaseHandshakes = 500

func (h *housekeeper) tick(s *Server, now time.Time) {
	if now.Sub(h.second) < time.Second {
		return
	}
	h.second = now
	for _, sh := range s.shards {
		sh.post(post{order: func(sh *shard) { sh.tls.Tick(now, sh.strain.level >= overload.Tighten); sh.ledger.begin() }})
	}
	s.pressure.tick(s, now)
	h.release(s, now)
	h.collector.tune(s.collection, s.shared.pool.Counters().Started, now)
	s.expireBans()
	if now.Sub(h.swept) > time.Minute {
		h.swept = now
		s.memory.Sweep(now)
	}
}

// release hands the memory of a connect storm back to the system once it is
// over. The collector would do it too, minutes later.
func (h *housekeeper) release(s *Server, now time.Time) {
	n := s.shared.pool.Counters().Started
	if n != h.handshakes {
		h.garbage += n - h.handshakes
		h.handshakes, h.busy = n, now
		return
	}
	if h.garbage >= releaseHandshakes && now.Sub(h.busy) >= releaseAfter {
		h.garbage = 0
		debug.FreeOSMemory()
	}
}

// gatherer is everything that /metrics shows.
func (s *Server) gatherer(cfg *Config) prometheus.Gatherer {
	r := prometheus.NewRegistry()
	r.MustRegister(s.stats.Collector(s.sources(cfg)...),
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return r
}

// keySources are the figures of the keys that are fetched.
func keySources(keys *token.KeySet, now func() time.Time) []stats.Source {
	return []stats.Source{
		{Name: "weir_token_keys", Help: "Keys of --jwks-url in force.", Read: func() float64 { return float64(keys.Figures().Keys) }},
		{Name: "weir_token_keys_skipped", Help: "Keys of --jwks-url that cannot be used.", Read: func() float64 { return float64(keys.Figures().Skipped) }},
		{Name: "weir_token_keys_age_seconds", Help: "Seconds since the keys in force were fetched; -1 before there are any.", Read: func() float64 {
			if asked := keys.Figures().Asked; !asked.IsZero() {
				return now().Sub(asked).Seconds()
			}
			return -1
		}},
		{Name: "weir_token_key_fetches_total", Help: "Fetches of the token keys, by result.", Kind: stats.SourceCounter, Label: [2]string{"result", "ok"},
			Read: func() float64 { return float64(keys.Figures().Replaced) }},
		{Name: "weir_token_key_fetches_total", Help: "Fetches of the token keys, by result.", Kind: stats.SourceCounter, Label: [2]string{"result", "failed"},
			Read: func() float64 { return float64(keys.Figures().Failed) }},
	}
}

// logSources are the figures of the operational log.
func logSources(cfg *Config) (list []stats.Source) {
	for _, f := range []struct {
		name, help string
		read       func() uint64
	}{
		{"weir_log_dropped_total", "Lines of the log that whoever reads it was too slow for.", cfg.LogDropped},
		{"weir_log_suppressed_total", "Lines of the log that were held back: one a second of each fault.", cfg.LogSuppressed},
	} {
		if f.read != nil {
			list = append(list, stats.Source{Name: f.name, Help: f.help, Kind: stats.SourceCounter, Read: func() float64 { return float64(f.read()) }})
		}
	}
	return list
}

// sources are the figures that parts other than the loops hold.
func (s *Server) sources(cfg *Config) []stats.Source {
	sh := s.shared
	refused := func(reason string, n func() uint64) stats.Source {
		return stats.Source{Name: "weir_connections_refused_total", Help: "Connections refused before TLS, by reason.",
			Kind: stats.SourceCounter, Label: [2]string{"reason", reason}, Read: func() float64 { return float64(n()) }}
	}
	listeners := func(of func(poll.ListenCounters) uint64) func() uint64 {
		return func() (sum uint64) {
			for _, l := range s.listeners {
				sum += of(l.Counters())
			}
			return sum
		}
	}
	list := []stats.Source{
		refused("rate", func() uint64 { return sh.gate.Counters().OverRate }),
		refused(reasonOverload, s.pressure.refused.Load),
		refused("connections", func() uint64 { return sh.gate.Counters().OverCount }),
		refused("full", func() uint64 {
			return s.full.Load() + listeners(func(c poll.ListenCounters) uint64 { return c.Full })()
		}),
		refused("descriptors", listeners(func(c poll.ListenCounters) uint64 { return c.Exhausted })),
		refused("untrusted", s.untrusted.Load),
		refused(reasonBanned, sh.banned.Load),
		{Name: "weir_handshakes_in_flight", Help: "TLS handshakes computing, queued or waiting for the client.",
			Read: func() float64 { return float64(sh.pool.Counters().InFlight) }},
		{Name: "weir_handshake_slots", Help: "TLS handshakes that may compute at once: fewer while the loops are late.",
			Read: func() float64 { return float64(sh.pool.Counters().Slots) }},
		{Name: "weir_channels", Help: "Channels with a subscriber on this node.",
			Read: func() float64 { return float64(sh.hub.Channels()) }},
		{Name: "weir_patterns", Help: "Wildcard subscriptions of this node that differ.",
			Read: func() float64 { return float64(sh.hub.Patterns()) }},
		{Name: "weir_history_bytes", Help: "Publications kept for all channels.",
			Read: func() float64 { return float64(s.memory.Bytes()) }},
		{Name: "weir_streams", Help: "Channels that the memory broker keeps a position for.",
			Read: func() float64 { return float64(s.memory.Streams()) }},
		{Name: "weir_work_queue_commands", Help: "Commands waiting for a worker.",
			Read: func() float64 { return float64(sh.work.Queued()) }},
	}
	list = append(list,
		stats.Source{Name: "weir_auth_failures_total", Help: "Credentials that were none: forged, malformed or for another server, unknown tickets, refused by the connect hook; not those that are over.",
			Kind: stats.SourceCounter, Read: func() float64 { return float64(sh.fails.Noted()) }},
		stats.Source{Name: "weir_auth_refused_total", Help: "Credentials that were not looked at, because their address had failed too often.",
			Kind: stats.SourceCounter, Read: func() float64 { return float64(sh.fails.Refused()) }})
	if sh.users != nil {
		list = append(list, stats.Source{Name: "weir_limited_users", Help: "Users with a connection that counts for --user-connections.",
			Read: func() float64 { return float64(sh.users.Connected()) }})
	}
	list = append(list, s.userSources()...)
	list = append(list, sh.hooks.sources()...)
	if keys := sh.tokens.KeySet(); keys != nil {
		list = append(list, keySources(keys, sh.wall)...)
	}
	list = append(list, auditSources(sh.audit)...)
	list = append(list, logSources(cfg)...)
	list = append(list, captureSources(sh.capture)...)
	list = append(list, s.pressure.sources()...)
	list = append(list, anomalySources(cfg.Anomaly)...)
	if cfg.CertNotAfter != nil {
		notAfter := cfg.CertNotAfter
		list = append(list, stats.Source{Name: "weir_cert_expiry_seconds", Help: "Seconds until the certificate expires.",
			Read: func() float64 { return time.Until(notAfter()).Seconds() }})
	}
	return list
}
