package main

import (
	"bufio"
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"weir/security/anomaly"
	"weir/security/oplog"
	"weir/security/oplog/logtest"
)

// piped is a server whose standard error is a pipe that the test reads, or does not.
type piped struct {
	*running
	lines *bufio.Reader
}

// piping starts one with so much room for the log, and reads until it serves.
func piping(t *testing.T, room int, args ...string) *piped {
	t.Helper()
	read, write := io.Pipe() // holds nothing: a pipe of the system would first hold 64 KiB
	r := &piped{&running{&invocation{args: args, signals: make(chan os.Signal, 1)}, t, make(chan int, 1), nil}, bufio.NewReader(read)}
	p := r.process()
	p.stderr, p.logRoom = write, room
	go func() {
		r.status <- run(p)
		_ = write.Close()
	}()
	r.until(`"msg":"serving"`)
	return r
}

// until reads lines until one holds the words, and returns it.
func (r *piped) until(words string) string {
	r.t.Helper()
	for {
		line, err := r.lines.ReadString('\n')
		_, _ = r.stderr.Write([]byte(line))
		if err != nil {
			r.t.Fatalf("never said %s: %v: %s", words, err, r.stderr.String())
		}
		if strings.Contains(line, words) {
			return line
		}
	}
}

// metric reads one figure.
func (r *piped) metric(name string) float64 {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), http.MethodGet, "http://"+r.address("api")+"/metrics", nil)
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("X-API-Key", "k")
	text := r.fetch(req)
	found := regexp.MustCompile(`(?m)^` + name + ` (\S+)$`).FindStringSubmatch(text)
	if found == nil {
		r.t.Fatalf("no %s in %s", name, text)
	}
	v, err := strconv.ParseFloat(found[1], 64)
	if err != nil {
		r.t.Fatal(err)
	}
	return v
}

// TestNobodyReadsTheLog is row F2: whoever reads standard error stands still, and the
// server goes on. It counts what it could not say, and says so afterwards.
func TestNobodyReadsTheLog(t *testing.T) {
	r := piping(t, 2<<10, good(t, "serve")...)
	for r.metric("weir_log_dropped_total") == 0 {
		select {
		case r.signals <- syscall.SIGHUP: // a line each
		case <-time.After(awaitTime):
			t.Fatal("the server does not take signals any more")
		}
	}
	if said := r.call("k", "publish", `{"channel":"a","data":1}`); !strings.Contains(said, "result") {
		t.Errorf("a publication was answered %s", said)
	}
	if line := r.until("lines were dropped"); !strings.Contains(line, `"dropped":`) {
		t.Errorf("said %s", line)
	}
	r.signals <- syscall.SIGTERM
	r.until(`"msg":"stopped"`)
	go func() { _, _ = io.Copy(io.Discard, r.lines) }()
	if got := <-r.status; got != 0 {
		t.Errorf("status %d", got)
	}
}

// TestNobodyReadsTheAuditLog: the same where it goes to standard error. The detectors
// that watch it go on, and the program ends though nobody has read.
func TestNobodyReadsTheAuditLog(t *testing.T) {
	r := piping(t, 2<<10, append(good(t, "serve"), "--audit-file=stderr", "--drain-period=1s")...)
	for r.metric("weir_audit_failures_total") == 0 { // what a destination did not take
		r.call("wrong", "info", "{}")
		r.call("k", "disconnect", `{"user":"nobody-at-all-with-a-name-that-takes-its-room-in-a-line"}`)
	}
	before := r.metric("weir_audit_records_total")
	r.call("k", "disconnect", `{"user":"one-more"}`)
	for r.metric("weir_audit_records_total") <= before { // its writer does not stand still
		<-time.After(time.Millisecond)
	}
	r.signals <- syscall.SIGTERM
	if got := <-r.status; got != 0 {
		t.Errorf("status %d", got)
	}
}

// TestWhyItEndsIsSaid: to a reader who was too slow for what came before, too.
func TestWhyItEndsIsSaid(t *testing.T) {
	read, write := io.Pipe()
	p := (&invocation{args: []string{"serve"}}).process()
	p.stderr, p.logRoom = write, 1<<10
	done := p.queueLog()
	for p.log.Dropped() == 0 {
		_, _ = p.stderr.Write([]byte("a line\n"))
	}
	if status := p.fail("weir serve", errImpatient); status != statusFailed {
		t.Errorf("status %d", status)
	}
	said := make(chan string, 1)
	go func() {
		all, _ := io.ReadAll(read)
		said <- string(all)
	}()
	done()
	_ = write.Close()
	if text := <-said; !strings.HasSuffix(text, "weir serve: "+errImpatient.Error()+"\n") {
		t.Errorf("said %s", text)
	}
}

// TestMistakesAreStillSaid: a start that fails says so, through the queue.
func TestMistakesAreStillSaid(t *testing.T) {
	wantRefusal(t, nil, append(good(t, "serve"), "--audit-key-file=/nowhere", "--audit-file", t.TempDir()+"/x/a.log"), "--audit-key-file", "no such file")
}

// TestLogHasALimit, in each format.
func TestLogHasALimit(t *testing.T) {
	for _, format := range []text{"json", "text"} {
		var said logtest.Log
		o := serverOptions{}
		o.LogFormat, o.LogLevel = format, "info"
		log, limit := newLog(&process{stderr: &said}, &o)
		for range 100 {
			log.Warn("it failed", "option", "--x")
		}
		if n := uint64(strings.Count(said.String(), "\n")); n+limit.Suppressed() != 100 || n > 50 { // one, unless a second went by
			t.Errorf("%s: %d lines, %d held back", format, n, limit.Suppressed())
		}
	}
}

// TestFailingWebhookIsOneLineASecond, however many alerts it does not take.
func TestFailingWebhookIsOneLineASecond(t *testing.T) {
	var posts atomic.Int64
	hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		posts.Add(1)
		w.WriteHeader(http.StatusInternalServerError)
	}))
	defer hook.Close()
	var said logtest.Log
	limit := oplog.NewLimit(slog.NewTextHandler(&said, nil), func() time.Time { return time.Unix(1000, 0) })
	a := &alarms{log: slog.New(limit), webhook: hook.URL, acts: make(chan anomaly.Report), posts: make(chan anomaly.Report)}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		a.run(ctx, nil)
	}()
	const alerts = 50
	for range alerts {
		a.posts <- anomaly.Report{Alert: anomaly.Alert{Detector: "failures"}}
	}
	for limit.Suppressed() < alerts-1 {
		<-time.After(time.Millisecond)
	}
	stop()
	<-ended
	if got := said.String(); strings.Count(got, "\n") != 1 || posts.Load() != alerts {
		t.Errorf("%d posts, said %s", posts.Load(), got)
	}
}
