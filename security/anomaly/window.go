package anomaly

import "net/netip"

// scope is one prefix, or all.
type scope struct {
	prefix  netip.Prefix
	windows [kinds]window
}

// total is what all windows together hold.
func (s *scope) total(now int64) (n uint64) {
	for k := range s.windows {
		n += s.windows[k].sum(now)
	}
	return n
}

// alerting reports whether an alert of the scope is still remembered.
func (s *scope) alerting(now int64) bool {
	for k := range s.windows {
		if a := s.windows[k].alerted; a != 0 && now-a <= int64(Quiet/bucket) {
			return true
		}
	}
	return false
}

// window counts events over the last buckets.
type window struct {
	counts  [buckets]uint32
	first   int64 // the oldest bucket that counts holds; 0: empty
	alerted int64 // the last bucket in which the threshold was reached; 0: never
}

// add counts n events in bucket now.
func (v *window) add(now int64, n uint64) {
	v.slide(now)
	c := &v.counts[now%buckets]
	*c = uint32(min(uint64(*c)+n, 1<<32-1))
}

// sum is what the window that ends with bucket now holds.
func (v *window) sum(now int64) (n uint64) {
	v.slide(now)
	for _, c := range v.counts {
		n += uint64(c)
	}
	return n
}

// slide forgets what is too old at bucket now.
func (v *window) slide(now int64) {
	oldest := now - buckets + 1
	if v.first == 0 || oldest-v.first >= buckets {
		v.counts, v.first = [buckets]uint32{}, oldest
	}
	for ; v.first < oldest; v.first++ {
		v.counts[v.first%buckets] = 0
	}
}

// usual is what a window of all holds on an ordinary day.
type usual struct {
	mean    float64
	learned uint64 // windows
}

const (
	// tooMuch is how many times the usual is an alert.
	tooMuch = 4
	// settling is how many buckets the mean is over: half an hour.
	settling = 180
)

// threshold is above what the window is not usual; 0 while nothing is known.
func (u *usual) threshold() uint64 { return uint64(tooMuch * u.mean) }

// learn takes a window that has ended. An attack counts as its threshold at most.
func (u *usual) learn(sum, threshold uint64) {
	u.learned++
	u.mean += (float64(min(sum, threshold)) - u.mean) / float64(min(u.learned, settling))
}
