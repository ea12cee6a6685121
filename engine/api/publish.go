package api

import (
	"context"
	"encoding/base64"
	"encoding/json"

	"weir/engine/clientproto"
	"weir/engine/stats"
	"weir/security/schema"
)

// publication is what publish and broadcast have in common.
type publication struct {
	data           []byte // compact JSON, shared by all channels of a broadcast
	options        PublishOptions
	idempotencyKey string                   // "" is none
	admitted       map[*schema.Rule]content // of a broadcast: each rule is asked once, not for each of 10,000 channels
}

// content is a publication as a rule lets it out.
type content struct {
	data, tags []byte
	err        *clientproto.Error // it does not
}

type publishResult struct {
	Offset uint64 `json:"offset"`
	Epoch  string `json:"epoch"`
}

type broadcastResult struct {
	Responses []answer `json:"responses"`
}

func (h *Handlers) publish(ctx context.Context, f fields) (any, *clientproto.Error) {
	channel, err := f.text("channel")
	if err != nil {
		return nil, err
	}
	p, err := h.publication(f)
	if err != nil {
		h.countRefused(err)
		return nil, err
	}
	result, err := h.publishTo(ctx, channel, p)
	if err != nil {
		return nil, err
	}
	return result, nil
}

// broadcast publishes to each channel in the given order. One channel's error leaves the others alone.
func (h *Handlers) broadcast(ctx context.Context, f fields) (any, *clientproto.Error) {
	channels, err := f.texts("channels")
	if err != nil || len(channels) == 0 {
		return nil, errChannels
	}
	if len(channels) > h.cfg.Limits.Channels {
		return nil, errManyChannels
	}
	p, err := h.publication(f)
	if err != nil {
		h.countRefused(err)
		return nil, err
	}
	p.admitted = map[*schema.Rule]content{}
	responses := make([]answer, len(channels))
	for i, channel := range channels {
		result, err := h.publishTo(ctx, channel, p)
		if err != nil {
			responses[i] = failed(err)
			continue
		}
		responses[i] = answer{Result: result}
	}
	return broadcastResult{responses}, nil
}

// publishTo publishes to one channel, at most once under an idempotency key.
func (h *Handlers) publishTo(ctx context.Context, channel string, p publication) (*publishResult, *clientproto.Error) {
	if err := h.cfg.Channels(channel); err != nil {
		h.countRefused(err)
		return nil, err
	}
	out := h.content(channel, p)
	if out.err != nil {
		h.countRefused(out.err)
		return nil, out.err
	}
	options := p.options
	options.Tags = out.tags
	var at Position
	var err *clientproto.Error
	if p.idempotencyKey == "" {
		at, err = h.cfg.Node.Publish(ctx, channel, out.data, options)
	} else {
		at, err = h.answers.once(ctx, h.cfg.Now, newAnswerKey(channel, p.idempotencyKey), func() (Position, *clientproto.Error) {
			// Others wait for this one: it does not end because its own publisher hung up.
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), h.cfg.Limits.PublishTimeout)
			defer cancel()
			return h.cfg.Node.Publish(ctx, channel, out.data, options)
		})
	}
	if err != nil {
		return nil, err
	}
	return &publishResult{at.Offset, at.Epoch}, nil
}

// content has the channel's rule look at p.
func (h *Handlers) content(channel string, p publication) content {
	var rule *schema.Rule
	if h.cfg.Content != nil {
		rule = h.cfg.Content(channel)
	}
	if rule == nil {
		return content{data: p.data, tags: p.options.Tags}
	}
	if known, ok := p.admitted[rule]; ok {
		return known
	}
	v := h.checkers.Get().(*schema.Validator)
	defer h.checkers.Put(v)
	out := content{}
	if r := rule.Check(v, p.data); r.Fault != nil {
		if h.cfg.Stats != nil {
			h.cfg.Stats.Label(stats.PayloadsRefused, r.Fault.Keyword)
		}
		out.err = badRequest(string(r.AppendReason(nil, p.data)))
	} else {
		out.data, out.tags = rule.Clean(p.data), rule.Clean(p.options.Tags)
	}
	if p.admitted != nil {
		p.admitted[rule] = out
	}
	return out
}

func (h *Handlers) publication(f fields) (p publication, err *clientproto.Error) {
	if p.data, err = h.data(f); err != nil {
		return p, err
	}
	if p.options.Tags, err = tags(f); err != nil {
		return p, err
	}
	if p.options.SkipHistory, err = f.flag("skip_history"); err != nil {
		return p, err
	}
	if p.options.Delta, err = f.flag("delta"); err != nil {
		return p, err
	}
	p.idempotencyKey, err = f.text("idempotency_key")
	return p, err
}

// data returns the payload, compact, from data (any JSON value, null too) or b64data.
func (h *Handlers) data(f fields) ([]byte, *clientproto.Error) {
	encoded, err := f.text("b64data")
	if err != nil {
		return nil, err
	}
	raw, given := f["data"]
	switch {
	case encoded != "" && f.has("data"):
		return nil, errTwoData
	case encoded != "":
		if raw, err = h.decode(encoded); err != nil {
			return nil, err
		}
	case !given:
		return nil, errNoData
	}
	data := compact(raw)
	if limit := h.cfg.Limits.Data; limit > 0 && len(data) > limit {
		return nil, errDataTooLarge
	}
	return data, nil
}

func (h *Handlers) decode(encoded string) (json.RawMessage, *clientproto.Error) {
	raw, err := base64.StdEncoding.Strict().DecodeString(encoded)
	if err != nil {
		return nil, errBase64
	}
	if h.check(raw, h.cfg.Limits.Depth) != nil {
		return nil, errBinary
	}
	return raw, nil
}

// tags returns the tags as a compact object, nil if there is none.
func tags(f fields) ([]byte, *clientproto.Error) {
	if !f.has("tags") {
		return nil, nil
	}
	var values map[string]*string
	if json.Unmarshal(f["tags"], &values) != nil {
		return nil, errTags
	}
	for _, value := range values {
		if value == nil {
			return nil, errTags
		}
	}
	if len(values) == 0 {
		return nil, nil
	}
	return compact(f["tags"]), nil
}

// countRefused counts a publication that did not reach the node.
func (h *Handlers) countRefused(err *clientproto.Error) {
	if h.cfg.Stats == nil {
		return
	}
	reason := "bad_request"
	switch err.Code {
	case clientproto.ErrUnknownChannel.Code:
		reason = "unknown_channel"
	case clientproto.ErrLimitExceeded.Code:
		reason = "limit_exceeded"
	}
	h.cfg.Stats.Label(stats.PublishRefused, reason)
}

// RefusalReasons is the closed list of labels that the API uses for [stats.PublishRefused].
func RefusalReasons() []string { return []string{"bad_request", "limit_exceeded", "unknown_channel"} }
