package engine

import (
	"net"
	"net/http"
	"testing"
)

// Who can reach the internal listener and holds connections open takes no more
// descriptors than its share, and gives them back.
func TestInternalListenerBoundsItsConnections(t *testing.T) {
	s := start(t, nil)
	open := make([]net.Conn, 0, internalConnections)
	hold := func() {
		c, err := net.Dial("tcp", s.HealthAddr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		open = append(open, c)
	}
	for range internalConnections {
		hold()
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: testWait}
	scrape := func() error {
		response, err := client.Get("http://" + s.HealthAddr().String() + "/health")
		if err != nil {
			return err
		}
		return response.Body.Close()
	}
	eventually(t, "the listener is full", func() bool {
		if scrape() != nil {
			return true
		}
		hold() // on a slow machine those that came first have been sent away for their silence
		return false
	})
	if c, err := net.DialTimeout("tcp", s.APIAddr().String(), testWait); err != nil {
		t.Errorf("the other listener: %v", err)
	} else {
		c.Close()
	}
	s.client(t) // the public listener has its own
	for _, c := range open[:len(open)-internalConnections+1] {
		c.Close()
	}
	eventually(t, "a place is free again", func() bool { return scrape() == nil })
}
