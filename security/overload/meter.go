package overload

import (
	"bytes"
	"errors"
	"io/fs"
	"runtime/metrics"
	"strconv"
	"time"
)

// Capacity is what the node may use. 0 is not known: then that share is 0.
type Capacity struct {
	Memory      int    // bytes that the process may have resident: the operator's limit
	Heap        int    // bytes that the collector is told to stay below (GOMEMLIMIT)
	Machine     Memory // cgroups, which may be full of others
	Descriptors int
	Cores       int
}

// The runtime's figures that a Meter reads.
const (
	goTotal = iota
	goReleased
	goFree
	goObjects
	goLive
	goFigures
)

// garbageCounts is how much of what is resident counts if it is garbage. The collector lets it grow up
// to GOMEMLIMIT, nine tenths of the limit, and no further: that much is no reason to close anybody.
const garbageCounts = 0.9

// ticksPerSecond is the unit of CPU times in /proc (USER_HZ): 100 wherever
// Linux runs.
const ticksPerSecond = 100

// Meter reads what the process uses. It belongs to one goroutine.
type Meter struct {
	root     fs.FS // of the machine's files
	capacity Capacity
	figures  [goFigures]metrics.Sample
	files    reader

	cpu time.Duration // at the last Read
	at  time.Time     // of the last Read; zero: there was none
}

// NewMeter reads below root, which is os.DirFS("/") but in tests. What a
// machine does not have (another system than Linux has no /proc) counts as 0.
func NewMeter(root fs.FS, c Capacity) *Meter {
	return &Meter{root: root, capacity: c, figures: [goFigures]metrics.Sample{
		goTotal:    {Name: "/memory/classes/total:bytes"},
		goReleased: {Name: "/memory/classes/heap/released:bytes"},
		goFree:     {Name: "/memory/classes/heap/free:bytes"},
		goObjects:  {Name: "/memory/classes/heap/objects:bytes"},
		goLive:     {Name: "/gc/heap/live:bytes"},
	}}
}

// Read returns the shares in use now. At least so many descriptors are open; where
// the kernel tells how many are, that counts.
func (m *Meter) Read(descriptors int, now time.Time) Usage {
	metrics.Read(m.figures[:])
	idle := m.figure(goFree) + max(m.figure(goObjects)-m.figure(goLive), 0) // what a collection would give back
	resident := m.resident()
	group, around := m.capacity.Machine.shares(&m.files, m.root)
	u := Usage{
		Memory: max(share(resident-idle, m.capacity.Memory), garbageCounts*share(resident, m.capacity.Memory), group),
		Around: around,
		Heap:   share(m.figure(goTotal)-m.figure(goReleased)-idle, m.capacity.Heap),
	}
	if info, err := fs.Stat(m.root, "proc/self/fd"); err == nil { // its size, since Linux 6.2
		descriptors = max(descriptors, int(info.Size()))
	}
	u.Descriptors = share(descriptors, m.capacity.Descriptors)
	u.CPU = m.cpuShare(now)
	return u
}

// figure is one of the runtime's; 0 if this version of it has none.
func (m *Meter) figure(i int) int {
	if v := m.figures[i].Value; v.Kind() == metrics.KindUint64 {
		return int(v.Uint64())
	}
	return 0
}

func share(used, capacity int) float64 {
	if capacity <= 0 || used <= 0 {
		return 0
	}
	return float64(used) / float64(capacity)
}

// resident is the resident set of the process in bytes.
func (m *Meter) resident() int {
	b, err := m.files.whole(m.root, "proc/self/status")
	if err != nil {
		return 0
	}
	kilobytes, err := field(b, "VmRSS:")
	if err != nil {
		return 0
	}
	return kilobytes << 10
}

// field returns the number behind a name at the start of a line, and a space or tab behind that.
func field(text []byte, name string) (int, error) {
	for line := range bytes.Lines(text) {
		if len(line) <= len(name) || string(line[:len(name)]) != name || line[len(name)] != ' ' && line[len(name)] != '\t' {
			continue
		}
		for word := range bytes.FieldsSeq(line[len(name):]) {
			return strconv.Atoi(string(word))
		}
		break
	}
	return 0, errors.New("overload: no field " + name)
}

// cpuShare is the share of all cores since the last Read; 0 the first time.
func (m *Meter) cpuShare(now time.Time) float64 {
	used, ok := m.cpuTime()
	if !ok {
		return 0
	}
	before, at := m.cpu, m.at
	m.cpu, m.at = used, now
	elapsed := now.Sub(at)
	if at.IsZero() || elapsed <= 0 || m.capacity.Cores <= 0 {
		return 0
	}
	return float64(used-before) / float64(elapsed) / float64(m.capacity.Cores)
}

// cpuTime is what the process has used, of user and system time.
func (m *Meter) cpuTime() (time.Duration, bool) {
	b, err := m.files.whole(m.root, "proc/self/stat")
	if err != nil {
		return 0, false
	}
	// The name of the program, in parentheses, may hold anything: fields count from behind it.
	const user, system = 11, 12 // proc_pid_stat(5): fields 14 and 15
	ticks, i := 0, 0
	for word := range bytes.FieldsSeq(b[bytes.LastIndexByte(b, ')')+1:]) {
		if i == user || i == system {
			n, err := strconv.Atoi(string(word))
			if err != nil {
				return 0, false
			}
			ticks += n
		}
		i++
	}
	if i <= system {
		return 0, false
	}
	return time.Duration(ticks) * time.Second / ticksPerSecond, true
}
