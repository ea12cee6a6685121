// Command gws is the feed on github.com/lxzan/gws with its broadcaster.
package main

import (
	"net/http"

	"github.com/lxzan/gws"

	"weir/bench/peers/internal/feed"
)

const readBufferBytes = 512 // subscribers say little

// mute drops what a subscriber says.
type mute struct{ gws.BuiltinEventHandler }

// OnMessage gives the message back to its pool.
func (mute) OnMessage(_ *gws.Conn, message *gws.Message) { _ = message.Close() }

// echo sends back what it is told.
type echo struct{ gws.BuiltinEventHandler }

// OnMessage answers.
func (echo) OnMessage(conn *gws.Conn, message *gws.Message) {
	_ = conn.WriteMessage(message.Opcode, message.Bytes())
	_ = message.Close()
}

func main() {
	subscribers := gws.NewUpgrader(mute{}, &gws.ServerOption{ReadBufferSize: readBufferBytes})
	echoes := gws.NewUpgrader(echo{}, &gws.ServerOption{ReadBufferSize: readBufferBytes})
	rooms := &feed.Rooms[*gws.Conn]{Prepare: prepare}
	mux := http.NewServeMux()
	mux.HandleFunc("/feed", func(w http.ResponseWriter, r *http.Request) {
		var conn *gws.Conn
		member, err := rooms.Admit(r, func() (_ *gws.Conn, err error) {
			conn, err = subscribers.Upgrade(w, r)
			return conn, err
		})
		if err == nil {
			go func() { // reading here would keep what belongs to the request, says the README
				defer rooms.Leave(member)
				conn.ReadLoop()
			}()
		}
	})
	mux.HandleFunc("/echo", func(w http.ResponseWriter, r *http.Request) {
		if conn, err := echoes.Upgrade(w, r); err == nil {
			go conn.ReadLoop()
		}
	})
	feed.Peer{Name: "gws", Module: "github.com/lxzan/gws", Publish: rooms.Publish, Handler: mux}.Main()
}

func prepare(message []byte) (each func(*gws.Conn), after func()) {
	broadcaster := gws.NewBroadcaster(gws.OpcodeText, message)
	return func(conn *gws.Conn) { _ = broadcaster.Broadcast(conn) }, func() { _ = broadcaster.Close() }
}
