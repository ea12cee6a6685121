package engine

import (
	"context"
	"fmt"
	"net/netip"
	"strings"

	"weir/engine/poll"
)

// listen binds the addresses of the public listener and of that for proxies.
func (s *Server) listen(cfg *Config) error {
	base := poll.ListenConfig{
		ReusePort: cfg.ReusePort, Congestion: cfg.Congestion, NotSentLowat: notSentLowatBytes,
		UserTimeout: kernelTimeout(cfg.Limits.WriteTimeout), MaxConns: cfg.Limits.Connections, TurnedAway: s.turnedAway, Log: s.log,
	}
	public := base
	public.Admit, public.Release = s.admit, s.shared.gate.Release
	if err := s.listenAt(cfg, cfg.Listen, public); err != nil || cfg.ProxyListen == "" {
		return err
	}
	s.proxies = len(s.listeners)
	plain := base
	plain.Flag, plain.Door, plain.Admit = "--proxy-listen", doorProxy, s.admitProxy
	return s.listenAt(cfg, cfg.ProxyListen, plain)
}

// listenAt binds addresses. With --reuse-port each is bound once per shard, so
// that the kernel spreads the accepting as well.
func (s *Server) listenAt(cfg *Config, addresses string, l poll.ListenConfig) error {
	times, first := 1, len(s.listeners)
	if cfg.ReusePort {
		times = cfg.Pollers
	}
	for _, addr := range strings.Split(addresses, ",") {
		l.Addr = strings.TrimSpace(addr)
		if len(s.listeners) > first {
			l.Addr = samePort(l.Addr, s.listeners[first])
		}
		for range times {
			ln, err := poll.Listen(context.Background(), l)
			if err != nil {
				return err
			}
			s.listeners = append(s.listeners, ln)
			l.Addr = ln.Addr().String() // with port 0 the others share the first one's
		}
	}
	return nil
}

// admit decides about a peer before anything is spent on it.
func (s *Server) admit(peer netip.Addr) bool {
	if s.pressure.refuses() {
		return s.refused(peer, reasonOverload)
	}
	if !s.roomForOne(s.policy.Load()) {
		return s.refused(peer, poll.Full.String())
	}
	if reason := s.shared.objection(peer); reason != "" {
		return s.refused(peer, reason)
	}
	return true
}

// roomForOne is the node's limit of connections, where a listener counts those of
// its own loops only.
func (s *Server) roomForOne(p *policy) bool {
	if n := p.limits.Connections; s.reusePort && n > 0 && s.connections() >= n {
		s.full.Add(1)
		return false
	}
	return true
}

// samePort gives an address with port 0 the port that the first one got, so
// that one URL serves IPv4 and IPv6.
func samePort(addr string, first *poll.Listener) string {
	host, found := strings.CutSuffix(addr, ":0")
	if !found {
		return addr
	}
	return fmt.Sprintf("%s:%d", host, first.Addr().Port())
}

// ProxyAddr is where the listener for proxies listens; the zero value if it is off.
func (s *Server) ProxyAddr() netip.AddrPort {
	if s.proxies == 0 {
		return netip.AddrPort{}
	}
	return s.listeners[s.proxies].Addr()
}
