package engine

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"net/http"
	"strings"
	"testing"
	"time"

	"weir/security/certs/certstest"
	"weir/security/token"
)

// certifying is a server whose clients may show a certificate, and do: that of alice.
func certifying(t *testing.T, version uint16) *testServer {
	t.Helper()
	authority := certstest.NewAuthority(t)
	s := start(t, func(c *Config) {
		c.TLS.ClientAuth, c.ClientCAs, c.TLS.MaxVersion = tls.VerifyClientCertIfGiven, func() *x509.CertPool { return authority.Pool }, version
		c.Limits.SessionMax = 100 * time.Hour
	})
	s.shows = []tls.Certificate{authority.Client("alice.test")}
	return s
}

// TestCertificateIsACredential: who shows a certificate is its user, with what the namespaces allow to clients, by the
// protocol and by /feed; a token of the same user adds its grants, one of another is refused in each place.
func TestCertificateIsACredential(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		t.Run(tls.VersionName(version), func(t *testing.T) {
			s := certifying(t, version)
			own, foreign := sign(t, "alice.test", "feeds:*"), sign(t, "mallory", "feeds:*")

			c := s.client(t)
			c.mustDo(`"connect":{}`)
			c.mustDo(`"subscribe":{"channel":"open:a"}`)
			c.mustDo(`"subscribe":{"channel":"open:b#alice.test"}`)
			for _, channel := range []string{"feeds:a", "open:c#mallory"} {
				if reply := c.do(`"subscribe":{"channel":"` + channel + `"}`); !strings.Contains(reply, `"code":103`) {
					t.Errorf("%s: %s", channel, reply)
				}
			}
			users := s.api("connections", `{}`)["result"].(map[string]any)["connections"].(map[string]any)
			for _, x := range users {
				if user := x.(map[string]any)["user"]; user != "alice.test" {
					t.Errorf("the user is %v", user)
				}
			}
			c.mustDo(`"refresh":{"token":"` + issuedAs(t, "alice.test", "", s.clock.now()) + `"}`)
			c.mustDo(`"subscribe":{"channel":"feeds:a"}`)
			c.send(`{"id":99,"refresh":{"token":"` + foreign + `"}}`)
			c.wantClose(3500)

			s.connected(t, own).mustDo(`"subscribe":{"channel":"feeds:a"}`)
			s.tryConnect(t, foreign).wantClose(3500)
			if _, response, err := s.dial(pathProtocol, bearer(foreign)); err == nil || response.StatusCode != http.StatusUnauthorized {
				t.Errorf("another's token in the handshake: %v", err)
			}
			ticket := s.api("issue_ticket", `{"user":"mallory","channels":["feeds:a"]}`)["result"].(map[string]any)["ticket"].(string)
			if _, response, err := s.dial(pathProtocol+"?ticket="+ticket, nil); err == nil || response.StatusCode != http.StatusUnauthorized {
				t.Errorf("another's ticket: %v", err)
			}

			for query, want := range map[string]int{"channel=open:a": 101, "channel=feeds:a": 403} {
				ws, response, err := s.dial(pathFeed+"?"+query, nil)
				if response == nil || response.StatusCode != want {
					t.Errorf("/feed?%s: %v", query, err)
				}
				if err == nil {
					_ = ws.CloseNow()
				}
			}
			if ws, _, err := s.dial(pathFeed+"?channel=feeds:a", bearer(own)); err != nil {
				t.Errorf("/feed with a token: %v", err)
			} else {
				_ = ws.CloseNow()
			}
			if _, response, err := s.dial(pathFeed+"?channel=open:a", bearer(foreign)); err == nil || response.StatusCode != http.StatusUnauthorized {
				t.Errorf("/feed with another's token: %v", err)
			}
			if _, response, err := s.dial(pathProtocol, http.Header{"Origin": {"https://evil.example"}}); err == nil || response.StatusCode != http.StatusForbidden {
				t.Errorf("from a foreign page: %v", err)
			}
		})
	}
}

// Without a certificate nothing is as if there were one.
func TestCertificateIsOptional(t *testing.T) {
	s := certifying(t, 0)
	s.shows = nil
	c := s.client(t)
	if reply := c.do(`"connect":{}`); !strings.Contains(reply, `"code":101`) {
		t.Errorf("nobody: %s", reply)
	}
	if _, response, err := s.dial(pathFeed+"?channel=open:a", nil); err == nil || response.StatusCode != http.StatusUnauthorized {
		t.Errorf("/feed: %v", err)
	}
	s.connected(t, sign(t, "mallory", "feeds:*")).mustDo(`"subscribe":{"channel":"feeds:a"}`)
}

// TestCertificateIsRevoked: by its digest, by its user, and by when it was issued.
func TestCertificateIsRevoked(t *testing.T) {
	for _, method := range []string{"revoke_token", "block_user", "invalidate_user_tokens"} {
		s := certifying(t, 0)
		digest := sha256.Sum256(s.shows[0].Certificate[0])
		body := map[string]string{
			"revoke_token": `{"jti":"sha256:` + hex.EncodeToString(digest[:]) + `"}`, "block_user": `{"user":"alice.test"}`,
			"invalidate_user_tokens": `{"user":"alice.test"}`,
		}[method]
		c, waits, refreshed := s.client(t), s.client(t), s.client(t)
		withToken := s.connected(t, issuedAs(t, "alice.test", "", s.clock.now()))
		for _, c := range []*client{c, refreshed} {
			c.mustDo(`"connect":{}`)
		}
		refreshed.mustDo(`"refresh":{"token":"` + issuedAs(t, "alice.test", "", s.clock.now()) + `"}`)
		feed, _, err := s.dial(pathFeed+"?channel=open:a", nil)
		if err != nil {
			t.Fatal(err)
		}
		defer feed.CloseNow()
		if answer := s.api(method, body); answer["error"] != nil {
			t.Fatalf("%s: %v", method, answer)
		}
		for _, c := range []*client{c, withToken, refreshed} { // whatever token it lives by
			c.wantClose(3500)
		}
		if _, _, err := feed.Read(t.Context()); err == nil || !strings.Contains(err.Error(), "3500") {
			t.Errorf("%s: /feed ends with %v", method, err)
		}
		waits.send(`{"id":1,"connect":{}}`)
		waits.wantClose(3500)
		if _, response, err := s.dial(pathFeed+"?channel=open:a", nil); err == nil || response.StatusCode != http.StatusUnauthorized {
			t.Errorf("%s: /feed lets it in again: %v", method, err)
		}
		if method == "revoke_token" { // nor with a token
			s.tryConnect(t, sign(t, "alice.test", "feeds:*")).wantClose(3500)
		}
	}
}

// TestCertificateExpires: a connection ends with its certificate, whatever token it lives by.
func TestCertificateExpires(t *testing.T) {
	s := certifying(t, 0)
	jwt := signClaims(t, token.SignClaims{Subject: "alice.test", ExpiresAt: time.Now().Add(90 * time.Hour).Unix()})
	alone, withToken := s.client(t), s.connected(t, jwt)
	alone.mustDo(`"connect":{}`)
	others := s.shows
	s.shows = nil
	without := s.connected(t, signClaims(t, token.SignClaims{Subject: "bob", ExpiresAt: time.Now().Add(90 * time.Hour).Unix()}))
	s.shows = others
	ends := func(c *conn) bool { return c.endAt != 0 && c.endAt < int64(24*time.Hour) }
	if !s.every(2, ends) {
		t.Error("not two connections end with their certificate")
	}
	s.clock.move(22 * time.Hour)
	s.pings(3)
	for _, c := range []*client{alone, withToken, without} {
		c.mustDo(`"subscribe":{"channel":"open:a"}`)
	}
	s.pongs(3)
	s.clock.move(time.Hour + time.Minute)
	alone.wantClose(3011)
	withToken.wantClose(3011)
	if !s.every(1, (*conn).connected) {
		t.Error("who showed none is gone too")
	}
}
