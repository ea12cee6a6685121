package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"weir/security/oplog/logtest"
)

// script is one connection as the fake server plays it: it is called with the
// upgraded connection and returns when it is over.
type script func(t *testing.T, c *scriptedConn)

// scriptedConn is the server's end of a connection.
type scriptedConn struct {
	t   *testing.T
	ws  *websocket.Conn
	req *http.Request
}

// want reads a frame and checks its text.
func (c *scriptedConn) want(frame string) {
	c.t.Helper()
	_, b, err := c.ws.Read(c.t.Context())
	if err != nil {
		c.t.Errorf("reading, instead of %s: %v", frame, err)
		return
	}
	if string(b) != frame {
		c.t.Errorf("the client sent %s, want %s", b, frame)
	}
}

func (c *scriptedConn) say(frame string) {
	c.t.Helper()
	if err := c.ws.Write(c.t.Context(), websocket.MessageText, []byte(frame)); err != nil {
		c.t.Errorf("writing %s: %v", frame, err)
	}
}

func (c *scriptedConn) close(code int, reason string) {
	_ = c.ws.Close(websocket.StatusCode(code), reason) // the client may have gone first
}

// drain reads until the client closes.
func (c *scriptedConn) drain() {
	for {
		if _, _, err := c.ws.Read(c.t.Context()); err != nil {
			return
		}
	}
}

// fakeWeir plays the scripts, one a connection; past the last it refuses with 404.
func fakeWeir(t *testing.T, scripts ...script) (args []string) {
	t.Helper()
	next := make(chan script, len(scripts))
	for _, s := range scripts {
		next <- s
	}
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case play := <-next:
			ws, err := websocket.Accept(w, r, nil)
			if err != nil {
				t.Errorf("accept: %v", err)
				return
			}
			defer ws.CloseNow()
			play(t, &scriptedConn{t: t, ws: ws, req: r})
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(server.Close)
	url := "wss" + strings.TrimPrefix(server.URL, "https")
	return []string{"--url", url, "--ca-file", caFile(t, server)}
}

// follow runs weir sub with the given pauses recorded instead of slept.
func follow(t *testing.T, args ...string) (stdout, stderr string, pauses []time.Duration, err error) {
	t.Helper()
	i := &invocation{args: append([]string{"sub"}, args...)}
	p := i.process()
	cmd, err := parse(p)
	if err != nil {
		t.Fatal(err)
	}
	f, err := newFollower(p, &cmd.Sub)
	if err != nil {
		t.Fatal(err)
	}
	defer f.http.CloseIdleConnections()
	f.wait = func(_ context.Context, d time.Duration) { pauses = append(pauses, d) }
	f.random = func() float64 { return 0.5 }
	err = f.run(t.Context())
	return i.stdout.String(), i.stderr.String(), pauses, err
}

const (
	connectFrame = `{"id":1,"connect":{"token":"T","name":"weir"}}`
	connectReply = `{"id":1,"connect":{"client":"c1","ping":25,"pong":true}}`
)

func TestSubPrintsOneLinePerPublication(t *testing.T) {
	args := fakeWeir(t, func(t *testing.T, c *scriptedConn) {
		if got := c.req.Header.Get("Origin"); got != "https://"+c.req.Host {
			t.Errorf("origin %q", got)
		}
		if c.req.URL.Path != "/connection/websocket" || c.req.URL.RawQuery != "" {
			t.Errorf("dialled %s", c.req.URL)
		}
		c.want(connectFrame)
		c.say(connectReply)
		c.want(`{"id":2,"subscribe":{"channel":"feeds:a"}}` + "\n" + `{"id":3,"subscribe":{"channel":"feeds:*"}}`)
		c.say(`{"id":2,"subscribe":{"recoverable":true,"epoch":"e","offset":4}}` + "\n" + `{"id":3,"subscribe":{}}`)
		c.say(`{}`)
		c.want(`{}`)
		c.say(`{"push":{"channel":"feeds:a","pub":{"data":{"x":"<"},"offset":5}}}` + "\n" +
			`{"push":{"channel":"feeds:*","pub":{"data":[1],"channel":"feeds:b"}}}`)
		c.say(`{"push":{"channel":"other","message":{"data":1}}}`)
		c.say(`{"push":{"channel":"feeds:a","pub":{"data":null,"offset":6}}}`)
		c.drain()
	})
	stdout, stderr, pauses, err := follow(t, append(args, "feeds:a", "feeds:*", "--token=T", "--count=3")...)
	if err != nil || len(pauses) != 0 {
		t.Errorf("error %v, pauses %v; stderr: %s", err, pauses, stderr)
	}
	want := `{"channel":"feeds:a","offset":5,"epoch":"e","data":{"x":"<"}}` + "\n" +
		`{"channel":"feeds:b","data":[1]}` + "\n" +
		`{"channel":"feeds:a","offset":6,"epoch":"e","data":null}` + "\n"
	if stdout != want {
		t.Errorf("printed\n%swant\n%s", stdout, want)
	}
}

func TestSubComesBackAndRecovers(t *testing.T) {
	args := fakeWeir(t,
		func(t *testing.T, c *scriptedConn) {
			c.want(connectFrame)
			c.say(connectReply)
			c.want(`{"id":2,"subscribe":{"channel":"a"}}`)
			c.say(`{"id":2,"subscribe":{"recoverable":true,"epoch":"e","offset":4}}` + "\n" + `{"push":{"channel":"a","pub":{"data":5,"offset":5}}}`)
			c.close(3001, "shutdown")
		},
		func(t *testing.T, c *scriptedConn) { c.ws.CloseNow() },
		func(t *testing.T, c *scriptedConn) {
			c.want(connectFrame)
			c.say(connectReply)
			c.want(`{"id":2,"subscribe":{"channel":"a","recover":true,"offset":5,"epoch":"e"}}`)
			c.say(`{"id":2,"subscribe":{"recoverable":true,"recovered":true,"epoch":"e","offset":5,"publications":[{"data":6,"offset":6},{"data":7,"offset":7}]}}`)
			c.say(`{"push":{"disconnect":{"code":3011,"reason":"force reconnect"}}}`)
			c.drain()
		},
		func(t *testing.T, c *scriptedConn) {
			c.want(connectFrame)
			c.say(connectReply)
			c.want(`{"id":2,"subscribe":{"channel":"a","recover":true,"offset":7,"epoch":"e"}}`)
			c.say(`{"id":2,"subscribe":{"recoverable":true,"epoch":"f","offset":90}}`)
			c.say(`{"push":{"channel":"a","pub":{"data":91,"offset":91}}}`)
			c.drain()
		},
	)
	stdout, stderr, pauses, err := follow(t, append(args, "a", "--token=T", "--count=4")...)
	if err != nil {
		t.Fatalf("%v; stderr: %s", err, stderr)
	}
	want := `{"channel":"a","offset":5,"epoch":"e","data":5}
{"channel":"a","offset":6,"epoch":"e","data":6}
{"channel":"a","offset":7,"epoch":"e","data":7}
{"channel":"a","offset":91,"epoch":"f","data":91}
`
	if stdout != want {
		t.Errorf("printed\n%swant\n%s", stdout, want)
	}
	// Once after 3001, once more after the connection that never got to connect, once after 3011.
	if len(pauses) != 3 || pauses[1] <= pauses[0] || pauses[2] != pauses[0] {
		t.Errorf("pauses %v", pauses)
	}
	for _, w := range []string{`3001 "shutdown"`, `3011 "force reconnect"`, "is lost"} {
		if !strings.Contains(stderr, w) {
			t.Errorf("stderr does not say %q: %s", w, stderr)
		}
	}
}

// Each of these ends the run at once: another attempt would meet the same.
func TestSubFinalErrors(t *testing.T) {
	connected := func(then func(c *scriptedConn)) script {
		return func(t *testing.T, c *scriptedConn) {
			c.want(connectFrame)
			c.say(connectReply)
			c.want(`{"id":2,"subscribe":{"channel":"a"}}`)
			then(c)
			c.drain()
		}
	}
	answered := func(reply string) script {
		return func(t *testing.T, c *scriptedConn) {
			c.want(connectFrame)
			c.say(reply)
			c.drain()
		}
	}
	for name, c := range map[string]struct {
		play script
		word string
	}{
		"invalid token":     {answered(`{"id":1,"error":{"code":101,"message":"unauthorized"}}`), "--token"},
		"expired token":     {answered(`{"id":1,"error":{"code":109,"message":"token expired"}}`), "new token"},
		"other protocol":    {answered(`hello`), "does not speak"},
		"no result":         {answered(`{"id":1}`), "no result"},
		"final close":       {connected(func(c *scriptedConn) { c.close(3507, "permission denied") }), `3507 "permission denied"`},
		"too big":           {connected(func(c *scriptedConn) { c.close(1009, "") }), "1009"},
		"final disconnect":  {connected(func(c *scriptedConn) { c.say(`{"push":{"disconnect":{"code":3500,"reason":"invalid token"}}}`) }), "3500"},
		"no such channel":   {connected(func(c *scriptedConn) { c.say(`{"id":2,"error":{"code":103,"message":"permission denied"}}`) }), "a: error 103"},
		"final unsubscribe": {connected(func(c *scriptedConn) { c.say(`{"push":{"channel":"a","unsubscribe":{"code":2000,"reason":"server"}}}`) }), "2000"},
		"garbage":           {connected(func(c *scriptedConn) { c.say(`{"push":`) }), "not JSON"},
	} {
		_, stderr, pauses, err := follow(t, append(fakeWeir(t, c.play), "a", "--token=T")...)
		if err == nil || !strings.Contains(err.Error(), c.word) || len(pauses) != 0 {
			t.Errorf("%s: got %v after pauses %v; stderr: %s", name, err, pauses, stderr)
		}
	}
}

func TestSubTriesAgainAfterTemporaryErrors(t *testing.T) {
	for name, reply := range map[string]string{
		"temporary":   `{"id":1,"error":{"code":111,"message":"too many requests","temporary":true}}`,
		"code < 100":  `{"id":1,"error":{"code":7,"message":"later"}}`,
		"subscribing": connectReply + "\n" + `{"id":2,"error":{"code":100,"message":"internal","temporary":true}}`,
		"unsubscribe": connectReply + "\n" + `{"push":{"channel":"a","unsubscribe":{"code":2500,"reason":"insufficient"}}}`,
	} {
		args := fakeWeir(t, func(t *testing.T, c *scriptedConn) {
			c.want(connectFrame)
			c.say(reply)
			c.drain()
		})
		_, stderr, pauses, err := follow(t, append(args, "a", "--token=T")...)
		// The second attempt meets the fake's 404, which is final.
		if err == nil || !strings.Contains(err.Error(), "404") || len(pauses) != 1 {
			t.Errorf("%s: got %v after pauses %v; stderr: %s", name, err, pauses, stderr)
		}
	}
}

func TestSubReadsTheTokenFileOnEachConnect(t *testing.T) {
	file := writeFile(t, "token", "T\n")
	args := fakeWeir(t,
		func(t *testing.T, c *scriptedConn) {
			c.want(connectFrame)
			if err := os.WriteFile(file, []byte("T2"), 0o600); err != nil {
				t.Error(err)
			}
			c.say(`{"id":1,"error":{"code":109,"message":"token expired"}}`)
			c.drain()
		},
		func(t *testing.T, c *scriptedConn) {
			c.want(strings.Replace(connectFrame, `"T"`, `"T2"`, 1))
			c.close(3500, "seen")
		},
	)
	if _, _, _, err := follow(t, append(args, "a", "--token-file", file)...); err == nil || !strings.Contains(err.Error(), "seen") {
		t.Errorf("got %v", err)
	}
}

func TestSubRefusedBeforeTheUpgrade(t *testing.T) {
	for status, c := range map[int]struct {
		word  string
		final bool
	}{
		401: {"401", true}, 403: {"--origin", true}, 404: {"404", true}, 426: {"426", true},
		429: {"429", false}, 503: {"503", false},
	} {
		seen := 0
		server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if seen++; seen > 1 {
				w.WriteHeader(http.StatusTeapot)
				return
			}
			w.Header().Set("Retry-After", "7")
			http.Error(w, "said \x1b[31m", status)
		}))
		_, stderr, pauses, err := follow(t, "--url", "wss"+strings.TrimPrefix(server.URL, "https"), "--ca-file", caFile(t, server), "a")
		server.Close()
		all := stderr
		if err != nil {
			all += err.Error()
		}
		if err == nil || !strings.Contains(all, c.word) || c.final != (len(pauses) == 0) {
			t.Errorf("%d: got %v after pauses %v; stderr: %s", status, err, pauses, stderr)
		}
		if !c.final && pauses[0] < 7*time.Second {
			t.Errorf("%d: the pause %v is shorter than Retry-After", status, pauses[0])
		}
		if strings.ContainsRune(all, '\x1b') {
			t.Errorf("%d: the server's control characters reach the terminal", status)
		}
	}
}

func TestSubRefusesAnUntrustedServer(t *testing.T) {
	server := httptest.NewTLSServer(http.NotFoundHandler())
	defer server.Close()
	server.Config.ErrorLog = nil
	_, _, pauses, err := follow(t, "--url", "wss"+strings.TrimPrefix(server.URL, "https"), "a")
	if err == nil || !strings.Contains(err.Error(), "--ca-file") || len(pauses) != 0 {
		t.Errorf("got %v after pauses %v", err, pauses)
	}
}

// The query of the URL may hold a token or a ticket; messages go to logs.
func TestSubShowsNoQuery(t *testing.T) {
	args := fakeWeir(t, func(t *testing.T, c *scriptedConn) {
		c.want(connectFrame)
		c.say(connectReply)
		c.close(3000, "closed")
	})
	args[1] += "/?ticket=CANARY"
	_, stderr, _, err := follow(t, append(args, "--token=T", "a")...)
	if all := fmt.Sprint(stderr, err); strings.Contains(all, "CANARY") || !strings.Contains(all, "connected to wss://") {
		t.Errorf("printed %s", all)
	}
	untrusted := httptest.NewTLSServer(http.NotFoundHandler())
	defer untrusted.Close()
	untrusted.Config.ErrorLog = log.New(io.Discard, "", 0)
	host := strings.TrimPrefix(untrusted.URL, "https://")
	if _, stderr, _, err = follow(t, "--url", "wss://"+host+"/?ticket=CANARY", "a"); err == nil || strings.Contains(fmt.Sprint(stderr, err), "CANARY") {
		t.Errorf("printed %s, %v", stderr, err)
	}
	// Nobody listens: an error that another attempt may not meet.
	i := &invocation{args: []string{"sub", "--url", "wss://127.0.0.1:1/?ticket=CANARY", "a"}, signals: make(chan os.Signal, 1)}
	status := make(chan int)
	go func() { status <- run(i.process()) }()
	text := i.stderr.Await(t, "again in")
	i.signals <- os.Interrupt
	<-status
	if strings.Contains(text, "CANARY") || !strings.Contains(text, "no connection to wss://127.0.0.1:1/connection/websocket") {
		t.Errorf("printed %s", text)
	}
}

// What a publisher writes moves no cursor of those who follow.
func TestSubPrintsNoTerminalCommands(t *testing.T) {
	args := fakeWeir(t, func(t *testing.T, c *scriptedConn) {
		c.want(connectFrame)
		c.say(connectReply)
		c.want(`{"id":2,"subscribe":{"channel":"a"}}`)
		c.say(`{"id":2,"subscribe":{}}` + "\n" + `{"push":{"channel":"a","pub":{"data":"é ` + "\u009b2J \x7f" + ` 漢"}}}`)
	})
	stdout, stderr, _, err := follow(t, append(args, "--token=T", "--count=1", "a")...)
	if want := `{"channel":"a","data":"é \u009b2J \u007f 漢"}` + "\n"; stdout != want || err != nil {
		t.Errorf("printed %q, %v: %s", stdout, err, stderr)
	}
}

func TestSubEndsOnASignal(t *testing.T) {
	subscribed := make(chan struct{})
	args := fakeWeir(t, func(t *testing.T, c *scriptedConn) {
		c.want(connectFrame)
		c.say(connectReply)
		c.want(`{"id":2,"subscribe":{"channel":"a"}}`)
		close(subscribed)
		c.drain()
	})
	i := &invocation{args: append(append([]string{"sub"}, args...), "a", "--token=T"), signals: make(chan os.Signal, 1)}
	status := make(chan int)
	go func() { status <- run(i.process()) }()
	<-subscribed
	i.signals <- os.Interrupt
	if got := <-status; got != 0 {
		t.Errorf("status %d: %s", got, i.stderr.String())
	}
}

func TestSilentServerIsLeft(t *testing.T) {
	args := fakeWeir(t, func(t *testing.T, c *scriptedConn) { c.drain() })
	i := &invocation{args: append(append([]string{"sub"}, args...), "a", "--token=T")}
	cmd, err := parse(i.process())
	if err != nil {
		t.Fatal(err)
	}
	f, err := newFollower(i.process(), &cmd.Sub)
	if err != nil {
		t.Fatal(err)
	}
	defer f.http.CloseIdleConnections()
	if err := f.dial(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer f.conn.CloseNow()
	if _, err := f.read(t.Context(), time.Millisecond); !errors.Is(err, errSilent) {
		t.Errorf("got %v", err)
	}
	f.ping = 25 * time.Second
	if got := f.patience(); got != 35*time.Second {
		t.Errorf("patience %v", got)
	}
}

func TestPauses(t *testing.T) {
	f := &follower{random: func() float64 { return 0.999 }}
	if got := f.pause(0, nil); got < backoffFirst/2 || got > backoffFirst {
		t.Errorf("first pause %v", got)
	}
	if got := f.pause(1000, nil); got < backoffLast/2 || got > backoffLast {
		t.Errorf("pause after many failures %v", got)
	}
}

// FuzzFrames: nothing a server sends makes weir sub panic or print a line that is not JSON.
func FuzzFrames(f *testing.F) {
	f.Add(`{"push":{"channel":"a","pub":{"data":{"x":1},"offset":5}}}`)
	f.Add(`{"id":2,"subscribe":{"recovered":true,"publications":[{"data":1}]}}` + "\n{}")
	f.Add(`{"push":{"channel":"a","unsubscribe":{}}}`)
	f.Fuzz(func(t *testing.T, frame string) {
		out := &logtest.Log{}
		fl := &follower{out: out, note: func(string, ...any) {}, subscriptions: []*subscription{{channel: "a"}}}
		_ = fl.takeFrame(t.Context(), []byte(frame)) // an error is an answer too
		for line := range strings.Lines(out.String()) {
			if !json.Valid([]byte(line)) {
				t.Errorf("%q: printed %q", frame, line)
			}
		}
	})
}
