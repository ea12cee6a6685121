package main

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"strings"
	"time"

	"weir/cmd/option"
	"weir/loadtest/client"
	"weir/loadtest/dialect"
	"weir/loadtest/fleet"
	"weir/loadtest/payload"
	"weir/loadtest/scenario"
	"weir/security/grant"
	"weir/security/token"
)

const (
	maxCAFileBytes  = 4 << 20
	maxPayloadBytes = 60_000
	tokenMargin     = time.Hour // beyond the duration
)

// plan makes the scenario's plan of the options.
func (c *cli) plan() (*scenario.Plan, error) {
	seed, err := c.seed()
	if err != nil {
		return nil, err
	}
	targets, err := c.targets()
	if err != nil {
		return nil, err
	}
	if err := c.checkLoad(); err != nil {
		return nil, err
	}
	api, err := c.publishing(targets)
	if err != nil {
		return nil, err
	}
	if c.Protocol == "echo" {
		c.Channels, c.Each, c.Publishers, api.URLs = c.Connections, 1, c.Connections, nil
	}
	channel := fmt.Sprintf("%s-%08x-", c.Channel, seed)
	signed, err := c.token(channel)
	if err != nil {
		return nil, err
	}
	publishers := c.Publishers
	if len(api.URLs) == 0 && publishers == 0 {
		publishers = c.Channels
	}
	publishers = min(publishers, c.Connections)
	plan := &scenario.Plan{
		Fleet: fleet.Options{
			Plan: fleet.Plan{
				Targets: targets, Protocol: c.Protocol, Token: signed, Channel: channel, Channels: c.Channels, Each: c.Each,
				Stream0: seed,
			},
			Connections: c.Connections, Processes: c.Processes, Log: slog.New(slog.DiscardHandler),
		},
		API: api, Connections: c.Connections, ConnectRate: c.ConnectRate, AtOnce: c.AtOnce, Rate: c.Rate, Size: c.Size, Lanes: c.Lanes,
		Duration: c.Duration, Settle: c.Settle, Overrun: c.Settle + c.Duration, PIDs: c.PIDs, Publishers: publishers, Slow: c.SlowReaders, SlowEach: c.SlowPause, Resume: c.Resume,
		Rest: c.Rest, Away: c.Away, Churn: c.Churn, Every: c.Interval,
	}
	return plan, nil
}

func (c *cli) seed() (uint32, error) {
	if c.Seed != 0 {
		return c.Seed, nil
	}
	var b [4]byte
	_, err := rand.Read(b[:])
	return binary.BigEndian.Uint32(b[:]) | 1, err
}

// checkLoad finds options that cannot be together.
func (c *cli) checkLoad() error {
	switch err := payload.CheckSize(c.Size, maxPayloadBytes); {
	case err != nil:
		return mistake("--size: %w", err)
	case c.Connections < 1:
		return mistake("--connections: at least 1")
	case c.Channels < 1 || c.Channels > 1<<20:
		return mistake("--channels: from 1 to %d", 1<<20)
	case c.Each < 0 || c.Each > c.Channels:
		return mistake("--channels-per-connection: at most the %d of --channels", c.Channels)
	case c.Rate <= 0 || c.Rate > 1e7 || c.ConnectRate < 0:
		return mistake("--rate and --connect-rate are numbers a second, above 0")
	case c.Resume < 0 || c.Resume > 1:
		return mistake("--resume: a share from 0 to 1")
	case c.Duration <= 0 || c.Settle < 0 || c.Timeout <= 0 || c.SlowPause <= 0:
		return mistake("--duration, --settle, --timeout and --slow-pause are times above 0, as in 10s")
	case c.Interval <= 0 || c.Churn < 0 || c.Rest < 0 || c.Away < 0:
		return mistake("--interval is a time above 0, --churn, --rest and --away cannot be below 0")
	case c.Processes < 0 || c.Processes > 1000 || c.Sources < 0 || c.AtOnce < 1 || c.Lanes < 1 || c.SlowReaders < 0 || c.Publishers < 0:
		return mistake("--processes, --sources, --at-once, --lanes, --slow-readers and --publishers cannot be below 0, and --processes not above 1000")
	}
	return nil
}

// targets reads the URLs.
func (c *cli) targets() ([]client.Target, error) {
	spoken, err := dialect.Parse(c.Protocol)
	if err != nil {
		return nil, mistake("--protocol: %w", err)
	}
	cas, err := c.authorities()
	if err != nil {
		return nil, err
	}
	digests, err := option.Pins(c.Pins)
	if err != nil {
		return nil, &configError{err}
	}
	var pins [][]byte
	for _, d := range digests {
		pins = append(pins, d[:])
	}
	groups, err := client.Groups(c.Groups)
	if err != nil {
		return nil, mistake("--groups: %w", err)
	}
	congestion := c.Congestion
	if congestion == "-" {
		congestion = ""
	}
	var targets []client.Target
	for text := range strings.SplitSeq(c.URL, ",") {
		u, err := c.permitted("url", text, "wss")
		if err != nil {
			return nil, err
		}
		if u.Path == "" || u.Path == "/" {
			u.Path = spoken.Path()
		}
		targets = append(targets, client.Target{
			URL: u.String(), Origin: c.Origin, CAs: cas, Timeout: c.Timeout, Congestion: congestion, Sources: c.Sources, Pins: pins,
			Groups: groups,
		})
	}
	return targets, nil
}

// permitted reads a URL of an option, of this machine or of --allow-target.
func (c *cli) permitted(name, text string, schemes ...string) (*url.URL, error) {
	u, err := option.URL(name, text, schemes...)
	if err != nil {
		return nil, &configError{err}
	}
	if u.Fragment != "" {
		return nil, mistake("--%s: only host, path and query", name)
	}
	if !option.Loopback(u) && !slices.Contains(c.AllowTarget, u.Hostname()) {
		return nil, mistake("--%s: %s is not this machine; if you may load it, say so with --allow-target %s", name, u.Hostname(), u.Hostname())
	}
	if u.Scheme == "http" && !option.Loopback(u) {
		return nil, mistake("--%s: the key would travel in the clear to %s; write https://", name, u.Host)
	}
	return u, nil
}

func (c *cli) authorities() ([]byte, error) {
	if c.CAFile == "" {
		return nil, nil
	}
	b, err := option.ReadBounded(c.CAFile, maxCAFileBytes)
	if err != nil {
		return nil, mistake("--ca-file: %w", err)
	}
	return b, nil
}

// publishing reads where to publish.
func (c *cli) publishing(targets []client.Target) (fleet.API, error) {
	api := fleet.API{CAs: targets[0].CAs, Congestion: targets[0].Congestion, Pins: targets[0].Pins}
	for _, text := range c.API {
		u, err := c.permitted("api", text, "https", "http")
		if err != nil {
			return api, err
		}
		u.Path = strings.TrimSuffix(u.Path, "/")
		u.RawQuery = ""
		api.URLs = append(api.URLs, u.String())
	}
	key, err := secret("api-key", c.APIKey, c.APIKeyFile)
	if err != nil {
		return api, err
	}
	if len(api.URLs) > 0 && len(key) == 0 {
		return api, mistake("--api-key: no key; give the server's with --api-key-file or --api-key")
	}
	if err := option.HeaderValue("api-key", c.APIKeyFile, key); err != nil {
		return api, &configError{err}
	}
	api.Key = string(key)
	return api, nil
}

// token is what the connections bring: the one that was given, or one made for the channels.
func (c *cli) token(prefix string) (string, error) {
	given, err := secret("token", c.Token, c.TokenFile)
	if err != nil {
		return "", err
	}
	key, err := secret("token-hmac-secret", c.TokenHMACSecret, c.TokenHMACSecretFile)
	if err != nil || len(key) == 0 {
		return string(given), err
	}
	if given != nil {
		return "", mistake("--token and --token-hmac-secret are both set; keep one")
	}
	var id [16]byte
	if _, err := rand.Read(id[:]); err != nil {
		return "", err
	}
	now := time.Now()
	signed, err := token.Sign(key, token.SignClaims{
		Subject: "weir-load", ID: hex.EncodeToString(id[:]), IssuedAt: now.Unix(), ExpiresAt: now.Add(c.Duration + tokenMargin).Unix(),
		Caps: []grant.Capability{{Channels: []string{prefix + "*"}, Match: "wildcard", Allow: []string{"sub", "pub", "hst"}}},
	})
	if err != nil {
		return "", &configError{err}
	}
	return signed, nil
}

// secret returns an option's value, from the option or from its file; nil if
// neither is set.
func secret(name, value, file string) ([]byte, error) {
	b, err := option.Secret(name, value, file)
	if err != nil {
		return nil, &configError{err}
	}
	return b, nil
}
