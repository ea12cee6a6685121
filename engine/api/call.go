package api

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"weir/engine/clientproto"
	"weir/engine/stats"
	"weir/security/schema"
)

const (
	apiPrefix   = "/api/"
	keyHeader   = "X-API-Key"
	errorMode   = "X-Centrifugo-Error-Mode"
	transport   = "transport"
	unknownName = stats.Other
)

// method carries out one call. Its result is encoded as JSON.
type method func(ctx context.Context, f fields) (result any, err *clientproto.Error)

// API serves everything of the internal listener: /api/<method>, /health, /ready, /metrics. The console is not
// available yet.
func (h *Handlers) API() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// No ServeMux: it would redirect unclean paths before the key is checked.
		if name, ok := strings.CutPrefix(r.URL.Path, apiPrefix); ok {
			h.serveCall(w, r, name)
			return
		}
		h.health.ServeHTTP(w, r)
	})
}

// unreadTime is for what a client has sent of a body that nobody takes: closing over it could cost the client the answer.
const unreadTime = time.Second

// unread ends the connection with the answer, and soon. net/http would wait for the rest of the body behind a handler that
// did not take it, as long as for one that does.
func unread(w http.ResponseWriter) {
	w.Header().Set("Connection", "close")
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(unreadTime)) // not every ResponseWriter can
}

// serveCall is the funnel of the package comment.
func (h *Handlers) serveCall(w http.ResponseWriter, r *http.Request, name string) {
	if !h.authentic(r.Header) {
		if h.cfg.Unauthorized != nil {
			h.cfg.Unauthorized(r)
		}
		w.Header().Set("WWW-Authenticate", "ApiKey")
		h.refuse(w, http.StatusUnauthorized, unknownName, clientproto.ErrUnauthorized)
		return
	}
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		h.refuse(w, http.StatusMethodNotAllowed, unknownName, errNotPost)
		return
	}
	do, known := h.methods[name]
	if !known {
		h.refuse(w, http.StatusNotFound, unknownName, clientproto.ErrMethodNotFound)
		return
	}
	body, err := h.read(w, r)
	if err != nil {
		var tooLarge *http.MaxBytesError
		if errors.As(err, &tooLarge) {
			h.refuse(w, http.StatusRequestEntityTooLarge, name, errBodyTooLarge)
			return
		}
		h.refuse(w, http.StatusBadRequest, name, errBodyCut)
		return
	}
	levels := 0
	if name == batchName {
		levels = batchLevels
	}
	f, fault := h.parse(body, levels)
	if fault != nil {
		h.fail(w, r, name, fault)
		return
	}
	result, fault := do(r.Context(), f)
	if fault != nil {
		h.fail(w, r, name, fault)
		return
	}
	h.count(name, nil)
	if replies, whole := result.(batchAnswer); whole {
		writeJSON(w, http.StatusOK, replies)
		return
	}
	writeJSON(w, http.StatusOK, answer{Result: result})
}

// authentic compares the caller's key with ours in constant time, whatever their lengths. One key, in the header only.
func (h *Handlers) authentic(header http.Header) bool {
	given := header.Values(keyHeader)
	key := h.key.Load()
	if key == nil || len(given) != 1 {
		return false
	}
	hash := h.hash(given[0])
	return subtle.ConstantTimeCompare(hash[:], key[:]) == 1
}

func (h *Handlers) hash(key string) [sha256.Size]byte {
	return sha256.Sum256(append(h.salt[:len(h.salt):len(h.salt)], key...))
}

// read returns the whole body, at most Limits.Body bytes. Memory grows with what arrives, not with the declared length.
func (h *Handlers) read(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	limit := int64(h.cfg.Limits.Body)
	if r.ContentLength > limit {
		return nil, &http.MaxBytesError{Limit: limit}
	}
	return io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
}

// check runs the strict validator over text.
func (h *Handlers) check(text []byte, depth int) *schema.Fault {
	v := h.checkers.Get().(*schema.Validator)
	defer h.checkers.Put(v)
	return v.Check(text, schema.Limits{Depth: depth, Members: h.cfg.Limits.Members})
}

// fail answers a call with an error.
func (h *Handlers) fail(w http.ResponseWriter, r *http.Request, name string, err *clientproto.Error) {
	h.count(name, err)
	status := http.StatusOK
	if r.Header.Get(errorMode) == transport {
		status = statusOf(err)
	}
	writeJSON(w, status, failed(err))
}

// refuse answers a request that did not become a call. The connection closes, so that an unread body is not read.
func (h *Handlers) refuse(w http.ResponseWriter, status int, name string, err *clientproto.Error) {
	h.count(name, err)
	unread(w)
	writeJSON(w, status, failed(err))
}

func (h *Handlers) count(name string, err *clientproto.Error) {
	if h.cfg.Stats == nil {
		return
	}
	h.cfg.Stats.Label(stats.APIRequests, name)
	if err != nil {
		h.cfg.Stats.Code(stats.APIErrors, err.Code)
	}
}
