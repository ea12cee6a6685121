package engine

import (
	"weir/engine/hub"
	"weir/engine/stats"
)

// Who joins and leaves a channel is told to its watchers: by the hub on this
// node, once for each subscription and once for its end, however that comes about.

// joined tells that subscription i, of a session that has its id, has begun.
func (s *shard) joined(c *conn, i int) {
	if sub := c.session.Sub(i); s.rules.JoinLeave(sub.Channel.Name) {
		info := c.session.ClientInfo(i)
		s.hub.Joined(sub.Channel, &info)
	}
}

// allJoined is joined for all subscriptions that began with the session.
func (s *shard) allJoined(c *conn) {
	for i := range c.session.Subs() {
		s.joined(c, i)
	}
}

// left tells that subscription i is over. A session that came to nothing has
// joined nothing.
func (s *shard) left(c *conn, i int) {
	if sub := c.session.Sub(i); c.session.Connected() && s.rules.JoinLeave(sub.Channel.Name) {
		info := c.session.ClientInfo(i)
		s.hub.Left(sub.Channel, &info)
	}
}

// watch has subscription i told who joins and leaves.
func (s *shard) watch(c *conn, i int) {
	sub := c.session.Sub(i)
	sub.SetWatcher(sub.Channel.Watch(s.id, hub.Member{Slot: c.Slot, Sub: uint16(i)}))
}

// unwatch takes watch back; nothing if there was none.
func (s *shard) unwatch(c *conn, i int) {
	sub := c.session.Sub(i)
	n, watches := sub.Watcher()
	if !watches {
		return
	}
	if moved, ok := sub.Channel.Unwatch(s.id, n); ok {
		s.conns.at(moved.Slot).session.Sub(int(moved.Sub)).SetWatcher(n)
	}
	sub.Unwatch()
}

// stopWatching is unwatch where the session may no longer watch.
func (s *shard) stopWatching(c *conn, i int) {
	if !c.session.MayWatch(c.session.Sub(i).Channel.Name, s.rules) {
		s.unwatch(c, i)
	}
}

// tell hands a join or leave to the watchers. Their number is what one costs, and
// all who come and go may be watchers: what that adds up to is bounded by
// eventRate. It returns its cost.
func (s *shard) tell(d *hub.Delivery) int {
	watchers := d.Channel.Watchers(s.id)
	if !s.events.Take(&eventRate, int64(min(len(watchers), eventRate.Burst)), s.now) {
		s.stats.Add(stats.EventsDropped, uint64(len(watchers)))
		return 1
	}
	untold, size := 0, int64(len(d.Event.Plain))
	for i := range watchers {
		c := s.conns.at(watchers[i].Slot)
		// Half of the room is for publications: a lobby in motion makes nobody slow.
		if !c.out.Push(&s.blocks, d.Event, s.limits.MaxOutboxBytes/2) {
			untold++
			continue
		}
		s.queued += size
		if !c.dirty {
			c.dirty = true
			s.dirty = append(s.dirty, c.Slot)
		}
	}
	s.stats.Add(stats.EventsTold, uint64(len(watchers)-untold))
	s.stats.Add(stats.EventsDropped, uint64(untold))
	return 1 + len(watchers)
}
