package main

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"weir/security/proxy"
)

// proxyOptions say which proxies may bring clients, and how they name them.
type proxyOptions struct {
	ProxyListen     address  `name:"proxy-listen" restart:"" group:"Behind a proxy" placeholder:"HOST:PORT" help:"Plain listener for proxies that have the TLS; on loopback, or with --trusted-proxies (default off)."`
	TrustedProxies  networks `name:"trusted-proxies" group:"Behind a proxy" placeholder:"CIDR,…" help:"Addresses of these proxies; others are closed at once (default loopback, where --proxy-listen is on loopback)."`
	ProxyProtocol   bool     `name:"proxy-protocol" restart:"" group:"Behind a proxy" help:"They send PROXY protocol v2 headers, with the field of TLS, instead of X-Forwarded-For and X-Forwarded-Proto."`
	ProxySecret     text     `name:"proxy-secret" group:"Behind a proxy" placeholder:"SECRET" help:"What they must send as X-Weir-Proxy-Secret with every request."`
	ProxySecretFile path     `name:"proxy-secret-file" group:"Behind a proxy" placeholder:"FILE" help:"File with that secret, so that it stands in no process list."`
}

// mistakes are those that the proxies' options hold by themselves.
func (o *proxyOptions) mistakes() (errs []error) {
	if o.ProxyListen == "" {
		for _, other := range []struct {
			flag string
			set  bool
		}{
			{"--trusted-proxies", len(o.TrustedProxies) > 0}, {"--proxy-protocol", o.ProxyProtocol},
			{"--proxy-secret", o.ProxySecret != "" || o.ProxySecretFile != ""},
		} {
			if other.set {
				errs = append(errs, fmt.Errorf("%s: without --proxy-listen nobody is a proxy; give that listener an address, as in 127.0.0.1:8080", other.flag))
			}
		}
		return errs
	}
	loopback := func(p netip.Prefix) bool { return p.Addr().IsLoopback() }
	switch local := o.ProxyListen.loopback(); {
	case !local && len(o.TrustedProxies) == 0:
		errs = append(errs, fmt.Errorf("--trusted-proxies: others than this machine reach %s of --proxy-listen; name the addresses of the proxies, as in 10.0.0.7,10.0.0.8", o.ProxyListen))
	case local && len(o.TrustedProxies) > 0 && !slices.ContainsFunc(o.TrustedProxies, loopback):
		errs = append(errs, fmt.Errorf("--trusted-proxies: only this machine reaches %s of --proxy-listen, and it is not among them; add 127.0.0.1", o.ProxyListen))
	}
	for _, p := range o.TrustedProxies {
		if p.Bits() == 0 {
			errs = append(errs, fmt.Errorf("--trusted-proxies: %s is everybody; name the addresses of the proxies", p))
		}
	}
	return errs
}

// trust is who the proxies are; nil if there are none.
func (o *proxyOptions) trust() (*proxy.Trust, error) {
	if o.ProxyListen == "" {
		return nil, nil
	}
	secret, err := secret("proxy-secret", o.ProxySecret, o.ProxySecretFile)
	if err != nil {
		return nil, err
	}
	if err := headerValue("proxy-secret", o.ProxySecretFile, secret); err != nil {
		return nil, err
	}
	return proxy.NewTrust(o.proxies(), string(secret)), nil
}

// proxies are the trusted addresses.
func (o *proxyOptions) proxies() []netip.Prefix {
	if len(o.TrustedProxies) > 0 {
		return o.TrustedProxies
	}
	return []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}
}

// loadProxies fills in what the engine needs of them.
func (s *setup) loadProxies(o *serverOptions) (err error) {
	s.config.ProxyListen, s.config.ProxyProtocol = string(o.ProxyListen), o.ProxyProtocol
	s.config.Trust, err = o.trust()
	return err
}

// describe is the line of weir check about the proxies.
func (o *proxyOptions) describe() string {
	how := "X-Forwarded-For"
	if o.ProxyProtocol {
		how = "PROXY protocol v2"
	}
	var from []string
	for _, p := range o.proxies() {
		from = append(from, p.String())
	}
	proof := ""
	if o.ProxySecret != "" || o.ProxySecretFile != "" {
		proof = ", with a secret"
	}
	return fmt.Sprintf("%s, plain, for %s%s, by %s", o.ProxyListen, strings.Join(from, ", "), proof, how)
}

// sharedAddresses complains about listeners that would have the same address:
// one byte in, and nobody could say what it is.
func (o *serverOptions) sharedAddresses() (errs []error) {
	listeners := []struct {
		flag string
		addr address
	}{{"--api-listen", o.APIListen}, {"--health-listen", o.HealthListen}, {"--proxy-listen", o.ProxyListen}}
	for i, l := range listeners {
		for public := range strings.SplitSeq(string(o.Listen), ",") {
			if l.addr.overlaps(address(public)) {
				errs = append(errs, fmt.Errorf("%s: %s is the address of --listen, which is TLS only; choose another port", l.flag, l.addr))
			}
		}
		for _, other := range listeners[:i] {
			if l.addr.overlaps(other.addr) {
				errs = append(errs, fmt.Errorf("%s: %s is the address of %s; choose another port", l.flag, l.addr, other.flag))
			}
		}
	}
	return errs
}
