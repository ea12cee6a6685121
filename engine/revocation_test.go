package engine

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"weir/engine/stats"
	"weir/security/grant"
	"weir/security/token"
)

// issuedAs is a connection token with a jti and an iat.
func issuedAs(t testing.TB, user, jti string, at time.Time) string {
	t.Helper()
	return signClaims(t, token.SignClaims{Subject: user, ID: jti, IssuedAt: at.Unix(), ExpiresAt: time.Now().Add(time.Hour).Unix(),
		Caps: []grant.Capability{{Channels: []string{"feeds:*"}, Match: "wildcard", Allow: []string{"sub", "pub"}}}})
}

// TestRevoke: who is revoked is closed at once, and not let in again by any
// door; the others notice nothing.
func TestRevoke(t *testing.T) {
	earlier := time.Now().Add(-10 * time.Minute)
	for _, x := range []struct {
		method, body string
		gone, stay   []string // tokens
	}{
		{"block_user", `{"user":"mallory"}`,
			[]string{issuedAs(t, "mallory", "m1", earlier), issuedAs(t, "mallory", "", time.Now())}, []string{issuedAs(t, "alice", "m1", earlier)}},
		{"revoke_token", `{"jti":"m1"}`,
			[]string{issuedAs(t, "mallory", "m1", earlier), issuedAs(t, "other", "m1", earlier)}, []string{issuedAs(t, "mallory", "m2", earlier), issuedAs(t, "mallory", "", earlier)}},
		{"invalidate_user_tokens", fmt.Sprintf(`{"user":"mallory","issued_before":%d}`, time.Now().Add(-time.Minute).Unix()),
			[]string{issuedAs(t, "mallory", "m1", earlier), signClaims(t, token.SignClaims{Subject: "mallory", ExpiresAt: time.Now().Add(time.Hour).Unix(),
				Caps: []grant.Capability{{Channels: []string{"feeds:*"}, Allow: []string{"sub"}, Match: "wildcard"}}})},
			[]string{issuedAs(t, "mallory", "m1", time.Now()), issuedAs(t, "alice", "m1", earlier)}},
	} {
		t.Run(x.method, func(t *testing.T) {
			s := start(t, nil)
			var gone, stay []*client
			var feeds []*feedClient
			for _, jwt := range x.gone {
				gone = append(gone, s.connected(t, jwt))
				feeds = append(feeds, s.feed(t, jwt, "channel=feeds:a"))
			}
			for _, jwt := range x.stay {
				c := s.connected(t, jwt)
				c.mustDo(`"subscribe":{"channel":"feeds:a"}`)
				stay = append(stay, c)
			}
			if answer := s.api(x.method, x.body); answer["error"] != nil {
				t.Fatalf("the API answers %v", answer)
			}
			for i := range gone {
				gone[i].wantClose(3500)
				feeds[i].wantClose(3500)
			}
			for _, jwt := range x.gone {
				s.refusedEverywhere(t, jwt)
			}
			s.publish("feeds:a", "1")
			for _, c := range stay {
				if line := c.mustNext(); !strings.Contains(line, `"data":1`) {
					t.Errorf("another user is told %s", line)
				}
			}
			if x.method != "block_user" {
				return
			}
			s.api("unblock_user", `{"user":"mallory"}`)
			s.connected(t, x.gone[0])
		})
	}
}

// refusedEverywhere tries every door with a token that is revoked.
func (s *testServer) refusedEverywhere(t *testing.T, jwt string) {
	t.Helper()
	for _, path := range []string{pathProtocol, pathFeed + "?channel=feeds:a"} {
		header := http.Header{"Origin": {testOrigin}, "Authorization": {"Bearer " + jwt}}
		if _, res, err := s.dial(path, header); err == nil || res == nil || res.StatusCode != http.StatusUnauthorized {
			t.Errorf("%s: %v, %v; want 401", path, res, err)
		}
	}
	c := s.client(t)
	c.send(`{"id":1,"connect":{"token":"` + jwt + `"}}`)
	c.wantClose(3500)
}

// TestRevokedRefresh: a token that is revoked is no newer one.
func TestRevokedRefresh(t *testing.T) {
	s := start(t, nil)
	c := s.connected(t, issuedAs(t, "alice", "old", s.clock.in(-time.Minute)))
	s.api("revoke_token", `{"jti":"new"}`)
	c.send(`{"id":9,"refresh":{"token":"` + issuedAs(t, "alice", "new", s.clock.now()) + `"}}`)
	c.wantClose(3500)
	c = s.connected(t, issuedAs(t, "alice", "old", s.clock.in(-time.Minute)))
	c.mustDo(`"refresh":{"token":"` + issuedAs(t, "alice", "newer", s.clock.now()) + `"}`)
	s.api("revoke_token", `{"jti":"old"}`) // it lives by another one now
	c.mustDo(`"subscribe":{"channel":"feeds:a"}`)
	s.api("revoke_token", `{"jti":"newer"}`)
	c.wantClose(3500)
}

// TestRevokedBeforeTheWalk: a message finds the new epoch by itself.
func TestRevokedBeforeTheWalk(t *testing.T) {
	s := start(t, nil)
	c := s.connected(t, issuedAs(t, "mallory", "m", s.clock.now()))
	if err := s.shared.revoked.Block("mallory", time.Time{}, s.clock.now()); err != nil {
		t.Fatal(err)
	}
	c.send(`{"id":9,"publish":{"channel":"feeds:a","data":1}}`)
	c.wantClose(3500)
	if n := s.Server.stats.Total(stats.Publications); n != 0 {
		t.Error("what it published was published")
	}
}

// TestExpiredBeforeTheTick: a message after the end finds it by itself.
func TestExpiredBeforeTheTick(t *testing.T) {
	s := start(t, func(c *Config) { c.Limits.ExpiredCloseDelay = 0 })
	c := s.connected(t, sign(t, "alice", "feeds:*"))
	s.onLoops(func(sh *shard) {
		sh.conns.each(func(c *conn) {
			c.session.ExpireAt(s.clock.in(-time.Second).Unix())
			c.expireBy = 1 // and no tick comes: the wheel was not told
		})
	})
	c.send(`{"id":9,"publish":{"channel":"feeds:a","data":1}}`)
	c.wantClose(3005)
	if n := s.Server.stats.Total(stats.Publications); n != 0 {
		t.Error("what it published was published")
	}
}

// ticket asks the API for one.
func (s *testServer) ticket(body string) string {
	s.t.Helper()
	answer := s.api("issue_ticket", body)
	result, ok := answer["result"].(map[string]any)
	if !ok {
		s.t.Fatalf("issue_ticket answers %v", answer)
	}
	return result["ticket"].(string)
}

func TestTicketOpensOnce(t *testing.T) {
	s := start(t, nil)
	caps := `"caps":[{"channels":["feeds:*"],"match":"wildcard","allow":["sub","pub"]}]`
	ticket := s.ticket(`{"sub":"alice","channels":["feeds:server"],` + caps + `}`)
	ws, _, err := s.dial(pathProtocol+"?ticket="+ticket, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer ws.CloseNow()
	c := &client{t: t, ws: ws}
	if reply := c.mustDo(`"connect":{}`); !strings.Contains(reply, `"feeds:server"`) || strings.Contains(reply, `"expires"`) {
		t.Errorf("connect answers %s", reply)
	}
	c.mustDo(`"subscribe":{"channel":"feeds:a"}`)
	if reply := c.do(`"subscribe":{"channel":"other:a"}`); !strings.Contains(reply, `"code":103`) {
		t.Errorf("beyond the ticket: %s", reply)
	}
	if _, res, err := s.dial(pathProtocol+"?ticket="+ticket, nil); err == nil || res.StatusCode != http.StatusUnauthorized {
		t.Errorf("twice: %v, %v", res, err)
	}
	// /feed, and a request that is refused before the ticket is looked at.
	ticket = s.ticket(`{"sub":"alice",` + caps + `,"expire_at":` + fmt.Sprint(time.Now().Add(time.Hour).Unix()) + `}`)
	for _, bad := range []string{pathFeed + "?ticket=" + ticket, pathFeed + "?channel=feeds:a&channel=&ticket=" + ticket, "/nowhere?ticket=" + ticket} {
		if _, _, err := s.dial(bad, nil); err == nil {
			t.Errorf("%s was opened", bad)
		}
	}
	if _, res, err := s.dial(pathProtocol+"?ticket="+ticket, http.Header{"Origin": {"https://evil.example"}}); err == nil || res.StatusCode != http.StatusForbidden {
		t.Errorf("from a foreign page: %v, %v", res, err)
	}
	feed, _, err := s.dial(pathFeed+"?channel=feeds:a&ticket="+ticket, nil)
	if err != nil {
		t.Fatalf("the ticket was used up by requests that were refused: %v", err)
	}
	defer feed.CloseNow()
	s.publish("feeds:a", "1")
	if _, message, err := feed.Read(t.Context()); err != nil || !strings.Contains(string(message), `"data":1`) {
		t.Errorf("%s, %v", message, err)
	}
	// A blocked user's ticket opens nothing.
	ticket = s.ticket(`{"sub":"mallory",` + caps + `}`)
	s.api("block_user", `{"user":"mallory"}`)
	if _, res, err := s.dial(pathProtocol+"?ticket="+ticket, nil); err == nil || res.StatusCode != http.StatusUnauthorized {
		t.Errorf("a blocked user's: %v, %v", res, err)
	}
	if n := s.shared.tickets.Waiting(); n != 0 {
		t.Errorf("%d tickets are kept", n)
	}
}

// TestTicketRace: 64 handshakes at once with one ticket; one is let in.
func TestTicketRace(t *testing.T) {
	s := start(t, nil)
	path := pathProtocol + "?ticket=" + s.ticket(`{"sub":"alice","channels":["feeds:a"]}`)
	var wg sync.WaitGroup
	statuses := make(chan int, 64)
	begin := make(chan struct{})
	for range cap(statuses) {
		raw := s.raw(t) // each is past TLS before any begins
		wg.Go(func() {
			<-begin
			if _, err := fmt.Fprintf(raw, rawUpgrade, path); err != nil {
				t.Error(err)
				return
			}
			var status int
			if _, err := fmt.Fscanf(io.LimitReader(raw, 12), "HTTP/1.1 %d", &status); err != nil {
				t.Error(err)
			}
			statuses <- status
		})
	}
	close(begin)
	wg.Wait()
	close(statuses)
	count := map[int]int{}
	for status := range statuses {
		count[status]++
	}
	if count[101] != 1 || count[401] != 63 {
		t.Errorf("%v, want one 101 and 63 times 401", count)
	}
}

// TestForgedTickets: no number of guesses opens anything.
func TestForgedTickets(t *testing.T) {
	s := start(t, func(c *Config) { c.AllowAnonymous = true })
	s.ticket(`{"sub":"alice","channels":["feeds:a"]}`)
	for _, guess := range []string{"", "x", strings.Repeat("A", 43), strings.Repeat("A", 4000), "%00", "%41"} {
		for _, path := range []string{pathProtocol + "?ticket=", pathFeed + "?channel=feeds:a&ticket="} {
			ws, res, err := s.dial(path+guess, nil)
			if err == nil {
				_ = ws.Close(websocket.StatusNormalClosure, "")
			}
			if err == nil || res == nil || res.StatusCode != http.StatusUnauthorized {
				t.Errorf("%.60s: %v, %v", path+guess, res, err)
			}
		}
	}
	if s.shared.tickets.Waiting() != 1 {
		t.Error("the good ticket is gone")
	}
}

// clientID is the id of the only connection of user.
func (s *testServer) clientID(user string) (id string) {
	s.t.Helper()
	for client, c := range s.api("connections", `{}`)["result"].(map[string]any)["connections"].(map[string]any) {
		if c.(map[string]any)["user"] == user {
			id = client
		}
	}
	return id
}

// TestRevokeByClient: whatever a client has shown opens nothing any more, for it and for whoever else has it; other
// tokens of its user, and clients who cannot be told by a token, are left alone.
func TestRevokeByClient(t *testing.T) {
	s := start(t, func(c *Config) { c.AllowAnonymous = true })
	stolen := issuedAs(t, "mallory", "stolen", time.Now())
	thief := s.connected(t, stolen)
	id := s.clientID("mallory")
	feed, other := s.feed(t, stolen, "channel=feeds:a"), s.connected(t, issuedAs(t, "mallory", "other", time.Now()))
	if answer := s.api("revoke_token", `{"client":"`+id+`"}`); answer["error"] != nil {
		t.Fatalf("the API answers %v", answer)
	}
	thief.wantClose(3500)
	feed.wantClose(3500)
	s.refusedEverywhere(t, stolen)
	other.mustDo(`"subscribe":{"channel":"feeds:a"}`)
	s.connected(t, issuedAs(t, "mallory", "new", time.Now()))

	nameless, nobody := s.connected(t, sign(t, "alice", "feeds:*")), s.client(t)
	nobody.mustDo(`"connect":{}`)
	for _, client := range []string{s.clientID("alice"), s.clientID(""), id, "nobody"} {
		if answer := s.api("revoke_token", `{"client":"`+client+`"}`); !strings.Contains(fmt.Sprint(answer["error"]), "108") {
			t.Errorf("%q: the API answers %v, want error 108", client, answer)
		}
	}
	if n := s.shared.revoked.Entries(); n != 1 {
		t.Errorf("%d revocations, want 1", n)
	}
	nameless.mustDo(`"subscribe":{"channel":"feeds:a"}`)
	nobody.mustDo(`"subscribe":{"channel":"open:a"}`)
}
