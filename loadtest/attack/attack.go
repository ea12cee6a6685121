// Package attack floods a server in each of the ways that SECURITY.md F4 lists.
//
// A Kind is one way. Its run is a number of attackers, each a goroutine that
// lives one connection after the other until its context ends: it connects
// from an address of the target's, does its harm, and holds on for as long as
// the server lets it. Attackers are clients: nothing here has a part in a
// server, and what the server made of them stands in its own metrics.
package attack

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Target is whom to attack, and who one pretends to be. It is plain data, so
// that one process can hand it to another.
type Target struct {
	Addr      string       // host:port of the public listener
	Name      string       // of the server, as its certificate has it
	Authority string       // PEM file of the certificates to trust
	Origin    string       // sent with the request; "" sends none
	Token     string       // a good one, for attackers who must be let in
	Channel   string       // how the channels begin that the token lets one subscribe and publish to
	From      netip.Prefix // source addresses; the zero Prefix leaves them to the system
	Attackers int          // connections at once; 0: as many as the Kind asks for
}

// Kind is one way to flood. Immutable.
type Kind struct {
	Name      string
	What      string // one line: what an attacker does
	Attackers int    // connections at once
	Sources   int    // addresses that they come from; 0: each from its own, again and again another
	live      func(ctx context.Context, a *attacker) error
}

// Tally is what a run came to, seen from the attackers.
type Tally struct {
	Lives   int64  // connections tried
	Refused int64  // of these, not even connected
	Failed  int64  // of these, ended before they could do what they came for
	Failure string // the last reason of either
}

// Kinds lists every way, in the order of SECURITY.md F4.
func Kinds() []Kind {
	return slices.Concat(handshakeKinds(), headKinds(), frameKinds(), commandKinds(), recordKinds(), addressKinds())
}

// Named returns the Kind of that name.
func Named(name string) (Kind, bool) {
	kinds := Kinds()
	i := slices.IndexFunc(kinds, func(k Kind) bool { return k.Name == name })
	if i < 0 {
		return Kind{}, false
	}
	return kinds[i], true
}

// run is what the attackers of one run share.
type run struct {
	target Target
	kind   *Kind
	tls    *tls.Config // of every handshake; immutable
	hello  []byte      // a whole ClientHello, immutable
	next   atomic.Uint64
	bomb   func() ([]byte, error) // made when first asked for
	texts  func() [][]byte        // the same

	lives, refused, failed atomic.Int64

	mu   sync.Mutex
	last error // guarded by mu
}

// attacker is one goroutine of a run.
type attacker struct {
	*run
	number int
}

// refusedPause is how long an attacker waits who could not even connect: it
// would only burn the time of its own machine.
const refusedPause = 5 * time.Millisecond

// errRefused wraps the failure to connect.
var errRefused = errors.New("attack: refused")

// Run floods the target until ctx ends, and returns when all connections are closed.
func (k Kind) Run(ctx context.Context, t Target) (Tally, error) {
	r, err := k.prepare(ctx, t)
	if err != nil {
		return Tally{}, err
	}
	attackers := k.Attackers
	if t.Attackers > 0 {
		attackers = t.Attackers
	}
	var all sync.WaitGroup
	for i := range attackers {
		all.Go(func() { (&attacker{r, i}).rage(ctx) })
	}
	all.Wait()
	tally := Tally{Lives: r.lives.Load(), Refused: r.refused.Load(), Failed: r.failed.Load()}
	if r.last != nil {
		tally.Failure = r.last.Error()
	}
	return tally, nil
}

func (k *Kind) prepare(ctx context.Context, t Target) (*run, error) {
	pem, err := os.ReadFile(t.Authority)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("attack: %s holds no certificate", t.Authority)
	}
	r := &run{target: t, kind: k, bomb: sync.OnceValues(bomb), texts: sync.OnceValue(badTexts), tls: &tls.Config{
		RootCAs: roots, ServerName: t.Name, NextProtos: []string{"http/1.1"}, MinVersion: tls.VersionTLS13,
		CurvePreferences: []tls.CurveID{tls.X25519}, // the cheapest for us
	}}
	r.hello, err = clientHello(ctx, r.tls)
	return r, err
}

// rage lives one connection after the other.
func (a *attacker) rage(ctx context.Context) {
	pause := time.NewTimer(0)
	defer pause.Stop()
	for ctx.Err() == nil {
		a.lives.Add(1)
		err := a.kind.live(ctx, a)
		if err == nil || ctx.Err() != nil {
			continue
		}
		a.mu.Lock()
		a.last = err
		a.mu.Unlock()
		if !errors.Is(err, errRefused) {
			a.failed.Add(1)
			continue
		}
		a.refused.Add(1)
		pause.Reset(refusedPause)
		select {
		case <-pause.C:
		case <-ctx.Done():
		}
	}
}
