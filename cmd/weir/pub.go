package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"syscall"
	"time"

	"weir/cmd/option"
)

const (
	pubTimeout       = 10 * time.Second
	maxReplyBytes    = 1 << 20 // of an API reply
	maxPublicationIn = 8 << 20 // of the value on the command line
)

// apiReply is what the server API answers.
type apiReply struct {
	Result json.RawMessage `json:"result"`
	Error  *protocolError  `json:"error"`
}

// publish posts one value and prints the result.
func publish(p *process, c *pubCommand) error {
	request, err := c.request()
	if err != nil {
		return err
	}
	trust, err := c.tlsConfig()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), pubTimeout)
	defer cancel()
	stop := cancelOnSignal(p, cancel)
	defer stop()

	client := &http.Client{
		Transport:     &http.Transport{TLSClientConfig: trust},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	defer client.CloseIdleConnections()
	response, err := client.Do(request.WithContext(ctx))
	if err != nil {
		_, err = explainTLS(withoutURL(err))
		if errors.Is(err, syscall.ECONNREFUSED) {
			err = fmt.Errorf("%w; nobody listens there, it must be the server's --api-listen", err)
		}
		return fmt.Errorf("--api %s: %w", request.URL.Host, err)
	}
	defer response.Body.Close()
	result, err := readReply(response)
	var refused *protocolError
	if errors.As(err, &refused) {
		return fmt.Errorf("%q: %w%s", c.Channel, err, refused.mend(c.Channel))
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(p.stdout, "%s\n", result)
	return err
}

// request builds the call from the command line.
func (c *pubCommand) request() (*http.Request, error) {
	u, err := parseURL("api", c.API, "https", "http")
	if err != nil {
		return nil, err
	}
	if u.Scheme == "http" && !option.Loopback(u) {
		return nil, mistake("--api: the key would travel in the clear to %s; write https://", u.Host)
	}
	if u.Scheme == "http" && len(c.Pins) > 0 {
		return nil, mistake("--pin: there is no certificate to check at %s; write https:// in --api, or leave the pin out", u.Host)
	}
	if u.Scheme == "http" && c.ClientCert != "" {
		return nil, mistake("--client-cert: nobody asks for it at %s; write https:// in --api, or leave it out", u.Host)
	}
	key, err := c.key()
	if err != nil {
		return nil, err
	}
	if len(key) == 0 {
		return nil, mistake("--api-key: no key; give --api-key-file, --api-key or WEIR_API_KEY")
	}
	if len(c.Data) > maxPublicationIn || !json.Valid([]byte(c.Data)) {
		return nil, mistake("the value is not JSON; a text needs quotes of its own, as in '\"hello\"'")
	}
	body, err := json.Marshal(struct {
		Channel string          `json:"channel"`
		Data    json.RawMessage `json:"data"`
	}{c.Channel, json.RawMessage(c.Data)})
	if err != nil {
		return nil, err
	}
	r, err := http.NewRequest(http.MethodPost, u.JoinPath("api/publish").String(), bytes.NewReader(body))
	if err != nil {
		return nil, mistake("--api: %w", err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("X-API-Key", string(key))
	r.Header.Set("Origin", c.origin(u))
	return r, nil
}

// readReply returns the result of a call, or what went wrong with it.
func readReply(response *http.Response) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(response.Body, maxReplyBytes))
	if err != nil {
		return nil, err
	}
	if response.StatusCode == http.StatusUnauthorized {
		return nil, errors.New("the server refuses the API key (401); it must be the one that weir serve was started with")
	}
	var reply apiReply
	if err := json.Unmarshal(body, &reply); err != nil {
		return nil, fmt.Errorf("the answer is not the server API's (HTTP status %d); is --api the API listener?", response.StatusCode)
	}
	switch {
	case reply.Error != nil:
		return nil, reply.Error
	case response.StatusCode != http.StatusOK || reply.Result == nil:
		return nil, fmt.Errorf("the answer has no result (HTTP status %d)", response.StatusCode)
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, reply.Result); err != nil {
		return nil, err
	}
	return printable(compact.Bytes()), nil
}

// cancelOnSignal cancels on SIGINT and SIGTERM until stop is called.
func cancelOnSignal(p *process, cancel context.CancelFunc) (stop func()) {
	received, unsubscribe := p.notify(os.Interrupt, syscall.SIGTERM)
	done := make(chan struct{})
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		select {
		case <-received:
			cancel()
		case <-done:
		}
	}()
	return func() {
		unsubscribe()
		close(done)
		<-finished
	}
}
