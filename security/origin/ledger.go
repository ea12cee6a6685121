package origin

import (
	"math"
	"slices"
)

// ID stands for an origin, in two bytes instead of its text. 0 is none that is known: it is in no Index.
type ID uint16

// Ledger gives each origin one ID for the life of a process, whatever list it comes and goes with. The zero value
// is ready. Not for use by two goroutines at once.
type Ledger struct{ ids map[string]ID }

// Index is a List with IDs. Immutable, any goroutine; a nil Index holds nothing.
type Index struct {
	allowed map[string]ID // normal spelling
	ids     []ID          // sorted
}

// Index numbers the origins of l; nil for nil. An origin that comes after 65,535 others gets no ID: Find still
// finds it, Has never does.
func (g *Ledger) Index(l *List) *Index {
	if l == nil {
		return nil
	}
	x := &Index{allowed: make(map[string]ID, len(l.allowed))}
	for o := range l.allowed {
		id, known := g.ids[o]
		if !known && len(g.ids) < math.MaxUint16 {
			if g.ids == nil {
				g.ids = make(map[string]ID)
			}
			id = ID(len(g.ids) + 1)
			g.ids[o] = id
		}
		x.allowed[o] = id
		if id != 0 {
			x.ids = append(x.ids, id)
		}
	}
	slices.Sort(x.ids)
	return x
}

// Find tells whether the value of an Origin header is in the list, and its ID. It allocates nothing.
func (x *Index) Find(origin []byte) (id ID, ok bool) {
	if x == nil {
		return 0, false
	}
	var buf [maxOrigin]byte
	n, ok := normalise(&buf, origin)
	if !ok {
		return 0, false
	}
	id, ok = x.allowed[string(buf[:n])]
	return id, ok
}

// Has tells whether the origin with that ID is in the list.
func (x *Index) Has(id ID) bool {
	if x == nil || id == 0 {
		return false
	}
	_, ok := slices.BinarySearch(x.ids, id)
	return ok
}

// Without returns the origins of l that are not in other, sorted.
func (l *List) Without(other *List) (missing []string) {
	if l == nil {
		return nil
	}
	for o := range l.allowed {
		if other != nil {
			if _, ok := other.allowed[o]; ok {
				continue
			}
		}
		missing = append(missing, o)
	}
	slices.Sort(missing)
	return missing
}
