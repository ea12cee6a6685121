package api

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"weir/engine/clientproto"
)

// TestPage: docs/api.md has each method, error and close code of the server, and no other.
func TestPage(t *testing.T) {
	text, err := os.ReadFile("../../docs/api.md")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]bool{}
	for _, name := range MethodNames() {
		want["`"+name+"`"] = true
	}
	for _, e := range []*clientproto.Error{
		clientproto.ErrInternal, clientproto.ErrUnauthorized, clientproto.ErrUnknownChannel, clientproto.ErrPermissionDenied,
		clientproto.ErrMethodNotFound, clientproto.ErrAlreadySubscribed, clientproto.ErrLimitExceeded, clientproto.ErrBadRequest,
		clientproto.ErrNotAvailable, clientproto.ErrTokenExpired, clientproto.ErrExpired, clientproto.ErrTooManyRequests, clientproto.ErrUnrecoverable,
	} {
		want[fmt.Sprintf("%d | %s", e.Code, e.Message)] = true
	}
	for _, c := range clientproto.Closes() {
		want[fmt.Sprintf("%d | %s", c.Code, c.Reason)] = true
	}
	got := map[string]bool{}
	for _, row := range regexp.MustCompile("(?m)^\\| (`[a-z_`, ]+`|[0-9]+ \\| [a-z ]+) \\|").FindAllStringSubmatch(string(text), -1) {
		for _, name := range strings.Split(row[1], ", ") {
			got[name] = true
		}
	}
	for name := range want {
		if !got[name] {
			t.Errorf("docs/api.md has no row for %s", name)
		}
	}
	for name := range got {
		if !want[name] {
			t.Errorf("docs/api.md has a row for %s, which is not there", name)
		}
	}
}
