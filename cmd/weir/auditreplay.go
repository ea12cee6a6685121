package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"time"

	"weir/cmd/option"
	"weir/cmd/weir/replay"
	"weir/security/token"
)

// auditReplayCommand sends a capture again.
type auditReplayCommand struct {
	Files       []string `arg:"" name:"file" help:"Files of one capture."`
	URL         text     `name:"url" default:"wss://127.0.0.1:8443" placeholder:"URL" help:"Test server, on this machine; paths are those of the capture (default ${default})."`
	AllowTarget text     `name:"allow-target" placeholder:"HOST" help:"The host of --url, exactly, if it is another machine. All that was captured is sent there."`
	Token       text     `name:"token" placeholder:"TOKEN" help:"Token to send for each one of a connection that was accepted."`
	TokenFile   path     `name:"token-file" placeholder:"FILE" help:"File with that token."`
	secretOptions
	Speed    factor `name:"speed" default:"1" placeholder:"FACTOR" help:"2 is twice as fast; limits by rate then give other verdicts (default ${default})."`
	Patience span   `name:"patience" default:"10s" placeholder:"TIME" help:"How long to wait for a verdict, beyond the time that it took then (default ${default})."`
	Origin   text   `name:"origin" placeholder:"ORIGIN" help:"Origin to send in the place of those that were not refused (default: as they were)."`
	chainOptions
}

// replayConnectTime is for one connection with its TLS.
const replayConnectTime = 30 * time.Second

// errElsewhere refuses a target that is not this machine.
var errElsewhere = errors.New("the test server is not on this machine: name its host with --allow-target, if all that was captured may go there")

func auditReplay(p *process, c *auditReplayCommand) error {
	cfg, err := c.config()
	if err != nil {
		return err
	}
	captured, err := replay.Load(c.Files)
	if err != nil {
		return &configError{err}
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	defer cancelOnSignal(p, cancel)()
	report, err := replay.Run(ctx, captured, cfg)
	if err != nil {
		_, err = explainTLS(err)
		return fmt.Errorf("--url %s: %w", cfg.Host, err)
	}
	for _, n := range append(captured.Notes, report.Notes...) {
		fmt.Fprintln(p.stderr, n)
	}
	for _, d := range report.Differences {
		fmt.Fprintln(p.stdout, d)
	}
	fmt.Fprintf(p.stdout, "%d of %d connections replayed, %d verdicts compared, %d differ\n",
		report.Connections, captured.Connections(), report.Verdicts, len(report.Differences))
	switch {
	case len(report.Differences) > 0:
		return errors.New("the verdicts are not the same")
	case report.Verdicts == 0:
		return errors.New("nothing was compared")
	}
	return nil
}

// config is what the options amount to.
func (c *auditReplayCommand) config() (cfg replay.Config, err error) {
	u, err := parseURL("url", c.URL, "wss")
	if err != nil {
		return cfg, err
	}
	if u.RawQuery != "" || u.Fragment != "" {
		return cfg, mistake("--url: write host and port only; paths and queries are those of the capture")
	}
	local := c.AllowTarget == ""
	switch {
	case !local && string(c.AllowTarget) != u.Hostname():
		return cfg, mistake("--allow-target: %q is not the host of --url, which is %q", c.AllowTarget, u.Hostname())
	case local && !option.Loopback(u):
		return cfg, mistake("--url: %w", errElsewhere)
	case c.Speed <= 0:
		return cfg, mistake("--speed: 0 never ends; write a number above, as in 1 or 10")
	}
	trust, err := c.tlsConfig()
	if err != nil {
		return cfg, err
	}
	trust.ServerName = u.Hostname()
	live, err := secret("token", c.Token, c.TokenFile)
	if err != nil {
		return cfg, err
	}
	if strings.ContainsFunc(string(live), func(r rune) bool { return r <= ' ' || r >= 0x7f || r == '"' || r == '\\' || r == ',' }) {
		return cfg, mistake("--token: it is no token: it holds what none has")
	}
	key, err := c.secret()
	if err != nil {
		return cfg, err
	}
	if key != nil {
		if _, err := signToken(key, token.SignClaims{}, time.Now(), time.Hour); err != nil {
			return cfg, &configError{err}
		}
	}
	port := u.Port()
	if port == "" {
		port = "443"
	}
	return replay.Config{
		Dial: func(ctx context.Context) (net.Conn, error) {
			return dialTarget(ctx, net.JoinHostPort(u.Hostname(), port), trust, local)
		},
		Host: u.Host, Origin: string(c.Origin), Secret: key, Token: string(live), Speed: float64(c.Speed), Patience: time.Duration(c.Patience),
	}, nil
}

// dialTarget opens one verified connection. local lets it go nowhere but to this machine, whatever a name
// resolves to.
func dialTarget(ctx context.Context, address string, trust *tls.Config, local bool) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, replayConnectTime)
	defer cancel()
	dialer := tls.Dialer{Config: trust, NetDialer: &net.Dialer{Control: func(_, to string, _ syscall.RawConn) error {
		at, err := netip.ParseAddrPort(to)
		if local && (err != nil || !at.Addr().Unmap().IsLoopback()) {
			return errElsewhere
		}
		return nil
	}}}
	return dialer.DialContext(ctx, "tcp", address)
}
