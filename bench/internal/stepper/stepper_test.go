package stepper

import (
	"errors"
	"io"
	"net"
	"testing"
)

// TestSteps: it writes in one step what it can write before it must read, and returns with what became of it.
func TestSteps(t *testing.T) {
	s := New(func(c net.Conn) error {
		var b [4]byte
		for range 2 {
			if _, err := c.Write([]byte("say ")); err != nil {
				return err
			}
			if _, err := io.ReadFull(c, b[:]); err != nil {
				return err
			}
		}
		_, err := c.Write(b[:])
		return err
	})
	for _, step := range []struct{ in, out string }{{"", "say "}, {"ab", ""}, {"cd", "say "}, {"ef", ""}} {
		if got := s.Step([]byte(step.in)); string(got) != step.out {
			t.Errorf("%q is answered %q, want %q", step.in, got, step.out)
		}
		if done, _ := s.Done(); done {
			t.Error("it is done")
		}
	}
	if got := s.Step([]byte("gh")); string(got) != "efgh" {
		t.Errorf("at last %q", got)
	}
	if done, err := s.Done(); !done || err != nil || s.Step(nil) != nil {
		t.Errorf("done %t, %v", done, err)
	}
}

func TestEnd(t *testing.T) {
	s := New(func(c net.Conn) error {
		_, err := io.ReadAll(io.LimitReader(c, 3))
		if err == nil {
			err = io.ErrUnexpectedEOF
		}
		return err
	})
	s.Step(nil)
	s.End()
	if done, err := s.Done(); !done || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("done %t, %v", done, err)
	}
	s.End()
}
