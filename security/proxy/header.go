package proxy

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"net"
	"net/netip"

	"github.com/pires/go-proxyproto"
	"github.com/pires/go-proxyproto/tlvparse"
)

// The fixed part of a v2 header: signature, version and command, family, length.
const (
	signature   = "\r\n\r\n\x00\r\nQUIT\n"
	prefixBytes = len(signature) + 4

	// MaxHeaderBytes bounds a whole header: addresses take 36 bytes, and a proxy
	// that passes the client's certificate on about two thousand.
	MaxHeaderBytes = 4096
)

// Header is what a PROXY protocol v2 header says.
type Header struct {
	Local  bool           // the proxy speaks for itself (a health check): the rest is empty
	Client netip.AddrPort // unmapped
	TLS    bool           // the client came over TLS, as the header's SSL field says
}

// ParseHeader reads a PROXY protocol v2 header from the start of b. n is its
// length; 0 and no fault means need more. It does not look past the header, and
// a byte that no header has there is refused at once.
func ParseHeader(b []byte) (h Header, n int, f *Fault) {
	start := b[:min(len(b), len(signature))]
	if string(start) != signature[:len(start)] {
		return Header{}, 0, ErrHeader
	}
	if len(b) < prefixBytes {
		return Header{}, 0, nil
	}
	n = prefixBytes + int(binary.BigEndian.Uint16(b[prefixBytes-2:]))
	switch {
	case n > MaxHeaderBytes:
		return Header{}, 0, ErrTooLong
	case len(b) < n:
		return Header{}, 0, nil
	}
	read, err := proxyproto.Read(bufio.NewReaderSize(bytes.NewReader(b[:n]), MaxHeaderBytes))
	if err != nil {
		return Header{}, 0, ErrHeader
	}
	if read.Command.IsLocal() {
		return Header{Local: true}, n, nil
	}
	source, ok := read.SourceAddr.(*net.TCPAddr)
	if !ok {
		return Header{}, 0, ErrFamily
	}
	h.Client = netip.AddrPortFrom(source.AddrPort().Addr().Unmap(), uint16(source.Port))
	fields, err := read.TLVs()
	if err != nil {
		return Header{}, 0, ErrHeader
	}
	if ssl, found := tlvparse.FindSSL(fields); found {
		h.TLS = ssl.ClientSSL()
	}
	return h, n, nil
}
