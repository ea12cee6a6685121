// Command gorilla is the feed on github.com/gorilla/websocket: each publication is a prepared message that the publisher
// writes to one subscriber after the other.
package main

import (
	"net/http"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"weir/bench/peers/internal/feed"
)

const (
	bufferBytes  = 512              // as long as the messages, as the package's guidelines say
	writeTimeout = 10 * time.Second // of the package's chat example
)

func main() {
	upgrader := &websocket.Upgrader{
		ReadBufferSize: bufferBytes, WriteBufferSize: bufferBytes, WriteBufferPool: &sync.Pool{},
		CheckOrigin: func(*http.Request) bool { return true },
	}
	rooms := &feed.Rooms[*websocket.Conn]{Prepare: prepare}
	mux := http.NewServeMux()
	mux.HandleFunc("/feed", func(w http.ResponseWriter, r *http.Request) {
		var conn *websocket.Conn
		member, err := rooms.Admit(r, func() (_ *websocket.Conn, err error) {
			conn, err = upgrader.Upgrade(w, r, nil)
			return conn, err
		})
		if err == nil {
			go read(conn, func() { rooms.Leave(member) }) // elsewhere, so that what belongs to the request can be collected
		}
	})
	mux.HandleFunc("/echo", func(w http.ResponseWriter, r *http.Request) {
		if conn, err := upgrader.Upgrade(w, r, nil); err == nil {
			go echo(conn)
		}
	})
	feed.Peer{Name: "gorilla", Module: "github.com/gorilla/websocket", Publish: rooms.Publish, Handler: mux}.Main()
}

func prepare(message []byte) (each func(*websocket.Conn), after func()) {
	prepared, err := websocket.NewPreparedMessage(websocket.TextMessage, message)
	if err != nil {
		panic(err) // it has no reason to fail without compression
	}
	deadline := time.Now().Add(writeTimeout)
	return func(conn *websocket.Conn) {
		if conn.SetWriteDeadline(deadline) != nil || conn.WritePreparedMessage(prepared) != nil {
			_ = conn.Close()
		}
	}, func() {}
}

// read drops what a subscriber says, until it leaves.
func read(conn *websocket.Conn, leave func()) {
	defer conn.Close()
	defer leave()
	for {
		if _, _, err := conn.NextReader(); err != nil {
			return
		}
	}
}

func echo(conn *websocket.Conn) {
	defer conn.Close()
	for {
		kind, message, err := conn.ReadMessage()
		if err != nil || conn.WriteMessage(kind, message) != nil {
			return
		}
	}
}
