package token

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"sync"
	"time"
)

// MaxTicketLife bounds how long a ticket may wait for its use.
const MaxTicketLife = 30 * time.Second

const (
	ticketBytes  = 32 // of randomness
	ticketLength = 43 // of its text: base64url without padding
)

// ErrTickets refuses to issue a ticket: as many as may be wait for their use.
var ErrTickets = errors.New("token: too many tickets are waiting")

// errTicket refuses a ticket. It does not say whether there ever was such a one.
var errTicket = &Fault{"ticket", "ticket is unknown, used or over"}

// Tickets are credentials for one use: short random texts that stand for claims
// and may therefore be seen in a URL. They are kept in memory under their
// SHA-256, so what is kept opens nothing. Any goroutine.
type Tickets struct {
	most int

	mu      sync.Mutex
	waiting map[[sha256.Size]byte]ticket // guarded by mu
	swept   time.Time                    // guarded by mu
}

type ticket struct {
	claims *Claims
	until  time.Time
}

// NewTickets returns an empty store of at most so many waiting tickets.
func NewTickets(most int) *Tickets {
	return &Tickets{most: most, waiting: make(map[[sha256.Size]byte]ticket)}
}

// Issue returns a new ticket that stands for c, once and for life from now on
// (at most MaxTicketLife, which 0 is too). The error is ErrTickets.
func (t *Tickets) Issue(c *Claims, life time.Duration, now time.Time) (string, error) {
	if life <= 0 || life > MaxTicketLife {
		life = MaxTicketLife
	}
	var secret [ticketBytes]byte
	rand.Read(secret[:]) // never fails
	text := base64.RawURLEncoding.EncodeToString(secret[:])
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.waiting) >= t.most && !t.sweep(now) {
		return "", ErrTickets
	}
	t.waiting[sha256.Sum256([]byte(text))] = ticket{c, now.Add(life)}
	return text, nil
}

// Redeem returns what the ticket stands for, to one caller only: of several at
// the same time one wins. The error is a *Fault.
func (t *Tickets) Redeem(text []byte, now time.Time) (*Claims, error) {
	if t == nil || len(text) != ticketLength {
		return nil, errTicket
	}
	key := sha256.Sum256(text)
	t.mu.Lock()
	defer t.mu.Unlock()
	found, ok := t.waiting[key]
	if !ok {
		return nil, errTicket
	}
	delete(t.waiting, key)
	if now.After(found.until) {
		return nil, errTicket
	}
	return found.claims, nil
}

// Waiting returns how many tickets are kept, used or not.
func (t *Tickets) Waiting() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.waiting)
}

// sweep drops tickets that are over, at most once a second: a full store is not
// looked through for each refusal. It reports whether there is room. Called with
// mu held.
func (t *Tickets) sweep(now time.Time) bool {
	if d := now.Sub(t.swept); d >= 0 && d < time.Second {
		return false
	}
	t.swept = now
	for key, k := range t.waiting {
		if now.After(k.until) {
			delete(t.waiting, key)
		}
	}
	return len(t.waiting) < t.most
}
