// Command nbhttp is the feed on github.com/lesismal/nbio: its own event loop, HTTP server, TLS and WebSocket.
package main

import (
	"net"
	"net/http"

	"github.com/lesismal/llib/std/crypto/tls"
	"github.com/lesismal/nbio/logging"
	"github.com/lesismal/nbio/nbhttp"
	"github.com/lesismal/nbio/nbhttp/websocket"

	"weir/bench/peers/internal/feed"
)

const (
	maxConnections       = 1 << 20
	maxWaitingBytes      = 1 << 20 // for one connection, which is closed above it
	maxHandshakesAtATime = 64      // goroutines that run HTTP handlers
)

func main() {
	rooms := &feed.Rooms[*websocket.Conn]{Prepare: prepare}
	mux := http.NewServeMux()
	mux.HandleFunc("/feed", subscribe(rooms))
	mux.HandleFunc("/echo", echo())
	serve := func(o *feed.Options) (net.Addr, error) { return listen(o, mux) }
	feed.Peer{Name: "nbhttp", Module: "github.com/lesismal/nbio", Publish: rooms.Publish, Serve: serve}.Main()
}

// listen serves on connections that do not block: no goroutine for each.
func listen(o *feed.Options, handler http.Handler) (net.Addr, error) {
	logging.SetLevel(logging.LevelNone)
	certificate, err := tls.LoadX509KeyPair(o.Cert, o.Key)
	if err != nil {
		return nil, err
	}
	listener, err := o.Bind()
	if err != nil {
		return nil, err
	}
	engine := nbhttp.NewEngine(nbhttp.Config{
		Network: "tcp", AddrsTLS: []string{o.Listen}, Handler: handler, IOMod: nbhttp.IOModNonBlocking,
		Listen:    func(string, string) (net.Listener, error) { return listener, nil },
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS13},
		MaxLoad:   maxConnections, MaxWriteBufferSize: maxWaitingBytes, MessageHandlerPoolSize: maxHandshakesAtATime,
		ReleaseWebsocketPayload: true,
	})
	return listener.Addr(), engine.Start()
}

func upgrader() *websocket.Upgrader {
	u := websocket.NewUpgrader()
	u.CheckOrigin = func(*http.Request) bool { return true }
	u.KeepaliveTime = 0 // no read deadline: subscribers say nothing
	return u
}

// subscribe is the handler of /feed. The library calls what belongs to one connection in order, so it leaves after it has come.
func subscribe(rooms *feed.Rooms[*websocket.Conn]) http.HandlerFunc {
	u := upgrader()
	u.OnClose(func(conn *websocket.Conn, _ error) {
		if member, ok := conn.Session().(*feed.Member[*websocket.Conn]); ok {
			rooms.Leave(member)
		}
	})
	return func(w http.ResponseWriter, r *http.Request) {
		var conn *websocket.Conn
		member, err := rooms.Admit(r, func() (_ *websocket.Conn, err error) {
			conn, err = u.Upgrade(w, r, nil)
			return conn, err
		})
		if err == nil {
			conn.SetSession(member)
		}
	}
}

// echo is the handler of /echo.
func echo() http.HandlerFunc {
	u := upgrader()
	u.OnMessage(func(conn *websocket.Conn, kind websocket.MessageType, message []byte) {
		_ = conn.WriteMessage(kind, message)
	})
	return func(w http.ResponseWriter, r *http.Request) {
		_, _ = u.Upgrade(w, r, nil) // which answers the request if it fails
	}
}

// prepare: the library has no prepared messages, so each write makes the frame anew. It never blocks: what a socket does not
// take waits for it in user space.
func prepare(message []byte) (each func(*websocket.Conn), after func()) {
	return func(conn *websocket.Conn) { _ = conn.WriteMessage(websocket.TextMessage, message) }, func() {}
}
