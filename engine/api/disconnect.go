package api

import (
	"context"
	"encoding/json"

	"weir/engine/clientproto"
)

// Codes that an application may close with: RFC 6455 section 7.4.2.
const (
	minCloseCode = 3000
	maxCloseCode = 4999
)

func (h *Handlers) disconnect(ctx context.Context, f fields) (any, *clientproto.Error) {
	var d DisconnectRequest
	var err *clientproto.Error
	if d.Target, err = target(f); err != nil {
		return nil, err
	}
	if d.Whitelist, err = f.texts("whitelist"); err != nil {
		return nil, err
	}
	if d.Code, d.Reason, err = closing(f); err != nil {
		return nil, err
	}
	return done(h.cfg.Node.Disconnect(ctx, d))
}

// closing reads disconnect{code,reason}. Without a code it is 3503; without a reason the code's own.
func closing(f fields) (uint16, string, *clientproto.Error) {
	fallback := clientproto.CloseForceNoReconnect
	if !f.has("disconnect") {
		return fallback.Code, fallback.Reason, nil
	}
	inner, ok := object(f["disconnect"])
	if !ok {
		return 0, "", errDisconnect
	}
	code := fallback.Code
	if inner.has("code") && json.Unmarshal(inner["code"], &code) != nil {
		return 0, "", errCode
	}
	if code == 0 {
		code = fallback.Code // libraries send their zero value
	}
	if code < minCloseCode || code > maxCloseCode {
		return 0, "", errCode
	}
	reason, err := inner.text("reason")
	if err != nil {
		return 0, "", errReason
	}
	if reason == "" {
		reason = "disconnected by server"
		if code == fallback.Code {
			reason = fallback.Reason
		}
	}
	if !clientproto.ValidReason(reason) {
		return 0, "", errReason
	}
	return code, reason, nil
}

type infoResult struct {
	Nodes []NodeInfo `json:"nodes"`
}

func (h *Handlers) info(ctx context.Context, _ fields) (any, *clientproto.Error) {
	return infoResult{h.cfg.Node.Info(ctx)}, nil
}
