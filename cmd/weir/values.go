package main

import (
	"errors"
	"fmt"
	"math"
	"net"
	"net/netip"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// The types of option values. Each reads its own text and says in its error
// how a right one looks; the option's name is put before it by the parser.

// text is a string that is taken as it stands.
type text string

func (t *text) UnmarshalText(b []byte) error { *t = text(b); return nil }

// path is a file name. One that comes from the YAML file is relative to that file.
type path string

func (p *path) UnmarshalText(b []byte) error {
	if len(b) == 0 {
		*p = ""
		return nil
	}
	*p = path(filepath.Clean(string(b)))
	return nil
}

// count is a whole number, 0 or more.
type count int

func (c *count) UnmarshalText(b []byte) error {
	n, err := strconv.Atoi(strings.ReplaceAll(string(b), "_", ""))
	if err != nil || n < 0 || n > math.MaxInt32 {
		return fmt.Errorf("%q is not a whole number between 0 and %d", b, math.MaxInt32)
	}
	*c = count(n)
	return nil
}

// size is a number of bytes.
type size int

func (s *size) UnmarshalText(b []byte) error {
	n, err := parseSize(string(b))
	*s = size(n)
	return err
}

// String writes the size in the largest unit that divides it.
func (s size) String() string {
	for _, u := range []struct {
		name  string
		bytes size
	}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}} {
		if s >= u.bytes && s%u.bytes == 0 {
			return strconv.Itoa(int(s/u.bytes)) + " " + u.name
		}
	}
	return strconv.Itoa(int(s))
}

// sizeUnit holds the units a size may be written in, in lower case.
func sizeUnit(unit string) (float64, bool) {
	switch unit {
	case "", "b":
		return 1, true
	case "kib":
		return 1 << 10, true
	case "mib":
		return 1 << 20, true
	case "gib":
		return 1 << 30, true
	case "kb":
		return 1e3, true
	case "mb":
		return 1e6, true
	case "gb":
		return 1e9, true
	}
	return 0, false
}

func parseSize(s string) (int, error) {
	number, unit := splitUnit(s)
	factor, known := sizeUnit(strings.ToLower(unit))
	n, err := strconv.ParseFloat(number, 64)
	if err != nil || !known || math.IsNaN(n) || n < 0 || n*factor > 1<<50 {
		return 0, fmt.Errorf("%q is not a size; write bytes or a unit, as in 65536, 64KiB, 1MiB", s)
	}
	return int(n * factor), nil
}

// splitUnit parts the leading number of s from what follows it.
func splitUnit(s string) (number, unit string) {
	s = strings.TrimSpace(s)
	end := strings.IndexFunc(s, func(r rune) bool { return (r < '0' || r > '9') && r != '.' })
	if end < 0 {
		return s, ""
	}
	return s[:end], strings.TrimSpace(s[end:])
}

// rate is a number of events per second.
type rate float64

func (r *rate) UnmarshalText(b []byte) error {
	number, per := splitUnit(string(b))
	n, err := strconv.ParseFloat(number, 64)
	if err != nil || math.IsNaN(n) || n < 0 || n > 1e9 {
		return badRate(b)
	}
	switch per {
	case "", "/s":
	case "/m":
		n /= 60
	case "/h":
		n /= 3600
	default:
		return badRate(b)
	}
	*r = rate(n)
	return nil
}

// factor multiplies something.
type factor float64

func (f *factor) UnmarshalText(b []byte) error {
	n, err := strconv.ParseFloat(string(b), 64)
	if err != nil || math.IsNaN(n) || n < 0 || n > 1e6 {
		return fmt.Errorf("%q is no factor; write a number, as in 0.5 or 2", b)
	}
	*f = factor(n)
	return nil
}

func badRate(b []byte) error {
	return fmt.Errorf("%q is not a rate; write a number per second, minute or hour, as in 50/s, 300/m", b)
}

// byteRate is a number of bytes per second.
type byteRate float64

func (r *byteRate) UnmarshalText(b []byte) error {
	amount := strings.TrimSuffix(strings.TrimSpace(string(b)), "/s")
	n, err := parseSize(amount)
	if err != nil {
		return fmt.Errorf("%q is not a byte rate; write bytes per second, as in 1MiB/s, 65536/s", b)
	}
	*r = byteRate(n)
	return nil
}

// span is a length of time.
type span time.Duration

func (s *span) UnmarshalText(b []byte) error {
	d, err := time.ParseDuration(strings.ReplaceAll(string(b), " ", ""))
	if err != nil || d < 0 {
		return fmt.Errorf("%q is not a duration; write a number and a unit, as in 500ms, 10s, 5m, 24h", b)
	}
	*s = span(d)
	return nil
}

// share is a part of the machine's memory: an amount of bytes or a percentage.
type share struct {
	percent float64 // used if bytes is 0
	bytes   int
}

func (s *share) UnmarshalText(b []byte) error {
	number, unit := splitUnit(string(b))
	if unit == "%" {
		n, err := strconv.ParseFloat(number, 64)
		if err != nil || n <= 0 || n > 100 {
			return fmt.Errorf("%q is not a percentage above 0 and up to 100", b)
		}
		*s = share{percent: n}
		return nil
	}
	n, err := parseSize(string(b))
	if err != nil || n == 0 {
		return fmt.Errorf("%q is neither a size nor a percentage; write 2GiB or 25%%", b)
	}
	*s = share{bytes: n}
	return nil
}

// of returns the share of total, in bytes.
func (s share) of(total int) int {
	if s.bytes > 0 {
		return s.bytes
	}
	return int(float64(total) * s.percent / 100)
}

// list is a comma-separated list; a flag given twice adds to it.
type list []string

func (l *list) UnmarshalText(b []byte) error {
	for _, item := range strings.Split(string(b), ",") {
		if item = strings.TrimSpace(item); item != "" {
			*l = append(*l, item)
		}
	}
	return nil
}

// networks is a list of CIDR prefixes or single addresses.
type networks []netip.Prefix

func (n *networks) UnmarshalText(b []byte) error {
	var items list
	_ = items.UnmarshalText(b) // a list takes any text
	for _, item := range items {
		p, err := parsePrefix(item)
		if err != nil {
			return err
		}
		*n = append(*n, p)
	}
	return nil
}

func parsePrefix(s string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(s); err == nil && a.Zone() == "" {
		a = a.Unmap()
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("%q is not a network; write an address or a CIDR prefix, as in 127.0.0.0/8, 2001:db8::/32", s)
	}
	if p.Addr().Is4In6() {
		return netip.Prefix{}, fmt.Errorf("%q mixes IPv4 and IPv6; write the IPv4 prefix itself, as in 127.0.0.0/8", s)
	}
	if p != p.Masked() {
		return netip.Prefix{}, fmt.Errorf("%q has bits set behind its prefix; write %s", s, p.Masked())
	}
	return p, nil
}

// address is a host and port to listen on; the host may be empty for all
// interfaces, the port 0 for any free one. "" is off.
type address string

func (a *address) UnmarshalText(b []byte) error {
	if len(b) == 0 || string(b) == "off" {
		*a = ""
		return nil
	}
	host, port, err := net.SplitHostPort(string(b))
	if err != nil {
		return fmt.Errorf("%q is not an address; write host:port or :port, as in :8443, 127.0.0.1:9000, [::1]:9000", b)
	}
	if n, err := strconv.Atoi(port); err != nil || n < 0 || n > 65535 {
		return fmt.Errorf("%q has no port between 0 and 65535", b)
	}
	if strings.ContainsAny(host, " /") {
		return fmt.Errorf("%q has a host that is no name and no address", b)
	}
	*a = address(b)
	return nil
}

// loopback tells whether the address can be reached from this machine only.
func (a address) loopback() bool {
	host, _, err := net.SplitHostPort(string(a))
	if err != nil {
		return false
	}
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}

// overlaps tells whether two listeners cannot have both addresses: same port
// (not 0) and hosts that are equal or of which one means every interface.
func (a address) overlaps(b address) bool {
	hostA, portA, errA := net.SplitHostPort(string(a))
	hostB, portB, errB := net.SplitHostPort(string(b))
	if errors.Join(errA, errB) != nil || portA != portB || portA == "0" {
		return false
	}
	return numeric(hostA) == numeric(hostB) || unspecified(hostA) || unspecified(hostB)
}

// numeric is a host as it is compared: localhost is 127.0.0.1, as for listening.
func numeric(host string) string {
	if ip, err := netip.ParseAddr(host); err == nil {
		return ip.Unmap().String()
	}
	if host == "localhost" {
		return "127.0.0.1"
	}
	return host
}

func unspecified(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "" || err == nil && ip.IsUnspecified()
}
