package main

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"weir/security/anomaly"
)

// alarmed is an audited server whose alerts are posted here.
func alarmed(t *testing.T, args ...string) (r *running, file string, alerts <-chan posted) {
	t.Helper()
	heard := make(chan posted, alarmsWaiting)
	hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var p posted
		if err := json.NewDecoder(r.Body).Decode(&p); err != nil || r.URL.Query().Get("key") != "hunter2" {
			t.Errorf("posted to %s: %v", r.URL, err)
		}
		heard <- p
		w.WriteHeader(http.StatusBadGateway)
		_, _ = io.WriteString(w, "the words of the hook")
	}))
	t.Cleanup(hook.Close)
	r, file = audited(t, append([]string{"--anomaly-webhook=" + hook.URL + "/alerts?key=hunter2", "--anomaly-scale=0.2"}, args...)...)
	return r, file, heard
}

// storm sends requests that no browser makes, from 127.0.0.1, until an alert names
// that address.
func (r *running) storm(alerts <-chan posted) (about posted) {
	r.t.Helper()
	for range 100 {
		nc, err := tls.Dial("tcp", r.address("listen"), r.clientConfig())
		if err != nil {
			continue // banned already
		}
		_, _ = io.WriteString(nc, "GET /connection/websocket HTTP/1.1\nHost: localhost\n\n")
		_, _ = io.Copy(io.Discard, nc)
		_ = nc.Close()
	}
	patience := time.NewTimer(5 * time.Minute)
	defer patience.Stop()
	for {
		select {
		case about = <-alerts:
			if about.Detector == "malformed_requests" && about.Prefix != "" {
				return about
			}
		case <-patience.C:
			r.t.Fatal("no alert is posted")
		}
	}
}

// TestAttackerIsBanned: the address that attacks is posted, banned, and sent away;
// the log says so, and the same alerts come out of it afterwards.
func TestAttackerIsBanned(t *testing.T) {
	r, file, alerts := alarmed(t, "--anomaly-containment=ban")
	ws, refusal := r.dial("/connection/websocket", nil)
	if ws == nil {
		t.Fatal(refusal)
	}
	defer ws.CloseNow()
	if said := ask(t, ws, `{"id":1,"connect":{"token":"`+signedFor(t, "alice")+`"}}`); !strings.Contains(said, "client") {
		t.Fatal(said)
	}
	about := r.storm(alerts)
	if about.Prefix != "127.0.0.1/32" || about.Action != "ban" || about.Until == nil || about.Count != 6 || about.Threshold != 6 || about.Window != "1m0s" {
		t.Errorf("posted %+v", about)
	}
	if _, _, err := ws.Read(t.Context()); websocket.CloseStatus(err) != 3011 {
		t.Errorf("who was connected: %v", err)
	}
	if ws, _ := r.dial("/connection/websocket", nil); ws != nil {
		t.Error("a banned address is let in")
	}
	r.stop()

	status, found, stderr := weir("audit", "query", "--anomalies", "--anomaly-scale=0.2", file)
	if want := fmt.Sprintf("%s\tmalformed_requests\t127.0.0.1/32\t6 in 1m0s, the threshold is 6\n", about.Time.Format("2006-01-02T15:04:05.000Z")); status != 0 || !strings.Contains(found, want) {
		t.Errorf("status %d, %q, %s; want %q", status, found, stderr, want)
	}
	status, again, stderr := weir("audit", "query", "--anomalies", "--anomaly-scale=0.2", file, file)
	if status != 0 || strings.Count(again, "malformed_requests\t127") != 2 {
		t.Errorf("status %d, %q, %s: the same file twice", status, again, stderr)
	}
	_, contained, _ := weir("audit", "query", "--event=contained", "--reason=ban", file)
	if strings.Count(contained, "\n") != 1 || !strings.Contains(contained, "127.0.0.1/32") {
		t.Errorf("the log has %q", contained)
	}
	log, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	lines := bytes.SplitAfter(log, []byte("\n"))
	older, newer := filepath.Join(t.TempDir(), "z-older"), filepath.Join(t.TempDir(), "a-newer")
	for name, part := range map[string][][]byte{older: lines[:len(lines)/2], newer: lines[len(lines)/2:]} {
		if err := os.WriteFile(name, bytes.Join(part, nil), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, parts, stderr := weir("audit", "query", "--anomalies", "--anomaly-scale=0.2", newer, older); parts != found {
		t.Errorf("the newer file first: %q, %s; want %q", parts, stderr, found)
	}
	_, whole, _ := weir("audit", "query", file)
	if _, parts, stderr := weir("audit", "query", newer, older); parts != whole || whole == "" {
		t.Errorf("the records of the newer file come first: %s%s", parts, stderr)
	}
	for _, canary := range []string{"hunter2", "the words of the hook"} {
		if strings.Contains(r.stderr.String()+string(log), canary) {
			t.Errorf("%q is told", canary)
		}
	}
}

// TestContainmentIsDryAtFirst: without being asked to, nobody is banned.
func TestContainmentIsDryAtFirst(t *testing.T) {
	r, file, alerts := alarmed(t)
	if about := r.storm(alerts); about.Action != "dry_run" || about.Until != nil {
		t.Errorf("posted %+v", about)
	}
	ws, refusal := r.dial("/connection/websocket", nil)
	if ws == nil {
		t.Fatal(refusal)
	}
	_ = ws.CloseNow()
	r.stop()
	if _, dry, _ := weir("audit", "query", "--event=contained", "--reason=dry_run", file); strings.Count(dry, "\n") != 1 {
		t.Errorf("the log has %q", dry)
	}
}

// TestSparedAreNotBanned: those of --limit-exempt, --anomaly-allow.
func TestSparedAreNotBanned(t *testing.T) {
	for _, option := range []string{"--limit-exempt=127.0.0.0/8", "--anomaly-allow=127.0.0.1"} {
		r, _, alerts := alarmed(t, "--anomaly-containment=ban", option)
		if about := r.storm(alerts); about.Action != "spared" {
			t.Errorf("%s: posted %+v", option, about)
		}
		r.stop()
	}
}

// TestProxiesAreNotBanned: neither those that are named, nor those that are trusted
// because none are.
func TestProxiesAreNotBanned(t *testing.T) {
	for _, c := range []struct {
		listen  address
		trusted networks
		proxy   string
		want    bool
	}{
		{"127.0.0.1:8080", nil, "127.0.0.1", true},
		{"127.0.0.1:8080", nil, "::1", true},
		{"127.0.0.1:8080", nil, "10.0.0.7", false},
		{"0.0.0.0:8080", networks{netip.MustParsePrefix("10.0.0.7/32")}, "10.0.0.7", true},
		{"0.0.0.0:8080", networks{netip.MustParsePrefix("10.0.0.7/32")}, "127.0.0.1", false},
		{"", nil, "127.0.0.1", false},
	} {
		var s setup
		var o serverOptions
		o.AuditFile, o.ProxyListen, o.TrustedProxies = "off", c.listen, c.trusted
		_ = s.loadAudit(&o) // of options that are not about this
		holds := func(p netip.Prefix) bool { return p.Contains(netip.MustParseAddr(c.proxy)) }
		if got := slices.ContainsFunc(s.audit.spared, holds); got != c.want {
			t.Errorf("%+v: spared is %v", c, got)
		}
	}
}

func TestAnomalyOptions(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"--anomaly-webhook=http://hooks.example.com/a"}, "https"},
		{[]string{"--anomaly-webhook=ftp://127.0.0.1/"}, "https"},
		{[]string{"--anomaly-webhook=https://"}, "https"},
		{[]string{"--anomaly-webhook=https://a.example/", "--audit-file=off"}, "--audit-file"},
		{[]string{"--anomaly-containment=ban", "--anomaly-scale=0"}, "--anomaly-scale"},
		{[]string{"--anomaly-scale=-1"}, "no factor"},
		{[]string{"--anomaly-ban-time=5m"}, "--anomaly-ban-time"},
		{[]string{"--anomaly-containment=maybe"}, "--anomaly-containment"},
	} {
		if status, _, stderr := weir(append(good(t, "check"), c.args...)...); status != 2 || !strings.Contains(stderr, c.want) {
			t.Errorf("%v: status %d, %s", c.args, status, stderr)
		}
	}
	if status, _, stderr := weir(append(good(t, "check"), "--anomaly-webhook=http://[::1]:8080/a", "--anomaly-containment=ban")...); status != 0 {
		t.Errorf("status %d, %s", status, stderr)
	}
}

// TestAlarmsAreOneLineASecond: a flood of alerts is one, with the number of the others.
func TestAlarmsAreOneLineASecond(t *testing.T) {
	var lines bytes.Buffer
	now := time.Unix(1_700_000_000, 0)
	a := &alarms{log: slog.New(slog.NewTextHandler(&lines, nil)), acts: make(chan anomaly.Report, 2),
		response: &anomaly.Response{Now: func() time.Time { return now }}}
	for range 1000 {
		a.tell(anomaly.Report{Alert: anomaly.Alert{Detector: "failures"}, Action: anomaly.Banned})
	}
	now = now.Add(time.Second)
	a.tell(anomaly.Report{Alert: anomaly.Alert{Detector: "connects"}})
	if got := strings.Count(lines.String(), "\n"); got != 2 || !strings.Contains(lines.String(), "not_shown=1997") { // 999 alerts, 998 bans without room
		t.Errorf("%d lines: %s", got, lines.String())
	}
}
