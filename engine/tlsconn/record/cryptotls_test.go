package record

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"io"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"
)

// keyLog keeps the lines that crypto/tls logs about one handshake.
type keyLog struct{ bytes.Buffer }

func (l *keyLog) secret(t *testing.T, label string) []byte {
	t.Helper()
	for _, line := range strings.Split(l.String(), "\n") {
		if f := strings.Fields(line); len(f) == 3 && f[0] == label {
			secret, err := hex.DecodeString(f[2])
			if err != nil {
				t.Fatal(err)
			}
			return secret
		}
	}
	t.Fatalf("no %s among the logged secrets", label)
	return nil
}

func selfSigned(t *testing.T) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"test"},
		NotAfter: time.Unix(1<<32, 0)}, &x509.Certificate{SerialNumber: big.NewInt(1)}, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// takeover is a server whose crypto/tls did the handshake, and whose records are ours.
type takeover struct {
	conn    net.Conn
	in, out Key
	s       Scratch
}

func (o *takeover) send(t *testing.T, typ Type, content string) {
	t.Helper()
	rec := o.out.Seal(&o.s, o.out.AEAD(), append(make([]byte, HeaderLen), content...), 0, typ)
	if _, err := o.conn.Write(rec); err != nil {
		t.Error(err)
	}
}

func (o *takeover) receive(t *testing.T) (Type, string) {
	t.Helper()
	rec := make([]byte, HeaderLen, MaxRecord)
	if _, err := io.ReadFull(o.conn, rec); err != nil {
		t.Fatal(err)
	}
	rec = rec[:HeaderLen+fragmentLen(rec)]
	if _, err := io.ReadFull(o.conn, rec[HeaderLen:]); err != nil {
		t.Fatal(err)
	}
	typ, plain, v := o.in.Open(&o.s, o.in.AEAD(), rec)
	if v != nil {
		t.Fatal(v.Reason)
	}
	return typ, string(plain)
}

// handshake runs crypto/tls on both ends of a pipe and takes the server's end over.
func handshake(t *testing.T) (*tls.Conn, *takeover) {
	t.Helper()
	var log keyLog
	cert := selfSigned(t)
	roots := x509.NewCertPool()
	leaf, err := x509.ParseCertificate(cert.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	roots.AddCert(leaf)
	near, far := net.Pipe()
	t.Cleanup(func() { near.Close(); far.Close() })
	far.SetDeadline(time.Now().Add(2 * time.Minute)) // a wrong key must fail, not hang
	client := tls.Client(near, &tls.Config{ServerName: "test", RootCAs: roots, MinVersion: tls.VersionTLS13})
	server := tls.Server(far, &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS13,
		SessionTicketsDisabled: true, KeyLogWriter: &log})
	done := make(chan error, 1)
	go func() { done <- client.Handshake() }()
	if err := server.Handshake(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	suite, o := server.ConnectionState().CipherSuite, &takeover{conn: far}
	if o.in, err = NewKey(suite, log.secret(t, "CLIENT_TRAFFIC_SECRET_0"), 0); err != nil {
		t.Fatal(err)
	}
	if o.out, err = NewKey(suite, log.secret(t, "SERVER_TRAFFIC_SECRET_0"), 0); err != nil {
		t.Fatal(err)
	}
	return client, o
}

// TestAgainstCryptoTLS talks to a crypto/tls client under our records and rolls keys both ways, several times: the client
// answers a KeyUpdate that asks for one (RFC 8446 §4.6.3) under its old key and rolls after it.
func TestAgainstCryptoTLS(t *testing.T) {
	client, server := handshake(t)
	const rounds = 4
	ended := make(chan error, 1)
	go func() { // the client: echoes lines of two bytes until close_notify
		line := make([]byte, 2)
		for {
			if _, err := io.ReadFull(client, line); err != nil {
				ended <- err
				return
			}
			if _, err := client.Write(line); err != nil {
				ended <- err
				return
			}
		}
	}()
	for range rounds {
		server.send(t, ApplicationData, "")
		server.send(t, ApplicationData, "ab")
		if typ, text := server.receive(t); typ != ApplicationData || text != "ab" {
			t.Fatalf("type %d %q", typ, text)
		}
		server.send(t, Handshake, "\x18\x00\x00\x01\x01") // KeyUpdate, update_requested
		server.out.Update()
		if typ, text := server.receive(t); typ != Handshake || text != "\x18\x00\x00\x01\x00" {
			t.Fatalf("type %d %q", typ, text)
		}
		server.in.Update()
	}
	server.send(t, Alert, "\x01\x00")
	if err := <-ended; err != io.EOF {
		t.Fatalf("the client saw %v, not close_notify", err)
	}
}
