package main

import (
	"context"
	"log/slog"
	"net/netip"
	"reflect"
	"slices"
	"time"

	"weir/engine"
	"weir/security/audit"
)

// reloader answers SIGHUP: it reads everything again that the server was
// started with (files, environment, command line) and has the server take it. All
// of it is checked first; a mistake anywhere leaves everything as it was.
type reloader struct {
	p       *process
	s       *setup
	server  *engine.Server
	options serverOptions // of the start: what needs a restart is as it was then

	policies chan []byte // other texts of the policy file
	policy   standing    // of the policy file
}

func (r *reloader) reload(log *slog.Logger) {
	if r.s.dev != nil { // its certificate, keys and namespaces are made up anew by each start
		log.Info("nothing to reload", "note", "with --dev only a restart changes anything")
		return
	}
	restart, err := r.take()
	if err != nil {
		log.Error("not reloaded, the old one stays", "error", err.Error())
		r.rejected(err)
		return
	}
	log.Info("reloaded", "certificate_until", r.s.certs.NotAfter().UTC())
	r.s.warn()
	if len(restart) > 0 {
		log.Warn("some options changed that only a restart changes", "options", restart)
	}
}

// rejected writes a refused reload into the audit log.
func (r *reloader) rejected(err error) {
	r.s.config.Audit.Add(&audit.Record{Time: time.Now(), Event: audit.PolicyRejected, Message: err.Error()})
}

// take reads and hands over; it returns the changed options that need a restart.
func (r *reloader) take() (restart []string, err error) {
	c, err := parse(r.p)
	if err != nil {
		return nil, err
	}
	restart = r.options.needRestart(&c.Serve.serverOptions)
	c.Serve.PolicyFile = r.options.PolicyFile // the one that is watched
	c.Serve.JWKSURL, c.Serve.JWKSCAFile = r.options.JWKSURL, r.options.JWKSCAFile
	fresh, err := newSetup(r.p, c.Serve.serverOptions, c.namespaces)
	if err != nil {
		return nil, err
	}
	if err := r.s.certs.Reload(); err != nil {
		return nil, err
	}
	if err := r.server.Reload(context.Background(), fresh.config); err != nil {
		return nil, err
	}
	fresh.config.Audit, fresh.config.Anomaly, fresh.config.Log = r.s.config.Audit, r.s.config.Anomaly, r.s.config.Log // they stay as they are
	fresh.config.Capture = r.s.config.Capture
	if a := fresh.config.Anomaly; a != nil && a.Bans != nil {
		a.Bans.Spare(slices.Concat([]netip.Prefix(r.options.AnomalyAllow), fresh.audit.spared))
	}
	r.policy.take(fresh.policyText)
	r.s.config, r.s.warning = fresh.config, fresh.warning
	return restart, nil
}

// needRestart names the options that differ and cannot be changed while the
// server runs.
func (o *serverOptions) needRestart(fresh *serverOptions) (flags []string) {
	before, after := reflect.ValueOf(o).Elem(), reflect.ValueOf(fresh).Elem()
	for _, field := range reflect.VisibleFields(before.Type()) {
		_, restart := field.Tag.Lookup("restart")
		if restart && !reflect.DeepEqual(before.FieldByIndex(field.Index).Interface(), after.FieldByIndex(field.Index).Interface()) {
			flags = append(flags, "--"+field.Tag.Get("name"))
		}
	}
	return flags
}
