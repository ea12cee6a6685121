package main

import (
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/coder/websocket"

	"weir/security/certs/certstest"
)

// running is a weir serve in this process.
type running struct {
	*invocation
	t      testing.TB
	status chan int
	roots  *x509.CertPool
}

// serving starts one; roots are what its clients trust.
func serving(t *testing.T, roots *x509.CertPool, args ...string) *running {
	t.Helper()
	r := &running{&invocation{args: unhurried(args...), signals: make(chan os.Signal, 1)}, t, make(chan int, 1), roots}
	go func() { r.status <- run(r.process()) }()
	r.stderr.Await(t, `"msg":"serving"`)
	t.Cleanup(func() {
		r.signals <- os.Interrupt
		if got := <-r.status; got != 0 {
			t.Errorf("status %d: %s", got, r.stderr.String())
		}
	})
	return r
}

// address is where a listener of it is: listen or api.
func (r *running) address(listener string) string {
	return regexp.MustCompile(`"` + listener + `":"([^"]+)"`).FindStringSubmatch(r.stderr.String())[1]
}

func (r *running) clientConfig() *tls.Config {
	return &tls.Config{RootCAs: r.roots, ServerName: "localhost", NextProtos: []string{"http/1.1"}}
}

// webSocket opens /echo.
func (r *running) webSocket(config *tls.Config) (*websocket.Conn, error) {
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: config, DisableKeepAlives: true}}
	ws, _, err := websocket.Dial(r.t.Context(), "wss://"+r.address("listen")+"/echo", &websocket.DialOptions{HTTPClient: client})
	if err == nil {
		r.t.Cleanup(func() { _ = ws.CloseNow() })
	}
	return ws, err
}

func mustEcho(t testing.TB, ws *websocket.Conn, text string) {
	t.Helper()
	if err := ws.Write(t.Context(), websocket.MessageText, []byte(text)); err != nil {
		t.Fatal(err)
	}
	if _, b, err := ws.Read(t.Context()); err != nil || string(b) != text {
		t.Fatalf("got %q, %v", b, err)
	}
}

// handshake is what a new connection is told.
func (r *running) handshake(config *tls.Config) tls.ConnectionState {
	r.t.Helper()
	c, err := tls.Dial("tcp", r.address("listen"), config)
	if err != nil {
		r.t.Fatal(err)
	}
	defer c.Close()
	return c.ConnectionState()
}

// replaceFile puts other content in a file's place at once.
func replaceFile(t testing.TB, name string, b []byte) {
	t.Helper()
	fresh := filepath.Join(filepath.Dir(name), "fresh")
	if err := os.WriteFile(fresh, b, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(fresh, name); err != nil {
		t.Fatal(err)
	}
}

func ticketKey() []byte {
	b := make([]byte, 32)
	rand.Read(b)
	return b
}

// TestRotationDropsNobody is row T3: another pair is served after SIGHUP, a bad one is told and changes nothing, and who is
// connected stays.
func TestRotationDropsNobody(t *testing.T) {
	args := append(good(t, "serve"), "--enable-echo")
	roots := x509.NewCertPool()
	first, err := os.ReadFile(args[4])
	if err != nil {
		t.Fatal(err)
	}
	second := certstest.NewServer(t)
	roots.AppendCertsFromPEM(first)
	roots.AppendCertsFromPEM(second.Cert)
	r := serving(t, roots, args...)
	before := r.handshake(r.clientConfig()).PeerCertificates[0]
	ws, err := r.webSocket(r.clientConfig())
	if err != nil {
		t.Fatal(err)
	}
	mustEcho(t, ws, "before")

	replaceFile(t, args[4], second.Cert) // not yet with its key
	r.signals <- syscall.SIGHUP
	r.stderr.Await(t, "not reloaded, the old one stays", "does not belong")
	mustEcho(t, ws, "after half a pair")
	if !r.handshake(r.clientConfig()).PeerCertificates[0].Equal(before) {
		t.Error("half a pair is served")
	}
	replaceFile(t, args[6], second.Key)
	r.signals <- syscall.SIGHUP
	r.stderr.Await(t, `"msg":"reloaded"`)
	mustEcho(t, ws, "after")
	if r.handshake(r.clientConfig()).PeerCertificates[0].Equal(before) {
		t.Error("the old pair is served")
	}
}

// TestProcessesShareTickets: with one --ticket-key-file a session of one server is resumed by another, and each takes
// another key with SIGHUP; a bad file is told and the old keys stay.
func TestProcessesShareTickets(t *testing.T) {
	file := writeFile(t, "tickets.key", string(ticketKey()))
	args := append(good(t, "serve"), "--enable-echo", "--ticket-key-file", file)
	roots := x509.NewCertPool()
	cert, err := os.ReadFile(args[4])
	if err != nil {
		t.Fatal(err)
	}
	roots.AppendCertsFromPEM(cert)
	servers := []*running{serving(t, roots, args...), serving(t, roots, args...)}
	alone := serving(t, roots, without(args, "--ticket-key-file")...)
	config := alone.clientConfig()
	config.ClientSessionCache = tls.NewLRUClientSessionCache(1)
	expect := func(what string, r *running, want bool) {
		t.Helper()
		own := &tls.Config{RootCAs: config.RootCAs, ServerName: config.ServerName, ClientSessionCache: config.ClientSessionCache}
		resumed := false
		own.VerifyConnection = func(s tls.ConnectionState) error { resumed = s.DidResume; return nil }
		ws, err := r.webSocket(own)
		if err != nil {
			t.Fatal(err)
		}
		mustEcho(t, ws, what)
		if resumed != want {
			t.Errorf("%s: resumed %v", what, resumed)
		}
	}
	expect("first", servers[0], false)
	expect("the other process", servers[1], true)
	expect("and back", servers[0], true)

	replaceFile(t, file, []byte("half a key"))
	servers[0].signals <- syscall.SIGHUP
	servers[0].stderr.Await(t, "not reloaded, the old one stays", "--ticket-key-file")
	expect("a bad file", servers[0], true)

	replaceFile(t, file, slices.Concat(ticketKey(), ticketKey()))
	servers[0].signals <- syscall.SIGHUP
	servers[0].stderr.Await(t, `"msg":"reloaded"`)
	expect("keys that are gone", servers[0], false)
	expect("a process without the file", alone, false)
}

func TestTicketKeyMistakes(t *testing.T) {
	open := writeFile(t, "open.key", string(ticketKey()))
	if err := os.Chmod(open, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range [][]string{
		{"/nowhere", "no such file"},
		{open, "chmod 600"},
		{writeFile(t, "short.key", string(ticketKey()[:16])), "16 bytes", "openssl rand 32"},
		{writeFile(t, "hex.key", strings.Repeat("0123456789abcdef", 4)), "text", "openssl rand 32"},
	} {
		wantRefusal(t, nil, append(good(t, "check"), "--ticket-key-file", c[0]), append(c[1:], "--ticket-key-file")...)
	}
}

// TestServeWithoutAnAuthority: who cannot be reached is told of, handshakes fail, and the server goes on.
func TestServeWithoutAnAuthority(t *testing.T) {
	cache := filepath.Join(t.TempDir(), "acme")
	r := serving(t, nil, append(without(good(t, "serve"), "--tls-cert", "--tls-key"),
		"--acme-domains=push.example.com", "--acme-cache", cache, "--acme-directory=https://127.0.0.1:1/", "--acme-email=ops@example.com")...)
	r.stderr.Await(t, "no certificate from the authority", `"event":"certificate_refused"`, "again_in")
	if _, err := tls.Dial("tcp", r.address("listen"), r.clientConfig()); err == nil || !strings.Contains(err.Error(), "internal error") {
		t.Errorf("the handshake ends with %v", err)
	}
	if status, _, stderr := weir("pub", "a", "1", "--api", "http://"+r.address("api"), "--api-key=k"); status != 0 {
		t.Error(stderr)
	}
	if info, err := os.Stat(cache); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v", info, err)
	}
}

func TestACMEMistakes(t *testing.T) {
	files := slices.Clip(good(t, "check"))
	acme := slices.Clip(append(without(files, "--tls-cert", "--tls-key"), "--acme-domains=push.example.com", "--acme-cache=/nowhere/acme"))
	ca := certstest.NewAuthority(t).File
	for _, c := range []struct{ args, words []string }{
		{append(files, "--acme-domains=push.example.com", "--acme-cache=c"), []string{"--acme-domains", "--tls-cert", "keep one"}},
		{append(files, "--acme-cache=c"), []string{"--acme-domains"}},
		{append(without(files, "--tls-cert", "--tls-key"), "--acme-domains=push.example.com"), []string{"--acme-cache"}},
		{append(acme, "--acme-domains=*.example.com"), []string{"--acme-domains", "wildcard"}},
		{append(acme, "--client-ca-file", ca), []string{"--acme-domains", "--client-auth optional"}},
		{append(acme, "--api-listen=:0", "--api-client-ca-file", ca), []string{"--api-tls-cert"}},
		{append(acme, "--acme-directory=http://a.example"), []string{"--acme-directory", "https://"}},
		{without(files, "--tls-cert"), []string{"--tls-cert", "--acme-domains"}},
	} {
		wantRefusal(t, nil, c.args, c.words...)
	}
	if status, stdout, stderr := weir(append(acme, "--client-ca-file", ca, "--client-auth=optional")...); status != 0 || !strings.Contains(stdout, "to be had from an authority, client certificate accepted") {
		t.Errorf("status %d: %s", status, stderr)
	}
}

// What the help names as key exchanges the server takes, each alone where TLS 1.2 has it.
func TestCurvesOfTheHelp(t *testing.T) {
	field, _ := reflect.TypeFor[serverOptions]().FieldByName("TLSCurves")
	_, names, _ := strings.Cut(field.Tag.Get("help"), "of preference, of ")
	names, _, _ = strings.Cut(names, " (")
	all := strings.Split(names, ", ")
	if len(all) != 7 {
		t.Fatalf("the help names %q", all)
	}
	for _, name := range all {
		if status, _, stderr := weir(append(good(t, "check"), "--tls-min=1.3", "--tls-curves", name)...); status != 0 {
			t.Errorf("%s: status %d: %s", name, status, stderr)
		}
	}
}

// Half a pair is not the same as none.
func TestHalfAPair(t *testing.T) {
	wantRefusal(t, nil, []string{"check", "--tls-cert=a.pem"}, "--tls-key: --tls-cert needs")
	wantRefusal(t, nil, []string{"check", "--tls-key=a.pem"}, "--tls-cert: --tls-key needs")
}
