package delta

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"unicode/utf8"
)

// The numbers of the format's description, and the ends of the range.
func TestNumbers(t *testing.T) {
	for _, c := range []struct {
		n    uint32
		text string
	}{
		{6246, "1Xb"}, {270, "4E"}, {2, "2"}, {983, "FN"}, {268, "4C"}, {75, "1B"}, {1256, "Jd"}, {4046, "~E"}, {2176, "Y0"},
		{3193528526, "2zMM3E"}, {0, "0"}, {63, "~"}, {64, "10"}, {1<<32 - 1, "3~~~~~"},
	} {
		if got := string(appendNumber(nil, c.n)); got != c.text || numberLen(int(c.n)) != len(c.text) {
			t.Errorf("%d is written %q of %d digits, want %q", c.n, got, numberLen(int(c.n)), c.text)
		}
		if n, rest, ok := number([]byte(c.text+";x"), ';'); !ok || n != c.n || string(rest) != "x" {
			t.Errorf("%q is read as %d, %q, %v", c.text, n, rest, ok)
		}
	}
	for _, text := range []string{"", ";", "-1;", "400000;", "~~~~~~;", "0000001;", "12", "1\xc3;"} {
		if n, _, ok := number([]byte(text), ';'); ok {
			t.Errorf("%q is read as %d, want it refused", text, n)
		}
	}
}

func TestChecksum(t *testing.T) {
	for _, c := range []struct {
		text string
		sum  uint32
	}{
		{"", 0}, {"a", 0x61000000}, {"ab", 0x61620000}, {"abcd", 0x61626364}, {"abcde", 0x61626364 + 0x65000000},
		{"\xff\xff\xff\xff\x00\x00\x00\x02", 1},
	} {
		if got := checksum([]byte(c.text)); got != c.sum {
			t.Errorf("the checksum of %q is %#x, want %#x", c.text, got, c.sum)
		}
	}
}

// TestDocumentedDelta applies the delta that the format's description takes
// apart, to another source: only the checksum is that source's.
func TestDocumentedDelta(t *testing.T) {
	const documented = "1Xb\n4E@0,2:thFN@4C,6:scenda1B@Jd,6:scenda5x@Kt,6:pieces79@Qt,F: Example: eskil~E@Y0,2zMM3E;"
	source := text(rand.New(rand.NewPCG(1, 1)), 2176+4046)
	want := strings.Join([]string{
		source[:270], "th", source[268 : 268+983], "scenda", source[1256 : 1256+75], "scenda", source[1336 : 1336+380], "pieces",
		source[1720 : 1720+457], " Example: eskil", source[2176:],
	}, "")
	if _, err := Apply(nil, []byte(source), []byte(documented), 1<<20); !errors.Is(err, ErrChecksum) {
		t.Fatalf("with another source: %v, want a wrong checksum", err)
	}
	sum := string(appendNumber(nil, checksum([]byte(want))))
	delta := strings.Replace(documented, "2zMM3E", sum, 1)
	if got, err := Apply([]byte("before "), []byte(source), []byte(delta), 6246); err != nil || string(got) != "before "+want {
		t.Fatalf("%d bytes, %v; want %d", len(got), err, len(want))
	}
	var e Encoder
	if made, ok := e.Append(nil, []byte(source), []byte(want)); !ok || len(made) > len(delta)+30 {
		t.Errorf("our own delta has %d bytes, the documented one %d", len(made), len(delta))
	}
}

// text is random words of ASCII.
func text(rng *rand.Rand, length int) string {
	b := make([]byte, length)
	for i := range b {
		b[i] = "abcdefghij     KLMNOP0123456789,.:"[rng.IntN(34)]
	}
	return string(b)
}

func TestWireFormat(t *testing.T) {
	long := `{"symbol":"ACME","bid":101.25,"ask":101.50,"volume":182736,"venue":"XNYS"}`
	for _, c := range []struct{ source, target, delta string }{
		{long, long, "1A\n1A@0,2x3vNm;"},
		{long, strings.Replace(long, "101.50", "101.75", 1), "1A\nd@0,2:75W@f,2z5ANm;"},
		{long, strings.Replace(strings.Replace(long, "101.50", "102.5", 1), "182736", "9", 1), ""},
	} {
		var e Encoder
		got, ok := e.Append([]byte("x"), []byte(c.source), []byte(c.target))
		if !ok || c.delta != "" && string(got) != "x"+c.delta {
			t.Errorf("%s\nis %q, %v; want x%s", c.target, got, ok, c.delta)
		}
		if back, err := Apply(nil, []byte(c.source), got[1:], len(c.target)); err != nil || string(back) != c.target {
			t.Errorf("%q comes back as %q, %v", c.target, back, err)
		}
	}
}

// TestGoodDeltas: what a feed sends again and again, changed a little.
func TestGoodDeltas(t *testing.T) {
	var book strings.Builder
	for i := range 200 {
		fmt.Fprintf(&book, `{"price":%d.%02d,"size":%d},`, 100+i/7, i*37%100, i*i%977)
	}
	full := `{"book":[` + book.String() + `{}]}`
	replace := func(s string, pairs ...string) string {
		for i := 0; i < len(pairs); i += 2 {
			if !strings.Contains(s, pairs[i]) {
				t.Fatalf("no %s in the text", pairs[i])
			}
			s = strings.Replace(s, pairs[i], pairs[i+1], 1)
		}
		return s
	}
	rows := func(price func(i int) int) string {
		var b strings.Builder
		for i := range 500 {
			fmt.Fprintf(&b, `{"symbol":"S%d","price":%d,"currency":"EUR","venue":"XETR","status":"open"},`, i, price(i))
		}
		return "[" + b.String() + "{}]"
	}
	before := rows(func(i int) int { return i * i })
	ten := rows(func(i int) int {
		if i%50 == 3 {
			return i
		}
		return i * i
	})
	if delta := roundTrip(t, before, ten); len(delta) == 0 || len(delta) > 180 {
		t.Errorf("ten of 500 rows that are alike: the delta of %d bytes has %d", len(before), len(delta))
	}
	for _, c := range []struct {
		name   string
		target string
		most   int
	}{
		{"nothing", full, 20},
		{"one number", replace(full, `"size":36}`, `"size":41}`), 40},
		{"three numbers far apart, of other lengths", replace(full, `"size":36}`, `"size":1041}`, `"size":900}`, `"size":9}`, `"price":127.`, `"price":12700.`), 80},
		{"one row less", replace(full, `{"price":102.18,"size":196},`, ``), 60},
		{"one row more", replace(full, `{"price":102.18,`, `{"price":777.77,"size":777},{"price":102.18,`), 80},
		{"first row goes to the end", full[:9] + full[len(`{"book":[{"price":100.00,"size":0},`):len(full)-4] + `{"price":100.00,"size":0},{}]}`, 80},
		{"halves change places", full[len(full)/2:] + full[:len(full)/2], 80},
		{"beginning is gone", full[len(full)/2:], 30},
		{"twice", full + full, 50},
	} {
		delta := roundTrip(t, full, c.target)
		if delta == nil || len(delta) > c.most {
			t.Errorf("%s: the delta of %d bytes has %d, want at most %d: %.100q", c.name, len(c.target), len(delta), c.most, delta)
		}
	}
}

// roundTrip returns the delta, nil if there is none that is shorter. It must
// make target of source, and be text if target is.
func roundTrip(t testing.TB, source, target string) []byte {
	t.Helper()
	var e Encoder
	delta, shorter := e.Append(nil, []byte(source), []byte(target))
	if !shorter {
		if delta != nil {
			t.Errorf("no delta, but %d bytes are left of it", len(delta))
		}
		return nil
	}
	if len(delta) >= len(target) {
		t.Errorf("a delta of %d bytes for %d", len(delta), len(target))
	}
	if utf8.ValidString(target) && !utf8.Valid(delta) {
		t.Errorf("from %.100q to %.100q: the delta is no text: %.200q", source, target, delta)
	}
	back, err := Apply(nil, []byte(source), delta, len(target))
	if err != nil || string(back) != target {
		t.Errorf("from %.100q to %.100q: %.100q comes back, %v", source, target, back, err)
	}
	return delta
}

// TestNoDelta: where there is nothing to gain.
func TestNoDelta(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	for _, c := range []struct{ name, source, target string }{
		{"no source", "", "some text that is not so short"},
		{"no target", "some text", ""},
		{"short", `{"a":1}`, `{"a":2}`},
		{"nothing in common", strings.Repeat("a", 1000), strings.Repeat("b", 1000)},
		{"random", text(rng, 5000), text(rng, 5000)},
	} {
		if delta := roundTrip(t, c.source, c.target); delta != nil {
			t.Errorf("%s: %q", c.name, delta)
		}
	}
}

// runes share bytes with each other: a delta that cut them would be no text.
var runes = []string{"é", "è", "ê", "日", "旦", "早", "😀", "😁", "🙀", "a", "b", "\"", "\u2028", "\u0301"}

func TestRunesStayWhole(t *testing.T) {
	base := strings.Repeat("x", 20)
	for _, a := range runes {
		for _, b := range runes {
			roundTrip(t, base+a+base+a, base+b+base+b)
			roundTrip(t, a+base+a+base, b+base+b+base)
			roundTrip(t, base+strings.Repeat(a, 20)+base, base+strings.Repeat(a, 10)+b+strings.Repeat(a, 9)+base)
			roundTrip(t, strings.Repeat(a+b, 30), strings.Repeat(b+a, 30)+a)
		}
	}
}

func TestRandomEdits(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	var e Encoder // one for all, so its tables are seen again
	made := 0
	for range 2000 {
		source := randomText(rng, rng.IntN(2000))
		target := source
		for range rng.IntN(12) {
			target = edit(rng, target)
		}
		delta, shorter := e.Append([]byte("kept"), []byte(source), []byte(target))
		if !shorter {
			continue
		}
		made++
		if !utf8.Valid(delta) {
			t.Fatalf("%q to %q: not text", source, target)
		}
		if back, err := Apply(nil, []byte(source), delta[4:], len(target)); err != nil || string(back) != target || string(delta[:4]) != "kept" {
			t.Fatalf("%q to %q: %q comes back, %v", source, target, back, err)
		}
	}
	if made < 1200 {
		t.Errorf("%d deltas for 2000 texts that changed a little", made)
	}
}

func randomText(rng *rand.Rand, n int) string {
	var b strings.Builder
	for range n {
		if rng.IntN(4) == 0 {
			b.WriteString(runes[rng.IntN(len(runes))])
		} else {
			b.WriteByte(byte('a' + rng.IntN(3)))
		}
	}
	return b.String()
}

// edit puts in, takes out, moves or doubles a run of runes.
func edit(rng *rand.Rand, s string) string {
	r := []rune(s)
	i := rng.IntN(len(r) + 1)
	j := min(i+rng.IntN(40), len(r))
	switch rng.IntN(4) {
	case 0:
		return string(r[:i]) + randomText(rng, rng.IntN(30)) + string(r[i:])
	case 1:
		return string(r[:i]) + string(r[j:])
	case 2:
		return string(r[j:]) + string(r[i:j]) + string(r[:i])
	default:
		return string(r[:j]) + string(r[i:])
	}
}

// TestHostileTexts: shapes that take hours for who looks at everything, and
// space. Who does not is done at once.
func TestHostileTexts(t *testing.T) {
	const n = 1 << 20
	rng := rand.New(rand.NewPCG(9, 10))
	runs := func(end string) string {
		var b strings.Builder
		for i := range maxNear {
			fmt.Fprintf(&b, "%s%s<%08d>", strings.Repeat(strings.Repeat("a", 15)+end, 2), strings.Repeat("b", i%3), i*i)
		}
		return b.String()
	}
	for name, c := range map[string]struct{ source, target string }{
		"all the same":           {strings.Repeat("a", n), "b" + strings.Repeat("a", n/2) + "c" + strings.Repeat("a", n/2)},
		"period 7":               {strings.Repeat("abcdefg", n/7), strings.Repeat("bcdefga", n/7)},
		"period 8 and 9":         {strings.Repeat("abcdefgh", n/8), strings.Repeat("abcdefghi", n/9)},
		"only parts of runes":    {strings.Repeat("\x80", n), "x" + strings.Repeat("\x80", n)},
		"runs that nearly match": {runs("Y"), runs("X")},
		"runs just not worth it": {strings.Repeat("abcdefgh", n/8), strings.Repeat("XYabcdefghZ", n/11)},
		"random":                 {text(rng, n), text(rng, n)},
		"longer than the index":  {text(rng, n) + strings.Repeat("tail ", 1000), text(rng, 100)},
		"long source":            {strings.Repeat("a", 4*n), "short, but long enough"},
	} {
		var e Encoder
		if delta, ok := e.Append(nil, []byte(c.source), []byte(c.target)); ok {
			if back, err := Apply(nil, []byte(c.source), delta, len(c.target)); err != nil || string(back) != c.target {
				t.Errorf("%s: %d bytes come back, %v", name, len(back), err)
			}
		}
		if kept := 4 * (cap(e.heads) + cap(e.next)); kept > 3<<19 {
			t.Errorf("%s: the tables take %d bytes", name, kept)
		}
		if e.tries < -2*maxChain {
			t.Errorf("%s: %d matches measured over the bound", name, -e.tries)
		}
		if e.source != nil || e.target != nil || e.out != nil {
			t.Errorf("%s: the texts are kept", name)
		}
	}
}

func TestApplyRefuses(t *testing.T) {
	const source = "0123456789abcdef"
	sum := func(s string) string { return string(appendNumber(nil, checksum([]byte(s)))) }
	for _, c := range []struct {
		delta string
		err   error
	}{
		{"A\nA@0," + sum(source[:10]) + ";", nil},
		{"0\n0;", nil},
		{"3\n3:abc" + sum("abc") + ";", nil},
		{"", ErrSyntax},
		{"A", ErrSyntax},
		{"\nA@0,0;", ErrSyntax},
		{"A;A@0,0;", ErrSyntax},
		{"A\nA@0,", ErrSyntax},
		{"A\nA@0;", ErrSyntax},
		{"A\nA@0," + sum(source[:10]), ErrSyntax},
		{"A\nA@0," + sum(source[:10]) + ";;", ErrSyntax},
		{"A\nA@0," + sum(source[:10]) + ";\n", ErrSyntax},
		{"A\nA?0,0;", ErrSyntax},
		{"A\nB@0,0;", ErrLength},
		{"A\nA@0,1@0,0;", ErrLength},
		{"A\n9@0,0;", ErrLength},
		{"2\n3:abc0;", ErrLength},
		{"A\nA:abc0;", ErrSyntax},
		{"A\nA@7,0;", ErrRange},
		{"A\nA@3~~~~~,0;", ErrRange},
		{"A\n1@G,0;", ErrRange},
		{"A\nA@0,0;", ErrChecksum},
		{"3~~~~~\nA@0,0;", ErrTooLong},
		{"K\n0;", ErrTooLong},
		{"4000000\n0;", ErrSyntax},
		{"A\n1000000@0,0;", ErrSyntax},
		{"\xff\xff\xff", ErrSyntax},
	} {
		got, err := Apply([]byte("x"), []byte(source), []byte(c.delta), 16)
		if !errors.Is(err, c.err) || err != nil && string(got) != "x" {
			t.Errorf("%q: %q, %v; want %v", c.delta, got, err, c.err)
		}
	}
}

// TestEveryPrefixIsRefused: a delta that was cut is no other delta.
func TestEveryPrefixIsRefused(t *testing.T) {
	source := `{"symbol":"ACME","bid":101.25,"ask":101.50,"note":"zażółć gęślą jaźń"}`
	delta := roundTrip(t, source, strings.Replace(source, "101", "99", 2)+"and more")
	for i := range delta {
		if out, err := Apply(nil, []byte(source), delta[:i], 1<<20); err == nil || out != nil {
			t.Errorf("%q makes %q", delta[:i], out)
		}
	}
}

func TestAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("skipped: the race detector allocates")
	}
	rng := rand.New(rand.NewPCG(11, 12))
	source, other := []byte(text(rng, 20_000)), []byte(text(rng, 20_000))
	target := append(append(append([]byte(nil), source[10_000:]...), "between"...), source[:10_000]...)
	var e Encoder
	dst, back := make([]byte, 0, 1<<16), make([]byte, 0, 1<<16)
	delta, ok := e.Append(nil, source, target)
	if !ok || !e.indexed {
		t.Fatal("this is about the way through the index")
	}
	for name, f := range map[string]func(){
		"a delta":    func() { dst, _ = e.Append(dst[:0], source, target) },
		"no delta":   func() { dst, _ = e.Append(dst[:0], source, other) },
		"apply":      func() { back, _ = Apply(back[:0], source, delta, 1<<16) },
		"refused":    func() { back, _ = Apply(back[:0], other, delta, 1<<16) },
		"not at all": func() { back, _ = Apply(back[:0], other, other, 1<<16) },
	} {
		if n := testing.AllocsPerRun(100, f); n != 0 {
			t.Errorf("%s: %v allocations, want 0", name, n)
		}
	}
}

func FuzzAppend(f *testing.F) {
	f.Add("", "")
	f.Add(`{"symbol":"ACME","bid":101.25,"ask":101.50}`, `{"symbol":"ACME","bid":101.5,"ask":101.50}`)
	f.Add(strings.Repeat("日旦", 20), strings.Repeat("旦日", 20))
	f.Add(strings.Repeat("abcdefgh", 20), strings.Repeat("xabcdefgh", 20))
	f.Fuzz(func(t *testing.T, source, target string) { roundTrip(t, source, target) })
}

func FuzzApply(f *testing.F) {
	f.Add("0123456789abcdef", "A\nA@0,3E0000;")
	f.Add("", "3\n3:abcOM9X00;")
	f.Add("x", "1Xb\n4E@0,2:thFN@4C,6:scenda")
	f.Add("0123456789abcdef", "G\nG@0,03E0000;")
	f.Add("0123456789abcdef", "3~~~~~\n3~~~~~@3~~~~~,0:0@0,0;")
	f.Add("\xff\xff\xff\xff\xff", "9\n4@0,4@1,1:\x01~;")
	f.Fuzz(func(t *testing.T, source, delta string) {
		const limit = 1 << 16
		out, err := Apply(nil, []byte(source), []byte(delta), limit)
		if err != nil {
			if out != nil {
				t.Error("an error, and bytes")
			}
			return
		}
		if len(out) > limit {
			t.Errorf("%d bytes, over the limit", len(out))
		}
		if naive, ok := naiveApply(source, delta); !ok || !bytes.Equal(naive, out) {
			t.Errorf("%q made of %q; a naive reader has %q, %v", out, source, naive, ok)
		}
	})
}

// naiveApply is the format's description read word by word.
func naiveApply(source, delta string) (out []byte, ok bool) {
	value := func() (n int) {
		for delta != "" && strings.IndexByte(digits, delta[0]) >= 0 {
			n = n*64 + strings.IndexByte(digits, delta[0])
			delta = delta[1:]
		}
		return n
	}
	length := value()
	delta = strings.TrimPrefix(delta, "\n")
	for delta != "" {
		n := value()
		operator := delta[0]
		delta = delta[1:]
		switch operator {
		case '@':
			from := value()
			delta = strings.TrimPrefix(delta, ",")
			out = append(out, source[from:from+n]...)
		case ':':
			out = append(out, delta[:n]...)
			delta = delta[n:]
		default:
			return out, operator == ';' && length == len(out) && uint32(n) == checksum(out) && delta == ""
		}
	}
	return nil, false
}

func BenchmarkAppend(b *testing.B) {
	rng := rand.New(rand.NewPCG(13, 14))
	for _, size := range []int{200, 2000, 60_000} {
		source := []byte(text(rng, size))
		one := append([]byte(nil), source...)
		one[size/2] ^= 1
		moved := append(append([]byte(nil), source[size/2:]...), source[:size/2]...)
		for name, target := range map[string][]byte{"one byte": one, "moved": moved, "unlike": []byte(text(rng, size))} {
			b.Run(fmt.Sprintf("%s of %d", name, size), func(b *testing.B) {
				var e Encoder
				var dst []byte
				b.SetBytes(int64(size))
				for b.Loop() {
					dst, _ = e.Append(dst[:0], source, target)
				}
			})
		}
	}
}
