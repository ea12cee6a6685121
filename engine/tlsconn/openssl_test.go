package tlsconn

import (
	"bufio"
	"bytes"
	"context"
	"encoding/pem"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"weir/engine/tlsconn/record"
)

// openssl is the path of the program. With CI=true it must be there.
func openssl(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("openssl")
	switch {
	case err == nil:
		return path
	case os.Getenv("CI") == "true":
		t.Fatal("openssl is not installed")
	default:
		t.Skip("skipped: openssl is not installed")
	}
	return ""
}

// sClient is a running s_client whose standard input and output are the connection.
type sClient struct {
	in  io.WriteCloser
	out *bufio.Reader
	err *bytes.Buffer
	cmd *exec.Cmd
}

// startSClient connects one to a server of ours over loopback TCP.
func startSClient(t *testing.T, pool *Pool, change func(*server), args ...string) (*sClient, *server) {
	t.Helper()
	path := openssl(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	args = append([]string{"s_client", "-quiet", "-no_ign_eof", "-connect", listener.Addr().String(),
		"-servername", "weir.test", "-verify_return_error", "-CAfile", rootFile(t)}, args...)
	c := &sClient{cmd: exec.CommandContext(ctx, path, args...), err: &bytes.Buffer{}}
	c.cmd.Stderr = c.err
	stdout, err := c.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	c.out = bufio.NewReader(stdout)
	if c.in, err = c.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.in.Close()
		_ = c.cmd.Wait() // a client that fails has failed the test before
		cancel()
	})
	wire, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	return c, serve(t, pool, wire, change)
}

// rootFile is the test's CA as a file.
func rootFile(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "root.pem")
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: testAuthority().root}), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// line sends a line and expects it back.
func (c *sClient) line(t *testing.T, s string) {
	t.Helper()
	if _, err := io.WriteString(c.in, s+"\n"); err != nil {
		t.Fatalf("%v: %s", err, c.err)
	}
	got, err := c.out.ReadString('\n')
	if err != nil || got != s+"\n" {
		t.Fatalf("sent %q, got %q, %v: %s", s, got, err, c.err)
	}
}

func TestOpenSSL(t *testing.T) {
	for _, c := range []struct {
		name string
		args []string
	}{
		{"TLS_AES_128_GCM_SHA256", []string{"-tls1_3", "-ciphersuites", "TLS_AES_128_GCM_SHA256"}},
		{"TLS_AES_256_GCM_SHA384", []string{"-tls1_3", "-ciphersuites", "TLS_AES_256_GCM_SHA384"}},
		{"TLS_CHACHA20_POLY1305_SHA256", []string{"-tls1_3", "-ciphersuites", "TLS_CHACHA20_POLY1305_SHA256"}},
		{"HelloRetryRequest", []string{"-tls1_3", "-groups", "X448:P-256"}},
		{"padding", []string{"-tls1_3", "-record_padding", "512"}},
		{"hello in pieces", []string{"-tls1_3", "-max_send_frag", "512"}},
		{"TLS 1.2", []string{"-tls1_2"}},
		{"TLS 1.2 ChaCha20", []string{"-tls1_2", "-cipher", "ECDHE-ECDSA-CHACHA20-POLY1305"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			client, s := startSClient(t, newPool(t), func(*server) {}, c.args...)
			for range 3 {
				client.line(t, "a line of text")
			}
			_ = client.in.Close()
			within(t, s.finished, "connection")
			if s.result != nil {
				t.Errorf("violation: %s", s.result.Reason)
			}
		})
	}
}

// TestOpenSSLKeyUpdate: s_client rolls its key on a line "k", and asks us to roll ours on "K"; we roll ours unasked too.
func TestOpenSSLKeyUpdate(t *testing.T) {
	for _, suite := range []string{"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"} {
		t.Run(suite, func(t *testing.T) {
			updates, answers := make(chan struct{}, 10), 0
			client, s := startSClient(t, newPool(t), func(s *server) {
				s.opened = func(_ *server, o Opened) {
					if o.N > 0 && len(o.Plain) == 0 && !o.CloseNotify {
						if len(o.Out) > 0 {
							answers++
						}
						updates <- struct{}{}
					}
				}
				s.plain = func(s *server, p []byte) {
					s.send(p)
					s.write(s.conn.appendKeyUpdate(s.shared, nil))
				}
			}, "-tls1_3", "-ciphersuites", suite)
			client.line(t, "before")
			for range 3 {
				for _, command := range []string{"K", "k"} {
					if _, err := io.WriteString(client.in, command+"\n"); err != nil {
						t.Fatal(err)
					}
					select {
					case <-updates:
					case <-s.finished:
						t.Fatalf("closed: %v %s", s.result, client.err)
					}
					client.line(t, "behind "+command)
				}
			}
			_ = client.in.Close()
			within(t, s.finished, "connection")
			if s.result != nil || answers != 3 {
				t.Errorf("violation %v, %d answers", s.result, answers)
			}
		})
	}
}

// TestOpenSSLAlert: a plaintext alert of ours reaches OpenSSL under the right key.
func TestOpenSSLAlert(t *testing.T) {
	client, s := startSClient(t, newPool(t), func(s *server) {
		s.plain = func(s *server, _ []byte) {
			s.write(s.conn.AppendAlert(s.shared, nil, record.AlertUnexpectedMessage))
			s.end()
		}
	}, "-tls1_3")
	if _, err := io.WriteString(client.in, "x\n"); err != nil {
		t.Fatal(err)
	}
	within(t, s.finished, "connection")
	_, _ = io.ReadAll(client.out)
	_ = client.in.Close()
	_ = client.cmd.Wait()
	if !bytes.Contains(client.err.Bytes(), []byte("unexpected message")) {
		t.Errorf("OpenSSL says: %s", client.err)
	}
}
