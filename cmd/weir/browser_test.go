package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"image"
	"image/png"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

const (
	realclients   = "../../engine/realclient"
	browserTime   = 5 * time.Minute // for what must happen, on a busy machine
	maxScreenshot = 300 << 10
)

// sight is what a visitor with Chromium saw: the output of demo.mjs.
type sight struct {
	Status        int
	Policy        string
	Before, After glance
	Complaints    []string // of the console, the page, the network
	Violations    []string // of the Content-Security-Policy
	Requests      []string
	Frames        struct{ Received, Sent int }
	History       struct {
		Kept, Columns int // publications, and columns of the chart where they are drawn
		Symbols       []string
	}
	Presence struct {
		Alone, Both       []string
		Users, Came, Left string
	}
	Slow struct {
		Fast, Slow [2]int // received, left out
		Off        string
	}
	Phone    int // width of the page on a screen of 320 pixels
	Channels struct {
		More, Less, Recalled, None []string
		Selected, Notice           string
	}
	Foreign, Own    struct{ Event string }
	Refusals        []string // what the console said to the foreign page
	WithCookie      struct{ Event string }
	Rebuffs         []string // what the console said to the page with the victim's cookie
	LightBackground string
	DarkBackground  string
}

// glance is the page at one moment.
type glance struct {
	State, Price, Rate, Latency string
	Received                    int
	Symbols                     []string
	Painted                     float64 // share of the chart's pixels
	Colours, Sum                int     // of these pixels
}

// TestDemoPageInChromium: what `weir serve --dev` shows moves, and asks nothing
// of anybody else; a page of another origin gets a 403 from the same browser.
// With WEIR_UPDATE_SCREENSHOT=1 it makes docs/demo.png anew.
func TestDemoPageInChromium(t *testing.T) {
	chromium := lookUp(t, "chromium", "chromium-browser", "google-chrome")
	node := lookUp(t, "node")
	if _, err := os.Stat(filepath.Join(realclients, "node_modules", "playwright-core", "package.json")); err != nil {
		lacking(t, "playwright-core (npm ci --prefix engine/realclient)")
	}
	dev := &invocation{
		args: unhurried("serve", "--dev", "--listen=127.0.0.1:0", "--api-listen=127.0.0.1:0"),
		env:  []string{"XDG_CACHE_HOME=" + t.TempDir()}, signals: make(chan os.Signal, 1),
	}
	status := make(chan int, 1)
	go func() { status <- run(dev.process()) }()
	defer func() {
		dev.signals <- os.Interrupt
		if got := <-status; got != 0 {
			t.Errorf("status %d: %s", got, dev.stderr.String())
		}
	}()
	text := dev.stdout.Await(t, "curl ", "\n\n")

	origin := "https://localhost:" + port(t, text)
	screenshot, received, update := filepath.Join(t.TempDir(), "demo.png"), 30, os.Getenv("WEIR_UPDATE_SCREENSHOT") == "1"
	if update {
		screenshot, received = filepath.Join("..", "..", "docs", "demo.png"), 200
	}
	witness, handshakes := witness(t, printed(t, text, "certificate"))
	seen := visit(t, node, map[string]any{
		"chromium": chromium, "url": origin + "/", "pin": certificatePin(t, printed(t, text, "certificate")), "received": received, "busy": update,
		"api": printed(t, text, "server API"), "key": printed(t, text, "API key"),
		"screenshot": absolute(t, screenshot), "foreign": strings.Replace(origin, "https", "wss", 1) + "/connection/websocket",
		"witness": witness,
	})
	if h := <-handshakes; h.Get("Cookie") != "session=victim" || h.Get("Origin") == origin || h.Get("Origin") == "" {
		t.Errorf("the neighbour's handshake had the cookie %q and the origin %q; want the victim's cookie and its own origin", h.Get("Cookie"), h.Get("Origin"))
	}

	seen.check(t, origin)
	checkScreenshot(t, screenshot)
}

// witness is a server with the certificate of the demo and a page of its own, which refuses every handshake and tells what its
// head said. Cookies know no ports: those that are sent to it are sent to the demo.
func witness(t *testing.T, certificate string) (url string, heads <-chan http.Header) {
	t.Helper()
	pair, err := tls.LoadX509KeyPair(certificate, filepath.Join(filepath.Dir(certificate), "key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	seen := make(chan http.Header, 1)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") == "" {
			_, _ = w.Write([]byte("<!doctype html><link rel=icon href=data:,><title>another origin</title>"))
			return
		}
		select {
		case seen <- r.Header.Clone():
		default:
		}
		w.WriteHeader(http.StatusForbidden)
	}))
	server.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
	server.StartTLS()
	t.Cleanup(server.Close)
	_, port, _ := strings.Cut(server.Listener.Addr().String(), ":")
	return "https://localhost:" + port + "/", seen
}

// check holds what was seen to what the page promises.
func (s *sight) check(t *testing.T, origin string) {
	t.Helper()
	if s.Status != 200 || !strings.Contains(s.Policy, "default-src 'none'") {
		t.Errorf("status %d with the policy %q", s.Status, s.Policy)
	}
	if len(s.Complaints) > 0 || len(s.Violations) > 0 {
		t.Errorf("the browser complains: %q, %q", s.Complaints, s.Violations)
	}
	for _, r := range s.Requests {
		if !strings.HasPrefix(r, origin+"/") && !strings.HasPrefix(r, strings.Replace(origin, "https", "wss", 1)+"/") && !strings.HasPrefix(r, "data:") {
			t.Errorf("the page asks %s", r)
		}
	}
	b, a := &s.Before, &s.After
	if b.State != "Connected" || a.State != "Connected" || a.Received < b.Received+15 || s.Frames.Received < a.Received || s.Frames.Sent == 0 {
		t.Errorf("from %+v to %+v with %+v frames", b, a, s.Frames)
	}
	if slices.Equal(a.Symbols, b.Symbols) || len(a.Symbols) < 4 || a.Price == "" || a.Rate == "–" || a.Latency == "–" {
		t.Errorf("the numbers stand still: from %+v to %+v", b, a)
	}
	if b.Painted < 0.01 || a.Painted < 0.01 || a.Colours < 3 || a.Sum == b.Sum {
		t.Errorf("the chart does not draw: from %+v to %+v", b, a)
	}
	s.checkSwitches(t)
	if s.LightBackground == s.DarkBackground {
		t.Errorf("light and dark are both %s", s.LightBackground)
	}
	if s.Foreign.Event != "close" || !slices.ContainsFunc(s.Refusals, func(r string) bool { return strings.Contains(r, "403") }) {
		t.Errorf("a page of another origin: %+v, %q; want it refused with 403", s.Foreign, s.Refusals)
	}
	if s.WithCookie.Event != "close" || !slices.ContainsFunc(s.Rebuffs, func(r string) bool { return strings.Contains(r, "403") }) {
		t.Errorf("a page of another origin with the victim's cookie: %+v, %q; want it refused with 403", s.WithCookie, s.Rebuffs)
	}
	if s.Own.Event != "open" {
		t.Errorf("our own page: %+v, want it let in", s.Own)
	}
}

// checkSwitches holds what the page showed after each of its switches to what it should.
func (s *sight) checkSwitches(t *testing.T) {
	t.Helper()
	h := &s.History
	if h.Kept < 20 || h.Columns < 50 || len(h.Symbols) != 8 || slices.ContainsFunc(h.Symbols, func(s string) bool { return !strings.ContainsAny(s, "0123456789") }) {
		t.Errorf("after a reload the page shows of history %+v", h)
	}
	s.checkCompany(t)
	if s.Phone > 320 {
		t.Errorf("on a screen of 320 pixels the page has %d", s.Phone)
	}
	c := &s.Channels
	for _, groups := range []struct {
		what      string
		got, want []string
	}{
		{"with metals", c.More, []string{"feeds:prices", "feeds:metals"}},
		{"without prices", c.Less, []string{"feeds:metals"}},
		{"after a reload", c.Recalled, []string{"feeds:metals", "feeds:mine"}},
		{"without any", c.None, []string{}},
	} {
		if !slices.Equal(groups.got, groups.want) {
			t.Errorf("%s: the list has %q, want %q", groups.what, groups.got, groups.want)
		}
	}
	if !slices.Contains([]string{"COPPER", "GOLD", "SILVER", "ZINC"}, c.Selected) {
		t.Errorf("without its symbol the chart shows %q", c.Selected)
	}
	if !strings.Contains(c.Notice, "nowhere:x") || !strings.Contains(c.Notice, "unknown channel") {
		t.Errorf("of a channel that does not exist the page says %q", c.Notice)
	}
}

// checkCompany is about who else is connected: another tab, and the slow reader.
func (s *sight) checkCompany(t *testing.T) {
	t.Helper()
	p := &s.Presence
	if len(p.Alone) != 1 || !strings.HasPrefix(p.Alone[0], "this tab ") || len(p.Both) != 2 || p.Both[0] != p.Alone[0] || !strings.HasPrefix(p.Both[1], "dev ") {
		t.Errorf("here are %q, with another tab %q", p.Alone, p.Both)
	}
	if other := p.Both[len(p.Both)-1]; p.Users != "1" || !strings.HasSuffix(p.Came, other+" came") || !strings.HasSuffix(p.Left, other+" left") {
		t.Errorf("of %s the page says %q and %q, of %s users", other, p.Came, p.Left, p.Users)
	}
	fast, slow := s.Slow.Fast, s.Slow.Slow
	if fast[0]+fast[1] != slow[0]+slow[1] || slow[1] == 0 || slow[0] >= fast[0] || s.Slow.Off != "false" {
		t.Errorf("received and left out: %v, and %v by the slow reader; the switch is %s", fast, slow, s.Slow.Off)
	}
}

// checkScreenshot wants a picture that shows something.
func checkScreenshot(t *testing.T, file string) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if len(b) > maxScreenshot {
		t.Errorf("%s has %d bytes, at most %d", file, len(b), maxScreenshot)
	}
	picture, err := png.Decode(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	if size := picture.Bounds().Size(); size != image.Pt(1280, 1000) {
		t.Errorf("the picture is %v", size)
	}
}

// visit runs demo.mjs, with Chromium, in a process group that is gone when it returns.
func visit(t *testing.T, node string, order map[string]any) *sight {
	t.Helper()
	line, err := json.Marshal(order)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), browserTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, node, filepath.Join(realclients, "testdata", "demo.mjs"))
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Minute
	folder, err := os.MkdirTemp("", "weir-page-") // its name is short: Chromium's socket below it has 108 bytes
	if err != nil {
		t.Fatal(err)
	}
	defer vacate(ctx, t, folder)
	cmd.Env = append(os.Environ(), "HOME="+t.TempDir(), "TMPDIR="+folder) // Chromium writes there, and leaves it all when it is killed
	cmd.Stdin = bytes.NewReader(append(line, '\n'))
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("demo.mjs: %v: %s", err, stderr.String())
	}
	seen := new(sight)
	if err := json.Unmarshal(stdout.Bytes(), seen); err != nil {
		t.Fatalf("demo.mjs: %v in %s", err, stdout.String())
	}
	return seen
}

// vacate removes a folder once those that wrote there are gone.
func vacate(ctx context.Context, t *testing.T, folder string) {
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for err := os.RemoveAll(folder); err != nil; err = os.RemoveAll(folder) {
		select {
		case <-again.C:
		case <-ctx.Done():
			t.Error(err)
			return
		}
	}
}

// certificatePin is the hash of a certificate's key, as Chromium wants it.
func certificatePin(t *testing.T, file string) string {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(b)
	if block == nil {
		t.Fatalf("%s is not PEM", file)
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimPrefix(pinOf(cert), "sha256/")
}

func absolute(t *testing.T, file string) string {
	t.Helper()
	abs, err := filepath.Abs(file)
	if err != nil {
		t.Fatal(err)
	}
	return abs
}

// lookUp returns the first of these programs that is installed.
func lookUp(t *testing.T, names ...string) string {
	t.Helper()
	for _, name := range names {
		if program, err := exec.LookPath(name); err == nil {
			return program
		}
	}
	lacking(t, names[0])
	return ""
}

// lacking skips the test for want of a tool; with CI=true it fails it.
func lacking(t *testing.T, tool string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf("no %s: the demo page is not tested in a browser", tool)
	}
	t.Skipf("skipped for want of %s: the demo page in a browser", tool)
}
