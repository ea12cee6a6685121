package fleet

import (
	"crypto/sha256"
	"encoding/pem"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// TestPinOfTheAPI: the API's key goes to nobody without a pinned key, whatever certificate he has.
func TestPinOfTheAPI(t *testing.T) {
	calls := 0
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		calls++
		fmt.Fprint(w, `{"result":{}}`)
	}))
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	good := sha256.Sum256(s.Certificate().RawSubjectPublicKeyInfo)
	other := sha256.Sum256(nil)
	for _, test := range []struct {
		pins      [][]byte
		published int
	}{{nil, 1}, {[][]byte{other[:], good[:]}, 1}, {[][]byte{other[:]}, 0}} {
		calls = 0
		p, err := NewPublisher(API{
			URLs: []string{s.URL}, Key: "key", Pins: test.pins, Timeout: time.Hour,
			CAs: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}),
		}, Plan{Channels: 1, Channel: "c"})
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Run(t.Context(), Pace{Rate: 1, Size: 200, For: time.Second}); err != nil {
			t.Fatal(err)
		}
		p.Close()
		sum, _, trouble := p.Count()
		if calls != test.published || sum.Published != uint64(test.published) || strings.Contains(trouble, "pins") != (test.published == 0) {
			t.Errorf("%d pins: %d calls, %+v, %s", len(test.pins), calls, sum, trouble)
		}
	}
}
