package session

import (
	"crypto/rand"
	"encoding/hex"
)

// ClientID names a connection: a random UUID (version 4, RFC 9562 §5.4). Zero: no
// name. Each session has one, so it is kept in 16 bytes, and written when asked for.
type ClientID [16]byte

const idTextBytes = 36

// NewClientID returns one that nobody has.
func NewClientID() (id ClientID) {
	rand.Read(id[:]) // never fails
	id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80
	return id
}

// String is the id as clients see it, "" for none.
func (id ClientID) String() string {
	if id == (ClientID{}) {
		return ""
	}
	text := id.text()
	return string(text[:])
}

// Is reports whether text is id as clients see it.
func (id ClientID) Is(text string) bool {
	if id == (ClientID{}) {
		return text == ""
	}
	own := id.text()
	return string(own[:]) == text
}

func (id ClientID) text() (text [idTextBytes]byte) {
	at := 0
	for _, group := range [...][]byte{id[:4], id[4:6], id[6:8], id[8:10], id[10:]} {
		if at > 0 {
			text[at] = '-'
			at++
		}
		at += hex.Encode(text[at:], group)
	}
	return text
}
