package grant

import (
	"fmt"
	"strings"
	"sync"
	"testing"
)

func caps(verb string, channels ...string) []Capability {
	return []Capability{{Channels: channels, Allow: []string{verb}}}
}

func TestSharedSets(t *testing.T) {
	s := NewShared()
	first := s.Same(compile(t, caps("sub", "feeds:*", "news")...))
	if again := compile(t, caps("sub", "news", "feeds:*")...); s.Same(again) != first {
		t.Error("the same grants are two Sets")
	}
	for name, other := range map[string][]Capability{
		"another verb":        caps("pub", "feeds:*", "news"),
		"one verb more":       append(caps("pub", "feeds:*"), caps("sub", "feeds:*", "news")...),
		"one channel less":    caps("sub", "feeds:*"),
		"one channel more":    caps("sub", "feeds:*", "news", "sports"),
		"another channel":     caps("sub", "feeds:*", "newt"),
		"a pattern or a name": caps("sub", "feeds:*", "news*"),
		"names run together":  caps("sub", "feeds:*news"),
		"nothing":             nil,
	} {
		set := compile(t, other...)
		for range 2 {
			if got := s.Same(set); got == first || !equal(got, set) {
				t.Errorf("%s: given another's grants", name)
			}
		}
	}
	if s.Same(nil) != nil {
		t.Error("a nil Set, which denies, is given grants")
	}
}

func equal(a, b *Set) bool { return fmt.Sprint(a) == fmt.Sprint(b) }

// TestRolesAreNotShared: what they grant may be replaced while a session lasts.
func TestRolesAreNotShared(t *testing.T) {
	s := NewShared()
	for range 2 {
		set := &Set{roles: &held{names: []string{"r"}}}
		if s.Same(set) != set {
			t.Fatal("shared")
		}
	}
}

// TestSharedIsBounded: neither many Sets nor large ones stay, and those that would stand in one place
// are told apart.
func TestSharedIsBounded(t *testing.T) {
	s := NewShared()
	for i := range 10 * sharedSets {
		set := compile(t, caps("sub", fmt.Sprint(i))...)
		if got := s.Same(set); !equal(got, set) {
			t.Fatalf("%d is given another's grants", i)
		}
	}
	large := compile(t, caps("sub", strings.Split(strings.Repeat("a*,", sharedRules)+"b*", ",")...)...)
	s.Same(large)
	for _, set := range s.sets {
		if set == large {
			t.Fatal("a large Set is held")
		}
	}
}

func TestSharedByManyGoroutines(t *testing.T) {
	s := NewShared()
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for i := range 1000 {
				name := fmt.Sprint(i % 7)
				if set := s.Same(compile(t, caps("sub", name)...)); !set.Allows(Sub, name) || set.Allows(Sub, name+"x") {
					t.Error("another's grants")
				}
			}
		})
	}
	all.Wait()
}
