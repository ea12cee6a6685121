package api

import (
	"context"
	"encoding/json"

	"weir/engine/clientproto"
)

// maxExpireAt is the end of the year 9999, in unix seconds.
const maxExpireAt = 253402300799

// subscribe makes server-side subscriptions. Options of Centrifugo that would change what the client sees, and are not
// here, are refused: passed over, they would be missed only by the subscriber.
func (h *Handlers) subscribe(ctx context.Context, f fields) (any, *clientproto.Error) {
	t, channel, err := h.targetChannel(f)
	if err != nil {
		return nil, err
	}
	for _, option := range []string{"expire_at", "info", "b64info", "data", "b64data", "recover_since", "override"} {
		if f.given(option) {
			return nil, notAvailable(option)
		}
	}
	return done(h.cfg.Node.Subscribe(ctx, t, channel))
}

func (h *Handlers) unsubscribe(ctx context.Context, f fields) (any, *clientproto.Error) {
	t, channel, err := h.targetChannel(f)
	if err != nil {
		return nil, err
	}
	return done(h.cfg.Node.Unsubscribe(ctx, t, channel))
}

// refresh sets when connections expire. That they never do cannot be asked for: a zero is what libraries send for a
// field that was left out.
func (h *Handlers) refresh(ctx context.Context, f fields) (any, *clientproto.Error) {
	t, err := target(f)
	if err != nil {
		return nil, err
	}
	if f.given("info") {
		return nil, notAvailable("info")
	}
	expired, err := f.flag("expired")
	if err != nil {
		return nil, err
	}
	var at int64
	if f.has("expire_at") && json.Unmarshal(f["expire_at"], &at) != nil || at < 0 || at > maxExpireAt {
		return nil, errExpireAt
	}
	switch {
	case expired:
		at = 0
	case at == 0:
		return nil, errNoExpiry
	}
	return done(h.cfg.Node.Refresh(ctx, t, at))
}

// done is the answer of a call without a result.
func done(err *clientproto.Error) (any, *clientproto.Error) {
	if err != nil {
		return nil, err
	}
	return struct{}{}, nil
}
