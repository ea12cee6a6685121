package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"weir/engine"
	"weir/security/anomaly"
	"weir/security/audit"
	"weir/security/audit/capture"
)

// anomalyOptions say what is unusual, and what is done about it.
type anomalyOptions struct {
	AnomalyScale       factor   `name:"anomaly-scale" restart:"" group:"Anomalies" default:"1" placeholder:"FACTOR" help:"Multiplies the thresholds of all detectors: 2 is half as sensitive, 0 switches them off (default ${default})."`
	AnomalyContainment text     `name:"anomaly-containment" restart:"" group:"Anomalies" default:"dry-run" enum:"off,dry-run,ban" placeholder:"MODE" help:"What is done about an address that attacks: off, dry-run (the audit log says what would have been banned) or ban (default ${default})."`
	AnomalyBanTime     span     `name:"anomaly-ban-time" restart:"" group:"Anomalies" default:"10m" placeholder:"TIME" help:"How long a ban lasts (default ${default})."`
	AnomalyAllow       networks `name:"anomaly-allow" restart:"" group:"Anomalies" placeholder:"CIDR,…" help:"Networks that are never banned, besides those of --limit-exempt and --trusted-proxies."`
	AnomalyWebhook     text     `name:"anomaly-webhook" restart:"" group:"Anomalies" placeholder:"URL" help:"Where each alert is posted as JSON: https, or http on loopback."`
}

const (
	// alarmsWaiting are alerts that wait to be acted on and posted. Detectors give one
	// for each prefix and detector in five minutes; over it they are only in the log.
	alarmsWaiting = 256
	// webhookTimeout is for one post.
	webhookTimeout = 5 * time.Second
	// expelTimeout is for sending away who is connected from a banned prefix.
	expelTimeout = 10 * time.Second
)

// check refuses combinations that would do nothing.
func (o *anomalyOptions) check(auditFile path) error {
	if o.AnomalyWebhook != "" {
		u, err := url.Parse(string(o.AnomalyWebhook))
		if err != nil || u.Host == "" || u.Scheme != "https" && !(u.Scheme == "http" && address(net.JoinHostPort(u.Hostname(), "80")).loopback()) {
			return errors.New("--anomaly-webhook: not an address that alerts may go to; write https://host/path, or http:// for one on loopback")
		}
	}
	if o.AnomalyBanTime <= span(anomaly.Quiet) {
		return fmt.Errorf("--anomaly-ban-time: an attack that goes on is told of again after %v; write a longer time, as in 10m", anomaly.Quiet)
	}
	unheard := auditFile == "off" || o.AnomalyScale == 0
	if unheard && (o.AnomalyWebhook != "" || o.AnomalyContainment == "ban") {
		return errors.New("--anomaly-webhook and --anomaly-containment=ban: the detectors watch the audit log; leave --audit-file=off and --anomaly-scale=0 out")
	}
	return nil
}

// alarms are the detectors of a server and what is done about their alerts. Run's
// goroutines own all but what is said to be another's.
type alarms struct {
	response *anomaly.Response
	webhook  string
	version  string
	log      *slog.Logger
	capture  atomic.Pointer[capture.Recorder] // nil: nothing is captured
	acts     chan anomaly.Report              // bans, whose prefixes are to be sent away
	posts    chan anomaly.Report

	// Owned by the goroutine of the audit log.
	told   time.Time // when a line said so
	untold int       // alerts since then that no line showed, or that nobody acts on
}

// newAlarms has the detectors watch a log that is about to be made; nil if they are off.
func (s *setup) newAlarms(cfg *audit.Config) *alarms {
	o := &s.audit.anomalyOptions
	if o.AnomalyScale == 0 {
		return nil
	}
	a := &alarms{
		webhook: string(o.AnomalyWebhook), version: s.config.Version, log: s.config.Log,
		acts: make(chan anomaly.Report, alarmsWaiting), posts: make(chan anomaly.Report, alarmsWaiting),
	}
	a.response = &anomaly.Response{Ban: o.AnomalyContainment == "ban", For: time.Duration(o.AnomalyBanTime), Now: time.Now, Tell: a.tell}
	if o.AnomalyContainment != "off" {
		a.response.Bans = anomaly.NewBans(slices.Concat([]netip.Prefix(o.AnomalyAllow), s.audit.spared))
	}
	a.response.Watcher = anomaly.New(anomaly.Config{Scale: float64(o.AnomalyScale), Alert: a.response.Take})
	if s.audit.kept() {
		cfg.Written = a.response.Watcher.Observe // what the files will tell, too
	} else {
		cfg.Tap = a.response.Watcher.Observe
	}
	return a
}

// tell passes a report on, on the goroutine of the audit log: it never waits. At most
// one line a second says so; the audit log has all.
func (a *alarms) tell(r anomaly.Report) {
	prefix := "all"
	if r.Prefix.IsValid() {
		prefix = r.Prefix.String()
	}
	if now := a.response.Now(); now.Sub(a.told) >= time.Second {
		a.log.Warn("anomaly", "detector", r.Detector, "from", prefix, "count", r.Count, "threshold", r.Threshold, "action", string(r.Action), "not_shown", a.untold)
		a.told, a.untold = now, 0
	} else {
		a.untold++
	}
	a.capture.Load().Suspect(r.Prefix, a.response.Now().Add(capture.Suspected))
	if r.Action == anomaly.Banned {
		a.queue(a.acts, r)
	}
	if a.webhook != "" {
		a.queue(a.posts, r)
	}
}

func (a *alarms) queue(to chan<- anomaly.Report, r anomaly.Report) {
	select {
	case to <- r:
	default:
		a.untold++ // too many wait: it is in the audit log, and nowhere else
	}
}

// run acts until ctx is done.
func (a *alarms) run(ctx context.Context, server *engine.Server) {
	var both sync.WaitGroup
	both.Go(func() {
		each(ctx, a.acts, func(r anomaly.Report) {
			within, cancel := context.WithTimeout(ctx, expelTimeout)
			defer cancel()
			if err := server.Expel(within, r.Prefix); err != nil && ctx.Err() == nil {
				a.log.Error("cannot send away who is connected from a banned prefix", "prefix", r.Prefix.String(), "error", err)
			}
		})
	})
	client := &http.Client{Timeout: webhookTimeout, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	defer client.CloseIdleConnections()
	both.Go(func() {
		each(ctx, a.posts, func(r anomaly.Report) {
			if err := a.post(ctx, client, r); err != nil && ctx.Err() == nil {
				a.log.Warn("--anomaly-webhook did not take an alert", "detector", r.Detector, "error", err)
			}
		})
	})
	both.Wait()
}

func each(ctx context.Context, reports <-chan anomaly.Report, do func(anomaly.Report)) {
	for {
		select {
		case r := <-reports:
			do(r)
		case <-ctx.Done():
			return
		}
	}
}

// posted is the body of a post.
type posted struct {
	Time      time.Time  `json:"time"`
	Detector  string     `json:"detector"`
	Prefix    string     `json:"prefix,omitempty"` // "": all together
	Count     uint64     `json:"count"`
	Threshold uint64     `json:"threshold"`
	Window    string     `json:"window"`
	Action    string     `json:"action,omitempty"`
	Until     *time.Time `json:"until,omitempty"`
	Version   string     `json:"version"`
}

// post sends one alert. What the other end answers is not shown: its address may
// hold a secret, and so may its words.
func (a *alarms) post(ctx context.Context, client *http.Client, r anomaly.Report) error {
	body := posted{
		Time: r.Time.UTC(), Detector: r.Detector, Count: r.Count, Threshold: r.Threshold, Window: anomaly.Window.String(),
		Action: string(r.Action), Version: a.version,
	}
	if r.Prefix.IsValid() {
		body.Prefix = r.Prefix.String()
	}
	if !r.Until.IsZero() {
		until := r.Until.UTC()
		body.Until = &until
	}
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, a.webhook, bytes.NewReader(text))
	if err != nil {
		return errors.New("no valid address")
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := client.Do(req)
	var where *url.Error
	if errors.As(err, &where) {
		return where.Err
	}
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, _ = io.CopyN(io.Discard, resp.Body, 64<<10)
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("status %d", resp.StatusCode)
	}
	return nil
}
