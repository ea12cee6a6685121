package client_test

import (
	"net"
	"net/netip"
	"net/url"
	"runtime"
	"syscall"
	"testing"

	"weir/engine/ws"
	"weir/loadtest/client"
)

// TestOneLocalAddressToTwoServers: the kernel gives one local address and port to
// several connections, if each goes to another server.
func TestOneLocalAddressToTwoServers(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the test shares a port as Linux lets it")
	}
	s := newSeen()
	l := loop(t, s)
	share := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)}, Control: func(_, _ string, c syscall.RawConn) (err error) {
		_ = c.Control(func(fd uintptr) { err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1) })
		return err
	}}
	var lines []*client.Line
	for range 2 {
		target := serve(t, nil, echo)
		d, err := client.NewDialer(t.Context(), target)
		if err != nil {
			t.Fatal(err)
		}
		u, err := url.Parse(target.URL)
		if err != nil {
			t.Fatal(err)
		}
		raw, err := share.DialContext(t.Context(), "tcp", u.Host)
		if err != nil {
			t.Fatal(err)
		}
		share.LocalAddr = raw.LocalAddr()
		line, err := d.Establish(t.Context(), raw.(*net.TCPConn))
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, line)
	}
	held, release := make(chan struct{}), make(chan struct{})
	l.Do(func() { close(held); <-release }) // so that both are adopted before either is open
	<-held
	for i, line := range lines {
		if err := l.Adopt(line, uint32(i)); err != nil {
			t.Error(err)
		}
	}
	close(release)
	s.await(t, func() bool { return len(s.conns)+len(s.ends) >= 2 })
	l.Do(func() {
		for _, c := range s.conns {
			c.Send(ws.OpText, []byte("to me"))
		}
	})
	s.await(t, func() bool { return len(s.messages[0]) == 1 && len(s.messages[1]) == 1 })
}

func TestLocalhostIsThisMachine(t *testing.T) {
	away, here := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("::ffff:127.0.0.1")
	for _, test := range []struct {
		host string
		addr netip.Addr
		good bool
	}{{"localhost", here, true}, {"localhost", away, false}, {"push.example.com", away, true}} {
		if addr, err := client.Chosen(test.host, []netip.Addr{test.addr}); (err == nil) != test.good || addr != test.addr.Unmap() {
			t.Errorf("%+v: %s %v", test, addr, err)
		}
	}
}
