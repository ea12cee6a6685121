package engine

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"

	"weir/engine/api"
	"weir/engine/clientproto"
	"weir/engine/session"
	"weir/security/audit"
	"weir/security/grant"
)

// eachSession has each shard do something with every session that t names, on
// its loop. It walks the shards: a rare order is not worth an index that every
// connection pays for.
func (n node) eachSession(ctx context.Context, t api.Target, do func(*shard, *conn)) *clientproto.Error {
	return n.everyShard(ctx, func(s *shard) {
		s.conns.each(func(c *conn) {
			if c.named(&t) {
				do(s, c)
				s.settle(c)
			}
		})
	})
}

// connected reports whether the connection has a session that is authenticated
// and not being closed.
func (c *conn) connected() bool {
	return c.phase == phaseOpen && c.seated && c.session.Connected()
}

// named reports whether the connection has a session that t names.
func (c *conn) named(t *api.Target) bool {
	return c.connected() &&
		(t.User == "" || c.session.User() == t.User) && (t.Client == "" || c.session.Client().Is(t.Client)) &&
		!slices.ContainsFunc(t.Whitelist, c.session.Client().Is)
}

// Disconnect implements api.Node.
func (n node) Disconnect(ctx context.Context, d api.DisconnectRequest) *clientproto.Error {
	why := &clientproto.Close{Code: d.Code, Reason: d.Reason}
	n.orderedFor(audit.DisconnectOrdered, d.User, d.Client, fmt.Sprintf("code %d", d.Code))
	return n.eachSession(ctx, d.Target, func(s *shard, c *conn) { s.close(c, why) })
}

// Refresh implements api.Node.
func (n node) Refresh(ctx context.Context, t api.Target, expireAt int64) *clientproto.Error {
	return n.eachSession(ctx, t, func(s *shard, c *conn) {
		if expireAt <= s.wall().Unix() {
			s.close(c, clientproto.CloseExpired)
			return
		}
		c.session.ExpireAt(expireAt)
		s.expiry(c)
	})
}

// Subscribe implements api.Node.
func (n node) Subscribe(ctx context.Context, t api.Target, channel string) *clientproto.Error {
	var refused atomic.Pointer[clientproto.Error]
	if e := n.eachSession(ctx, t, func(s *shard, c *conn) {
		if e := s.enroll(c, channel); e != nil {
			refused.Store(e)
		}
	}); e != nil {
		return e
	}
	return refused.Load()
}

// enroll makes a server-side subscription of a session, and tells it the
// position from which it is served.
func (s *shard) enroll(c *conn, channel string) *clientproto.Error {
	if c.kind == kindFeed || c.session.Find(channel) >= 0 {
		return nil
	}
	if !c.session.Admitted(channel, s.rules) {
		return clientproto.ErrPermissionDenied
	}
	if s.rules.Channels > 0 && len(c.session.Subs()) >= s.rules.Channels {
		return clientproto.ErrLimitExceeded
	}
	plan := s.rules.ServerPlan(channel, nil)
	at, e := s.join(c, channel, plan.Since)
	if e != nil {
		return e
	}
	sub := c.session.Sub(len(c.session.Subs()) - 1)
	sub.Server, sub.By = true, session.ByOrder
	s.joined(c, len(c.session.Subs())-1)
	result := plan.Result(&at)
	s.send(c, clientproto.AppendSubscribePush(s.replies[:0], channel, &result))
	return nil
}

// Unsubscribe implements api.Node.
func (n node) Unsubscribe(ctx context.Context, t api.Target, channel string) *clientproto.Error {
	return n.eachSession(ctx, t, func(s *shard, c *conn) {
		i := c.session.Find(channel)
		switch {
		case i < 0:
		case c.kind == kindFeed: // no message of /feed says that a channel ended
			s.close(c, clientproto.CloseForceNoReconnect)
		default:
			s.evict(c, i, clientproto.UnsubscribeServer, "server unsubscribe")
		}
	})
}

// Channels implements api.Node.
func (n node) Channels(pattern string, limit int) (clients map[string]int, ok bool) {
	clients = make(map[string]int)
	for name, count := range n.shared.hub.All() {
		if !selected(pattern, name) {
			continue
		}
		if len(clients) == limit {
			return nil, false
		}
		clients[name] = count
	}
	return clients, true
}

// selected reports whether a list of what matches pattern has this channel.
func selected(pattern, channel string) bool { return pattern == "" || grant.Match(pattern, channel) }

// Connections implements api.Node.
func (n node) Connections(ctx context.Context, q api.ConnectionQuery) (list map[string]api.Connection, ok bool, e *clientproto.Error) {
	found := make([]census, len(n.shards)) // each shard writes its own
	if e = n.everyShard(ctx, func(s *shard) { found[s.id] = s.census(&q) }); e != nil {
		return nil, false, e
	}
	list = make(map[string]api.Connection)
	left := q.Limit
	for i := range found {
		if left -= found[i].entries; left < 0 {
			return nil, false, nil
		}
		for client, c := range found[i].connections {
			list[client] = c
		}
	}
	return list, true, nil
}

// census is what one shard has of a list of connections. With more entries than
// the list may have it is not whole.
type census struct {
	connections map[string]api.Connection
	entries     int // connections and subscriptions
}

func (s *shard) census(q *api.ConnectionQuery) census {
	found := census{connections: make(map[string]api.Connection)}
	t := api.Target{User: q.User}
	s.conns.each(func(c *conn) {
		if found.entries > q.Limit || !c.named(&t) {
			return
		}
		channels := c.channels(q.Pattern)
		if q.Pattern != "" && len(channels) == 0 {
			return
		}
		protocol := "json"
		if c.kind == kindFeed {
			protocol = "feed"
		}
		found.entries += 1 + len(channels)
		found.connections[c.session.Client().String()] = api.Connection{User: c.session.User(), Protocol: protocol, Channels: channels}
	})
	return found
}

// channels are those of the session's subscriptions that match pattern.
func (c *conn) channels(pattern string) (names []string) {
	subs := c.session.Subs()
	for i := range subs {
		if name := subs[i].Channel.Name; selected(pattern, name) {
			names = append(names, name)
		}
	}
	return names
}
