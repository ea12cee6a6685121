// Package logtest is a log, or whatever else a program says, that a test reads and waits for while the program still writes it.
package logtest

import (
	"bytes"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// awaitTime is how long a test waits for what must come; one that passes does not wait.
const awaitTime = 2 * time.Minute

// Log keeps all that is written to it. The zero value is empty; any goroutine may use it.
type Log struct {
	mu      sync.Mutex
	b       bytes.Buffer  // guarded by mu
	changed chan struct{} // guarded by mu; nil, or closed by the next write
}

func (l *Log) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.changed != nil {
		close(l.changed)
		l.changed = nil
	}
	return l.b.Write(b)
}

// String is what was written so far.
func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// Read returns what was written so far, and what the next write closes.
func (l *Log) Read() (text string, changed <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.changed == nil {
		l.changed = make(chan struct{})
	}
	return l.b.String(), l.changed
}

// Await returns the text once it holds all the words; it fails the test if that takes two minutes.
func (l *Log) Await(t testing.TB, words ...string) string {
	t.Helper()
	deadline := time.After(awaitTime)
	for {
		text, changed := l.Read()
		if Holds(text, words) {
			return text
		}
		select {
		case <-changed:
		case <-deadline:
			t.Fatalf("never printed %q; printed: %s", words, text)
		}
	}
}

// Holds tells whether every word stands in the text.
func Holds(text string, words []string) bool {
	return !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(text, w) })
}
