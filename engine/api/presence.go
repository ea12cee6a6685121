package api

import (
	"context"
	"encoding/json"

	"weir/engine/clientproto"
)

type presenceResult struct {
	Presence json.RawMessage `json:"presence"`
}

type presenceStatsResult struct {
	NumClients int `json:"num_clients"`
	NumUsers   int `json:"num_users"`
}

func (h *Handlers) presence(ctx context.Context, f fields) (any, *clientproto.Error) {
	channel, err := h.channel(f)
	if err != nil {
		return nil, err
	}
	members, err := h.cfg.Node.Presence(ctx, channel)
	if err != nil {
		return nil, err
	}
	object := make([]byte, 0, len(members)+2)
	return presenceResult{append(append(append(object, '{'), members...), '}')}, nil
}

func (h *Handlers) presenceStats(ctx context.Context, f fields) (any, *clientproto.Error) {
	channel, err := h.channel(f)
	if err != nil {
		return nil, err
	}
	count, err := h.cfg.Node.PresenceStats(ctx, channel)
	if err != nil {
		return nil, err
	}
	return presenceStatsResult{count.Clients, count.Users}, nil
}
