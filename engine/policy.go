package engine

import (
	"context"
	"errors"
	"time"

	"weir/engine/broker"
	"weir/engine/clientproto"
	"weir/engine/session"
	"weir/engine/ws"
	"weir/security/audit"
	"weir/security/limit"
	"weir/security/origin"
	"weir/security/proxy"
)

// policy is what the operator may change while connections are open. It is
// immutable: Reload makes another, which each shard takes between two turns.
type policy struct {
	limits  Limits
	rates   rates
	byUser  userRates
	rules   *session.Rules
	origins *origin.Index
	trust   *proxy.Trust

	anonymous, noOrigin, tokenInURL bool

	wsLimits     [kinds][2]ws.Limits // by kind, without and with compression
	controlLimit [kinds]int          // bytes of replies and control frames that may wait
	heldLimit    int                 // bytes of input behind a command that is with the workers
	perShard     perShard
	outboxCaps   []int // bytes of a class in one outbox, by outbox.Class
}

// rates are the per-connection buckets' settings; nil is no limit.
type rates struct{ messages, bytes, subscribes, publishes, pings *limit.Rate }

// perShard is a shard's part of the node's budgets, in bytes.
type perShard struct{ partial, outbox, keys int }

// newPolicy takes it from cfg; page is how long the demo page is, all are the
// classes and known the origins so far.
func newPolicy(cfg *Config, node string, page int, all classes, known *origin.Ledger) *policy {
	l := cfg.Limits
	p := &policy{
		limits: l, origins: known.Index(cfg.Origins), trust: cfg.Trust,
		anonymous: cfg.AllowAnonymous, noOrigin: cfg.AllowNoOrigin, tokenInURL: cfg.AllowTokenInURL,
		rates: rates{
			messages: rate(l.MessageRate), bytes: rate(l.ByteRate),
			subscribes: rate(l.SubscribeRate), publishes: rate(l.PublishRate), pings: rate(l.PingRate),
		},
		rules: &session.Rules{
			AllowAnonymous: cfg.AllowAnonymous, Channels: l.ChannelsPerSession, Overlap: patternsOverlapping,
			PingSeconds: uint32((l.PingInterval + time.Second - 1) / time.Second), // rounded up: 0 tells clients not to answer
			Node:        node, Version: cfg.Version, Namespaces: cfg.namespaces(known), Policy: cfg.Roles,
			RecoveryLimit: l.RecoveryMax, RecoveryBytes: l.MaxOutboxBytes,
			Asks: cfg.asks(),
		},
		perShard: perShard{partial: cfg.partialPerShard(), outbox: l.OutboxBudget / cfg.Pollers, keys: l.TLSKeyCache / cfg.Pollers},
	}
	for _, ns := range p.rules.Namespaces {
		p.rules.ByOrigin = p.rules.ByOrigin || ns.Origins != nil
	}
	if p.trust == nil {
		p.trust = new(proxy.Trust) // it believes nobody
	}
	p.heldLimit = p.perShard.partial
	if l.ByteRate > 0 {
		p.heldLimit = heldBytes + p.rates.bytes.Burst
	}
	for _, compressed := range []bool{false, true} {
		clients := ws.Limits{Message: l.MessageSize, Fragments: l.MaxFragments, Compression: compressed}
		p.wsLimits[kindProtocol][b2i(compressed)] = clients
		p.wsLimits[kindFeed][b2i(compressed)] = clients
		p.wsLimits[kindEcho][b2i(compressed)] = ws.Limits{Message: l.EchoSize, Compression: compressed}
	}
	p.outboxCaps = outboxCaps(cfg, all)
	p.controlLimit[kindProtocol] = l.MaxOutboxBytes + controlFloorBytes + page
	p.controlLimit[kindFeed] = l.MaxOutboxBytes + controlFloorBytes
	p.controlLimit[kindEcho] = 2*l.EchoSize + controlFloorBytes
	return p
}

// rate is a bucket with a burst of twice its rate; nil for 0.
func rate(perSecond float64) *limit.Rate {
	if perSecond <= 0 {
		return nil
	}
	return &limit.Rate{PerSecond: perSecond, Burst: max(int(2*perSecond), 1)}
}

func (cfg *Config) namespaces(known *origin.Ledger) map[string]session.Namespace {
	m := map[string]session.Namespace{"": {}}
	for _, n := range cfg.Namespaces {
		m[n.Name] = session.Namespace{
			Subscribe: n.AllowSubscribeForClient, Publish: n.AllowPublishForClient,
			PublishIfSubscribed: n.AllowPublishForSubscriber, HistoryIfSubscribed: n.AllowHistoryForSubscriber,
			Keep:          broker.Retention{Size: n.HistorySize, TTL: n.HistoryTTL},
			ForceRecovery: n.ForceRecovery, Cache: n.RecoverLatest, ForcePositioning: n.ForcePositioning,
			Presence: n.Presence, JoinLeave: n.JoinLeave, PresenceIfSubscribed: n.AllowPresenceForSubscriber,
			Delta: n.AllowDelta, DeltaPublish: n.DeltaPublish,
			SubscribeHook: n.SubscribeHook, PublishHook: n.PublishHook, Origins: known.Index(n.AllowedOrigins),
			Content: n.content(&cfg.Limits),
		}
	}
	return m
}

// gate is what admission needs of cfg.
func (cfg *Config) gate() limit.GateConfig {
	l := &cfg.Limits
	return limit.GateConfig{
		ConnectRate: limit.Rate{PerSecond: l.IPConnectRate, Burst: l.IPConnectBurst},
		Connections: l.IPConnections, Exempt: l.Exempt, Entries: limiterEntries,
	}
}

// errStopped answers Reload of a server that no longer runs.
var errStopped = errors.New("engine: the server has stopped")

// Reload takes keys, origins, trusted proxies, who may connect, roles, namespaces and limits of cfg
// while connections stay open. Subscriptions that are no longer permitted end. What
// is sized or bound at start (listeners, TLS, pollers, node-wide numbers,
// the connections of users and handshakes, hooks, features) stays as it was. A
// configuration that New would refuse changes nothing. Not for use at the same
// time as itself.
func (s *Server) Reload(ctx context.Context, cfg Config) error {
	cfg.Pollers, cfg.Hooks = len(s.shards), s.shared.hooks.config()
	if err := cfg.check(); err != nil {
		return err
	}
	old := s.policy.Load()
	p := newPolicy(&cfg, old.rules.Node, len(s.shared.page), s.classes, &s.origins)
	p.byUser = cfg.userRates(old.byUser)
	s.policy.Store(p)
	s.shared.gate.Replace(cfg.gate())
	for _, l := range s.listeners {
		if err := l.SetUserTimeout(kernelTimeout(p.limits.WriteTimeout)); err != nil && !s.draining.Load() {
			s.log.Warn("the kernel keeps the old --write-timeout", "error", err.Error())
		}
	}
	s.shared.tokens.Adopt(cfg.Tokens)
	s.handlers.Reload(cfg.APIKey)
	if e := (node{s}).everyShard(ctx, func(sh *shard) { sh.adopt(p) }); e != nil {
		return errStopped
	}
	s.told(audit.PolicyReloaded, "")
	s.shared.hub.SetPolicies(slowPolicies(&cfg, s.classes)) // now that every shard knows the classes
	return nil
}

// adopt is Reload's part on the loop.
func (s *shard) adopt(p *policy) {
	s.policy, s.blocks.Caps = p, p.outboxCaps
	s.parser.Limits.Depth, s.parser.Limits.Members = p.limits.JSONDepth, p.limits.JSONMembers
	s.conns.each(func(c *conn) {
		c.exempt = s.gate.Exempt(c.peer)
		if c.seated {
			c.session.Adopt(s.rules)
		}
		if c.connected() && len(c.session.Subs()) > 0 {
			s.curtail(c)
			s.settle(c)
		}
	})
}

// curtail ends the subscriptions of c that the rules no longer permit, and what
// they are told of others where they may no longer know it. A
// push-only connection, which cannot be told, is closed: what it asks for anew
// is refused.
func (s *shard) curtail(c *conn) {
	for i := len(c.session.Subs()) - 1; i >= 0 && c.phase == phaseOpen; i-- { // the last takes the place of one that ends
		switch {
		case c.session.Permitted(i, s.rules):
			s.stopWatching(c, i)
		case c.kind == kindFeed:
			s.close(c, clientproto.CloseForceReconnect)
		default:
			s.evict(c, i, clientproto.UnsubscribePermission, "permission denied")
		}
	}
}
