package api

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/http"

	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// maxScrapes bounds scrapes at one time: each walks every shard and holds its text in memory.
const maxScrapes = 4

// Health serves only /health, /ready and /metrics: they need no key and tell nothing of peers, so the health
// listener may be public inside a cluster.
func (h *Handlers) Health() http.Handler { return h.health }

type readiness struct {
	Ready  bool   `json:"ready"`
	Reason string `json:"reason,omitempty"`
}

func (h *Handlers) newHealth() http.Handler {
	var metrics http.Handler
	if h.cfg.Metrics != nil {
		metrics = promhttp.HandlerFor(h.cfg.Metrics, promhttp.HandlerOpts{
			ErrorLog:            metricErrors{h.cfg.Log},
			ErrorHandling:       promhttp.ContinueOnError,
			MaxRequestsInFlight: maxScrapes,
		})
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength != 0 { // nothing here has a use for one
			unread(w)
		}
		switch {
		case r.URL.Path != "/health" && r.URL.Path != "/ready" && (r.URL.Path != "/metrics" || metrics == nil):
			http.Error(w, "not found", http.StatusNotFound)
		case r.Method != http.MethodGet && r.Method != http.MethodHead:
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		case r.URL.Path == "/health":
			writeJSON(w, http.StatusOK, struct{}{})
		case r.URL.Path == "/ready":
			h.serveReady(w)
		default:
			text := &page{header: w.Header()}
			metrics.ServeHTTP(text, r)
			text.sendTo(w)
		}
	})
}

// page is an answer that is written when it is whole. A scrape has its place among maxScrapes only until then: whoever does not
// read his must not keep others from theirs.
type page struct {
	header http.Header
	status int
	body   bytes.Buffer
}

// Header implements http.ResponseWriter.
func (p *page) Header() http.Header { return p.header }

// WriteHeader implements http.ResponseWriter.
func (p *page) WriteHeader(status int) { p.status = status }

// Write implements http.ResponseWriter.
func (p *page) Write(b []byte) (int, error) { return p.body.Write(b) }

func (p *page) sendTo(w http.ResponseWriter) {
	if p.status != 0 {
		w.WriteHeader(p.status)
	}
	_, _ = w.Write(p.body.Bytes())
}

// metricErrors is the error log of the metrics.
type metricErrors struct{ log *slog.Logger }

// Println implements promhttp.Logger.
func (m metricErrors) Println(v ...any) { m.log.Error("metrics", "error", fmt.Sprint(v...)) }

func (h *Handlers) serveReady(w http.ResponseWriter) {
	ok, reason := h.cfg.Node.Ready()
	status := http.StatusOK
	if !ok {
		status = http.StatusServiceUnavailable
	}
	writeJSON(w, status, readiness{Ready: ok, Reason: reason})
}
