package engine

import (
	"strings"
	"testing"

	"weir/engine/backend"
	"weir/security/audit"
)

// TestConnectHookFailures: what the application takes for no credential counts for the address, and at the bound it is not asked any
// more. That it cannot say, now, is nobody's failure.
func TestConnectHookFailures(t *testing.T) {
	app := newApplication(t)
	var trail *auditTrail
	s := app.start(func(c *Config) {
		c.Limits.MessageRate = 0
		trail = audited(t, c, audit.Flood{Each: 1000})
	})
	guess := func(answer, want string) {
		t.Helper()
		c := s.client(t)
		c.send(`{"id":1,"connect":{"data":{"password":"guess"}}}`)
		app.says(backend.Connect, answer)
		if strings.HasPrefix(want, `"code"`) {
			if line := c.mustNext(); !strings.Contains(line, want) {
				t.Errorf("%s: %s, want %s", answer, line, want)
			}
			return
		}
		c.wantClose(4501)
	}
	noted := func(want uint64) {
		t.Helper()
		if n := s.shared.fails.Noted(); n != want {
			t.Errorf("%d failures, want %d", n, want)
		}
	}
	guess("", `"code":100`)
	guess(`{"error":{"code":1000,"message":"later","temporary":true}}`, `"code":1000`)
	guess(`{"result":{"user":"alice","expire_at":1}}`, `"code":110`)
	noted(0)
	guess(`{"disconnect":{"code":4501,"reason":"unauthorized"}}`, "4501")
	noted(1)
	c := s.client(t)
	for range failureRate.Burst - 1 {
		c.send(`{"id":1,"connect":{"data":{"password":"guess"}}}`)
		app.says(backend.Connect, `{"error":{"code":1001,"message":"wrong password"}}`)
		c.mustNext()
	}
	noted(uint64(failureRate.Burst))
	c.send(`{"id":1,"connect":{"data":{"password":"guess"}}}`)
	c.wantClose(3013)
	if n := len(app.asked[backend.Connect]); n != 0 {
		t.Errorf("asked %d times more", n)
	}
	records := 0
	for _, e := range trail.entries(t) {
		if e.Event == audit.AuthenticationFailed {
			records += int(e.N())
		}
	}
	if want := int(failureRate.Burst) + 1; records != want { // one was over
		t.Errorf("%d records of failed authentication, want %d", records, want)
	}
}
