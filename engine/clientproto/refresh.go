package clientproto

// RefreshResult answers refresh: how long the connection's new token lasts.
type RefreshResult struct {
	Client, Version string
	Expires         bool
	TTL             uint32 // seconds until the token expires
}

// AppendRefresh appends the reply to a refresh command.
func AppendRefresh(dst []byte, id uint32, r *RefreshResult) []byte {
	o := beginObject(appendReply(dst, id, Refresh.String()))
	o.str("client", r.Client)
	o.str("version", r.Version)
	o.expiry(r.Expires, r.TTL)
	return append(o.end(), '}')
}

// SubRefreshResult answers sub_refresh: how long the subscription's new token
// lasts.
type SubRefreshResult struct {
	Expires bool
	TTL     uint32 // seconds until the token expires
}

// AppendSubRefresh appends the reply to a sub_refresh command.
func AppendSubRefresh(dst []byte, id uint32, r *SubRefreshResult) []byte {
	o := beginObject(appendReply(dst, id, SubRefresh.String()))
	o.expiry(r.Expires, r.TTL)
	return append(o.end(), '}')
}
