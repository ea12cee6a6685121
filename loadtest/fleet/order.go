package fleet

import (
	"time"

	"weir/loadtest/tally"
)

// Order is one line to a worker: one of the fields.
type Order struct {
	Begin   *Begin   `json:",omitempty"`
	Open    *Wave    `json:",omitempty"`
	Drop    *Drop    `json:",omitempty"`
	Publish *Publish `json:",omitempty"`
	Hush    bool     `json:",omitempty"` // what is not due yet is not published any more
	Settle  []uint64 `json:",omitempty"` // the newest acknowledged number of each stream
	Count   bool     `json:",omitempty"`
}

// Begin is the first order.
type Begin struct {
	Plan     Plan
	Number   int // of this worker
	Of       int // workers: connection i of this one is number Number + i×Of of the fleet
	Capacity int // connections of this worker
}

// Wave opens connections. They are opened at a rate, or as fast as they open.
type Wave struct {
	N      int
	Rate   float64       // connections a second; 0: as fast as AtOnce lets it
	AtOnce int           // dials in flight; 0: 64
	For    time.Duration // with Brief: instead of N
	Again  bool          // those which were dropped or lost come back, instead of new ones; at most N of each worker
	Brief  bool          // each is closed when it is ready, and another follows
	Slow   time.Duration // these read one message in so much time; 0: as it comes
	Resume float64       // share of the dials that offer a session ticket
	First  bool          // nothing was published yet, so nothing may be missing
}

// Drop closes connections: so many, each time those that stand behind the ones that were closed before.
type Drop struct{ N int }

// Publish lets connections publish: the first ones of the fleet, each into its stream.
type Publish struct {
	Publishers int // of the whole fleet
	Rate       float64
	Size       int
	Began      int64 // when the first is due: nanoseconds since 1970
	For        time.Duration
}

// Report answers an order.
type Report struct {
	Failure     string // why the order was not obeyed
	Counters    tally.Counters
	Latency     tally.Histogram // since the last report with Count
	Open        tally.Histogram // the same
	Handshake   tally.Histogram // the same
	Ack         tally.Histogram // of Publish: from due to acknowledged; the same
	Connections int             // open, without the slow ones
	Pending     int             // ordered, and neither open nor failed yet
	Slow        int             // slow readers that are open
	SlowClosed  map[string]uint64
	Publishing  bool           // Publish goes on, or an answer is awaited
	Heads       map[int]uint64 // of Publish: the newest acknowledged number of a stream, counted from 0
	Trouble     string         // the last thing that went wrong, for people
	Process     tally.Process  // of a worker of its own process
	Undelivered uint64         // of Settle
}
