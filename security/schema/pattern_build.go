package schema

import (
	"encoding/binary"
	"errors"
	"fmt"
	"regexp/syntax"
	"slices"
	"unicode"
	"unicode/utf8"
)

// Bounds of one pattern. An operator writes it, but a repetition of a few bytes
// can ask for a table of any size.
const (
	maxPatternBytes   = 4096
	maxPatternInsts   = 1 << 13 // of the program that the table is built from
	maxPatternCells   = 1 << 16 // of the table, two bytes each; a state is a cell's index
	maxPatternClasses = 1 << 8
	maxPatternWork    = 1 << 24 // instructions looked at while building, a fraction of a second
)

var errPatternSize = errors.New("it needs too large a table; shorten its counted repetitions or begin it with ^")

// compilePattern makes the table of an RE2 expression: each state of it is the
// set of instructions that a search may stand at.
func compilePattern(expression string) (*pattern, error) {
	if len(expression) > maxPatternBytes {
		return nil, fmt.Errorf("longer than %d bytes", maxPatternBytes)
	}
	re, err := syntax.Parse(expression, syntax.Perl)
	if err != nil {
		return nil, err
	}
	prog, err := syntax.Compile(re.Simplify())
	if err != nil {
		return nil, err
	}
	if len(prog.Inst) > maxPatternInsts {
		return nil, errPatternSize
	}
	b := patternBuilder{prog: prog, states: map[string]uint16{}, anchored: prog.StartCond()&syntax.EmptyBeginText != 0}
	b.mark = make([]uint32, len(prog.Inst))
	if err := b.classify(); err != nil {
		return nil, err
	}
	if err := b.build(); err != nil {
		return nil, err
	}
	table := b.pattern
	copy(table.quoted[' ':], table.ascii[' ':])
	table.quoted['"'], table.quoted['\\'] = classEnd, classEnd
	return &table, nil
}

// patternBuilder builds one pattern.
type patternBuilder struct {
	pattern
	prog     *syntax.Prog
	anchored bool   // it can only match from the beginning
	looks    bool   // it looks at the character before: \b, or ^ and $ of lines
	samples  []rune // one character of each class; -1 is the end
	states   map[string]uint16
	todo     []patternState
	work     int

	mark  []uint32 // by instruction: the walk that has seen it last
	walk  uint32
	stack []uint32
}

// patternState is where a search stands between two characters.
type patternState struct {
	row    uint16
	before rune     // a sample of the class of the character before, -1 at the beginning
	insts  []uint32 // to go on from, sorted
}

// classify parts all characters into classes that no instruction tells apart.
func (b *patternBuilder) classify() error {
	sets, bounds := b.runeSets()
	b.samples = []rune{-1}
	known := map[string]uint8{}
	for i, first := range bounds {
		signature := []byte{0, 0}
		if b.looks {
			signature[0], signature[1] = flag(syntax.IsWordChar(first)), flag(first == '\n')
		}
		for _, set := range sets {
			signature = append(signature, flag(set.MatchRune(first)))
		}
		b.work += len(sets)
		class, ok := known[string(signature)]
		if !ok {
			if len(b.samples) >= maxPatternClasses || b.work > maxPatternWork {
				return errPatternSize
			}
			class = uint8(len(b.samples))
			known[string(signature)] = class
			b.samples = append(b.samples, first)
		}
		last := rune(utf8.MaxRune)
		if i+1 < len(bounds) {
			last = bounds[i+1] - 1
		}
		for r := first; r <= last && r < utf8.RuneSelf; r++ {
			b.ascii[r] = class
		}
		if n := len(b.beyond); first >= utf8.RuneSelf && (n == 0 || b.beyond[n-1].class != class) {
			b.beyond = append(b.beyond, runeClass{first, class})
		}
	}
	b.classes = len(b.samples)
	return nil
}

func flag(set bool) byte {
	if set {
		return 1
	}
	return 0
}

// runeSets lists the different sets of characters that the instructions read,
// and in order where any of them begins or is over.
func (b *patternBuilder) runeSets() (sets []*syntax.Inst, bounds []rune) {
	bounds = []rune{0, '\n', '\n' + 1, utf8.RuneSelf}
	seen := map[string]bool{}
	for i := range b.prog.Inst {
		inst := &b.prog.Inst[i]
		switch inst.Op {
		case syntax.InstEmptyWidth:
			const lines = syntax.EmptyBeginLine | syntax.EmptyEndLine
			if syntax.EmptyOp(inst.Arg)&(lines|syntax.EmptyWordBoundary|syntax.EmptyNoWordBoundary) != 0 {
				b.looks = true
			}
			continue
		case syntax.InstRune, syntax.InstRune1, syntax.InstRuneAny, syntax.InstRuneAnyNotNL:
		default:
			continue
		}
		content := fmt.Sprint(inst.Op, inst.Arg, inst.Rune)
		if seen[content] {
			continue
		}
		seen[content] = true
		sets = append(sets, inst)
		bounds = append(bounds, runeBounds(inst)...)
	}
	if b.looks {
		bounds = append(bounds, '0', '9'+1, 'A', 'Z'+1, '_', '_'+1, 'a', 'z'+1)
	}
	slices.Sort(bounds)
	bounds = slices.Compact(bounds)
	for bounds[len(bounds)-1] > utf8.MaxRune {
		bounds = bounds[:len(bounds)-1]
	}
	return sets, bounds
}

// runeBounds lists where the characters of an instruction begin and are over.
func runeBounds(inst *syntax.Inst) (bounds []rune) {
	if len(inst.Rune) == 1 {
		r := inst.Rune[0]
		bounds = append(bounds, r, r+1)
		if syntax.Flags(inst.Arg)&syntax.FoldCase != 0 {
			for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
				bounds = append(bounds, f, f+1)
			}
		}
		return bounds
	}
	for i := 0; i+1 < len(inst.Rune); i += 2 {
		bounds = append(bounds, inst.Rune[i], inst.Rune[i+1]+1)
	}
	return bounds
}

// build finds all states from the first.
func (b *patternBuilder) build() error {
	b.next = make([]uint16, firstRow)
	var err error
	if b.start, err = b.state(-1, []uint32{uint32(b.prog.Start)}); err != nil {
		return err
	}
	for len(b.todo) > 0 {
		s := b.todo[len(b.todo)-1]
		b.todo = b.todo[:len(b.todo)-1]
		for class, sample := range b.samples {
			to, err := b.step(s, sample)
			if err != nil {
				return err
			}
			b.next[int(s.row)+class] = to
		}
	}
	return nil
}

// state is the row of the state with these instructions, a new one if it must be.
func (b *patternBuilder) state(before rune, insts []uint32) (uint16, error) {
	slices.Sort(insts)
	insts = slices.Compact(insts)
	if before >= 0 {
		before = b.lookback(before)
	}
	key := binary.LittleEndian.AppendUint32(nil, uint32(before))
	for _, pc := range insts {
		key = binary.LittleEndian.AppendUint32(key, pc)
	}
	row, ok := b.states[string(key)]
	if ok {
		return row, nil
	}
	if len(b.next)+b.classes > maxPatternCells {
		return 0, errPatternSize
	}
	row = uint16(len(b.next))
	b.next = append(b.next, make([]uint16, b.classes)...)
	b.states[string(key)] = row
	b.todo = append(b.todo, patternState{row: row, before: before, insts: insts})
	return row, nil
}

// lookback is one character for all that are alike to what looks back at them.
func (b *patternBuilder) lookback(r rune) rune {
	switch {
	case !b.looks:
		return ' '
	case syntax.IsWordChar(r):
		return 'a'
	case r == '\n':
		return r
	}
	return ' '
}

// step is the state after a character, -1 for the end of the text.
func (b *patternBuilder) step(s patternState, r rune) (uint16, error) {
	var after []uint32
	if !b.anchored && r >= 0 {
		after = append(after, uint32(b.prog.Start))
	}
	empty := syntax.EmptyOpContext(s.before, r)
	b.walk++
	for _, pc := range s.insts {
		b.stack = append(b.stack[:0], pc)
		for len(b.stack) > 0 {
			pc := b.stack[len(b.stack)-1]
			b.stack = b.stack[:len(b.stack)-1]
			if b.mark[pc] == b.walk {
				continue
			}
			b.mark[pc] = b.walk
			b.work++
			inst := &b.prog.Inst[pc]
			switch inst.Op {
			case syntax.InstMatch:
				return stateMatched, nil
			case syntax.InstAlt, syntax.InstAltMatch:
				b.stack = append(b.stack, inst.Out, inst.Arg)
			case syntax.InstCapture, syntax.InstNop:
				b.stack = append(b.stack, inst.Out)
			case syntax.InstEmptyWidth:
				if syntax.EmptyOp(inst.Arg)&^empty == 0 {
					b.stack = append(b.stack, inst.Out)
				}
			case syntax.InstFail:
			default:
				if r >= 0 && inst.MatchRune(r) {
					after = append(after, inst.Out)
				}
			}
		}
	}
	if b.work > maxPatternWork {
		return 0, errPatternSize
	}
	if len(after) == 0 {
		return stateDead, nil
	}
	return b.state(r, after)
}
