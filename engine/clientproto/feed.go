package clientproto

// AppendFeed appends the message that a subscriber of /feed gets for a
// publication; data is JSON. Without an epoch there is no position to tell: it
// came through a pattern.
func AppendFeed(dst []byte, channel string, offset uint64, epoch string, data []byte) []byte {
	o := beginObject(dst)
	o.str("channel", channel)
	if epoch != "" {
		o.uint("offset", offset)
		o.str("epoch", epoch)
	}
	o.name("data")
	o.dst = appendRaw(o.dst, data)
	return o.end()
}

// AppendFeedGap appends the message that tells a subscriber of /feed that
// publications of channel, up to this position, were missed.
func AppendFeedGap(dst []byte, channel string, offset uint64, epoch string) []byte {
	o := beginObject(dst)
	o.str("channel", channel)
	o.flag("gap", true)
	o.uint("offset", offset)
	o.str("epoch", epoch)
	return o.end()
}
