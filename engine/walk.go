package engine

import (
	"hash/maphash"
	"slices"
	"sync/atomic"

	"weir/engine/clientproto"
	"weir/engine/hub"
)

// walk goes through the members of a channel, each shard through its own. What
// the parts found is put together on a worker.
type walk struct {
	desk   *desk
	of     survey
	parts  []part       // by shard
	left   atomic.Int32 // parts that are not done
	bytes  atomic.Int64 // of all lists of members
	failed atomic.Pointer[clientproto.Error]
}

// part is what one shard does of a walk, in its order: owned by its loop until
// it is done, then by the walk.
type part struct {
	walk    *walk
	form    hub.Form // whose members are being walked through
	next    int      // members before this index are still to come; above all: not begun
	members []byte   // of a list
	users   []uint64 // hashes, one for each member
}

func newWalk(d *desk, of survey, shards int) *walk {
	w := &walk{desk: d, of: of, parts: make([]part, shards)}
	w.left.Store(int32(shards))
	for i := range w.parts {
		w.parts[i] = part{walk: w, next: maxMembers}
	}
	return w
}

// maxMembers is above any number of members.
const maxMembers = int(^uint(0) >> 1)

// walkOn goes on with the walks that this shard has a part in, by turns. What
// they cost is bounded for each turn, and in the long run by walkRate: then
// the next tick goes on. It reports whether the next turn can.
func (s *shard) walkOn() (more bool) {
	for left := walkTurn; len(s.walks) > 0 && left > 0; {
		p := s.walks[0]
		ch := s.hub.Find(p.walk.of.channel)
		cost := p.cost(s, ch)
		if !s.walked.Take(&walkRate, int64(cost), s.now) {
			return false
		}
		left -= cost
		s.walks = slices.Delete(s.walks, 0, 1)
		if !s.step(p, ch) {
			s.walks = append(s.walks, p)
		}
	}
	return len(s.walks) > 0
}

// cost is what the next step of p costs, in members.
func (p *part) cost(s *shard, ch *hub.Channel) int {
	cost := walkStepCost
	if ch == nil {
		return cost
	}
	if p.walk.of.list {
		for form := range hub.Forms {
			cost += memberListCost * len(ch.Members(s.id, form).All())
		}
		return min(cost, walkRate.Burst)
	}
	return cost + min(walkStep, p.next, len(ch.Members(s.id, p.form).All()))
}

// step goes on with p; true if that was the last of it.
func (s *shard) step(p *part, ch *hub.Channel) (last bool) {
	if last = s.look(p, ch); last && p.walk.left.Add(-1) == 0 {
		if !s.work.Try(p.walk) {
			p.walk.fail(clientproto.ErrTooManyRequests)
			p.walk.Run()
		}
	}
	return last
}

// look is step without what follows it. A panic in it ends the part.
func (s *shard) look(p *part, ch *hub.Channel) (last bool) {
	defer func() {
		if v := recover(); v != nil {
			s.contain(v, nil)
			p.walk.fail(clientproto.ErrInternal)
			last = true
		}
	}()
	switch {
	case ch == nil || p.walk.failed.Load() != nil:
		return true
	case p.walk.of.list:
		s.list(p, ch)
		return true
	default:
		return s.countUsers(p, ch)
	}
}

// list writes down all members at once: they are few.
func (s *shard) list(p *part, ch *hub.Channel) {
	for form := range hub.Forms {
		for _, m := range ch.Members(s.id, form).All() {
			info := s.conns.at(m.Slot).session.ClientInfo(int(m.Sub))
			before := len(p.members)
			p.members = clientproto.AppendMember(p.members, &info)
			if p.walk.bytes.Add(int64(len(p.members)-before)) > int64(s.rules.RecoveryBytes) {
				p.walk.fail(clientproto.ErrLimitExceeded)
				return
			}
		}
	}
}

// countUsers goes backwards through one slice of the members: who leaves between
// two slices has another put in his place, from the part that was gone through,
// so that nobody who stays is passed over.
func (s *shard) countUsers(p *part, ch *hub.Channel) (last bool) {
	members := ch.Members(s.id, p.form).All()
	end := min(p.next, len(members))
	p.next = max(end-walkStep, 0)
	for _, m := range members[p.next:end] {
		p.users = append(p.users, maphash.String(p.walk.desk.seed, s.conns.at(m.Slot).session.User()))
	}
	if p.next > 0 {
		return false
	}
	p.form++
	p.next = maxMembers
	return p.form == hub.Forms
}

// fail notes why the walk finds nothing.
func (w *walk) fail(e *clientproto.Error) { w.failed.CompareAndSwap(nil, e) }

// Run implements work.Job: it puts together what the parts found.
func (w *walk) Run() {
	f := &findings{err: clientproto.ErrInternal} // what a panic leaves
	defer func() { w.desk.finish(w.of, f) }()
	switch e := w.failed.Load(); {
	case e != nil:
		f = &findings{err: e}
	case w.of.list:
		f = w.listed()
	default:
		f = w.counted()
	}
}

func (w *walk) listed() *findings {
	var f findings
	for i := range w.parts {
		if len(f.members) > 0 && len(w.parts[i].members) > 0 {
			f.members = append(f.members, ',')
		}
		f.members = append(f.members, w.parts[i].members...)
	}
	return &f
}

// counted tells users apart by their hashes: two of a million look like one in
// one walk of thirty million.
func (w *walk) counted() *findings {
	var f findings
	if ch := w.desk.hub.Find(w.of.channel); ch != nil {
		f.count.Clients = ch.Subscribers()
	}
	var users []uint64
	for i := range w.parts {
		users = append(users, w.parts[i].users...)
	}
	slices.Sort(users)
	f.count.Users = min(len(slices.Compact(users)), f.count.Clients) // some may have left since
	return &f
}
