package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/coder/websocket"
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
	r, file = audited(t, append([]string{"--anomaly-webhook=" + hook.URL + "/alerts?key=hunter2", "--anomaly-scale=0.05"}, args...)...)
	return r, file, heard
}

// storm sends what is no TLS, from 127.0.0.1, until an alert names that address.
func (r *running) storm(alerts <-chan posted) (about posted) {
	r.t.Helper()
	for range 100 {
		nc, err := net.Dial("tcp", r.address("listen"))
		if err != nil {
			continue // banned already
		}
		_, _ = io.WriteString(nc, "GET / HTTP/1.1\r\n\r\n")
		_, _ = io.Copy(io.Discard, nc)
		_ = nc.Close()
	}
	for about = range alerts {
		if about.Detector == "failures" && about.Prefix != "" {
			return about
		}
	}
	return about
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
	about := r.storm(alerts)
	if about.Prefix != "127.0.0.1/32" || about.Action != "ban" || about.Until == nil || about.Count != 6 || about.Threshold != 6 || about.Window != "1m0s" {
		t.Errorf("posted %+v", about)
	}
	if _, _, err := ws.Read(t.Context()); websocket.CloseStatus(err) != 3503 {
		t.Errorf("who was connected: %v", err)
	}
	if ws, _ := r.dial("/connection/websocket", nil); ws != nil {
		t.Error("a banned address is let in")
	}
	r.stop()

	status, found, stderr := weir("audit", "query", "--anomalies", "--anomaly-scale=0.05", file)
	if want := fmt.Sprintf("%s\tfailures\t127.0.0.1/32\t6 in 1m0s, the threshold is 6\n", about.Time.Format("2006-01-02T15:04:05.000Z")); status != 0 || !strings.Contains(found, want) {
		t.Errorf("status %d, %q, %s; want %q", status, found, stderr, want)
	}
	_, contained, _ := weir("audit", "query", "--event=contained", "--reason=ban", file)
	if strings.Count(contained, "\n") != 1 || !strings.Contains(contained, "127.0.0.1/32") {
		t.Errorf("the log has %q", contained)
	}
	log, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
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
