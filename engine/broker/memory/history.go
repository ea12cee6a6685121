package memory

import (
	"slices"

	"weir/engine/broker"
)

// history is what a stream keeps: a run of publications without a gap, the
// last of which has the stream's offset. Guarded by the stream's lock.
type history struct {
	kept    []broker.Publication // oldest first
	bytes   int
	expires int64 // nanoseconds since Broker.start; 0: nothing is kept
}

// overhead is what a kept publication costs beside its bytes: the struct in
// the slice, its channel's name and the headers of its parts.
const overhead = 160

func cost(p *broker.Publication) int {
	return overhead + len(p.Data) + len(p.Info) + len(p.Tags)
}

// add keeps p and drops what is over r.Size. It returns by how many bytes the
// history grew.
func (h *history) add(p broker.Publication, r broker.Retention, now int64) (grown int) {
	grown = cost(&p)
	h.kept = append(h.kept, p)
	h.bytes += grown
	h.expires = now + int64(r.TTL)
	for len(h.kept) > r.Size {
		grown -= h.dropOldest()
	}
	return grown
}

// dropOldest returns how many bytes that freed. The slice is copied now and
// then, so that what was dropped can be collected.
func (h *history) dropOldest() (freed int) {
	freed = cost(&h.kept[0])
	h.kept[0] = broker.Publication{}
	h.kept = h.kept[1:]
	h.bytes -= freed
	return freed
}

// clear drops everything and returns how many bytes that freed.
func (h *history) clear() (freed int) {
	freed = h.bytes
	*h = history{}
	return freed
}

// expire drops a history whose time is over.
func (h *history) expire(now int64) (freed int) {
	if h.expires == 0 || now < h.expires {
		return 0
	}
	return h.clear()
}

// after returns what is kept with an offset above from, and whether that is
// all there was up to top.
func (h *history) after(from, top uint64) (run []broker.Publication, whole bool) {
	missed := top - from
	if missed > uint64(len(h.kept)) {
		return h.kept, false
	}
	return h.kept[uint64(len(h.kept))-missed:], true
}

// recover fills a for a subscriber that asks for what it missed (PROTOCOL.md §2).
func (s *stream) recover(a *broker.Attached, since *broker.Since) {
	sameEpoch := since.Epoch == "" || since.Epoch == s.epoch
	if since.Latest {
		s.recoverLatest(a, since, sameEpoch)
		return
	}
	if !sameEpoch || since.Offset > s.offset {
		return
	}
	run, whole := s.history.after(since.Offset, s.offset)
	if !whole || len(run) > since.Limit || fitting(run, since.Bytes, since.Envelope) < len(run) {
		return
	}
	a.Recovered = true
	a.Missed = slices.Clone(run)
}

// recoverLatest is recovery of a cache channel: the newest publication, unless
// the subscriber has it.
func (s *stream) recoverLatest(a *broker.Attached, since *broker.Since, sameEpoch bool) {
	if sameEpoch && since.Offset == s.offset && since.Epoch != "" {
		a.Recovered = true
		return
	}
	if n := len(s.history.kept); n > 0 && fitting(s.history.kept[n-1:], since.Bytes, since.Envelope) == 1 {
		a.Recovered = true
		a.Missed = slices.Clone(s.history.kept[n-1:])
	}
}

// slice selects by f.
func (s *stream) slice(f broker.Filter) ([]broker.Publication, error) {
	run := s.history.kept
	if f.Since != nil {
		if f.Since.Epoch != "" && f.Since.Epoch != s.epoch || f.Since.Offset > s.offset {
			return nil, broker.ErrUnrecoverable
		}
		// First offset kept is s.offset-len+1: at counts those up to Since.
		first := s.offset - uint64(len(run)) + 1
		at := 0
		if f.Since.Offset >= first {
			at = int(f.Since.Offset - first + 1)
		}
		if f.Reverse {
			run = run[:max(at-1, 0)]
		} else {
			run = run[at:]
		}
	}
	if f.Limit >= 0 && len(run) > f.Limit {
		if f.Reverse {
			run = run[len(run)-f.Limit:]
		} else {
			run = run[:f.Limit]
		}
	}
	out := slices.Clone(run)
	if f.Reverse {
		slices.Reverse(out)
	}
	if f.Bytes > 0 {
		out = out[:fitting(out, f.Bytes, 0)]
	}
	return out, nil
}

// fitting is how many of list, from its beginning, take no more than so many
// bytes, envelope more each than their Size.
func fitting(list []broker.Publication, bytes, envelope int) int {
	for i := range list {
		if bytes -= list[i].Size() + envelope; bytes < 0 {
			return i
		}
	}
	return len(list)
}

// idle reports whether nothing would be lost by forgetting the stream.
func (s *stream) idle(before int64) bool {
	return s.attached == 0 && len(s.history.kept) == 0 && s.used < before
}
