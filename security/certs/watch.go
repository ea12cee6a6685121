package certs

import (
	"context"
	"log/slog"
	"time"
)

// Notice is what the operator must hear of. It holds no byte of a key and no peer's word.
type Notice struct {
	ID    string // stable, for machines
	Level slog.Level
	Text  string
	Attrs []slog.Attr
}

// The IDs of notices.
const (
	CertificateReplaced = "certificate_replaced"
	CertificateRefused  = "certificate_refused" // the old one stays
	CertificateExpires  = "certificate_expires" // soon: 30, 14, 7 or 1 days ahead
	ClientCAsReplaced   = "client_cas_replaced"
	ClientCAsRefused    = "client_cas_refused" // the old ones stay
	TicketKeysReplaced  = "ticket_keys_replaced"
	TicketKeysRefused   = "ticket_keys_refused" // the old ones stay
	TicketKeysOld       = "ticket_keys_old"     // nobody has rotated the file
)

// Log writes the notice to a log.
func (n *Notice) Log(log *slog.Logger) {
	log.LogAttrs(context.Background(), n.Level, n.Text, append([]slog.Attr{slog.String("event", n.ID)}, n.Attrs...)...)
}

// Source is what Watch looks at.
type Source interface {
	// look replaces what has changed and returns what there is to tell. Called by one Watch only.
	look() []Notice
}

// Watch looks at the sources' files every interval until ctx is done, and tells what it finds: each
// thing once. It blocks: run it on a goroutine and wait for that.
func Watch(ctx context.Context, interval time.Duration, tell func(*Notice), sources ...Source) {
	t := time.NewTicker(interval)
	defer t.Stop()
	watch(ctx, t.C, tell, sources)
}

// watch is Watch with its clock as an argument.
func watch(ctx context.Context, ticks <-chan time.Time, tell func(*Notice), sources []Source) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticks:
		}
		for _, s := range sources {
			for _, n := range s.look() {
				tell(&n)
			}
		}
	}
}

// complaint is the error that the operator was last told of, so that each is told once.
type complaint string

// news reports whether err is another one than last time. No error ends the last one.
func (c *complaint) news(err error) bool {
	before := *c
	if *c = ""; err != nil {
		*c = complaint(err.Error())
	}
	return err != nil && *c != before
}

// look implements Source.
func (s *Store) look() (list []Notice) {
	changed, err := s.Check()
	option, until := slog.String("option", s.options.CertFlag), slog.Time("not_after", s.NotAfter())
	if s.told.news(err) {
		list = append(list, Notice{CertificateRefused, slog.LevelError, "certificate not replaced, the old one stays",
			[]slog.Attr{slog.String("error", err.Error()), option, until}})
	}
	if changed {
		list = append(list, Notice{CertificateReplaced, slog.LevelInfo, "certificate replaced", []slog.Attr{option, until}})
	}
	if days, due := s.alarm.due(s.NotAfter(), s.options.Now()); due {
		list = append(list, Notice{CertificateExpires, slog.LevelWarn, "certificate expires soon: renew it",
			[]slog.Attr{slog.Int("days", days), option, until}})
	}
	return list
}

// alarmDays are the distances to expiry at which the operator is told.
var alarmDays = [...]int{1, 7, 14, 30}

// alarm remembers of which expiry, and how near, the operator was last told: days, 0 for not yet.
type alarm struct {
	notAfter time.Time
	told     int
}

// due returns the smallest of alarmDays that the expiry is within, once for each expiry.
func (a *alarm) due(notAfter, now time.Time) (days int, due bool) {
	if !notAfter.Equal(a.notAfter) {
		*a = alarm{notAfter: notAfter}
	}
	left := notAfter.Sub(now)
	for _, d := range alarmDays {
		if left <= time.Duration(d)*24*time.Hour {
			due = a.told == 0 || d < a.told
			if due {
				a.told = d
			}
			return d, due
		}
	}
	return 0, false
}
