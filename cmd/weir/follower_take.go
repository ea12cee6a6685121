package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
)

// takeFrame handles one frame: messages between newlines.
func (f *follower) takeFrame(ctx context.Context, b []byte) error {
	for line := range bytes.SplitSeq(b, []byte{'\n'}) {
		line = bytes.TrimSpace(line)
		if len(line) == 0 {
			continue
		}
		if string(line) == "{}" {
			if err := f.answerPing(ctx); err != nil {
				return err
			}
			continue
		}
		var m serverMessage
		if err := json.Unmarshal(line, &m); err != nil {
			return final("the server sent something that is not JSON")
		}
		if err := f.take(&m); err != nil {
			return err
		}
	}
	return nil
}

func (f *follower) answerPing(ctx context.Context) error {
	if !f.pong {
		return nil
	}
	return f.send(ctx, struct{}{})
}

func (f *follower) take(m *serverMessage) error {
	if m.Push != nil {
		return f.takePush(m.Push)
	}
	i := int(m.ID) - connectID - 1
	if i < 0 || i >= len(f.subscriptions) {
		return nil
	}
	s := f.subscriptions[i]
	if m.Error != nil {
		err := fmt.Errorf("%s: %w%s", s.channel, m.Error, m.Error.mend(s.channel))
		if m.Error.Temporary {
			return err
		}
		return &finalError{err}
	}
	if m.Subscribe != nil {
		return f.subscribed(s, m.Subscribe)
	}
	return nil
}

// subscribed takes the position of a subscription and prints what was missed.
func (f *follower) subscribed(s *subscription, r *subscribeResult) error {
	if s.recover && !r.Recovered {
		f.note("%s: what was published while the connection was down is lost", s.channel)
	}
	s.recover, s.epoch = r.Recoverable, r.Epoch
	if !r.Recovered {
		s.offset = r.Offset
	}
	f.note("subscribed to %s", s.channel)
	for i := range r.Publications {
		if err := f.print(s.channel, &r.Publications[i]); err != nil {
			return err
		}
	}
	return nil
}

func (f *follower) takePush(m *pushMessage) error {
	switch {
	case m.Pub != nil:
		return f.print(m.Channel, m.Pub)
	case m.Unsubscribe != nil:
		err := fmt.Errorf("%q: unsubscribed by the server (%d %q)", m.Channel, m.Unsubscribe.Code, m.Unsubscribe.Reason)
		if m.Unsubscribe.Code < 2500 {
			return &finalError{err}
		}
		return err
	case m.Disconnect != nil:
		return closedWith(m.Disconnect.Code, m.Disconnect.Reason)
	}
	return nil
}

// print writes one publication as a line and remembers its position.
func (f *follower) print(channel string, p *publication) error {
	line := printedLine{Channel: channel, Offset: p.Offset, Data: p.Data}
	if p.Channel != "" {
		line.Channel = p.Channel
	}
	for _, s := range f.subscriptions {
		if s.channel == channel && p.Offset > 0 {
			s.offset = p.Offset
			line.Epoch = s.epoch
		}
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(line); err != nil {
		return final("a publication of %s has no data", line.Channel)
	}
	if _, err := f.out.Write(printable(b.Bytes())); err != nil {
		return &finalError{err}
	}
	f.printed++
	if f.printed == f.count {
		return errCounted
	}
	return nil
}
