package schema

import (
	"encoding/json"
	"strings"
	"testing"
)

// usual are the defaults of --max-json-depth and --max-json-members.
var usual = Limits{Depth: 16, Members: 1024}

// cases are texts with the fault that each must get under the default limits.
var cases = []struct {
	name, text string
	want       *Fault
}{
	{"null", `null`, nil},
	{"true", `true`, nil},
	{"false", `false`, nil},
	{"space around", " \t\r\n1 \t\r\n", nil},
	{"empty object", `{}`, nil},
	{"empty array", `[ ]`, nil},
	{"members", `{"a":1,"b":[1,{"c":null}],"":"x"}`, nil},
	{"space inside", "{ \"a\" : [ 1 , 2 ] ,\n\"b\"\t: { } }", nil},
	{"same name in another object", `[{"a":{"a":1}},{"a":1}]`, nil},
	{"names by case", `{"a":1,"A":2}`, nil},
	{"escapes", `"\"\\\/\b\f\n\r\t\u00e9"`, nil},
	{"nul escaped", `"\u0000"`, nil},
	{"pair", `"\ud83d\ude00"`, nil},
	{"pair upper case", `"\uD83D\uDE00"`, nil},
	{"utf-8", `"é漢😀"`, nil},
	{"delete", "\"\x7f\"", nil},
	{"long text", `"` + strings.Repeat("abcdefgh", 9) + `é"`, nil},
	{"numbers", `[0,-0,1,-1,10,0.5,-0.25,1e3,1E+3,1e-3,0e0,0.0e-999,12345678901234567890]`, nil},
	{"largest", `[1.7976931348623157e308,-1.7976931348623157E+308,17976931348623157e292,0.17976931348623157e309]`, nil},
	{"smallest", `[5e-324,-0.5e-323,50e-325,2.4703282292062328e-324,2.4703282292062327208828439643412e-324]`, nil},
	{"smallest by the last digit", `2.4703282292062327208828439643411068618252990130716238221279284125033775363510437593264991818081799618989828234772285886547e-324`, nil},
	{"128 bytes", strings.Repeat("9", 128), nil},
	{"depth 16", strings.Repeat("[", 16) + strings.Repeat("]", 16), nil},
	{"members 1024", object(1024), nil},

	{"empty", ``, FaultSyntax},
	{"space only", " \n", FaultSyntax},
	{"two values", `1 2`, FaultSyntax},
	{"two objects", `{}{}`, FaultSyntax},
	{"garbage behind", `{}x`, FaultSyntax},
	{"bom", "\ufeff{}", FaultSyntax},
	{"nan", `NaN`, FaultSyntax},
	{"infinity", `-Infinity`, FaultSyntax},
	{"upper case", `True`, FaultSyntax},
	{"cut literal", `tru`, FaultSyntax},
	{"long literal", `nulll`, FaultSyntax},
	{"plus", `+1`, FaultSyntax},
	{"minus alone", `-`, FaultSyntax},
	{"leading zero", `01`, FaultSyntax},
	{"minus leading zero", `-01`, FaultSyntax},
	{"point first", `.5`, FaultSyntax},
	{"point last", `1.`, FaultSyntax},
	{"point then e", `1.e1`, FaultSyntax},
	{"e last", `1e`, FaultSyntax},
	{"e sign last", `1e+`, FaultSyntax},
	{"hexadecimal", `0x10`, FaultSyntax},
	{"comma last", `[1,]`, FaultSyntax},
	{"comma first", `[,1]`, FaultSyntax},
	{"comma alone", `[1,,2]`, FaultSyntax},
	{"no comma", `[1 2]`, FaultSyntax},
	{"member comma last", `{"a":1,}`, FaultSyntax},
	{"member no comma", `{"a":1"b":2}`, FaultSyntax},
	{"no colon", `{"a" 1}`, FaultSyntax},
	{"no value", `{"a":}`, FaultSyntax},
	{"no value, comma", `{"a":,"b":1}`, FaultSyntax},
	{"name not string", `{1:2}`, FaultSyntax},
	{"name unquoted", `{a:1}`, FaultSyntax},
	{"name single quotes", `{'a':1}`, FaultSyntax},
	{"wrong bracket", `[1}`, FaultSyntax},
	{"wrong brace", `{"a":1]`, FaultSyntax},
	{"bracket alone", `]`, FaultSyntax},
	{"colon in array", `["a":1]`, FaultSyntax},
	{"comment", `/**/1`, FaultSyntax},
	{"raw newline", "\"a\nb\"", FaultSyntax},
	{"raw tab", "\"a\tb\"", FaultSyntax},
	{"raw nul", "\"a\x00b\"", FaultSyntax},
	{"raw control in a long run", "\"abcdefghij\x1fklmnopq\"", FaultSyntax},
	{"vertical tab", "\v1", FaultSyntax},
	{"no-break space", "\u00a01", FaultSyntax},
	{"unknown escape", `"\x41"`, FaultSyntax},
	{"escape alone", `"\`, FaultSyntax},
	{"escape eats the quote", `"\"`, FaultSyntax},
	{"short u", `"\u12"`, FaultSyntax},
	{"u no hex", `"\u12g4"`, FaultSyntax},
	{"u sign", `"\u+123"`, FaultSyntax},
	{"open string", `"abc`, FaultSyntax},

	{"lone byte", "\"\xff\"", FaultUTF8},
	{"lone continuation", "\"\x80\"", FaultUTF8},
	{"cut sequence", "\"\xe6\xbc\"", FaultUTF8},
	{"overlong", "\"\xc0\xaf\"", FaultUTF8},
	{"surrogate as utf-8", "\"\xed\xa0\x80\"", FaultUTF8},
	{"beyond unicode", "\"\xf4\x90\x80\x80\"", FaultUTF8},
	{"in a name", "{\"\xff\":1}", FaultUTF8},

	{"high alone", `"\ud800"`, FaultSurrogate},
	{"low alone", `"\udc00"`, FaultSurrogate},
	{"low low", `"\udc00\udc00"`, FaultSurrogate},
	{"high high", `"\ud800\ud800"`, FaultSurrogate},
	{"high then text", `"\ud800abcdef"`, FaultSurrogate},
	{"high then escape", `"\ud800\n"`, FaultSurrogate},
	{"high then short", `"\ud800\u12"`, FaultSurrogate},

	{"129 bytes", strings.Repeat("9", 129), FaultNumber},
	{"129 bytes behind the point", "0." + strings.Repeat("0", 126) + "1", FaultNumber},
	{"too large", `1e309`, FaultNumber},
	{"just too large", `1.7976931348623158e308`, FaultNumber},
	{"just too large, more digits", `1.79769313486231571e308`, FaultNumber},
	{"too large by digits", `17976931348623158e292`, FaultNumber},
	{"too small", `1e-325`, FaultNumber},
	{"read as 0", `1e-324`, FaultNumber},
	{"read as 0, just", `0.24703282292062327e-323`, FaultNumber},
	{"read as 0, by the 31st digit", `2.470328229206232720882843964341e-324`, FaultNumber},
	{"read as 0, by the last digit", `2.4703282292062327208828439643411068618252990130716238221279284125033775363510437593264991818081799618989828234772285886546e-324`, FaultNumber},
	{"too small by zeros", `0.0001e-321`, FaultNumber},
	{"exponent overflow", `1e99999999999999999999`, FaultNumber},
	{"exponent wraps to 1", `1e18446744073709551617`, FaultNumber},

	{"depth 17", strings.Repeat("[", 17) + strings.Repeat("]", 17), FaultDepth},
	{"depth mixed", strings.Repeat(`{"a":[`, 9), FaultDepth},
	{"members 1025", object(1025), FaultMembers},

	{"two of a name", `{"a":1,"a":1}`, FaultDuplicate},
	{"two empty names", `{"":1,"":2}`, FaultDuplicate},
	{"one escaped", `{"a":1,"\u0061":2}`, FaultDuplicate},
	{"both escaped", `{"\n":1,"\u000a":2}`, FaultDuplicate},
	{"pair and text", `{"\ud83d\ude00":1,"😀":2}`, FaultDuplicate},
	{"slash", `{"/":1,"\/":2}`, FaultDuplicate},
	{"behind an object", `{"a":{"b":{"a":1}},"b":1,"a":2}`, FaultDuplicate},
	{"deep inside", `[[{"x":[{"a":1,"b":2,"a":3}]}]]`, FaultDuplicate},
	{"among many", strings.TrimSuffix(object(500), "}") + `,"n3":0}`, FaultDuplicate},
	{"among many, last", strings.TrimSuffix(object(500), "}") + `,"n499":0}`, FaultDuplicate},
}

// object is an object of n members n0, n1, …
func object(n int) string {
	var b strings.Builder
	b.WriteByte('{')
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(`"n` + itoa(i) + `":` + itoa(i))
	}
	return b.String() + "}"
}

func itoa(i int) string {
	b, _ := json.Marshal(i)
	return string(b)
}

func TestCheck(t *testing.T) {
	var v Validator
	for _, c := range cases {
		if got := v.Check([]byte(c.text), usual); got != c.want {
			t.Errorf("%s: %.60q: %v, want %v", c.name, c.text, got, c.want)
		}
		if got, _ := reference(c.text, usual); got != (c.want == nil) {
			t.Errorf("%s: the reference says %v", c.name, got)
		}
	}
}

func TestLimits(t *testing.T) {
	deep := func(n int) string { return strings.Repeat(`{"a":`, n) + "1" + strings.Repeat("}", n) }
	for _, c := range []struct {
		lim  Limits
		text string
		want *Fault
	}{
		{Limits{Depth: 1}, `[]`, nil},
		{Limits{Depth: 1}, `[[]]`, FaultDepth},
		{Limits{Depth: 1}, `[1,2,{}]`, FaultDepth},
		{Limits{Depth: 2}, `[[],[],{}]`, nil},
		{Limits{Depth: 100}, deep(100), nil},
		{Limits{Depth: 100}, deep(101), FaultDepth},
		{Limits{}, deep(10_000), nil},
		{Limits{}, strings.Repeat("[", 10_000), FaultSyntax},
		{Limits{Members: 1}, `[{"a":1},{"b":{"c":2}}]`, nil},
		{Limits{Members: 1}, `{"a":1,"b":2}`, FaultMembers},
		{Limits{Members: 10}, object(10), nil},
		{Limits{Members: 10}, object(11), FaultMembers},
		{Limits{}, object(20_000), nil},
	} {
		var v Validator
		if got := v.Check([]byte(c.text), c.lim); got != c.want {
			t.Errorf("%+v %.40q: %v, want %v", c.lim, c.text, got, c.want)
		}
	}
}

// TestNamesReused has one validator see objects of every size in each other, so
// that names go in and out of the table, and refused texts leave none behind.
func TestNamesReused(t *testing.T) {
	var v Validator
	inner := `1`
	for _, n := range []int{3, 8, 9, 10, 63, 64, 65, 200, 1000, 9, 2} {
		o := object(n)
		for _, at := range []int{0, n / 2, n - 1} {
			text := strings.Replace(o, `"n`+itoa(at)+`":`+itoa(at), `"n`+itoa(at)+`":`+inner, 1)
			check(t, &v, text, nil)
			twice := strings.TrimSuffix(text, "}") + `,"n` + itoa(at) + `":0}`
			if n < usual.Members {
				check(t, &v, twice, FaultDuplicate)
			}
			check(t, &v, text[:len(text)-1], FaultSyntax)
			if at == n-1 {
				inner = text
			}
		}
		if v.names.filled != 0 || len(v.names.open) != 0 || len(v.levels) != 0 {
			t.Fatalf("left behind: %d names, %d in the table, %d levels", len(v.names.open), v.names.filled, len(v.levels))
		}
		for slot, i := range v.names.table {
			if i != 0 {
				t.Fatalf("slot %d still holds %d", slot, i)
			}
		}
	}
}

// TestCollisions takes all or most bits out of the hashes: then only the
// comparison of the names themselves tells them apart.
func TestCollisions(t *testing.T) {
	for _, clear := range []uint64{^uint64(0), ^uint64(1), ^uint64(7)} {
		v := Validator{names: names{clear: clear}}
		for _, c := range cases {
			check(t, &v, c.text, c.want)
		}
		check(t, &v, `{"\u0061":1,"b":2,"\u0062c":3,"bc\n":4}`, nil)
		outer := object(20)
		check(t, &v, strings.Replace(outer, `"n15":15`, `"n15":`+outer, 1), nil)
		check(t, &v, `{"x\u0061":1,"b":2,"\u0078a":3}`, FaultDuplicate)
	}
}

func check(t *testing.T, v *Validator, text string, want *Fault) {
	t.Helper()
	if got := v.Check([]byte(text), usual); got != want {
		t.Fatalf("%.60q: %v, want %v", text, got, want)
	}
}

// TestPrefixes cuts texts short at every byte. What is left is a value only
// where a number may end.
func TestPrefixes(t *testing.T) {
	var v Validator
	for _, text := range samples() {
		for cut := range len(text) {
			prefix := text[:cut]
			got := v.Check([]byte(prefix), usual)
			want, _ := reference(prefix, usual)
			if (got == nil) != want {
				t.Fatalf("%q: %v, the reference says %v", prefix, got, want)
			}
		}
	}
}

// TestSplits gives both halves of every split: neither may lean on the other.
func TestSplits(t *testing.T) {
	var v Validator
	for _, text := range samples() {
		for cut := range len(text) + 1 {
			both := []byte(text)
			for _, half := range [][]byte{both[:cut:cut], both[cut:]} {
				got := v.Check(half, usual)
				if want, _ := reference(string(half), usual); (got == nil) != want {
					t.Fatalf("%q: %v, the reference says %v", half, got, want)
				}
			}
		}
	}
}

func samples() []string {
	return []string{
		`{"id":1,"publish":{"channel":"feeds:prices","data":{"symbol":"ACME","price":101.25,"n":-1.5e-7}}}`,
		`[true,false,null,"\u00e9\ud83d\ude00\n",{"a":{},"b":[],"c":"é漢😀"}, 0.0 , 1E+2 ]`,
		` { "a" : "b\\" , "c\"" : [ [ [ ] ] ] } `,
		object(12),
		`-12.50e+10`,
	}
}

// hostileTexts are texts that readers of JSON take for different things, or stumble over.
func hostileTexts() []string {
	return []string{
		`{"a":1,"\u0061":2}`, `{"k":1,"\u212a":2,"K":3}`, `{"é":1,"e\u0301":2,"\u00e9":3}`, `{"\u0000":0,"":1}`, `["\ud83d\ud83d\ude00"]`, `"\ude00\ud83d"`, `"\uD83D\u0041"`,
		"\"\xf0\x9f\x98\"", "\"\xc0\x80\"", "\"\xed\xa0\xbd\xed\xb8\x80\"", "\"\ufffd\xff\"", "\ufeff1", `[-0,-0.0,0e0,-0E-0,0e-400,0e400]`, `[1e308,1.7976931348623157e308,9e-324,2.5e-324,2.47e-324]`,
		`17976931348623157` + strings.Repeat("0", 110), `0.` + strings.Repeat("0", 110) + `1e-200`, `1` + strings.Repeat("0", 100) + `e-424`, `1e0000000000000000001`, `1e-9223372036854775808`, `-9223372036854775808`,
		strings.Repeat(`[{"a":`, 20) + `1` + strings.Repeat(`}]`, 20), strings.Repeat(" ", 9) + `[` + strings.Repeat(`"x",`, 40) + "1]\r\n\t ", object(9), object(70),
	}
}

func FuzzCheck(f *testing.F) {
	for _, c := range cases {
		f.Add([]byte(c.text), uint8(16), uint8(10))
	}
	for _, text := range append(samples(), hostileTexts()...) {
		f.Add([]byte(text), uint8(0), uint8(0))
	}
	v := Validator{names: names{clear: ^uint64(0xff)}}
	f.Fuzz(func(t *testing.T, b []byte, depth, members uint8) {
		lim := Limits{Depth: int(depth), Members: int(members)}
		if depth == 0 {
			lim.Depth = 10_000 // where encoding/json ends, which is the reference
		}
		fault := v.Check(b, lim)
		accepted, why := reference(string(b), lim)
		if accepted != (fault == nil) {
			t.Fatalf("%q: %v, the reference: %v (%s)", b, fault, accepted, why)
		}
		if again := v.Check(b, lim); again != fault {
			t.Fatalf("%q: %v, then %v", b, fault, again)
		}
		if fault == nil {
			sameMeaning(t, b)
		}
	})
}
