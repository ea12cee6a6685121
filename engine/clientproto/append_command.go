package clientproto

import "strconv"

// AppendCommand appends cmd as a client sends it, the mirror image of Parse:
// only the request of cmd.Method, without empty and false fields.
func AppendCommand(dst []byte, cmd *Command) []byte {
	o := beginObject(dst)
	if cmd.ID > 0 {
		o.uint("id", uint64(cmd.ID))
	}
	if cmd.Method == Pong {
		return o.end()
	}
	o.name(cmd.Method.String())
	request := beginObject(o.dst)
	switch cmd.Method {
	case Connect:
		cmd.Connect.appendTo(&request)
	case Subscribe:
		cmd.Subscribe.appendTo(&request)
	case Unsubscribe:
		request.text("channel", cmd.Unsubscribe.Channel)
	case Publish:
		request.text("channel", cmd.Publish.Channel)
		request.raw("data", cmd.Publish.Data)
	case Presence, PresenceStats:
		request.text("channel", cmd.Presence.Channel)
	case History:
		cmd.History.appendTo(&request)
	case RPC:
		request.text("method", cmd.RPC.Method)
		request.raw("data", cmd.RPC.Data)
	case Refresh:
		request.text("token", cmd.Refresh.Token)
	case SubRefresh:
		request.text("channel", cmd.SubRefresh.Channel)
		request.text("token", cmd.SubRefresh.Token)
	case Send:
		request.raw("data", cmd.Send.Data)
	}
	o.dst = request.end()
	return o.end()
}

func (c *ConnectRequest) appendTo(o *object) {
	o.text("token", c.Token)
	o.text("name", c.Name)
	o.text("version", c.Version)
	o.raw("data", c.Data)
	if len(c.Subs) == 0 {
		return
	}
	o.name("subs")
	o.dst = append(o.dst, '{')
	for i := range c.Subs {
		if i > 0 {
			o.dst = append(o.dst, ',')
		}
		sub := &c.Subs[i]
		position := beginObject(append(AppendString(o.dst, sub.Channel), ':'))
		position.flag("recover", sub.Recover)
		position.position(sub.Offset, sub.Epoch)
		o.dst = position.end()
	}
	o.dst = append(o.dst, '}')
}

func (s *SubscribeRequest) appendTo(o *object) {
	o.text("channel", s.Channel)
	o.text("token", s.Token)
	o.flag("recover", s.Recover)
	o.position(s.Offset, s.Epoch)
	o.flag("positioned", s.Positioned)
	o.flag("recoverable", s.Recoverable)
	o.flag("join_leave", s.JoinLeave)
	o.text("delta", s.Delta)
	o.int("flag", s.Flag)
	o.raw("data", s.Data)
}

func (h *HistoryRequest) appendTo(o *object) {
	o.text("channel", h.Channel)
	o.int("limit", h.Limit)
	if h.Since {
		o.name("since")
		since := beginObject(o.dst)
		since.position(h.Offset, h.Epoch)
		o.dst = since.end()
	}
	o.flag("reverse", h.Reverse)
}

// text appends a string, or nothing for an empty one.
func (o *object) text(name string, v []byte) {
	if len(v) > 0 {
		o.name(name)
		o.dst = AppendString(o.dst, v)
	}
}

// int appends a number, or nothing for 0.
func (o *object) int(name string, v int64) {
	if v != 0 {
		o.name(name)
		o.dst = strconv.AppendInt(o.dst, v, 10)
	}
}

func (o *object) position(offset uint64, epoch []byte) {
	if offset > 0 {
		o.uint("offset", offset)
	}
	o.text("epoch", epoch)
}
