// Command coder is the feed on github.com/coder/websocket.
package main

import (
	"context"
	"net/http"
	"time"

	"github.com/coder/websocket"

	"weir/bench/peers/internal/feed"
)

const writeTimeout = 5 * time.Second // of the library's chat example

func main() {
	// The origin is not asked for here, as with every peer.
	options := &websocket.AcceptOptions{InsecureSkipVerify: true, CompressionMode: websocket.CompressionDisabled}
	rooms := &feed.Rooms[*websocket.Conn]{Prepare: prepare}
	mux := http.NewServeMux()
	mux.HandleFunc("/feed", func(w http.ResponseWriter, r *http.Request) {
		var conn *websocket.Conn
		member, err := rooms.Admit(r, func() (_ *websocket.Conn, err error) {
			conn, err = websocket.Accept(w, r, options)
			return conn, err
		})
		if err == nil {
			go read(conn, func() { rooms.Leave(member) }) // elsewhere, so that what belongs to the request can be collected
		}
	})
	mux.HandleFunc("/echo", func(w http.ResponseWriter, r *http.Request) {
		if conn, err := websocket.Accept(w, r, options); err == nil {
			go echo(conn)
		}
	})
	feed.Peer{Name: "coder", Module: "github.com/coder/websocket", Publish: rooms.Publish, Handler: mux}.Main()
}

// prepare: the library has no prepared messages, so each write makes the frame anew.
func prepare(message []byte) (each func(*websocket.Conn), after func()) {
	ctx, cancel := context.WithTimeout(context.Background(), writeTimeout)
	return func(conn *websocket.Conn) {
		_ = conn.Write(ctx, websocket.MessageText, message) // which closes the connection if it fails
	}, cancel
}

// read drops what a subscriber says, until it leaves.
func read(conn *websocket.Conn, leave func()) {
	defer conn.CloseNow()
	defer leave()
	for {
		if _, _, err := conn.Reader(context.Background()); err != nil {
			return
		}
	}
}

func echo(conn *websocket.Conn) {
	defer conn.CloseNow()
	for {
		kind, message, err := conn.Read(context.Background())
		if err != nil || conn.Write(context.Background(), kind, message) != nil {
			return
		}
	}
}
