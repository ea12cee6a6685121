package certs

import (
	"bytes"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"
)

const (
	ticketKeyBytes = 32
	// maxTicketKeys bounds what a ticket that nobody's key opens costs: each is tried.
	maxTicketKeys = 16
	// ticketRotation is how long a key that is made here seals tickets, ticketLife how long it opens
	// them: whoever gets hold of this process's memory can read the TLS 1.2 sessions of a day.
	ticketRotation = 12 * time.Hour
	ticketLife     = 24 * time.Hour
	// ticketFileAge is after how long without a new key in the file the operator is told, each time.
	ticketFileAge = 25 * time.Hour
)

// TicketKeys seal and open session tickets for the configurations that ServerConfig made with them. They
// come from a file, which processes may share, or are made here and rotated. Any goroutine.
type TicketKeys struct {
	file string // "": made here
	now  func() time.Time

	mu      sync.Mutex
	keys    []ticketKey   // newest first; guarded by mu
	changed time.Time     // when the file was, by its own word; guarded by mu
	serving []*tls.Config // who seals with them; guarded by mu

	told    complaint // owned by Watch, like toldAge
	toldAge time.Time
}

// ticketKey is one key. made is unknown for those of a file.
type ticketKey struct {
	secret [ticketKeyBytes]byte
	made   time.Time
}

// LoadTicketKeys reads --ticket-key-file, or makes a key if file is "". now nil is time.Now.
func LoadTicketKeys(file string, now func() time.Time) (*TicketKeys, error) {
	if now == nil {
		now = time.Now
	}
	k := &TicketKeys{file: file, now: now}
	if _, err := k.Reload(); err != nil {
		return nil, err
	}
	return k, nil
}

// Reload reads the file again, or rotates the keys made here if it is time. On an error the present
// keys stay.
func (k *TicketKeys) Reload() (changed bool, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.file == "" {
		changed = k.rotate()
	} else if changed, err = k.read(); err != nil {
		return false, err
	}
	if changed {
		for _, c := range k.serving {
			k.give(c)
		}
	}
	return changed, nil
}

// serve has c seal and open with the keys from now on.
func (k *TicketKeys) serve(c *tls.Config) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.serving = append(k.serving, c)
	k.give(c)
}

// give hands the keys to c. The caller holds mu.
func (k *TicketKeys) give(c *tls.Config) {
	secrets := make([][ticketKeyBytes]byte, len(k.keys))
	for i := range k.keys {
		secrets[i] = k.keys[i].secret
	}
	c.SetSessionTicketKeys(secrets)
}

// rotate makes a key when the newest is old, and drops those that are over. The caller holds mu.
func (k *TicketKeys) rotate() (changed bool) {
	now := k.now()
	age := func(i int) time.Duration { return now.Sub(k.keys[i].made) }
	if len(k.keys) > 0 && age(0) >= 0 && age(0) < ticketRotation {
		return false
	}
	fresh := ticketKey{made: now}
	rand.Read(fresh.secret[:]) // never fails
	k.keys = slices.Insert(k.keys, 0, fresh)
	for i := len(k.keys) - 1; i > 0 && (age(i) >= ticketLife || age(i) < 0); i-- {
		k.keys = k.keys[:i]
	}
	return true
}

// read takes the file's keys. The caller holds mu.
func (k *TicketKeys) read() (changed bool, err error) {
	b, info, err := readFile(k.file)
	if err != nil {
		return false, fmt.Errorf("--ticket-key-file: %w: name a file that this user can read", err)
	}
	if err := private("--ticket-key-file", k.file, info); err != nil {
		return false, err
	}
	keys, err := parseTicketKeys(b)
	if err != nil {
		return false, fmt.Errorf("--ticket-key-file: %s: %w", k.file, err)
	}
	k.changed = info.ModTime()
	if slices.Equal(keys, k.keys) {
		return false, nil
	}
	k.keys = keys
	return true, nil
}

// parseTicketKeys reads keys of 32 bytes each, one behind the other, newest first. The errors hold
// nothing of them.
func parseTicketKeys(b []byte) ([]ticketKey, error) {
	const mend = "make one with `openssl rand 32 > FILE`"
	switch {
	case len(b) == 0:
		return nil, errors.New("it is empty: " + mend)
	case !slices.ContainsFunc(b, func(c byte) bool { return c < ' ' && c != '\n' && c != '\r' && c != '\t' || c > '~' }):
		return nil, errors.New("it is text, and keys are 32 bytes each as they are, not in hexadecimal or base64: " + mend)
	case len(b)%ticketKeyBytes != 0:
		return nil, fmt.Errorf("its %d bytes are no multiple of %d, the size of a key: %s", len(b), ticketKeyBytes, mend)
	case len(b) > maxTicketKeys*ticketKeyBytes:
		return nil, fmt.Errorf("it holds %d keys and %d are allowed: keep the newest, which come first", len(b)/ticketKeyBytes, maxTicketKeys)
	}
	var keys []ticketKey
	for secret := range slices.Chunk(b, ticketKeyBytes) {
		k := ticketKey{secret: [ticketKeyBytes]byte(secret)}
		if bytes.Count(secret, secret[:1]) == ticketKeyBytes {
			return nil, fmt.Errorf("key %d is one byte %d times, which anybody can guess: %s", len(keys)+1, ticketKeyBytes, mend)
		}
		if i := slices.Index(keys, k); i >= 0 {
			return nil, fmt.Errorf("key %d is key %d again: write each once", len(keys)+1, i+1)
		}
		keys = append(keys, k)
	}
	return keys, nil
}

// look implements Source.
func (k *TicketKeys) look() (list []Notice) {
	changed, err := k.Reload()
	if k.told.news(err) {
		list = append(list, Notice{TicketKeysRefused, slog.LevelError, "ticket keys not replaced, the old ones stay",
			[]slog.Attr{slog.String("error", err.Error())}})
	}
	if changed {
		list = append(list, Notice{TicketKeysReplaced, slog.LevelInfo, "ticket keys replaced", nil})
	}
	if since, old := k.neglected(); old {
		list = append(list, Notice{TicketKeysOld, slog.LevelWarn, "nobody has rotated --ticket-key-file for a day: put a new key in front of the others",
			[]slog.Attr{slog.Time("since", since)}})
	}
	return list
}

// neglected reports that the file is older than it should be, once for each ticketFileAge.
func (k *TicketKeys) neglected() (since time.Time, old bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := k.now()
	if k.file == "" || now.Sub(k.changed) < ticketFileAge {
		k.toldAge = time.Time{}
		return k.changed, false
	}
	if !k.toldAge.IsZero() && now.Sub(k.toldAge) < ticketFileAge {
		return k.changed, false
	}
	k.toldAge = now
	return k.changed, true
}
