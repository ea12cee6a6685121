package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"weir/engine/api"
	"weir/engine/broker"
	"weir/engine/clientproto"
	"weir/engine/hub"
	"weir/engine/stats"
	"weir/security/overload"
	"weir/security/schema"
)

// node is the server as its API sees it.
type node struct{ *Server }

var _ api.Node = node{}

// Publish implements api.Node.
func (n node) Publish(ctx context.Context, channel string, data []byte, o api.PublishOptions) (api.Position, *clientproto.Error) {
	keep := n.policy.Load().rules.Retention(channel)
	keep.Skip = o.SkipHistory && !keep.None()
	pos, err := n.shared.broker.Publish(ctx, channel, broker.Message{Data: data, Tags: o.Tags, Delta: o.Delta || n.policy.Load().rules.Delta(channel)}, keep)
	if err != nil {
		return api.Position{}, errorOf(err)
	}
	n.apiStats.Inc(stats.Publications)
	return api.Position{Offset: pos.Offset, Epoch: pos.Epoch}, nil
}

// History implements api.Node.
func (n node) History(ctx context.Context, channel string, f broker.Filter) (broker.Position, []broker.Publication, error) {
	return n.shared.broker.History(ctx, channel, f)
}

// RemoveHistory implements api.Node.
func (n node) RemoveHistory(ctx context.Context, channel string) error {
	return n.shared.broker.RemoveHistory(ctx, channel)
}

// everyShard has each shard carry out an order and waits for them.
func (n node) everyShard(ctx context.Context, order func(*shard)) *clientproto.Error {
	done := make(chan struct{}, len(n.shards))
	for _, s := range n.shards {
		s.post(post{order: func(s *shard) {
			defer func() { done <- struct{}{} }() // also after a panic
			order(s)
		}})
	}
	for range n.shards {
		select {
		case <-done:
		case <-ctx.Done():
			return clientproto.ErrInternal
		case <-n.stopped:
			return clientproto.ErrInternal
		}
	}
	return nil
}

// Info implements api.Node.
func (n node) Info(ctx context.Context) []api.NodeInfo {
	info := api.NodeInfo{
		UID: n.uid, Name: n.policy.Load().rules.Node, Version: n.policy.Load().rules.Version,
		NumClients:  clampUint32(n.stats.Level(stats.Sessions)),
		NumSubs:     clampUint32(n.stats.Level(stats.Subscriptions)),
		NumChannels: clampUint32(int64(n.shared.hub.Channels())),
		Uptime:      clampUint32(n.shared.clock() / int64(time.Second)),
	}
	lists := make([][]string, len(n.shards)) // each shard writes its own
	if e := n.everyShard(ctx, func(s *shard) {
		s.conns.each(func(c *conn) {
			if c.connected() && c.session.User() != "" {
				lists[s.id] = append(lists[s.id], c.session.User())
			}
		})
	}); e == nil {
		users := make(map[string]struct{})
		for _, list := range lists {
			for _, u := range list {
				users[u] = struct{}{}
			}
		}
		info.NumUsers = clampUint32(int64(len(users)))
	}
	return []api.NodeInfo{info}
}

func clampUint32(n int64) uint32 { return uint32(min(max(n, 0), 1<<32-1)) }

// Ready implements api.Node.
func (n node) Ready() (ok bool, reason string) {
	switch {
	case n.draining.Load():
		return false, "draining"
	case !n.serving.Load():
		return false, "starting"
	case n.pressure.now() >= overload.Refuse:
		return false, "overload: " + n.pressure.now().String()
	default:
		return true, ""
	}
}

// Publish gives data, valid JSON, to the channel's subscribers and returns its
// place. It is what the server API does, for callers in this process.
func (s *Server) Publish(ctx context.Context, channel string, data []byte) (offset uint64, epoch string, err error) {
	if e := s.policy.Load().rules.Known(channel); e != nil {
		return 0, "", fmt.Errorf("engine: channel %q: %s", channel, e.Message)
	}
	rule := s.policy.Load().rules.Content(channel)
	if r := rule.Check(new(schema.Validator), data); r.Fault != nil {
		s.apiStats.Label(stats.PayloadsRefused, r.Fault.Keyword)
		return 0, "", fmt.Errorf("engine: channel %q: its namespace refuses the data: %s", channel, r.Fault.Reason)
	}
	pos, e := node{s}.Publish(ctx, channel, rule.Clean(data), api.PublishOptions{})
	if e != nil {
		return 0, "", errors.New("engine: " + e.Message)
	}
	return pos.Offset, pos.Epoch, nil
}

// bells wakes a shard when its inbox has something. The inbox is made before
// the loop that it wakes.
type bells struct{ shard *shard }

func (b *bells) ring() { b.shard.loop.Wake() }

var _ broker.Sink = (*hub.Hub)(nil)
