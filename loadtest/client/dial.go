package client

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"weir/engine/poll"
)

// Target is where to connect. It is plain data, so that one process can hand it
// to another.
type Target struct {
	URL     string // wss://host:port/path?query
	Origin  string // "": https and the host of the URL
	CAs     []byte // PEM, added to the system's; nil: the system's alone
	Timeout time.Duration
	// Subprotocols are offered in this order.
	Subprotocols []string
	// Congestion is the congestion control of the sockets by name; "": the system's.
	Congestion string
	// Sources spreads the connections over loopback addresses, so many on each; 0: the system chooses.
	// Only for a server on an IPv4 loopback address.
	Sources int
	// Source0 is the number of the first source address: each process has its own.
	Source0 int
	// Groups are offered for the key exchange, the server chooses (RFC 8446 §4.2.7); none: those of crypto/tls.
	Groups []tls.CurveID
	// ReceiveBytes is the kernel's receive buffer; 0: the system's.
	ReceiveBytes int
	// Pins are SHA-256 digests of public keys, of which one must be in the verified chain; none: any will do.
	Pins [][]byte
}

// errPin means that the chain is good but holds none of the pinned keys.
var errPin = errors.New("no key of the server's certificate chain is one of the pins")

// Dialer opens connections to one target. It is safe for concurrent use.
type Dialer struct {
	target Target
	host   string // of the URL, with the port if it has one
	path   string // with the query
	addr   netip.AddrPort
	tls    *tls.Config
}

// Groups are those of the names that crypto/tls and OpenSSL have for them; without names none.
func Groups(names []string) (groups []tls.CurveID, err error) {
	known := map[string]tls.CurveID{
		"X25519": tls.X25519, "X25519MLKEM768": tls.X25519MLKEM768, "P-256": tls.CurveP256, "P-384": tls.CurveP384, "P-521": tls.CurveP521,
	}
	for _, name := range names {
		group, ok := known[name]
		if !ok {
			return nil, fmt.Errorf("%q is none of %s", name, strings.Join(slices.Sorted(maps.Keys(known)), ", "))
		}
		groups = append(groups, group)
	}
	return groups, nil
}

// NewDialer resolves the target's address.
func NewDialer(ctx context.Context, t Target) (*Dialer, error) {
	u, err := url.Parse(t.URL)
	switch {
	case err != nil:
		return nil, err
	case u.Scheme != "wss":
		return nil, fmt.Errorf("%s: the scheme must be wss", t.URL)
	case u.User != nil || u.Fragment != "":
		return nil, fmt.Errorf("%s: only host, path and query", u.Redacted())
	}
	port := u.Port()
	if port == "" {
		port = "443"
	}
	addr, err := Resolve(ctx, net.JoinHostPort(u.Hostname(), port))
	if err != nil {
		return nil, err
	}
	d := &Dialer{target: t, host: u.Host, path: u.RequestURI(), addr: addr}
	d.tls = &tls.Config{ServerName: u.Hostname(), NextProtos: []string{"http/1.1"}, MinVersion: tls.VersionTLS13, CurvePreferences: t.Groups}
	if t.CAs != nil {
		roots, err := x509.SystemCertPool()
		if err != nil {
			roots = x509.NewCertPool()
		}
		if !roots.AppendCertsFromPEM(t.CAs) {
			return nil, errors.New("the CA file holds no certificate")
		}
		d.tls.RootCAs = roots
	}
	d.tls.VerifyConnection = Pinned(t.Pins)
	if d.target.Origin == "" {
		d.target.Origin = "https://" + u.Host
	}
	return d, nil
}

// Resolve finds the address of host:port. localhost may be loaded without being
// asked for: it is this machine, or it is refused.
func Resolve(ctx context.Context, hostPort string) (netip.AddrPort, error) {
	host, port, err := net.SplitHostPort(hostPort)
	if err != nil {
		return netip.AddrPort{}, err
	}
	resolved, err := new(net.Resolver).LookupNetIP(ctx, "ip", host)
	if err != nil {
		return netip.AddrPort{}, err
	}
	addr, err := chosen(host, resolved)
	if err != nil {
		return netip.AddrPort{}, err
	}
	return netip.ParseAddrPort(net.JoinHostPort(addr.String(), port))
}

func chosen(host string, resolved []netip.Addr) (netip.Addr, error) {
	addr := resolved[0].Unmap()
	if host == "localhost" && !addr.IsLoopback() {
		return addr, fmt.Errorf("localhost is %s here, which is not this machine", addr)
	}
	return addr, nil
}

// Pinned is a tls.Config's VerifyConnection, which is asked when a session is
// resumed too; nil without pins.
func Pinned(pins [][]byte) func(tls.ConnectionState) error {
	if len(pins) == 0 {
		return nil
	}
	return func(s tls.ConnectionState) error { return checkPins(pins, s.VerifiedChains) }
}

// checkPins accepts verified chains that hold a pinned key.
func checkPins(pins [][]byte, chains [][]*x509.Certificate) error {
	for _, chain := range chains {
		for _, cert := range chain {
			sum := sha256.Sum256(cert.RawSubjectPublicKeyInfo)
			if slices.ContainsFunc(pins, func(pin []byte) bool { return bytes.Equal(pin, sum[:]) }) {
				return nil
			}
		}
	}
	return errPin
}

// Loopback tells whether the target is this machine.
func (d *Dialer) Loopback() bool { return d.addr.Addr().IsLoopback() }

// Resuming returns a Dialer that offers session tickets: those which its own
// connections were given, kept for the newest of them.
func (d *Dialer) Resuming() *Dialer {
	r := *d
	r.tls = d.tls.Clone()
	r.tls.ClientSessionCache = tls.NewLRUClientSessionCache(0)
	return &r
}

// With returns a Dialer whose requests have a query ("?a=b") behind the URL's own.
func (d *Dialer) With(query string) *Dialer {
	r := *d
	if strings.Contains(d.path, "?") {
		query = strings.Replace(query, "?", "&", 1)
	}
	r.path += query
	return &r
}

// Timing is how long the steps of a Dial took.
type Timing struct {
	Connect, Handshake, Upgrade time.Duration
	Resumed                     bool
}

// Dial makes connection i of this process: TCP, TLS, upgrade. header holds more
// lines of the request head, each with its CRLF.
func (d *Dialer) Dial(ctx context.Context, i int, header string) (*Line, Timing, error) {
	var took Timing
	start := time.Now()
	raw, err := poll.Dial(ctx, d.source(i), d.addr, poll.SocketOptions{Congestion: d.target.Congestion})
	if err != nil {
		return nil, took, err
	}
	l, err := d.establish(ctx, raw, header, start, &took)
	if err != nil {
		return nil, took, errors.Join(err, raw.Close())
	}
	return l, took, nil
}

func (d *Dialer) source(i int) netip.AddrPort {
	if d.target.Sources == 0 || !d.addr.Addr().Is4() || !d.Loopback() {
		return netip.AddrPort{}
	}
	n := d.target.Source0 + i/d.target.Sources
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, byte(1 + n/250/250%250), byte(n / 250 % 250), byte(1 + n%250)}), 0)
}

func (d *Dialer) establish(ctx context.Context, raw *net.TCPConn, header string, start time.Time, took *Timing) (*Line, error) {
	if d.target.ReceiveBytes > 0 {
		if err := raw.SetReadBuffer(d.target.ReceiveBytes); err != nil {
			return nil, err
		}
	}
	stop := context.AfterFunc(ctx, func() { _ = raw.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if d.target.Timeout > 0 {
		if err := raw.SetDeadline(start.Add(d.target.Timeout)); err != nil {
			return nil, err
		}
	}
	connected := time.Now()
	took.Connect = connected.Sub(start)
	l := &Line{tap: tap{TCPConn: raw}, buf: make([]byte, lineBytes)}
	config := d.tls.Clone()
	config.KeyLogWriter = &l.secrets
	l.tls = tls.Client(&l.tap, config)
	if err := l.tls.HandshakeContext(ctx); err != nil {
		return nil, err
	}
	l.tap.counting = true
	state := l.tls.ConnectionState()
	l.suite, took.Resumed = state.CipherSuite, state.DidResume
	shaken := time.Now()
	took.Handshake = shaken.Sub(connected)
	if err := l.upgrade(d, header); err != nil {
		return nil, err
	}
	took.Upgrade = time.Since(shaken)
	return l, nil
}

// head is the request.
func (d *Dialer) head(key, more string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "GET %s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"+
		"Sec-WebSocket-Key: %s\r\nOrigin: %s\r\n", d.path, d.host, key, d.target.Origin)
	if len(d.target.Subprotocols) > 0 {
		fmt.Fprintf(&b, "Sec-WebSocket-Protocol: %s\r\n", strings.Join(d.target.Subprotocols, ", "))
	}
	return b.String() + more + "\r\n"
}
