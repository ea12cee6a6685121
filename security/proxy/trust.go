package proxy

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"net/netip"
)

// Fault is why a proxied connection is refused. All are static values.
type Fault struct {
	Label  string // metric label, out of a closed list
	Reason string // for the operator; holds nothing of what was sent
}

func (f *Fault) Error() string { return "proxy: " + f.Reason }

// What a proxied connection is refused for.
var (
	ErrUntrusted = &Fault{"untrusted", "the peer is no trusted proxy"}
	ErrHeader    = &Fault{"proxy_header", "malformed PROXY protocol header"}
	ErrTooLong   = &Fault{"proxy_header_too_long", "PROXY protocol header too long"}
	ErrFamily    = &Fault{"proxy_family", "the PROXY protocol header is not about TCP"}
	ErrPlain     = &Fault{"plain", "the client did not come over TLS"}
	ErrForwarded = &Fault{"forwarded", "malformed X-Forwarded-For or X-Forwarded-Proto"}
	ErrSecret    = &Fault{"secret", "the proxy did not show its secret"}
)

// Trust says which peers are proxies. The zero value believes nobody. Immutable;
// any goroutine.
type Trust struct {
	prefixes []netip.Prefix
	secret   [sha256.Size]byte
	secured  bool
}

// NewTrust trusts peers within prefixes, that also show secret where it is not
// "".
func NewTrust(prefixes []netip.Prefix, secret string) *Trust {
	t := &Trust{secured: secret != "", secret: sha256.Sum256([]byte(secret))}
	for _, p := range prefixes {
		if p.Addr().Is4In6() && p.Bits() >= 96 {
			p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
		}
		t.prefixes = append(t.prefixes, p.Masked())
	}
	return t
}

// Trusts reports whether peer is a proxy, as far as its address tells.
func (t *Trust) Trusts(peer netip.Addr) bool {
	peer = peer.Unmap().WithZone("")
	for _, p := range t.prefixes {
		if p.Contains(peer) {
			return true
		}
	}
	return false
}

// Proven reports whether shown, the value of the proxy's secret header (nil:
// none), is the secret. Without a secret everything is.
func (t *Trust) Proven(shown []byte) bool {
	if !t.secured {
		return true
	}
	hash := sha256.Sum256(shown)
	return subtle.ConstantTimeCompare(hash[:], t.secret[:]) == 1
}

// Secured reports whether a secret is asked for.
func (t *Trust) Secured() bool { return t.secured }

// maxForwarded bounds the entries of X-Forwarded-For that are looked at.
const maxForwarded = 32

// Client returns the address of the client: the right-most entry of
// X-Forwarded-For that is no trusted proxy. What stands left of it is the client's
// own word and is not looked at. fields are the header's values in the order in
// which they came; peer is the connection's other end, which must be trusted.
func (t *Trust) Client(peer netip.Addr, fields [][]byte) (netip.Addr, *Fault) {
	if !t.Trusts(peer) {
		return netip.Addr{}, ErrUntrusted
	}
	seen := 0
	for i := len(fields) - 1; i >= 0; i-- {
		for rest := fields[i]; rest != nil; {
			var entry []byte
			rest, entry = cutLast(rest)
			addr, ok := parseEntry(entry)
			if seen++; !ok || seen > maxForwarded {
				return netip.Addr{}, ErrForwarded
			}
			if !t.Trusts(addr) {
				return addr, nil
			}
		}
	}
	return netip.Addr{}, ErrForwarded // nothing but proxies, or nothing at all
}

// Via names the proxies between the client that Client returned and here, peer
// last, by commas.
func (t *Trust) Via(peer netip.Addr, fields [][]byte) string {
	via := peer.Unmap().String()
	for i := len(fields) - 1; i >= 0; i-- {
		for rest := fields[i]; rest != nil; {
			var entry []byte
			rest, entry = cutLast(rest)
			addr, ok := parseEntry(entry)
			if !ok || !t.Trusts(addr) || len(via) > maxForwarded*len("255.255.255.255,") {
				return via
			}
			via = addr.String() + "," + via
		}
	}
	return via
}

// cutLast parts the entry behind the last comma from what stands before it; nil
// if nothing does.
func cutLast(list []byte) (before, last []byte) {
	i := bytes.LastIndexByte(list, ',')
	if i < 0 {
		return nil, list
	}
	return list[:i:i], list[i+1:]
}

// parseEntry reads an address, perhaps with a port: 192.0.2.1, 192.0.2.1:80,
// 2001:db8::1, [2001:db8::1] or [2001:db8::1]:80.
func parseEntry(entry []byte) (netip.Addr, bool) {
	entry = bytes.Trim(entry, " \t")
	const longest = len("[ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255]:65535")
	if len(entry) == 0 || len(entry) > longest {
		return netip.Addr{}, false
	}
	text := string(entry)
	if a, err := netip.ParseAddrPort(text); err == nil {
		return plain(a.Addr())
	}
	if n := len(text); n > 2 && text[0] == '[' && text[n-1] == ']' {
		text = text[1 : n-1]
		if a, err := netip.ParseAddr(text); err != nil || !a.Is6() {
			return netip.Addr{}, false
		}
	}
	a, err := netip.ParseAddr(text)
	if err != nil {
		return netip.Addr{}, false
	}
	return plain(a)
}

// plain is an address as limits know it; one with a zone is none of a client.
func plain(a netip.Addr) (netip.Addr, bool) { return a.Unmap(), a.Zone() == "" && a.IsValid() }

// Secure reports whether X-Forwarded-Proto says that the client came over TLS.
// fields are the header's values; there must be one, and it must name one scheme:
// of several nobody knows which proxy saw which.
func Secure(fields [][]byte) *Fault {
	if len(fields) != 1 {
		return ErrForwarded
	}
	switch value := string(bytes.ToLower(bytes.Trim(fields[0], " \t"))); value {
	case "https", "wss":
		return nil
	case "http", "ws":
		return ErrPlain
	}
	return ErrForwarded
}
