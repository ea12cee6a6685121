package capture

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"weir/security/audit"
)

var (
	someone = netip.MustParseAddr("192.0.2.1")
	another = netip.MustParseAddr("198.51.100.1")
	day     = time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)
)

// all captures everybody.
func all() Choice {
	return Choice{Addresses: []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}}
}

func begin(t *testing.T, cfg Config) *Recorder {
	t.Helper()
	if cfg.Dir == "" {
		cfg.Dir = filepath.Join(t.TempDir(), "captures")
	}
	if cfg.Limit == 0 {
		cfg.Limit = 1 << 30
	}
	if cfg.Now == nil {
		cfg.Now = func() time.Time { return day }
	}
	r, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

// written ends a capture and returns its lines, all files in their order.
func written(t *testing.T, r *Recorder) (lines []Line) {
	t.Helper()
	r.Close()
	names, err := filepath.Glob(filepath.Join(r.cfg.Dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(names)
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for l, err := range Lines(bytes.NewReader(b)) {
			if err != nil {
				t.Fatalf("%s line %d: %v", name, l.Number, err)
			}
			lines = append(lines, l.Line)
		}
	}
	return lines
}

func head() *Head { return &Head{Path: []byte("/feed"), Query: []byte("channel=a")} }

// kindsOf names the parts of lines of a connection.
func partsOf(lines []Line, conn string) (parts []string) {
	for _, l := range lines {
		var members map[string]json.RawMessage
		if err := json.Unmarshal(l.append(nil), &members); err != nil || l.Conn != conn {
			continue
		}
		for name := range members {
			if name != "at" && name != "conn" {
				parts = append(parts, name)
			}
		}
	}
	return parts
}

func TestACaptureOfOneConnection(t *testing.T) {
	r := begin(t, Config{Choice: all(), Run: 0xabcd, Server: "v1"})
	jwt := secretToken(fmt.Sprintf(`{"sub":"alice","exp":%d,"iat":%d,"expire_at":0,"info":{"x":"private"},"jti":"id","channels":["a"],"subs":{"b":{"data":1}},"roles":"r","caps":[{"channels":["x"],"allow":["sub"]}]}`,
		day.Unix()+60, day.Unix()-5))
	trace := r.Begin(7, someone, &Head{Path: []byte("/connection/websocket"), HasOrigin: true, Origin: []byte("https://a.example"), Authorization: []byte("Bearer " + jwt)}, day)
	trace.Credential([]byte(jwt), audit.ByHeader, Accepted, day)
	trace.Answer(101, "", day.Add(time.Millisecond))
	trace.Message([]byte(`{"id":1,"connect":{"token":"`+jwt+`"}}`), day.Add(time.Second))
	trace.User("alice", audit.ByHeader, day.Add(time.Second))
	trace.Reply(1, 0, day.Add(time.Second))
	trace.Frame(FramePing, 3, day.Add(2*time.Second))
	trace.Reply(2, 103, day.Add(2*time.Second))
	trace.Broken("reserved_bits", day.Add(2*time.Second))
	trace.End(ByServer, 1002, "protocol", day.Add(2*time.Second))
	lines := written(t, r)
	if lines[0].Begin == nil || lines[0].Begin.Run != "0000abcd" || lines[0].Begin.Server != "v1" || !lines[0].Begin.Time.Equal(day) {
		t.Errorf("begin: %+v", lines[0].Begin)
	}
	want := []string{"request", "credential", "answer", "message", "user", "reply", "frame", "reply", "broken", "end"}
	if got := partsOf(lines, "0000abcd-7"); !slices.Equal(got, want) {
		t.Fatalf("%v", got)
	}
	name := lines[2].Credential.Name
	claims, _ := json.Marshal(lines[2].Credential.Claims)
	if string(claims) != fmt.Sprintf(`{"sub":"alice","channels":["a"],"subs":["b"],"caps":[{"channels":["x"],"allow":["sub"]}],"roles":["r"],"exp":60,"iat":-5,"expire_at":%d}`, Forever) {
		t.Errorf("claims: %s", claims)
	}
	if got := lines[1].Request; got.Authorization.Text != "Bearer "+name || got.Peer != "192.0.2.1" || got.Why != "address" || got.Origin.Text != "https://a.example" || got.Query != nil {
		t.Errorf("request: %+v", got)
	}
	if got := lines[4].Message.Text; got != `{"id":1,"connect":{"token":"`+name+`"}}` || lines[4].At != 1_000_000 {
		t.Errorf("message: %s at %d", got, lines[4].At)
	}
	if c := r.Counters(); c.Connections != 1 || c.Bytes == 0 || c.Dropped+c.Cut+c.Missed != 0 || c.Stopped {
		t.Errorf("counters: %+v", c)
	}
}

// TestFilesAreTheOwnersOnly: folder and file, whatever the umask, and never a folder that others may look into.
func TestFilesAreTheOwnersOnly(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "captures")
	r := begin(t, Config{Dir: dir, Choice: all()})
	r.Close()
	info, err := os.Stat(dir)
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("folder: %v, %v", info.Mode(), err)
	}
	names, _ := filepath.Glob(filepath.Join(dir, "*"))
	for _, name := range names {
		if info, err := os.Stat(name); err != nil || info.Mode() != 0o600 {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
	}
	if len(names) != 1 {
		t.Errorf("files: %v", names)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := New(Config{Dir: dir, Limit: 1 << 20}); err == nil || !strings.Contains(err.Error(), "chmod 700") {
		t.Errorf("a folder for others: %v", err)
	}
	if _, err := New(Config{Dir: names[0], Limit: 1 << 20}); err == nil {
		t.Error("a file was taken for a folder")
	}
}

func TestWhoIsChosen(t *testing.T) {
	user := func(id string) func(*Trace) { return func(t *Trace) { t.User(id, audit.ByConnect, day) } }
	event := func(e audit.Event) func(*Trace) { return func(t *Trace) { t.Happened(e) } }
	both := func(fs ...func(*Trace)) func(*Trace) {
		return func(t *Trace) {
			for _, f := range fs {
				if !t.Left() {
					f(t)
				}
			}
		}
	}
	prefix := []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
	for _, c := range []struct {
		name   string
		choice Choice
		peer   netip.Addr
		does   func(*Trace)
		why    string // "": it is not
	}{
		{"nobody", Choice{}, someone, both(), ""},
		{"by address", Choice{Addresses: prefix}, someone, both(), "address"},
		{"by another address", Choice{Addresses: prefix}, another, both(), ""},
		{"by user", Choice{Users: []string{"alice"}}, someone, user("alice"), "user"},
		{"by another user", Choice{Users: []string{"alice"}}, someone, user("bob"), ""},
		{"by user, and nobody came", Choice{Users: []string{"alice"}}, someone, both(), ""},
		{"the anonymous one is no user", Choice{Users: []string{""}}, someone, user(""), ""},
		{"by event", Choice{Events: []audit.Event{audit.ProtocolViolation}}, someone, event(audit.ProtocolViolation), "protocol-violation"},
		{"by another event", Choice{Events: []audit.Event{audit.ProtocolViolation}}, someone, event(audit.LimitHit), ""},
		{"by event, of a user who is not", Choice{Users: []string{"alice"}, Events: []audit.Event{audit.LimitHit}}, someone, both(user("bob"), event(audit.LimitHit)), "limit-hit"},
		{"the first reason", Choice{Addresses: prefix, Users: []string{"alice"}}, someone, user("alice"), "address"},
	} {
		r := begin(t, Config{Choice: c.choice, Run: 1})
		why := ""
		if trace := r.Begin(1, c.peer, head(), day); trace != nil {
			trace.Answer(101, "", day)
			c.does(trace)
			if !trace.Left() {
				trace.End(ByClient, 1000, "by_peer", day)
			}
		}
		lines := written(t, r)
		if len(lines) > 1 {
			why = lines[1].Request.Why
			if last := lines[len(lines)-1]; last.End == nil || lines[2].Answer == nil {
				t.Errorf("%s: the lines are %+v", c.name, lines)
			}
		}
		if why != c.why || (r.Counters().Connections == 1) != (why != "") || r.undecided.Load() != 0 {
			t.Errorf("%s: chosen by %q, want %q; %+v, %d undecided", c.name, why, c.why, r.Counters(), r.undecided.Load())
		}
	}
}

func TestSuspects(t *testing.T) {
	now := day
	r := begin(t, Config{Choice: Choice{Anomalies: true}, Now: func() time.Time { return now }})
	prefix := audit.PrefixOf(someone)
	if r.Begin(1, someone, head(), now) != nil {
		t.Error("chosen before there was an alert")
	}
	r.Suspect(prefix, now.Add(time.Minute))
	r.Suspect(netip.Prefix{}, now.Add(time.Minute))
	if r.Begin(2, someone, head(), now) == nil || r.Begin(3, another, head(), now) != nil {
		t.Error("the wrong one is chosen")
	}
	now = now.Add(time.Minute)
	if r.Begin(4, someone, head(), now) != nil {
		t.Error("chosen for ever")
	}
	for i := range 4 * suspects {
		r.Suspect(netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 1}), 32), now.Add(time.Duration(i)*time.Second+time.Minute))
	}
	if n := len(*r.choice.now.Load()); n != suspects {
		t.Errorf("%d prefixes", n)
	}
	if r.Begin(5, netip.AddrFrom4([4]byte{10, 3, 255, 1}), head(), now) == nil {
		t.Error("the last one gave way")
	}
}

// TestEveryRuleIsParsed, and no other event.
func TestEveryRuleIsParsed(t *testing.T) {
	var c Choice
	for _, e := range Rules() {
		if err := c.ParseRule(e.String()); err != nil {
			t.Error(err)
		}
	}
	if err := c.ParseRule(RuleAnomaly); err != nil || !c.Anomalies || !slices.Equal(c.Events, Rules()) || c.None() || !(&Choice{}).None() {
		t.Errorf("%+v, %v", c, err)
	}
	for _, name := range []string{"", "started", "protocol violation"} {
		if err := c.ParseRule(name); err == nil || !strings.Contains(err.Error(), "protocol-violation") {
			t.Errorf("%q: %v", name, err)
		}
	}
}

// TestOneConnectionIsBounded: it is cut, and the file says so.
func TestOneConnectionIsBounded(t *testing.T) {
	r := begin(t, Config{Choice: all(), Run: 1})
	trace := r.Begin(1, someone, head(), day)
	for range connectionBytes>>16 + 10 {
		trace.Message(bytes.Repeat([]byte("x"), 1<<16), day)
	}
	if !trace.Left() {
		t.Error("it is kept on")
	}
	lines := written(t, r)
	if last := lines[len(lines)-1]; last.Cut == "" || r.Counters().Cut != 1 {
		t.Errorf("%+v, %+v", last, r.Counters())
	}
}

// TestUndecidedAreBounded: each, and all together; those over it are counted and given back.
func TestUndecidedAreBounded(t *testing.T) {
	r := begin(t, Config{Choice: Choice{Events: []audit.Event{audit.LimitHit}}})
	one := r.Begin(1, someone, head(), day)
	one.Message(make([]byte, undecidedEach), day)
	if one.Happened(audit.LimitHit); !one.Left() || r.Counters().Missed != 1 || r.undecided.Load() != 0 {
		t.Errorf("%+v, %d bytes", r.Counters(), r.undecided.Load())
	}
	var traces []*Trace
	for i := range uint64(undecidedBytes/undecidedEach + 50) {
		trace := r.Begin(2+i, someone, head(), day)
		trace.Message(make([]byte, undecidedEach-4*stepBytes), day)
		traces = append(traces, trace)
	}
	if got := r.undecided.Load(); got > undecidedBytes || r.Counters().Missed < 10 {
		t.Errorf("%d bytes, %+v", got, r.Counters())
	}
	for _, trace := range traces {
		trace.End(ByClient, 0, "gone", day)
	}
	if got := r.undecided.Load(); got != 0 {
		t.Errorf("%d bytes are not given back", got)
	}
	if lines := written(t, r); len(lines) != 1 {
		t.Errorf("%d lines", len(lines))
	}
}

// stalled is a recorder whose writer does nothing yet.
func stalled(t *testing.T, cfg Config) *Recorder {
	t.Helper()
	cfg.Dir, cfg.Limit, cfg.Now = filepath.Join(t.TempDir(), "c"), 1<<30, func() time.Time { return day }
	cfg.Log = slog.New(slog.DiscardHandler)
	files, err := openFiles(cfg.Dir, cfg.Limit, Begin{Version: Version, Run: "1", Time: day})
	if err != nil {
		t.Fatal(err)
	}
	return &Recorder{cfg: cfg, choice: newChooser(cfg.Choice), begun: day, bell: make(chan struct{}, 1), stop: make(chan struct{}), done: make(chan struct{}),
		hider: newHider(nil), files: files}
}

// TestFullQueueCutsAndNeverBlocks: what was lost is counted, and written.
func TestFullQueueCutsAndNeverBlocks(t *testing.T) {
	r := stalled(t, Config{Choice: all()})
	var traces []*Trace
	for i := range uint64(20) {
		trace := r.Begin(i, someone, head(), day)
		for range 10 {
			trace.Message(make([]byte, 64<<10), day)
		}
		traces = append(traces, trace)
	}
	if r.queued > queueBytes || r.Counters().Dropped == 0 || r.Counters().Cut == 0 {
		t.Errorf("%d bytes, %+v", r.queued, r.Counters())
	}
	cut := r.Counters().Cut
	r.drain()
	go r.write()
	for _, trace := range traces {
		trace.End(ByClient, 0, "gone", day)
	}
	lines := written(t, r)
	var cuts, ends, lost uint64
	for _, l := range lines {
		switch {
		case l.Cut != "":
			cuts++
		case l.End != nil:
			ends++
		case l.Lost > 0:
			lost = l.Lost
		}
	}
	if cuts != cut || ends != uint64(len(traces))-cut || lost == 0 {
		t.Errorf("%d of %d are cut, %d ended, %d steps lost", cuts, cut, ends, lost)
	}
}

// TestFullCaptureEnds: at its bound, with a last line that says so and one line in the log; the next one does not begin.
func TestFullCaptureEnds(t *testing.T) {
	var log bytes.Buffer
	dir := filepath.Join(t.TempDir(), "c")
	const limit = 40 << 10
	cfg := Config{Dir: dir, Limit: limit, Choice: all(), Log: slog.New(slog.NewTextHandler(&log, nil))}
	r := begin(t, cfg)
	trace := r.Begin(1, someone, head(), day)
	for range 100 {
		trace.Message([]byte(`"`+strings.Repeat("x ", 500)+`"`), day)
	}
	lines := written(t, r)
	if !lines[len(lines)-1].Full || !r.Counters().Stopped || r.Counters().Bytes > limit || r.Counters().Bytes < limit/2 {
		t.Errorf("%+v, %+v", lines[len(lines)-1], r.Counters())
	}
	if r.Begin(2, someone, head(), day) != nil {
		t.Error("another one is captured")
	}
	if n := strings.Count(log.String(), "the capture has ended"); n != 1 {
		t.Errorf("said %d times: %s", n, log.String())
	}
	before, _ := filepath.Glob(filepath.Join(dir, "*"))
	again := begin(t, cfg)
	after, _ := filepath.Glob(filepath.Join(dir, "*"))
	if sum, err := size(dir); err != nil || sum > limit || !again.Counters().Stopped || len(after) != len(before) {
		t.Errorf("%d bytes in %v, %v, %+v", sum, after, err, again.Counters())
	}
	if again.Begin(3, someone, head(), day) != nil || !strings.Contains(log.String(), "move earlier captures away") {
		t.Error("a full folder is captured into, or not told of")
	}
}

// TestPartsFollowEachOther: a long capture is several files, each with its beginning.
func TestPartsFollowEachOther(t *testing.T) {
	f, err := openFiles(filepath.Join(t.TempDir(), "c"), 1<<40, Begin{Version: Version, Run: "1", Time: day})
	if err != nil {
		t.Fatal(err)
	}
	line := append(bytes.Repeat([]byte("x"), 1<<20-1), '\n')
	for range partBytes>>20 + 1 {
		if fits, err := f.add(line); !fits || err != nil {
			t.Fatal(fits, err)
		}
	}
	if err := f.close(); err != nil {
		t.Fatal(err)
	}
	names, _ := filepath.Glob(filepath.Join(f.dir, "*-1-*.jsonl"))
	if len(names) != 2 {
		t.Fatalf("%v", names)
	}
	for i, name := range names {
		file, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		for l, err := range Lines(file) {
			if err != nil || l.Begin == nil || l.Begin.Part != i+1 {
				t.Errorf("%s: %+v, %v", name, l.Begin, err)
			}
			break
		}
		if info, _ := file.Stat(); info.Size() > partBytes {
			t.Errorf("%s has %d bytes", name, info.Size())
		}
		_ = file.Close()
	}
}

// TestBrokenDiskEndsTheCapture: what was whole stays, it is said once, and nobody waits.
func TestBrokenDiskEndsTheCapture(t *testing.T) {
	if _, err := os.Stat("/dev/full"); err != nil {
		t.Skip("no /dev/full here")
	}
	var log bytes.Buffer
	r := stalled(t, Config{Choice: all()})
	r.cfg.Log = slog.New(slog.NewTextHandler(&log, nil))
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_ = r.files.f.Close()
	r.files.f = full
	go r.write()
	trace := r.Begin(1, someone, head(), day)
	for range 100 {
		trace.Message([]byte("x"), day)
	}
	r.Close()
	if !r.Counters().Stopped || strings.Count(log.String(), "the capture has ended") != 1 || !strings.Contains(log.String(), "no space left") {
		t.Errorf("%+v: %s", r.Counters(), log.String())
	}
}

func TestNilCapturesNothing(t *testing.T) {
	var r *Recorder
	if r.Begin(1, someone, head(), day) != nil || r.Counters() != (Counters{}) {
		t.Error("nil captures")
	}
	r.Suspect(netip.PrefixFrom(someone, 32), day)
	r.Close()
}

// someLines are one of each kind.
func someLines() []Line {
	name := "token-0123456789ab"
	return []Line{
		{Begin: &Begin{Version: 1, Run: "abcd", Part: 1, Time: day}},
		{Conn: "1-1", Request: &Request{Peer: "192.0.2.1", Why: "user", Query: &Text{"token=" + name, []int{6}}}},
		{Conn: "1-1", Answer: &Answer{Status: 401, Reason: "unauthorized"}},
		{Conn: "1-1", At: 5, User: &User{ID: "alice", By: "connect"}},
		{Conn: "1-1", Credential: &Credential{Name: name, By: "connect", State: Expired, Claims: &Claims{Subject: "alice"}}},
		{Conn: "1-1", Message: &Text{"<{}>\u2028\x00", nil}},
		{Conn: "1-1", Frame: &Frame{Kind: FrameBinary, Bytes: 70000}},
		{Conn: "1-1", Broken: "text"},
		{Conn: "1-1", Reply: &Reply{ID: 1, Code: 103}},
		{Conn: "1-1", End: &End{By: ByServer, Code: 3501, Reason: "bad_request"}},
		{Conn: "1-1", Cut: "no room"},
		{Lost: 7},
		{Full: true},
	}
}

func TestLinesComeBack(t *testing.T) {
	for _, l := range someLines() {
		text := l.append(nil)
		got, err := ParseLine(bytes.TrimSuffix(text, []byte("\n")))
		if err != nil || string(got.append(nil)) != string(text) || bytes.Count(text, []byte("\n")) != 1 {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
	}
}

func TestLinesThatAreNone(t *testing.T) {
	for _, text := range []string{
		``, `null`, `[]`, `7`, `{}`, `{"at":1}`, `{"conn":"1-1"}`, `{"conn":"1-1","unknown":1}`, `{"full":true} ` + `x`,
		`{"full":true,"conn":"1-1"}`, `{"reply":{"id":1}}`, `{"conn":"1-1","reply":{"id":1},"cut":"x"}`, `{"conn":"1-1","reply":{"id":-1}}`,
		`{"conn":"1-1","at":-1,"reply":{"id":1}}`, `{"conn":"1-1","at":99999999999999999,"reply":{"id":1}}`,
		`{"begin":{"version":2,"run":"1","part":1}}`, `{"begin":{"version":1,"run":"","part":1}}`, `{"begin":{"version":1,"run":"1","part":0}}`,
		`{"conn":"1-1","message":{"text":"abc","marks":[0]}}`, `{"conn":"1-1","message":{"text":"token-0123456789ab","marks":[1]}}`,
		`{"conn":"1-1","message":{"text":"token-0123456789ab","marks":[0,0]}}`, `{"conn":"1-1","message":{"text":"token-0123456789ab","marks":[-1]}}`,
		`{"conn":"1-1","message":{"text":"token-0123456789ab","marks":[18]}}`, `{"conn":"1-1","message":{"text":"other-0123456789ab","marks":[0]}}`,
		`{"conn":"1-1","message":{"text":"token-0123456789aX","marks":[0]}}`,
		`{"conn":"1-1","request":{"path":{"text":"/a\r\nX: y"}}}`, `{"conn":"1-1","request":{"origin":{"text":"\u0000"}}}`,
		`{"conn":"1-1","credential":{"name":"x","state":"accepted"}}`, `{"conn":"1-1","credential":{"name":"token-0123456789ab","state":"good"}}`,
		`{"conn":"1-1","credential":{"name":"token-0123456789abc","state":"accepted"}}`,
		`{"conn":"1-1","frame":{"kind":"close"}}`, `{"conn":"1-1","frame":{"kind":"ping","bytes":126}}`, `{"conn":"1-1","frame":{"kind":"binary","bytes":-1}}`,
		`{"conn":"1-1","frame":{"kind":"binary","bytes":1073741824}}`,
		`{"conn":"1-1","end":{"by":"me"}}`, `{"conn":"1-1","end":{"by":"server","code":65536}}`, `{"conn":"1-1","answer":{"status":1000}}`,
		`{"conn":"` + strings.Repeat("x", 600) + `","reply":{"id":1}}`,
	} {
		if l, err := ParseLine([]byte(text)); !errors.Is(err, ErrFormat) {
			t.Errorf("%s: %+v, %v", text, l, err)
		}
	}
}

// TestLinesCutShort: each prefix of a file gives its whole lines, then says that the last one is not.
func TestLinesCutShort(t *testing.T) {
	var file []byte
	ends := map[int]int{} // length of the file after so many lines
	for i, l := range someLines() {
		file = l.append(file)
		ends[len(file)] = i + 1
	}
	whole := 0
	for i := range file {
		if n, ok := ends[i]; ok {
			whole = n
		}
		_, atEnd := ends[i]
		n, cut := 0, false
		for l, err := range Lines(bytes.NewReader(file[:i])) {
			if errors.Is(err, ErrCut) {
				cut = l.Number == whole+1
				continue
			}
			if n++; err != nil || l.Number != n {
				t.Fatalf("cut at %d: line %d: %v", i, l.Number, err)
			}
		}
		if n != whole || cut != (i > 0 && !atEnd) {
			t.Fatalf("cut at %d: %d lines of %d, %v", i, n, whole, cut)
		}
	}
}

// TestLinesInPieces: however a file comes, its lines are the same.
func TestLinesInPieces(t *testing.T) {
	var file []byte
	for _, l := range someLines() {
		file = l.append(file)
	}
	for i := range file {
		n := 0
		for _, err := range Lines(io.MultiReader(bytes.NewReader(file[:i]), bytes.NewReader(file[i:]))) {
			if n++; err != nil {
				t.Fatalf("split at %d: %v", i, err)
			}
		}
		if n != len(someLines()) {
			t.Fatalf("split at %d: %d lines", i, n)
		}
	}
}

// TestOtherLinesArePassedOver: one that is none of ours costs only itself; one that is too long ends the file.
func TestOtherLinesArePassedOver(t *testing.T) {
	good := string((&Line{Full: true}).append(nil))
	n, bad := 0, 0
	for _, err := range Lines(strings.NewReader(good + "junk\n" + good + "\n" + good)) {
		if err != nil {
			bad++
		} else {
			n++
		}
	}
	if n != 3 || bad != 2 {
		t.Errorf("%d good, %d bad", n, bad)
	}
	n = 0
	for l, err := range Lines(strings.NewReader(good + strings.Repeat("x", maxLineBytes+1) + "\n" + good)) {
		if n++; n == 2 && (!errors.Is(err, errLong) || l.Number != 2) || n > 2 {
			t.Errorf("line %d: %v", l.Number, err)
		}
	}
}

// FuzzLine: no line makes ParseLine panic; one that it takes comes back, and its texts can be filled.
func FuzzLine(f *testing.F) {
	for _, l := range someLines() {
		f.Add(l.append(nil))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		l, err := ParseLine(text)
		if err != nil {
			return
		}
		again, err := ParseLine(bytes.TrimSuffix(l.append(nil), []byte("\n")))
		if err != nil || string(again.append(nil)) != string(l.append(nil)) {
			t.Fatalf("%q: %+v, %v", text, again, err)
		}
		if l.Message != nil {
			l.Message.Fill(func(string) string { return "" })
		}
	})
}
