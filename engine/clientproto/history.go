package clientproto

// HistoryResult answers history: what is kept of a channel, and its position.
type HistoryResult struct {
	Publications []Publication
	Offset       uint64
	Epoch        string
}

// AppendHistory appends the reply to a history command.
func AppendHistory(dst []byte, id uint32, r *HistoryResult) []byte {
	o := beginObject(appendReply(dst, id, History.String()))
	o.name("publications")
	o.dst = appendPublications(o.dst, r.Publications)
	o.uint("offset", r.Offset)
	o.str("epoch", r.Epoch)
	return append(o.end(), '}')
}
