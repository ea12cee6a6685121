package api

import (
	"context"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"weir/engine/clientproto"
	"weir/security/grant"
)

func (n *memoryNode) Revoke(_ context.Context, r Revocation) *clientproto.Error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.revocations = append(n.revocations, r)
	return n.refuse
}

func (n *memoryNode) Unblock(_ context.Context, user string) *clientproto.Error {
	return n.order(ordered{what: "unblock", target: Target{User: user}})
}

func (n *memoryNode) IssueTicket(_ context.Context, t Ticket) (string, *clientproto.Error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.tickets = append(n.tickets, t)
	return "a-ticket", n.refuse
}

func TestRevocations(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	for _, c := range []struct {
		method, body string
		want         Revocation
	}{
		{"block_user", `{"user":"u"}`, Revocation{User: "u"}},
		{"block_user", `{"user":"u","expire_at":1800000000}`, Revocation{User: "u", Until: time.Unix(1_800_000_000, 0)}},
		{"block_user", `{"user":"u","expire_at":0}`, Revocation{User: "u"}},
		{"revoke_token", `{"jti":"t"}`, Revocation{TokenID: "t"}},
		{"revoke_token", `{"uid":"t","expire_at":1800000000}`, Revocation{TokenID: "t", Until: time.Unix(1_800_000_000, 0)}},
		{"revoke_token", `{"client":"c"}`, Revocation{Client: "c"}},
		{"revoke_token", `{"jti":"","client":"c","expire_at":1800000000}`, Revocation{Client: "c", Until: time.Unix(1_800_000_000, 0)}},
		{"invalidate_user_tokens", `{"user":"u"}`, Revocation{User: "u", IssuedBefore: now}},
		{"invalidate_user_tokens", `{"user":"u","issued_before":1600000000}`, Revocation{User: "u", IssuedBefore: time.Unix(1_600_000_000, 0)}},
	} {
		s := newService(t, func(c *Config) { c.Now = func() time.Time { return now } })
		r := s.call(t, c.method, c.body)
		if r.raw != `{"result":{}}` || len(s.node.revocations) != 1 || !reflect.DeepEqual(s.node.revocations[0], c.want) {
			t.Errorf("%s %s: %s, %+v; want %+v", c.method, c.body, r.raw, s.node.revocations, c.want)
		}
		s.node.refuse = clientproto.ErrLimitExceeded
		if r := s.call(t, c.method, c.body); r.code() != 106 {
			t.Errorf("%s refused by the node: %s", c.method, r.raw)
		}
	}
	s := newService(t, nil)
	if r := s.call(t, "unblock_user", `{"user":"u"}`); r.raw != `{"result":{}}` || len(s.node.orders) != 1 || s.node.orders[0].target.User != "u" {
		t.Errorf("unblock_user: %s, %+v", r.raw, s.node.orders)
	}
}

func TestRevocationsThatSayNothing(t *testing.T) {
	s := newService(t, nil)
	for method, bodies := range map[string][]string{
		"block_user":             {`{}`, `{"user":""}`, `{"user":null}`, `{"user":1}`, `{"user":"u","expire_at":-1}`, `{"user":"u","expire_at":"soon"}`, `{"user":"u","expire_at":1e12}`},
		"unblock_user":           {`{}`, `{"user":""}`, `{"user":["u"]}`},
		"revoke_token":           {`{}`, `{"jti":""}`, `{"jti":"","uid":"t"}`, `{"uid":7}`, `{"client":7}`, `{"client":""}`, `{"jti":"t","client":"c"}`, `{"jti":"t","expire_at":1.5}`},
		"invalidate_user_tokens": {`{}`, `{"user":""}`, `{"user":"u","issued_before":-5}`, `{"user":"u","issued_before":"x"}`},
		"issue_ticket": {`{}`, `{"sub":"","channels":["c"]}`, `{"sub":"u"}`, `{"sub":"u","channels":[]}`, `{"sub":"u","caps":[]}`, `{"sub":"u","caps":{}}`,
			`{"sub":"u","caps":"all"}`, `{"sub":"u","channels":[""]}`, `{"sub":"u","channels":["c"],"ttl":31}`, `{"sub":"u","channels":["c"],"ttl":-1}`,
			`{"sub":"u","roles":[]}`, `{"sub":"u","roles":""}`, `{"sub":"u","roles":[""]}`, `{"sub":"u","roles":["a",null]}`, `{"sub":"u","roles":{}}`,
			`{"sub":"u","roles":["\u0001"]}`, `{"sub":"u","roles":["` + strings.Repeat(`r","`, 64) + `r"]}`, `{"sub":"u","channels":["c"],"ttl":"10s"}`, `{"sub":"u","channels":["c"],"expire_at":-1}`},
	} {
		for _, body := range bodies {
			if r := s.call(t, method, body); r.code() != 107 || !strings.HasPrefix(r.Error.Message, "bad request: ") {
				t.Errorf("%s %s: %s, want error 107 with a reason", method, body, r.raw)
			}
		}
	}
	if r := s.call(t, "invalidate_user_tokens", `{"user":"u","channel":"c"}`); r.code() != 108 {
		t.Errorf("tokens of one channel: %s, want 108", r.raw)
	}
	if n := len(s.node.revocations) + len(s.node.tickets) + len(s.node.orders); n != 0 {
		t.Errorf("%d of them were carried out", n)
	}
}

func TestIssueTicket(t *testing.T) {
	for _, c := range []struct {
		body string
		want Ticket
	}{
		{`{"sub":"u","channels":["c","d"]}`, Ticket{User: "u", Channels: []string{"c", "d"}}},
		{`{"user":"u","channels":["c"],"ttl":30}`, Ticket{User: "u", Channels: []string{"c"}, Life: 30 * time.Second}},
		{`{"sub":"u","caps":[{"channels":["feeds:*"],"match":"wildcard","allow":["sub"]}],"info":{ "n" : 1 },"expire_at":1800000000,"ttl":0}`,
			Ticket{User: "u", Caps: []grant.Capability{{Channels: []string{"feeds:*"}, Match: "wildcard", Allow: []string{"sub"}}},
				Info: json.RawMessage(`{"n":1}`), ExpireAt: 1_800_000_000}},
		{`{"sub":"u","roles":["reader","editor","reader"]}`, Ticket{User: "u", Roles: []string{"editor", "reader"}}},
		{`{"sub":"u","roles":"reader","channels":["c"]}`, Ticket{User: "u", Channels: []string{"c"}, Roles: []string{"reader"}}},
	} {
		s := newService(t, nil)
		r := s.call(t, "issue_ticket", c.body)
		if r.raw != `{"result":{"ticket":"a-ticket"}}` || len(s.node.tickets) != 1 {
			t.Fatalf("%s: %s", c.body, r.raw)
		}
		got := s.node.tickets[0]
		if len(got.Channels) == 0 {
			got.Channels = nil
		}
		if len(got.Roles) == 0 {
			got.Roles = nil
		}
		if !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %+v, want %+v", c.body, got, c.want)
		}
		s.node.refuse = clientproto.ErrTooManyRequests
		if r := s.call(t, "issue_ticket", c.body); r.code() != 111 || strings.Contains(r.raw, "a-ticket") {
			t.Errorf("refused by the node: %s", r.raw)
		}
	}
}
