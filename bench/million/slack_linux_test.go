package main

import (
	"os/exec"
	"strings"
	"testing"
	"time"
)

// TestTimerSlack: what is started meanwhile has it, and what is started later has not.
func TestTimerSlack(t *testing.T) {
	ofAChild := func() string {
		b, err := exec.Command("cat", "/proc/self/timerslack_ns").Output()
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(string(b))
	}
	before := ofAChild()
	undo, err := timerSlack(3 * time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	if got := ofAChild(); got != "3000000" {
		t.Errorf("%s ns", got)
	}
	undo()
	if got := ofAChild(); got != before {
		t.Errorf("%s ns afterwards, %s before", got, before)
	}
}
