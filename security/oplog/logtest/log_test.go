package logtest

import (
	"fmt"
	"sync"
	"testing"
)

// TestAwait reads while two write, and gets what each wrote whole.
func TestAwait(t *testing.T) {
	var l Log
	if text, changed := l.Read(); text != "" || changed == nil {
		t.Fatalf("new: %q, %v", text, changed)
	}
	var writers sync.WaitGroup
	for name := range 2 {
		writers.Go(func() {
			for i := range 100 {
				fmt.Fprintf(&l, "%d says %d\n", name, i)
			}
		})
	}
	text := l.Await(t, "0 says 99\n", "1 says 99\n")
	writers.Wait()
	if text != l.String() || len(text) != 2*(10*len("0 says 0\n")+90*len("0 says 10\n")) {
		t.Errorf("%d bytes, and %d afterwards", len(text), len(l.String()))
	}
	_, changed := l.Read()
	select {
	case <-changed:
		t.Error("it says that more was written")
	default:
	}
	fmt.Fprint(&l, "more")
	<-changed
}

func TestHolds(t *testing.T) {
	for _, c := range []struct {
		words []string
		want  bool
	}{{nil, true}, {[]string{"one"}, true}, {[]string{"one", "two"}, true}, {[]string{"one", "three"}, false}} {
		if Holds("one two", c.words) != c.want {
			t.Errorf("%q", c.words)
		}
	}
}
