package attack

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"weir/engine/clientproto"
)

// drip is the distance between two bytes of who sends as little as he can.
const drip = 300 * time.Millisecond

// handshakeKinds are those who never get in.
func handshakeKinds() []Kind {
	return []Kind{
		{Name: "churn", What: "connect and close, again and again, from few addresses", Attackers: 16, Sources: 4, live: churn},
		{Name: "stalled-hello", What: "send half a ClientHello", Attackers: 1000, live: stalledHello},
		{Name: "silent-hello", What: "send a whole ClientHello and nothing more", Attackers: 2000, Sources: 16, live: silentHello},
		{Name: "bad-tokens", What: "complete the handshake and bring a forged token", Attackers: 64, live: badToken},
	}
}

// addressKinds are those whom no limit per address holds.
func addressKinds() []Kind {
	return []Kind{{Name: "addresses", What: "connect and close, each time from another address", Attackers: 16, live: churn}}
}

func churn(ctx context.Context, a *attacker) error {
	l, err := a.dial(ctx)
	if err != nil {
		return err
	}
	l.close()
	return nil
}

// clientHello is the first record of a handshake that goes no further.
func clientHello(ctx context.Context, cfg *tls.Config) ([]byte, error) {
	near, far := net.Pipe()
	said := make(chan []byte, 1)
	go func() {
		b := make([]byte, 16<<10)
		n, _ := far.Read(b)
		_ = far.Close()
		said <- b[:n]
	}()
	_ = tls.Client(near, cfg).HandshakeContext(ctx) // fails, for nobody answers
	_ = near.Close()
	hello := <-said
	if len(hello) == 0 {
		return nil, errors.New("attack: no ClientHello was made")
	}
	return hello, nil
}

func stalledHello(ctx context.Context, a *attacker) error {
	return a.greet(ctx, a.hello[:len(a.hello)/2])
}
func silentHello(ctx context.Context, a *attacker) error { return a.greet(ctx, a.hello) }

// greet sends some bytes and waits.
func (a *attacker) greet(ctx context.Context, hello []byte) error {
	l, err := a.dial(ctx)
	if err != nil {
		return err
	}
	defer l.close()
	if _, err := l.raw.Write(hello); err == nil {
		l.outlast()
	}
	return nil
}

// forged is the good token with another signature.
func (a *attacker) forged() string {
	i := strings.LastIndexByte(a.target.Token, '.') + 1
	b := []byte(a.target.Token)
	for j := i; j < len(b); j++ {
		b[j] = 'A' + byte((j-i+a.number)%26)
	}
	return string(b)
}

// badToken brings it with the request, or with the connect command.
func badToken(ctx context.Context, a *attacker) error {
	if a.number%2 == 0 {
		l, err := a.secure(ctx)
		if err != nil {
			return err
		}
		defer l.close()
		if _, err := l.stream.Write(a.head("Authorization: Bearer " + a.forged() + "\r\n")); err == nil {
			l.outlast()
		}
		return nil
	}
	l, err := a.open(ctx)
	if err != nil {
		return err
	}
	defer l.close()
	if l.command(&clientproto.Command{ID: 1, Method: clientproto.Connect, Connect: clientproto.ConnectRequest{Token: []byte(a.forged())}}) == nil {
		l.outlast()
	}
	return nil
}

// headKinds are those who get no further than the request, or sit down behind it.
func headKinds() []Kind {
	return []Kind{
		{Name: "slow-heads", What: "send the request head byte by byte", Attackers: 300, live: slowHead},
		{Name: "hoarders", What: "connect, shake hands or upgrade, and stay there", Attackers: 900, live: hoard},
	}
}

func slowHead(ctx context.Context, a *attacker) error {
	l, err := a.secure(ctx)
	if err != nil {
		return err
	}
	defer l.close()
	head := bytes.NewReader(a.head())
	l.each(drip, func() error {
		_, err := io.CopyN(l.stream, head, 1)
		return err
	})
	return nil
}

// hoard stays as far in as its number says.
func hoard(ctx context.Context, a *attacker) (err error) {
	var l *link
	switch a.number % 3 {
	case 0:
		l, err = a.dial(ctx)
	case 1:
		l, err = a.secure(ctx)
	default:
		l, err = a.open(ctx)
	}
	if err != nil {
		return err
	}
	defer l.close()
	l.outlast()
	return nil
}

// keyLog keeps the traffic secrets of one handshake, as crypto/tls tells them.
type keyLog struct{ bytes.Buffer }

// secret is the first application traffic secret of the client's side.
func (k *keyLog) secret() ([]byte, error) {
	for line := range strings.Lines(k.String()) {
		var random, secret []byte
		if _, err := fmt.Sscanf(line, "CLIENT_TRAFFIC_SECRET_0 %x %x", &random, &secret); err == nil {
			return secret, nil
		}
	}
	return nil, errors.New("attack: no traffic secret was told")
}
