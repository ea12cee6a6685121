package schema

import "math"

// node is one schema of a compiled program. Immutable once compiled: nodes point
// at each other, in circles where the schema is recursive, and all validators
// read them.
type node struct {
	op     op
	types  kind   // that the keyword type leaves
	admits kind   // that type, enum and const leave
	direct kind   // admits if the node is run in one pass, else none
	shapes uint32 // of numbers that are as asked for whatever their digits, see shapePoint
	run    way
	// How long a string of ASCII may be, in bytes.
	shortest, longest int

	values *Fault // FaultEnum or FaultConst, if there are such
	never  *Fault // of opNever

	number *numberRules // each nil if nothing is asked of that kind
	text   *textRules
	array  *arrayRules
	object *objectRules

	constants []int32 // arrays and objects of enum or const: entries of source
	source    *tapedText

	// Schemas for the same value.
	byKind                 *[kinds]*node // of opByKind
	all, any, one          []*node       // a $ref is in all
	not, test, then, other *node
}

// op is how a node is run.
type op uint8

const (
	opDirect op = iota // in one pass, while the text is read
	opAny              // everything is as asked for
	opNever            // nothing is
	opTaped            // needs to see the value more than once
	opByKind           // as another node, which one depends on the value's kind
)

// way is how a node is run on the value at text[i]. It returns the index behind
// the value, or refused, or 0 if it takes a closer look to tell: Validator.judge
// has that. What only looks quickly calls nothing and so has no stack frame.
type way func(v *Validator, i int, n *node) int

// numberRules are what is asked of a number.
type numberRules struct {
	integer bool
	// A number of few digits is mantissa·10^-scale. At each scale, these are the
	// least and the greatest mantissa within all bounds.
	least, most [scales]int64
	bounds      []bound
	divisor     divisor
	enum        []decimal // sorted
	shorts      []short   // those of enum that are, sorted
	enumerated  bool
	more        bool // is asked than bounds
}

// scales is how many digits behind the point a number of few digits can have,
// plus one; a power of two.
const scales = 16

// bound is one of minimum, maximum and the exclusive ones.
type bound struct {
	value     decimal
	sign      int // of what compare says if a number is beyond
	exclusive bool
	fault     *Fault
}

// textRules are what is asked of a string.
type textRules struct {
	min, max   int // code points
	pattern    *pattern
	format     format
	formatName string
	enum       *lookup // nil: any text
	words      []word  // those of enum that are tried before it
	how        way     // strings are run
}

// arrayRules are what is asked of an array.
type arrayRules struct {
	prefix                   []*node
	items                    *node // behind prefix
	min, max                 int
	unique                   bool
	contains                 *node // nil: none
	minContains, maxContains int
}

// objectRules are what is asked of an object.
type objectRules struct {
	known      []property // in the order in which they are expected
	index      *lookup    // their names
	guesses    []uint8    // by nameHash: index in known, or noProperty
	factor     uint64     // of nameHash
	shift      uint8      // of what it gives
	words      int        // that hold a bit for each of known
	required   []uint64
	must       uint64 // the first word of required
	onlyMust   bool   // nothing else is asked of the object as a whole
	min, max   int
	patterns   []patternRule // for names that are not known
	additional *node         // for names that none of them fits
	names      *node         // for the names, nil: any
	dependents []dependent
}

// noProperty is the index of a name that is not known.
const noProperty = math.MaxUint8

// property is a name that the schema speaks of, with all that it asks of the
// member of that name. It has 64 bytes: a shift finds the next.
type property struct {
	word
	node *node
	run  way // of node, to be at hand
}

// patternRule is one of patternProperties.
type patternRule struct {
	pattern *pattern
	node    *node
}

// dependent says what else an object with a certain member must have.
type dependent struct {
	trigger  int // index in known
	required []uint64
}

// anyNode asks for nothing.
func anyNode() *node {
	n := &node{types: kindAny, admits: kindAny}
	n.classify()
	return n
}

// noMost is a maximum that nothing reaches.
const noMost = math.MaxInt

// nodes calls visit with each node that n points at, so that it can replace it.
func (n *node) nodes(visit func(**node)) {
	n.inPlace(visit)
	if a := n.array; a != nil {
		for i := range a.prefix {
			visit(&a.prefix[i])
		}
		visitSet(visit, &a.items, &a.contains)
	}
	if o := n.object; o != nil {
		for i := range o.known {
			visitSet(visit, &o.known[i].node)
		}
		for i := range o.patterns {
			visit(&o.patterns[i].node)
		}
		visitSet(visit, &o.additional, &o.names)
	}
}

// inPlace is nodes for those that are run on the same value as n.
func (n *node) inPlace(visit func(**node)) {
	for _, list := range [][]*node{n.all, n.any, n.one} {
		for i := range list {
			visit(&list[i])
		}
	}
	visitSet(visit, &n.not, &n.test, &n.then, &n.other)
}

func visitSet(visit func(**node), places ...**node) {
	for _, p := range places {
		if *p != nil {
			visit(p)
		}
	}
}
