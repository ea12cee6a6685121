package engine

import (
	"context"

	"weir/engine/broker"
	"weir/engine/hub"
	"weir/engine/stats"
)

// refill is a run of publications that the inbox lost, as the history has them.
type refill struct {
	channel *hub.Channel
	run     []broker.Publication // in order, never empty; shared
}

// refill looks for what the inbox lost in the histories of its channels. What is
// there whole is spread behind what was taken, and is lost no more; the rest stays
// a gap. The memory broker answers from this process; one that has to ask another
// would do so from a worker.
func (s *shard) refill() {
	t := &s.fanout.taken
	left := broker.Filter{Limit: refillPublications, Bytes: refillBytes}
	for ch, gap := range t.Behind {
		if gap.From == 0 { // what is not in the stream is in no history, and nobody's position tells of it
			delete(t.Behind, ch)
			continue
		}
		n := gap.To.Offset - gap.From + 1
		if n > uint64(left.Limit) || left.Bytes <= 0 || s.rules.Retention(ch.Name).None() || !s.anyMember(ch) {
			continue
		}
		_, run, err := s.broker.History(context.Background(), ch.Name, broker.Filter{
			Since: &broker.Position{Offset: gap.From - 1, Epoch: gap.To.Epoch}, Limit: int(n), Bytes: left.Bytes,
		})
		if err != nil || uint64(len(run)) != n || run[0].Offset != gap.From {
			continue
		}
		delete(t.Behind, ch)
		t.Lost -= n
		s.stats.Add(stats.MailboxRefilled, n)
		left.Limit -= len(run)
		for i := range run {
			left.Bytes -= run[i].Size()
		}
		s.fanout.refills = append(s.fanout.refills, refill{ch, run})
	}
}

// anyMember reports whether somebody on the shard still subscribes to the channel.
func (s *shard) anyMember(ch *hub.Channel) bool {
	for form := range hub.Forms {
		if len(ch.Members(s.id, form).All()) > 0 {
			return true
		}
	}
	return false
}

// refilled takes the next publication of the refills, encoded for this shard's
// subscribers.
func (s *shard) refilled() *hub.Delivery {
	f := &s.fanout
	r := &f.refills[0]
	f.again = s.hub.Encode(r.channel, &r.run[0])
	if r.run = r.run[1:]; len(r.run) == 0 {
		if f.refills = f.refills[1:]; len(f.refills) == 0 {
			f.refills = nil
		}
	}
	return &f.again
}

// gap tells the subscribers of a channel that publications were lost to them.
// Those of the protocol subscribe again, and know that they missed something;
// those of /feed stay, and are told in the place of what they missed.
func (s *shard) gap(ch *hub.Channel, gap hub.Gap) {
	if len(ch.Members(s.id, hub.Feed).All()) > 0 && gap.To.Offset > 0 {
		d := hub.Delivery{Channel: ch, Position: gap.To}
		d.Frames[hub.Feed] = s.hub.GapFrame(ch, gap)
		s.spreadOut(&d)
	}
	s.unsubscribeThose(ch.Members(s.id, hub.Protocol), gap)
	s.unsubscribeThose(ch.Members(s.id, hub.Delta), gap)
}

// unsubscribeThose ends the subscriptions that missed something of a gap: not those
// that began behind it.
func (s *shard) unsubscribeThose(members *hub.Members, gap hub.Gap) {
	for i := len(members.All()) - 1; i >= 0; i-- { // the last, which was looked at, takes the place of one that ends
		if i >= len(members.All()) { // others were closed for the budget
			continue
		}
		if m := members.All()[i]; m.From < gap.To.Offset {
			s.insufficient(s.conns.at(m.Slot), int(m.Sub))
		}
	}
}
