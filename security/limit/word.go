package limit

// A word is an entry of a [Table]: whose it is and what it has spent, in 64 bits that change hands in one
// compare-and-swap. From the top:
//
//	38 bits  time  when the bucket is full again, without its upper bits
//	 3 bits  kind  0 free, 1 to 6 the unit of the time: 32⁰ to 32⁵ ns, 7 one of two marks
//	23 bits  tag   upper bits of the key's hash
//
// Two keys of one set that have the same tag are one to the table and share a bucket, as behind one address. Among n
// others in its set a key has such company with a probability of n in 2²³: of one in a million where a set is full. A flood
// cannot bring it about: the seed of the hash is secret, so all addresses are alike, and however many come, a set holds
// eight. Nor does it last: company is over when the other's bucket is full.
//
// The upper bits of the time follow from the [frame] that the entry's region is in. Of times in the unit 0 a frame can tell those
// from 69 s before it to 206 s after its beginning, and a rate whose burst takes more than 69 s has a longer unit. When a region comes into
// another frame, what has been full for a minute is taken away: so nothing is left long enough to be taken for a time to come.
type word uint64

const (
	tagBits   = 23
	kindBits  = 3
	timeBits  = 64 - tagBits - kindBits
	timeShift = tagBits + kindBits // where the time begins

	unitStep  = 5            // a unit is 2⁵ times the one before
	longUnit  = 5            // the longest: 2²⁵ ns, for spans up to maxSpan
	inUnits   = 1 << tagBits // the kind of the unit 0
	marked    = 7 << tagBits // the kind of marks, and all bits of a kind
	comingBit = 1 << 63

	// frameBits is the length of a frame: 2³⁶ ns, 69 s, the quarter of what times in units of 1 ns can tell. It is
	// more than slack, so that callers are in the same frame or in adjacent ones.
	frameBits = timeBits - 2
)

// frame numbers the spans of 2^frameBits ns. It counts from the clock's zero, and may be negative.
type frame int32

// never is the frame of a region that nobody has used.
const never frame = -1 << 31

func frameOf(now int64) frame { return frame(now >> frameBits) }

// tagOf is the tag of a key with this hash, as a word of the unit 0 with the time 0.
func tagOf(h uint64) word { return word(h>>(64-tagBits) | inUnits) }

// is reports whether w is an entry or a mark of the tag.
func (w word) is(tag word) bool { return (w^tag)<<(64-tagBits) == 0 && w&marked != 0 }

func (w word) unit() uint { return uint(w>>tagBits)&7 - 1 }

// at is the entry of the tag whose bucket is full at so many units.
func (tag word) at(fullAt int64, unit uint) word {
	return tag + word(unit)<<tagBits | word(fullAt)<<timeShift
}

// isPlain is is for an entry in the unit 0, which plainFullAt reads and plain makes.
func (w word) isPlain(tag word) bool { return (w^tag)<<timeBits == 0 }

func (w word) plainFullAt(f frame) int64 {
	middle := (int64(f) + 1) << frameBits
	return middle + w.since(middle)
}

func (tag word) plain(fullAt int64) word { return tag | word(fullAt)<<timeShift }

// coming marks an entry that is being given to a key. No other mark of the same region has this turn.
func (tag word) coming(turn uint32) word { return tag | marked | comingBit | word(turn)<<timeShift }

func (w word) isComing() bool { return w&(marked|comingBit) == marked|comingBit }

// left marks an entry that a clock which has since stepped back has filled up to a time in frame f: it is further ahead
// of the clock than any rate puts it, see slack.
func (tag word) left(f frame) word { return tag | marked | word(uint32(f))<<timeShift }

func (w word) isLeft() bool { return w&(marked|comingBit) == marked }

// fullAt is when the entry's bucket is full again, in nanoseconds, as its region is in frame f: of the times that end in the
// word's bits it is the one from a quarter of their period before f to three quarters after its beginning. It is not for coming.
func (w word) fullAt(f frame) int64 {
	begin := int64(f) << frameBits
	if w.isLeft() {
		return begin + 1<<61 // beyond every burst and slack
	}
	shift := w.unit() * unitStep & 63
	middle := begin>>shift + 1<<frameBits
	return (middle + w.since(middle)) << shift
}

// since is the entry's time less middle, which is at most half a period away, in units.
func (w word) since(middle int64) int64 { return (int64(w) - middle<<timeShift) >> timeShift }

// carry is the entry as a region takes it from frame from into that of now: nothing, if its bucket has been full for the slack, and where the
// clock has stepped back, left.
func (w word) carry(from frame, now, horizon int64) word {
	to := frameOf(now)
	switch {
	case w == 0, w.isComing(), w.isLeft() && to <= frame(uint32(w>>timeShift)):
		return w
	case w.isLeft():
		return 0
	}
	fullAt := w.fullAt(from)
	switch {
	case fullAt <= now-slack: // for all callers, also those whose clock is behind
		return 0
	case to < from && fullAt > now+horizon, w.fullAt(to) != fullAt:
		return (w & (1<<tagBits - 1)).left(frameOf(fullAt))
	}
	return w
}
