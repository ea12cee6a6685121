package limit

import (
	"crypto/rand"
	"encoding/binary"
)

// Users counts how many connections each user has open, exactly, and admits no more than so many. The anonymous
// user "" is everybody without a name: it has no limit. Any goroutine; a nil Users admits all and counts nobody.
type Users struct {
	max    uint32
	counts *counts
}

// NewUsers admits so many connections of each user (--user-connections); for 0, which is no limit, it returns nil.
// Its memory grows with the users that have one open, not with those that ever had.
func NewUsers(connections int) *Users {
	if connections <= 0 {
		return nil
	}
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return &Users{max: uint32(connections), counts: newCounts(binary.LittleEndian.Uint64(b[:]))}
}

// Admit decides on one more connection of user and, if it is admitted, counts it until Release.
func (u *Users) Admit(user string) bool {
	return u == nil || user == "" || u.counts.add(User(user), u.max)
}

// Release ends a connection that Admit has admitted, once.
func (u *Users) Release(user string) {
	if u != nil && user != "" && !u.counts.remove(User(user)) {
		panic("limit: more Release than Admit for a user")
	}
}

// Connected is how many users have a connection open that is counted.
func (u *Users) Connected() int {
	if u == nil {
		return 0
	}
	return u.counts.keys()
}
