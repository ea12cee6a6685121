package engine

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

// metrics returns the lines of the metrics page that are Weir's own samples.
func (s *testServer) metrics(t testing.TB) map[string]string {
	t.Helper()
	response, err := http.Get("http://" + s.HealthAddr().String() + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	page, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	samples := map[string]string{}
	for line := range strings.Lines(string(page)) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), " "); ok && strings.HasPrefix(name, "weir_") {
			samples[name] = value
		}
	}
	return samples
}

// What happened stands on the page, under the one name that it has.
func TestMetricsPage(t *testing.T) {
	s := start(t, nil)
	c := s.connected(t, sign(t, "alice", "feeds:*"))
	c.mustDo(`"subscribe":{"channel":"feeds:a"}`)
	s.api("publish", `{"channel":"feeds:a","data":1}`)
	s.api("publish", `{"channel":"nowhere:a","data":1}`)
	c.mustNext()
	samples := s.metrics(t)
	for name, want := range map[string]string{
		"weir_connections":                              "1",
		"weir_sessions":                                 "1",
		"weir_subscriptions":                            "1",
		"weir_channels":                                 "1",
		"weir_streams":                                  "1",
		"weir_work_queue_commands":                      "0",
		"weir_publications_total":                       "1",
		"weir_deliveries_total":                         "1",
		"weir_connections_accepted_total":               "1",
		`weir_connections_refused_total{reason="rate"}`: "0",
		`weir_publications_refused_total{reason="unknown_channel"}`: "1",
		`weir_publications_refused_total{reason="other"}`:           "0",
		`weir_api_requests_total{method="publish"}`:                 "2",
		`weir_api_errors_total{code="102"}`:                         "1",
	} {
		if got := samples[name]; got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	for _, gone := range []string{"weir_channels_subscribed", "weir_work_queued", `weir_admission_refused_total{reason="rate"}`} {
		if _, there := samples[gone]; there {
			t.Errorf("%s says the same as another", gone)
		}
	}
}
