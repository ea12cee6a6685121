package replay

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"weir/engine/upgrade"
	"weir/engine/ws"
	"weir/security/audit/capture"
	"weir/security/token"
)

const first = `{"at":0,"begin":{"version":1,"run":"1","part":1,"time":"2026-01-31T12:00:00Z"}}`

// loaded is the capture of a file with these lines behind the first.
func loaded(t testing.TB, lines ...string) *Capture {
	t.Helper()
	c := &Capture{}
	p, err := c.read("f", strings.NewReader(strings.Join(append([]string{first}, lines...), "\n")+"\n"))
	if err != nil {
		t.Fatal(err)
	}
	c.sort([]*part{p})
	return c
}

// TestBrokenFramesBreakTheirRule: what is sent for a label is refused for it.
func TestBrokenFramesBreakTheirRule(t *testing.T) {
	without := []*ws.Violation{ws.ErrMasked, ws.ErrDeflate, ws.ErrTooManyBlocks} // none of a client's, and compressed ones
	for _, v := range ws.Violations() {
		b := brokenFrames(v.Label)
		if slices.Contains(without, v) != (b == nil) {
			t.Errorf("%s: %d bytes", v.Label, len(b))
		}
		var r ws.Reader
		var got *ws.Violation
		for in := b; got == nil && b != nil; {
			ev, rest, violation := r.Next(in, &ws.Limits{Message: 64 << 10, Fragments: 64}, new(ws.Scratch))
			if in, got = rest, violation; ev.Kind == ws.None && got == nil {
				break
			}
		}
		if b != nil && got != v {
			t.Errorf("%s: %v", v.Label, got)
		}
	}
	if brokenFrames("anything") != nil {
		t.Error("a label that is none")
	}
}

// TestBrokenHeadsAreRefusedForTheirLabel, as are good ones whose fields were wrong.
func TestBrokenHeadsAreRefusedForTheirLabel(t *testing.T) {
	path := &capture.Text{Text: "/connection/websocket"}
	for _, f := range upgrade.Refusals() {
		malformed, known := head("h", "", &capture.Request{}, nil, f.Label)
		whole, ok := head("h", "", &capture.Request{Path: path}, nil, f.Label)
		if _, _, got := upgrade.Parse(malformed, upgrade.Limits{HeadBytes: 8 << 10, Headers: 64}); known && got != f {
			t.Errorf("%s: %v", f.Label, got)
		}
		req, n, got := upgrade.Parse(whole, upgrade.Limits{HeadBytes: 8 << 10, Headers: 64})
		if got != nil || n != len(whole) {
			t.Errorf("%s: %v", f.Label, got)
		}
		of := req.WebSocket()
		if f == upgrade.ErrExtensionList {
			_, _, of = upgrade.NegotiateDeflate(req.Extensions)
		}
		wrong := []*upgrade.Refusal{upgrade.ErrNotUpgrade, upgrade.ErrMissingVersion, upgrade.UpgradeRequired, upgrade.ErrKey, upgrade.ErrExtensionList}
		if slices.Contains(wrong, f) != (of == f) || of != nil && of != f {
			t.Errorf("%s: %v", f.Label, of)
		}
		if proxied := []*upgrade.Refusal{upgrade.UnprovenProxy, upgrade.PlainClient, upgrade.ErrForwarded}; slices.Contains(proxied, f) == ok {
			t.Errorf("%s: can be made again: %v", f.Label, ok)
		}
		if labelOf(f.Status, f.Reason+"\n") != f.Label {
			t.Errorf("%s is not known by its answer", f.Label)
		}
	}
	if _, ok := head("h", "", &capture.Request{}, nil, ""); ok {
		t.Error("a malformed head without a reason was made")
	}
}

// TestHeadsComeBack: what is sent for a request has its fields, with live credentials.
func TestHeadsComeBack(t *testing.T) {
	name := "token-0123456789ab"
	marked := func(before string) *capture.Text {
		return &capture.Text{Text: before + name, Marks: []int{len(before)}}
	}
	live := credentials{name: "live.to.ken", "ticket-0123456789ab": "tic.k.et"}
	q := &capture.Request{Path: &capture.Text{Text: "/feed"}, Query: marked("channel=a&token="), Origin: &capture.Text{Text: "https://a.example"},
		Protocols: marked("weir-feed, bearer."), Authorization: marked("Bearer ")}
	b, _ := head("h:1", "", q, live, "")
	req, _, f := upgrade.Parse(b, upgrade.Limits{HeadBytes: 8 << 10, Headers: 64})
	if f != nil || string(req.Path) != "/feed" || string(req.RawQuery) != "channel=a&token=live.to.ken" || string(req.Origin) != "https://a.example" ||
		string(req.Protocols) != "weir-feed, bearer.live.to.ken" || string(req.Authorization) != "Bearer live.to.ken" || string(req.Host) != "h:1" {
		t.Errorf("%s", b)
	}
	b, _ = head("h", "https://other.example", q, live, "")
	if !bytes.Contains(b, []byte("Origin: https://other.example\r\n")) {
		t.Errorf("%s", b)
	}
	b, _ = head("h", "https://other.example", q, live, "origin")
	if !bytes.Contains(b, []byte("Origin: https://a.example\r\n")) {
		t.Errorf("%s", b)
	}
	b, _ = head("h", "", &capture.Request{Path: q.Path, Query: &capture.Text{Text: "ticket=ticket-0123456789ab", Marks: []int{7}}}, live, "")
	if !bytes.Contains(b, []byte("Authorization: Bearer tic.k.et\r\n")) || bytes.Contains(b, []byte("Origin")) {
		t.Errorf("%s", b)
	}
}

// TestTokensAreMadeAgain: with the same claims, whose times are as far away; once for each name.
func TestTokensAreMadeAgain(t *testing.T) {
	secret := []byte(strings.Repeat("s", 32))
	now := time.Now().Truncate(time.Second)
	w := &wallet{secret: secret, now: func() time.Time { return now }, minted: map[string]string{}}
	seconds := func(n int64) *int64 { return &n }
	good := &capture.Credential{Name: "token-0123456789ab", State: capture.Accepted, Claims: &capture.Claims{
		Subject: "alice", Issuer: "me", Audience: []string{"you"}, Channels: []string{"a"}, Subs: []string{"b"}, Roles: []string{"r"},
		Caps: []byte(`[{"channels":["x"],"allow":["sub"]}]`), Expires: 60, Issued: seconds(-5), NotBefore: seconds(-6), ExpireAt: seconds(30)}}
	live, err := w.live(good)
	if err != nil {
		t.Fatal(err)
	}
	v, err := token.New(token.Config{HMACSecrets: [][]byte{secret}, Issuer: "me", Audiences: []string{"you"}})
	if err != nil {
		t.Fatal(err)
	}
	c, err := v.Connection([]byte(live), now)
	if err != nil || c.Subject != "alice" || c.ExpiresAt != now.Unix()+60 || c.IssuedAt != now.Unix()-5 || *c.ExpireAt != now.Unix()+30 ||
		!slices.Equal(c.ServerChannels(), []string{"a", "b"}) || !slices.Equal(c.Roles, []string{"r"}) || c.Grant == nil {
		t.Errorf("%+v, %v", c, err)
	}
	now = now.Add(time.Second)
	if again, _ := w.live(good); again != live {
		t.Error("equal tokens became different ones")
	}
	forever, over := *good, *good
	forever.Name, over.Name, over.State = "token-0123456789ac", "token-0123456789ad", capture.Expired
	forever.Claims, over.Claims = &capture.Claims{ExpireAt: seconds(capture.Forever), Expires: 60}, &capture.Claims{Expires: -60}
	live, _ = w.live(&forever)
	v, _ = token.New(token.Config{HMACSecrets: [][]byte{secret}})
	if c, err := v.Connection([]byte(live), now); err != nil || *c.ExpireAt != 0 {
		t.Errorf("%+v, %v", c, err)
	}
	live, _ = w.live(&over)
	if _, err := v.Connection([]byte(live), now); !errors.Is(err, token.ErrExpired) {
		t.Errorf("%s: %v", live, err)
	}
	for _, c := range []struct {
		w    *wallet
		what capture.Credential
		want error
	}{
		{&wallet{}, *good, errNoSecret},
		{&wallet{}, over, errNoSecret},
		{&wallet{token: "t"}, over, errNoSecret},
		{&wallet{token: "t"}, capture.Credential{Name: good.Name, State: capture.Accepted, Claims: &capture.Claims{Channel: "$a"}}, errNoSecret},
		{&wallet{secret: secret}, capture.Credential{Name: "ticket-0123456789ab", State: capture.Accepted}, errTicket},
		{&wallet{secret: secret}, capture.Credential{Name: good.Name, State: capture.UnknownKey}, errKey},
		{&wallet{secret: secret}, capture.Credential{Name: good.Name, State: capture.Accepted}, errClaims},
		{&wallet{secret: secret}, capture.Credential{Name: "token-0123456789ae", State: capture.Accepted, Claims: &capture.Claims{Expires: -1 << 62}}, errClaims},
		{&wallet{secret: secret}, capture.Credential{Name: "token-0123456789ae", State: capture.Accepted, Claims: &capture.Claims{Expires: 9, Caps: []byte(`{}`)}}, errClaims},
	} {
		c.w.now, c.w.minted = w.now, map[string]string{}
		if got, err := c.w.live(&c.what); !errors.Is(err, c.want) {
			t.Errorf("%+v: %s, %v", c.what, got, err)
		}
	}
	if got, err := (&wallet{token: "t"}).live(good); got != "t" || err != nil {
		t.Errorf("%s, %v", got, err)
	}
	if got, err := (&wallet{}).live(&capture.Credential{Name: "token-0123456789ab", State: capture.Invalid}); got != "token-0123456789ab" || err != nil {
		t.Errorf("%s, %v", got, err)
	}
}

// server is the other end of a replayed connection.
type server struct {
	t    *testing.T
	conn net.Conn
	in   *bufio.Reader
	ws   ws.Reader
	left []byte
}

// say sends frames of text.
func (s *server) say(texts ...string) {
	for _, text := range texts {
		_, _ = s.conn.Write(ws.AppendFrame(nil, ws.OpText, []byte(text)))
	}
}

func (s *server) close(code uint16) { _, _ = s.conn.Write(ws.AppendClose(nil, code, "x")) }

// hear returns the next message of the client; "" at its end.
func (s *server) hear() string {
	for buffer := make([]byte, 4096); ; {
		ev, rest, v := s.ws.Next(s.left, &ws.Limits{Message: 1 << 20}, new(ws.Scratch))
		s.left = rest
		switch {
		case v != nil:
			return v.Label
		case ev.Kind == ws.Text:
			return string(ev.Payload)
		case ev.Kind == ws.Close:
			return fmt.Sprint("close ", ev.Code)
		case ev.Kind != ws.None:
			return fmt.Sprintf("%d:%d", ev.Kind, len(ev.Payload))
		}
		n, err := s.in.Read(buffer)
		if err != nil {
			return ""
		}
		s.left = buffer[:n]
	}
}

// against replays lines against a server that does this with each connection, after its 101.
func against(t *testing.T, c *Capture, patience time.Duration, does func(*server)) *Report {
	t.Helper()
	cfg := Config{Host: "h", Speed: 1000, Patience: patience, Dial: func(context.Context) (net.Conn, error) {
		near, far := net.Pipe()
		go func() {
			defer far.Close()
			s := &server{t: t, conn: far, in: bufio.NewReader(far)}
			if _, err := http.ReadRequest(s.in); err != nil {
				return
			}
			_, _ = far.Write(upgrade.AppendSwitching(nil, []byte("dGhlIHNhbXBsZSBub25jZQ=="), "", ""))
			does(s)
			for s.hear() != "" { // a pipe has no buffer
			}
		}()
		return near, nil
	}}
	report, err := Run(t.Context(), c, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

const (
	requested = `{"at":0,"conn":"c","request":{"peer":"","why":"","path":{"text":"/connection/websocket"}}}`
	opened    = `{"at":0,"conn":"c","answer":{"status":101}}`
	never     = time.Hour // for what must come
	atOnce    = time.Millisecond
)

func message(text string) string { return `{"at":1,"conn":"c","message":{"text":"` + text + `"}}` }
func replied(id, code int) string {
	return fmt.Sprintf(`{"at":2,"conn":"c","reply":{"id":%d,"code":%d}}`, id, code)
}
func ended(by string, code int) string {
	return fmt.Sprintf(`{"at":3,"conn":"c","end":{"by":"%s","code":%d,"reason":"x"}}`, by, code)
}

// TestVerdictsAreCompared: what is found, and what is only noted, line by line.
func TestVerdictsAreCompared(t *testing.T) {
	for _, c := range []struct {
		name     string
		lines    []string // behind the answer
		patience time.Duration
		does     func(*server)
		differs  []string // line, found and expected
		notes    string
	}{
		{"the same", []string{message("a"), replied(1, 0), message("b"), replied(2, 103), ended("server", 3501)}, never, func(s *server) {
			s.hear()
			s.say(`{"id":1,"connect":{}}`, `{"push":{}}`)
			s.hear()
			s.say(`{"id":2,"error":{"code":103}}`)
			s.close(3501)
		}, nil, ""},
		{"other codes", []string{message("a"), replied(1, 0), replied(2, 103), replied(2, 0), ended("server", 3501)}, never, func(s *server) {
			s.hear()
			s.say(`{"id":1,"error":{"code":101}}`+"\n"+`{"id":2,"x":{}}`, `{"id":2,"error":{"code":107}}`)
			s.close(3500)
		}, []string{"5 error 101/no error in reply 1", "6 no error/error 103 in reply 2", "7 error 107/no error in reply 2", "8 close 3500/close 3501"}, ""},
		{"no reply and one too many", []string{message("a"), replied(1, 0), ended("server", 3501)}, never, func(s *server) {
			s.hear()
			s.say(`{"id":9,"x":{}}`)
			s.close(3501)
		}, []string{"5 no reply/no error in reply 1", "6 no error/no reply 9"}, ""},
		{"it closes too early", []string{message("a"), replied(1, 0), ended("client", 1000)}, never, func(s *server) {
			s.hear()
			s.close(3000)
		}, []string{"5 no reply/no error in reply 1", "6 close 3000/open until the client ended it"}, ""},
		{"it does not close", []string{message("a"), ended("server", 3501)}, atOnce, func(s *server) { s.hear() }, []string{"5 open/close 3501"}, ""},
		{"it goes without a close frame", []string{message("a"), ended("server", 3501)}, never, func(s *server) {
			s.hear()
			_ = s.conn.Close()
		}, []string{"5 an end without a close frame/close 3501"}, ""},
		{"it does not answer", []string{message("a"), replied(1, 0), ended("client", 1000)}, atOnce, func(s *server) { s.hear() }, []string{"5 no reply/no error in reply 1"}, ""},
		{"the client's close", []string{ended("client", 4321)}, never, func(s *server) {
			if got := s.hear(); got != "close 4321" {
				s.t.Errorf("heard %s", got)
			}
			s.close(4321)
		}, nil, ""},
		{"a close that may not be sent", []string{ended("client", 1005)}, never, func(s *server) {
			if got := s.hear(); got != "close 1005" {
				s.t.Errorf("heard %s", got)
			}
			s.close(1000)
		}, nil, ""},
		{"the operator's close", []string{message("a"), ended("server", 3001)}, never, func(s *server) { s.hear() }, nil, "not the client's doing"},
		{"the policy's close, of half a message", []string{ended("server", 1008)}, never, func(s *server) {}, nil, "not the client's doing"},
		{"an abort", []string{ended("server", 0)}, never, func(s *server) {}, nil, "not the client's doing"},
		{"cut", []string{message("a"), replied(1, 0), `{"at":2,"conn":"c","cut":"no room"}`}, never, func(s *server) {
			s.hear()
			s.say(`{"id":1,"x":{}}`, `{"id":2,"x":{}}`)
		}, nil, "the capture was cut here"},
		{"no end", []string{message("a"), replied(1, 7)}, never, func(s *server) {
			s.hear()
			s.say(`{"id":1,"x":{}}`)
		}, []string{"5 no error/error 7 in reply 1"}, "the end of the connection is not captured"},
		{"frames that cannot be sent", []string{`{"at":1,"conn":"c","broken":"deflate"}`, ended("server", 1007)}, never, func(s *server) {}, nil, "cannot be sent again"},
		{"other frames", []string{`{"at":1,"conn":"c","frame":{"kind":"ping","bytes":3}}`, `{"at":1,"conn":"c","frame":{"kind":"pong"}}`,
			`{"at":1,"conn":"c","frame":{"kind":"binary","bytes":9}}`, `{"at":1,"conn":"c","frame":{"kind":"answer"}}`, `{"at":1,"conn":"c","broken":"unmasked"}`, ended("server", 1002)}, never, func(s *server) {
			for _, want := range []string{fmt.Sprintf("%d:3", ws.Ping), fmt.Sprintf("%d:0", ws.Pong), fmt.Sprintf("%d:9", ws.Binary), "unmasked"} {
				if got := s.hear(); got != want {
					s.t.Errorf("heard %s, want %s", got, want)
				}
			}
			s.close(1002)
		}, nil, ""},
		{"pings are answered", []string{message("a"), ended("server", 3501)}, never, func(s *server) {
			s.hear()
			s.say("{}")
			got := []string{s.hear()}
			_, _ = s.conn.Write(ws.AppendFrame(nil, ws.OpPing, []byte("xy")))
			if got = append(got, s.hear()); !slices.Equal(got, []string{"{}", fmt.Sprintf("%d:2", ws.Pong)}) {
				s.t.Errorf("heard %q", got)
			}
			s.close(3501)
		}, nil, ""},
		{"but where the client did not", []string{`{"at":1,"conn":"c","frame":{"kind":"answer"}}`, ended("server", 3012)}, never, func(s *server) {
			s.say("{}")
			got := []string{s.hear()}
			s.say("{}")
			s.close(3012)
			if got = append(got, s.hear()); !slices.Equal(got, []string{"{}", ""}) {
				s.t.Errorf("heard %q", got)
			}
		}, nil, ""},
	} {
		report := against(t, loaded(t, append([]string{requested, opened}, c.lines...)...), c.patience, c.does)
		var got []string
		for _, d := range report.Differences {
			got = append(got, fmt.Sprintf("%d %s/%s", d.Line, d.Found, d.Expected))
		}
		notes := fmt.Sprint(report.Notes)
		if !slices.Equal(got, c.differs) || (c.notes == "") != (len(report.Notes) == 0) || !strings.Contains(notes, c.notes) || report.Connections != 1 || report.Verdicts == 0 {
			t.Errorf("%s: %q, want %q; %s; %+v", c.name, got, c.differs, notes, report)
		}
	}
}

// TestAnswersAreCompared: those of the request.
func TestAnswersAreCompared(t *testing.T) {
	for _, c := range []struct {
		name   string
		answer string
		does   *upgrade.Refusal
		differ int
		note   string
	}{
		{"the same", `{"status":403,"reason":"origin"}`, upgrade.ForbiddenOrigin, 0, ""},
		{"another reason", `{"status":403,"reason":"origin"}`, upgrade.Forbidden, 1, ""},
		{"another status", `{"status":403,"reason":"origin"}`, upgrade.Unauthorized, 1, ""},
		{"let in then", `{"status":101}`, upgrade.Unauthorized, 1, ""},
		{"too much to do", `{"status":503,"reason":"overload"}`, upgrade.Unauthorized, 0, "too much to do"},
		{"a proxy's", `{"status":403,"reason":"proxy_secret"}`, upgrade.Unauthorized, 0, "not replayed"},
		{"no answer", `{"status":404,"reason":"not_found"}`, nil, 1, ""},
	} {
		cfg := Config{Host: "h", Speed: 1, Patience: never, Dial: func(context.Context) (net.Conn, error) {
			near, far := net.Pipe()
			go func() {
				defer far.Close()
				if _, err := http.ReadRequest(bufio.NewReader(far)); err == nil && c.does != nil {
					_, _ = far.Write(upgrade.AppendRefusal(nil, c.does))
				}
			}()
			return near, nil
		}}
		report, err := Run(t.Context(), loaded(t, requested, `{"at":1,"conn":"c","answer":`+c.answer+`}`, ended("server", 0)), cfg)
		if err != nil || len(report.Differences) != c.differ || !strings.Contains(fmt.Sprint(report.Notes), c.note) {
			t.Errorf("%s: %+v, %v", c.name, report, err)
		}
	}
}

// TestNobodyThere: the first connection that cannot be opened ends the run, a later one is a difference.
func TestNobodyThere(t *testing.T) {
	refused := errors.New("refused")
	nobody := func(context.Context) (net.Conn, error) { return nil, refused }
	one := []string{requested, `{"at":0,"conn":"c","answer":{"status":404,"reason":"not_found"}}`}
	if _, err := Run(t.Context(), loaded(t, one...), Config{Speed: 1, Dial: nobody}); !errors.Is(err, refused) {
		t.Errorf("%v", err)
	}
	var calls atomic.Int32
	asked := make(chan struct{})
	once := func(context.Context) (net.Conn, error) {
		if calls.Add(1) > 1 {
			<-asked
			return nil, refused
		}
		near, far := net.Pipe()
		go func() {
			_, _ = http.ReadRequest(bufio.NewReader(far))
			close(asked)
			_, _ = far.Write(upgrade.AppendRefusal(nil, upgrade.NotFound))
			_ = far.Close()
		}()
		return near, nil
	}
	report, err := Run(t.Context(), loaded(t, append(one, strings.Replace(requested, `"c"`, `"d"`, 1))...), Config{Speed: 1, Patience: never, Dial: once})
	if err != nil || len(report.Differences) != 1 || report.Differences[0].Expected != "a connection" {
		t.Errorf("%+v, %v", report, err)
	}
}

// TestConnectionsAtOnceAreBounded: a file may say that all of its connections came at the same time.
func TestConnectionsAtOnceAreBounded(t *testing.T) {
	var lines []string
	for i := range mostOpen + 200 {
		lines = append(lines, strings.Replace(requested, `"c"`, fmt.Sprintf(`"c%d"`, i), 1))
	}
	var dialing, most atomic.Int32
	arrived, release := make(chan struct{}), make(chan struct{})
	dial := func(context.Context) (net.Conn, error) {
		for n := dialing.Add(1); ; {
			if before := most.Load(); n <= before || most.CompareAndSwap(before, n) {
				break
			}
		}
		arrived <- struct{}{}
		<-release
		dialing.Add(-1)
		near, far := net.Pipe()
		return near, far.Close()
	}
	go func() {
		for i := range lines {
			if <-arrived; i == mostOpen-1 {
				close(release)
			}
		}
	}()
	report, err := Run(t.Context(), loaded(t, lines...), Config{Speed: 1, Patience: never, Dial: dial})
	if err != nil || report.Connections != len(lines) || most.Load() != mostOpen {
		t.Errorf("%d of %d were replayed, %d at once: %v", report.Connections, len(lines), most.Load(), err)
	}
}

// TestEachStepHasItsTime, divided by the speed.
func TestEachStepHasItsTime(t *testing.T) {
	begun := time.Unix(1000, 0)
	r := &runner{Config: Config{Speed: 4}, begun: begun, first: 1_000_000}
	for at, want := range map[int64]time.Duration{1_000_000: 0, 0: 0, 5_000_000: time.Second} {
		if got := r.due(at).Sub(begun); got != want {
			t.Errorf("%d: %v, want %v", at, got, want)
		}
	}
}

// TestLoad: what is missing is noted, what is no capture refused.
func TestLoad(t *testing.T) {
	c := loaded(t, `{"at":0,"conn":"x","reply":{"id":1}}`, `{"at":0,"conn":"x","reply":{"id":2}}`, requested, requested, `junk`, `{"at":0,"lost":3}`, `{"at":0,"full":true}`)
	if notes := fmt.Sprint(c.Notes); c.Connections() != 1 || len(c.scripts[0].steps) != 1 || len(c.Notes) != 4 ||
		!strings.Contains(notes, "no room for 3") || !strings.Contains(notes, "it was full") || !strings.Contains(notes, "its beginning is not there") {
		t.Errorf("%d, %+v", c.Connections(), c.Notes)
	}
	c = loaded(t, slices.Repeat([]string{"junk"}, 1000)...)
	if len(c.Notes) != notesEach {
		t.Errorf("%d notes", len(c.Notes))
	}
	for _, file := range []string{"", "junk\n", requested + "\n", first + "\n" + first + "\n", strings.Replace(first, `"version":1`, `"version":2`, 1) + "\n"} {
		if _, err := new(Capture).read("f", strings.NewReader(file)); err == nil {
			t.Errorf("%q was taken", file)
		}
	}
}

// FuzzScript: whatever a file says, each of its requests is one head without a line more, and nothing panics.
func FuzzScript(f *testing.F) {
	f.Add([]byte(requested + "\n" + opened + "\n" + message("a") + "\n" + ended("server", 3501)))
	f.Add([]byte(`{"at":0,"conn":"c","request":{"peer":"","why":"","path":{"text":"/a"},"query":{"text":"token=token-0123456789ab","marks":[6]},"origin":{"text":"o"},"protocols":{"text":"p"},"authorization":{"text":"Bearer a"}}}` + "\n" +
		`{"at":0,"conn":"c","answer":{"status":400,"reason":"key"}}` + "\n" + `{"at":0,"conn":"c","credential":{"name":"token-0123456789ab","state":"accepted","claims":{"sub":"a","exp":60}}}` + "\n" +
		`{"at":0,"conn":"c","broken":"text"}` + "\n" + `{"at":0,"conn":"c","frame":{"kind":"ping","bytes":3}}`))
	f.Fuzz(func(t *testing.T, lines []byte) {
		c := &Capture{}
		p, err := c.read("f", bytes.NewReader(append([]byte(first+"\n"), lines...)))
		if err != nil {
			return
		}
		c.sort([]*part{p})
		w := &wallet{secret: []byte(strings.Repeat("s", 32)), now: time.Now, minted: map[string]string{}}
		for _, s := range c.scripts {
			live, err := w.of(s, c.judged())
			if err != nil {
				continue
			}
			s.end()
			s.answers()
			for i := range s.steps {
				if s.steps[i].End != nil {
					s.outside(s.steps[i].End)
				}
				frame(&s.steps[i], live)
			}
			q := s.steps[0].Request
			label := ""
			if a := s.answer(); a != nil {
				label = a.Answer.Reason
			}
			b, ok := head("h", "", q, live, label)
			if !ok || q.Path == nil {
				continue
			}
			for line := range strings.SplitSeq(strings.TrimSuffix(string(b), "\r\n\r\n"), "\r\n") {
				name, _, _ := strings.Cut(line, " ")
				if strings.ContainsAny(line, "\r\n\x00") || !slices.Contains([]string{"GET", "Host:", "Upgrade:", "Connection:", "Sec-WebSocket-Version:", "Sec-WebSocket-Key:",
					"Origin:", "Sec-WebSocket-Protocol:", "Authorization:", "Sec-WebSocket-Extensions:"}, name) {
					t.Fatalf("%q", b)
				}
			}
		}
	})
}
