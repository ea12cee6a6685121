package main

import (
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"

	"weir/security/audit"
	"weir/security/audit/capture"
)

// captureOptions say whose messages are kept, payloads and all, to be sent again.
type captureOptions struct {
	CaptureDir       path     `name:"capture-dir" restart:"" group:"Capture" placeholder:"DIR" help:"Where what chosen connections send is kept, with payloads and without tokens, for weir audit replay: a folder that only the server may look into (default: nothing is captured)."`
	CaptureAddresses networks `name:"capture-addresses" restart:"" group:"Capture" placeholder:"CIDR,…" help:"Capture connections from these networks."`
	CaptureUsers     list     `name:"capture-users" restart:"" group:"Capture" placeholder:"USER,…" help:"Capture connections of these users."`
	CaptureRule      list     `name:"capture-rule" restart:"" group:"Capture" placeholder:"RULE,…" help:"Capture connections with which one of these events of the audit log happens: upgrade-refused, authentication-failed, publish-refused, subscribe-refused, limit-hit, protocol-violation, command-refused; or, with anomaly, those that come from an address in the ten minutes after an alert about it."`
	CaptureLimit     size     `name:"capture-limit" restart:"" group:"Capture" default:"64MiB" placeholder:"SIZE" help:"Size of all capture files in --capture-dir, over which nothing more is captured (default ${default})."`
}

// leastCapture is the least --capture-limit: one connection as large as one may be.
const leastCapture = 1 << 20

// choice is what the options choose. It opens nothing.
func (o *captureOptions) choice() (c capture.Choice, err error) {
	c = capture.Choice{Addresses: []netip.Prefix(o.CaptureAddresses), Users: o.CaptureUsers}
	for _, name := range o.CaptureRule {
		if err := c.ParseRule(name); err != nil {
			return c, fmt.Errorf("--capture-rule: %w", err)
		}
	}
	switch {
	case o.CaptureDir == "" && !c.None():
		return c, errors.New("--capture-dir: no folder for what is captured; name one of its own")
	case o.CaptureDir == "":
		return c, nil
	case c.None():
		return c, errors.New("--capture-dir: nothing is chosen; name whom to capture with --capture-addresses, --capture-users or --capture-rule")
	case o.CaptureLimit < leastCapture:
		return c, fmt.Errorf("--capture-limit: %s does not hold one connection; write 1MiB or more", o.CaptureLimit)
	}
	if err := audit.CheckFile(filepath.Join(string(o.CaptureDir), "capture")); err != nil {
		return c, fmt.Errorf("--capture-dir: %w", err)
	}
	return c, nil
}

// memory is what a capture takes at most.
func (o *captureOptions) memory() []memoryItem {
	if o.CaptureDir == "" {
		return nil
	}
	return []memoryItem{{"capture", "what waits for the disk, or for a rule or user", capture.MemoryBytes}}
}

func (s *setup) loadCapture(o *serverOptions) (err error) {
	s.capture = o.captureOptions
	c, err := s.capture.choice()
	if err == nil && c.Anomalies && (o.AuditFile == "off" && o.AuditSyslog == "" || o.AnomalyScale == 0) {
		err = errors.New("--capture-rule anomaly: the detectors watch the audit log; leave --audit-file=off and --anomaly-scale=0 out")
	}
	return err
}

// openCapture begins the capture; without --capture-dir there is none. It is opened after the audit log,
// whose ids of connections it has.
func (s *setup) openCapture(al *alarms) error {
	o := &s.capture
	if o.CaptureDir == "" {
		return nil
	}
	choice, err := o.choice()
	if err != nil {
		return &configError{err}
	}
	r, err := capture.New(capture.Config{
		Dir: string(o.CaptureDir), Limit: int64(o.CaptureLimit), Choice: choice, Run: s.config.Audit.Conn(0).Run,
		Server: s.config.Version, Log: s.config.Log,
	})
	if err != nil {
		return mistake("--capture-dir: %w", err)
	}
	s.config.Capture = r
	if al != nil {
		al.capture.Store(r)
	}
	s.config.Log.Warn("what chosen connections send is kept, payloads too", "dir", string(o.CaptureDir),
		"networks", len(o.CaptureAddresses), "users", len(o.CaptureUsers), "rules", []string(o.CaptureRule), "limit", o.CaptureLimit.String())
	return nil
}
