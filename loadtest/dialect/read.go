package dialect

import "encoding/json"

// Event is a line that is no Ping and no plain Delivery.
type Event struct {
	ID    uint32 // of the command that it answers; 0: a push
	Error uint32 // code of an error reply

	// Of the reply to subscribe.
	Subscribed bool
	Positioned bool   // Offset and Epoch are told
	Offset     uint64 // the channel's newest, or where the subscription goes on
	Epoch      string
	Recovering bool // it was asked to recover
	Recovered  bool // and did

	// Of a push.
	Channel      string
	Gap          bool   // of /feed: what was missed cannot be had
	Unsubscribed uint32 // code of an unsubscribe push
	Disconnected uint32 // code of a disconnect push
}

// wire is every field that is understood.
type wire struct {
	ID    uint32 `json:"id"`
	Error *struct {
		Code uint32 `json:"code"`
	} `json:"error"`
	Subscribe *struct {
		Recoverable   bool   `json:"recoverable"`
		Positioned    bool   `json:"positioned"`
		Offset        uint64 `json:"offset"`
		Epoch         string `json:"epoch"`
		WasRecovering bool   `json:"was_recovering"`
		Recovered     bool   `json:"recovered"`
	} `json:"subscribe"`
	Push *struct {
		Channel     string `json:"channel"`
		Unsubscribe *code  `json:"unsubscribe"`
		Disconnect  *code  `json:"disconnect"`
	} `json:"push"`

	// Of /feed.
	Channel string `json:"channel"`
	Gap     bool   `json:"gap"`
	Offset  uint64 `json:"offset"`
	Epoch   string `json:"epoch"`
}

type code struct {
	Code uint32 `json:"code"`
}

// Read decodes a line. ok is false if it is not one that a server may send.
func (d Dialect) Read(line []byte) (e Event, ok bool) {
	var w wire
	if json.Unmarshal(line, &w) != nil {
		return e, false
	}
	if d == Feed {
		return Event{Channel: w.Channel, Gap: w.Gap, Offset: w.Offset, Epoch: w.Epoch, Positioned: w.Epoch != ""}, w.Channel != ""
	}
	e.ID = w.ID
	switch {
	case w.Error != nil:
		e.Error = w.Error.Code
		return e, w.ID > 0 && w.Error.Code > 0
	case w.Subscribe != nil:
		s := w.Subscribe
		e.Subscribed, e.Positioned, e.Offset, e.Epoch = true, s.Positioned || s.Recoverable, s.Offset, s.Epoch
		e.Recovering, e.Recovered = s.WasRecovering || s.Recovered, s.Recovered
		return e, w.ID > 0
	case w.Push != nil:
		e.Channel = w.Push.Channel
		if w.Push.Unsubscribe != nil {
			e.Unsubscribed = w.Push.Unsubscribe.Code
		}
		if w.Push.Disconnect != nil {
			e.Disconnected = w.Push.Disconnect.Code
		}
		return e, w.ID == 0
	}
	return e, w.ID > 0
}
