package clientproto

// AppendMember appends one member of the object that presence answers with,
// "client":{…}; a comma comes first unless dst is empty.
func AppendMember(dst []byte, i *ClientInfo) []byte {
	if len(dst) > 0 {
		dst = append(dst, ',')
	}
	dst = append(AppendString(dst, i.Client), ':')
	return AppendClientInfo(dst, i)
}

// AppendPresence appends the reply to a presence command; members is what
// AppendMember made, or several of these with a comma between.
func AppendPresence(dst []byte, id uint32, members []byte) []byte {
	o := beginObject(appendReply(dst, id, Presence.String()))
	o.name("presence")
	o.dst = append(append(append(o.dst, '{'), members...), '}')
	return append(o.end(), '}')
}

// PresenceStatsResult answers presence_stats: how many clients, and users of
// them, are subscribed to a channel.
type PresenceStatsResult struct{ Clients, Users int }

// AppendPresenceStats appends the reply to a presence_stats command.
func AppendPresenceStats(dst []byte, id uint32, r *PresenceStatsResult) []byte {
	o := beginObject(appendReply(dst, id, PresenceStats.String()))
	o.uint("num_clients", uint64(r.Clients))
	o.uint("num_users", uint64(r.Users))
	return append(o.end(), '}')
}
