package engine

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/coder/websocket"
)

// TestOrderOfCredentials: of several credentials in one handshake the first of H5's order counts, and a bad one is not made
// good by a later one. On /feed the same.
func TestOrderOfCredentials(t *testing.T) {
	s := start(t, func(c *Config) { c.AllowTokenInURL = true })
	jwt := func(user string) string { return sign(t, user, "feeds:*") }
	ticket := func(user string) string {
		t.Helper()
		answer := s.api("issue_ticket", fmt.Sprintf(`{"sub":%q,"caps":[{"channels":["feeds:*"],"match":"wildcard","allow":["sub"]}]}`, user))
		return answer["result"].(map[string]any)["ticket"].(string)
	}
	const bad = "a.b.c"
	of := func(who func(string) string, user string, make func(string) string) string {
		if user == bad {
			return bad
		}
		return make(who(user))
	}
	for at, c := range []struct {
		name, authorization, protocol, ticket, token, connect string
		want                                                  string // the user; "" is 401
	}{
		{"Authorization before all", "header", "protocol", "ticket", "url", "connect", "header"},
		{"subprotocol before the URL", "", "protocol", "ticket", "url", "connect", "protocol"},
		{"ticket before a token in the URL", "", "", "ticket", "url", "connect", "ticket"},
		{"a token in the URL before connect", "", "", "", "url", "connect", "url"},
		{"connect alone", "", "", "", "", "connect", "connect"},
		{"a bad Authorization", bad, "protocol", "ticket", "url", "connect", ""},
		{"a bad subprotocol", "", bad, "ticket", "url", "connect", ""},
		{"a bad ticket", "", "", bad, "url", "connect", ""},
		{"a bad token in the URL", "", "", "", bad, "connect", ""},
	} {
		for path, protocol := range map[string]string{pathProtocol + "?": subprotocol, pathFeed + "?channel=feeds:a": subprotocolFeed} {
			isFeed := protocol == subprotocolFeed
			if isFeed && c.want == "connect" {
				continue // it has none
			}
			who := func(user string) string { return fmt.Sprint(user, at, protocol) } // nobody is connected twice
			options := &websocket.DialOptions{HTTPClient: s.httpClient(), HTTPHeader: http.Header{"Origin": {testOrigin}}}
			if c.authorization != "" {
				options.HTTPHeader.Set("Authorization", "Bearer "+of(who, c.authorization, jwt))
			}
			if c.protocol != "" {
				options.Subprotocols = []string{protocol, "bearer." + of(who, c.protocol, jwt)}
			}
			if c.ticket != "" {
				path += "&ticket=" + of(who, c.ticket, ticket)
			}
			if c.token != "" {
				path += "&token=" + of(who, c.token, jwt)
			}
			ctx, cancel := context.WithTimeout(context.Background(), testWait)
			ws, res, err := websocket.Dial(ctx, s.url(path), options)
			cancel()
			if c.want == "" {
				if err == nil || res.StatusCode != http.StatusUnauthorized {
					t.Errorf("%s on %s: %v, %v, want 401", c.name, protocol, res, err)
				}
				continue
			}
			if err != nil {
				t.Errorf("%s on %s: %v", c.name, protocol, err)
				continue
			}
			t.Cleanup(func() { _ = ws.CloseNow() })
			if !isFeed {
				(&client{t: t, ws: ws}).mustDo(`"connect":{"token":"` + jwt(who(c.connect)) + `"}`)
			}
			for _, user := range []string{"header", "protocol", "ticket", "url", "connect"} {
				answer := toJSON(t, s.api("connections", fmt.Sprintf(`{"user":%q}`, who(user))))
				if got := strings.Contains(answer, `"user"`); got != (user == c.want) {
					t.Errorf("%s on %s: %s is connected: %v", c.name, protocol, user, got)
				}
			}
		}
	}
}

// TestACookieIsNoCredential: whatever a cookie holds, a handshake with it is one without a credential.
func TestACookieIsNoCredential(t *testing.T) {
	s := start(t, nil)
	jwt := sign(t, "alice", "feeds:*")
	header := http.Header{"Origin": {testOrigin}, "Cookie": {"token=" + jwt + "; Authorization=Bearer " + jwt + "; access_token=" + jwt + "; bearer." + jwt + "; ticket=" + jwt + "; session=" + jwt}}
	ws, _, err := s.dial(pathProtocol, header)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ws.CloseNow() }()
	c := &client{t: t, ws: ws}
	if reply := c.do(`"connect":{}`); !strings.Contains(reply, `"code":101`) {
		t.Errorf("connect answers %s", reply)
	}
	if _, res, err := s.dial(pathFeed+"?channel=feeds:a", header); err == nil || res.StatusCode != http.StatusUnauthorized {
		t.Errorf("/feed: %v, %v", res, err)
	}
}

// TestBearerAloneSaysSo: a browser would drop a 101 that selects no protocol, so it is told before.
func TestBearerAloneSaysSo(t *testing.T) {
	s := start(t, nil)
	for _, path := range []string{pathProtocol, pathFeed + "?channel=feeds:a"} {
		_, res, err := s.dial(path, http.Header{"Origin": {testOrigin}, "Sec-Websocket-Protocol": {"bearer." + sign(t, "alice", "feeds:*")}})
		if err == nil || res.StatusCode != http.StatusBadRequest {
			t.Fatalf("%s: %v, %v, want 400", path, res, err)
		}
		body := make([]byte, 1024)
		n, _ := res.Body.Read(body)
		if text := string(body[:n]); !strings.Contains(text, "bearer.<token> alone") || !strings.Contains(text, "offer a protocol") {
			t.Errorf("%s says %q", path, text)
		}
	}
}
