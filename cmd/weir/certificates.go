package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"weir/engine"
	"weir/security/certs"
)

// certificates are the certificates, keys and authorities of both listeners. All of them are
// replaced while the server runs.
type certificates struct {
	public  *certs.Store
	tickets *certs.TicketKeys
	clients *certs.ClientCAs // nil: clients are asked for no certificate

	api        *certs.Store     // nil: the API is plain; may be public
	apiClients *certs.ClientCAs // nil: nor are its callers
}

// loadCertificates reads and checks them all, and has the engine use them.
func loadCertificates(o *serverOptions, cfg *engine.Config) (*certificates, error) {
	c := &certificates{}
	if err := c.loadPublic(o, cfg); err != nil {
		return nil, err
	}
	return c, c.loadAPI(o, cfg)
}

func (c *certificates) loadPublic(o *serverOptions, cfg *engine.Config) (err error) {
	if c.public, err = certs.Load(string(o.TLSCert), string(o.TLSKey), certs.Options{AllowSelfSigned: o.AllowSelfSigned}); err != nil {
		return err
	}
	if c.tickets, err = certs.LoadTicketKeys(string(o.TicketKeyFile), nil); err != nil {
		return err
	}
	if o.ClientCAFile != "" {
		if c.clients, err = certs.LoadClientCAs("--client-ca-file", string(o.ClientCAFile), nil); err != nil {
			return err
		}
		cfg.ClientCAs = c.clients.Pool
	}
	cfg.TLS, err = certs.ServerConfig(certs.TLSOptions{Store: c.public, MinVersion: string(o.TLSMin), Curves: o.TLSCurves, Tickets: c.tickets,
		ClientCAs: c.clients, ClientRequired: o.ClientAuth != "optional"})
	cfg.CertNotAfter = c.NotAfter
	return err
}

func (c *certificates) loadAPI(o *serverOptions, cfg *engine.Config) (err error) {
	if o.APIClientCAFile == "" && o.APITLSCert == "" {
		return nil
	}
	c.api = c.public
	if o.APITLSCert != "" {
		c.api, err = certs.Load(string(o.APITLSCert), string(o.APITLSKey),
			certs.Options{AllowSelfSigned: o.AllowSelfSigned, CertFlag: "--api-tls-cert", KeyFlag: "--api-tls-key"})
		if err != nil {
			return err
		}
	}
	if o.APIClientCAFile != "" {
		if c.apiClients, err = certs.LoadClientCAs("--api-client-ca-file", string(o.APIClientCAFile), nil); err != nil {
			return err
		}
	}
	cfg.APITLS, err = certs.InternalConfig(c.api, string(o.TLSMin), c.apiClients)
	return err
}

// certificateClashes names options of certificates that do not go together.
func (o *serverOptions) certificateClashes() (errs []error) {
	if o.APIListen != "" && !o.APIListen.loopback() && o.APIClientCAFile == "" {
		errs = append(errs, fmt.Errorf("--api-listen: %s is not loopback, so its callers must show a certificate; name their authority with "+
			"--api-client-ca-file, or write 127.0.0.1 or [::1] before the port", o.APIListen))
	}
	if (o.APITLSCert == "") != (o.APITLSKey == "") {
		errs = append(errs, errors.New("--api-tls-cert and --api-tls-key: one does not go without the other; give both, or neither for those of --tls-cert"))
	}
	if o.ClientAuth == "optional" && o.ClientCAFile == "" {
		errs = append(errs, errors.New("--client-auth: nobody's certificates are asked for; name their authority with --client-ca-file"))
	}
	return errs
}

// Reload reads all files again. On an error the others may be new, each for itself good.
func (c *certificates) Reload() error {
	errs := []error{c.public.Reload()}
	if c.api != nil {
		errs = append(errs, c.api.Reload())
	}
	_, err := c.tickets.Reload()
	errs = append(errs, err)
	for _, cas := range []*certs.ClientCAs{c.clients, c.apiClients} {
		if cas != nil {
			_, err := cas.Reload()
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// NotAfter is when the first of the certificates expires.
func (c *certificates) NotAfter() time.Time {
	first := c.public.NotAfter()
	if c.api != nil && c.api.NotAfter().Before(first) {
		first = c.api.NotAfter()
	}
	return first
}

// watch looks after the files until ctx is done.
func (c *certificates) watch(ctx context.Context, log *slog.Logger) {
	sources := []certs.Source{c.public, c.tickets}
	if c.api != nil && c.api != c.public {
		sources = append(sources, c.api)
	}
	for _, cas := range []*certs.ClientCAs{c.clients, c.apiClients} {
		if cas != nil {
			sources = append(sources, cas)
		}
	}
	certs.Watch(ctx, certPoll, func(n *certs.Notice) { n.Log(log) }, sources...)
}

// clientAuth is what a listener asks of its clients, for check.
func clientAuth(c *tls.Config) string {
	switch {
	case c == nil:
		return ""
	case c.ClientAuth == tls.RequireAndVerifyClientCert:
		return ", client certificate required"
	case c.ClientAuth == tls.VerifyClientCertIfGiven:
		return ", client certificate accepted"
	}
	return ""
}
