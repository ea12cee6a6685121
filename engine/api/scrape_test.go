package api

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

// stuck is a client that does not read what it is answered.
type stuck struct {
	*httptest.ResponseRecorder
	writing chan<- struct{}
	release <-chan struct{}
}

func (s stuck) Write(b []byte) (int, error) {
	s.writing <- struct{}{}
	<-s.release
	return s.ResponseRecorder.Write(b)
}

// TestScrapesThatNobodyReads: whoever may scrape, and does not read what it is answered, keeps nobody
// from scraping.
func TestScrapesThatNobodyReads(t *testing.T) {
	registry := prometheus.NewRegistry()
	registry.MustRegister(prometheus.NewCounter(prometheus.CounterOpts{Name: "a_total", Help: "A."}))
	health := New(Config{Node: &memoryNode{}, Metrics: registry}).Health()
	scrape := func(w http.ResponseWriter) {
		health.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	}
	writing, release := make(chan struct{}), make(chan struct{})
	var all sync.WaitGroup
	for range 2 * maxScrapes {
		all.Go(func() {
			w := stuck{httptest.NewRecorder(), writing, release}
			scrape(w)
			if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), "a_total 0") {
				t.Errorf("one who reads late is answered %d: %s", w.Code, w.Body)
			}
		})
		<-writing // one after the other: at once some may be too many
	}
	w := httptest.NewRecorder()
	scrape(w)
	if w.Code != http.StatusOK || !strings.HasPrefix(w.Header().Get("Content-Type"), "text/plain") || !strings.Contains(w.Body.String(), "a_total 0") {
		t.Errorf("beside %d that do not read: %d %v %s", 2*maxScrapes, w.Code, w.Header(), w.Body)
	}
	close(release)
	all.Wait()
}
