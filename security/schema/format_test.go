package schema

import (
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"time"
)

// formatOracles are the formats in their most naive form, over the grammars of
// the RFCs and the standard library.
var formatOracles = map[string]func(string) bool{
	"date-time": dateTimeOracle,
	"date": func(text string) bool {
		_, err := time.Parse("2006-01-02", text)
		return err == nil
	},
	"uuid": regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`).MatchString,
	"email": func(text string) bool {
		local, domain, _ := cutLast(text, "@")
		if address, ok := strings.CutPrefix(domain, "[IPv6:"); ok {
			address, ok = strings.CutSuffix(address, "]")
			return ok && len(text) <= 254 && len(local) <= 64 && localGrammar.MatchString(local) && ipv6Oracle(address)
		}
		return len(text) <= 254 && len(local) <= 64 && localGrammar.MatchString(local) && domainGrammar.MatchString(domain) && len(domain) <= 253
	},
	"uri": func(text string) bool {
		host := hostGrammar.FindStringSubmatch(text)
		return uriGrammar.MatchString(text) && (host == nil || ipv6Oracle(host[1]))
	},
	"ipv4": ipv4Grammar.MatchString,
	"ipv6": ipv6Oracle,
}

const ipv4Text = `((25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])\.){3}(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])`

var (
	dateTimeGrammar = regexp.MustCompile(`^\d{4}-\d\d-\d\dT([01]\d|2[0-3]):[0-5]\d:([0-5]\d|60)(\.\d+)?(Z|[+-]([01]\d|2[0-3]):[0-5]\d)$`)
	localGrammar    = regexp.MustCompile("^(\"[ !#-\\[\\]-~]*\"|[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(\\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*)$")
	ipv4Grammar     = regexp.MustCompile("^" + ipv4Text + "$")
	domainGrammar   = regexp.MustCompile(`^([A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*|\[` + ipv4Text + `\])$`)

	hostGrammar = regexp.MustCompile(`\[([0-9A-Fa-f:.]*)\]`)
	// uriGrammar is RFC 3986 appendix A, but for the inside of IPv6 addresses.
	uriGrammar = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9+.-]*:` +
		`(//((%[0-9A-Fa-f]{2}|[A-Za-z0-9._~!$&'()*+,;=:-])*@)?` +
		`(\[([0-9A-Fa-f:.]+|[vV][0-9A-Fa-f]+\.[A-Za-z0-9._~!$&'()*+,;=:-]+)\]|(%[0-9A-Fa-f]{2}|[A-Za-z0-9._~!$&'()*+,;=-])*)` +
		`(:[0-9]*)?(/(%[0-9A-Fa-f]{2}|[A-Za-z0-9._~!$&'()*+,;=:@-])*)*` +
		`|/((%[0-9A-Fa-f]{2}|[A-Za-z0-9._~!$&'()*+,;=:@-])+(/(%[0-9A-Fa-f]{2}|[A-Za-z0-9._~!$&'()*+,;=:@-])*)*)?` +
		`|(%[0-9A-Fa-f]{2}|[A-Za-z0-9._~!$&'()*+,;=:@-])+(/(%[0-9A-Fa-f]{2}|[A-Za-z0-9._~!$&'()*+,;=:@-])*)*|)` +
		`(\?(%[0-9A-Fa-f]{2}|[A-Za-z0-9._~!$&'()*+,;=:@/?-])*)?(#(%[0-9A-Fa-f]{2}|[A-Za-z0-9._~!$&'()*+,;=:@/?-])*)?$`)
)

func cutLast(text, separator string) (before, after string, ok bool) {
	i := strings.LastIndex(text, separator)
	if i < 0 {
		return "", "", false
	}
	return text[:i], text[i+len(separator):], true
}

func ipv6Oracle(text string) bool {
	a, err := netip.ParseAddr(text)
	return err == nil && a.Is6() && a.Zone() == ""
}

func dateTimeOracle(text string) bool {
	text = strings.NewReplacer("t", "T", "z", "Z").Replace(text)
	if !dateTimeGrammar.MatchString(text) {
		return false
	}
	leap := text[17:19] == "60"
	if leap {
		text = text[:17] + "59" + text[19:]
	}
	at, err := time.Parse(time.RFC3339, text)
	return err == nil && (!leap || at.UTC().Hour() == 23 && at.UTC().Minute() == 59)
}

// formatTexts are texts that are of a format and texts that are not.
var formatTexts = map[string]struct{ of, not []string }{
	"date-time": {
		[]string{"2026-11-05T14:30:00Z", "2026-11-05t14:30:00z", "1963-06-19T08:30:06.283185Z", "2026-11-05T14:30:00.1+05:30", "2026-11-05T14:30:00-23:59",
			"1998-12-31T23:59:60Z", "1998-12-31T15:59:60.123-08:00", "1999-01-01T00:29:60+00:30", "1999-01-01T09:29:60+09:30", "0000-01-01T00:00:00Z", "2024-02-29T00:00:00Z", "2000-02-29T00:00:00Z"},
		[]string{"", "2026-11-05", "2026-11-05T14:30:00", "2026-11-05 14:30:00Z", "2026-11-05T14:30Z", "2026-11-05T24:00:00Z", "2026-11-05T14:60:00Z", "2026-11-05T14:30:61Z",
			"1998-12-31T23:58:60Z", "1998-12-31T22:59:60Z", "1999-01-01T00:29:60+00:29", "2026-11-05T14:30:00.Z", "2026-11-05T14:30:00+24:00", "2026-11-05T14:30:00+05:60", "2026-11-05T14:30:00+0530",
			"2026-11-05T14:30:00ZZ", "2026-11-05T14:30:00.1", "2026-02-29T00:00:00Z", "1900-02-29T00:00:00Z", "2026-11-05T+1:30:00Z", "2026-11-05T14:30:0Z", "06/19/1963 08:30:06 PST",
			"2013-350T01:01:01", "1963-06-1৪T00:00:00Z", "2026-11-05T14:30:00+5:300", "2026-11-05T14-30-00Z", "2026-11-05T14:30:00z0"},
	},
	"date": {
		[]string{"2026-11-05", "2024-02-29", "2000-02-29", "2026-12-31", "0000-02-29"},
		[]string{"", "2026-11-5", "2026-13-01", "2026-00-01", "2026-01-00", "2026-04-31", "2023-02-29", "1900-02-29", "2026-11-05Z", "2026/11/05", "20261105", "a026-11-05", "2026-11-0b", "+026-11-05"},
	},
	"uuid": {
		[]string{"2EB8AA08-AA98-11EA-B4AA-73B441D16380", "2eb8aa08-aa98-11ea-b4aa-73b441d16380", "00000000-0000-0000-0000-000000000000", "2eb8aa08-aa98-f1ea-f4aa-73b441d16380"},
		[]string{"", "2eb8aa08-aa98-11ea-b4aa-73b441d1638", "2eb8aa08-aa98-11ea-b4aa-73b441d163800", "2eb8aa08aa9811eab4aa73b441d16380", "2eb8aa08-aa98-11ea-b4aa73b441d163800", "2eb8-aa08-aa98-11ea-b4aa73b44-1d16380",
			"ghb8aa08-aa98-11ea-b4aa-73b441d16380", "2eb8aa08-aa98-11ea-b4aa-73b441d1638é", "2eb8aa08-aa98-11ea-b4aa-73b441d1638:", "2eb8aa08-aa98-11ea-b4aa-73b441d1638@"},
	},
	"email": {
		[]string{"joe.bloggs@example.com", "te~st@example.com", "~test@example.com", "test~@example.com", "te.s.t@example.com", `"joe bloggs"@example.com`, `"joe..bloggs"@example.com`, `"joe@bloggs"@example.com`,
			"joe@[127.0.0.1]", "joe@[IPv6:::1]", "a@b", `""@a`, strings.Repeat("a", 64) + "@b.c", "a@" + strings.Repeat("a", 63) + ".x", "a/b@c-d.e"},
		[]string{"", "2962", "@", "a@", "@b", ".test@example.com", "test.@example.com", "te..st@example.com", "joe@[127.0.0.300]", "joe@invalid=domain.com", "joe@-a.com", "joe@a-.com", "joe@a..com", "joe@.a", "joe@a.",
			`"@example.com`, `"a"b@example.com`, "\"a\x01\"@b", `"a\"b"@c`, `"a\\b"@c`, strings.Repeat("a", 65) + "@b.c", "a@" + strings.Repeat("a", 64), "a@" + strings.Repeat("a.", 130) + "a", "é@example.com", "a@é.com",
			"joe@[IPv6:1]", "joe@[]", "joe@[IPv6:::1", "a b@c", "a@b@c"},
	},
	"uri": {
		[]string{"http://foo.bar/?baz=qux#quux", "http://foo.com/blah_(wikipedia)_blah#cite-1", "http://foo.bar/?q=Test%20URL-encoded%20stuff", "http://xn--nw2a.xn--j6w193g/", "http://-.~_!$&'()*+,;=:%40:80%2f::::::@example.com",
			"http://223.255.255.254", "ftp://ftp.is.co.za/rfc/rfc1808.txt", "ldap://[2001:db8::7]/c=GB?objectClass?one", "mailto:John.Doe@example.com", "news:comp.infosystems.www.servers.unix", "tel:+1-816-555-1212",
			"urn:oasis:names:specification:docbook:dtd:xml:4.1.2", "a:", "a:/", "a:?q", "a:#f", "http://", "http://a:", "http://a:80/", "http://@/", "file:///etc/x", "http://[v1.a:b]/", "http://[::1]:80"},
		[]string{"", "//foo.bar/?baz=qux#quux", "/abc", `\\WINDOWS\fileshare`, "abc", "http:// shouldfail.com", ":// should fail", "bar,baz:foo", "https://[@example.org/test.txt", "https://example.org/foobar®.txt",
			`https://example.org/foobar\.txt`, `https://example.org/foobar".txt`, "https://example.org/foobar<>.txt", "https://example.org/foobar{}.txt", "https://example.org/foobar^.txt", "https://example.org/foobar`.txt",
			"https://example.org/foo bar.txt", "https://example.org/foobar|.txt", "1a:b", ":a", "http://a:8o/", "http://a%zz", "http://a/%2", "http://[::1", "http://[1]/", "http://[v.a]", "http://[v1.]", "http://[vg.a]",
			"http://[::1]x", "a:#b#c", "http://a@b@c", "http://a:b:c/", "http://[::1%25eth0]", "http://[v1.a@]"},
	},
	"ipv4": {
		[]string{"192.168.0.1", "0.0.0.0", "255.255.255.255", "100.10.1.0"},
		[]string{"", "127.0.0.0.1", "256.256.256.256", "127.0", "0x7f000001", "2130706433", "087.10.0.1", "87.10.0.1/24", "1২7.0.0.1", "1.2.3.", ".1.2.3", "1..2.3", "1.2.3.4.", " 1.2.3.4", "+1.2.3.4", "1.2.3.1000", "00.0.0.0"},
	},
	"ipv6": {
		[]string{"::1", "::", "1::", "1::d6:192.168.0.1", "::ffff:192.168.0.1", "1:2:3:4:5:6:7:8", "1:2:3:4:5:6:1.2.3.4", "::42:ff:1", "d6::", "1:2:3:4:5:6:7::", "::2:3:4:5:6:7:8", "1:d6::42", "abcd:EF01::", "1:2::1.2.3.4", "::1.2.3.4", "0001::"},
		[]string{"", "12345::", "::abcef", "1:1:1:1:1:1:1:1:1:1:1:1:1:1:1:1", "::laptop", ":2:3:4:5:6:7:8", "1:2:3:4:5:6:7:", ":2:3:4::8", "1::d6::42", "1::2:192.168.256.1", "1::2:192.168.ff.1", "::1:2:192.168.0.01", "1:2:3:4:5:::8", "1:2:3:4:5:6:7",
			"1", "127.0.0.1", "1:2:3:4:1.2.3", "  ::1", "::1  ", "fe80::/64", "fe80::a%eth1", "1000:1000:1000:1000:1000:1000:255.255.255.255.255", "100:100:100:100:100:100:100:255.255.255.255", "100:100:100:100:100:100:100:100:255.255.255.255",
			"1:2:3:4:5:6:7:৪", "1:2::192.16৪.0.1", ":", ":::", "1::2::", "::1.2.3.4:5", "1.2.3.4::", "1:2:3:4:5:6:7:8::", "::1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7::8", "1:2:3:4:5:6::1.2.3.4"},
	},
}

func TestFormats(t *testing.T) {
	for name, texts := range formatTexts {
		for _, text := range texts.of {
			checkFormat(t, name, text, true)
		}
		for _, text := range texts.not {
			checkFormat(t, name, text, false)
		}
	}
}

func checkFormat(t *testing.T, name, text string, want bool) {
	t.Helper()
	if got := formatNamed(name)([]byte(text)); got != want {
		t.Errorf("%s %q: %v", name, text, got)
	}
	if got := formatOracles[name](text); got != want {
		t.Errorf("%s %q: the oracle says %v", name, text, got)
	}
}

// TestFormatsChanged changes texts of a format at every place: the oracle says
// what they are then.
func TestFormatsChanged(t *testing.T) {
	for name, texts := range formatTexts {
		for _, text := range append(texts.of, texts.not...) {
			for i := range len(text) {
				for _, change := range []string{"", "0", "9", "2", ":", ".", "-", "f", "[", "]", "@", "%", "/", "é", "\x00", "+", "Z", "\""} {
					for _, changed := range []string{text[:i] + change + text[i+1:], text[:i] + change + text[i:], text[:i]} {
						if got, want := formatNamed(name)([]byte(changed)), formatOracles[name](changed); got != want {
							t.Fatalf("%s %q: %v, the oracle says %v", name, changed, got, want)
						}
					}
				}
			}
		}
	}
}

func FuzzFormats(f *testing.F) {
	for _, texts := range formatTexts {
		for _, text := range append(texts.of, texts.not...) {
			f.Add(text)
		}
	}
	f.Fuzz(func(t *testing.T, text string) {
		text = strings.ToValidUTF8(text, "x")
		for name, oracle := range formatOracles {
			if got, want := formatNamed(name)([]byte(text)), oracle(text); got != want {
				t.Fatalf("%s %q: %v, the oracle says %v", name, text, got, want)
			}
		}
	})
}
