// Package origin decides whether a browser's page may open a connection: the Origin header against a list of allowed
// origins (RFC 6454, RFC 6455 §10.2). It is the defence against a foreign page that connects with its visitor's standing.
//
// The mental model: an origin is a triple of scheme, host and port and nothing else (RFC 6454 §4). Both sides are brought to
// one spelling (§6.2): scheme and host in lower case, a default port left out. Then they are compared as a whole. There are no
// patterns, prefixes, suffixes or substrings: those are what attacks are made of. "null" is no triple and never allowed.
//
// A List is immutable and safe for concurrent use; a reload makes a new one. The nil and the zero List allow nothing.
// A missing Origin header is not this package's matter.
package origin

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// maxOrigin bounds one origin in bytes: a host has at most 253, so every real origin is shorter. Longer ones are
// refused before they are looked at.
const maxOrigin = 320

// List is a set of allowed origins.
type List struct {
	allowed map[string]struct{} // normal spelling
}

// Parse makes a List of an operator's words, for --allowed-origins. Its errors name the word and the mend. An empty
// list is legal and allows nothing.
func Parse(list []string) (*List, error) { return ParseFor("--allowed-origins", list) }

// ParseFor is Parse for another option, which its errors name.
func ParseFor(option string, list []string) (*List, error) {
	l := &List{allowed: make(map[string]struct{}, len(list))}
	for _, word := range list {
		if err := check(word); err != nil {
			return nil, fmt.Errorf("%s: %q %w", option, word, err)
		}
		var buf [maxOrigin]byte
		n, ok := normalise(&buf, []byte(word))
		if !ok {
			return nil, fmt.Errorf("%s: %q is not an origin; write scheme, host and port as in https://app.example.com:8443", option, word)
		}
		l.allowed[string(buf[:n])] = struct{}{}
	}
	return l, nil
}

// Allows tells whether the value of an Origin header is one of the list. It allocates nothing.
func (l *List) Allows(origin []byte) bool {
	if l == nil {
		return false
	}
	var buf [maxOrigin]byte
	n, ok := normalise(&buf, origin)
	if !ok {
		return false
	}
	_, ok = l.allowed[string(buf[:n])]
	return ok
}

// normalise writes the one spelling of an origin to dst: RFC 6454 §6.2. ok is false for what is not exactly
// scheme "://" host [":" port] (§7.1): a list of origins, a path, a user, white space, "null".
func normalise(dst *[maxOrigin]byte, origin []byte) (n int, ok bool) {
	if len(origin) > maxOrigin {
		return 0, false
	}
	scheme := 0
	for scheme < len(origin) && schemeByte(lower(origin[scheme]), scheme) {
		dst[scheme] = lower(origin[scheme])
		scheme++
	}
	const separator = "://"
	if scheme == 0 || !hasPrefix(origin[scheme:], separator) {
		return 0, false
	}
	host := scheme + copy(dst[scheme:], separator)
	end := hostEnd(origin, host)
	if end == host {
		return 0, false
	}
	for i := host; i < end; i++ {
		dst[i] = lower(origin[i])
	}
	if end == len(origin) {
		return end, true
	}
	port, ok := portNumber(origin[end:])
	if !ok {
		return 0, false
	}
	// §4, §6.2: the scheme's default port is the same as none.
	if port == defaultPort(dst[:scheme]) {
		return end, true
	}
	return end + copy(dst[end:], origin[end:]), true
}

// lower is the ASCII lower case of c. Other bytes stay: no Unicode folding, by which K (U+212A) would become k.
func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

// schemeByte: RFC 3986 §3.1, for a lower-case byte at place i.
func schemeByte(c byte, i int) bool {
	return 'a' <= c && c <= 'z' || i > 0 && ('0' <= c && c <= '9' || c == '+' || c == '-' || c == '.')
}

// hasPrefix compares without the copy that a conversion might make.
func hasPrefix(b []byte, prefix string) bool {
	return len(b) >= len(prefix) && string(b[:len(prefix)]) == prefix
}

// hostEnd answers where the host that starts at start ends; start itself if there is none. A host is letters, digits,
// '-', '_' and '.', as browsers serialise names (internationalised ones in their xn-- form), or an IPv6 address in brackets.
func hostEnd(origin []byte, start int) int {
	i := start
	if i < len(origin) && origin[i] == '[' {
		for i++; i < len(origin) && (isHex(origin[i]) || origin[i] == ':' || origin[i] == '.'); i++ {
		}
		if i == len(origin) || origin[i] != ']' {
			return start
		}
		return i + 1
	}
	for i < len(origin) && hostByte(lower(origin[i])) {
		i++
	}
	return i
}

func hostByte(c byte) bool {
	return 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '-' || c == '_' || c == '.'
}

func isHex(c byte) bool {
	c = lower(c)
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f'
}

// portNumber reads ":" and a port from 1 to 65535 without leading zeros.
func portNumber(b []byte) (port int, ok bool) {
	if len(b) < 2 || len(b) > len(":65535") || b[0] != ':' || b[1] == '0' {
		return 0, false
	}
	for _, c := range b[1:] {
		if c < '0' || c > '9' {
			return 0, false
		}
		port = 10*port + int(c-'0')
	}
	return port, port <= 65535
}

// defaultPort answers a scheme's default port, or 0: browsers leave only these out.
func defaultPort(scheme []byte) int {
	switch string(scheme) {
	case "http":
		return 80
	case "https":
		return 443
	}
	return 0
}

// check finds the mistakes that operators make, each with its mend. What it lets pass may still be no origin.
func check(word string) error {
	scheme, rest, ok := strings.Cut(word, "://")
	host, _, _ := strings.Cut(rest, ":")
	switch {
	case word == "":
		return errors.New("is empty: leave it out, or write an origin such as https://app.example.com")
	case strings.EqualFold(word, "null"):
		return errors.New("cannot be allowed: every sandboxed frame and local file sends it; serve the page from a host of its own and list that")
	case strings.Contains(word, "*"):
		return errors.New("has a wildcard, and origins are compared whole: list each origin")
	case strings.ContainsAny(word, " \t,"):
		return errors.New("holds white space or a comma: give each origin as a word of its own")
	case !ok:
		return fmt.Errorf("has no scheme: write https://%s", strings.TrimLeft(word, ":/"))
	case strings.EqualFold(scheme, "ws"), strings.EqualFold(scheme, "wss"):
		return fmt.Errorf("is the address of a socket: write the address of the page that connects, https://%s", rest)
	case strings.EqualFold(scheme, "file"):
		return errors.New("cannot be allowed: browsers send null for local files; serve the page over https and list that")
	case strings.ContainsAny(rest, "/?#\\"):
		return fmt.Errorf("has a path: write %s://%s", scheme, rest[:strings.IndexAny(rest, "/?#\\")])
	case strings.Contains(rest, "@"):
		return errors.New("holds a user: write only scheme, host and port")
	case strings.HasPrefix(rest, "["):
		return checkIPv6(rest)
	case numericHost(host):
		if a, err := netip.ParseAddr(host); err != nil || !a.Is4() {
			return errors.New("has a host that ends in a number and is no IPv4 address: write it as four decimal numbers")
		}
	}
	for _, c := range rest {
		if c >= 0x80 {
			return errors.New("has a host outside ASCII: write its xn-- form, which is what browsers send")
		}
	}
	return nil
}

// checkIPv6 wants the spelling that browsers send (RFC 5952), because that is what will be compared.
func checkIPv6(rest string) error {
	text, _, ok := strings.Cut(rest[1:], "]")
	a, err := netip.ParseAddr(text)
	if !ok || err != nil || !a.Is6() || a.Zone() != "" {
		return errors.New("has no valid IPv6 address in brackets: write it as in https://[2001:db8::1]:8443")
	}
	if want := browserIPv6(a); !strings.EqualFold(text, want) {
		return fmt.Errorf("has an IPv6 address that browsers write otherwise: write [%s]", want)
	}
	return nil
}

// browserIPv6 is the URL standard's serialisation: that of RFC 5952, but an IPv4 address inside stays hexadecimal.
func browserIPv6(a netip.Addr) string {
	if !a.Is4In6() {
		return a.String()
	}
	b := a.As16()
	high, low := int64(b[12])<<8|int64(b[13]), int64(b[14])<<8|int64(b[15])
	return "::ffff:" + strconv.FormatInt(high, 16) + ":" + strconv.FormatInt(low, 16)
}

// numericHost tells whether browsers take a host for an IPv4 address: its last label is a number, decimal or 0x.
func numericHost(host string) bool {
	host = strings.TrimSuffix(host, ".")
	last := strings.ToLower(host[strings.LastIndexByte(host, '.')+1:])
	digits := strings.TrimPrefix(last, "0x")
	if last == digits {
		return last != "" && strings.Trim(last, "0123456789") == ""
	}
	return strings.Trim(digits, "0123456789abcdef") == ""
}
