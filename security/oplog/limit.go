package oplog

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// mostFaults are told apart. Messages are the program's own, so there are fewer; over
// it those that are new share one line.
const mostFaults = 256

// about names attributes whose value is part of what a fault is: the same words about
// another option or hook are another fault.
func about(key string) bool {
	switch key {
	case "option", "hook", "event", "level", "detector":
		return true
	}
	return false
}

// Limit is a slog.Handler that lets through, of warnings and errors, one line a second
// of each fault, and says how many it held back: in the next line of the same fault, or
// in one of their own if a second goes by without. What is below a warning passes.
// It may be used by any goroutine.
type Limit struct {
	handler slog.Handler
	seen    *faults // shared with what WithAttrs and WithGroup make
}

type faults struct {
	now        func() time.Time
	suppressed atomic.Uint64 // lines

	mu   sync.Mutex
	list map[string]*fault // guarded by mu
}

// fault is guarded by the lock of its list.
type fault struct {
	message string
	level   slog.Level
	at      time.Time // of the last line that was let through
	held    uint64    // lines since
}

// NewLimit passes on to h. now has a monotonic reading.
func NewLimit(h slog.Handler, now func() time.Time) *Limit {
	return &Limit{handler: h, seen: &faults{now: now, list: make(map[string]*fault)}}
}

// Suppressed is how many lines were held back since the start.
func (l *Limit) Suppressed() uint64 { return l.seen.suppressed.Load() }

// Enabled implements slog.Handler.
func (l *Limit) Enabled(ctx context.Context, level slog.Level) bool {
	return l.handler.Enabled(ctx, level)
}

// WithAttrs implements slog.Handler.
func (l *Limit) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &Limit{l.handler.WithAttrs(attrs), l.seen}
}

// WithGroup implements slog.Handler.
func (l *Limit) WithGroup(name string) slog.Handler { return &Limit{l.handler.WithGroup(name), l.seen} }

// Handle implements slog.Handler.
func (l *Limit) Handle(ctx context.Context, r slog.Record) error {
	if r.Level < slog.LevelWarn {
		return l.handler.Handle(ctx, r)
	}
	held, pass := l.seen.take(&r)
	if !pass {
		return nil
	}
	if held > 0 {
		r = r.Clone()
		r.AddAttrs(slog.Uint64("suppressed", held))
	}
	return l.handler.Handle(ctx, r)
}

// take reports whether a line may pass, and how many of its fault did not before it.
func (f *faults) take(r *slog.Record) (held uint64, pass bool) {
	key := r.Message
	r.Attrs(func(a slog.Attr) bool {
		if about(a.Key) {
			key += "\x00" + a.Value.String()
		}
		return true
	})
	now := f.now()
	f.mu.Lock()
	defer f.mu.Unlock()
	one := f.list[key]
	if one == nil {
		if len(f.list) >= mostFaults {
			key = ""
		}
		if one = f.list[key]; one == nil {
			one = &fault{}
			f.list[key] = one
		}
	}
	if !one.at.IsZero() && now.Sub(one.at) < time.Second {
		one.held++
		one.message, one.level = r.Message, r.Level
		f.suppressed.Add(1)
		return 0, false
	}
	held, one.held, one.at = one.held, 0, now
	return held, true
}

// Settle tells of what was held back a second ago or earlier.
func (l *Limit) Settle() {
	now := l.seen.now()
	var due []fault
	l.seen.mu.Lock()
	for _, one := range l.seen.list {
		if one.held > 0 && now.Sub(one.at) >= time.Second {
			due = append(due, *one)
			one.held, one.at = 0, now
		}
	}
	l.seen.mu.Unlock()
	for i := range due {
		_ = l.say(due[i].level, due[i].message, slog.Uint64("suppressed", due[i].held)) // what finds no room is counted there
	}
}

// say writes a line past the limit.
func (l *Limit) say(level slog.Level, message string, attrs ...slog.Attr) error {
	r := slog.NewRecord(time.Now(), level, message, 0)
	r.AddAttrs(attrs...)
	return l.handler.Handle(context.Background(), r)
}
