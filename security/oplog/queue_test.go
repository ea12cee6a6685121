package oplog

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"
)

const testWait = 2 * time.Minute

// reader takes what is written only while it is told to: a pipe whose other end is held.
type reader struct {
	mu      sync.Mutex
	text    bytes.Buffer  // guarded by mu
	err     error         // guarded by mu: of each write
	entered chan struct{} // one for each write that came
	gate    chan struct{} // nil: open; else each write takes one, or waits until it is closed
}

func (r *reader) Write(b []byte) (int, error) {
	r.entered <- struct{}{}
	if r.gate != nil {
		<-r.gate
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err != nil {
		return 0, r.err
	}
	return r.text.Write(b)
}

func (r *reader) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.String()
}

func newReader(gate chan struct{}) *reader {
	return &reader{gate: gate, entered: make(chan struct{}, 1<<16)}
}

// attached is a queue with a limit whose lines go there.
func attached(t *testing.T, out io.Writer, room int) (*Queue, *slog.Logger) {
	t.Helper()
	q := NewQueue(out, room)
	l := NewLimit(slog.NewTextHandler(q, nil), time.Now)
	q.Attach(l)
	t.Cleanup(func() { q.Close(testWait) })
	return q, slog.New(l)
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(testWait); !ok(); {
		if time.Now().After(deadline) {
			t.Fatal("never came:", what)
		}
		<-time.After(time.Millisecond)
	}
}

// TestNobodyWaitsForTheReader: it stands still, and who logs goes on. What found no
// room is counted, and told in one line when the reader is back.
func TestNobodyWaitsForTheReader(t *testing.T) {
	const room, total = 4 << 10, 1000
	r := newReader(make(chan struct{}))
	q, log := attached(t, r, room)
	log.Info("first")
	<-r.entered // and is held
	for i := range total {
		log.Info("line", "number", i)
	}
	dropped := q.Dropped()
	if dropped == 0 || dropped >= total {
		t.Fatalf("%d of %d lines were dropped", dropped, total)
	}
	close(r.gate)
	eventually(t, "the line that tells", func() bool { return strings.Contains(r.String(), "stood still") })
	q.Close(testWait)
	said := r.String()
	if got := uint64(strings.Count(said, "msg=line")); got+dropped != total {
		t.Errorf("%d lines were written and %d dropped, of %d", got, dropped, total)
	}
	if want := fmt.Sprintf("dropped=%d", dropped); strings.Count(said, "stood still") != 1 || !strings.Contains(said, want) {
		t.Errorf("want one line with %s: %s", want, said[strings.LastIndex(strings.TrimSpace(said), "\n")+1:])
	}
}

// TestReaderThatGoesAway: lines that could not be written are counted, and told when
// somebody reads again, even if the first such line is lost too.
func TestReaderThatGoesAway(t *testing.T) {
	r := newReader(nil)
	q, log := attached(t, r, 0)
	r.err = errors.New("broken pipe")
	for i := range 3 {
		log.Info("lost")
		eventually(t, "a lost line", func() bool { return q.Dropped() == uint64(i+1) })
	}
	r.mu.Lock()
	r.err = nil
	r.mu.Unlock()
	log.Info("heard")
	eventually(t, "the line that tells", func() bool { return strings.Contains(r.String(), "dropped=3") })
	log.Info("again")
	q.Close(testWait)
	if said := r.String(); strings.Count(said, "dropped=") != 1 || strings.Contains(said, "lost") || !strings.Contains(said, "again") {
		t.Errorf("said %s", said)
	}
}

// TestCloseHasPatience and no more: the end of the program does not wait for a reader.
func TestCloseHasPatience(t *testing.T) {
	r := newReader(make(chan struct{}))
	q, log := attached(t, r, 0)
	log.Info("first")
	<-r.entered
	log.Info("second")
	if q.Close(1) {
		t.Error("all was written to a reader that took nothing")
	}
	log.Info("late")
	if q.Dropped() != 1 {
		t.Errorf("%d lines were dropped, want the one that came late", q.Dropped())
	}
	close(r.gate)
	if !q.Close(testWait) {
		t.Error("not all was written in the end")
	}
	if said := r.String(); !strings.Contains(said, "second") || strings.Contains(said, "late") {
		t.Errorf("said %s", said)
	}
}

// TestLast: why the process ends finds room behind a full queue, and not for ever.
func TestLast(t *testing.T) {
	r := newReader(make(chan struct{}))
	q, log := attached(t, r, 100)
	log.Info("first")
	<-r.entered
	for q.Dropped() == 0 {
		_, _ = q.Write([]byte("more\n"))
	}
	if n, err := q.Last().Write([]byte("why\nand whence\n")); n != 15 || err != nil {
		t.Errorf("%d bytes, %v", n, err)
	}
	if _, err := q.Last().Write(bytes.Repeat([]byte("0123456789\n"), lastBytes)); !errors.Is(err, ErrFull) {
		t.Errorf("more than there is room for: %v", err)
	}
	close(r.gate)
	if !q.Close(testWait) || !strings.Contains(r.String(), "more\nwhy\nand whence\n") {
		t.Errorf("said %.300s", r.String())
	}
}

// TestHalf: what has its own account of what is lost takes no more than half, in
// whole lines, and leaves the rest to others.
func TestHalf(t *testing.T) {
	r := newReader(make(chan struct{}))
	q, log := attached(t, r, 100)
	log.Info("first")
	<-r.entered
	lines := []byte("0123456789\n0123456789\n0123456789\n0123456789\n0123456789\n")
	n, err := q.Half().Write(lines)
	if n != 44 || !errors.Is(err, ErrFull) {
		t.Errorf("%d bytes, %v; want 44 and ErrFull", n, err)
	}
	if n, err := q.Half().Write(lines[n:]); n != 0 || !errors.Is(err, ErrFull) {
		t.Errorf("%d bytes more, %v", n, err)
	}
	if _, err := q.Write([]byte("ours\n")); err != nil || q.Dropped() != 0 {
		t.Errorf("%v, %d dropped: the other half is for others", err, q.Dropped())
	}
	close(r.gate)
	q.Close(testWait)
	if want := string(lines[:44]) + "ours\n"; !strings.HasSuffix(r.String(), want) {
		t.Errorf("said %s", r.String())
	}
}

func TestWritersAtOnce(t *testing.T) {
	r := newReader(nil)
	q, log := attached(t, r, 0)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 100 {
				log.Info("line")
			}
		})
	}
	all.Wait()
	q.Close(testWait)
	if got := strings.Count(r.String(), "msg=line\n"); got != 800 || q.Dropped() != 0 {
		t.Errorf("%d lines, %d dropped", got, q.Dropped())
	}
}
