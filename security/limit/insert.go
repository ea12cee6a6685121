package limit

import "math/bits"

// insert gives the tag an entry that is free, charged with cost, which the rate admits. done is false where another was at it
// at the same time: look again.
//
// Two newcomers with one tag must not leave two entries, which would be two buckets. So each first puts a mark of its own
// (coming, with a turn that nobody else has) in the place, then looks at the whole set, and only then turns the
// mark into the entry. Of two, the later to put its mark sees the other's mark or entry. An entry makes it withdraw; a
// mark it takes away, and whose mark is gone cannot turn it into an entry. Nobody waits for anybody.
func (s *set) insert(tag word, first uint, g *region, f frame, p *pace, cost, now int64) (room, done bool) {
	at, before := s.place(first, f, now, now+p.horizon)
	if at < 0 {
		return false, true
	}
	mark := tag.coming(g.turn.Add(1))
	if !s[at%ways].CompareAndSwap(uint64(before), uint64(mark)) {
		return false, false
	}
	if others := s.places(tag) &^ (1 << at); others != 0 && !s.clear(tag, others) {
		s[at%ways].CompareAndSwap(uint64(mark), 0)
		return false, false
	}
	entry, _ := p.charge(tag, 0, now, cost, now)
	return true, s[at%ways].CompareAndSwap(uint64(mark), uint64(entry))
}

// place chooses the entry for a newcomer, and returns what is there: the one where it is looked for first, if that was never used; another such; one
// that may be given away; or the mark of another newcomer, who will find himself another place or none. at is -1 if all are live.
func (s *set) place(first uint, f frame, now, horizon int64) (at int, w word) {
	if unused := s.unused(); unused != 0 {
		return (bits.TrailingZeros8(bits.RotateLeft8(unused, -int(first))) + int(first)) % ways, 0
	}
	for i := range uint(ways) {
		j := (first + i) % ways
		if w := word(s[j].Load()); w.free(f, now, horizon) {
			return int(j), w
		}
	}
	for j := range s {
		if w := word(s[j].Load()); w.isComing() {
			return j, w
		}
	}
	return -1, 0
}

// unused has a bit for each word that is 0.
func (s *set) unused() uint8 {
	at := func(i int) uint64 { w := s[i].Load(); return ^(w | -w) >> 63 }
	return uint8(at(0) | at(1)<<1 | at(2)<<2 | at(3)<<3 | at(4)<<4 | at(5)<<5 | at(6)<<6 | at(7)<<7)
}

// clear takes away the marks of the tag in these places. It is false if there is an entry.
func (s *set) clear(tag word, places uint8) bool {
	for ; places != 0; places &= places - 1 {
		for at := bits.TrailingZeros8(places) % ways; ; {
			w := word(s[at].Load())
			if !w.is(tag) {
				break
			}
			if !w.isComing() {
				return false
			}
			s[at].CompareAndSwap(uint64(w), 0)
		}
	}
	return true
}

// enter takes the region of h into the frame of now, and lets go of what has long been full. It looks at 16 KiB, once
// for each 69 s in which the region is used.
func (t *Table) enter(h uint64, p *pace, now int64) {
	_, g := t.at(h)
	from := frame(g.frame.Load())
	if from != never {
		begin := int(h&uint64(len(t.sets)-1)) &^ (regionSets - 1)
		sets := t.sets[begin:min(begin+regionSets, len(t.sets))]
		for i := range sets {
			if !sets[i].carry(g, from, now, p.horizon) {
				return // another has brought it somewhere meanwhile
			}
		}
	}
	g.frame.CompareAndSwap(int32(from), int32(frameOf(now)))
}

// carry is enter for one set.
func (s *set) carry(g *region, from frame, now, horizon int64) bool {
	for i := range s {
		w := word(s[i].Load())
		if frame(g.frame.Load()) != from { // after the word, so that it is read in the frame that it was written in
			return false
		}
		if next := w.carry(from, now, horizon); next != w {
			s[i].CompareAndSwap(uint64(w), uint64(next))
		}
	}
	return true
}
