package main

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"

	"weir/bench/internal/stepper"
)

// together is how many handshakes share one message between the two processes.
const together = 100

// cryptoOrder is one of two: get ready, or make so many handshakes.
type cryptoOrder struct {
	Cert, Key string
	Secret    []byte
	Token     string

	Count int
}

// cryptoFloor is the floor of a connect: the server's end of handshakes, and the token's signature. One thread does it.
type cryptoFloor struct {
	peer   *exec.Cmd
	to     io.Writer // the peer, as from
	from   io.Reader
	config *tls.Config
	secret []byte
	token  []byte
}

func (f *cryptoFloor) obey(ctx context.Context, o cryptoOrder) (int, error) {
	if o.Cert != "" {
		return 0, f.ready(ctx, o)
	}
	for done := 0; done < o.Count; done += together {
		if err := f.handshakes(min(together, o.Count-done)); err != nil {
			return done, err
		}
	}
	return o.Count, nil
}

func (f *cryptoFloor) ready(ctx context.Context, o cryptoOrder) error {
	runtime.GOMAXPROCS(1)
	pair, err := tls.LoadX509KeyPair(o.Cert, o.Key)
	if err != nil {
		return err
	}
	f.config = &tls.Config{Certificates: []tls.Certificate{pair}, NextProtos: []string{"http/1.1"}, MinVersion: tls.VersionTLS12}
	f.secret, f.token = o.Secret, []byte(o.Token)
	self, err := os.Executable()
	if err != nil {
		return err
	}
	f.peer = exec.CommandContext(ctx, self)
	f.peer.Env = append(os.Environ(), roleVariable+"="+roleHellos, authorityVariable+"="+o.Cert)
	f.peer.Stderr = os.Stderr
	if f.to, err = f.peer.StdinPipe(); err != nil {
		return err
	}
	if f.from, err = f.peer.StdoutPipe(); err != nil {
		return err
	}
	return f.peer.Start()
}

// handshakes makes n of them.
func (f *cryptoFloor) handshakes(n int) error {
	if err := writeAll(f.to, make([][]byte, n)); err != nil {
		return err
	}
	hellos, err := readAll(f.from)
	if err != nil {
		return err
	}
	servers := make([]*stepper.Stepper, n)
	flights := make([][]byte, n)
	for i := range servers {
		servers[i] = stepper.New(func(c net.Conn) error { return f.serve(tls.Server(c, f.config)) })
		flights[i] = servers[i].Step(hellos[i])
	}
	if err := writeAll(f.to, flights); err != nil {
		return err
	}
	finished, err := readAll(f.from)
	if err != nil {
		return err
	}
	for i, s := range servers {
		s.Step(finished[i])
		if done, err := s.Done(); !done || err != nil {
			return fmt.Errorf("a handshake of the floor did not end: %w", err)
		}
	}
	return nil
}

func (f *cryptoFloor) serve(c *tls.Conn) error {
	if err := c.Handshake(); err != nil {
		return err
	}
	dot := bytes.LastIndexByte(f.token, '.')
	signature, err := base64.RawURLEncoding.AppendDecode(nil, f.token[dot+1:])
	if err != nil {
		return err
	}
	mac := hmac.New(sha256.New, f.secret)
	mac.Write(f.token[:dot])
	if !hmac.Equal(mac.Sum(nil), signature) {
		return errors.New("the token is not the server's")
	}
	return nil
}

// authorityVariable in the environment of the client's end is the file of the certificate to trust.
const authorityVariable = "WEIR_BENCH_AUTHORITY"

// serveHellos is the client's end: it begins as many handshakes as it gets empty messages, and goes on with them.
func serveHellos(in io.Reader, out io.Writer) error {
	pem, err := os.ReadFile(os.Getenv(authorityVariable))
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	config := &tls.Config{RootCAs: roots, ServerName: "localhost", NextProtos: []string{"http/1.1"}, MinVersion: tls.VersionTLS13}
	for {
		messages, err := readAll(in)
		if errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		clients := make([]*stepper.Stepper, len(messages))
		for i := range clients {
			clients[i] = stepper.New(func(c net.Conn) error { return tls.Client(c, config).Handshake() })
			messages[i] = clients[i].Step(nil)
		}
		if err := writeAll(out, messages); err != nil {
			return err
		}
		if messages, err = readAll(in); err != nil {
			return err
		}
		for i, c := range clients {
			messages[i] = c.Step(messages[i])
			if _, err := c.Done(); err != nil {
				return err
			}
		}
		if err := writeAll(out, messages); err != nil {
			return err
		}
	}
}

// writeAll writes messages in one write: their number, then each with its length.
func writeAll(w io.Writer, messages [][]byte) error {
	b := binary.BigEndian.AppendUint32(make([]byte, 4, 1<<16), uint32(len(messages)))
	for _, m := range messages {
		b = append(binary.BigEndian.AppendUint32(b, uint32(len(m))), m...)
	}
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	_, err := w.Write(b)
	return err
}

// readAll is the other end of writeAll.
func readAll(r io.Reader) ([][]byte, error) {
	var length [4]byte
	if _, err := io.ReadFull(r, length[:]); err != nil {
		return nil, err
	}
	b := make([]byte, binary.BigEndian.Uint32(length[:]))
	if _, err := io.ReadFull(r, b); err != nil {
		return nil, err
	}
	next := func() (n uint32) {
		n, b = binary.BigEndian.Uint32(b), b[4:]
		return n
	}
	messages := make([][]byte, next())
	for i := range messages {
		n := next()
		messages[i], b = b[:n:n], b[n:]
	}
	return messages, nil
}
