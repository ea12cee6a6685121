package ws

import (
	"strings"
	"testing"
)

// Whole messages, messages that come in pieces, and refusals allocate nothing.
func TestReadingDoesNotAllocate(t *testing.T) {
	if raceEnabled {
		t.Skip("skipped: allocations are not counted under the race detector")
	}
	s := new(Scratch)
	lim := &Limits{Message: 65536, Fragments: 64, Compression: true}
	big := &Limits{Message: 10, Fragments: 2, Compression: true}
	bomb := string(deflateStd(t, make([]byte, 65537), 9))
	for _, c := range []struct {
		name   string
		lim    *Limits
		frames []string
		cut    int
		want   *Violation
	}{
		{"text", lim, []string{"F1:" + strings.Repeat("weir", 64)}, 0, nil},
		{"binary of 64 KiB", lim, []string{"F2:" + strings.Repeat("weir", 16384)}, 0, nil},
		{"control frames", lim, []string{"F9:p", "Fa:", "F8:\x03\xe8bye"}, 0, nil},
		{"compressed", lim, []string{"C1:" + hello, "C1:" + string(deflateStd(t, samples(3000)["words"], 6))}, 0, nil},
		{"fragments", lim, []string{"M1:one", "F9:p", "M0:two", "F0:three"}, 0, nil},
		{"cut in a header", lim, []string{"F1:" + strings.Repeat("weir", 64)}, 3, nil},
		{"cut in a payload", lim, []string{"F1:" + strings.Repeat("weir", 64)}, 100, nil},
		{"unmasked", lim, nil, 0, ErrUnmasked},
		{"reserved opcode", lim, []string{"F3:"}, 0, ErrReservedOpcode},
		{"continuation of nothing", lim, []string{"F0:"}, 0, ErrContinuation},
		{"long ping", lim, []string{"F9:" + strings.Repeat("*", 126)}, 0, ErrControlLength},
		{"bad text", lim, []string{"F1:\xff"}, 0, ErrText},
		{"bad text in fragments", lim, []string{"M1:\xff"}, 0, ErrText},
		{"bad close", lim, []string{"F8:\x03\xed"}, 0, ErrCloseCode},
		{"bad reason", lim, []string{"F8:\x03\xe8\xff"}, 0, ErrCloseReason},
		{"too big", big, []string{"F1:0123456789a"}, 0, ErrTooBig},
		{"too many fragments", big, []string{"M1:", "M0:", "F0:"}, 0, ErrTooManyFragments},
		{"deflate bomb", lim, []string{"C1:" + bomb}, 0, ErrTooBig},
		{"corrupt deflate", lim, []string{"C1:\x06"}, 0, ErrDeflate},
	} {
		stream := side{}.spell(c.frames...)
		if c.frames == nil {
			stream = side{toClient: true}.spell("F1:a")
		}
		buf := make([]byte, len(stream))
		var last *Violation
		run := func() {
			copy(buf, stream)
			r := Reader{}
			last = nil
			for _, in := range [][]byte{buf[:c.cut], buf[c.cut:]} {
				for len(in) > 0 && last == nil {
					_, in, last = r.Next(in, c.lim, s)
				}
			}
			r.Release(s)
		}
		if n := testing.AllocsPerRun(100, run); n != 0 {
			t.Errorf("%s: %v allocations", c.name, n)
		}
		if last != c.want {
			t.Errorf("%s: %s, want %s", c.name, label(last), label(c.want))
		}
	}
}

func TestWritingDoesNotAllocate(t *testing.T) {
	if raceEnabled {
		t.Skip("skipped: allocations are not counted under the race detector")
	}
	payload := []byte(strings.Repeat("weir", 64))
	out := make([]byte, 0, 4096)
	d := NewDeflater()
	for name, f := range map[string]func(){
		"frame":      func() { out = AppendFrame(out[:0], OpText, payload) },
		"masked":     func() { out = AppendMasked(out[:0], OpText, [4]byte{1, 2, 3, 4}, payload) },
		"compressed": func() { out = AppendCompressed(out[:0], OpText, payload) },
		"close":      func() { out = AppendClose(out[:0], 1001, "going away") },
		"deflate":    func() { out = d.Append(out[:0], payload) },
	} {
		if n := testing.AllocsPerRun(1000, f); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

func BenchmarkNext(b *testing.B) {
	for _, c := range []struct {
		name   string
		frames []string
	}{
		{"ping", []string{"F9:"}},
		{"text/256", []string{"F1:" + strings.Repeat("weir", 64)}},
		{"text/64KiB", []string{"F1:" + strings.Repeat("weir", 16384)}},
		{"fragments/4x64", []string{"M1:" + strings.Repeat("weir", 16), "M0:" + strings.Repeat("weir", 16), "M0:" + strings.Repeat("weir", 16), "F0:" + strings.Repeat("weir", 16)}},
		{"inflate/3000", []string{"C1:" + string(deflateStd(b, samples(3000)["words"], 6))}},
		{"refused", []string{"F3:"}},
	} {
		b.Run(c.name, func(b *testing.B) {
			s := new(Scratch)
			stream := side{}.spell(c.frames...)
			buf := make([]byte, len(stream))
			b.SetBytes(int64(len(stream)))
			b.ReportAllocs()
			for b.Loop() {
				copy(buf, stream)
				r := Reader{}
				for in := buf; len(in) > 0; {
					var v *Violation
					if _, in, v = r.Next(in, &generous, s); v != nil {
						break
					}
				}
			}
		})
	}
}

func BenchmarkAppendFrame(b *testing.B) {
	payload := []byte(strings.Repeat("weir", 64))
	out := make([]byte, 0, 4096)
	b.ReportAllocs()
	for b.Loop() {
		out = AppendFrame(out[:0], OpText, payload)
	}
}

func BenchmarkDeflate(b *testing.B) {
	payload := samples(256)["words"]
	out := make([]byte, 0, 4096)
	d := NewDeflater()
	b.ReportAllocs()
	for b.Loop() {
		out = d.Append(out[:0], payload)
	}
}
