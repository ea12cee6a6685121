package limit

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
)

func TestUsersCountConnections(t *testing.T) {
	u := NewUsers(2)
	for i, s := range []struct {
		user string
		open bool
		want bool
	}{
		{"a", true, true}, {"a", true, true}, {"a", true, false}, {"b", true, true}, {"A", true, true},
		{"a", false, true}, {"a", true, true}, {"a", true, false}, {"", true, true}, {"", true, true}, {"", true, true},
		{"", false, true}, {"a", false, true}, {"a", false, true}, {"b", false, true}, {"A", false, true},
	} {
		if !s.open {
			u.Release(s.user)
		} else if got := u.Admit(s.user); got != s.want {
			t.Errorf("step %d: %v", i, got)
		}
	}
	if n := u.Connected(); n != 0 {
		t.Errorf("%d users are left", n)
	}
	defer func() {
		if recover() == nil {
			t.Error("a release of nobody is not noticed")
		}
	}()
	u.Release("a")
}

func TestUsersWithoutLimit(t *testing.T) {
	u := NewUsers(0)
	for range 3 {
		if !u.Admit("a") {
			t.Error("refused without a limit")
		}
	}
	if u.Release("a"); u.Connected() != 0 {
		t.Error("somebody is counted without a limit")
	}
}

// TestUsersChurn: whatever order connections come and go in, no user has more than the limit and none is
// left counted.
func TestUsersChurn(t *testing.T) {
	const users, most = 5, 3
	u := NewUsers(most)
	var open [users]atomic.Int32
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 20_000 {
				n := (g + i) % users
				name := fmt.Sprint("user", n)
				if !u.Admit(name) {
					continue
				}
				if open[n].Add(1) > most {
					t.Errorf("%s has more than %d connections", name, most)
				}
				open[n].Add(-1)
				u.Release(name)
			}
		})
	}
	wg.Wait()
	if n := u.Connected(); n != 0 {
		t.Errorf("%d users are left", n)
	}
}
