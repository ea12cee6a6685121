package node

import (
	"io"
	"sync"
)

// Together lets several goroutines write to w, which may not bear it: what a server says comes at any time, beside
// what the benchmark says itself.
func Together(w io.Writer) io.Writer { return &together{to: w} }

type together struct {
	mu sync.Mutex
	to io.Writer // guarded by mu
}

func (t *together) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.to.Write(b)
}
