package feed

import (
	"fmt"
	"net/http"
	"runtime"
	"slices"
	"sync"
)

// epoch is the same for every channel: peers keep no history.
const epoch = "e"

// minShare is how many subscribers are worth a goroutine of their own during a publication.
const minShare = 128

// Rooms knows which connections, of the library's type C, are subscribed to what. Its methods may be called at the same time.
type Rooms[C any] struct {
	// Prepare turns a message into what is done for each connection, and after the last of them. For one connection, each is
	// called by one goroutine at a time.
	Prepare func(message []byte) (each func(C), after func())

	mu    sync.Mutex
	rooms map[string]*room[C] // guarded by mu
}

// Member is a connection and its subscriptions.
type Member[C any] struct {
	channels []string // immutable

	mu   sync.Mutex // held while the connection is upgraded, and while it is written to
	conn C          // guarded by mu
	open bool       // guarded by mu: there is a connection
}

// room is a channel. Its lock is held during a publication, so that each subscriber has all of them in order.
type room[C any] struct {
	mu      sync.Mutex
	offset  uint64             // guarded by mu
	members []*Member[C]       // guarded by mu
	places  map[*Member[C]]int // index in members; guarded by mu
}

func (r *Rooms[C]) room(name string) *room[C] {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.rooms == nil {
		r.rooms = map[string]*room[C]{}
	}
	if r.rooms[name] == nil {
		r.rooms[name] = &room[C]{places: map[*Member[C]]int{}}
	}
	return r.rooms[name]
}

// Admit subscribes a connection to the channels that its request names, and upgrades it. It is subscribed first: whoever has
// the answer to the upgrade misses nothing.
func (r *Rooms[C]) Admit(request *http.Request, upgrade func() (C, error)) (*Member[C], error) {
	channels := slices.Clone(request.URL.Query()["channel"])
	slices.Sort(channels) // the same order for all, as with any locks of which several are taken
	m := &Member[C]{channels: slices.Compact(channels)}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, name := range m.channels {
		room := r.room(name)
		room.mu.Lock()
		room.places[m] = len(room.members)
		room.members = append(room.members, m)
		room.mu.Unlock()
	}
	conn, err := upgrade()
	if err != nil {
		r.Leave(m)
		return nil, err
	}
	m.conn, m.open = conn, true
	return m, nil
}

// Leave ends the subscriptions.
func (r *Rooms[C]) Leave(m *Member[C]) {
	for _, name := range m.channels {
		room := r.room(name)
		room.mu.Lock()
		i, last := room.places[m], room.members[len(room.members)-1]
		room.members[i], room.places[last] = last, i
		room.members = slices.Delete(room.members, len(room.members)-1, len(room.members))
		delete(room.places, m)
		room.mu.Unlock()
	}
}

// Publish hands one message to every subscriber, on all cores if there are many.
func (r *Rooms[C]) Publish(channel string, data []byte) (uint64, string, error) {
	room := r.room(channel)
	room.mu.Lock()
	defer room.mu.Unlock()
	room.offset++
	each, after := r.Prepare(fmt.Appendf(nil, `{"channel":%q,"offset":%d,"epoch":%q,"data":%s}`, channel, room.offset, epoch, data))
	share := max(minShare, (len(room.members)+runtime.GOMAXPROCS(0)-1)/runtime.GOMAXPROCS(0))
	var sending sync.WaitGroup
	for part := range slices.Chunk(room.members, share) {
		sending.Go(func() {
			for _, m := range part {
				m.hand(each)
			}
		})
	}
	sending.Wait()
	after()
	return room.offset, epoch, nil
}

func (m *Member[C]) hand(each func(C)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.open {
		each(m.conn)
	}
}
