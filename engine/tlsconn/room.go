package tlsconn

import "time"

const (
	// leastPlaces is how many hellos may wait for each core at the least: 11 ms of its work, so that it is not idle until
	// those who are let in next have said theirs.
	leastPlaces = 32
	// servedPerPlace is how many must have their turn before one more may wait. So of as many about one waits in vain, for a
	// tenth of what a handshake takes.
	servedPerPlace = 16
	// placesAtOnce is how many one may take with it who waited in vain.
	placesAtOnce = 16
	// calm is how long nobody must have been turned away, and nobody waited in vain, for twice as many to may wait: 0.6 s from
	// 64 to 4096. A queue that has not been there for as long is a burst, and who leaves it is no sign of an overload.
	calm = 100 * time.Millisecond
)

// room is how many hellos may wait before newcomers are turned away at the door, which costs a fifth of what it costs to
// let them in and drop them later. It is never more than have their turn before they are stale, as fast as those of the last
// queue had theirs. How long their clients have patience only they know: so each place that somebody waited in vain in is
// taken away, until nearly all have their turn in time. Guarded by Pool.mu.
type room struct {
	least, most int           // immutable
	stale       time.Duration // immutable: after which nobody waits any more
	places      int
	served      int       // since a place was given back
	since       time.Time // that somebody waits
	strained    time.Time // when the last was turned away or had waited in vain; later by each calm since

	rate  float64   // turns a second while somebody waited, rather the most than the mean of late; 0: not known
	begin time.Time // of the calm while in which turns are counted
	turns int
}

func newRoom(computing, waiting int, stale time.Duration) room {
	return room{least: min(leastPlaces*computing, waiting), most: waiting, stale: stale, places: waiting}
}

// wait is told of the first that waits.
func (r *room) wait(now time.Time) { r.since, r.begin, r.turns = now, now, 0 }

// inVain takes the place of one who was dropped before its turn, beside those that wait. Where there are several places for
// each of them it takes as many.
func (r *room) inVain(waiting int, now time.Time) {
	if now.Sub(r.since) < calm {
		return
	}
	lost := min(max(1, r.places/(waiting+1)), placesAtOnce)
	r.places, r.strained = max(r.least, r.places-lost), now
}

// turn is that of one, beside those that wait.
func (r *room) turn(waiting int, now time.Time) {
	if r.served++; r.served == servedPerPlace {
		r.served = 0
		r.places = min(r.places+1, r.most)
	}
	r.turns++
	if waiting == 0 {
		return
	}
	if took := now.Sub(r.begin); took >= calm {
		rate := float64(r.turns) / took.Seconds()
		r.rate = max(rate, r.rate-(r.rate-rate)/8)
		r.begin, r.turns = now, 0
	}
}

// inTime is how many have their turn before they are stale.
func (r *room) inTime() int {
	if r.rate == 0 {
		return r.most
	}
	return max(r.least, int(min(r.rate*r.stale.Seconds(), float64(r.most))))
}

// takes reports whether one more may wait beside those that do. Who is light, by the ledger, has as many places again, so that
// who is not cannot take them all.
func (r *room) takes(waiting int, light bool, now time.Time) bool {
	for ; r.places < r.most && now.Sub(r.strained) >= calm; r.strained = r.strained.Add(calm) {
		r.places = min(2*r.places, r.most)
	}
	places := min(r.places, r.inTime())
	if light {
		places *= 2
	}
	if waiting < places {
		return true
	}
	r.strained = now
	return false
}
