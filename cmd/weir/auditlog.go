package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"weir/security/audit"
	"weir/security/certs"
)

// auditOptions say where the audit log goes.
type auditOptions struct {
	AuditFile    path `name:"audit-file" restart:"" group:"Audit" default:"stderr" placeholder:"FILE" help:"Where the audit log goes, in a folder that only the server may look into; or stderr, with most events as counts every ten seconds; or off (default ${default})."`
	AuditFormat  text `name:"audit-format" restart:"" group:"Audit" default:"auto" enum:"auto,ecs,logfmt,cef" placeholder:"FORMAT" help:"ecs (JSON lines with the names of the Elastic Common Schema), logfmt or cef; auto is ecs, with --dev logfmt (default ${default})."`
	AuditMaxSize size `name:"audit-max-size" restart:"" group:"Audit" default:"100MiB" placeholder:"SIZE" help:"Size at which the file is ended and compressed, and another begun; 0 is none. Nothing is deleted (default ${default})."`
	AuditMaxAge  span `name:"audit-max-age" restart:"" group:"Audit" default:"24h" placeholder:"TIME" help:"The same by age; 0 is none (default ${default})."`
	AuditKeyFile path `name:"audit-key-file" restart:"" group:"Audit" placeholder:"FILE" help:"Key of the log's checkpoints (default made at the first start, beside the log with .key behind its name)."`
	AuditSyslog  text `name:"audit-syslog" restart:"" group:"Audit" placeholder:"tls://HOST:PORT" help:"Collector that the audit log is sent to as well, by RFC 5424 over TLS."`
	AuditCAFile  path `name:"audit-syslog-ca-file" restart:"" group:"Audit" placeholder:"FILE" help:"Certificates, PEM, that the collector's is verified with (default the system's)."`
}

// On standard error the log stands among other lines that people read: what is not
// an order or an alarm is counted together early, and told every so often.
const auditStderrEvery = 10 * time.Second

func auditStderrFlood() audit.Flood { return audit.Flood{Each: 2, All: 20, Entries: 32} }

// auditPlan is what the options amount to; the log is opened by serve only.
type auditPlan struct {
	auditOptions
	anomalyOptions
	spared []netip.Prefix // never banned, besides those of anomalyOptions
	format audit.Format
	roots  *x509.CertPool // of the collector; nil: the system's
}

// auditPlan checks the options and opens nothing.
func (o auditOptions) auditPlan(dev bool) (auditPlan, error) {
	p := auditPlan{auditOptions: o}
	switch {
	case o.AuditFormat != "auto":
		p.format, _ = audit.ParseFormat(string(o.AuditFormat)) // the parser lets only formats through
	case dev:
		p.format = audit.Logfmt
	}
	if o.AuditSyslog != "" && !strings.HasPrefix(string(o.AuditSyslog), "tls://") {
		return p, fmt.Errorf("--audit-syslog: %q is no collector with TLS; write tls://host:port", o.AuditSyslog)
	}
	if o.AuditFile != "off" && o.AuditFile != "stderr" {
		if err := audit.CheckFile(string(o.AuditFile)); err != nil {
			return p, fmt.Errorf("--audit-file: %w", err)
		}
	}
	if o.AuditCAFile == "" {
		return p, nil
	}
	pem, err := readBounded(string(o.AuditCAFile), maxSecretBytes)
	if err != nil {
		return p, fmt.Errorf("--audit-syslog-ca-file: %w", err)
	}
	p.roots = x509.NewCertPool()
	if !p.roots.AppendCertsFromPEM(pem) {
		return p, fmt.Errorf("--audit-syslog-ca-file: %s holds no certificate; it must be PEM", o.AuditCAFile)
	}
	return p, nil
}

// toFile reports whether the log is kept in a file.
func (p *auditPlan) toFile() bool { return p.AuditFile != "off" && p.AuditFile != "stderr" }

// kept reports whether the log can be read again, here or at a collector.
func (p *auditPlan) kept() bool { return p.toFile() || p.AuditSyslog != "" }

func (s *setup) loadAudit(o *serverOptions) (err error) {
	s.audit, err = o.auditPlan(o.Dev)
	s.audit.anomalyOptions = o.anomalyOptions
	s.audit.spared = slices.Clone([]netip.Prefix(o.LimitExempt))
	if o.ProxyListen != "" {
		s.audit.spared = append(s.audit.spared, o.proxies()...)
	}
	return errors.Join(err, o.anomalyOptions.check(o.AuditFile))
}

// lockAudit keeps other processes from the same file until release: a chain has one
// writer. The lock ends with the process, however that ends.
func (p *auditPlan) lockAudit() (release func(), err error) {
	name := string(p.AuditFile)
	if info, err := os.Stat(name); !p.toFile() || err == nil && !info.Mode().IsRegular() {
		return func() {}, nil // what is no file has no chain
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		return nil, mistake("--audit-file: %w", err)
	}
	f, err := os.OpenFile(name+".lock", os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, mistake("--audit-file: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = f.Close()
		return nil, mistake("--audit-file: another process writes to %s (%w); give each weir serve a file of its own, or end the other", name, err)
	}
	return func() { _ = f.Close() }, nil // nothing was written to it
}

// openAudit opens the audit log, and has the detectors watch it; nil if it is off.
func (s *setup) openAudit(p *process) (*alarms, error) {
	plan, log := &s.audit, s.config.Log
	cfg := audit.Config{Log: log}
	now := time.Now()
	toFile := plan.toFile()
	if toFile || plan.AuditSyslog != "" {
		key, err := plan.auditKey(toFile)
		if err != nil {
			return nil, mistake("--audit-key-file: %w", err)
		}
		cfg.Key = key
	}
	switch {
	case toFile:
		d, err := audit.OpenFile(string(plan.AuditFile), audit.FileOptions{
			Format: plan.format, MaxSize: int64(plan.AuditMaxSize), MaxAge: time.Duration(plan.AuditMaxAge), Key: cfg.Key,
		}, now)
		if err != nil {
			return nil, mistake("--audit-file: %w", err)
		}
		cfg.Destinations = append(cfg.Destinations, d)
	case plan.AuditFile == "stderr":
		cfg.Destinations = append(cfg.Destinations, audit.Writer(p.log.Half(), plan.format))
		if plan.AuditSyslog == "" {
			cfg.Flood, cfg.Every = auditStderrFlood(), auditStderrEvery
		}
	}
	if plan.AuditSyslog != "" {
		host, _ := os.Hostname() // none is written as such
		d, err := audit.DialSyslog(audit.SyslogOptions{
			Address: strings.TrimPrefix(string(plan.AuditSyslog), "tls://"), TLS: &tls.Config{RootCAs: plan.roots, MinVersion: tls.VersionTLS12},
			Host: host, PID: os.Getpid(), Format: plan.format, Key: cfg.Key, Log: log,
		})
		if err != nil {
			return nil, mistake("--audit-syslog: %w", err)
		}
		cfg.Destinations = append(cfg.Destinations, d)
	}
	if len(cfg.Destinations) == 0 {
		return nil, nil
	}
	al := s.newAlarms(&cfg)
	s.config.Audit = audit.New(cfg)
	if al != nil {
		s.config.Anomaly = al.response
		al.response.Log = s.config.Audit
	}
	return al, nil
}

// auditKey is that of the checkpoints. One that is not named is made beside the log; a
// log that goes to standard error and a collector alone has none.
func (o *auditOptions) auditKey(beside bool) ([]byte, error) {
	switch {
	case o.AuditKeyFile != "":
		return audit.LoadKey(string(o.AuditKeyFile), false)
	case beside:
		return audit.LoadKey(string(o.AuditFile)+".key", true)
	}
	return nil, nil
}

// noteCertificate writes down what became of certificates and what they need.
func noteCertificate(trail *audit.Log, n *certs.Notice) {
	event := audit.CertificateLoaded
	if n.Level >= slog.LevelWarn {
		event = audit.CertificateAlert
	}
	trail.Add(&audit.Record{Time: time.Now(), Event: event, Reason: n.ID, Message: n.Text})
}
