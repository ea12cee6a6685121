package api

import (
	"context"
	"encoding/json"

	"weir/engine/clientproto"
)

const (
	batchName = "batch"
	// batchLevels is how much deeper than in a call of its own a command's body stands: in an object, an array, an
	// object.
	batchLevels = 3
)

// batchAnswer is a batch's whole answer: like Centrifugo's, it has no result around it.
type batchAnswer struct {
	Replies []batchReply `json:"replies"`
}

// batchReply has one member: the command's name with its result, or "error".
type batchReply map[string]any

// batch carries out commands one after the other, also if it is asked for them in parallel: that is a wish for speed.
// One command's error leaves the others alone.
func (h *Handlers) batch(ctx context.Context, f fields) (any, *clientproto.Error) {
	if _, err := f.flag("parallel"); err != nil {
		return nil, err
	}
	var commands []json.RawMessage
	if !f.has("commands") || json.Unmarshal(f["commands"], &commands) != nil || len(commands) == 0 {
		return nil, errCommands
	}
	if len(commands) > h.cfg.Limits.Commands {
		return nil, errManyCommands
	}
	replies := make([]batchReply, len(commands))
	left := h.cfg.Limits.BatchAnswer
	for i, command := range commands {
		if left <= 0 {
			replies[i] = batchError(errBatchAnswer)
			continue
		}
		var size int
		replies[i], size = h.command(ctx, command)
		left -= size
	}
	return batchAnswer{replies}, nil
}

// command carries out {"<method>":{…}}. size is that of the reply, in bytes.
func (h *Handlers) command(ctx context.Context, raw json.RawMessage) (reply batchReply, size int) {
	name, body, err := h.method(raw)
	if err != nil {
		h.count(unknownName, err)
		return batchError(err), 0
	}
	result, err := h.methods[name](ctx, body)
	h.count(name, err)
	if err != nil {
		return batchError(err), 0
	}
	text := encode(result)
	return batchReply{name: text}, len(text)
}

// method reads the name and the fields of a command.
func (h *Handlers) method(raw json.RawMessage) (name string, body fields, err *clientproto.Error) {
	command, ok := object(raw)
	if !ok || len(command) != 1 {
		return "", nil, errCommand
	}
	for name = range command {
	}
	if _, known := h.methods[name]; !known {
		return "", nil, clientproto.ErrMethodNotFound
	}
	if name == batchName {
		return "", nil, errNested
	}
	if body, ok = object(command[name]); !ok || body == nil {
		return "", nil, errNotObject
	}
	return name, body, nil
}

func batchError(err *clientproto.Error) batchReply {
	return batchReply{"error": &wireError{err.Code, err.Message}}
}
