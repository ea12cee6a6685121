package tally

import "time"

// Process is what the kernel tells of one or several processes.
type Process struct {
	RSS int64         `json:"rss"` // bytes resident
	CPU time.Duration `json:"cpu"` // user and system time since the process began, in nanoseconds
}

// Interval is what happened between two moments of a run, about a second apart.
type Interval struct {
	At          time.Duration `json:"at"`  // its end, since the run began
	For         time.Duration `json:"for"` // its length
	Phase       string        `json:"phase,omitempty"`
	Connections int           `json:"connections"` // open at its end
	Counters
	Latency Histogram `json:"latency"`          // from when a publication was due to each receipt
	Open    Histogram `json:"open"`             // from the start of a dial to a connection that is ready
	Server  *Process  `json:"server,omitempty"` // at its end, if the pid is known
	Load    *Process  `json:"load,omitempty"`   // at its end: the load generator, all its processes
}

// Figure is one result by name, as thresholds name it: "p99", "slope", "connects_per_second".
type Figure struct {
	Name  string  `json:"name"`
	Value float64 `json:"value"` // durations in seconds, sizes in bytes, shares from 0 to 1
	Unit  Unit    `json:"unit"`
	About string  `json:"about"` // one line for people
}

// Unit says how a Figure is written.
type Unit string

// Units.
const (
	Seconds   Unit = "s"
	Bytes     Unit = "B"
	PerSecond Unit = "1/s"
	Count     Unit = ""
	Share     Unit = "share"

	BytesPerSecond Unit = "B/s"
)

// Run is a whole test.
type Run struct {
	Scenario  string            `json:"scenario"`
	Target    string            `json:"target"` // without its query
	Protocol  string            `json:"protocol"`
	Options   map[string]string `json:"options"` // of the command line; never a token or key
	Machine   Machine           `json:"machine"`
	Began     time.Time         `json:"began"`
	Took      time.Duration     `json:"took"`
	Intervals []Interval        `json:"intervals"`
	Total     Counters          `json:"total"`
	Latency   Histogram         `json:"latency"`
	Open      Histogram         `json:"open"`
	Figures   []Figure          `json:"figures"`
	// Thresholds are what must not be, as it was asked for: "p99>50ms".
	Thresholds []string `json:"thresholds,omitempty"`
	// Failures are what the scenario itself calls wrong: lost publications, a foreign
	// message, honest clients that were closed.
	Failures []string `json:"failures,omitempty"`
}

// Machine is what the figures were taken on.
type Machine struct {
	OS         string `json:"os"` // kernel name and release
	Arch       string `json:"arch"`
	CPU        string `json:"cpu"`
	Cores      int    `json:"cores"`
	Memory     int64  `json:"memory"` // bytes
	Go         string `json:"go"`
	Weir       string `json:"weir"`       // version of weir-load
	Congestion string `json:"congestion"` // of the load generator's sockets
}

// Figure finds a result by name.
func (r *Run) Figure(name string) (Figure, bool) {
	for _, f := range r.Figures {
		if f.Name == name {
			return f, true
		}
	}
	return Figure{}, false
}
