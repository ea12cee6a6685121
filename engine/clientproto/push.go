package clientproto

// Publication is one message of a channel. Data, Info and Tags are JSON; with
// Text, Data may be any text.
type Publication struct {
	Offset  uint64 // position in the channel; 0: the channel has none
	Channel string // the real channel where the push names a pattern, else ""
	Data    []byte
	Info    []byte // ClientInfo of a client that published
	Tags    []byte // object of strings
	Text    bool   // Data goes out as a JSON string that holds it: the form of subscriptions with deltas
	Delta   bool   // Data is a Fossil delta; with Text only
}

func (p *Publication) append(dst []byte) []byte {
	o := beginObject(dst)
	if p.Channel != "" {
		o.str("channel", p.Channel)
	}
	o.name("data")
	if p.Text {
		o.dst = appendText(o.dst, p.Data)
	} else {
		o.dst = appendRaw(o.dst, p.Data)
	}
	if p.Offset > 0 {
		o.uint("offset", p.Offset)
	}
	o.raw("info", p.Info)
	o.raw("tags", p.Tags)
	o.flag("delta", p.Delta)
	return o.end()
}

// ClientInfo says who published, joined or left.
type ClientInfo struct {
	User, Client       string
	ConnInfo, ChanInfo []byte // JSON, left out when empty
}

// AppendClientInfo appends i as a JSON object, as Publication.Info wants it.
func AppendClientInfo(dst []byte, i *ClientInfo) []byte {
	o := beginObject(dst)
	o.str("user", i.User)
	o.str("client", i.Client)
	o.raw("conn_info", i.ConnInfo)
	o.raw("chan_info", i.ChanInfo)
	return o.end()
}

// appendPush begins {"push":{"channel":"c","<kind>": ; the value and two
// closing braces follow.
func appendPush(dst []byte, channel, kind string) []byte {
	dst = append(dst, `{"push":`...)
	o := beginObject(dst)
	o.str("channel", channel)
	o.name(kind)
	return o.dst
}

// AppendPublication appends the push of p in channel (or in a pattern).
func AppendPublication(dst []byte, channel string, p *Publication) []byte {
	return append(p.append(appendPush(dst, channel, "pub")), "}}"...)
}

// AppendUnsubscribePush appends the notice that the server ended a
// subscription; codes below 2500 are final.
func AppendUnsubscribePush(dst []byte, channel string, code uint32, reason string) []byte {
	return append(appendCode(appendPush(dst, channel, "unsubscribe"), code, reason), "}}"...)
}

// AppendSubscribePush appends the notice that the server began a subscription.
func AppendSubscribePush(dst []byte, channel string, r *SubscribeResult) []byte {
	return append(r.append(appendPush(dst, channel, "subscribe")), "}}"...)
}

// AppendJoin appends the push that a client entered channel.
func AppendJoin(dst []byte, channel string, i *ClientInfo) []byte {
	return appendPresence(dst, channel, "join", i)
}

// AppendLeave appends the push that a client left channel.
func AppendLeave(dst []byte, channel string, i *ClientInfo) []byte {
	return appendPresence(dst, channel, "leave", i)
}

func appendPresence(dst []byte, channel, kind string, i *ClientInfo) []byte {
	o := beginObject(appendPush(dst, channel, kind))
	o.name("info")
	o.dst = AppendClientInfo(o.dst, i)
	return append(o.end(), "}}"...)
}

func appendCode(dst []byte, code uint32, reason string) []byte {
	o := beginObject(dst)
	o.uint("code", uint64(code))
	o.str("reason", reason)
	return o.end()
}
