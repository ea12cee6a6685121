package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"net"
	"net/http"
	"net/url"
	"syscall"
	"time"

	"github.com/coder/websocket"

	"weir/cmd/weir/demo"
	"weir/engine"
)

const (
	// slowBuffer is what the system may hold for the slow reader, in bytes, so that
	// what it does not read waits with the server.
	slowBuffer  = 8 << 10
	slowTimeout = 30 * time.Second // for a call, a handshake, and a message that is due
)

// slowReader is the demonstration of package demo against this server, through its
// public listener and its API like anybody's.
func (d *devSetup) slowReader(server *engine.Server) (*demo.Slow, func(), error) {
	trust, err := trustOnly(d.certFile)
	if err != nil {
		return nil, nil, err
	}
	dialer := net.Dialer{Timeout: slowTimeout, Control: func(_, _ string, c syscall.RawConn) error {
		var failed error
		err := c.Control(func(fd uintptr) {
			failed = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, slowBuffer)
		})
		return errors.Join(err, failed)
	}}
	public := &http.Client{Transport: &http.Transport{TLSClientConfig: trust, DialContext: dialer.DialContext}}
	internal := &http.Client{Transport: &http.Transport{}, Timeout: slowTimeout}
	address := server.Addr().String()
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, nil, err
	}
	header := http.Header{"Origin": {"https://localhost:" + port}, "Authorization": {"Bearer " + d.token}}
	slow := &demo.Slow{
		Publish: func(ctx context.Context, channel string, data []byte) (uint64, error) {
			offset, _, err := server.Publish(ctx, channel, data)
			return offset, err
		},
		Followed: func(ctx context.Context, channel string) (bool, error) {
			return d.followed(ctx, internal, "http://"+server.APIAddr().String()+"/api/channels", channel)
		},
		Dial: func(ctx context.Context, channel string) (demo.Messages, error) {
			ctx, cancel := context.WithTimeout(ctx, slowTimeout)
			defer cancel()
			conn, _, err := websocket.Dial(ctx, "wss://"+address+"/feed?channel="+url.QueryEscape(channel),
				&websocket.DialOptions{HTTPClient: public, HTTPHeader: header})
			return slowMessages{conn}, err
		},
	}
	return slow, func() {
		public.CloseIdleConnections()
		internal.CloseIdleConnections()
	}, nil
}

// followed asks the server API whether the channel has subscribers.
func (d *devSetup) followed(ctx context.Context, client *http.Client, method, channel string) (bool, error) {
	body, err := json.Marshal(map[string]string{"pattern": channel})
	if err != nil {
		return false, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, method, bytes.NewReader(body))
	if err != nil {
		return false, err
	}
	request.Header.Set("X-API-Key", d.apiKey)
	response, err := client.Do(request)
	if err != nil {
		return false, err
	}
	defer response.Body.Close()
	result, err := readReply(response)
	if err != nil {
		return false, err
	}
	var found struct{ Channels map[string]struct{} }
	if err := json.Unmarshal(result, &found); err != nil {
		return false, err
	}
	_, is := found.Channels[channel]
	return is, nil
}

// slowMessages are those of a connection that is read only when its user wants to.
type slowMessages struct{ conn *websocket.Conn }

func (m slowMessages) Next(ctx context.Context) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, slowTimeout)
	defer cancel()
	_, text, err := m.conn.Read(ctx)
	return text, err
}

func (m slowMessages) Close() { _ = m.conn.CloseNow() } // the server notices

// trustOnly accepts the first certificate of the file and no other.
func trustOnly(certFile string) (*tls.Config, error) {
	b, err := readBounded(certFile, maxCAFileBytes)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(b)
	if block == nil {
		return nil, errors.New(certFile + " holds no certificate in PEM")
	}
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AddCert(leaf)
	cfg := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots}
	switch {
	case len(leaf.DNSNames) > 0:
		cfg.ServerName = leaf.DNSNames[0]
	case len(leaf.IPAddresses) > 0:
		cfg.ServerName = leaf.IPAddresses[0].String()
	}
	return cfg, nil
}
