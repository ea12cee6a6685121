package main

import (
	"bufio"
	"crypto/cipher"
	"crypto/sha1"
	"crypto/tls"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"weir/engine/tlsconn/record"
	"weir/engine/ws"
)

// bareOrder is one of three: listen with this certificate, wait until so many connections are there, send frames.
type bareOrder struct {
	Cert, Key string
	Await     int
	Messages  [][]byte // each goes to every connection, in a record and a write of its own
}

// bare is the floor of a fan-out: it makes handshakes like everybody, answers the upgrade, and keeps of each connection a
// descriptor, a key and a cipher. There are as many senders as the server has loops, and each only seals and writes.
type bare struct {
	listener net.Listener

	mu      sync.Mutex
	lines   []bareLine // guarded by mu until all are there
	changed *sync.Cond
	failure error // guarded by mu
}

// bareLine is one connection after its handshake.
type bareLine struct {
	file   *os.File
	fd     int
	key    record.Key
	cipher cipher.AEAD
}

// bareReport says where it listens.
type bareReport struct{ Addr string }

func (b *bare) obey(o bareOrder) (bareReport, error) {
	switch {
	case o.Cert != "":
		return b.listen(o.Cert, o.Key)
	case o.Await > 0:
		b.mu.Lock()
		defer b.mu.Unlock()
		for len(b.lines) < o.Await && b.failure == nil {
			b.changed.Wait()
		}
		runtime.GC()
		return bareReport{}, b.failure
	}
	return bareReport{}, b.send(o.Messages)
}

func (b *bare) listen(cert, key string) (bareReport, error) {
	b.changed = sync.NewCond(&b.mu)
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		return bareReport{}, err
	}
	if b.listener, err = listenCubic(); err != nil {
		return bareReport{}, err
	}
	config := &tls.Config{
		Certificates: []tls.Certificate{pair}, NextProtos: []string{"http/1.1"}, MinVersion: tls.VersionTLS13, SessionTicketsDisabled: true,
	}
	go func() {
		for {
			nc, err := b.listener.Accept()
			if err != nil {
				return
			}
			go b.take(nc.(*net.TCPConn), config)
		}
	}()
	return bareReport{Addr: b.listener.Addr().String()}, nil
}

// take makes a line of a connection.
func (b *bare) take(tc *net.TCPConn, config *tls.Config) {
	line, err := handshake(tc, config)
	b.mu.Lock()
	defer b.mu.Unlock()
	if err != nil {
		b.failure = errors.Join(b.failure, err)
	} else {
		b.lines = append(b.lines, line)
	}
	b.changed.Broadcast()
}

// handshake leaves the socket as a plain blocking descriptor that no poller knows.
func handshake(tc *net.TCPConn, config *tls.Config) (line bareLine, err error) {
	defer tc.Close()
	var log keyLines
	config = config.Clone()
	config.KeyLogWriter = &log
	conn := tls.Server(tc, config)
	if err := conn.Handshake(); err != nil {
		return line, err
	}
	if line.key, err = log.server(conn.ConnectionState().CipherSuite); err != nil {
		return line, err
	}
	request, err := http.ReadRequest(bufio.NewReader(conn))
	if err != nil {
		return line, err
	}
	sum := sha1.Sum([]byte(request.Header.Get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	line.cipher = line.key.AEAD()
	out := fmt.Appendf(make([]byte, record.HeaderLen, 512), "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"+
		"Connection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n", base64.StdEncoding.EncodeToString(sum[:]))
	if _, err := tc.Write(line.key.Seal(new(record.Scratch), line.cipher, out, 0, record.ApplicationData)); err != nil {
		return line, err
	}
	if line.file, err = tc.File(); err != nil {
		return line, err
	}
	line.fd = int(line.file.Fd())
	return line, nil
}

// send is the floor.
func (b *bare) send(messages [][]byte) error {
	loops := min(runtime.GOMAXPROCS(0), len(b.lines))
	errs := make([]error, loops)
	var all sync.WaitGroup
	for i := range loops {
		share := b.lines[i*len(b.lines)/loops : (i+1)*len(b.lines)/loops]
		all.Go(func() { errs[i] = sendTo(share, messages) })
	}
	all.Wait()
	return errors.Join(errs...)
}

func sendTo(lines []bareLine, messages [][]byte) error {
	var scratch record.Scratch
	buf := make([]byte, 0, record.MaxRecord)
	for _, message := range messages {
		frame := ws.AppendFrame(nil, ws.OpText, message)
		for i := range lines {
			l := &lines[i]
			buf = append(append(buf[:0], 0, 0, 0, 0, 0), frame...)
			buf = l.key.Seal(&scratch, l.cipher, buf, 0, record.ApplicationData)
			if n, err := unix.Write(l.fd, buf); n != len(buf) {
				return fmt.Errorf("%d of %d bytes: %w", n, len(buf), err)
			}
		}
	}
	return nil
}

// listenCubic listens on a port of the system's choice, with the congestion control of every benchmark.
func listenCubic() (net.Listener, error) {
	listener, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return nil, err
	}
	raw, err := listener.SyscallConn()
	if err != nil {
		return nil, err
	}
	var set error
	err = raw.Control(func(fd uintptr) { set = setCubic(fd) })
	return listener, errors.Join(err, set)
}

// keyLines keeps the server's traffic secret of one handshake.
type keyLines struct{ secret string }

func (k *keyLines) Write(line []byte) (int, error) {
	if fields := strings.Fields(string(line)); len(fields) == 3 && fields[0] == "SERVER_TRAFFIC_SECRET_0" {
		k.secret = fields[2]
	}
	return len(line), nil
}

func (k *keyLines) server(suite uint16) (record.Key, error) {
	secret, err := hex.DecodeString(k.secret)
	if err != nil {
		return record.Key{}, err
	}
	return record.NewKey(suite, secret, 0)
}
