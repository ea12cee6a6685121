package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"weir/cmd/weir/demo"
	"weir/engine"
	"weir/security/certs"
	"weir/security/token"
)

const (
	devNamespace = "feeds"
	devUser      = "dev"
	devTokenLife = 30 * 24 * time.Hour
	devCertLife  = 90 * 24 * time.Hour
	devCertLeft  = 7 * 24 * time.Hour // a certificate with less is made anew
	devFeedEvery = 100 * time.Millisecond
	devHistory   = time.Minute / devFeedEvery
	devDrain     = time.Second // instead of the default: nobody waits for a development server
)

// devSetup is what --dev made for itself.
type devSetup struct {
	certFile string
	apiKey   string
	token    string
}

// prepareDev fills in the options that --dev answers for: loopback listeners,
// and, kept between runs in a folder of this user, a certificate and keys, so
// that a browser, a page or a command that had them goes on working. What the
// operator set stays.
func prepareDev(p *process, o *serverOptions) (*devSetup, error) {
	port, err := devListen(o)
	if err != nil {
		return nil, err
	}
	if o.HealthListen != "" && !o.HealthListen.loopback() {
		return nil, mistake("--health-listen: --dev serves on loopback only; write 127.0.0.1 before the port")
	}
	if o.APIListen != "" && !o.APIListen.loopback() || o.APIClientCAFile != "" || o.APITLSCert != "" {
		return nil, mistake("--api-listen: --dev has a plain one on loopback only; leave --api-client-ca-file and --api-tls-cert out and write 127.0.0.1 before the port")
	}
	if o.ProxyListen != "" && !o.ProxyListen.loopback() {
		return nil, mistake("--proxy-listen: --dev serves on loopback only; write 127.0.0.1 before the port")
	}
	if o.APIListen == "" {
		return nil, mistake("--api-listen: --dev needs the server API; leave it out")
	}
	dir, err := devDir(p)
	if err != nil {
		return nil, err
	}
	unlock, err := lockFolder(dir)
	if err != nil {
		return nil, err
	}
	defer unlock()
	if o.TLSCert == "" && o.TLSKey == "" {
		if o.TLSCert, o.TLSKey, err = devCertificate(dir); err != nil {
			return nil, err
		}
	}
	o.AllowSelfSigned = true
	if o.APIKey == "" && o.APIKeyFile == "" {
		if o.APIKeyFile, err = devSecret(dir, "api-key"); err != nil {
			return nil, err
		}
	}
	if o.TokenHMACSecret == "" && o.TokenHMACSecretFile == "" {
		if o.TokenHMACSecretFile, err = devSecret(dir, "token-secret"); err != nil {
			return nil, err
		}
	}
	for _, host := range []string{"localhost", "127.0.0.1", "[::1]"} {
		o.AllowedOrigins = append(o.AllowedOrigins, "https://"+host+":"+port)
	}
	if o.DrainPeriod == span(30*time.Second) {
		o.DrainPeriod = span(devDrain)
	}
	return newDevSetup(o)
}

func newDevSetup(o *serverOptions) (*devSetup, error) {
	key, err := o.key()
	if err != nil {
		return nil, err
	}
	secret, err := o.secret()
	if err != nil {
		return nil, err
	}
	caps, err := capabilities([]string{"*"}, []string{"sub", "pub", "hst", "prs"})
	if err != nil {
		return nil, err
	}
	signed, err := signToken(secret, token.SignClaims{Subject: devUser, Caps: caps, Issuer: string(o.TokenIssuer), Audience: o.TokenAudience}, time.Now(), devTokenLife)
	if err != nil {
		return nil, &configError{err}
	}
	certFile, err := filepath.Abs(string(o.TLSCert))
	if err != nil {
		return nil, err
	}
	return &devSetup{certFile: certFile, apiKey: string(key), token: signed}, nil
}

// devListen puts the public listener on both loopback addresses, unless the
// operator named one of them, and returns the port.
func devListen(o *serverOptions) (port string, err error) {
	host, port, err := net.SplitHostPort(string(o.Listen))
	if err != nil {
		return "", mistake("--listen: no address; leave it out with --dev")
	}
	if host != "" && !o.Listen.loopback() {
		return "", mistake("--listen: --dev serves on loopback only, not on %s; leave it out, or leave --dev out and give a certificate", o.Listen)
	}
	if port == "0" {
		if port, err = freePort(); err != nil {
			return "", err
		}
	}
	switch host {
	case "", "localhost":
		o.Listen = address("127.0.0.1:" + port)
		if hasIPv6Loopback() {
			o.Listen += address(",[::1]:" + port)
		}
	default:
		o.Listen = address(net.JoinHostPort(host, port))
	}
	return port, nil
}

// freePort asks the system for a port: the allowed origins name it before the
// server has it. Another process could take it in between; then binding fails
// and says so.
func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	return port, err
}

func hasIPv6Loopback() bool {
	l, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		return false
	}
	l.Close()
	return true
}

// devCertificate returns a certificate for the loopback names.
func devCertificate(dir string) (cert, key path, err error) {
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	now := time.Now()
	store, err := certs.Load(certFile, keyFile, certs.Options{AllowSelfSigned: true})
	if err == nil && store.NotAfter().Sub(now) > devCertLeft {
		return path(certFile), path(keyFile), nil
	}
	certPEM, keyPEM, err := certs.SelfSigned([]string{"localhost", "127.0.0.1", "::1"}, now.Add(-time.Minute), devCertLife)
	if err != nil {
		return "", "", err
	}
	if err := errors.Join(writePrivate(keyFile, keyPEM), writePrivate(certFile, certPEM)); err != nil {
		return "", "", fmt.Errorf("--dev: its certificate was not kept: %w; make room, or set XDG_CACHE_HOME to a folder elsewhere", err)
	}
	return path(certFile), path(keyFile), nil
}

// devSecret returns a file with a random secret.
func devSecret(dir, name string) (path, error) {
	file := filepath.Join(dir, name)
	if b, err := readBounded(file, maxSecretBytes); err == nil && len(b) > 32 {
		return path(file), nil
	}
	if err := writePrivate(file, []byte(rand.Text()+rand.Text()+"\n")); err != nil {
		return "", fmt.Errorf("--dev: its keys were not kept: %w; make room, or set XDG_CACHE_HOME to a folder elsewhere", err)
	}
	return path(file), nil
}

// devDir makes the folder for what --dev keeps: of this user only.
func devDir(p *process) (string, error) {
	base := p.lookup("XDG_CACHE_HOME")
	if home := p.lookup("HOME"); base == "" && home != "" {
		base = filepath.Join(home, ".cache")
		if runtime.GOOS == "darwin" {
			base = filepath.Join(home, "Library", "Caches")
		}
	}
	if !filepath.IsAbs(base) {
		return "", mistake("--dev: no folder for its certificate and keys; set HOME or XDG_CACHE_HOME")
	}
	dir := filepath.Join(base, "weir-dev")
	err := os.MkdirAll(dir, 0o700)
	if err == nil {
		err = os.Chmod(dir, 0o700)
	}
	if err != nil {
		return "", mistake("--dev: no folder for its certificate and keys: %w; set XDG_CACHE_HOME to one of yours", err)
	}
	return dir, nil
}

// lockFolder keeps other processes that lock the folder out until unlock: two
// that start at once would mix their certificates and keys. The lock ends with
// the process, however that ends.
func lockFolder(dir string) (unlock func(), err error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		return nil, errors.Join(fmt.Errorf("--dev: locking %s: %w", dir, err), f.Close())
	}
	return func() { f.Close() }, nil
}

// writePrivate replaces a file as a whole, readable by its owner only.
func writePrivate(file string, content []byte) error {
	f, err := os.CreateTemp(filepath.Dir(file), ".new-*") // made with 0600
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), file)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

// withDevNamespace adds the sample feed's namespace, if it is not configured,
// with a minute of history: what the chart of the page shows.
func withDevNamespace(all []namespaceOptions) []namespaceOptions {
	for _, n := range all {
		if n.Name == devNamespace {
			return all
		}
	}
	return append(all, namespaceOptions{Name: devNamespace, HistorySize: count(devHistory), HistoryTTL: span(5 * time.Minute), ForceRecovery: true, Presence: true, JoinLeave: true, SlowConsumer: "conflate", ConflateKey: "/symbol"})
}

// page is what the public listener shows at /.
func (d *devSetup) page() *engine.Dev {
	html, csp := demo.Page(d.token)
	return &engine.Dev{Page: html, CSP: csp}
}

// feed publishes the sample feed until ctx is done.
func (d *devSetup) feed(ctx context.Context, server *engine.Server, log *slog.Logger) {
	publish := func(ctx context.Context, channel string, data []byte) error {
		_, _, err := server.Publish(ctx, channel, data)
		return err
	}
	if err := demo.NewFeed(uint64(time.Now().UnixNano())).Run(ctx, devFeedEvery, publish); err != nil && ctx.Err() == nil {
		log.Error("the sample feed stopped", "error", err.Error())
	}
}

// demonstrate runs the slow reader, when a page asks for it, until ctx is done.
func (d *devSetup) demonstrate(ctx context.Context, server *engine.Server, log *slog.Logger) {
	slow, stop, err := d.slowReader(server)
	if err != nil {
		log.Error("the demo page has no slow reader", "error", err.Error())
		return
	}
	defer stop()
	slow.Run(ctx, uint64(time.Now().UnixNano()))
}

// announce prints where things are, and commands ready to paste.
func (d *devSetup) announce(p *process, server *engine.Server) error {
	_, port, err := net.SplitHostPort(server.Addr().String())
	if err != nil {
		return err
	}
	api := "http://" + server.APIAddr().String()
	sample := `{"symbol":"ACME","price":101.25,"change":0.5}`
	url := ""
	if port != "8443" {
		url = " --url wss://localhost:" + port
	}
	apiFlag := ""
	if api != "http://127.0.0.1:9000" {
		apiFlag = " --api " + api
	}
	var b strings.Builder
	fmt.Fprintf(&b, "\nDemo page     https://localhost:%s/   (loopback only; the browser will ask about the certificate)\n\n", port)
	fmt.Fprintf(&b, "certificate   %s\nserver API    %s\nAPI key       %s\ntoken         %s\n\n", d.certFile, api, d.apiKey, d.token)
	fmt.Fprintf(&b, "In another terminal, follow the feed:\n\n")
	fmt.Fprintf(&b, "%s sub %s%s --ca-file %s --token %s\n\n", p.program, demo.Channel, url, shellQuote(d.certFile), d.token)
	fmt.Fprintf(&b, "and publish to it, with the tool or over HTTP:\n\n")
	fmt.Fprintf(&b, "%s pub %s '%s'%s --api-key %s\n\n", p.program, demo.Channel, sample, apiFlag, shellQuote(d.apiKey))
	fmt.Fprintf(&b, "curl -H 'X-API-Key: %s' -d '{\"channel\":\"%s\",\"data\":%s}' %s/api/publish\n\n", d.apiKey, demo.Channel, sample, api)
	_, err = p.stdout.Write([]byte(b.String()))
	return err
}

// shellQuote makes s one word for a shell, if it is not one already.
func shellQuote(s string) string {
	if strings.IndexFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("/._-", r)
	}) < 0 && s != "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
