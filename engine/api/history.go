package api

import (
	"context"
	"encoding/json"
	"errors"

	"weir/engine/broker"
	"weir/engine/clientproto"
)

type historyResult struct {
	Publications []historyPublication `json:"publications"`
	Offset       uint64               `json:"offset"`
	Epoch        string               `json:"epoch"`
}

type historyPublication struct {
	Data   json.RawMessage `json:"data"`
	Info   json.RawMessage `json:"info,omitempty"`
	Offset uint64          `json:"offset"`
	Tags   json.RawMessage `json:"tags,omitempty"`
}

// history answers what is kept of a channel. Without a limit only the position
// is told, as Centrifugo does.
func (h *Handlers) history(ctx context.Context, f fields) (any, *clientproto.Error) {
	channel, err := h.channel(f)
	if err != nil {
		return nil, err
	}
	filter, err := filterOf(f)
	if err != nil {
		return nil, err
	}
	at, list, e := h.cfg.Node.History(ctx, channel, filter)
	if errors.Is(e, broker.ErrUnrecoverable) {
		return nil, clientproto.ErrUnrecoverable
	}
	if e != nil {
		return nil, clientproto.ErrInternal
	}
	out := historyResult{Publications: make([]historyPublication, len(list)), Offset: at.Offset, Epoch: at.Epoch}
	for i := range list {
		p := &list[i]
		out.Publications[i] = historyPublication{Data: p.Data, Info: p.Info, Offset: p.Offset, Tags: p.Tags}
	}
	return out, nil
}

func (h *Handlers) historyRemove(ctx context.Context, f fields) (any, *clientproto.Error) {
	channel, err := h.channel(f)
	if err != nil {
		return nil, err
	}
	if h.cfg.Node.RemoveHistory(ctx, channel) != nil {
		return nil, clientproto.ErrInternal
	}
	return struct{}{}, nil
}

// channel reads and checks the name of one channel.
func (h *Handlers) channel(f fields) (string, *clientproto.Error) {
	channel, err := f.text("channel")
	if err != nil {
		return "", err
	}
	return channel, h.cfg.Channels(channel)
}

func filterOf(f fields) (filter broker.Filter, err *clientproto.Error) {
	if f.has("limit") && json.Unmarshal(f["limit"], &filter.Limit) != nil {
		return filter, badRequest("limit must be a whole number")
	}
	if filter.Reverse, err = f.flag("reverse"); err != nil {
		return filter, err
	}
	if !f.has("since") {
		return filter, nil
	}
	since := fields{}
	if json.Unmarshal(f["since"], &since) != nil {
		return filter, badRequest("since must be an object with offset and epoch")
	}
	filter.Since = new(broker.Position)
	if since.has("offset") && json.Unmarshal(since["offset"], &filter.Since.Offset) != nil {
		return filter, badRequest("offset must be a whole number, 0 or more")
	}
	filter.Since.Epoch, err = since.text("epoch")
	return filter, err
}
