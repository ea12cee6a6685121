package tlsconn

import (
	"crypto/tls"
	"errors"
	"net"
)

// Failure is why a handshake did not complete: a static value, compared by identity, without any byte of the peer.
type Failure struct {
	Label string // for metrics: lower case, underscores
	text  string
	index int // into Pool.failures
}

func (f *Failure) Error() string { return "tlsconn: " + f.text }

// The reasons for which a handshake does not complete. Read only.
var (
	ErrStale    = &Failure{"stale", "hello waited too long to be begun", 0}
	ErrFull     = &Failure{"full", "too many handshakes at once", 1}
	ErrEvicted  = &Failure{"evicted", "gave way to a newer handshake: its prefix held the most", 2}
	ErrAborted  = &Failure{"aborted", "peer gone or deadline passed", 3}
	ErrClosed   = &Failure{"closed", "pool closed", 4}
	ErrVersion  = &Failure{"version", "no common TLS version", 5}
	ErrCipher   = &Failure{"cipher", "no common cipher suite or key exchange", 6}
	ErrALPN     = &Failure{"alpn", "peer offers protocols and none is http/1.1", 7}
	ErrPeer     = &Failure{"peer_alert", "peer refused with an alert", 8}
	ErrProtocol = &Failure{"protocol", "peer broke the TLS protocol", 9}
	ErrServer   = &Failure{"server", "internal error in the handshake", 10}
	ErrClient   = &Failure{"client_certificate", "peer's certificate is missing or refused", 11}
)

const failureCount = 12

// failures lists all of them in the order of their index.
func failures() [failureCount]*Failure {
	return [...]*Failure{ErrStale, ErrFull, ErrEvicted, ErrAborted, ErrClosed, ErrVersion, ErrCipher, ErrALPN, ErrPeer,
		ErrProtocol, ErrServer, ErrClient}
}

// noCertificate is the text of crypto/tls, which has no type for it, about a peer that shows none.
const noCertificate = "tls: client didn't provide a certificate"

// classify turns an error of crypto/tls into a static reason. crypto/tls quotes the peer in its texts, so none of
// them is kept. plainAlert is the alert that went out before there were keys, 0 if none.
func classify(err error, plainAlert uint8) *Failure {
	if own := (*Failure)(nil); errors.As(err, &own) {
		return own
	}
	if op := (*net.OpError)(nil); errors.As(err, &op) && op.Op == "remote error" {
		return ErrPeer
	}
	if refused := (*tls.CertificateVerificationError)(nil); errors.As(err, &refused) || err.Error() == noCertificate {
		return ErrClient
	}
	switch plainAlert {
	case alertProtocolVersion:
		return ErrVersion
	case alertHandshakeFailure:
		return ErrCipher
	case alertNoApplicationProtocol:
		return ErrALPN
	case alertInternalError, alertUnrecognizedName:
		return ErrServer
	}
	return ErrProtocol
}
