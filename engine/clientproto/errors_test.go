package clientproto

import (
	"strings"
	"testing"
)

// TestErrors: the codes of the protocol, and which of them are temporary.
func TestErrors(t *testing.T) {
	for i, e := range []*Error{ErrInternal, ErrUnauthorized, ErrUnknownChannel, ErrPermissionDenied, ErrMethodNotFound,
		ErrAlreadySubscribed, ErrLimitExceeded, ErrBadRequest, ErrNotAvailable, ErrTokenExpired, ErrExpired,
		ErrTooManyRequests, ErrUnrecoverable} {
		if e.Code != uint32(100+i) || e.Message == "" {
			t.Errorf("%d: %+v", 100+i, e)
		}
		if e.Temporary != (e == ErrInternal || e == ErrTooManyRequests) {
			t.Errorf("%d: temporary %v", e.Code, e.Temporary)
		}
	}
}

// TestCloses: the codes of the protocol, each with a reason that an SDK shows
// and does not read as advice.
func TestCloses(t *testing.T) {
	want := map[*Close]uint16{
		CloseNormal: 3000, CloseShutdown: 3001, CloseServerError: 3004, CloseExpired: 3005, CloseSubscriptionExpired: 3006,
		CloseSlow: 3008, CloseWriteError: 3009, CloseInsufficientState: 3010, CloseForceReconnect: 3011, CloseNoPong: 3012,
		CloseTooManyRequests: 3013, CloseInvalidToken: 3500, CloseBadRequest: 3501, CloseStale: 3502,
		CloseForceNoReconnect: 3503, CloseConnectionLimit: 3504, CloseChannelLimit: 3505, ClosePermissionDenied: 3507,
		CloseTooManyErrors: 3509,
	}
	reasons := map[string]uint16{}
	for c, code := range want {
		if c.Code != code || !ValidReason(c.Reason) {
			t.Errorf("%d: %+v", code, c)
		}
		if other, ok := reasons[c.Reason]; ok {
			t.Errorf("%d and %d have one reason", code, other)
		}
		reasons[c.Reason] = code
	}
	if len(Closes()) != len(want) {
		t.Errorf("Closes has %d, want %d", len(Closes()), len(want))
	}
	for _, c := range Closes() {
		if want[c] == 0 {
			t.Errorf("Closes has %+v", c)
		}
	}
}

func TestValidReason(t *testing.T) {
	for reason, want := range map[string]bool{
		"slow": true, "a b, c.": true, strings.Repeat("x", MaxReason): true,
		"": false, strings.Repeat("x", MaxReason+1): false, "null": false, "12": false, `"x"`: false,
		`{"reason":"x","reconnect":true}`: false, " 1 ": false, "a\nb": false, "é": false, "\x7f": false,
	} {
		if ValidReason(reason) != want {
			t.Errorf("%q: %v", reason, !want)
		}
	}
}

func TestMethods(t *testing.T) {
	for m := Connect; m <= Send; m++ {
		if got := methodOf([]byte(m.String())); got != m {
			t.Errorf("%d is %q is %d", m, m, got)
		}
	}
	for _, name := range []string{"", "pong", "none", "Connect", "connect ", "ping"} {
		if methodOf([]byte(name)) != 0 {
			t.Errorf("%q is a method", name)
		}
	}
}
