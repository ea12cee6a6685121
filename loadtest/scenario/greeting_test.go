package scenario

import (
	"encoding/pem"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"weir/loadtest/client"
	"weir/loadtest/fleet"
)

// saying is a plan for a server that says something to who comes, and no more.
func saying(t *testing.T, text string) *Plan {
	t.Helper()
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := websocket.Accept(w, r, nil)
		if err != nil {
			return
		}
		defer c.CloseNow()
		if _, _, err := c.Read(r.Context()); err != nil {
			return
		}
		_ = c.Write(r.Context(), websocket.MessageText, []byte(text))
		for err == nil {
			_, _, err = c.Read(r.Context())
		}
	}))
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	plan := newFaulty(t, faults{}).plan(2, 1)
	to := plan.Fleet.Plan.Targets[0]
	to.URL, to.CAs = "wss"+strings.TrimPrefix(s.URL, "https"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	plan.Fleet.Plan.Targets = []client.Target{to}
	return plan
}

// TestGreetings: a connection is open when its connect and each of its subscribes were answered, each once.
func TestGreetings(t *testing.T) {
	for name, test := range map[string]struct {
		text   string
		opened uint64
	}{
		"both":                      {"{\"id\":1,\"connect\":{}}\n{\"id\":2,\"subscribe\":{}}", 2},
		"the other way round":       {"{\"id\":2,\"subscribe\":{}}\n{\"id\":1,\"connect\":{}}", 2},
		"connect twice":             {"{\"id\":1,\"connect\":{}}\n{\"id\":1,\"connect\":{}}", 0},
		"subscribe twice":           {"{\"id\":2,\"subscribe\":{}}\n{\"id\":2,\"subscribe\":{}}", 0},
		"another id":                {"{\"id\":1,\"connect\":{}}\n{\"id\":3,\"subscribe\":{}}", 0},
		"an answer without content": {"{\"id\":1,\"connect\":{}}\n{\"id\":2}", 0},
		"subscribe as connect":      {"{\"id\":1,\"subscribe\":{}}\n{\"id\":2,\"subscribe\":{}}", 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			plan := saying(t, test.text)
			plan.API.URLs = nil
			r, err := begin(t.Context(), "open", plan, nil)
			if err != nil {
				t.Fatal(err)
			}
			err = r.openAll(t.Context(), fleet.Wave{N: 2, First: true})
			run := r.finish(true)
			if err := r.end(); err != nil {
				t.Error(err)
			}
			if err != nil || run.Total.Opened != test.opened || run.Total.DialFailed != 2-test.opened || (len(run.Failures) == 0) != (test.opened == 2) {
				t.Errorf("%v: %+v %s", err, run.Total, run.Failures)
			}
		})
	}
}

const greeting = "{\"id\":1,\"connect\":{}}\n{\"id\":2,\"subscribe\":{}}"

// TestUnansweredIsTold: a server that takes publications and says nothing more has not passed.
func TestUnansweredIsTold(t *testing.T) {
	t.Parallel()
	plan := saying(t, greeting)
	plan.API, plan.Publishers = fleet.API{}, 1
	plan.Duration, plan.Overrun, plan.Settle = 50*time.Millisecond, time.Millisecond, time.Millisecond
	r, err := Fanout(t.Context(), plan, nil)
	if err != nil {
		t.Fatal(err)
	}
	if c := &r.Total; c.Due == 0 || c.Published > 0 || len(r.Failures) != 1 || !strings.Contains(r.Failures[0], "not answered, when the test ended") {
		t.Errorf("%+v %q", c, r.Failures)
	}
}

// TestMixedWithoutHistory: that nobody could be asked to go on is told.
func TestMixedWithoutHistory(t *testing.T) {
	t.Parallel()
	plan := saying(t, greeting)
	plan.Churn, plan.Settle, plan.Rate = 50, time.Millisecond, 20
	r, err := Mixed(t.Context(), plan, nil)
	if err != nil {
		t.Fatal(err)
	}
	if c := &r.Total; c.Left == 0 || !slices.ContainsFunc(r.Failures, func(s string) bool { return strings.Contains(s, "keep a history") }) {
		t.Errorf("%+v %q", c, r.Failures)
	}
}
