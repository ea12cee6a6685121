package main

import (
	"net/netip"
	"strings"
	"testing"

	"weir/security/certs/certstest"
)

func TestProxyOptionMistakes(t *testing.T) {
	for _, c := range []struct{ args, words []string }{
		{[]string{"--trusted-proxies=10.0.0.1"}, []string{"--trusted-proxies", "--proxy-listen"}},
		{[]string{"--proxy-protocol"}, []string{"--proxy-protocol", "--proxy-listen"}},
		{[]string{"--proxy-secret=s"}, []string{"--proxy-secret", "--proxy-listen"}},
		{[]string{"--proxy-secret-file=f"}, []string{"--proxy-secret", "--proxy-listen"}},
		{[]string{"--proxy-listen=:8080"}, []string{"--trusted-proxies", "name the addresses"}},
		{[]string{"--proxy-listen=10.0.0.5:8080"}, []string{"--trusted-proxies", "name the addresses"}},
		{[]string{"--proxy-listen=127.0.0.1:8080", "--trusted-proxies=10.0.0.0/8"}, []string{"--trusted-proxies", "add 127.0.0.1"}},
		{[]string{"--proxy-listen=:8080", "--trusted-proxies=10.0.0.0/8,0.0.0.0/0"}, []string{"--trusted-proxies", "everybody"}},
		{[]string{"--proxy-listen=:8080", "--trusted-proxies=::/0"}, []string{"--trusted-proxies", "everybody"}},
		{[]string{"--proxy-listen=:8080", "--trusted-proxies=10.0.0"}, []string{"--trusted-proxies", "is not a network"}},
		{[]string{"--proxy-listen=127.0.0.1:8080", "--proxy-secret=a ", "--proxy-protocol"}, []string{"--proxy-secret", "blank"}},
		{[]string{"--proxy-listen=127.0.0.1:8080", "--proxy-secret=a\nb"}, []string{"--proxy-secret", "line break"}},
		{[]string{"--proxy-listen=127.0.0.1:8080", "--proxy-secret-file=/nowhere"}, []string{"--proxy-secret-file", "no such file"}},
		{[]string{"--proxy-listen=127.0.0.1:8080", "--proxy-secret=a", "--proxy-secret-file=f"}, []string{"--proxy-secret", "both"}},
	} {
		wantRefusal(t, nil, append(good(t, "check"), c.args...), c.words...)
	}
	authority := certstest.NewAuthority(t)
	both := append(good(t, "check"), "--proxy-listen=127.0.0.1:0", "--client-ca-file", authority.File)
	wantRefusal(t, nil, both, "--client-auth", "--proxy-listen")
	if status, _, stderr := weir(append(both, "--client-auth=optional")...); status != 0 {
		t.Errorf("optional certificates: %s", stderr)
	}
	wantRefusal(t, nil, []string{"serve", "--dev", "--proxy-listen=:8080", "--trusted-proxies=10.0.0.0/8"}, "--proxy-listen", "loopback")
}

// TestPlainAndTLSOnOneAddress: a listener is for TLS or it is not.
func TestPlainAndTLSOnOneAddress(t *testing.T) {
	for _, c := range []struct{ args, words []string }{
		{[]string{"--listen=127.0.0.1:8443", "--proxy-listen=127.0.0.1:8443"}, []string{"--proxy-listen", "TLS only"}},
		{[]string{"--listen=:8443", "--proxy-listen=127.0.0.1:8443"}, []string{"--proxy-listen", "TLS only"}},
		{[]string{"--listen=127.0.0.1:8443", "--proxy-listen=localhost:8443"}, []string{"--proxy-listen", "TLS only"}},
		{[]string{"--listen=127.0.0.1:8443", "--proxy-listen=:8443", "--trusted-proxies=10.0.0.1"}, []string{"--proxy-listen", "TLS only"}},
		{[]string{"--api-listen=127.0.0.1:9000", "--proxy-listen=127.0.0.1:9000"}, []string{"--proxy-listen", "--api-listen"}},
		{[]string{"--health-listen=:9001", "--proxy-listen=127.0.0.1:9001"}, []string{"--proxy-listen", "--health-listen"}},
		{[]string{"--listen=:9000", "--api-listen=127.0.0.1:9000"}, []string{"--api-listen", "TLS only"}},
	} {
		wantRefusal(t, nil, append(good(t, "check"), append(c.args, "--reuse-port")...), c.words...)
	}
}

func TestTrustedProxiesByDefault(t *testing.T) {
	for _, c := range []struct {
		args            []string
		trusted, others string
	}{
		{[]string{"--proxy-listen=127.0.0.1:0"}, "127.0.0.1 127.0.0.2 ::1 ::ffff:127.0.0.1", "10.0.0.1 192.0.2.1 fe80::1"},
		{[]string{"--proxy-listen=127.0.0.1:0", "--trusted-proxies=127.0.0.2"}, "127.0.0.2", "127.0.0.1 ::1"},
		{[]string{"--proxy-listen=10.0.0.5:8080", "--trusted-proxies=10.0.0.7,10.0.1.0/24"}, "10.0.0.7 10.0.1.9", "127.0.0.1 ::1 10.0.0.5 10.0.0.8"},
	} {
		o := parsed(t, nil, append([]string{"check"}, c.args...)...).Check.proxyOptions
		if errs := o.mistakes(); len(errs) > 0 {
			t.Errorf("%v: %v", c.args, errs)
		}
		trust, err := o.trust()
		if err != nil {
			t.Fatal(err)
		}
		for list, want := range map[string]bool{c.trusted: true, c.others: false} {
			for _, addr := range strings.Fields(list) {
				if trust.Trusts(netip.MustParseAddr(addr)) != want {
					t.Errorf("%v: %s trusted: %v", c.args, addr, !want)
				}
			}
		}
	}
	var off proxyOptions
	if trust, err := off.trust(); trust != nil || err != nil {
		t.Errorf("without a listener: %v, %v", trust, err)
	}
}

func TestCheckTellsWhoMayBringClients(t *testing.T) {
	file := writeFile(t, "secret", "s3cret\n")
	status, out, stderr := weir(append(good(t, "check"), "--proxy-listen=127.0.0.1:8080", "--proxy-secret-file", file, "--proxy-protocol")...)
	if status != 0 || !strings.Contains(out, "127.0.0.1:8080, plain, for 127.0.0.0/8, ::1/128, with a secret, by PROXY protocol v2\n") {
		t.Errorf("status %d: %s%s", status, out, stderr)
	}
	if strings.Contains(out+stderr, "s3cret") {
		t.Error("it prints the secret")
	}
	if _, out, _ := weir(good(t, "check")...); strings.Contains(out, "proxies") {
		t.Errorf("without proxies: %s", out)
	}
}
