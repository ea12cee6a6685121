package audit

import (
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"weir/security/oplog/logtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// at is the time of the tests, in seconds.
func at(seconds int) time.Time { return time.Unix(1_763_848_800+int64(seconds), 0).UTC() }

// buffer is a destination that tests read while it is written to.
type buffer struct{ logtest.Log }

func (b *buffer) entries(t *testing.T) (list []Entry) {
	t.Helper()
	for e, err := range Entries(strings.NewReader(b.String())) {
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, e)
	}
	return list
}

// sums adds up how many events of each kind records stand for.
func sums(list []Entry) map[Event]uint64 {
	m := map[Event]uint64{}
	for i := range list {
		m[list[i].Event] += list[i].N()
	}
	return m
}

// quiet is a Log whose turns end when a test says so.
func quiet(cfg Config) *Log {
	cfg.Every = time.Hour
	if cfg.Now == nil {
		cfg.Now = func() time.Time { return at(0) }
	}
	return New(cfg)
}

func TestRecordsAreWrittenInOrder(t *testing.T) {
	var out buffer
	l := quiet(Config{Destinations: []Destination{Writer(&out, ECS)}})
	for i := range 100 {
		l.Add(&Record{Time: at(i), Event: ConnectionAccepted, Conn: l.Conn(uint64(i))})
	}
	l.Flush()
	list := out.entries(t)
	if len(list) != 100 {
		t.Fatalf("%d records", len(list))
	}
	for i := range list {
		if list[i].Conn.Number != uint64(i) || list[i].Conn.Run == 0 || list[i].Seq != 0 {
			t.Errorf("record %d: %+v", i, list[i])
		}
	}
	l.Close()
	l.Close()
	l.Add(&Record{Event: Authenticated})
	if c := l.Counters(); c.Written != 100 || c.Dropped != 1 {
		t.Errorf("%+v", c)
	}
}

func TestNilLogTakesNothing(t *testing.T) {
	var l *Log
	l.Add(&Record{})
	l.Flush()
	l.Close()
	if l.Conn(3) != (ConnID{}) || l.Counters() != (Counters{}) {
		t.Error("it has something")
	}
}

// TestEveryEventIsInOneLineOrCount: a flood from few and from many, beside honest
// peers and orders of the operator.
func TestEveryEventIsInOneLineOrCount(t *testing.T) {
	var out buffer
	l := quiet(Config{Destinations: []Destination{Writer(&out, ECS)}, Flood: Flood{Each: 3, All: 50, Entries: 20}})
	want := map[Event]uint64{}
	add := func(e Event, addr, reason string) {
		l.Add(&Record{Time: at(0), Event: e, Addr: netip.MustParseAddr(addr), Reason: reason})
		want[e]++
	}
	for round := range 4 {
		for i := range 700 {
			add(ConnectionRefused, "203.0.113.7", "rate")
			add(HandshakeFailed, fmt.Sprintf("198.51.%d.%d", round, i%250), "not_tls")
			add(ConnectionAccepted, fmt.Sprintf("2001:db8:%x::1", i), "")
			if i%100 == 0 {
				add(UserBlocked, "127.0.0.1", "")
				l.Flush() // a turn
			}
		}
	}
	l.Close()
	list := out.entries(t)
	got := sums(list)
	for e, n := range want {
		if got[e] != n {
			t.Errorf("%s: %d of %d", e, got[e], n)
		}
	}
	blocked, counts := 0, 0
	for i := range list {
		switch {
		case list[i].Event == UserBlocked:
			blocked++
		case list[i].Count > 1:
			counts++
		}
	}
	if blocked != int(want[UserBlocked]) || counts == 0 {
		t.Errorf("%d orders of %d, %d counts", blocked, want[UserBlocked], counts)
	}
	if lines := len(list); lines > 29*(50+20+len(events))+blocked {
		t.Errorf("%d lines", lines)
	}
}

// TestOneCountedAloneLosesNothing: what is counted together with nobody has its
// whole line, if only a turn later.
func TestOneCountedAloneLosesNothing(t *testing.T) {
	var out buffer
	l := quiet(Config{Destinations: []Destination{Writer(&out, ECS)}, Flood: Flood{Each: 1}})
	addr := netip.MustParseAddr("203.0.113.7")
	l.Add(&Record{Time: at(0), Event: UpgradeRefused, Addr: addr, Path: "/a"})
	l.Add(&Record{Time: at(0), Event: UpgradeRefused, Addr: addr, Path: "/b"})
	l.Close()
	if list := out.entries(t); len(list) != 2 || list[1].Path != "/b" || list[1].Addr != addr {
		t.Errorf("%+v", list)
	}
}

// stuck is a destination that takes nothing until it is let go.
type stuck struct {
	buffer
	open chan struct{}
}

func (s *stuck) Write(p []byte) (int, error) {
	<-s.open
	return s.buffer.Write(p)
}

// TestAddNeverBlocks: with a destination that stands still and a full queue, events
// are counted, and each is accounted for when it goes on.
func TestAddNeverBlocks(t *testing.T) {
	out := &stuck{open: make(chan struct{})}
	l := quiet(Config{Destinations: []Destination{Writer(out, Logfmt)}})
	const events = 3 * queueRecords
	for range events {
		l.Add(&Record{Time: at(0), Event: ConnectionAccepted})
	}
	if l.Counters().Dropped == 0 {
		t.Error("everything found room")
	}
	close(out.open)
	l.Close()
	list := out.entries(t)
	if got := sums(list)[ConnectionAccepted]; got != events {
		t.Errorf("%d of %d accounted for", got, events)
	}
	if last := list[len(list)-1]; last.Reason != "queue_full" {
		t.Errorf("last: %+v", last)
	}
}

// TestFloodHidesNoOrder: in the queue and before a destination there is room for what
// the operator does and what the detectors say, whatever peers send.
func TestFloodHidesNoOrder(t *testing.T) {
	out := &stuck{open: make(chan struct{})}
	l := quiet(Config{Destinations: []Destination{Writer(out, Logfmt)}})
	for i := range 3 * queueRecords {
		l.Add(&Record{Time: at(0), Event: ConnectionRefused, Addr: netip.AddrFrom4([4]byte{192, 0, byte(i >> 8), byte(i)})})
	}
	for i := range 200 {
		l.Add(&Record{Time: at(1), Event: UserBlocked, User: fmt.Sprint("mallory ", i)})
	}
	close(out.open)
	l.Close()
	if got := users(out.entries(t)); got != 200 {
		t.Errorf("%d orders of 200 have a line of their own", got)
	}

	name := filepath.Join(t.TempDir(), "out.log")
	file, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	disk := &flaky{plain: plain{file}, full: true}
	s := newStream(Destination{sink: disk}, textLog(nowhere{}), at(0))
	const events = 20_000
	for range events {
		s.append(&Record{Time: at(0), Event: ConnectionRefused, Reason: "rate"})
	}
	s.tick(at(1)) // says nothing of what was lost: there is no room
	for i := range 200 {
		s.append(&Record{Time: at(1), Event: UserBlocked, User: fmt.Sprint("mallory ", i)})
	}
	lost := s.lostEver.Load()
	disk.full = false
	s.close(at(2))
	list := fileEntries(t, name)
	if got := users(list); got != 200 {
		t.Errorf("%d orders of 200 stand in the file", got)
	}
	if got := sums(list)[ConnectionRefused]; got != events || s.lostEver.Load() != lost {
		t.Errorf("%d of %d accounted for, %d counted as lost, then %d", got, events, lost, s.lostEver.Load())
	}
}

func users(list []Entry) (n int) {
	for _, e := range list {
		if e.User != "" {
			n++
		}
	}
	return n
}

func TestAddAllocatesNothing(t *testing.T) {
	out := &stuck{open: make(chan struct{})}
	l := quiet(Config{Destinations: []Destination{Writer(out, ECS)}})
	r := full()
	if n := testing.AllocsPerRun(1000, func() { l.Add(&r) }); n != 0 {
		t.Errorf("%v allocations with room", n)
	}
	for range 2 * queueRecords {
		l.Add(&r)
	}
	if n := testing.AllocsPerRun(1000, func() { l.Add(&r) }); n != 0 {
		t.Errorf("%v allocations without", n)
	}
	close(out.open)
	l.Close()
}

func BenchmarkAdd(b *testing.B) {
	l := New(Config{Destinations: []Destination{Writer(nowhere{}, ECS)}})
	defer l.Close()
	r := full()
	r.Event, r.Count = ConnectionRefused, 0
	b.ReportAllocs()
	for b.Loop() {
		l.Add(&r)
	}
}

type nowhere struct{}

func (nowhere) Write(p []byte) (int, error) { return len(p), nil }

// TestQueueTouchesWhatWaits: a queue that is emptied begins anew, so its memory is that of as many records as
// ever waited at once.
func TestQueueTouchesWhatWaits(t *testing.T) {
	l := &Log{bell: make(chan struct{}, 1), queue: make([]Record, queueRecords), batch: make([]Record, 0, batchRecords)}
	for range queueRecords {
		l.Add(&Record{Event: LimitHit})
		l.Add(&Record{Event: LimitHit})
		if !l.take() || len(l.batch) != 2 || l.take() || l.first != 0 {
			t.Fatalf("%d records, and the next one comes to place %d", len(l.batch), l.first)
		}
	}
}

func TestSessionsAreConcealed(t *testing.T) {
	var out, other buffer
	for _, b := range []*buffer{&out, &other} {
		l := quiet(Config{Destinations: []Destination{Writer(b, ECS)}})
		for _, id := range []string{"client-id-1", "client-id-1", "client-id-2"} {
			l.Add(&Record{Time: at(0), Event: Authenticated, Session: id})
		}
		l.Close()
	}
	list := out.entries(t)
	a, b, c := list[0].Session, list[1].Session, list[2].Session
	if a == "" || a != b || a == c || strings.Contains(a, "client") || a == other.entries(t)[0].Session {
		t.Errorf("%q %q %q", a, b, c)
	}
}

// TestTapSeesAll: also what is only counted, and before it is.
func TestTapSeesAll(t *testing.T) {
	var seen uint64
	l := quiet(Config{Destinations: []Destination{Writer(nowhere{}, ECS)}, Flood: Flood{Each: 1}, Tap: func(r *Record) { seen += r.N() }})
	for range 1000 {
		l.Add(&Record{Time: at(0), Event: ConnectionRefused, Reason: "rate"})
	}
	l.Close()
	if seen != 1000 {
		t.Errorf("it saw %d", seen)
	}
}

// TestFullDiskDoesNotBlock is row D2: with no space left events are counted, and
// the log says so once a second.
func TestFullDiskDoesNotBlock(t *testing.T) {
	if _, err := os.Stat("/dev/full"); err != nil {
		t.Skip("no /dev/full here")
	}
	d, err := OpenFile("/dev/full", FileOptions{Key: make([]byte, 32)}, at(0))
	if err != nil {
		t.Fatal(err)
	}
	var said logtest.Log
	now := at(0)
	l := quiet(Config{Destinations: []Destination{d}, Log: textLog(&said), Now: func() time.Time { return now }})
	const events = 20_000
	for i := range events {
		l.Add(&Record{Time: at(0), Event: ConnectionAccepted, UserAgent: strings.Repeat("x", 200)})
		if i%queueRecords == 0 {
			l.Flush()
		}
	}
	l.Close()
	c := l.Counters()
	if c.Failures == 0 || c.Lost == 0 {
		t.Errorf("%+v", c)
	}
	if n := strings.Count(said.String(), "no space left"); n != 1 {
		t.Errorf("said %d times within a second: %s", n, said.String())
	}
}

// flaky is a disk that is full for a while.
type flaky struct {
	plain
	full bool
}

func (f *flaky) write(b []byte) (int, error) {
	if f.full {
		n, _ := f.plain.write(b[:min(len(b), 700)]) // disks fill in the middle of a line
		return n, os.ErrDeadlineExceeded
	}
	return f.plain.write(b)
}

// TestSpaceThatComesBack: every event is accounted for, and the chain holds.
func TestSpaceThatComesBack(t *testing.T) {
	name := filepath.Join(t.TempDir(), "out.log")
	out, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	key := make([]byte, 32)
	disk := &flaky{plain: plain{out}}
	s := newStream(Destination{sink: disk, key: key}, textLog(nowhere{}), at(0))
	const events = 20_000
	for i := range events {
		disk.full = i > 100 && i < 15_000
		s.append(&Record{Time: at(i), Event: ConnectionAccepted, UserAgent: strings.Repeat("x", 200)})
		if i%50 == 0 {
			s.flush(at(i))
		}
		if i%1000 == 0 {
			s.tick(at(i))
		}
	}
	s.close(at(events))
	if s.lostEver.Load() == 0 || s.failures.Load() == 0 {
		t.Fatal("the disk was never full")
	}
	report, err := Verify([]string{name}, VerifyOptions{Key: key})
	if err != nil || !report.Closed {
		t.Errorf("%+v, %v", report, err)
	}
	list := fileEntries(t, name)
	if got := sums(list)[ConnectionAccepted]; got != events {
		t.Errorf("%d of %d accounted for", got, events)
	}
}

func fileEntries(t *testing.T, name string) (list []Entry) {
	t.Helper()
	r, err := Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for e, err := range Entries(r) {
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, e)
	}
	return list
}

func textLog(w io.Writer) *slog.Logger { return slog.New(slog.NewTextHandler(w, nil)) }
