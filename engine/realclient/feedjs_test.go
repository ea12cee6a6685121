package realclient

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"weir/engine"
	"weir/security/origin"
)

const repository = "../.."

// feedRuntimes are where clients/js runs: each starts a server and a script beside it.
var feedRuntimes = map[string]func(t *testing.T, change func(*engine.Config)) (*server, *script){
	"ws": func(t *testing.T, change func(*engine.Config)) (*server, *script) {
		s := serve(t, change)
		return s, s.node(t, "feed.mjs", nil)
	},
	"Chromium": inChromium,
}

// feedStories are what happens to a feed, each in every runtime.
var feedStories = map[string]func(t *testing.T, s *server, n *script){
	"resumes":                  feedResumes,
	"knows where it began":     feedKnowsWhereItBegan,
	"goes on in another page":  feedGoesOn,
	"history is too short":     feedHistoryTooShort,
	"another server":           feedAnotherServer,
	"told to come back or not": feedCloseCodes,
	"token expires":            feedTokenExpires,
	"patterns":                 feedPatterns,
	"refused":                  feedRefused,
	"closed":                   feedClosed,
}

// TestFeedModule holds clients/js to what it promises, against a whole server.
// What no server can be made to do on demand is in clients/js/weir-feed.test.mjs.
func TestFeedModule(t *testing.T) {
	t.Parallel()
	for runtime, start := range feedRuntimes {
		for story, tell := range feedStories {
			t.Run(story+", "+runtime, func(t *testing.T) {
				s, n := start(t, func(c *engine.Config) {
					c.ReusePort = true
					c.Namespaces = []engine.Namespace{{Name: "feeds", HistorySize: 3, HistoryTTL: time.Hour}}
				})
				tell(t, s, n)
			})
		}
	}
}

// TestFeedModuleUnits runs the module's own tests.
func TestFeedModuleUnits(t *testing.T) {
	t.Parallel()
	node, err := exec.LookPath("node")
	if err != nil {
		missing(t, "node", "install Node.js 20 or later")
	}
	file, err := filepath.Abs(repository + "/clients/js/weir-feed.test.mjs")
	if err != nil {
		t.Fatal(err)
	}
	said, err := exec.CommandContext(t.Context(), node, "--test", file).CombinedOutput()
	if err != nil {
		t.Errorf("%s: %v: %s", file, err, said)
	}
}

// openFeed opens a feed whose token the test gives each time it is asked.
func (s *server) openFeed(n *script, channels ...string) {
	s.t.Helper()
	n.do(order{"do": "open", "channels": channels, "askForToken": true})
	s.admit(n)
}

// admit gives the token that is wanted and waits for the connection.
func (s *server) admit(n *script) {
	s.t.Helper()
	n.next("token wanted")
	n.do(order{"do": "give token", "token": sign(s.t, "alice", time.Hour)})
	n.next("open")
}

// lose cuts the feed off: it waits for its next token when lose returns.
func (s *server) lose(n *script) {
	s.t.Helper()
	s.api("disconnect", `{"user":"alice","disconnect":{"code":3011,"reason":"force reconnect"}}`)
	if r := n.next("reconnecting"); r.Code != 3011 || r.Reason != "force reconnect" {
		s.t.Fatalf("reconnecting after %d %q", r.Code, r.Reason)
	}
}

// wantFeed wants this publication, at this offset, next.
func wantFeed(n *script, channel, data string, offset uint64) {
	n.t.Helper()
	if p := n.next("publication"); p.Channel != channel || string(p.Data) != data || p.Offset != offset || p.Epoch == "" {
		n.t.Fatalf("came %s on %s at %d@%s, want %s on %s at %d", p.Data, p.Channel, p.Offset, p.Epoch, data, channel, offset)
	}
}

func feedResumes(t *testing.T, s *server, n *script) {
	s.openFeed(n, "feeds:a", "feeds:b c#alice")
	s.publish("feeds:a", `{"n":1}`)
	s.publish("feeds:b c#alice", `"b"`)
	wantFeed(n, "feeds:a", `{"n":1}`, 1)
	wantFeed(n, "feeds:b c#alice", `"b"`, 1)
	for offset := uint64(2); offset < 8; offset += 2 {
		s.lose(n)
		s.publish("feeds:a", `"away"`)
		s.admit(n)
		wantFeed(n, "feeds:a", `"away"`, offset)
		s.publish("feeds:a", `"there"`)
		wantFeed(n, "feeds:a", `"there"`, offset+1)
	}
	s.api("publish", `{"channel":"feeds:a","data":"in passing","skip_history":true}`)
	wantFeed(n, "feeds:a", `"in passing"`, 0)
	s.publish("feeds:b c#alice", `"last"`)
	wantFeed(n, "feeds:b c#alice", `"last"`, 2)
}

// What is published between the first connection and the first publication is not lost.
func feedKnowsWhereItBegan(t *testing.T, s *server, n *script) {
	for range 5 {
		s.publish("feeds:a", `"before"`)
	}
	s.openFeed(n, "feeds:a", "feeds:z")
	s.publish("feeds:z", `1`)
	wantFeed(n, "feeds:z", `1`, 1) // comes behind the answers for both
	s.lose(n)
	s.publish("feeds:a", `"away"`)
	s.admit(n)
	wantFeed(n, "feeds:a", `"away"`, 6)
}

func feedGoesOn(t *testing.T, s *server, n *script) {
	s.openFeed(n, "feeds:a")
	s.publish("feeds:a", `1`)
	wantFeed(n, "feeds:a", `1`, 1)
	n.do(order{"do": "positions"})
	positions := n.next("positions").Data
	n.do(order{"do": "close"})
	n.next("close")
	s.publish("feeds:a", `2`)
	n.do(order{"do": "open", "channels": []string{"feeds:a"}, "token": sign(t, "alice", time.Hour), "since": json.RawMessage(positions)})
	n.next("open")
	wantFeed(n, "feeds:a", `2`, 2)
}

func feedHistoryTooShort(t *testing.T, s *server, n *script) {
	s.openFeed(n, "feeds:a", "feeds:b")
	s.publish("feeds:a", `1`)
	s.publish("feeds:b", `1`)
	wantFeed(n, "feeds:a", `1`, 1)
	wantFeed(n, "feeds:b", `1`, 1)
	s.lose(n)
	for range 4 { // of which three are kept
		s.publish("feeds:a", `"gone"`)
	}
	s.publish("feeds:b", `"kept"`)
	s.admit(n)
	if g := n.next("gap"); g.Channel != "feeds:a" || g.Offset != 5 || g.Epoch == "" {
		t.Errorf("the gap is %+v, want feeds:a up to 5", g)
	}
	wantFeed(n, "feeds:b", `"kept"`, 2)
	s.publish("feeds:a", `6`)
	wantFeed(n, "feeds:a", `6`, 6)
}

func feedAnotherServer(t *testing.T, first *server, n *script) {
	first.openFeed(n, "feeds:a")
	first.publish("feeds:a", `"old"`)
	old := n.next("publication")
	// Before the first goes: nobody else may take its place.
	second := first.identity.serve(t, func(c *engine.Config) {
		c.Listen, c.ReusePort, c.Origins = first.Addr().String(), true, first.origins
	})
	first.stop()
	if r := n.next("reconnecting"); r.Code != 3001 {
		t.Errorf("the drain: %d %q, want 3001", r.Code, r.Reason)
	}
	second.publish("feeds:a", `"missed"`)
	second.admit(n)
	gap := n.next("gap")
	if gap.Channel != "feeds:a" || gap.Offset != 1 || gap.Epoch == old.Epoch {
		t.Errorf("the gap is %+v after %+v, want another epoch", gap, old)
	}
	second.publish("feeds:a", `"new"`)
	if p := n.next("publication"); p.Offset != 2 || p.Epoch != gap.Epoch || string(p.Data) != `"new"` {
		t.Errorf("behind the gap came %+v", p)
	}
}

func feedCloseCodes(t *testing.T, s *server, n *script) {
	for _, c := range []struct {
		body string
		code int
		back bool
	}{
		{`{"user":"alice","disconnect":{"code":3000,"reason":"come back"}}`, 3000, true},
		{`{"user":"alice","disconnect":{"code":4000,"reason":"come back"}}`, 4000, true},
		{`{"user":"alice"}`, 3503, false},
		{`{"user":"alice","disconnect":{"code":4500,"reason":"go away"}}`, 4500, false},
	} {
		s.openFeed(n, "feeds:a")
		s.api("disconnect", c.body)
		if !c.back {
			if e := n.next("close"); e.Code != c.code || e.Reason == "" {
				t.Errorf("closed with %d %q, want %d", e.Code, e.Reason, c.code)
			}
			continue
		}
		if e := n.next("reconnecting"); e.Code != c.code || e.Reason == "" {
			t.Errorf("reconnecting after %d %q, want %d", e.Code, e.Reason, c.code)
		}
		s.admit(n)
		n.do(order{"do": "close"})
		n.next("close")
	}
}

func feedTokenExpires(t *testing.T, s *server, n *script) {
	s.openFeed(n, "feeds:a")
	s.api("refresh", `{"user":"alice","expired":true}`)
	if r := n.next("reconnecting"); r.Code != 3005 {
		t.Errorf("reconnecting after %d %q, want 3005", r.Code, r.Reason)
	}
	s.admit(n)
}

func feedPatterns(t *testing.T, s *server, n *script) {
	s.openFeed(n, "feeds:*", "feeds:a")
	s.publish("feeds:b", `1`)
	if p := n.next("publication"); p.Channel != "feeds:b" || p.Offset != 0 || p.Epoch != "" || string(p.Data) != `1` {
		t.Errorf("through the pattern came %+v", p)
	}
	s.lose(n)
	s.publish("feeds:a", `2`) // comes back for the channel, not for the pattern
	s.admit(n)
	wantFeed(n, "feeds:a", `2`, 1)
	s.publish("feeds:b", `3`)
	if p := n.next("publication"); p.Channel != "feeds:b" || string(p.Data) != `3` {
		t.Errorf("through the pattern came %+v", p)
	}
}

// A browser does not say why a handshake failed, so the feed goes on asking, with a token that may be better.
func feedRefused(t *testing.T, s *server, n *script) {
	n.do(order{"do": "open", "channels": []string{"feeds:a"}, "askForToken": true})
	for _, bad := range []string{"a.b.c", sign(t, "alice", -time.Hour)} {
		n.next("token wanted")
		n.do(order{"do": "give token", "token": bad})
		if e := n.next("error"); e.Text == "" {
			t.Error("an error that says nothing")
		}
		if r := n.next("reconnecting"); r.Code != 1006 {
			t.Errorf("reconnecting after %d %q, want 1006", r.Code, r.Reason)
		}
	}
	s.admit(n)
}

func feedClosed(t *testing.T, s *server, n *script) {
	s.openFeed(n, "feeds:a")
	n.do(order{"do": "close"})
	if c := n.next("close"); c.Code != 1000 {
		t.Errorf("closed with %d %q, want 1000", c.Code, c.Reason)
	}
	s.openFeed(n, "feeds:b")
	s.publish("feeds:a", `"unheard"`)
	s.publish("feeds:b", `"heard"`)
	wantFeed(n, "feeds:b", `"heard"`, 1)
	s.stop() // would wait for a connection that is left
	n.next("reconnecting")
}

// inChromium opens a page of another origin that imports the module, under a
// policy that lets it do no more than that.
func inChromium(t *testing.T, change func(*engine.Config)) (*server, *script) {
	t.Helper()
	program := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if found, err := exec.LookPath(name); err == nil {
			program = found
			break
		}
	}
	if program == "" {
		missing(t, "chromium", "install Chromium")
	}
	if !installed("playwright-core") {
		missing(t, "playwright-core", "npm ci --prefix engine/realclient")
	}
	site := httptest.NewServer(http.HandlerFunc(modulePage))
	t.Cleanup(site.Close)
	allowed, err := origin.Parse([]string{site.URL})
	if err != nil {
		t.Fatal(err)
	}
	s := serve(t, func(c *engine.Config) {
		change(c)
		c.Origins = allowed
	})
	return s, s.node(t, "feed-chromium.mjs", order{
		"chromium": program, "pin": s.pin(), "page": site.URL, "orders": "/engine/realclient/testdata/feed-orders.mjs",
	})
}

// modulePage serves an empty page and the two modules, where they import each other from.
func modulePage(w http.ResponseWriter, r *http.Request) {
	modules := []string{"/clients/js/weir-feed.js", "/engine/realclient/testdata/feed-orders.mjs"}
	w.Header().Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; connect-src wss:")
	switch {
	case slices.Contains(modules, r.URL.Path):
		module, err := os.ReadFile(path.Join(repository, r.URL.Path))
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "text/javascript")
		_, _ = w.Write(module) // a browser that goes away is the test's to notice
	case r.URL.Path == "/":
		w.Header().Set("Content-Type", "text/html")
		_, _ = w.Write([]byte("<!doctype html><title>a page</title>"))
	default:
		http.NotFound(w, r)
	}
}

// pin is the hash of the certificate's key, as Chromium wants it.
func (id *identity) pin() string {
	block, _ := pem.Decode(id.Cert)
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		panic(err) // it is our own
	}
	sum := sha256.Sum256(cert.RawSubjectPublicKeyInfo)
	return base64.StdEncoding.EncodeToString(sum[:])
}
