package oplog

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"
)

// limited is a log whose clock the test moves.
func limited() (log *slog.Logger, l *Limit, move func(time.Duration), text *bytes.Buffer) {
	text = &bytes.Buffer{}
	now := time.Unix(1000, 0)
	l = NewLimit(slog.NewTextHandler(text, nil), func() time.Time { return now })
	return slog.New(l), l, func(d time.Duration) { now = now.Add(d) }, text
}

func TestOneLineASecond(t *testing.T) {
	log, l, move, text := limited()
	for range 10 { // 5 s
		for range 50 {
			log.Warn("it failed", "error", "why")
		}
		move(time.Second / 2)
	}
	if got := strings.Count(text.String(), "it failed"); got != 5 {
		t.Errorf("%d lines in five seconds", got)
	}
	if !strings.Contains(text.String(), "suppressed=99") || l.Suppressed() != 495 {
		t.Errorf("%d held back; said %s", l.Suppressed(), text)
	}
}

// TestFaultsAreToldApart: one that lasts hides no other.
func TestFaultsAreToldApart(t *testing.T) {
	log, l, _, text := limited()
	for range 2 {
		log.Warn("refused", "option", "--tls-cert")
		log.Warn("refused", "option", "--api-tls-cert")
		log.With("loop", 1).Error("panic", "stack", "a")
		log.With("loop", 2).WithGroup("g").Error("panic", "stack", "b")
		log.Warn("no answer", "hook", "connect")
		log.Warn("no answer", "hook", "publish")
		log.Info("reloaded")
	}
	if got := strings.Count(text.String(), "\n"); got != 5+2 || l.Suppressed() != 7 {
		t.Errorf("%d lines, %d held back: %s", got, l.Suppressed(), text)
	}
}

// TestSettle: the number is told though the fault does not come again.
func TestSettle(t *testing.T) {
	log, l, move, text := limited()
	for range 3 {
		log.Error("it failed")
	}
	l.Settle()
	if strings.Contains(text.String(), "suppressed") {
		t.Errorf("told before a second was over: %s", text)
	}
	move(time.Second)
	for range 2 {
		l.Settle()
	}
	if got := text.String(); strings.Count(got, "\n") != 2 || !strings.Contains(got, `level=ERROR msg="it failed" suppressed=2`) {
		t.Errorf("said %s", got)
	}
	log.Error("it failed")
	if strings.Count(text.String(), "\n") != 2 {
		t.Error("a line within a second of the one that told")
	}
}

// TestFaultsAreBounded: words that somebody else chooses cost no memory without end.
func TestFaultsAreBounded(t *testing.T) {
	log, l, _, text := limited()
	for i := range 10 * mostFaults {
		log.Warn(fmt.Sprint("fault ", i))
	}
	if n := len(l.seen.list); n > mostFaults+1 {
		t.Errorf("%d faults are told apart", n)
	}
	if got := strings.Count(text.String(), "\n"); got != mostFaults+1 {
		t.Errorf("%d lines", got)
	}
}

func TestLimitAtOnce(t *testing.T) {
	log, l, _, text := limited()
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 100 {
				log.Warn("it failed")
			}
		})
	}
	all.Wait()
	if strings.Count(text.String(), "\n") != 1 || l.Suppressed() != 799 {
		t.Errorf("%d held back; said %s", l.Suppressed(), text)
	}
}
