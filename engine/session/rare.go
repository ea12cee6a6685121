package session

import "encoding/json"

// rare is what most subscriptions have nothing of, and spend a pointer on.
type rare struct {
	info    json.RawMessage
	watcher uint32 // plus one; 0: in no list
}

func (s *Sub) setRare(r rare) {
	s.rare = nil
	if len(r.info) > 0 || r.watcher > 0 {
		s.rare = &r
	}
}

func (s *Sub) rarely() rare {
	if s.rare == nil {
		return rare{}
	}
	return *s.rare
}

// Info is what others are told of the user in this channel (chan_info); nil if
// nothing is.
func (s *Sub) Info() json.RawMessage { return s.rarely().info }

// SetInfo sets Info, kept as it is.
func (s *Sub) SetInfo(info json.RawMessage) {
	r := s.rarely()
	r.info = info
	s.setRare(r)
}

// Watcher is the index in the shard's list of those who are told who joins and
// leaves the channel; false if it is in none.
func (s *Sub) Watcher() (i uint32, ok bool) {
	n := s.rarely().watcher
	return n - 1, n > 0
}

// SetWatcher sets Watcher.
func (s *Sub) SetWatcher(i uint32) {
	r := s.rarely()
	r.watcher = i + 1
	s.setRare(r)
}

// Unwatch forgets Watcher.
func (s *Sub) Unwatch() {
	r := s.rarely()
	r.watcher = 0
	s.setRare(r)
}
