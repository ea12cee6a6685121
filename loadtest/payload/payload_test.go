package payload

import (
	"encoding/json"
	"errors"
	"testing"
)

func TestWhatWasAppendedIsFound(t *testing.T) {
	for _, size := range []int{MinSize, MinSize + 1, 256, 4096} {
		want := Publication{Stream: 0xdeadbeef, Seq: 1 << 60, Due: 1764000000123456789}
		b := Append([]byte("x"), want, size)[1:]
		if len(b) != size || !json.Valid(b) {
			t.Fatalf("%d bytes, wanted %d: %s", len(b), size, b)
		}
		message := append(append([]byte(`{"push":{"channel":"c","pub":{"data":`), b...), `,"offset":5}}}`...)
		got, rest, err := Next(message)
		if err != nil || got != want || string(rest) != `,"offset":5}}}` {
			t.Fatalf("%+v, rest %q, %v", got, rest, err)
		}
	}
}

func TestSeveralInOneMessage(t *testing.T) {
	var b []byte
	for seq := uint64(1); seq <= 3; seq++ {
		b = append(Append(b, Publication{Stream: 7, Seq: seq}, 100), '\n')
	}
	for seq := uint64(1); seq <= 3; seq++ {
		p, rest, err := Next(b)
		if err != nil || p.Seq != seq {
			t.Fatalf("%+v, %v, wanted %d", p, err, seq)
		}
		b = rest
	}
	if _, _, err := Next(b); err != ErrNone {
		t.Fatal(err)
	}
}

// Every byte that is changed and every one that is missing is noticed.
func TestDamageIsFound(t *testing.T) {
	whole := Append(nil, Publication{Stream: 1, Seq: 2, Due: 3}, 120)
	for i := range whole {
		for _, c := range []byte{whole[i] ^ 1, 'b', '"', 0} {
			bad := append([]byte(nil), whole...)
			if bad[i] = c; string(bad) == string(whole) {
				continue
			}
			if p, _, err := Next(bad); err == nil {
				t.Fatalf("byte %d became %q, and it is %+v", i, c, p)
			}
		}
		if _, _, err := Next(whole[:i]); err == nil {
			t.Fatalf("cut to %d bytes", i)
		}
	}
}

func TestNoAllocation(t *testing.T) {
	b := Append(nil, Publication{Stream: 1, Seq: 2, Due: 3}, 256)
	bad := append([]byte(nil), b...)
	bad[100]++
	if n := testing.AllocsPerRun(100, func() {
		if _, _, err := Next(b); err != nil {
			t.Fatal(err)
		}
		if _, _, err := Next(bad); err == nil {
			t.Fatal("found")
		}
		b = Append(b[:0], Publication{Stream: 1, Seq: 2, Due: 3}, 256)
	}); n != 0 {
		t.Fatalf("%v allocations", n)
	}
}

func FuzzPayload(f *testing.F) {
	f.Add(Append(nil, Publication{Stream: 1, Seq: 2, Due: 3}, 120))
	f.Add([]byte(head + head))
	f.Fuzz(func(t *testing.T, b []byte) {
		for {
			p, rest, err := Next(b)
			if errors.Is(err, ErrNone) {
				return
			}
			if len(rest) >= len(b) {
				t.Fatal("no progress")
			}
			if err == nil {
				whole := b[:len(b)-len(rest)]
				if n := len(whole) - len(Append(nil, p, MinSize)); n < 0 {
					t.Fatalf("found %+v in %q", p, whole)
				}
			}
			b = rest
		}
	})
}
