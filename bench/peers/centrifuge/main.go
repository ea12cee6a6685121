// Command centrifuge is the library that Centrifugo is made of, with its own protocol: anybody may connect and subscribe,
// and channels keep no history.
package main

import (
	"context"
	"log"
	"net/http"

	"github.com/centrifugal/centrifuge"

	"weir/bench/peers/internal/feed"
)

func main() {
	node, err := centrifuge.New(centrifuge.Config{})
	if err != nil {
		log.Fatal(err)
	}
	node.OnConnecting(func(context.Context, centrifuge.ConnectEvent) (centrifuge.ConnectReply, error) {
		return centrifuge.ConnectReply{Credentials: &centrifuge.Credentials{}}, nil
	})
	node.OnConnect(func(client *centrifuge.Client) {
		client.OnSubscribe(func(_ centrifuge.SubscribeEvent, answer centrifuge.SubscribeCallback) {
			answer(centrifuge.SubscribeReply{}, nil)
		})
	})
	if err := node.Run(); err != nil {
		log.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/connection/websocket", centrifuge.NewWebsocketHandler(node, centrifuge.WebsocketConfig{
		CheckOrigin:                func(*http.Request) bool { return true },
		UseWriteBufferPool:         true,
		ProcessCommandsOffReadLoop: true, // for many idle connections, says its comment
	}))
	feed.Peer{
		Name: "centrifuge", Module: "github.com/centrifugal/centrifuge", Protocol: feed.Centrifugo, Handler: mux,
		Publish: func(channel string, data []byte) (uint64, string, error) {
			result, err := node.Publish(channel, data)
			return result.Offset, result.Epoch, err
		},
	}.Main()
}
