package stats

import (
	"fmt"
	"slices"
	"strconv"
	"sync/atomic"
)

// Other is the label under which everything unregistered counts.
const Other = "other"

const (
	// cacheLine covers the pair of 64-byte lines that x86 prefetches together and the 128-byte lines of arm64.
	cacheLine = 128
	// maxLabels bounds a family's list: attack none, a mistake in wiring (a list made from input) is found at start.
	maxLabels = 256
)

// Labels are the closed lists of the families that have names for labels. A family without a list has only [Other].
type Labels map[Family][]string

// Set holds the shards of one node. Immutable once made; its shards' cells are atomic.
type Set struct {
	shards []*Shard
	*index
}

// index maps labels to cells. Immutable, shared by the set and its shards.
type index struct {
	lists   [familyCount][]string       // in the order of the cells; the last one is Other
	first   [familyCount]int            // first cell of a family
	byLabel [familyCount]map[string]int // cell by label
	byCode  [familyCount]map[uint32]int // cell by number, coded families only
	cells   int
}

// Shard is one writer's row of numbers. Every field is atomic or immutable.
type Shard struct {
	_        [cacheLine]byte
	counters [counterCount]atomic.Uint64
	gauges   [gaugeCount]atomic.Int64
	labelled []atomic.Uint64 // of its own cache lines
	index    *index
	_        [cacheLine]byte
}

// New makes a set of shards that counts the given labels. A wrong list (empty or doubled label, over 256 of them, one for a
// family whose list is fixed) or number of shards is a mistake in the program's wiring and panics.
func New(shards int, labels Labels) *Set {
	if shards < 1 {
		panic(fmt.Sprintf("stats: %d shards, want at least 1", shards))
	}
	s := &Set{index: newIndex(labels)}
	for range shards {
		s.shards = append(s.shards, newShard(s.index))
	}
	return s
}

func newIndex(labels Labels) *index {
	x := &index{}
	for f := range labels {
		if f >= firstCoded {
			panic(fmt.Sprintf("stats: the labels of family %d are fixed", f))
		}
	}
	for f := range familyCount {
		list := slices.Clone(labels[f])
		numbers := codes(f)
		x.byCode[f] = make(map[uint32]int, len(numbers))
		for i, code := range numbers {
			list = append(list, strconv.FormatUint(uint64(code), 10))
			x.byCode[f][code] = x.cells + i
		}
		if !slices.Contains(list, Other) {
			list = append(list, Other)
		}
		x.add(f, list)
	}
	return x
}

// add lays the cells of one family behind those before it.
func (x *index) add(f Family, list []string) {
	if len(list) > maxLabels {
		panic(fmt.Sprintf("stats: %d labels for %s, at most %d", len(list), familyNames[f].metric, maxLabels))
	}
	x.lists[f], x.first[f] = list, x.cells
	x.byLabel[f] = make(map[string]int, len(list))
	for i, label := range list {
		if _, doubled := x.byLabel[f][label]; doubled || label == "" {
			panic(fmt.Sprintf("stats: label %q of %s is empty or doubled", label, familyNames[f].metric))
		}
		x.byLabel[f][label] = x.cells + i
	}
	x.cells += len(list)
}

func newShard(x *index) *Shard {
	const pad = cacheLine / 8
	cells := make([]atomic.Uint64, pad+x.cells+pad)
	return &Shard{labelled: cells[pad : pad+x.cells : pad+x.cells], index: x}
}

// Shards is how many there are.
func (s *Set) Shards() int { return len(s.shards) }

// Shard returns the i-th shard. It stays the same for the life of the set.
func (s *Set) Shard(i int) *Shard { return s.shards[i] }

// Add adds n to a counter.
func (s *Shard) Add(c Counter, n uint64) { s.counters[c].Add(n) }

// Inc adds one to a counter.
func (s *Shard) Inc(c Counter) { s.counters[c].Add(1) }

// Move adds delta to this shard's part of a gauge.
func (s *Shard) Move(g Gauge, delta int64) { s.gauges[g].Add(delta) }

// Set replaces this shard's part of a gauge.
func (s *Shard) Set(g Gauge, v int64) { s.gauges[g].Store(v) }

// Label counts one event of a family under a label; one that is not in its list counts as [Other].
func (s *Shard) Label(f Family, label string) { s.LabelN(f, label, 1) }

// LabelN counts n events of a family under a label.
func (s *Shard) LabelN(f Family, label string, n uint64) {
	s.labelled[s.index.cell(f, label)].Add(n)
}

// Code counts one event of a family whose labels are numbers (Upgrades, Closes, CommandErrors, APIErrors).
func (s *Shard) Code(f Family, code uint32) {
	s.labelled[s.index.codeCell(f, code)].Add(1)
}

// Close counts a close frame sent with this code.
func (s *Shard) Close(code uint16) { s.Code(Closes, uint32(code)) }

// Upgrade counts an answer to a request head.
func (s *Shard) Upgrade(status int) { s.Code(Upgrades, uint32(status)) }

func (x *index) cell(f Family, label string) int {
	if i, ok := x.byLabel[f][label]; ok {
		return i
	}
	return x.byLabel[f][Other]
}

func (x *index) codeCell(f Family, code uint32) int {
	if i, ok := x.byCode[f][code]; ok {
		return i
	}
	return x.byLabel[f][Other]
}

// Total is the sum of a counter over the shards. Reads of shards are not one instant.
func (s *Set) Total(c Counter) (sum uint64) {
	for _, shard := range s.shards {
		sum += shard.counters[c].Load()
	}
	return sum
}

// Level is the sum of a gauge over the shards. It may be briefly below zero when one shard opens what another closes.
func (s *Set) Level(g Gauge) (sum int64) {
	for _, shard := range s.shards {
		sum += shard.gauges[g].Load()
	}
	return sum
}

// LabelTotal is the sum of a family's label over the shards ([Other] for an unregistered one).
func (s *Set) LabelTotal(f Family, label string) uint64 { return s.cellTotal(s.cell(f, label)) }

// CodeTotal is the sum of a coded family's number over the shards ([Other] for an unknown one).
func (s *Set) CodeTotal(f Family, code uint32) uint64 { return s.cellTotal(s.codeCell(f, code)) }

func (s *Set) cellTotal(cell int) (sum uint64) {
	for _, shard := range s.shards {
		sum += shard.labelled[cell].Load()
	}
	return sum
}
