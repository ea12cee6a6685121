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

	// In one pass, and only one kind is admitted.
	opNumber
	opArray
	opObject

	// In one pass, and only strings are admitted: tried in different ways.
	opPlainText
	opWord
	opPatternText
	opDateTime
	opUUID
	opAnyText
)

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
	min, max int // code points
	pattern  *pattern
	format   format
	enum     *lookup // nil: any text
	words    []word  // those of enum that are tried before it
	how      op      // strings are run
	formatOp op      // how, if there is nothing but format
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
	guesses    []uint8    // by the first bytes of a name: index in known plus one, see guess
	guessShift uint8
	words      int // that hold a bit for each of known
	required   []uint64
	must       uint64 // the first word of required
	onlyMust   bool   // nothing else is asked of the object as a whole
	min, max   int
	patterns   []patternRule // for names that are not known
	additional *node         // for names that none of them fits
	names      *node         // for the names, nil: any
	dependents []dependent
}

// property is a name that the schema speaks of, with all that it asks of the
// member of that name.
type property struct {
	word
	node *node
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
func anyNode() *node { return &node{op: opAny, types: kindAny, admits: kindAny, direct: kindAny} }

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
