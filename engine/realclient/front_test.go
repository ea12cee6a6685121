package realclient

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"weir/engine"
	"weir/security/proxy"
)

// Real proxies in front of a whole server (SECURITY.md T6): nginx and HAProxy with
// the configurations of deploy, of which the tests replace addresses, files and
// nothing else that they do not say. A proxy takes over a listening socket of the
// test, so there is no port to guess and no start to wait for.

const (
	proxySecret = "0123456789abcdef"
	// proxyAddress is where nginx comes from: clients come from 127.0.0.1, and must not be taken for a proxy.
	proxyAddress = "127.0.0.2"
	// clientAddress is one more client's.
	clientAddress = "127.0.0.3"
)

// behind configures a server for a proxy at address.
func behind(t testing.TB, address string, change func(*engine.Config)) *server {
	t.Helper()
	return serve(t, func(c *engine.Config) {
		c.ProxyListen = "127.0.0.1:0"
		c.Trust = proxy.NewTrust([]netip.Prefix{netip.PrefixFrom(netip.MustParseAddr(address), 32)}, proxySecret)
		if change != nil {
			change(c)
		}
	})
}

// front is a proxy that runs.
type front struct {
	*process
	s    *server
	addr string
}

// edit is a configuration with replacements, each of which must find its text once.
func edit(t testing.TB, file string, pairs ...string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "..", "deploy", file))
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	for i := 0; i < len(pairs); i += 2 {
		if strings.Count(text, pairs[i]) != 1 {
			t.Fatalf("deploy/%s has %q not once", file, pairs[i])
		}
		text = strings.Replace(text, pairs[i], pairs[i+1], 1)
	}
	return text
}

// program is where a proxy's program is; sbin is not on everybody's path.
func program(t testing.TB, name string) string {
	t.Helper()
	if runtime.GOOS != "linux" {
		missing(t, "loopback addresses beside 127.0.0.1", "run this test on Linux")
	}
	for _, candidate := range []string{name, "/usr/sbin/" + name, "/usr/local/sbin/" + name} {
		if found, err := exec.LookPath(candidate); err == nil {
			return found
		}
	}
	missing(t, name, "install "+name)
	return ""
}

// takeOver starts a proxy that has a listening socket as descriptor 3.
func (s *server) takeOver(t testing.TB, configure func(port string) *exec.Cmd) *front {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	socket, err := ln.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	addr := ln.Addr().String()
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	cmd := configure(port)
	cmd.ExtraFiles = []*os.File{socket}
	f := &front{process: start(t, nil, cmd), s: s, addr: addr}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the proxy said: %s", &f.out)
		}
	})
	return f
}

func write(t testing.TB, file, text string) string {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// nginx runs nginx with deploy/nginx/weir.conf, edited by pairs.
func (s *server) nginx(t testing.TB, pairs ...string) *front {
	t.Helper()
	name, dir := program(t, "nginx"), t.TempDir()
	return s.takeOver(t, func(port string) *exec.Cmd {
		site := write(t, filepath.Join(dir, "weir.conf"), edit(t, "nginx/weir.conf", append([]string{
			"listen 443", "listen 127.0.0.1:" + port,
			"server 127.0.0.1:8080;", "server " + s.ProxyAddr().String() + ";",
			"/etc/nginx/tls/push.example.com.pem", s.CertFile, "/etc/nginx/tls/push.example.com.key", s.KeyFile,
			"proxy_pass http://weir;", "proxy_pass http://weir; proxy_bind " + proxyAddress + ";",
		}, pairs...)...))
		write(t, filepath.Join(dir, "weir-proxy-secret.conf"), `proxy_set_header X-Weir-Proxy-Secret "`+proxySecret+`";`)
		main := "daemon off; worker_processes 1; pid nginx.pid; error_log stderr notice; events { worker_connections 256; }\nhttp { access_log off;\n"
		for _, kind := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
			main += fmt.Sprintf("%s_temp_path %s;\n", kind, filepath.Join(dir, kind))
		}
		config := write(t, filepath.Join(dir, "nginx.conf"), main+"include "+site+";\n}\n")
		cmd := exec.Command(name, "-p", dir, "-e", "stderr", "-c", config)
		cmd.Env = append(os.Environ(), "NGINX=3;") // how it hands its sockets to its successor
		return cmd
	})
}

// haproxy runs HAProxy with deploy/haproxy/weir.cfg, edited by pairs.
func (s *server) haproxy(t testing.TB, pairs ...string) *front {
	t.Helper()
	name, dir := program(t, "haproxy"), t.TempDir()
	key, err := os.ReadFile(s.KeyFile)
	if err != nil {
		t.Fatal(err)
	}
	both := write(t, filepath.Join(dir, "both.pem"), string(s.Cert)+string(key))
	return s.takeOver(t, func(string) *exec.Cmd {
		config := write(t, filepath.Join(dir, "weir.cfg"), edit(t, "haproxy/weir.cfg", append([]string{
			"bind :443", "bind fd@3", "127.0.0.1:8080 send", s.ProxyAddr().String() + " send",
			"/etc/haproxy/tls/push.example.com.pem", both,
		}, pairs...)...))
		cmd := exec.Command(name, "-db", "-f", config)
		cmd.Env = append(os.Environ(), "WEIR_PROXY_SECRET="+proxySecret)
		return cmd
	})
}

// dial opens a WebSocket through the proxy, from address, with fields of the
// client's own beside what it must send.
func (f *front) dial(t testing.TB, address string, fields http.Header) (*websocket.Conn, *http.Response, error) {
	t.Helper()
	header := http.Header{"Origin": {ourOrigin}}
	for name, values := range fields {
		header[name] = values
	}
	dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)}}
	client := &http.Client{Transport: &http.Transport{
		TLSClientConfig: f.s.tlsConfig(), DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, network, f.addr)
		},
	}}
	ctx, cancel := context.WithTimeout(t.Context(), longest)
	defer cancel()
	c, res, err := websocket.Dial(ctx, f.url(wsPath), &websocket.DialOptions{HTTPClient: client, HTTPHeader: header})
	if err == nil {
		t.Cleanup(func() { _ = c.CloseNow() })
	}
	return c, res, err
}

func (f *front) url(path string) string { return "wss://" + f.addr + path }
