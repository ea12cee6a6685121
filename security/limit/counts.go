package limit

import "sync"

// countShards spreads the locks of counts; a power of two.
const countShards = 64

// counts holds how many connections each key has open, exactly. Unlike a bucket, a count may not be
// shared or forgotten while it is above zero, so there is no fixed table: a key is there as long as it
// has a connection open, and the descriptors of the process bound how many have.
type counts struct {
	shards [countShards]countShard
	seed   uint64
}

// countShard has its own lock, a leaf.
type countShard struct {
	mu   sync.Mutex
	open map[uint64]uint32 // guarded by mu; by the key's hash, above 0
}

func newCounts(seed uint64) *counts {
	c := &counts{seed: seed}
	for i := range c.shards {
		c.shards[i].open = make(map[uint64]uint32)
	}
	return c
}

// add counts one more for k, unless it has max of them already.
func (c *counts) add(k Key, max uint32) bool {
	s, h := c.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.open[h]
	if n >= max {
		return false
	}
	s.open[h] = n + 1
	return true
}

// remove counts one less for k. It reports whether there was one.
func (c *counts) remove(k Key) bool {
	s, h := c.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.open[h]
	switch n {
	case 0:
		return false
	case 1:
		delete(s.open, h)
	default:
		s.open[h] = n - 1
	}
	return true
}

func (c *counts) shard(k Key) (*countShard, uint64) {
	h := k.hash(c.seed)
	return &c.shards[h%countShards], h
}

// keys is how many keys have a connection open.
func (c *counts) keys() (n int) {
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		n += len(s.open)
		s.mu.Unlock()
	}
	return n
}
