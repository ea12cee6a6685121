package engine

import (
	"bytes"
	"strconv"

	"weir/engine/broker"
	"weir/engine/upgrade"
	"weir/security/grant"
)

// feedPlan is what the query of /feed asks for: each channel once, in the order
// of the query. Owned bytes.
type feedPlan []feedChannel

type feedChannel struct {
	name  string
	since broker.Position // where the client left off; no epoch: it did not say
	at    broker.Attached // where it was subscribed, and what came back
}

// parseFeed reads channel= and since= of a query; other parameters are not
// looked at. limit is the most channels, 0: no limit.
func parseFeed(rawQuery []byte, limit int) (plan feedPlan, f *upgrade.Refusal) {
	for rest := rawQuery; len(rest) > 0; {
		var name, raw []byte
		if name, raw, rest = upgrade.NextParameter(rest); string(name) != "channel" {
			continue
		}
		value, f := upgrade.Unescape(nil, raw)
		if f != nil {
			return nil, f
		}
		channel := string(value)
		switch {
		case grant.CheckPattern(channel) != nil:
			return nil, upgrade.ErrChannel
		case plan.find(channel) != nil:
			continue
		case limit > 0 && len(plan) == limit:
			return nil, upgrade.ErrChannels
		}
		plan = append(plan, feedChannel{name: channel})
	}
	if len(plan) == 0 {
		return nil, upgrade.ErrNoChannel
	}
	if f := plan.since(rawQuery); f != nil {
		return nil, f
	}
	return plan, nil
}

// since reads the positions, which may stand before their channels.
func (p feedPlan) since(rawQuery []byte) *upgrade.Refusal {
	for rest := rawQuery; len(rest) > 0; {
		var name, raw []byte
		if name, raw, rest = upgrade.NextParameter(rest); string(name) != "since" {
			continue
		}
		value, f := upgrade.Unescape(nil, raw)
		if f != nil {
			return f
		}
		channel, pos, ok := splitSince(value)
		if !ok {
			return upgrade.ErrSince
		}
		c := p.find(channel)
		if c == nil || c.since.Epoch != "" || grant.IsPattern(channel) {
			return upgrade.ErrSince
		}
		c.since = pos
	}
	return nil
}

// splitSince splits channel:offset@epoch at the last @, then at the last colon:
// both may stand in a channel's name, neither in what follows it.
func splitSince(value []byte) (channel string, pos broker.Position, ok bool) {
	at := bytes.LastIndexByte(value, '@')
	if at < 0 || at == len(value)-1 {
		return "", pos, false
	}
	colon := bytes.LastIndexByte(value[:at], ':')
	if colon < 0 {
		return "", pos, false
	}
	offset, err := strconv.ParseUint(string(value[colon+1:at]), 10, 64)
	if err != nil {
		return "", pos, false
	}
	return string(value[:colon]), broker.Position{Offset: offset, Epoch: string(value[at+1:])}, true
}

// find returns the channel of that name, or nil. Sessions have few channels.
func (p feedPlan) find(name string) *feedChannel {
	for i := range p {
		if p[i].name == name {
			return &p[i]
		}
	}
	return nil
}
