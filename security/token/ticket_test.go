package token

import (
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

var ticketTime = time.Unix(1_700_000_000, 0)

func issue(t *testing.T, tickets *Tickets, c *Claims, life time.Duration) string {
	t.Helper()
	text, err := tickets.Issue(c, life, ticketTime)
	if err != nil {
		t.Fatal(err)
	}
	if len(text) != ticketLength || strings.Trim(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
		t.Fatalf("the ticket is %q", text)
	}
	return text
}

func TestTicket(t *testing.T) {
	tickets := NewTickets(10)
	alice := &Claims{Subject: "alice"}
	text := issue(t, tickets, alice, 10*time.Second)
	if got, err := tickets.Redeem([]byte(text), ticketTime.Add(10*time.Second)); err != nil || got != alice {
		t.Fatalf("%v, %v", got, err)
	}
	if got, err := tickets.Redeem([]byte(text), ticketTime); !errors.Is(err, ErrInvalid) || got != nil {
		t.Errorf("twice: %v, %v", got, err)
	}
	for name, life := range map[string]time.Duration{"its own": 10 * time.Second, "the longest": 0, "no longer than that": time.Hour} {
		text = issue(t, tickets, alice, life)
		if life == 0 || life > MaxTicketLife {
			life = MaxTicketLife
		}
		if got, err := tickets.Redeem([]byte(text), ticketTime.Add(life+1)); !errors.Is(err, ErrInvalid) || got != nil {
			t.Errorf("past its life, %s: %v, %v", name, got, err)
		}
		if got, err := tickets.Redeem([]byte(text), ticketTime); !errors.Is(err, ErrInvalid) || got != nil {
			t.Errorf("the clock set back after that, %s: %v, %v", name, got, err)
		}
	}
	if n := tickets.Waiting(); n != 0 {
		t.Errorf("%d tickets are kept", n)
	}
}

func TestTicketsThatAreNone(t *testing.T) {
	tickets := NewTickets(10)
	good := issue(t, tickets, &Claims{}, 0)
	for _, text := range []string{"", "x", good[1:], good + "A", strings.ToLower(good) + "", strings.Repeat("A", ticketLength), strings.Repeat("A", 1<<20)} {
		if text == good {
			continue
		}
		if c, err := tickets.Redeem([]byte(text), ticketTime); !errors.Is(err, ErrInvalid) || c != nil {
			t.Errorf("%.50q: %v, %v", text, c, err)
		}
	}
	if c, err := (*Tickets)(nil).Redeem([]byte(good), ticketTime); !errors.Is(err, ErrInvalid) || c != nil {
		t.Errorf("no store: %v, %v", c, err)
	}
	if _, err := tickets.Redeem([]byte(good), ticketTime); err != nil {
		t.Errorf("the good one: %v", err)
	}
}

// TestTicketIsUsedOnce: 64 at the same time, one wins.
func TestTicketIsUsedOnce(t *testing.T) {
	tickets := NewTickets(10)
	for range 50 {
		text := []byte(issue(t, tickets, &Claims{}, 0))
		var wins atomic.Int32
		var wg sync.WaitGroup
		begin := make(chan struct{})
		for range 64 {
			wg.Go(func() {
				<-begin
				if _, err := tickets.Redeem(text, ticketTime); err == nil {
					wins.Add(1)
				}
			})
		}
		close(begin)
		wg.Wait()
		if wins.Load() != 1 {
			t.Fatalf("%d of 64 were let in by one ticket", wins.Load())
		}
	}
}

// TestTicketsAreBounded: a full store refuses new ones and drops no live one;
// what is over makes room.
func TestTicketsAreBounded(t *testing.T) {
	tickets := NewTickets(3)
	first := issue(t, tickets, &Claims{}, 5*time.Second)
	issue(t, tickets, &Claims{}, 5*time.Second)
	issue(t, tickets, &Claims{}, 5*time.Second)
	for range 100 {
		if text, err := tickets.Issue(&Claims{}, 0, ticketTime.Add(2*time.Second)); !errors.Is(err, ErrTickets) || text != "" {
			t.Fatalf("a fourth of three: %q, %v", text, err)
		}
	}
	if _, err := tickets.Issue(&Claims{}, 0, ticketTime.Add(7*time.Second)); err != nil {
		t.Errorf("when the others are over: %v", err)
	}
	if n := tickets.Waiting(); n != 1 {
		t.Errorf("%d tickets are kept, want the new one", n)
	}
	if _, err := tickets.Redeem([]byte(first), ticketTime); err == nil {
		t.Error("one that was swept is still good")
	}
}
