package hub

// Member is one subscription as the fan-out sees it.
type Member struct {
	Slot   uint32 // the connection, in its shard
	Sub    uint16 // which of the connection's subscriptions
	Synced bool   // the newest publication was the last queued for it: the next one may be a delta
	Held   bool   // it misses something already: nothing is queued for it
	From   uint64 // publications up to this offset are not for it
}

// MaxSubs is how many subscriptions of one connection a Member can tell apart.
const MaxSubs = 1 << 16

// Members is a list of subscribers without order. It belongs to one loop. The
// zero value is empty.
type Members struct{ list []Member }

// All returns the members, borrowed until the next Add or Remove.
func (m *Members) All() []Member { return m.list }

// Add appends and returns the index, by which the others know it.
func (m *Members) Add(x Member) uint32 {
	m.list = append(m.list, x)
	return uint32(len(m.list) - 1)
}

// SetSub notes that the connection's subscription has another number now.
func (m *Members) SetSub(i uint32, sub uint16) { m.list[i].Sub = sub }

// At returns the member at index i, borrowed until the next Add or Remove.
func (m *Members) At(i uint32) *Member { return &m.list[i] }

// Remove takes the member at index i out. The last one takes its place: if
// that is another, it is returned with ok, and its index is now i.
func (m *Members) Remove(i uint32) (moved Member, ok bool) {
	last := uint32(len(m.list) - 1)
	if i != last {
		moved, ok = m.list[last], true
		m.list[i] = moved
	}
	m.list = m.list[:last]
	if cap(m.list) > 64 && len(m.list) < cap(m.list)/4 {
		m.list = append(make([]Member, 0, cap(m.list)/2), m.list...)
	}
	return moved, ok
}
