package api

import (
	"context"

	"weir/engine/clientproto"
	"weir/security/grant"
)

// Connection is one client as connections lists it.
type Connection struct {
	User     string
	Protocol string   // "json", or "feed" for a push-only one
	Channels []string // its subscriptions, those that match if there is a pattern
}

// ConnectionQuery selects connections.
type ConnectionQuery struct {
	User    string // "" is any user
	Pattern string // of a channel that the connection subscribes to; "" is any, or none
	Limit   int    // most connections and subscriptions together
}

type channelsResult struct {
	Channels map[string]channelInfo `json:"channels"`
}

type channelInfo struct {
	NumClients int `json:"num_clients"`
}

type connectionsResult struct {
	Connections map[string]connectionInfo `json:"connections"`
}

type connectionInfo struct {
	Transport string          `json:"transport"`
	Protocol  string          `json:"protocol"`
	User      string          `json:"user"`
	State     connectionState `json:"state"`
}

type connectionState struct {
	Channels map[string]struct{} `json:"channels,omitempty"`
}

func (h *Handlers) channels(_ context.Context, f fields) (any, *clientproto.Error) {
	pattern, err := pattern(f)
	if err != nil {
		return nil, err
	}
	found, ok := h.cfg.Node.Channels(pattern, h.cfg.Limits.Listed)
	if !ok {
		return nil, errManyListed
	}
	list := make(map[string]channelInfo, len(found))
	for name, clients := range found {
		list[name] = channelInfo{clients}
	}
	return channelsResult{list}, nil
}

func (h *Handlers) connections(ctx context.Context, f fields) (any, *clientproto.Error) {
	if f.given("expression") {
		return nil, notAvailable("expression")
	}
	q := ConnectionQuery{Limit: h.cfg.Limits.Listed}
	var err *clientproto.Error
	if q.User, err = f.text("user"); err != nil {
		return nil, err
	}
	if q.Pattern, err = pattern(f); err != nil {
		return nil, err
	}
	found, ok, err := h.cfg.Node.Connections(ctx, q)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, errManyListed
	}
	list := make(map[string]connectionInfo, len(found))
	for client, c := range found {
		info := connectionInfo{Transport: "websocket", Protocol: c.Protocol, User: c.User}
		info.State.Channels = make(map[string]struct{}, len(c.Channels))
		for _, channel := range c.Channels {
			info.State.Channels[channel] = struct{}{}
		}
		list[client] = info
	}
	return connectionsResult{list}, nil
}

// pattern reads which channels are wanted; "" is all.
func pattern(f fields) (string, *clientproto.Error) {
	pattern, err := f.text("pattern")
	if err == nil && pattern != "" && grant.CheckPattern(pattern) != nil {
		return "", errPattern
	}
	return pattern, err
}
