package hub

import (
	"slices"
	"sync/atomic"

	"weir/security/grant"
)

// Limits bound what subscribers can make a node hold.
type Limits struct {
	Patterns  int // different ones
	Overlap   int // of these, such that one channel may match by their literal beginnings
	BaseBytes int // data of the publications that deltas are made against
}

// usualOverlap is how many patterns of one publication are found without
// allocating.
const usualOverlap = 128

// patterns are the channels that stand for many: those whose name holds a `*`.
// They lie in a trie by what stands before the first one, so a publication looks
// only at those whose beginning its channel has. How many subscribe to them
// costs it nothing.
type patterns struct {
	stripe        // of the channels; its lock guards begins too
	limits Limits // immutable
	begins beginning
	count  atomic.Int64 // of the channels: a node without patterns reads this and no more
}

// add takes a new pattern in, with the lock held; false if a limit is reached.
func (p *patterns) add(c *Channel) bool {
	literal := grant.Literal(c.Name)
	if len(p.channels) >= p.limits.Patterns || p.begins.through(literal) >= p.limits.Overlap {
		return false
	}
	p.begins.add(literal, c)
	p.count.Add(1)
	return true
}

// remove forgets a pattern that add took in, with the lock held.
func (p *patterns) remove(c *Channel) {
	p.begins.remove(grant.Literal(c.Name), c)
	p.count.Add(-1)
}

// appendMatching appends the patterns through which a publication to channel is
// delivered.
func (p *patterns) appendMatching(dst []*Channel, channel string) []*Channel {
	p.mu.RLock()
	defer p.mu.RUnlock()
	for at, rest := &p.begins, channel; at != nil; {
		for _, c := range at.patterns {
			if grant.Delivers(c.Name, channel) {
				dst = append(dst, c)
			}
		}
		at, rest = at.next(rest)
	}
	return dst
}

// beginning is a node of a compressed trie. The zero value is the root of an
// empty one. A node below the root has a pattern or two children.
type beginning struct {
	label    string       // what it adds to its parent's
	children []*beginning // no two labels begin with the same byte
	patterns []*Channel   // whose literal part ends here
	most     int          // patterns that one name may meet from here on down
}

// child returns the index of the child that name may go on with, or -1.
func (b *beginning) child(name string) int {
	if name == "" {
		return -1
	}
	return slices.IndexFunc(b.children, func(c *beginning) bool { return c.label[0] == name[0] })
}

// next returns the child that name goes on with, nil if none, and the rest.
func (b *beginning) next(name string) (*beginning, string) {
	i := b.child(name)
	if i < 0 || common(b.children[i].label, name) < len(b.children[i].label) {
		return nil, ""
	}
	return b.children[i], name[len(b.children[i].label):]
}

// through returns the most patterns that a name which begins with literal may
// meet.
func (b *beginning) through(literal string) int {
	if literal == "" {
		return b.most
	}
	i := b.child(literal)
	if i < 0 {
		return len(b.patterns)
	}
	child := b.children[i]
	switch n := common(child.label, literal); n {
	case len(child.label):
		return len(b.patterns) + child.through(literal[n:])
	case len(literal):
		return len(b.patterns) + child.most
	default:
		return len(b.patterns)
	}
}

func (b *beginning) add(literal string, c *Channel) {
	i := b.child(literal)
	switch {
	case literal == "":
		b.patterns = append(b.patterns, c)
	case i < 0:
		b.children = append(b.children, &beginning{label: literal, patterns: []*Channel{c}, most: 1})
	default:
		n := common(b.children[i].label, literal)
		if child := b.children[i]; n < len(child.label) {
			b.children[i] = &beginning{label: child.label[:n], children: []*beginning{child}}
			child.label = child.label[n:]
		}
		b.children[i].add(literal[n:], c)
	}
	b.weigh()
}

func (b *beginning) remove(literal string, c *Channel) {
	defer b.weigh()
	if literal == "" {
		i := slices.Index(b.patterns, c)
		b.patterns = slices.Delete(b.patterns, i, i+1)
		return
	}
	i := b.child(literal)
	child := b.children[i]
	child.remove(literal[len(child.label):], c)
	switch {
	case len(child.patterns) > 0 || len(child.children) > 1:
	case len(child.children) == 0:
		b.children = slices.Delete(b.children, i, i+1)
	default:
		only := child.children[0]
		only.label = child.label + only.label
		b.children[i] = only
	}
}

// weigh brings most up to date with what is below.
func (b *beginning) weigh() {
	b.most = 0
	for _, c := range b.children {
		b.most = max(b.most, c.most)
	}
	b.most += len(b.patterns)
}

// common is the length of what a and b begin with alike.
func common(a, b string) int {
	n := min(len(a), len(b))
	for i := range n {
		if a[i] != b[i] {
			return i
		}
	}
	return n
}
