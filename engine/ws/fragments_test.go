package ws

import "testing"

// A message in very many fragments must cost its receiver time in proportion to
// its length: its buffer doubles, it is not made anew for each of them.
func TestManyFragmentsAreCollectedInLinearTime(t *testing.T) {
	const fragments = 1 << 15
	s, r := new(Scratch), new(Reader)
	lim := &Limits{Message: 16 << 20}
	grown, held := 0, 0
	for i := range fragments {
		op := OpContinuation
		if i == 0 {
			op = OpBinary
		}
		frame := append(AppendHeader(nil, Header{Opcode: op, Masked: true, Length: 20}), make([]byte, 20)...)
		if _, rest, v := r.Next(frame, lim, s); v != nil || len(rest) > 0 {
			t.Fatalf("fragment %d: %v, %d bytes left", i, v, len(rest))
		}
		if r.Buffered() != held {
			grown, held = grown+1, r.Buffered()
		}
		if came := 20 * (i + 1); held > 2*came+512 {
			t.Fatalf("%d bytes held of %d that came", held, came)
		}
	}
	if grown > 20 {
		t.Errorf("the buffer grew %d times over %d fragments", grown, fragments)
	}
	ev, _, v := r.Next(AppendHeader(nil, Header{Fin: true, Opcode: OpContinuation, Masked: true}), lim, s)
	if v != nil || len(ev.Payload) != 20*fragments {
		t.Errorf("%d bytes, %v", len(ev.Payload), v)
	}
}
