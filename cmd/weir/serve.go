package main

import (
	"context"
	"errors"
	"os"
	"sync"
	"syscall"
	"time"

	"weir/engine"
)

// certPoll is how often the files of certificates, keys and authorities are looked at for a change.
const certPoll = 5 * time.Second

// gcPercent is GOGC unless the environment sets it: an idle connection's pings
// leave garbage, and a live byte then costs at most one and a half of RSS.
// Deliveries allocate nothing, so collecting more often costs them nothing.
const gcPercent = 50

// calmPercent is the same while few connections come.
const calmPercent = 6

// errImpatient ends a drain that a second signal cut short.
var errImpatient = errors.New("stopped before every connection was drained")

// serve runs the server until SIGINT or SIGTERM, then drains it. A second
// signal ends it at once. SIGHUP reloads the configuration.
func serve(p *process, c *command) error {
	s, err := newSetup(p, c.Serve.serverOptions, c.namespaces)
	if err != nil {
		return err
	}
	p.log.Attach(s.faults)
	s.config.LogDropped, s.config.LogSuppressed = p.log.Dropped, s.faults.Suppressed
	s.config.Collection = s.memory.bound()
	meter, err := s.memory.meter()
	if err != nil {
		return err
	}
	s.config.Usage = meter.Read
	release, err := s.audit.lockAudit()
	if err != nil {
		return err
	}
	defer release()
	alarms, err := s.openAudit(p)
	if err != nil {
		return err
	}
	defer s.config.Audit.Close() // after the server: its last records are of that
	if err := s.openCapture(alarms); err != nil {
		return err
	}
	defer s.config.Capture.Close() // also
	server, err := engine.New(s.config)
	if err != nil {
		return &configError{err}
	}
	log := s.config.Log
	received, unheard := p.notify(os.Interrupt, syscall.SIGTERM, syscall.SIGHUP) // who reads "serving" may signal
	defer unheard()
	log.Info("serving", "listen", server.Addr().String(), "api", server.APIAddr().String(),
		"version", s.config.Version, "certificate_until", s.certs.NotAfter().UTC())
	s.warn()
	if s.dev != nil {
		if err := s.dev.announce(p, server); err != nil {
			return err
		}
	}

	ctx, drain := context.WithCancel(context.Background())
	defer drain()
	var background sync.WaitGroup
	defer background.Wait()
	trail := s.config.Audit // a reload writes the configuration anew
	background.Go(func() { s.certs.watch(ctx, log, trail) })
	if alarms != nil {
		background.Go(func() { alarms.run(ctx, server) })
	}
	r := &reloader{p: p, s: s, server: server, options: c.Serve.serverOptions, policies: make(chan []byte)}
	if r.options.PolicyFile != "" {
		r.policy.last, r.policy.used = s.policyText, s.policyText
		background.Go(func() { r.watch(ctx, log) })
	}
	if s.keySource != nil {
		background.Go(func() { s.keySource.Run(ctx) })
	}
	if s.dev != nil {
		background.Go(func() { s.dev.feed(ctx, server, log) })
		background.Go(func() { s.dev.demonstrate(ctx, server, log) })
	}
	finished := make(chan error, 1)
	go func() { finished <- server.Run(ctx) }()
	err = superviseSignals(received, s, finished, drain, r)
	drain() // Run may have ended by itself; the feed and the watch end with it
	return err
}

// superviseSignals answers signals until the server has finished.
func superviseSignals(received <-chan os.Signal, s *setup, finished <-chan error, drain context.CancelFunc, r *reloader) error {
	log := s.config.Log
	draining := false
	var policies <-chan []byte
	if r != nil {
		policies = r.policies
	}
	for {
		select {
		case err := <-finished:
			if err == nil {
				log.Info("stopped")
			}
			return err
		case b := <-policies:
			r.takePolicy(b, log)
		case sig := <-received:
			switch {
			case sig == syscall.SIGHUP:
				r.reload(log)
			case draining:
				return errImpatient
			default:
				draining = true
				log.Info("draining", "signal", sig.String(), "period", s.config.Limits.DrainPeriod.String())
				drain()
			}
		}
	}
}
