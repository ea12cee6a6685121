package outbox

import (
	"cmp"
	"slices"
)

// Gap is what DropOldest took out of a topic's stream: publications of one epoch,
// the first at offset From, the last at To. Frames encoded under another policy
// have another class, so that some may still wait between the two.
type Gap struct {
	Topic    uint64
	From, To uint64
	Epoch    string
	Notice   *Frame // is to stand in its place; nil: none
	Closed   bool   // by Mend: what waits behind it can go on without it
}

// FindGap returns where the gap of a topic is, or belongs, among gaps, which are
// in the order of their topics.
func FindGap(gaps []Gap, topic uint64) (int, bool) {
	return slices.BinarySearchFunc(gaps, topic, func(g Gap, topic uint64) int { return cmp.Compare(g.Topic, topic) })
}

// Mend sees to it, in one pass, that what waits can do without gaps, which are in
// the order of their topics and of one class. What may build on what was taken out
// is made to stand by itself, and taken out too where that goes over limit; Mend
// returns how many frames that took out. A notice goes before the first publication
// behind its gap, or before the oldest frame of the class where that comes sooner,
// and what still waits between the gap's ends is taken out, since it tells of all up
// to there; there is no bound for notices. The very first frame has nothing missing before it if it
// has begun to go out.
func (q *Queue) Mend(p *Pool, gaps []Gap, class Class, limit int, begun bool) (dropped int) {
	noticed := false
	for i := range q.Len() {
		f := q.Pop(p)
		if i == 0 && begun {
			q.append(p, f)
			continue
		}
		if f.Class == class && !noticed {
			noticed = true
			q.notice(p, gaps)
		}
		if f.Offset > 0 && !f.Notice { // else it is no part of the stream, and builds on nothing
			if at, found := FindGap(gaps, f.Topic); found {
				f = q.close(p, &gaps[at], f, limit)
			}
		}
		if f == nil {
			dropped++
			continue
		}
		q.append(p, f)
	}
	q.notice(p, gaps)
	return dropped
}

// close returns what f has to be for the sake of g, nil if there is no room for it.
func (q *Queue) close(p *Pool, g *Gap, f *Frame, limit int) *Frame {
	behind := f.Epoch == g.Epoch && f.Offset > g.To
	if behind && g.Notice != nil {
		q.append(p, g.Notice)
		g.Notice = nil
	}
	if g.Closed || f.Epoch == g.Epoch && f.Offset < g.From {
		return f
	}
	if g.Notice != nil && f.Epoch == g.Epoch {
		return nil
	}
	if f.Full != nil {
		if q.Bytes()+len(f.Full.Plain) > limit {
			if behind {
				g.To = f.Offset
			}
			return nil
		}
		f = f.Full
	}
	g.Closed = behind
	return f
}

// notice queues the notices that have no place yet.
func (q *Queue) notice(p *Pool, gaps []Gap) {
	for i := range gaps {
		if f := gaps[i].Notice; f != nil {
			q.append(p, f)
			gaps[i].Notice = nil
		}
	}
}
