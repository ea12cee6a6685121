package feed

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
)

// maxBodyBytes bounds one publication.
const maxBodyBytes = 1 << 20

// api serves POST /api/publish. Who may post is not asked: it listens on the loopback.
func (p Peer) api() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /api/publish", func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBodyBytes))
		var publication struct {
			Channel string
			Data    json.RawMessage
		}
		if err == nil {
			err = json.Unmarshal(body, &publication)
		}
		if err != nil || publication.Channel == "" || publication.Data == nil {
			http.Error(w, "a publication has a channel and data", http.StatusBadRequest)
			return
		}
		offset, epoch, err := p.Publish(publication.Channel, publication.Data)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"result":{"offset":%d,"epoch":%q}}`, offset, epoch)
	})
	return mux
}
