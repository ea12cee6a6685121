package clientproto

// AppendRPC appends the reply to an rpc command; data is JSON, left out when
// empty.
func AppendRPC(dst []byte, id uint32, data []byte) []byte {
	o := beginObject(appendReply(dst, id, RPC.String()))
	o.raw("data", data)
	return append(o.end(), '}')
}
