package main

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/netip"
	"os"
	"time"

	"weir/engine"
	"weir/security/jwks"
	"weir/security/oplog"
	"weir/security/origin"
	"weir/security/overload"
	"weir/security/token"
)

// setup is what the options amount to: everything serve needs, and what check
// reports.
type setup struct {
	config engine.Config
	certs  *certificates
	dev    *devSetup // nil without --dev
	audit  auditPlan
	memory memoryPlan
	faults *oplog.Limit // of the log

	capture captureOptions

	policyText []byte       // of --policy-file
	keySource  *jwks.Source // nil without --jwks-url
	warning    string       // of what is no mistake; "": there is nothing to say
}

// newSetup checks the options against each other and loads what they name.
// Nothing is bound or started. All mistakes are told at once.
func newSetup(p *process, o serverOptions, namespaces []namespaceOptions) (*setup, error) {
	s := &setup{}
	if o.Dev {
		dev, err := prepareDev(p, &o)
		if err != nil {
			return nil, err
		}
		s.dev = dev
		namespaces = withDevNamespace(namespaces)
	}
	if err := errors.Join(append(o.missing(), o.clashes()...)...); err != nil {
		return nil, &configError{err}
	}
	memory, err := planMemory(&o, overload.FindMemory(os.DirFS("/")))
	if err != nil {
		return nil, &configError{err}
	}
	s.memory = memory
	log, faults := newLog(p, &o)
	s.faults = faults
	s.config = engine.Config{
		Listen:          string(o.Listen),
		APIListen:       string(o.APIListen),
		HealthListen:    string(o.HealthListen),
		AllowAnonymous:  o.AllowAnonymous,
		AllowNoOrigin:   o.AllowNoOrigin,
		AllowTokenInURL: o.AllowTokenInURL,
		Namespaces:      engineNamespaces(namespaces),
		Limits:          o.limits(memory),
		Log:             log,
		Version:         readBuild().Version,
		Pollers:         int(o.Pollers),
		ReusePort:       o.ReusePort,
		Congestion:      string(o.Congestion),
		Compression:     o.Compression,
		EnableEcho:      o.EnableEcho,
	}
	if s.dev != nil {
		s.config.Dev = s.dev.page()
	}
	if err := errors.Join(s.loadCertificate(&o), s.loadKeys(&o), s.loadOrigins(&o, namespaces), s.loadSchemas(namespaces), s.loadPolicy(&o), s.loadHooks(&o), s.loadProxies(&o), s.loadAudit(&o), s.loadCapture(&o)); err != nil {
		return nil, &configError{err}
	}
	return s, nil
}

// missing names what a server does not start without.
func (o *serverOptions) missing() (errs []error) {
	switch {
	case len(o.ACMEDomains) > 0:
	case o.TLSCert != "" && o.TLSKey == "" && !o.Dev:
		errs = append(errs, errors.New("--tls-key: --tls-cert needs its private key; name the file (or take both out for --acme-domains)"))
	case o.TLSCert == "" && o.TLSKey != "" && !o.Dev:
		errs = append(errs, errors.New("--tls-cert: --tls-key needs its certificate; name the file with the chain (or take both out for --acme-domains)"))
	case o.TLSCert == "" || o.TLSKey == "":
		errs = append(errs, errors.New("--tls-cert and --tls-key: no certificate; every public connection is TLS (or --acme-domains; for a first look: weir serve --dev)"))
	}
	if o.APIKey == "" && o.APIKeyFile == "" {
		errs = append(errs, errors.New("--api-key: no key for the server API; give --api-key-file, --api-key or WEIR_API_KEY"))
	}
	if o.TokenHMACSecret == "" && o.TokenHMACSecretFile == "" && o.TokenKeyFile == "" && o.JWKSURL == "" && !o.AllowAnonymous && o.ConnectHook == "" && o.ClientCAFile == "" {
		errs = append(errs, errors.New("--token-hmac-secret: no key to verify tokens with; give --token-hmac-secret-file, --token-key-file or --jwks-url (or --client-ca-file, --connect-hook or --allow-anonymous)"))
	}
	if len(o.AllowedOrigins) == 0 && !o.AllowNoOrigin {
		errs = append(errs, errors.New("--allowed-origins: no page may connect; name the origins of yours, as in https://app.example.com (or --allow-no-origin for native clients only)"))
	}
	return errs
}

// clashes names options that cannot both hold.
func (o *serverOptions) clashes() (errs []error) {
	if o.Listen == "" {
		errs = append(errs, errors.New("--listen: no address; write one, as in :8443"))
	}
	errs = append(errs, o.certificateClashes()...)
	if o.IPConnectRate > 0 && o.IPConnectBurst == 0 {
		errs = append(errs, errors.New("--ip-connect-burst: 0 lets nobody in; write 1 or more, or --ip-connect-rate 0 for no limit"))
	}
	return append(append(errs, o.proxyOptions.mistakes()...), o.sharedAddresses()...)
}

func (s *setup) loadCertificate(o *serverOptions) (err error) {
	s.certs, err = loadCertificates(o, &s.config)
	return err
}

func (s *setup) loadKeys(o *serverOptions) error {
	key, err := o.key()
	if err != nil {
		return err
	}
	s.config.APIKey = string(key)
	cfg := token.Config{Issuer: string(o.TokenIssuer), Audiences: o.TokenAudience}
	hmacSecret, err := o.secret()
	if err != nil {
		return err
	}
	if len(hmacSecret) > 0 {
		cfg.HMACSecrets = [][]byte{hmacSecret}
	}
	if o.TokenKeyFile != "" {
		b, err := readBounded(string(o.TokenKeyFile), maxSecretBytes)
		if err != nil {
			return fmt.Errorf("--token-key-file: %w", err)
		}
		if cfg.Keys, err = token.ParseKeys(b); err != nil {
			return err
		}
	}
	if cfg.KeySet, err = s.loadKeySource(o); err != nil {
		return err
	}
	if len(cfg.HMACSecrets) == 0 && len(cfg.Keys) == 0 && cfg.KeySet == nil {
		return nil
	}
	s.config.Tokens, err = token.New(cfg)
	return err
}

func (s *setup) loadOrigins(o *serverOptions, namespaces []namespaceOptions) error {
	var errs []error
	if len(o.AllowedOrigins) > 0 {
		list, err := origin.Parse(o.AllowedOrigins)
		s.config.Origins, errs = list, append(errs, err)
	}
	for i, n := range namespaces {
		if len(n.AllowedOrigins) > 0 {
			list, err := origin.ParseFor(fmt.Sprintf("allowed_origins of the namespace %q", n.Name), n.AllowedOrigins)
			s.config.Namespaces[i].AllowedOrigins, errs = list, append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// limits are the options that bound something.
func (o *serverOptions) limits(memory memoryPlan) engine.Limits {
	d := func(s span) time.Duration { return time.Duration(s) }
	l := engine.DefaultLimits()
	l.Connections, l.HandshakesMax = int(o.Connections), int(o.HandshakesMax)
	l.IPConnectRate, l.IPConnectBurst = float64(o.IPConnectRate), int(o.IPConnectBurst)
	l.IPConnections, l.IPHandshakes = int(o.IPConnections), int(o.IPHandshakes)
	l.UserConnections, l.Exempt = int(o.UserConnections), []netip.Prefix(o.LimitExempt)
	l.UserMessageRate, l.UserByteRate = float64(o.UserMessageRate), float64(o.UserByteRate)
	l.UserSubscribeRate, l.UserConnectRate = float64(o.UserSubscribeRate), float64(o.UserConnectRate)
	l.MessageRate, l.ByteRate = float64(o.MessageRate), float64(o.ByteRate)
	l.SubscribeRate, l.PublishRate, l.PingRate = float64(o.SubscribeRate), float64(o.PublishRate), float64(o.PingRate)
	l.MessageSize, l.MaxFragments = int(o.MessageSizeLimit), int(o.MaxFragments)
	noLimit := func(c count) int { return cmp.Or(int(c), math.MaxInt32) } // the engine's parts take 0 for their default
	l.JSONDepth, l.JSONMembers = noLimit(o.MaxJSONDepth), noLimit(o.MaxJSONMembers)
	l.EchoSize, l.RecoveryMax = int(o.EchoSizeLimit), int(o.RecoveryMax)
	l.MaxOutboxBytes, l.PartialBytes, l.TLSKeyCache = int(o.MaxOutboxBytes), int(o.PartialBytes), int(o.TLSKeyCache)
	l.HandshakeTimeout, l.HeadTimeout, l.StaleCloseDelay = d(o.HandshakeTimeout), d(o.HeadTimeout), d(o.StaleCloseDelay)
	l.PartialTimeout, l.WriteTimeout, l.IdleTimeout = d(o.PartialTimeout), d(o.WriteTimeout), d(o.IdleTimeout)
	l.SessionMax, l.PingInterval, l.PongTimeout = d(o.SessionMax), d(o.PingInterval), d(o.PongTimeout)
	l.DrainPeriod, l.ExpiredCloseDelay = d(o.DrainPeriod), d(o.ExpiredCloseDelay)
	memory.derive(o, &l)
	return l
}

func engineNamespaces(all []namespaceOptions) []engine.Namespace {
	out := make([]engine.Namespace, 0, len(all))
	for _, n := range all {
		out = append(out, engine.Namespace{
			Name:                      string(n.Name),
			AllowSubscribeForClient:   n.AllowSubscribeForClient,
			AllowPublishForClient:     n.AllowPublishForClient,
			AllowPublishForSubscriber: n.AllowPublishForSubscriber,
			AllowHistoryForSubscriber: n.AllowHistoryForSubscriber,
			HistorySize:               int(n.HistorySize),
			HistoryTTL:                time.Duration(n.HistoryTTL),
			ForceRecovery:             n.ForceRecovery,
			RecoverLatest:             n.ForceRecoveryMode == "cache",
			ForcePositioning:          n.ForcePositioning,
			SubscribeHook:             n.SubscribeHook,
			PublishHook:               n.PublishHook,

			Presence:                   n.Presence,
			JoinLeave:                  n.JoinLeave,
			AllowPresenceForSubscriber: n.AllowPresenceForSubscriber,
			AllowDelta:                 len(n.AllowedDeltaTypes) > 0,
			DeltaPublish:               n.DeltaPublish,
			SlowConsumer:               string(n.SlowConsumer),
			ConflateKey:                string(n.ConflateKey),
			MaxOutboxBytes:             int(n.MaxOutboxBytes),
			SanitizeHTML:               n.Sanitize == "html",
		})
	}
	return out
}

// newLog writes to standard error in the chosen format and level, of each fault one
// line a second.
func newLog(p *process, o *serverOptions) (*slog.Logger, *oplog.Limit) {
	level := slog.LevelInfo
	_ = level.UnmarshalText([]byte(o.LogLevel)) // the parser lets only levels through
	options := &slog.HandlerOptions{Level: level}
	var h slog.Handler = slog.NewJSONHandler(p.stderr, options)
	if o.LogFormat == "text" {
		h = slog.NewTextHandler(p.stderr, options)
	}
	limit := oplog.NewLimit(h, time.Now)
	return slog.New(limit), limit
}
