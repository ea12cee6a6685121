package tally

import "maps"

// Counters count events. All of them only grow but Missing, and those of two
// processes or intervals add up: an interval in which more came late than were
// jumped over has a Missing below zero, in two's complement.
type Counters struct {
	Dialed      uint64 `json:"dialed,omitempty"`      // connections begun
	Opened      uint64 `json:"opened,omitempty"`      // ready: upgraded, authenticated, subscribed
	Resumed     uint64 `json:"resumed,omitempty"`     // of Opened: with a TLS ticket
	DialFailed  uint64 `json:"dial_failed,omitempty"` // begun, never ready, for no reason that the server gave
	Refused     uint64 `json:"refused,omitempty"`     // answered by something else than 101, or by an error
	Lost        uint64 `json:"lost,omitempty"`        // ended by the server or the network
	Left        uint64 `json:"left,omitempty"`        // ended by the plan
	Recovered   uint64 `json:"recovered,omitempty"`   // subscriptions that went on where they were
	Unrecovered uint64 `json:"unrecovered,omitempty"` // subscriptions that were told that they could not
	Due         uint64 `json:"due,omitempty"`         // publications that the plan wanted
	Published   uint64 `json:"published,omitempty"`   // acknowledged
	PublishErr  uint64 `json:"publish_err,omitempty"` // refused or unanswered
	Received    uint64 `json:"received,omitempty"`    // publications, whole and in their place
	Bytes       uint64 `json:"bytes,omitempty"`       // of messages received, with their envelopes
	Missing     uint64 `json:"missing,omitempty"`     // jumped over
	Duplicated  uint64 `json:"duplicated,omitempty"`  // received before
	Reordered   uint64 `json:"reordered,omitempty"`   // received after a later one; they were Missing, and are not any more
	Corrupted   uint64 `json:"corrupted,omitempty"`   // not as they were sent
	Foreign     uint64 `json:"foreign,omitempty"`     // of a stream that was not subscribed to
	Expected    uint64 `json:"expected,omitempty"`    // deliveries that the acknowledged publications should have made
	Undelivered uint64 `json:"undelivered,omitempty"` // of Expected: not received when the test ended

	// Closes counts connections that ended by close code ("3008"), HTTP status
	// ("429"), or what else was the matter ("tls", "timeout", "reset", …): a closed list.
	Closes map[string]uint64 `json:"closes,omitempty"`
}

// Add adds o to c.
func (c *Counters) Add(o Counters) { c.combine(o, func(a, b uint64) uint64 { return a + b }) }

// Since is what was counted since earlier, a former state of c.
func (c Counters) Since(earlier Counters) Counters {
	c.Closes = maps.Clone(c.Closes)
	c.combine(earlier, func(a, b uint64) uint64 { return a - b })
	maps.DeleteFunc(c.Closes, func(_ string, n uint64) bool { return n == 0 })
	return c
}

// Closed counts the end of a connection.
func (c *Counters) Closed(why string) {
	if c.Closes == nil {
		c.Closes = make(map[string]uint64)
	}
	c.Closes[why]++
}

func (c *Counters) combine(o Counters, with func(a, b uint64) uint64) {
	others := o.fields()
	for i, field := range c.fields() {
		*field = with(*field, *others[i])
	}
	for why, n := range o.Closes {
		if c.Closes == nil {
			c.Closes = make(map[string]uint64)
		}
		c.Closes[why] = with(c.Closes[why], n)
	}
}

func (c *Counters) fields() []*uint64 {
	return []*uint64{
		&c.Dialed, &c.Opened, &c.Resumed, &c.DialFailed, &c.Refused, &c.Lost, &c.Left, &c.Recovered, &c.Unrecovered,
		&c.Due, &c.Published, &c.PublishErr, &c.Received, &c.Bytes, &c.Missing, &c.Duplicated, &c.Reordered, &c.Corrupted,
		&c.Foreign, &c.Expected, &c.Undelivered,
	}
}
