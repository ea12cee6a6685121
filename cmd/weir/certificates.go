package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"weir/engine"
	"weir/security/audit"
	"weir/security/certs"
)

// certificates are the certificates, keys and authorities of both listeners. All of them are
// replaced while the server runs.
type certificates struct {
	public  *certs.Store // nil: acme
	acme    *certs.ACME  // nil: public
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
	if len(o.ACMEDomains) > 0 {
		c.acme, err = certs.LoadACME(certs.ACMEOptions{Domains: o.ACMEDomains, Cache: string(o.ACMECache), Email: string(o.ACMEEmail), Directory: string(o.ACMEDirectory)})
	} else {
		c.public, err = certs.Load(string(o.TLSCert), string(o.TLSKey), certs.Options{AllowSelfSigned: o.AllowSelfSigned})
	}
	if err != nil {
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
	cfg.TLS, err = certs.ServerConfig(certs.TLSOptions{Store: c.public, ACME: c.acme, MinVersion: string(o.TLSMin), Curves: o.TLSCurves, Tickets: c.tickets,
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
	if acme := len(o.ACMEDomains) > 0; acme && (o.TLSCert != "" || o.TLSKey != "") {
		errs = append(errs, errors.New("--acme-domains and --tls-cert: the certificate comes from an authority or from files; keep one"))
	} else if acme && o.ClientCAFile != "" && o.ClientAuth != "optional" {
		errs = append(errs, errors.New("--acme-domains: the authority, which must reach --listen, shows no certificate of --client-ca-file; say --client-auth optional, or give --tls-cert"))
	} else if acme && o.APIClientCAFile != "" && o.APITLSCert == "" {
		errs = append(errs, errors.New("--api-tls-cert: the API's listener cannot have the certificate of --acme-domains; give it one of its own"))
	} else if !acme && (o.ACMECache != "" || o.ACMEEmail != "" || o.ACMEDirectory != "") {
		errs = append(errs, errors.New("--acme-domains is not set: name what is to be certified, or leave the other --acme options out"))
	}
	if o.ClientAuth == "optional" && o.ClientCAFile == "" {
		errs = append(errs, errors.New("--client-auth: nobody's certificates are asked for; name their authority with --client-ca-file"))
	}
	return errs
}

// Reload reads all files again. On an error the others may be new, each for itself good.
func (c *certificates) Reload() error {
	var errs []error
	for _, store := range []*certs.Store{c.public, c.api} {
		if store != nil {
			errs = append(errs, store.Reload())
		}
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
	var first time.Time
	if c.acme != nil {
		first = c.acme.NotAfter()
	} else {
		first = c.public.NotAfter()
	}
	if c.api != nil && c.api.NotAfter().Before(first) {
		first = c.api.NotAfter()
	}
	return first
}

// describe says where the public certificate comes from, for check.
func (c *certificates) describe() string {
	if c.acme != nil && !c.acme.Certified() {
		return "to be had from an authority"
	}
	return "until " + c.NotAfter().UTC().Format("2006-01-02")
}

// watch looks after the files, and has the authority asked, until ctx is done.
func (c *certificates) watch(ctx context.Context, log *slog.Logger, trail *audit.Log) {
	tell := func(n *certs.Notice) {
		n.Log(log)
		noteCertificate(trail, n)
	}
	var orders sync.WaitGroup
	defer orders.Wait()
	if c.acme != nil {
		orders.Go(func() { c.acme.Run(ctx, tell) })
	}
	sources := []certs.Source{c.tickets}
	if c.public != nil {
		sources = append(sources, c.public)
	}
	if c.api != nil && c.api != c.public {
		sources = append(sources, c.api)
	}
	for _, cas := range []*certs.ClientCAs{c.clients, c.apiClients} {
		if cas != nil {
			sources = append(sources, cas)
		}
	}
	certs.Watch(ctx, certPoll, tell, sources...)
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
