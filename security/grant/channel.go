package grant

import (
	"errors"
	"strings"
)

// MaxChannelBytes bounds a channel name and a pattern.
const MaxChannelBytes = 255

// What is wrong with a channel name or pattern. Static: a peer sends as many as it likes.
var (
	ErrEmpty     = errors.New("channel name is empty")
	ErrTooLong   = errors.New("channel name is longer than 255 bytes")
	ErrCharacter = errors.New("channel name holds a byte that is not printable ASCII")
	ErrWildcard  = errors.New("channel name holds a *, which only patterns may")
)

// CheckChannel tells whether name can be the name of one channel: 1 to 255 bytes of printable ASCII
// (0x20 to 0x7e) without `*`. The error is one of this package's static values.
func CheckChannel(name string) error {
	if err := CheckPattern(name); err != nil {
		return err
	}
	if IsPattern(name) {
		return ErrWildcard
	}
	return nil
}

// CheckPattern is CheckChannel with `*` allowed, for grants and wildcard subscriptions.
func CheckPattern(pattern string) error {
	if len(pattern) == 0 {
		return ErrEmpty
	}
	if len(pattern) > MaxChannelBytes {
		return ErrTooLong
	}
	for i := range len(pattern) {
		if c := pattern[i]; c < 0x20 || c > 0x7e {
			return ErrCharacter
		}
	}
	return nil
}

// IsPattern reports whether name holds a `*` and so stands for many channels.
func IsPattern(name string) bool { return strings.IndexByte(name, '*') >= 0 }

// Match reports whether name matches pattern, where each `*` stands for any run of characters, also
// none, and every other byte for itself. A `*` in name is matched only by a `*` in pattern, so that
// Match(p, q) of two patterns means that p covers every name that q matches. The parts between the
// stars are found leftmost first, which needs no going back: the work is linear in both lengths for
// ordinary patterns and never more than their product. No allocation.
func Match(pattern, name string) bool {
	star := strings.IndexByte(pattern, '*')
	if star < 0 {
		return pattern == name
	}
	if !strings.HasPrefix(name, pattern[:star]) {
		return false
	}
	name, pattern = name[star:], pattern[star+1:]
	for {
		star = strings.IndexByte(pattern, '*')
		if star < 0 {
			return strings.HasSuffix(name, pattern)
		}
		at := strings.Index(name, pattern[:star])
		if at < 0 {
			return false
		}
		name, pattern = name[at+star:], pattern[star+1:]
	}
}

// Delivers reports whether a subscription to pattern receives what is published to channel: the name
// matches, and the pattern opens nothing that the name is closed by. A channel that takes a
// subscription token is reached only by a pattern that takes one too, a channel of one user only by a
// pattern that ends in the same `#user`. So whoever may subscribe to pattern, by [Set.Allows],
// [NeedsToken] and [UserLimited], may subscribe to channel. No allocation; the work is that of Match.
func Delivers(pattern, channel string) bool {
	if NeedsToken(channel) && !NeedsToken(pattern) {
		return false
	}
	if at := strings.LastIndexByte(channel, '#'); at >= 0 && !strings.HasSuffix(pattern, channel[at:]) {
		return false
	}
	return Match(pattern, channel)
}

// Literal is what every name that matches pattern begins with: all before its first `*`. It aliases
// pattern.
func Literal(pattern string) string {
	literal, _, _ := strings.Cut(pattern, "*")
	return literal
}

// Spans reports whether pattern may match channels of several namespaces: no `:` stands before its
// first `*`. Then [Namespace] says nothing about it.
func Spans(pattern string) bool {
	return IsPattern(pattern) && strings.IndexByte(Literal(pattern), ':') < 0
}

// Namespace is the part of a channel name before the first `:`, without a leading `$`; "" if the
// name has none. It aliases channel.
func Namespace(channel string) string {
	channel = strings.TrimPrefix(channel, "$")
	name, _, found := strings.Cut(channel, ":")
	if !found {
		return ""
	}
	return name
}

// NeedsToken reports whether subscribing to channel takes a subscription token: its name starts
// with `$`.
func NeedsToken(channel string) bool { return strings.HasPrefix(channel, "$") }

// ManyUsers reports whether pattern stands for channels of several users only: a `*` stands behind its
// last `#`. Nothing is delivered through it.
func ManyUsers(pattern string) bool {
	at := strings.LastIndexByte(pattern, '#')
	return at >= 0 && IsPattern(pattern[at:])
}

// UserLimited reads the `#user` at the end of a channel name. Limited says that there is one (the
// last `#` counts); allowed, that user may use the channel as far as this rule goes. A limited
// channel is never open to the anonymous user "", a pattern of [ManyUsers] to nobody.
func UserLimited(channel, user string) (limited, allowed bool) {
	at := strings.LastIndexByte(channel, '#')
	if at < 0 {
		return false, true
	}
	return true, user != "" && channel[at+1:] == user && !ManyUsers(channel)
}
