package session

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"unsafe"

	"weir/engine/broker"
	"weir/engine/clientproto"
	"weir/engine/hub"
	"weir/security/token"
)

// forAWhile is a subscription token of u that has a minute left.
func forAWhile(channel string) *token.SubClaims {
	return &token.SubClaims{Subject: "u", Channel: channel, ExpiresAt: now.Unix() + 60}
}

// TestSubscribeWithToken: the token alone permits, but for another user's channel.
func TestSubscribeWithToken(t *testing.T) {
	for _, c := range []struct {
		name, channel string
		claims        *token.SubClaims
		err           error
		want          *clientproto.Error
	}{
		{"$ channel", "$feeds:a", forAWhile("$feeds:a"), nil, nil},
		{"any other", "feeds:a", forAWhile("feeds:a"), nil, nil},
		{"its own", "feeds:a#u", forAWhile("feeds:a#u"), nil, nil},
		{"another user's", "feeds:a#v", nil, nil, clientproto.ErrPermissionDenied},
		{"no namespace", "$nowhere:a", forAWhile("$nowhere:a"), nil, clientproto.ErrUnknownChannel},
		{"bad name", "$feeds:\t", nil, nil, clientproto.ErrBadRequest},
		{"pattern", "$feeds:*", forAWhile("$feeds:*"), nil, nil},
		{"any other pattern", "*", forAWhile("*"), nil, nil},
		{"token for a wider pattern", "$feeds:a*", forAWhile("$feeds:*"), nil, clientproto.ErrPermissionDenied},
		{"token for a pattern that matches", "$feeds:a", forAWhile("$feeds:*"), nil, clientproto.ErrPermissionDenied},
		{"pattern of another user", "feeds:*#v", nil, nil, clientproto.ErrPermissionDenied},
		{"pattern of many users", "feeds:a#*", nil, nil, clientproto.ErrPermissionDenied},
		{"pattern without namespace", "$nowhere:*", forAWhile("$nowhere:*"), nil, clientproto.ErrUnknownChannel},
		{"token expired", "$feeds:a", nil, token.ErrExpired, clientproto.ErrTokenExpired},
		{"token invalid", "feeds:a", nil, token.ErrInvalid, clientproto.ErrPermissionDenied},
		{"token invalid, where all may", "open:a", nil, token.ErrInvalid, clientproto.ErrPermissionDenied},
		{"token for another channel", "$feeds:a", forAWhile("$feeds:b"), nil, clientproto.ErrPermissionDenied},
		{"token of another user", "$feeds:a", &token.SubClaims{Subject: "v", Channel: "$feeds:a", ExpiresAt: now.Unix() + 60}, nil, clientproto.ErrPermissionDenied},
	} {
		s := connectedAs(t, claims(t, "u"))
		_, step := s.Command(nil, parse(t, fmt.Sprintf(`{"id":2,"subscribe":{"channel":%q,"token":"tok"}}`, c.channel)), rules())
		if step.Error == nil && (step.Kind != SubToken || string(step.Token) != "tok") {
			t.Errorf("%s: %+v, want its token to be checked", c.name, step)
		}
		if step.Error == nil {
			_, step = s.SubChecked(nil, step, c.claims, c.err, rules(), now)
		}
		if step.Error != c.want || (c.want == nil) != (step.Kind == Subscribe && step.ID == 2 && step.Channel == c.channel) {
			t.Errorf("%s: %+v, want %+v", c.name, step, c.want)
		}
	}
}

// joined is a session with a subscription to channel by a token with c.
func joined(t *testing.T, channel string, c *token.SubClaims) (*Session, clientproto.SubscribeResult) {
	t.Helper()
	s := connectedAs(t, claims(t, "u", feeds))
	_, step := s.Command(nil, parse(t, `{"id":2,"subscribe":{"channel":"`+channel+`","token":"tok"}}`), rules())
	_, step = s.SubChecked(nil, step, c, nil, rules(), now)
	s.Add(Sub{Channel: &hub.Channel{Name: channel}})
	return s, s.Subscribed(&step, &broker.Attached{}, now)
}

func TestSubscriptionExpiry(t *testing.T) {
	never, later := int64(0), now.Unix()+30
	for _, c := range []struct {
		name     string
		expireAt *int64
		expires  int64
		next     int64
	}{
		{"exp", nil, now.Unix() + 60, now.Unix() + 60},
		{"expire_at", &later, later, later},
		{"never", &never, 0, now.Unix() + 60}, // the session's
	} {
		sub := forAWhile("$feeds:a")
		sub.ExpireAt = c.expireAt
		s, res := joined(t, "$feeds:a", sub)
		if got := s.Sub(0); got.Expires != c.expires || got.By != ByToken || s.NextExpiry() != c.next {
			t.Errorf("%s: %+v, the next at %d", c.name, got, s.NextExpiry())
		}
		if res.Expires != (c.expires > 0) || c.expires > 0 && int64(res.TTL) != c.expires-now.Unix() {
			t.Errorf("%s: the reply says %v, %d", c.name, res.Expires, res.TTL)
		}
	}
	s := new(Session)
	if s.Add(Sub{}); s.NextExpiry() != 0 {
		t.Errorf("nothing expires, at %d", s.NextExpiry())
	}
}

// TestSubscriptionInfo: what a subscription token says of the user goes with
// what it publishes there, and nowhere else.
func TestSubscriptionInfo(t *testing.T) {
	if n := unsafe.Sizeof(Sub{}); n > 64 {
		t.Errorf("a subscription takes %d bytes", n)
	}
	c := forAWhile("$feeds:a")
	c.Info = json.RawMessage(`{"role":"host"}`)
	s, _ := joined(t, "$feeds:a", c)
	s.setInfo(json.RawMessage(`{"name":"U"}`))
	s.Add(Sub{Channel: &hub.Channel{Name: "feeds:b"}})
	for channel, want := range map[string]string{
		"$feeds:a": `{"user":"u","client":"` + testClientText + `","conn_info":{"name":"U"},"chan_info":{"role":"host"}}`,
		"feeds:b":  `{"user":"u","client":"` + testClientText + `","conn_info":{"name":"U"}}`,
		"feeds:c":  `{"user":"u","client":"` + testClientText + `","conn_info":{"name":"U"}}`,
	} {
		if got := string(s.PublishInfo(channel)); got != want {
			t.Errorf("%s: %s, want %s", channel, got, want)
		}
	}
	_, step := s.Command(nil, parse(t, `{"id":3,"sub_refresh":{"channel":"$feeds:a","token":"new"}}`), rules())
	if s.SubChecked(nil, step, forAWhile("$feeds:a"), nil, rules(), now); s.Sub(0).Info() != nil {
		t.Errorf("a newer token says nothing, and yet there is %s", s.Sub(0).Info())
	}
}

func TestSubRefresh(t *testing.T) {
	longer := forAWhile("$feeds:a")
	longer.ExpiresAt = now.Unix() + 500
	for _, c := range []struct {
		name   string
		claims *token.SubClaims
		err    error
		want   *clientproto.Close
	}{
		{"newer", longer, nil, nil},
		{"expired", nil, token.ErrExpired, clientproto.CloseSubscriptionExpired},
		{"invalid", nil, token.ErrInvalid, clientproto.CloseInvalidToken},
		{"another channel's", forAWhile("$feeds:b"), nil, clientproto.CloseInvalidToken},
		{"another user's", &token.SubClaims{Subject: "v", Channel: "$feeds:a"}, nil, clientproto.CloseInvalidToken},
	} {
		s, _ := joined(t, "$feeds:a", forAWhile("$feeds:a"))
		_, step := s.Command(nil, parse(t, `{"id":3,"sub_refresh":{"channel":"$feeds:a","token":"new"}}`), rules())
		if step.Kind != SubRefresh || string(step.Token) != "new" {
			t.Fatalf("%s: %+v, want its token to be checked", c.name, step)
		}
		out, step := s.SubChecked(nil, step, c.claims, c.err, rules(), now)
		if step.Close != c.want || step.Kind != Done {
			t.Errorf("%s: %+v, want %+v", c.name, step, c.want)
		}
		if want := `{"id":3,"sub_refresh":{"expires":true,"ttl":500}}`; c.want == nil && (string(out) != want || s.Sub(0).Expires != longer.ExpiresAt) {
			t.Errorf("%s: %s, expires %d", c.name, out, s.Sub(0).Expires)
		}
	}
}

// TestNothingToRefresh: only what a token made can be refreshed.
func TestNothingToRefresh(t *testing.T) {
	s, _ := joined(t, "$feeds:a", forAWhile("$feeds:a"))
	s.Add(Sub{Channel: &hub.Channel{Name: "feeds:b"}})
	for _, line := range []string{`"channel":"feeds:b","token":"t"`, `"channel":"feeds:x","token":"t"`, `"channel":"$feeds:a"`, `"token":"t"`} {
		if out, step := s.Command(nil, parse(t, `{"id":3,"sub_refresh":{`+line+`}}`), rules()); step.Error != clientproto.ErrBadRequest || !strings.Contains(string(out), `"code":107`) {
			t.Errorf("%s: %+v, want 107", line, step)
		}
	}
	_, step := s.Command(nil, parse(t, `{"id":3,"sub_refresh":{"channel":"$feeds:a","token":"t"}}`), rules())
	s.Drop(0) // while the token is checked
	if _, step = s.SubChecked(nil, step, forAWhile("$feeds:a"), nil, rules(), now); step.Error != clientproto.ErrBadRequest {
		t.Errorf("it ended meanwhile: %+v, want 107", step)
	}
}

// TestSubscribedMeanwhile: what the server did while the token was checked is
// not done twice.
func TestSubscribedMeanwhile(t *testing.T) {
	s := connectedAs(t, claims(t, "u"))
	_, step := s.Command(nil, parse(t, `{"id":2,"subscribe":{"channel":"$feeds:a","token":"t"}}`), rules())
	if step.Kind != SubToken {
		t.Fatalf("%+v, want SubToken", step)
	}
	c := forAWhile("$feeds:a")
	s.Add(Sub{Channel: &hub.Channel{Name: "$feeds:a"}})
	if _, after := s.SubChecked(nil, step, c, nil, rules(), now); after.Error != clientproto.ErrAlreadySubscribed {
		t.Fatalf("subscribed meanwhile: %+v, want 105", after)
	}
	s.Drop(0)
	for _, name := range []string{"open:a", "open:b", "open:c"} {
		s.Add(Sub{Channel: &hub.Channel{Name: name}})
	}
	if _, after := s.SubChecked(nil, step, c, nil, rules(), now); after.Error != clientproto.ErrLimitExceeded {
		t.Fatalf("full meanwhile: %+v, want 106", after)
	}
}
