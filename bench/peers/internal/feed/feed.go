// Package feed is what the servers that Weir is compared with have in common: the command line, the listeners, the API
// and who is subscribed to what. Only the WebSocket itself is the library's.
package feed

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"weir/bench/peers/internal/socket"
)

// Options are the flags of every peer.
type Options struct {
	Listen, API string // host:port; port 0 is one of the system's choice
	Cert, Key   string // PEM files
	Congestion  string // TCP congestion control of the accepted connections
}

// Flags declares the options; they are there once flag.Parse has run.
func Flags() *Options {
	o := new(Options)
	flag.StringVar(&o.Listen, "listen", "127.0.0.1:0", "where subscribers connect, with TLS")
	flag.StringVar(&o.API, "api", "127.0.0.1:0", "where publishers post, without TLS")
	flag.StringVar(&o.Cert, "cert", "", "PEM file of the certificate")
	flag.StringVar(&o.Key, "key", "", "PEM file of its key")
	flag.StringVar(&o.Congestion, "congestion", "cubic", "TCP congestion control of accepted connections")
	return o
}

// Bind listens for subscribers. What it accepts has the congestion control that was asked for.
func (o *Options) Bind() (net.Listener, error) {
	c := net.ListenConfig{Control: socket.Listener(o.Congestion)}
	return c.Listen(context.Background(), "tcp", o.Listen)
}

// Line is what a peer prints, in JSON on one line, once it serves.
type Line struct {
	Name     string `json:"name"`
	Version  string `json:"version"`
	URL      string `json:"url"`      // for subscribers
	Protocol string `json:"protocol"` // feed or centrifugo
	API      string `json:"api"`      // base URL for publishers
	PID      int    `json:"pid"`      // of the process that serves
}

// Protocols of a Line.
const (
	Plain      = "feed"       // /feed?channel=, messages only
	Centrifugo = "centrifugo" // /connection/websocket, commands in JSON
)

// Peer is a server written with a Go library.
type Peer struct {
	Name     string
	Module   string // path of the library's module
	Protocol string // "" is Plain

	// Publish hands one publication to all subscribers of a channel.
	Publish func(channel string, data []byte) (offset uint64, epoch string, err error)

	// Handler serves the public listener through net/http, unless Serve does it without.
	Handler http.Handler
	Serve   func(*Options) (net.Addr, error) // returns once it serves
}

// Main runs the peer until its input ends or it is told to stop.
func (p Peer) Main() {
	log.SetFlags(0)
	log.SetPrefix(p.Name + ": ")
	o := Flags()
	flag.Parse()
	over := End()
	serve := p.Serve
	if serve == nil {
		serve = p.serveHTTP
	}
	address, err := serve(o)
	if err != nil {
		log.Fatal(err)
	}
	api, err := net.Listen("tcp", o.API)
	if err != nil {
		log.Fatal(err)
	}
	go func() { log.Fatal(http.Serve(api, p.api())) }()
	line := Line{Name: p.Name, Version: version(p.Module), Protocol: Plain, API: "http://" + api.Addr().String(), PID: os.Getpid()}
	line.URL = fmt.Sprintf("wss://%s/feed", address)
	if p.Protocol == Centrifugo {
		line.Protocol, line.URL = p.Protocol, fmt.Sprintf("wss://%s/connection/websocket", address)
	}
	if err := json.NewEncoder(os.Stdout).Encode(line); err != nil {
		log.Fatal(err)
	}
	<-over
}

// End is closed when the input has ended or the process is told to stop.
func End() <-chan struct{} {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		stop()
	}()
	return ctx.Done()
}

func (p Peer) serveHTTP(o *Options) (net.Addr, error) {
	certificate, err := tls.LoadX509KeyPair(o.Cert, o.Key)
	if err != nil {
		return nil, err
	}
	listener, err := o.Bind()
	if err != nil {
		return nil, err
	}
	server := &http.Server{
		Handler: p.Handler, ErrorLog: log.New(io.Discard, "", 0), // clients that leave are no news
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{certificate}, NextProtos: []string{"http/1.1"}, MinVersion: tls.VersionTLS13},
	}
	go func() { log.Fatal(server.ServeTLS(listener, "", "")) }()
	return listener.Addr(), nil
}

// version is that of a module in this program.
func version(module string) string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	for _, m := range info.Deps {
		if m.Path == module {
			return m.Version[1:]
		}
	}
	return ""
}
