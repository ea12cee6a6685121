package token

import (
	"bytes"
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

// ErrUnknownKey says that the token is signed by a key that is not here, and that may come: the client may try
// again soon. The KeySet has been asked for it.
var ErrUnknownKey = errors.New("the key of the token is not known yet")

// keyLag is how long before a KeySet was asked for a token may have been issued by a key that is not in it yet:
// issuers' caches, and clocks that differ.
const keyLag = 5 * time.Minute

// KeySet holds keys that come from elsewhere while the server runs: they are fetched, checked by Replace, and
// count beside those of a Verifier's configuration. Any goroutine.
type KeySet struct {
	now   atomic.Pointer[fetched] // nil: none has come
	asked chan struct{}           // has one entry while somebody wants to know of newer ones

	replaced, failed atomic.Uint64
	skipped          atomic.Int64
}

// fetched are the keys of one answer. Immutable.
type fetched struct {
	ring  ring
	keys  int
	asked time.Time // when the question began
}

// KeySetFigures is what is told of a KeySet.
type KeySetFigures struct {
	Keys             int
	Skipped          int       // keys of the last answer that was taken which cannot be used
	Asked            time.Time // when the keys in force were asked for; zero: none has come
	Replaced, Failed uint64    // answers that were taken, and that were none
}

// NewKeySet returns a set without keys.
func NewKeySet() *KeySet { return &KeySet{asked: make(chan struct{}, 1)} }

// Replace takes the keys of an answer to a question that began at asked. On an error the old ones stay. Shared
// secrets are refused: who can fetch the set could sign with them.
func (s *KeySet) Replace(keys []Key, asked time.Time) error {
	f := &fetched{ring: ring{byID: make(map[string]*Key), anonymous: make(map[string][]*Key)}, keys: len(keys), asked: asked}
	if len(keys) == 0 || len(keys) > maxKeys {
		return fmt.Errorf("%d keys for signatures: 1 to %d are allowed", len(keys), maxKeys)
	}
	for _, k := range keys {
		if k.Secret != nil {
			return errors.New("it holds a shared secret, with which whoever reads it can sign: take it out, and take it for known")
		}
		if err := f.ring.add(k); err != nil {
			return err
		}
	}
	s.now.Store(f)
	s.replaced.Add(1)
	return nil
}

// Failed counts an answer that was none.
func (s *KeySet) Failed() { s.failed.Add(1) }

// Skipped notes how many keys of the answer that was taken last cannot be used.
func (s *KeySet) Skipped(keys int) { s.skipped.Store(int64(keys)) }

// Asked delivers when a token came whose key is not there.
func (s *KeySet) Asked() <-chan struct{} { return s.asked }

// Figures returns what is told of the set.
func (s *KeySet) Figures() KeySetFigures {
	f := KeySetFigures{Skipped: int(s.skipped.Load()), Replaced: s.replaced.Load(), Failed: s.failed.Load()}
	if now := s.now.Load(); now != nil {
		f.Keys, f.Asked = now.keys, now.asked
	}
	return f
}

// ring returns the keys in force; nil: none.
func (s *KeySet) ring() *ring {
	if s == nil {
		return nil
	}
	if now := s.now.Load(); now != nil {
		return &now.ring
	}
	return nil
}

// mayCome reports whether the key of a token that no key fits may be one that the set has not got yet, and then
// asks for newer ones. What the token says of when it was issued is taken as it stands: who lies is told to try
// again, which he may anyway.
func (s *KeySet) mayCome(h header, token []byte) bool {
	if s == nil || !asymmetric(h.algorithm) {
		return false
	}
	now := s.now.Load()
	if now != nil {
		if h.keyID == "" || now.ring.byID[h.keyID] != nil {
			return false
		}
		if at := issuedAt(token); at > 0 && time.Unix(at, 0).Add(keyLag).Before(now.asked) {
			return false // its key was in use then, and is not in the set any more
		}
	}
	select {
	case s.asked <- struct{}{}:
	default:
	}
	return true
}

// asymmetric reports whether keys for the algorithm can stand in a set that anybody may read.
func asymmetric(algorithm string) bool {
	switch algorithm {
	case "RS256", "PS256", "ES256", "EdDSA":
		return true
	}
	return false
}

// issuedAt is the claim iat of a token that readHeader took, whoever signed it; 0 if it cannot be read.
func issuedAt(token []byte) int64 {
	first, last := bytes.IndexByte(token, '.'), bytes.LastIndexByte(token, '.')
	var scratch [MaxBytes]byte
	n, ok := decode(scratch[:], token[first+1:last])
	var c claims
	if !ok || c.read(scratch[:n]) != nil {
		return 0
	}
	return c.IssuedAt
}
