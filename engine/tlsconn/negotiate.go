package tlsconn

import (
	"bytes"
	"crypto/aes"
	"crypto/sha512"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"

	"weir/engine/tlsconn/record"
)

// suites12 are the TLS 1.2 suites that may be used: ECDHE for forward secrecy and an AEAD.
func suites12() []uint16 {
	return []uint16{
		tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
		tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
		tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
	}
}

// ChallengeProto is the protocol, instead of http/1.1, of an authority that has the server prove its name by the handshake
// alone (RFC 8737 §3). It is spoken if PoolConfig.TLS has it; Info.ALPN says so, and the connection is to be closed.
const ChallengeProto = "acme-tls/1"

// handshakeTemplate is what each handshake's own configuration is cloned from.
func handshakeTemplate(base *tls.Config) (*tls.Config, error) {
	switch {
	case base == nil || base.GetCertificate == nil && len(base.Certificates) == 0:
		return nil, errors.New("tlsconn: no certificate: give --tls-cert and --tls-key")
	case base.KeyLogWriter != nil || base.WrapSession != nil || base.UnwrapSession != nil || base.GetConfigForClient != nil:
		return nil, errors.New("tlsconn: KeyLogWriter, WrapSession, UnwrapSession and GetConfigForClient of tls.Config are used here and must be nil")
	case base.MinVersion != 0 && base.MinVersion < tls.VersionTLS12:
		return nil, errors.New("tlsconn: --tls-min must be 1.2 or 1.3")
	}
	for _, suite := range base.CipherSuites {
		if !slices.Contains(suites12(), suite) {
			return nil, fmt.Errorf("tlsconn: cipher suite %s is not ECDHE with an AEAD", tls.CipherSuiteName(suite))
		}
	}
	t := base.Clone()
	t.MinVersion = max(t.MinVersion, tls.VersionTLS12)
	if t.CipherSuites == nil {
		t.CipherSuites = suites12()
	}
	t.NextProtos = []string{"http/1.1"}
	if slices.Contains(base.NextProtos, ChallengeProto) {
		t.NextProtos = append(t.NextProtos, ChallengeProto)
	}
	t.DynamicRecordSizingDisabled = true // stream12: one Seal, one record
	return t, nil
}

// negotiate runs crypto/tls on h's bytes.
func negotiate(h *Handshake, template *tls.Config, cfg *PoolConfig) (*established, *Failure) {
	config, base := template.Clone(), cfg.TLS
	if cfg.ClientCAs != nil {
		config.ClientCAs = cfg.ClientCAs()
	}
	var log keyLog
	defer log.wipe()
	config.KeyLogWriter = &log
	tickets := uint64(0)
	config.WrapSession = func(cs tls.ConnectionState, ss *tls.SessionState) ([]byte, error) {
		tickets++
		ticket, err := base.EncryptTicket(cs, ss)
		return ticket[:ticketLen(len(ticket))], err
	}
	config.UnwrapSession = base.DecryptTicket

	t := &transport{h: h}
	conn := tls.Server(t, config)
	err := conn.Handshake()
	t.h = nil
	if err != nil {
		return nil, classify(err, t.alert)
	}
	state := conn.ConnectionState()
	est := &established{info: Info{
		Version: state.Version, Suite: state.CipherSuite, Resumed: state.DidResume, ServerName: state.ServerName,
		ALPN: state.NegotiatedProtocol, PeerCertificates: state.PeerCertificates,
	}}
	if state.Version != tls.VersionTLS13 {
		est.v12 = &stream12{conn: conn, t: t}
		return est, nil
	}
	if err := log.keys(est, tickets); err != nil {
		panic(err)
	}
	return est, nil
}

// maxTicket bounds a session ticket, in bytes: it must come back within MaxHello, and go out in one record. One with
// the certificates of mutual TLS may be longer.
const maxTicket = 8 << 10

// ticketLen is how much of a ticket of n bytes is sent: all, or of one that is too long its random first bytes, which
// open nothing, so the client makes a whole handshake next time. crypto/tls has no way to send none.
func ticketLen(n int) int {
	if n > maxTicket {
		return aes.BlockSize
	}
	return n
}

// keyLog takes the application traffic secrets of one handshake out of crypto/tls.
type keyLog struct {
	client, server hexSecret
}

// hexSecret is a traffic secret in hexadecimal, as the log has it.
type hexSecret struct {
	digits [2 * sha512.Size384]byte
	n      int
}

// Write gets one line: label, client random, secret. It runs under a mutex of all handshakes of the process: it copies
// and returns, and must not panic there. It does not look at the client random, which is the peer's choice.
func (l *keyLog) Write(line []byte) (int, error) {
	var s *hexSecret
	switch {
	case bytes.HasPrefix(line, []byte("CLIENT_TRAFFIC_SECRET_0 ")):
		s = &l.client
	case bytes.HasPrefix(line, []byte("SERVER_TRAFFIC_SECRET_0 ")):
		s = &l.server
	default:
		return len(line), nil
	}
	secret := bytes.TrimSuffix(line[bytes.LastIndexByte(line, ' ')+1:], []byte("\n"))
	s.n = copy(s.digits[:], secret)
	return len(line), nil
}

// keys derives both directions into est; tickets is the number of session tickets sent, each one record under the server's key.
func (l *keyLog) keys(est *established, tickets uint64) (err error) {
	if est.in, err = l.client.key(est.info.Suite, 0); err != nil {
		return err
	}
	est.out, err = l.server.key(est.info.Suite, tickets)
	return err
}

func (s *hexSecret) key(suite uint16, seq uint64) (record.Key, error) {
	var secret [sha512.Size384]byte
	defer clear(secret[:])
	n, err := hex.Decode(secret[:], s.digits[:s.n])
	if err != nil {
		return record.Key{}, fmt.Errorf("tlsconn: traffic secret in the key log: %w", err)
	}
	return record.NewKey(suite, secret[:n], seq)
}

func (l *keyLog) wipe() { *l = keyLog{} }
