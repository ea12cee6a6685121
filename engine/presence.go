package engine

import (
	"context"
	"hash/maphash"
	"slices"
	"sync"

	"weir/engine/clientproto"
	"weir/engine/session"
	"weir/engine/stats"
)

// Presence is not kept: who is subscribed to a channel is who stands in the
// hub's lists. A question has each shard walk through its own, a slice a turn.

// survey is a question about the members of a channel.
type survey struct {
	channel string
	list    bool // who they are, else how many
}

// findings answer a survey. Immutable once given out: all who asked share them.
type findings struct {
	members []byte // of a list, as clientproto.AppendPresence takes them
	count   clientproto.PresenceStatsResult
	err     *clientproto.Error
}

// desk takes surveys. Those who ask the same before its walk begins share the
// walk, and who comes later shares the one that follows: a flood of questions
// costs one walk at a time, and no answer is older than its question.
type desk struct {
	*shared
	seed maphash.Seed

	mu      sync.Mutex
	shards  []*shard          // immutable from the first survey on
	rounds  map[survey]*round // guarded by mu; at most openSurveys
	line    []survey          // those that wait for a walk, in order; guarded by mu
	walking int               // walks under way; guarded by mu
}

// round is who asks a survey.
type round struct {
	asked  []func(*findings) // before the walk that is under way
	coming []func(*findings) // since then
}

func newDesk(sh *shared) *desk {
	return &desk{shared: sh, seed: maphash.MakeSeed(), rounds: make(map[survey]*round)}
}

// ask has answer called once with what is found, on any goroutine, maybe this
// one; false if too much is being asked. It does not wait.
func (d *desk) ask(of survey, answer func(*findings)) bool {
	ch := d.hub.Find(of.channel)
	switch {
	case ch == nil:
		answer(&findings{})
		return true
	case of.list && ch.Subscribers() > presenceMembers:
		answer(&findings{err: clientproto.ErrLimitExceeded})
		return true
	}
	d.mu.Lock()
	r := d.rounds[of]
	if r == nil {
		if len(d.rounds) >= openSurveys {
			d.mu.Unlock()
			return false
		}
		r = new(round)
		d.rounds[of] = r
		d.line = append(d.line, of)
	}
	r.coming = append(r.coming, answer)
	begun := d.begin()
	d.mu.Unlock()
	d.send(begun)
	return true
}

// begin starts as many walks as may be under way. It is called with mu held;
// send follows, without.
func (d *desk) begin() (begun []*walk) {
	for d.walking < presenceWalks && len(d.line) > 0 {
		of := d.line[0]
		d.line = slices.Delete(d.line, 0, 1)
		r := d.rounds[of]
		r.asked, r.coming = r.coming, nil
		d.walking++
		begun = append(begun, newWalk(d, of, len(d.shards)))
	}
	return begun
}

// send hands walks to all shards.
func (d *desk) send(begun []*walk) {
	for _, w := range begun {
		d.shards[0].stats.Inc(stats.PresenceWalks)
		for i, s := range d.shards {
			s.post(post{part: &w.parts[i]})
		}
	}
}

// finish gives the findings of a walk to who asked for it.
func (d *desk) finish(of survey, f *findings) {
	d.mu.Lock()
	r := d.rounds[of]
	asked := r.asked
	r.asked = nil
	if len(r.coming) > 0 {
		d.line = append(d.line, of)
	} else {
		delete(d.rounds, of)
	}
	d.walking--
	begun := d.begin()
	d.mu.Unlock()
	d.send(begun)
	for _, answer := range asked {
		answer(f)
	}
}

// surveyJob is the question of a client. It is the desk that finishes it, not
// a worker.
type surveyJob struct {
	ticket
	id    uint32
	about survey
	*findings
}

// survey asks for a client.
func (s *shard) survey(c *conn, step *session.Step) {
	j := &surveyJob{id: step.ID, about: survey{step.Channel, !step.Count}}
	j.bind(s, c.handle())
	c.busy = true
	if s.desk.ask(j.about, func(f *findings) {
		j.findings = f
		j.shard.post(post{job: j})
	}) {
		return
	}
	c.busy = false
	s.stats.Inc(stats.WorkRefused)
	s.fail(c, step.ID, clientproto.ErrTooManyRequests)
}

func (j *surveyJob) finish(s *shard, c *conn) {
	switch {
	case j.err != nil:
		s.fail(c, j.id, j.err)
	case j.about.list:
		s.send(c, clientproto.AppendPresence(s.replies[:0], j.id, j.members))
	default:
		s.send(c, clientproto.AppendPresenceStats(s.replies[:0], j.id, &j.count))
	}
}

// Presence implements api.Node.
func (n node) Presence(ctx context.Context, channel string) (members []byte, e *clientproto.Error) {
	f := n.survey(ctx, survey{channel: channel, list: true})
	return f.members, f.err
}

// PresenceStats implements api.Node.
func (n node) PresenceStats(ctx context.Context, channel string) (clientproto.PresenceStatsResult, *clientproto.Error) {
	f := n.survey(ctx, survey{channel: channel})
	return f.count, f.err
}

// survey asks and waits.
func (n node) survey(ctx context.Context, of survey) *findings {
	if !n.policy.Load().rules.Presence(of.channel) {
		return &findings{err: clientproto.ErrNotAvailable}
	}
	found := make(chan *findings, 1)
	if !n.shared.desk.ask(of, func(f *findings) { found <- f }) {
		return &findings{err: clientproto.ErrTooManyRequests}
	}
	select {
	case f := <-found:
		return f
	case <-ctx.Done():
	case <-n.stopped:
	}
	return &findings{err: clientproto.ErrInternal}
}
