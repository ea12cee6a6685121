package origin

import (
	"net/netip"
	"net/url"
	"os"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// corpus reads a file of testdata: Go strings, one a line, and what stands behind "=".
func corpus(t testing.TB, file string) (values []string, same map[string]string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	same = make(map[string]string)
	for i, line := range strings.Split(string(text), "\n") {
		if line == "" || line[0] == '#' {
			continue
		}
		quoted, err := strconv.QuotedPrefix(line)
		if err != nil {
			t.Fatalf("%s:%d: %v", file, i+1, err)
		}
		value, _ := strconv.Unquote(quoted)
		values = append(values, value)
		if rest, ok := strings.CutPrefix(line[len(quoted):], " = "); ok {
			if same[value], err = strconv.Unquote(rest); err != nil {
				t.Fatalf("%s:%d: %v", file, i+1, err)
			}
		}
	}
	return values, same
}

// testList allows what testdata/allowed.txt allows, each origin once.
func testList(t testing.TB) (l *List, allowed, spellings []string) {
	t.Helper()
	spellings, same := corpus(t, "testdata/allowed.txt")
	for _, s := range spellings {
		if _, ok := same[s]; !ok {
			allowed = append(allowed, s)
		}
	}
	l, err := Parse(allowed)
	if err != nil {
		t.Fatal(err)
	}
	return l, allowed, spellings
}

func TestAllowed(t *testing.T) {
	l, allowed, spellings := testList(t)
	_, same := corpus(t, "testdata/allowed.txt")
	for _, s := range spellings {
		if !l.Allows([]byte(s)) {
			t.Errorf("%q is refused", s)
		}
		// As the only word of the list each spelling allows what it stands for, and nothing else of the list.
		one, err := Parse([]string{s})
		if err != nil {
			t.Errorf("%q: %v", s, err)
			continue
		}
		for _, other := range allowed {
			if want := other == s || other == same[s]; one.Allows([]byte(other)) != want {
				t.Errorf("%q alone, %q: allowed %v", s, other, !want)
			}
		}
	}
}

func TestBypassCorpus(t *testing.T) {
	l, _, _ := testList(t)
	bypasses, _ := corpus(t, "testdata/bypass.txt")
	if len(bypasses) < 200 {
		t.Fatalf("only %d attempts", len(bypasses))
	}
	for _, b := range bypasses {
		if l.Allows([]byte(b)) {
			t.Errorf("%q is allowed", b)
		}
	}
}

// wrongChecks are ways in which servers have compared origins.
var wrongChecks = map[string]func(origin, allowed string) bool{
	"substring":           strings.Contains,
	"prefix":              strings.HasPrefix,
	"suffix of the host":  func(o, a string) bool { _, host, _ := strings.Cut(a, "://"); return strings.HasSuffix(o, host) },
	"host without scheme": func(o, a string) bool { return hostname(o) != "" && hostname(o) == hostname(a) },
	"without the port": func(o, a string) bool {
		return scheme(o) == scheme(a) && hostname(o) == hostname(a) && hostname(o) != ""
	},
	"unescaped pattern":   func(o, a string) bool { ok, _ := regexp.MatchString("^"+a+"$", o); return ok },
	"pattern in the list": func(o, a string) bool { ok, _ := path.Match(o, a); return ok },
	"pattern, unanchored": func(o, a string) bool { ok, _ := regexp.MatchString(regexp.QuoteMeta(a), o); return ok },
	"Unicode folding":     func(o, a string) bool { return strings.EqualFold(o, a) },
	"trimmed":             func(o, a string) bool { return strings.TrimSpace(o) == a },
	"slash cut off":       func(o, a string) bool { return strings.TrimRight(o, "/") == a },
	"dot cut off":         func(o, a string) bool { return strings.TrimRight(o, ".") == a },
	"first of a list":     func(o, a string) bool { first, _, _ := strings.Cut(o, " "); return first == a },
	"any of a list": func(o, a string) bool {
		return slices.Contains(strings.FieldsFunc(o, func(r rune) bool { return r == ',' || r == ' ' }), a)
	},
	"up to a NUL":      func(o, a string) bool { first, _, _ := strings.Cut(o, "\x00"); return first == a },
	"percent decoded":  func(o, a string) bool { d, err := url.PathUnescape(o); return err == nil && d == a },
	"null is fine":     func(o, _ string) bool { return o == "null" },
	"empty is fine":    func(o, _ string) bool { return o == "" },
	"parsed leniently": func(o, a string) bool { u, err := url.Parse(o); return err == nil && u.Scheme+"://"+u.Host == a },
	"address by value": func(o, a string) bool {
		x, errX := netip.ParseAddr(hostname(o))
		y, errY := netip.ParseAddr(hostname(a))
		return errX == nil && errY == nil && x == y && scheme(o) == scheme(a)
	},
}

func hostname(o string) string {
	u, err := url.Parse(o)
	if err != nil {
		return ""
	}
	return u.Hostname()
}

func scheme(o string) string { s, _, _ := strings.Cut(o, "://"); return s }

// The corpus is good for something: each wrong way to compare falls for one of its attempts.
func TestCorpusCatchesWrongChecks(t *testing.T) {
	_, allowed, _ := testList(t)
	bypasses, _ := corpus(t, "testdata/bypass.txt")
	for name, check := range wrongChecks {
		if !slices.ContainsFunc(bypasses, func(b string) bool {
			return slices.ContainsFunc(allowed, func(a string) bool { return check(b, a) })
		}) {
			t.Errorf("no attempt gets past: %s", name)
		}
	}
}

// Cut short anywhere, with a byte more, or with any one byte changed, an allowed origin is refused, unless that is the same
// origin in another spelling.
func TestNeighbours(t *testing.T) {
	l, allowed, spellings := testList(t)
	triples := make(map[string]bool)
	for _, a := range allowed {
		triples[naiveTriple(a)] = true
	}
	try := func(s string) {
		if got := l.Allows([]byte(s)); got != triples[naiveTriple(s)] {
			t.Errorf("%q: allowed %v, the naive reading says otherwise", s, got)
		}
	}
	for _, s := range spellings {
		for i := range len(s) {
			try(s[:i])
			try(s[i+1:])
			for c := range 256 {
				try(s[:i] + string([]byte{byte(c)}) + s[i+1:])
				try(s[:i] + string([]byte{byte(c)}) + s[i:])
			}
		}
		for c := range 256 {
			try(s + string([]byte{byte(c)}))
		}
	}
}

var originPattern = regexp.MustCompile(`^([a-zA-Z][a-zA-Z0-9+.-]*)://([a-zA-Z0-9._-]+|\[[0-9a-fA-F:.]+\])(?::([1-9][0-9]{0,4}))?$`)

// naiveTriple is an origin as scheme, host and port by regular expression, or "".
func naiveTriple(o string) string {
	m := originPattern.FindStringSubmatch(o)
	if m == nil || len(o) > maxOrigin || strings.HasSuffix(o, "\n") {
		return ""
	}
	s, port := strings.ToLower(m[1]), m[3]
	if n, _ := strconv.Atoi(port); n > 65535 {
		return ""
	}
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[s]
	}
	return s + "|" + strings.ToLower(m[2]) + "|" + port
}

func TestNothingIsAllowedByDefault(t *testing.T) {
	empty, err := Parse(nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range []*List{nil, {}, empty} {
		for _, o := range []string{"", "null", "https://app.example.com"} {
			if l.Allows([]byte(o)) {
				t.Errorf("%q is allowed by an empty list", o)
			}
		}
	}
}

func TestParseErrors(t *testing.T) {
	cases := []struct{ word, mend string }{
		{"", "leave it out"},
		{"null", "host of its own"},
		{"*", "list each origin"},
		{"https://*.example.com", "list each origin"},
		{"https://a.example https://b.example", "a word of its own"},
		{"https://a.example,https://b.example", "a word of its own"},
		{"app.example.com", "write https://app.example.com"},
		{"//app.example.com", "write https://app.example.com"},
		{"localhost:3000", "write https://localhost:3000"},
		{"wss://app.example.com", "https://app.example.com"},
		{"WS://app.example.com", "https://app.example.com"},
		{"file:///home/x/index.html", "serve the page over https"},
		{"https://app.example.com/", "write https://app.example.com"},
		{"https://app.example.com/app?x", "write https://app.example.com"},
		{"https://user:pass@app.example.com", "only scheme, host and port"},
		{"https://bücher.example", "xn--"},
		{"https://192.0.2", "four decimal numbers"},
		{"https://192.0.2.007", "four decimal numbers"},
		{"https://0x7f000001", "four decimal numbers"},
		{"https://127.1:8443", "four decimal numbers"},
		{"https://[2001:db8::1", "in brackets"},
		{"https://[::1%eth0]", "in brackets"},
		{"https://[192.0.2.7]", "in brackets"},
		{"https://[2001:db8:0:0::1]", "write [2001:db8::1]"},
		{"https://[::ffff:192.0.2.7]", "write [::ffff:c000:207]"},
		{"https://", "as in https://"},
		{"://a.example", "as in https://"},
		{"https://" + strings.Repeat("a", maxOrigin), "as in https://"},
		{"https://:8443", "as in https://"},
		{"https://a.example:", "as in https://"},
		{"https://a.example:0", "as in https://"},
		{"https://a.example:65536", "as in https://"},
		{"https://a.example:https", "as in https://"},
		{"1ttps://a.example", "as in https://"},
		{"https://a.example!", "as in https://"},
	}
	for _, c := range cases {
		l, err := Parse([]string{"https://app.example.com", c.word})
		if err == nil || l != nil {
			t.Errorf("%q is taken", c.word)
			continue
		}
		for _, want := range []string{"--allowed-origins", strconv.Quote(c.word), c.mend} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%q: the message %q does not name %s", c.word, err, want)
			}
		}
	}
}

// The room for one origin is used to its last byte and no further.
func TestLongest(t *testing.T) {
	for size := maxOrigin - 10; size <= maxOrigin+10; size++ {
		for _, end := range []string{"", ":8443"} {
			long := "https://" + strings.Repeat("a", size-len("https://")-len(end)) + end
			l, err := Parse([]string{long})
			if (err == nil) != (size <= maxOrigin) || err == nil && !l.Allows([]byte(long)) {
				t.Errorf("%d bytes: %v", size, err)
			}
		}
		if l, err := Parse([]string{"https://a"}); err != nil || l.Allows([]byte(strings.Repeat("a", size)+"://a")) {
			t.Errorf("scheme of %d bytes: %v", size, err)
		}
	}
}

func TestNoAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("allocations are counted without the race detector")
	}
	l, _, spellings := testList(t)
	bypasses, _ := corpus(t, "testdata/bypass.txt")
	for _, s := range append(spellings, append(bypasses, strings.Repeat("a", 300)+"://b:80")...) {
		origin := []byte(s)
		if n := testing.AllocsPerRun(10, func() { l.Allows(origin) }); n != 0 {
			t.Errorf("%.60q allocates %v times", s, n)
		}
	}
}

// FuzzAllows: against a regular expression, and against net/url for what is allowed.
func FuzzAllows(f *testing.F) {
	l, allowed, spellings := testList(f)
	bypasses, _ := corpus(f, "testdata/bypass.txt")
	for _, s := range append(spellings, bypasses...) {
		f.Add(s)
	}
	for _, s := range []string{
		"https://app.example.com:443", "https://app.example.com:0443", "HTTPS://APP.EXAMPLE.COM", "https://app.example.com.", "https://app.example.com:80", "http://app.example.com:443", "https://app.example.com\n", "https://app.example.com\x00",
		"https://\u212aapp.example.com", "https://app.example.co\u217f", "https://a@app.example.com", "https://app.example.com:", "https://app.example.com:65979", "https://[::1]:443", "https+x://app.example.com", "https://app%2eexample.com", "https:\\\\app.example.com",
	} {
		f.Add(s)
	}
	triples := make(map[string]bool)
	for _, a := range allowed {
		triples[naiveTriple(a)] = true
	}
	f.Fuzz(func(t *testing.T, o string) {
		got := l.Allows([]byte(o))
		if triple := naiveTriple(o); got != triples[triple] {
			t.Fatalf("%q: %v, naive %q", o, got, triple)
		}
		if !got {
			return
		}
		u, err := url.Parse(o)
		if err != nil || u.User != nil || u.Path != "" || u.RawQuery != "" || u.Fragment != "" {
			t.Fatalf("%q is allowed, and net/url reads %+v, %v", o, u, err)
		}
	})
}

// FuzzParse: a word that is taken allows itself, and never the world.
func FuzzParse(f *testing.F) {
	_, _, spellings := testList(f)
	for _, s := range append(spellings, "null", "*", "https://[::1]", "https://a.example:") {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, word string) {
		l, err := Parse([]string{word})
		if err != nil {
			if !strings.HasPrefix(err.Error(), "--allowed-origins: ") {
				t.Fatalf("%q: %v", word, err)
			}
			return
		}
		if !l.Allows([]byte(word)) || l.Allows([]byte("https://evil.example")) != (naiveTriple(word) == "https|evil.example|443") || l.Allows([]byte("null")) {
			t.Fatalf("%q", word)
		}
	})
}

func BenchmarkAllows(b *testing.B) {
	l, _, _ := testList(b)
	o := []byte("https://app.example.com")
	b.ReportAllocs()
	for b.Loop() {
		if !l.Allows(o) {
			b.Fatal("refused")
		}
	}
}
