package limit

import (
	"bytes"
	"encoding/binary"
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

// TestNamesThatMeetWhateverTheSeed: two names of 64 bytes can be chosen that XXH64 takes for one with half of all seeds: a bit of
// one stripe flips what the next one flips back.
func TestNamesThatMeetWhateverTheSeed(t *testing.T) {
	prime1, prime2 := uint64(11400714785074694791), uint64(14029467366897019727)
	inverse := prime2
	for range 6 { // Newton's, modulo 2⁶⁴
		inverse *= 2 - prime2*inverse
	}
	a := bytes.Repeat([]byte("x"), 64)
	b := bytes.Clone(a)
	binary.LittleEndian.PutUint64(b, binary.LittleEndian.Uint64(a)^1<<63)
	binary.LittleEndian.PutUint64(b[32:], binary.LittleEndian.Uint64(a[32:])+(1<<30)*prime1*inverse)
	for seed := range uint64(64) {
		if hashName(string(a), seed) == hashName(string(b), seed) {
			t.Fatalf("seed %d: they have one hash", seed)
		}
	}
	if name := string(a); testing.AllocsPerRun(100, func() { hashName(name, 1) }) != 0 {
		t.Error("a long name allocates")
	}
}
